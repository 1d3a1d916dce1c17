"""Records what Twilio accepted, and requests that ended without a message."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from secrets import token_hex
from typing import Any

from delivery.domain.messages import Message, Source, StatusUpdate
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.domain.statuses import MessageStatus
from delivery.storage.callback_queue import QueueUnavailable
from delivery.storage.messages import Recorded
from delivery.storage.table import StoreUnavailable
from delivery.twilio.credentials import SecretError
from delivery.twilio.error_detail import MAX_LENGTH

from .context import SendContext
from .request import valid_facts
from .request_ids import request_id_of, unsent_request_id
from .results import Accepted, IdempotencyConflict, Invalid, Rejected, Unsent


class MessageRecorder:
    """Writes the first status of messages."""

    def __init__(self, context: SendContext) -> None:
        self._context = context

    def record(self, update: StatusUpdate, known: Message | None = None) -> Accepted:
        """Record what Twilio accepted, in the table or the CallbackQueue.

        Raises nothing: Twilio has accepted it, whatever becomes of the record.
        """
        try:
            recorded = self._context.messages.record(update)
        except StoreUnavailable:
            message = (
                known.apply(update, self._context.timings)
                if known
                else Message.from_first_update(update, self._context.timings)
            )
        else:
            return Accepted(message=recorded.message, recorded=recorded)
        try:
            self._context.backlog.put(update)
        except QueueUnavailable:
            return Accepted(message=message, stored=False)
        return Accepted(message=message, stored=False, queued=True)

    def record_unsent_request(
        self, result: Unsent, text: str, *, key: str, requested_at: datetime | None
    ) -> Recorded:
        """Record a request of the queue that was not sent as a failed message with a notice due.

        `text` is the request, `key` the idempotency key of a request that names none, and
        `requested_at` when the request was queued.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        facts = valid_facts(text)
        request_id = unsent_request_id(result, facts, key)
        facts.pop("idempotency_key", None)
        if not self._context.stores_body:
            facts.pop("body", None)
        named_account_sid = facts.pop("account_sid", None)
        account_sid = named_account_sid or self._main_account_sid()
        if isinstance(result, Invalid) and not self._reject(request_id, account_sid, facts):
            # Another request has the key: this one gets an id of its own, as after a conflict.
            request_id = request_id_of(named_account_sid, key)
        update = StatusUpdate(
            message_sid=request_id,
            request_id=request_id,
            status=MessageStatus.REJECTED,
            at=self._context.now(),
            source=Source.SEND,
            error_code=result.code if isinstance(result, Rejected) else None,
            error_detail=_error_detail(result),
            account_sid=account_sid,
            **facts,
        )
        recorded = self._context.messages.record_unsent_request(update, requested_at=requested_at)
        # Before this was recorded, the key was free: a later request may have been sent under it.
        request = self._context.requests.get(request_id)
        if request is not None and request.state is RequestState.SENT:
            self._context.messages.supersede(request_id, self._context.now())
        return recorded

    def supersede(self, request_id: str) -> None:
        """Mark the failed message of a request that was sent after all.

        If that fails, the reconciler does it: the request is on its worklist.
        """
        with suppress(StoreUnavailable):
            self._context.messages.supersede(request_id, self._context.now())

    def _reject(self, request_id: str, account_sid: str | None, facts: Mapping[str, Any]) -> bool:
        """Store a request as rejected, so that a later one under its key supersedes its failure.

        Return whether its key was free.
        """
        now = self._context.now()
        marker = SendRequest(
            request_id=request_id,
            claim_id=token_hex(8),
            account_sid=account_sid or "",
            to=facts.get("to", ""),
            reference=facts.get("reference"),
            claimed_at=now,
            lease_until=now,
        )
        return self._context.requests.reject(
            marker.completed(
                RequestState.REJECTED, at=now, kept_for=self._context.requests_kept_for
            )
        )

    def _main_account_sid(self) -> str | None:
        """Return None while the secret cannot be read: the failure is notified all the same."""
        try:
            return self._context.secrets.current().main.account_sid
        except SecretError:
            return None


def _error_detail(result: Unsent) -> str | None:
    """Return why the stack itself refused the request: no problem quotes a value."""
    if isinstance(result, Rejected):
        return None
    if isinstance(result, IdempotencyConflict):
        return "the idempotency key was used with other content"
    return _listed([f"{it.field} {it.problem}" for it in result.problems])


def _listed(problems: Sequence[str]) -> str:
    """Return the first problems, as many as a detail has room for, and how many there are more."""
    for left_out in range(len(problems)):
        more = [f"and {left_out} more"] if left_out else []
        text = "; ".join([*problems[: len(problems) - left_out], *more])
        if len(text) <= MAX_LENGTH:
            return text
    return problems[0][:MAX_LENGTH]
