"""Twilio's status callback: check its signature, read its content.

Pure: the bytes that arrived go in, a `StatusUpdate` or an error comes out.

Errors:

    CallbackError
    ├── SignatureError       nobody who knows the auth token sent this: refuse, store nothing
    │   ├── SignatureMissing
    │   └── SignatureInvalid
    └── ParameterMissing     signed, but not a status callback: a caller's mistake
"""

import base64
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from urllib.parse import parse_qsl

from delivery.domain.messages import Source, StatusUpdate, within_context_limits

type Parameters = Sequence[tuple[str, str]]

MAX_BODY_BYTES = 64 * 1024
REQUEST_ID = re.compile(r"rq_[0-9a-f]{32}")

# Twilio's own are 34 characters, and the longest address that it knows is far below this. The
# bounds only keep a value that nobody foresaw within DynamoDB's limits for keys and items.
_LONGEST_SID = 128
_LONGEST_VALUE = 256
_LONGEST_STATUS = 64
_LONGEST_ERROR_CODE = 9

_PORT = re.compile(r"^(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*?)(?::(?P<port>\d+))?(?=[/?#]|$)")


class SignatureFault(StrEnum):
    """Why a signature was probably refused, for the person who reads the log."""

    UNKNOWN_ACCOUNT = "unknown_account"
    WRONG_TOKEN = "wrong_token"  # noqa: S105 -- the name of a cause, not a token
    URL_DIFFERS = "url_differs"


class CallbackError(Exception):
    """A request that is not a status callback of Twilio's."""


class SignatureError(CallbackError):
    """The request does not prove that Twilio sent it."""


class SignatureMissing(SignatureError):
    """There is no X-Twilio-Signature header, or it is empty."""


class SignatureInvalid(SignatureError):
    """The signature fits none of our tokens and URLs; `cause` is the likely reason."""

    def __init__(self, cause: SignatureFault) -> None:
        super().__init__(f"X-Twilio-Signature fits none of our tokens and URLs: {cause}")
        self.cause = cause


class ParameterMissing(CallbackError):
    """A parameter that every status callback has is missing or blank."""

    def __init__(self, parameter: str) -> None:
        super().__init__(f"{parameter} is missing, blank or none of Twilio's; every status has it")
        self.parameter = parameter


def parse_form(body: bytes) -> Parameters:
    """Every name and value of a form body, in order, blanks and repetitions included.

    Bytes that are not UTF-8 become U+FFFD: such a body can never carry a right signature, and it
    must not be able to raise.
    """
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def signature(auth_token: str, url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """What Twilio puts into X-Twilio-Signature for a form POST to `url`.

    Base64 of HMAC-SHA1 over the URL, followed by each name and value without delimiters, sorted by
    name in code point order; the distinct values of a repeated name are sorted too, as in Twilio's
    Python, Node and PHP SDKs.
    Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security

    Raises:
        ValueError: the token is empty, so that anybody could sign.
    """
    return _signature(auth_token, url, _joined(parameters))


def verify(
    given: str | None, *, auth_tokens: Sequence[str], urls: Sequence[str], parameters: Parameters
) -> None:
    """Return if `given` is Twilio's signature for one of the URLs, with one of the tokens.

    Each URL is tried as it is, then without and with its port, because Twilio's own validators
    accept all of these. The comparison takes constant time.

    Raises:
        SignatureMissing: there is no signature.
        SignatureInvalid: it fits none of the combinations.
        ValueError: a token is empty.
    """
    if not given:
        raise SignatureMissing("the request has no X-Twilio-Signature header")
    joined = _joined(parameters)  # once: a stranger's body can be large, and never fits
    if not _fits(given, auth_tokens, urls, joined):
        raise SignatureInvalid(_likely_cause(given, auth_tokens, urls, joined))


def account_of(parameters: Parameters) -> str | None:
    """The AccountSid that the callback claims; it selects the tokens that may have signed it."""
    return _first(parameters, "AccountSid")


def status_update(parameters: Parameters, *, raw_query: str, at: datetime) -> StatusUpdate:
    """Read what a verified status callback says; `at` is when it arrived.

    Query parameters that the sender put on its callback URL become the update's context, but for a
    `request_id` of our own form. Unknown parameters, unknown statuses and odd error codes are no
    errors: Twilio adds new ones without notice.

    Raises:
        ParameterMissing: there is no MessageSid or no MessageStatus.
    """
    message_sid = _first(parameters, "MessageSid")
    if message_sid is None or len(message_sid) > _LONGEST_SID:
        raise ParameterMissing("MessageSid")
    status = _first(parameters, "MessageStatus")
    if status is None:
        raise ParameterMissing("MessageStatus")
    request_id, context = _query(raw_query)
    return StatusUpdate(
        message_sid=message_sid,
        status=status[:_LONGEST_STATUS],
        at=at,
        source=Source.CALLBACK,
        error_code=error_code(_first(parameters, "ErrorCode")),
        carrier_time=_clipped(parameters, "RawDlrDoneDate"),
        account_sid=_clipped(parameters, "AccountSid"),
        to=_clipped(parameters, "To"),
        from_=_clipped(parameters, "From"),
        messaging_service_sid=_clipped(parameters, "MessagingServiceSid"),
        request_id=request_id,
        context=context,
    )


def error_code(text: str | None) -> int | None:
    """Twilio's error code as a number; None where there is none, or none that can be read as one.

    Zero means "no error" in Twilio's older products and is no code.
    """
    if text is None or not re.fullmatch(rf"[0-9]{{1,{_LONGEST_ERROR_CODE}}}", text.strip()):
        return None
    return int(text) or None


def _joined(parameters: Iterable[tuple[str, str]]) -> bytes:
    """What is signed after the URL."""
    pairs = sorted(set(parameters))
    return "".join(name + value for name, value in pairs).encode("utf-8", "replace")


def _signature(auth_token: str, url: str, joined: bytes) -> str:
    if not auth_token:
        raise ValueError("the auth token is empty: anybody could sign with it")
    signed = url.encode("utf-8", "replace") + joined
    return base64.b64encode(hmac.digest(auth_token.encode(), signed, "sha1")).decode("ascii")


def _fits(given: str, auth_tokens: Sequence[str], urls: Iterable[str], joined: bytes) -> bool:
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

    Only a signature that fits such a spelling proves that the URL is at fault; everything else
    looks like a wrong token.
    """
    if not auth_tokens:
        return SignatureFault.UNKNOWN_ACCOUNT
    spellings = {spelling for url in urls for spelling in _misspellings(url)}
    if _fits(given, auth_tokens, spellings, joined):
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


def _first(parameters: Parameters, name: str) -> str | None:
    """The first value of a name that is not blank."""
    return next((value for key, value in parameters if key == name and value.strip()), None)


def _clipped(parameters: Parameters, name: str) -> str | None:
    value = _first(parameters, name)
    return value[:_LONGEST_VALUE] if value else None


def _query(raw_query: str) -> tuple[str | None, dict[str, str]]:
    request_id = None
    pairs = []
    for name, value in parse_qsl(raw_query, keep_blank_values=True):
        if name == "request_id" and REQUEST_ID.fullmatch(value):
            request_id = request_id or value
        else:
            pairs.append((name, value))
    return request_id, within_context_limits(pairs)
