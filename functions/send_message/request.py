"""Validates the JSON of a send request, and turns it into Twilio's parameters.

Every problem is reported at once, and no problem quotes a value: values are phone numbers and
texts. The fields themselves are in `delivery.domain.send_fields`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, Final, Self

from delivery.domain.send_fields import (
    REFUSED_FIELDS,
    SEND_FIELDS,
    InvalidValue,
    Values,
    read_context,
    read_text,
)
from delivery.runtime.responses import Problem

MAX_REQUEST_BYTES: Final = 64 * 1024

# Twilio accepts 35 days and rejects more itself (35117); far beyond that, our times would overflow.
_MAX_SEND_DELAY: Final = timedelta(days=365)

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,63}")
_NOT_A_REQUEST: Final = 'must be a JSON object such as {"to": …, "from": …}'


class InvalidRequest(Exception):
    """The request cannot be sent as it is."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(f"the request has {len(problems)} problems")
        self.problems = problems

    @classmethod
    def of(cls, field: str, problem: str) -> Self:
        """Return the error with one problem."""
        return cls(Problem(field=field, problem=problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """A valid request.

    `document` is what the caller gave; `parameters` are Twilio's, in order, without StatusCallback.
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
    alters_body: bool = False
    """Whether Twilio's list of messages shows another body than the request's."""


def read_json(body: str | bytes, *, max_bytes: int = MAX_REQUEST_BYTES) -> object:
    """Return the value of a JSON text.

    Raises:
        InvalidRequest: it is too large, or not JSON.
    """
    if len(body) > max_bytes:
        raise InvalidRequest.of("request", f"is larger than {max_bytes // 1024} KiB")
    try:
        document: object = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest.of("request", _NOT_A_REQUEST) from None
    return document


def parse(document: object, *, now: datetime) -> MessageRequest:
    """Return the request that a JSON document describes.

    The result does not depend on the time: see `check_send_at`.

    Raises:
        InvalidRequest: with every problem of the document, those at `now` included.
    """
    if not isinstance(document, dict):
        raise InvalidRequest.of("request", _NOT_A_REQUEST)
    given = {name: value for name, value in document.items() if value is not None}
    problems = [_unexpected(name) for name in given if name not in SEND_FIELDS]
    values: dict[str, Values] = {}
    for name, send_field in SEND_FIELDS.items():
        if name in given:
            try:
                values[name] = send_field.read(given[name])
            except InvalidValue as invalid:
                problems.append(Problem(field=name, problem=str(invalid)))
    problems.extend(_contradictions(given))
    send_at = datetime.fromisoformat(values["send_at"][0]) if "send_at" in values else None
    if problems:
        raise InvalidRequest(*problems, *_send_at_problems(send_at, now))
    return MessageRequest(
        document=document,
        parameters=tuple(_parameters(values)),
        to=values["to"][0],
        from_=_first(values, "from"),
        messaging_service_sid=_first(values, "messaging_service_sid"),
        body=_first(values, "body"),
        send_at=send_at,
        account_sid=_first(values, "account_sid"),
        reference=_first(values, "reference"),
        context=given.get("context", {}),
        idempotency_key=_first(values, "idempotency_key"),
        alters_body=any(SEND_FIELDS[name].alters_body for name in values),
    )


def check_send_at(request: MessageRequest, *, now: datetime) -> None:
    """Check the time of a scheduled message.

    A request that was sent does not pass for ever, so this check is for a free key only.

    Raises:
        InvalidRequest: `send_at` has passed, or is too late.
    """
    if problems := _send_at_problems(request.send_at, now):
        raise InvalidRequest(*problems)


def idempotency_key_of(document: object) -> str | None:
    """Return the idempotency key of a document that may be invalid; None without a valid key."""
    try:
        return read_text(document["idempotency_key"])[0] if isinstance(document, dict) else None
    except (InvalidValue, KeyError):
        return None


def valid_facts(document: object) -> dict[str, Any]:
    """Return the valid fields of a document that may be invalid, as a `StatusUpdate` names them.

    `send_at` is not among them: no message is expected then.
    """
    facts: dict[str, Any] = {}
    if not isinstance(document, dict):
        return facts
    for name, send_field in SEND_FIELDS.items():
        if send_field.is_stored and name not in {"send_at", "context"}:
            try:
                facts["from_" if name == "from" else name] = send_field.read(document.get(name))[0]
            except InvalidValue:
                continue
    try:
        read_context(document.get("context"))
    except InvalidValue:
        return facts
    return facts | {"context": document["context"]}


def _unexpected(name: str) -> Problem:
    if not _NAME.fullmatch(name):
        return Problem(field="?", problem="is not a known field")
    if name in REFUSED_FIELDS:
        return Problem(field=name, problem=REFUSED_FIELDS[name])
    plain = {known.replace("_", ""): known for known in (*SEND_FIELDS, *REFUSED_FIELDS)}
    near = get_close_matches(name.replace("_", "").lower(), plain, n=1, cutoff=0.75)
    hint = f"; did you mean {plain[near[0]]}?" if near else ""
    return Problem(field=name, problem=f"is not a known field{hint}")


def _contradictions(given: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems that no field has by itself."""
    if "to" not in given:
        yield Problem(field="to", problem="is missing; give the recipient")
    if not given.keys() & {"from", "messaging_service_sid"}:
        yield Problem(field="from", problem="is missing; give it or messaging_service_sid")
    if not given.keys() & {"body", "media_url", "content_sid"}:
        yield Problem(field="body", problem="is missing; give it, media_url, or content_sid")
    if "content_variables" in given and "content_sid" not in given:
        yield Problem(field="content_variables", problem="requires content_sid")
    if "fallback_from" in given and "from" in given:
        yield Problem(field="fallback_from", problem="cannot be combined with from")
    for name in ("send_at", "shorten_urls", "fallback_from"):
        if name in given and "messaging_service_sid" not in given:
            yield Problem(field=name, problem="requires messaging_service_sid")


def _send_at_problems(send_at: datetime | None, now: datetime) -> list[Problem]:
    if send_at is None or now < send_at <= now + _MAX_SEND_DELAY:
        return []
    past, late = "is in the past; omit it to send now", "is too late; Twilio accepts 35 days"
    return [Problem(field="send_at", problem=past if send_at <= now else late)]


def _parameters(values: Mapping[str, Values]) -> Iterator[tuple[str, str]]:
    for name, send_field in SEND_FIELDS.items():
        if send_field.parameter is not None:
            yield from ((send_field.parameter, value) for value in values.get(name, []))
    if "send_at" in values:
        yield "ScheduleType", "fixed"


def _first(values: Mapping[str, Values], name: str) -> str | None:
    return values[name][0] if name in values else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
