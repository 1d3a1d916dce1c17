"""Many requests in one call: each is checked by itself, and what can be sent is put into SendQueue.

A caller is told the `request_id` before anything is sent. So that it stays the same, what is put
into the queue says its account and its idempotency key, whatever the caller left out.
"""

import json
import secrets as randomness
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from delivery.runtime.deadline import TimeLeft
from delivery.twilio.credentials import SecretError, TwilioSecret, TwilioSecrets

from .request import MAX_REQUEST_BYTES, InvalidRequest, parse, read_json
from .results import RETRY_AFTER_REPAIR_SECONDS, Batch, Invalid, Queued, ServiceUnavailable
from .send_queue import SendQueue
from .sending import credentials_for, request_id_of

MAX_MESSAGES: Final = 1000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""With what API Gateway writes around it, it fits into the 6 MB that Lambda takes."""

_LONGEST_KEY: Final = 250
"""`:` and a message's place follow it; an idempotency key has at most 256 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A message that can be sent, as it goes into the queue."""

    request_id: str
    key: str
    body: str


class RequestQueuer:
    """Puts requests into SendQueue.

    Args:
        secrets: the accounts that can be sent from.
        queue: takes the requests.
        now: the time.
    """

    def __init__(
        self, *, secrets: TwilioSecrets, queue: SendQueue, now: Callable[[], datetime]
    ) -> None:
        self._secrets = secrets
        self._queue = queue
        self._now = now

    def queue_json(
        self, body: bytes, *, key: str | None, time_left: TimeLeft
    ) -> Batch | Invalid | ServiceUnavailable:
        """Queue the messages of `{"messages": [...]}`, each like a body of POST /messages.

        With `key` each message that has no idempotency key of its own gets one that is made of it
        and of the message's place, so that the whole call can be repeated; else a random one.
        """
        try:
            documents = _documents(read_json(body, most_bytes=MAX_BATCH_BYTES))
            _refuse_long(key)
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems)
        try:
            secret = self._secrets.current()
        except SecretError as error:
            return ServiceUnavailable(reason=str(error), retry_after=RETRY_AFTER_REPAIR_SECONDS)
        checked = self._checked(documents, secret, key)
        fit = [(place, it) for place, it in enumerate(checked) if isinstance(it, _Fit)]
        put, reason = self._queue.put([it.body for _, it in fit], time_left=time_left)
        in_queue = {fit[number][0] for number in put}
        return Batch(
            results=tuple(
                Queued(request_id=it.request_id, key=it.key, confirmed=place in in_queue)
                if isinstance(it, _Fit)
                else it
                for place, it in enumerate(checked)
            ),
            reason=reason,
        )

    def _checked(
        self, documents: Sequence[object], secret: TwilioSecret, key: str | None
    ) -> list[_Fit | Invalid]:
        checked: list[_Fit | Invalid] = []
        seen: set[str] = set()
        for place, document in enumerate(documents):
            derived = f"{key}:{place}" if key else randomness.token_hex(16)
            try:
                fit = self._fit(document, secret, derived, seen)
            except InvalidRequest as invalid:
                checked.append(Invalid(problems=invalid.problems))
            else:
                seen.add(fit.request_id)
                checked.append(fit)
        return checked

    def _fit(
        self, document: object, secret: TwilioSecret, derived_key: str, seen: set[str]
    ) -> _Fit:
        wanted = parse(document, now=self._now())
        account_sid = credentials_for(wanted, secret).account_sid
        key = wanted.idempotency_key or derived_key
        request_id = request_id_of(account_sid, key)
        if request_id in seen:
            raise InvalidRequest.of(
                "idempotency_key", "is that of an earlier message of this batch; give each its own"
            )
        completed = {**wanted.document, "account_sid": account_sid, "idempotency_key": key}
        body = json.dumps(completed, separators=(",", ":"))
        if len(body) > MAX_REQUEST_BYTES:
            most = f"{MAX_REQUEST_BYTES // 1024} KiB"
            raise InvalidRequest.of("request", f"is too large; {most} is the most")
        return _Fit(request_id=request_id, key=key, body=body)


def _documents(content: object) -> list[object]:
    """The messages of the batch.

    Raises:
        InvalidRequest: it is no batch.
    """
    if not isinstance(content, dict) or content.keys() != {"messages"}:
        problem = 'must be an object with `messages` only: {"messages": [{"to": …, "from": …}, …]}'
        raise InvalidRequest.of("request", problem)
    documents = content["messages"]
    if not isinstance(documents, list) or not 1 <= len(documents) <= MAX_MESSAGES:
        raise InvalidRequest.of("messages", f"must be a list of one to {MAX_MESSAGES}")
    return documents


def _refuse_long(key: str | None) -> None:
    if key and len(key) > _LONGEST_KEY:
        raise InvalidRequest.of("Idempotency-Key", f"is longer than {_LONGEST_KEY} characters")
