"""Sessions to servers near and far, and what kept one from answering, in words."""

from urllib.parse import urlsplit

import requests


def is_this_machine(url: str) -> bool:
    """Whether it is a server here, such as the sandbox's."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost"}


def session_to(url: str) -> requests.Session:
    """A session as the environment says; no proxy leads from this machine to itself."""
    session = requests.Session()
    session.trust_env = not is_this_machine(url)
    return session


def cause_of(error: requests.RequestException) -> str:
    """Why there was no answer."""
    match error:
        case requests.exceptions.SSLError():
            return "its certificate is not accepted"
        case requests.Timeout():
            return "time is up"
        case requests.ConnectionError():
            return "no connection"
        case _:
            return type(error).__name__
