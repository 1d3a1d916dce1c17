"""What a caller may ask for: its JSON becomes Twilio's parameters, or a list of problems.

Every problem is found at once, and none quotes a value: values are phone numbers and texts.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, Self

from delivery.domain.messages import within_context_limits
from delivery.runtime.responses import Problem

MAX_REQUEST_BYTES: Final = 64 * 1024

_LONGEST_BODY: Final = 1600  # longer is 21617 at Twilio
_LONGEST_VALUE: Final = 256
_LONGEST_URL: Final = 2048
_LONGEST_REFERENCE: Final = 128
_MAX_LISTED: Final = 10
_LONGEST_VALIDITY_SECONDS: Final = 36_000
_MAX_ATTEMPTS: Final = 1_000_000
# Twilio takes 35 days and says so itself (35117); far beyond that, our own times would overflow.
_LATEST_SEND: Final = timedelta(days=365)

_ADDRESS: Final = re.compile(r"\+[1-9][0-9]{1,14}|[a-z][a-z0-9]*:[!-~]+")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,63}")

type Values = list[str]
"""Of one Twilio parameter, which is repeated for each."""


class InvalidRequest(Exception):
    """The request cannot be sent as it is."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(f"the request has {len(problems)} problems")
        self.problems = problems

    @classmethod
    def of(cls, field: str, problem: str) -> Self:
        """With one problem only."""
        return cls(Problem(field=field, problem=problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """A request that may be sent.

    `parameters` are Twilio's own, in their order, without StatusCallback; `document` is what the
    caller gave.
    """

    document: Mapping[str, Any] = field(repr=False)
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    to: str = field(repr=False)
    from_: str | None = field(default=None, repr=False)
    messaging_service_sid: str | None = None
    body: str | None = field(default=None, repr=False)
    send_at: datetime | None = None
    account_sid: str | None = None
    reference: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None


def read_json(body: str | bytes, *, most_bytes: int = MAX_REQUEST_BYTES) -> object:
    """The body as JSON.

    Raises:
        InvalidRequest: it is too large, or not JSON.
    """
    if len(body) > most_bytes:
        raise InvalidRequest.of("request", f"is too large; {most_bytes // 1024} KiB is the most")
    try:
        document: object = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest.of(
            "request", 'is not JSON; send an object such as {"to": …, "from": …}'
        ) from None
    return document


def parse(document: object, *, now: datetime) -> MessageRequest:
    """Read a request.

    Raises:
        InvalidRequest: with every problem that it has.
    """
    if not isinstance(document, dict):
        raise InvalidRequest.of(
            "request", 'is not an object; send one such as {"to": …, "from": …}'
        )
    given = {name: value for name, value in document.items() if value is not None}
    problems = [_unexpected(name) for name in given if name not in _FIELDS]
    values: dict[str, Values] = {}
    for name, (_, read) in _FIELDS.items():
        if name in given:
            try:
                values[name] = read(given[name])
            except _Unfit as unfit:
                problems.append(Problem(field=name, problem=str(unfit)))
    problems.extend(_contradictions(given))
    send_at = datetime.fromisoformat(values["send_at"][0]) if "send_at" in values else None
    if send_at is not None and send_at <= now:
        problems.append(Problem(field="send_at", problem="is past; leave it out to send at once"))
    if send_at is not None and send_at > now + _LATEST_SEND:
        problems.append(Problem(field="send_at", problem="is too late; Twilio takes 35 days"))
    if problems:
        raise InvalidRequest(*problems)
    return MessageRequest(
        document=document,
        parameters=tuple(_parameters(values)),
        to=values["to"][0],
        from_=_only(values, "from"),
        messaging_service_sid=_only(values, "messaging_service_sid"),
        body=_only(values, "body"),
        send_at=send_at,
        account_sid=_only(values, "account_sid"),
        reference=_only(values, "reference"),
        context=given.get("context", {}),
        idempotency_key=_only(values, "idempotency_key"),
    )


def key_in(document: object) -> str | None:
    """The idempotency key that a document which cannot be sent names, if it is one."""
    try:
        return _text(document["idempotency_key"])[0] if isinstance(document, dict) else None
    except (_Unfit, KeyError):
        return None


def sane_facts(document: object) -> dict[str, Any]:
    """What a request that cannot be sent says about itself, as far as it can be stored."""
    facts: dict[str, Any] = {}
    if not isinstance(document, dict):
        return facts
    for name, attribute in _FACTS.items():
        try:
            facts[attribute] = _FIELDS[name][1](document.get(name))[0]
        except _Unfit:
            continue
    try:
        _context(document.get("context"))
    except _Unfit:
        return facts
    return facts | {"context": document["context"]}


class _Unfit(ValueError):
    """A value that cannot be used; the message goes on from the field's name."""


def _unexpected(name: str) -> Problem:
    if not _NAME.fullmatch(name):
        return Problem(field="?", problem="is a name that no field has")
    if name in _NOT_TAKEN:
        return Problem(field=name, problem=_NOT_TAKEN[name])
    plain = {known.replace("_", ""): known for known in (*_FIELDS, *_NOT_TAKEN)}
    near = get_close_matches(name.replace("_", "").lower(), plain, n=1, cutoff=0.75)
    hint = f"; did you mean {plain[near[0]]}?" if near else ""
    return Problem(field=name, problem=f"is not a known field{hint}")


def _contradictions(given: Mapping[str, Any]) -> Iterator[Problem]:
    """What no field shows by itself."""
    if "to" not in given:
        yield Problem(field="to", problem="is missing; say who gets the message")
    if not given.keys() & {"from", "messaging_service_sid"}:
        yield Problem(field="from", problem="is missing; give it, or messaging_service_sid")
    if not given.keys() & {"body", "media_url", "content_sid"}:
        yield Problem(field="body", problem="is missing; give it, or media_url, or content_sid")
    if "content_variables" in given and "content_sid" not in given:
        yield Problem(field="content_variables", problem="needs content_sid, whose blanks it fills")
    if "fallback_from" in given and "from" in given:
        yield Problem(field="fallback_from", problem="cannot be combined with from")
    for name in ("send_at", "shorten_urls", "fallback_from"):
        if name in given and "messaging_service_sid" not in given:
            yield Problem(field=name, problem="needs messaging_service_sid; Twilio has it only so")


def _parameters(values: Mapping[str, Values]) -> Iterator[tuple[str, str]]:
    for name, (parameter, _) in _FIELDS.items():
        if parameter is not None:
            yield from ((parameter, value) for value in values.get(name, []))
    if "send_at" in values:
        yield "ScheduleType", "fixed"


def _only(values: Mapping[str, Values], name: str) -> str | None:
    return values[name][0] if name in values else None


def _text(value: object, *, longest: int = _LONGEST_VALUE) -> Values:
    if not isinstance(value, str):
        raise _Unfit("must be text")
    if not value.strip():
        raise _Unfit("is blank; give a value or leave it out")
    if len(value) > longest:
        raise _Unfit(f"is longer than {longest} characters")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise _Unfit("holds half a character (a lone surrogate); encode the text as UTF-8")
    return [value]


def _address(value: object) -> Values:
    if not _ADDRESS.fullmatch(_text(value)[0]):
        raise _Unfit(
            "must be a number in E.164 form, + and country code and digits only, "
            "or a channel address such as whatsapp:+ and the number"
        )
    return _text(value)


def _sid(value: object, *, prefix: str) -> Values:
    if not isinstance(value, str) or not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
        raise _Unfit(f"must be a SID: {prefix} and 32 hex digits")
    return [value]


def _boolean(value: object) -> Values:
    if not isinstance(value, bool):
        raise _Unfit("must be true or false")
    return [str(value).lower()]


def _whole(value: object, *, most: int) -> Values:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _Unfit(f"must be a whole number from 1 to {most}")
    return [str(value)]


def _one_of(value: object, *, words: tuple[str, ...]) -> Values:
    if value not in words:
        raise _Unfit(f"must be {' or '.join(words)}")
    return [str(value)]


def _list_of(value: object, *, read: Callable[[object], Values]) -> Values:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_LISTED:
        raise _Unfit(f"must be a list of one to {_MAX_LISTED}")
    return [text for entry in value for text in read(entry)]


def _url(value: object) -> Values:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/]\S*", value):
        raise _Unfit("must hold full URLs, http:// or https://")
    return _text(value, longest=_LONGEST_URL)


def _variables(value: object) -> Values:
    """An object, or JSON text of one, as Twilio wants it: JSON text."""
    try:
        content = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise _Unfit("is text, but not JSON; an object will do as it is") from None
    if not isinstance(content, dict):
        raise _Unfit('must be an object such as {"1": "Ada"}')
    return [json.dumps(content)]


def _time(value: object) -> Values:
    """A time with its zone, as Twilio wants it: in UTC and whole seconds."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        in_utc = time.astimezone(UTC) if time and time.tzinfo else None
    except (ValueError, OverflowError):
        in_utc = None
    if in_utc is None:
        raise _Unfit("must be an ISO 8601 time with its zone, such as 2026-12-24T18:00:00Z")
    return [in_utc.strftime("%Y-%m-%dT%H:%M:%SZ")]


def _context(value: object) -> Values:
    """No parameter of Twilio's: kept here, whole or not at all."""
    if not isinstance(value, dict):
        raise _Unfit("must be an object of names and texts")
    for text in (*value, *value.values()):
        if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise _Unfit("must be flat: each value a text")
    if within_context_limits(value.items()) != value:
        raise _Unfit("has a blank name, over 20 names, or over 1 KB in all")
    return []


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_words = partial(_list_of, read=_text)
_FIELDS: Final[Mapping[str, tuple[str | None, Callable[[Any], Values]]]] = {
    "to": ("To", _address),
    "from": ("From", _text),
    "messaging_service_sid": ("MessagingServiceSid", partial(_sid, prefix="MG")),
    "body": ("Body", partial(_text, longest=_LONGEST_BODY)),
    "media_url": ("MediaUrl", partial(_list_of, read=_url)),
    "content_sid": ("ContentSid", partial(_sid, prefix="HX")),
    "content_variables": ("ContentVariables", _variables),
    "send_at": ("SendAt", _time),
    "validity_period": ("ValidityPeriod", partial(_whole, most=_LONGEST_VALIDITY_SECONDS)),
    "smart_encoded": ("SmartEncoded", _boolean),
    "shorten_urls": ("ShortenUrls", _boolean),
    "provide_feedback": ("ProvideFeedback", _boolean),
    "attempt": ("Attempt", partial(_whole, most=_MAX_ATTEMPTS)),
    "send_as_mms": ("SendAsMms", _boolean),
    "content_retention": ("ContentRetention", partial(_one_of, words=("retain", "discard"))),
    "address_retention": ("AddressRetention", partial(_one_of, words=("retain", "obfuscate"))),
    "persistent_action": ("PersistentAction", _words),
    "risk_check": ("RiskCheck", partial(_one_of, words=("enable", "disable"))),
    "force_delivery": ("ForceDelivery", _boolean),
    "fallback_from": ("FallbackFrom", _text),
    "account_sid": (None, partial(_sid, prefix="AC")),
    "reference": (None, partial(_text, longest=_LONGEST_REFERENCE)),
    "context": (None, _context),
    "idempotency_key": (None, _text),
}
"""Each field: the parameter of Twilio's that it becomes, None where it is ours; how it is read.

Source: https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource
"""

_NOT_TAKEN: Final[Mapping[str, str]] = {
    "status_callback": "is set by this stack, which must hear of every status; leave it out",
    "status_callback_method": "is always POST; leave it out",
    "application_sid": "would send the status callbacks elsewhere; leave it out",
    "schedule_type": "follows from send_at; leave it out",
    "max_price": "has had no effect at Twilio since June 2024; leave it out",
    "traffic_type": "is not documented by Twilio; leave it out",
    "tags": "is not a documented parameter of Twilio's; use context",
    "request_id": "is made by this stack; use reference for an id of your own",
}

_FACTS: Final[Mapping[str, str]] = {
    "to": "to",
    "from": "from_",
    "messaging_service_sid": "messaging_service_sid",
    "account_sid": "account_sid",
    "reference": "reference",
    "body": "body",
}
"""Of a request that cannot be sent: what its message is told by."""
