"""HTTP sessions, and the reasons why a request got no answer."""

from urllib.parse import urlsplit

import requests


def is_local(url: str) -> bool:
    """Whether the server runs on this machine, as the sandbox's does."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost"}


def open_session(url: str) -> requests.Session:
    """Return a session for this server; proxies of the environment apply to remote ones only."""
    session = requests.Session()
    session.trust_env = not is_local(url)
    return session


def describe_failure(error: requests.RequestException) -> str:
    """Return the reason why no answer arrived, as a phrase."""
    match error:
        case requests.exceptions.SSLError():
            return "invalid certificate"
        case requests.Timeout():
            return "timed out"
        case requests.ConnectionError():
            return "no connection"
        case _:
            return type(error).__name__
