"""Imports messages that other programs sent, from Twilio's list, each day once it is over."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from delivery.runtime.deadline import TimeLeft
from delivery.storage.control import ControlStore
from delivery.twilio.client import RESERVED_SECONDS, MessageResource, TwilioError, Unavailable
from delivery.twilio.credentials import ApiCredentials, TwilioSecret

from . import reports
from .context import ReconcileContext
from .reports import ReconcileReport

_ONE_DAY: Final = timedelta(days=1)


class MessageImporter:
    """Imports messages; `control` keeps the last day that was imported in full."""

    def __init__(self, context: ReconcileContext, control: ControlStore) -> None:
        self._context = context
        self._control = control

    def import_untracked_messages(
        self, secret: TwilioSecret, time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        """Record the outbound messages in Twilio's list that the table does not know.

        Raises:
            StoreUnavailable: the day is not known to be imported in full, and is read again.
        """
        for account_sid in secret.account_sids:
            try:
                yield from self._import_days(secret.for_account(account_sid), time_left)
            except TwilioError as error:
                yield reports.account_stopped(error, account_sid)

    def _import_days(
        self, credentials: ApiCredentials, time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        """Read each day that ended since the last import; the first import reads one day.

        Twilio's list lags: a day is over once its last message would be stale.
        """
        timings = self._context.timings
        last = (self._context.now() - timings.reconcile_after).date() - _ONE_DAY
        day = self._control.imported_day(credentials.account_sid) or last - _ONE_DAY
        while day < last:
            day += _ONE_DAY
            pages = self._context.twilio.list_messages(
                credentials, sent_on=day, time_left=time_left
            )
            for page in pages:
                yield from self._import_page(page, credentials.account_sid, time_left)
            self._control.save_imported_day(credentials.account_sid, day)

    def _import_page(
        self, page: Sequence[MessageResource], account_sid: str, time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        outbound = {it.sid: it for it in page if (it.direction or "").startswith("outbound")}
        messages, unreadable = self._context.messages, set[str]()
        known = {it.message_sid for it in messages.get_many(outbound, unreadable=unreadable.add)}
        for sid in outbound.keys() - known - unreadable:
            if outbound[sid].may_be_rejected_creation:
                continue
            if time_left() <= RESERVED_SECONDS:
                raise Unavailable("too little time is left")
            update = self._context.update_from(outbound[sid], account_sid)
            yield reports.imported(messages.record(update))
