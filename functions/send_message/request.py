"""Validates the JSON of a send request, and turns it into Twilio's parameters.

Every problem is reported at once, and no problem quotes a value: values are phone numbers and
texts. The fields and their checks are in `delivery.domain.send_fields` and `send_checks`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from delivery.domain import send_checks
from delivery.domain.send_checks import FieldProblem
from delivery.domain.send_fields import (
    MAX_VALUE_LENGTH,
    SEND_FIELDS,
    InvalidValue,
    Values,
    read_text,
)
from delivery.runtime.responses import Problem

MAX_REQUEST_BYTES: Final = 64 * 1024

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

    @property
    def sender(self) -> str:
        """The messaging service, or else the number or address that sends."""
        return self.messaging_service_sid or self.from_ or ""


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

    Whether the document is valid does not depend on the time: see `check_send_at`.

    Raises:
        InvalidRequest: with every problem of the document, that of its time at `now` included.
    """
    if not isinstance(document, dict):
        raise InvalidRequest.of("request", _NOT_A_REQUEST)
    checked = send_checks.check_fields(document)
    if checked.problems:
        raise InvalidRequest(
            *_problems((*checked.problems, *send_checks.check_send_at(checked.send_at, now=now)))
        )
    values = checked.values
    return MessageRequest(
        document=document,
        parameters=tuple(_parameters(values)),
        to=values["to"][0],
        from_=_first(values, "from"),
        messaging_service_sid=_first(values, "messaging_service_sid"),
        body=_first(values, "body"),
        send_at=checked.send_at,
        account_sid=_first(values, "account_sid"),
        reference=_first(values, "reference"),
        context=checked.given.get("context", {}),
        idempotency_key=_first(values, "idempotency_key"),
        alters_body=any(SEND_FIELDS[name].alters_body for name in values),
    )


def check_send_at(request: MessageRequest, *, now: datetime) -> None:
    """Check the time of a scheduled message.

    Only for a free key: the repetition of a request that was sent stays valid after its time.

    Raises:
        InvalidRequest: `send_at` has passed, or is too late.
    """
    if found := send_checks.check_send_at(request.send_at, now=now):
        raise InvalidRequest(*_problems(found))


def check_key(key: str | None, *, max_length: int = MAX_VALUE_LENGTH) -> None:
    """Check an idempotency key that comes with a request and not in it.

    A blank key is invalid: the caller relies on a key, and probably left a variable unset.

    Raises:
        InvalidRequest: the key cannot be used.
    """
    if key is None:
        return
    try:
        read_text(key, max_length=max_length)
    except InvalidValue as invalid:
        raise InvalidRequest.of("Idempotency-Key", str(invalid)) from None


def valid_facts(text: str) -> dict[str, Any]:
    """Return the valid fields of a JSON text that may be invalid, as a `StatusUpdate` names them.

    The idempotency key is among them, and `send_at` is not: no message is expected at that time.
    """
    try:
        document = read_json(text)
    except InvalidRequest:
        return {}
    if not isinstance(document, dict):
        return {}
    facts: dict[str, Any] = {}
    for name, values in send_checks.check_fields(document).values.items():
        if name == "context":
            facts["context"] = document["context"]
        elif name == "idempotency_key" or (SEND_FIELDS[name].is_stored and name != "send_at"):
            facts["from_" if name == "from" else name] = values[0]
    return facts


def _problems(found: Iterable[FieldProblem]) -> list[Problem]:
    return [Problem(field=name, problem=problem) for name, problem in found]


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
