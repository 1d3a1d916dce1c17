"""Twilio's webhook signature: compute it, and verify the one that a request carries.

Pure. https://www.twilio.com/docs/usage/webhooks/webhooks-security

Errors:

    SignatureInvalid    the request does not prove that Twilio sent it: respond 403, store nothing
"""

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

type Parameters = Sequence[tuple[str, str]]
"""The names and values of a form body, in order."""

_PORT: Final = re.compile(
    r"^(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*?)(?::(?P<port>\d+))?(?=[/?#]|$)"
)


class Algorithm(StrEnum):
    """How a webhook is signed, by the name in its signature settings."""

    HMAC_SHA1 = "HMAC_SHA1"
    HMAC_SHA256 = "HMAC_SHA256"


_DIGESTS: Final = {Algorithm.HMAC_SHA1: "sha1", Algorithm.HMAC_SHA256: "sha256"}


class SignatureFault(StrEnum):
    """The likely cause of an invalid signature, for the operator who reads the log."""

    UNKNOWN_ACCOUNT = "unknown_account"
    """The secret does not have the account."""
    UNKNOWN_KEY = "unknown_key"
    """The signature settings name no shared key that the account has in the secret."""
    UNKNOWN_ALGORITHM = "unknown_algorithm"
    URL_DIFFERS = "url_differs"
    """Twilio signed another URL than those that this endpoint expects."""
    TOKEN_OR_URL = "token_or_url"  # noqa: S105 -- the name of a cause, not a token
    """Twilio signed with another key, signed another URL, or did not sign: nothing proves which."""


class SignatureInvalid(Exception):
    """The signature fits none of the keys and URLs; `cause` is the likely reason."""

    def __init__(self, cause: SignatureFault, *, key_id: str | None = None) -> None:
        super().__init__(f"X-Twilio-Signature fits none of the keys and URLs: {cause}")
        self.cause = cause
        self.key_id = key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """The header X-Twilio-Webhooks-Signature-Settings: which shared key signed, and how.

    Source: https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys
    """

    key_id: str
    algorithm: Algorithm = Algorithm.HMAC_SHA1

    @classmethod
    def parse(cls, header: str) -> Self:
        """Parse `key=<id>,algorithm=<algorithm>`; without an algorithm it is SHA-1.

        Raises:
            SignatureInvalid: the header is malformed, or its algorithm is unknown.
        """
        settings: dict[str, str] = {}
        for part in header.split(","):
            name, separator, value = part.partition("=")
            name = name.strip()
            if not separator or name in settings:
                raise SignatureInvalid(SignatureFault.UNKNOWN_KEY)
            settings[name] = value.strip()
        key_id = settings.get("key")
        if not key_id:
            raise SignatureInvalid(SignatureFault.UNKNOWN_KEY)
        algorithm = (settings.get("algorithm") or Algorithm.HMAC_SHA1).upper()
        if algorithm not in _DIGESTS:
            raise SignatureInvalid(SignatureFault.UNKNOWN_ALGORITHM, key_id=key_id)
        return cls(key_id=key_id, algorithm=Algorithm(algorithm))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedForm:
    """A form POST with its signature; `joined` is what is signed after the URL."""

    signature: str
    joined: bytes = field(repr=False)
    algorithm: Algorithm = Algorithm.HMAC_SHA1

    @classmethod
    def of(
        cls,
        signature: str,
        parameters: Iterable[tuple[str, str]],
        algorithm: Algorithm = Algorithm.HMAC_SHA1,
    ) -> Self:
        """Join the parameters once, because the body of a forged request can be large."""
        return cls(signature=signature, joined=_joined(parameters), algorithm=algorithm)

    def verify(self, *, keys: Sequence[str], urls: Sequence[str]) -> None:
        """Return if the signature is Twilio's for one of the URLs with one of the keys.

        Raises:
            SignatureInvalid: it fits none of the combinations.
            ValueError: a key is empty.
        """
        if not self.fits(keys=keys, urls=urls):
            raise SignatureInvalid(SignatureFault.TOKEN_OR_URL)

    def fits(self, *, keys: Sequence[str], urls: Iterable[str]) -> bool:
        """Return whether the signature fits one of the URLs with one of the keys.

        Each URL is tried as it is, then without and with its port, as Twilio's own validators do.
        The comparison takes constant time.
        """
        given = self.signature.encode("utf-8", "replace")
        return any(
            hmac.compare_digest(_sign(key, variant, self.joined, self.algorithm), given)
            for url in urls
            for variant in _with_and_without_port(url)
            for key in keys
        )


def signature(
    key: str,
    url: str,
    parameters: Iterable[tuple[str, str]],
    algorithm: Algorithm = Algorithm.HMAC_SHA1,
) -> str:
    """Return the value of X-Twilio-Signature for a form POST to `url`.

    Base64 of the HMAC of the URL, followed by each name and value without delimiters, sorted by
    name in code point order; the distinct values of a repeated name are sorted too, as in Twilio's
    Python, Node and PHP SDKs.

    Raises:
        ValueError: the key is empty, so that anyone could sign.
    """
    return _sign(key, url, _joined(parameters), algorithm).decode("ascii")


def _joined(parameters: Iterable[tuple[str, str]]) -> bytes:
    """Return what is signed after the URL."""
    pairs = sorted(set(parameters))
    return "".join(name + value for name, value in pairs).encode("utf-8", "replace")


def _sign(key: str, url: str, joined: bytes, algorithm: Algorithm) -> bytes:
    if not key:
        raise ValueError("the key is empty: anyone could sign with it")
    signed = url.encode("utf-8", "replace") + joined
    return base64.b64encode(hmac.digest(key.encode(), signed, _DIGESTS[algorithm]))


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
