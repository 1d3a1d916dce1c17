"""Twilio's webhook signature: compute it, and verify the one that a request carries.

Pure. https://www.twilio.com/docs/usage/webhooks/webhooks-security

Errors:

    SignatureError       the request does not prove that Twilio sent it: answer 403, store nothing
    ├── SignatureMissing
    └── SignatureInvalid
"""

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

type Parameters = Sequence[tuple[str, str]]
"""The names and values of a form body, in order."""

_PORT = re.compile(r"^(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*?)(?::(?P<port>\d+))?(?=[/?#]|$)")


class SignatureFault(StrEnum):
    """The likely cause of an invalid signature, for the operator who reads the log."""

    UNKNOWN_ACCOUNT = "unknown_account"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 -- the name of a cause, not a token
    URL_DIFFERS = "url_differs"


class SignatureError(Exception):
    """The request does not prove that Twilio sent it."""


class SignatureMissing(SignatureError):
    """The request has no X-Twilio-Signature header, or an empty one."""


class SignatureInvalid(SignatureError):
    """The signature matches none of our tokens and URLs; `cause` is the likely reason."""

    def __init__(self, cause: SignatureFault) -> None:
        super().__init__(f"X-Twilio-Signature matches none of our tokens and URLs: {cause}")
        self.cause = cause


def signature(auth_token: str, url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """Return the value of X-Twilio-Signature for a form POST to `url`.

    Base64 of HMAC-SHA1 over the URL, followed by each name and value without delimiters, sorted by
    name in code point order; the distinct values of a repeated name are sorted too, as in Twilio's
    Python, Node and PHP SDKs.

    Raises:
        ValueError: the token is empty, so that anyone could sign.
    """
    return _signature(auth_token, url, _joined(parameters))


def verify(
    given: str | None, *, auth_tokens: Sequence[str], urls: Sequence[str], parameters: Parameters
) -> None:
    """Return if `given` is Twilio's signature for one of the URLs with one of the tokens.

    Each URL is tried as it is, then without and with its port, as Twilio's own validators do. The
    comparison takes constant time.

    Raises:
        SignatureMissing: there is no signature.
        SignatureInvalid: it matches none of the combinations.
        ValueError: a token is empty.
    """
    if not given:
        raise SignatureMissing("the request has no X-Twilio-Signature header")
    joined = _joined(parameters)  # once: the body of a forged request can be large
    if not _matches(given, auth_tokens, urls, joined):
        raise SignatureInvalid(_likely_cause(given, auth_tokens, urls, joined))


def _joined(parameters: Iterable[tuple[str, str]]) -> bytes:
    """Return what is signed after the URL."""
    pairs = sorted(set(parameters))
    return "".join(name + value for name, value in pairs).encode("utf-8", "replace")


def _signature(auth_token: str, url: str, joined: bytes) -> str:
    if not auth_token:
        raise ValueError("the auth token is empty: anyone could sign with it")
    signed = url.encode("utf-8", "replace") + joined
    return base64.b64encode(hmac.digest(auth_token.encode(), signed, "sha1")).decode("ascii")


def _matches(given: str, auth_tokens: Sequence[str], urls: Iterable[str], joined: bytes) -> bool:
    wanted = given.encode("utf-8", "replace")
    return any(
        hmac.compare_digest(_signature(token, spelling, joined).encode("ascii"), wanted)
        for url in urls
        for spelling in _with_and_without_port(url)
        for token in auth_tokens
    )


def _likely_cause(
    given: str, auth_tokens: Sequence[str], urls: Iterable[str], joined: bytes
) -> SignatureFault:
    """Try the usual differences between two spellings of a URL.

    Only a signature that matches such a spelling proves that the URL is at fault; everything else
    looks like a wrong token.
    """
    if not auth_tokens:
        return SignatureFault.UNKNOWN_ACCOUNT
    spellings = {spelling for url in urls for spelling in _misspellings(url)}
    if _matches(given, auth_tokens, spellings, joined):
        return SignatureFault.URL_DIFFERS
    return SignatureFault.WRONG_TOKEN


def _with_and_without_port(url: str) -> Iterator[str]:
    yield url
    found = _PORT.match(url)
    if not found:
        return
    before, after = found["before"], url[found.end() :]
    scheme, _, rest = before.partition("://")
    before = f"{scheme.lower()}://{rest}"  # as urlparse does in Twilio's Python validator
    yield before + after
    port = found["port"] or ("443" if scheme.lower() == "https" else "80")
    yield f"{before}:{port}{after}"


def _misspellings(url: str) -> Iterator[str]:
    other = "http" + url[5:] if url.startswith("https:") else "https" + url[4:]
    for base in (url, other):
        address, _, query = base.partition("?")
        for path in (address, address.removesuffix("/"), address + "/"):
            yield path
            if query:
                yield f"{path}?{query}"
