"""Records what Twilio accepted, and requests that ended without a message."""

from collections.abc import Callable
from datetime import datetime

from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.domain.statuses import MessageStatus
from delivery.storage.callback_queue import CallbackQueue, QueueUnavailable
from delivery.storage.messages import MessageStore, Recorded
from delivery.storage.table import StoreUnavailable
from delivery.twilio.credentials import SecretError, TwilioSecrets

from .request import valid_facts
from .request_ids import unsent_request_id
from .results import Accepted, Rejected, Unsent


class MessageRecorder:
    """Writes the first status of messages.

    Args:
        backlog: holds the statuses that the store cannot take.
        timings: those of a message that neither could take.
        stores_body: whether the body is stored with the message.
        secrets: names the account of a request that names none.
        now: returns the time.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        store: MessageStore,
        backlog: CallbackQueue,
        timings: Timings,
        stores_body: bool,
        secrets: TwilioSecrets,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._backlog = backlog
        self._timings = timings
        self._secrets = secrets
        self._now = now
        self.stores_body = stores_body

    def record(self, update: StatusUpdate, known: Message | None = None) -> Accepted:
        """Record what Twilio accepted, in the table or the CallbackQueue.

        Raises nothing: Twilio has accepted it, whatever becomes of the record.
        """
        try:
            recorded = self._store.record(update)
        except StoreUnavailable:
            message = (
                known.apply(update, self._timings)
                if known
                else Message.from_first_update(update, self._timings)
            )
        else:
            return Accepted(message=recorded.message, recorded=recorded)
        try:
            self._backlog.put(update)
        except QueueUnavailable:
            return Accepted(message=message, stored=False)
        return Accepted(message=message, stored=False, queued=True)

    def record_unsent_request(self, result: Unsent, *, key: str) -> Recorded:
        """Record a request of the queue that was not sent as a failed message, to be notified.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        facts = valid_facts(result.document)
        if not self.stores_body:
            facts.pop("body", None)
        account_sid = facts.pop("account_sid", None) or self._main_account_sid()
        request_id = unsent_request_id(result, key)
        update = StatusUpdate(
            message_sid=request_id,
            request_id=request_id,
            status=MessageStatus.REJECTED,
            at=self._now(),
            source=Source.SEND,
            error_code=result.code if isinstance(result, Rejected) else None,
            account_sid=account_sid,
            **facts,
        )
        return self._store.record_unsent_request(update)

    def _main_account_sid(self) -> str | None:
        """Return None while the secret cannot be read: the failure is notified all the same."""
        try:
            return self._secrets.current().main.account_sid
        except SecretError:
            return None
