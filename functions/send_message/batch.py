"""Puts many requests into SendQueue, after validating each by itself.

The caller gets each `request_id` before anything is sent. To keep it the same, a queued message
names its idempotency key even if the caller did not. A message that has become invalid, because of
its `send_at` or the secret, is still queued if its key was used before: it may have been sent.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from delivery.domain.send_requests import RequestState
from delivery.runtime.deadline import TimeLeft
from delivery.runtime.responses import Problem
from delivery.storage.table import StoreUnavailable
from delivery.twilio.credentials import SecretError, TwilioSecret

from .context import SendContext
from .request import (
    MAX_REQUEST_BYTES,
    InvalidRequest,
    check_key,
    check_send_at,
    parse,
    read_json,
)
from .request_ids import request_id_of
from .results import Batch, Invalid, Queued, ServiceUnavailable
from .send_queue import SendQueue, message_group
from .twilio_calls import credentials_for, secret_unavailable

MAX_MESSAGES: Final = 1000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Fits, with the event that API Gateway makes of it, into the 6 MB that Lambda accepts."""

MAX_KEY_LENGTH: Final = 250
"""An idempotency key has at most 256 characters; `:` and the message's number are appended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Valid:
    """A message that can be queued, with its body in the queue.

    `problems` are those that apply only if its key is free.
    """

    request_id: str
    key: str
    body: str
    group: str
    problems: tuple[Problem, ...] = ()


class RequestQueuer:
    """Puts requests into SendQueue."""

    def __init__(self, context: SendContext, queue: SendQueue) -> None:
        self._context = context
        self._queue = queue

    def queue_json(
        self, body: bytes, *, key: str | None, time_left: TimeLeft
    ) -> Batch | Invalid | ServiceUnavailable:
        """Queue the messages of `{"messages": [...]}`, each like a body of POST /messages.

        A message without an idempotency key gets one: `key` and the message's number, so that the
        whole call can be repeated; or a random one if there is no `key`.
        """
        try:
            documents = _documents(read_json(body, max_bytes=MAX_BATCH_BYTES))
            check_key(key, max_length=MAX_KEY_LENGTH)
        except InvalidRequest as error:
            return Invalid(problems=error.problems)
        try:
            secret = self._context.secrets.current()
        except SecretError as error:
            return secret_unavailable(error)
        try:
            valid, invalid = self._check(documents, secret, key)
        except StoreUnavailable as error:
            return ServiceUnavailable(reason=str(error))
        entries = {number: (it.body, it.group) for number, it in valid.items()}
        confirmed, reason = self._queue.put(entries, time_left=time_left)
        results: dict[int, Queued | Invalid] = {**invalid}
        for number, it in valid.items():
            results[number] = Queued(
                request_id=it.request_id, key=it.key, confirmed=number in confirmed
            )
        in_order = [results[number] for number in range(len(documents))]
        return Batch(results=tuple(in_order), reason=reason)

    def _check(
        self, documents: Sequence[object], secret: TwilioSecret, key: str | None
    ) -> tuple[dict[int, _Valid], dict[int, Invalid]]:
        """Return the messages that can be queued, and the others, by their number.

        Raises:
            StoreUnavailable: it is not known whether a key was used before.
        """
        valid: dict[int, _Valid] = {}
        invalid: dict[int, Invalid] = {}
        seen: set[str] = set()
        for number, document in enumerate(documents):
            derived = f"{key}:{number}" if key else token_hex(16)
            try:
                valid[number] = self._check_one(document, secret, derived, seen)
                seen.add(valid[number].request_id)
            except InvalidRequest as error:
                invalid[number] = Invalid(problems=error.problems)
        in_question = {number: it for number, it in valid.items() if it.problems}
        ids = [it.request_id for it in in_question.values()]
        used = {
            request.request_id
            for request in self._context.requests.get_many(ids)
            if request.state is not RequestState.REJECTED
        }
        for number, it in in_question.items():
            if it.request_id not in used:
                invalid[number] = Invalid(problems=valid.pop(number).problems)
        return valid, invalid

    def _check_one(
        self, document: object, secret: TwilioSecret, derived_key: str, seen: set[str]
    ) -> _Valid:
        request = parse(document, now=self._context.now())
        key = request.idempotency_key or derived_key
        request_id = request_id_of(request.account_sid, key)
        if request_id in seen:
            raise InvalidRequest.of(
                "idempotency_key", "is that of an earlier message of this batch; give each its own"
            )
        completed = {**request.document, "idempotency_key": key}
        body = json.dumps(completed, separators=(",", ":"))
        if len(body) > MAX_REQUEST_BYTES:
            limit = f"{MAX_REQUEST_BYTES // 1024} KiB"
            raise InvalidRequest.of("request", f"is larger than {limit} in the queue")
        problems: tuple[Problem, ...] = ()
        try:
            credentials_for(request, secret)
            check_send_at(request, now=self._context.now())
        except InvalidRequest as invalid:
            problems = invalid.problems
        account_sid = request.account_sid or secret.main.account_sid
        group = message_group(account_sid, request.sender)
        return _Valid(request_id=request_id, key=key, body=body, group=group, problems=problems)


def _documents(content: object) -> list[object]:
    """Return the messages of a batch.

    Raises:
        InvalidRequest: the content is not a batch.
    """
    if not isinstance(content, dict) or content.keys() != {"messages"}:
        problem = 'must be an object with `messages` only: {"messages": [{"to": …, "from": …}, …]}'
        raise InvalidRequest.of("request", problem)
    documents = content["messages"]
    if not isinstance(documents, list) or not 1 <= len(documents) <= MAX_MESSAGES:
        raise InvalidRequest.of("messages", f"must be a list of 1 to {MAX_MESSAGES} messages")
    return documents
