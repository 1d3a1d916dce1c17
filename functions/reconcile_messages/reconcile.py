"""Reconciles stale messages with Twilio until each of them has a final outcome.

Each check moves the message's `list_at` into the future, with exponential backoff. There is no
other state: a message that a run does not reach, for any reason, is still due for the next one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from itertools import batched, count
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.statuses import Outcome
from delivery.runtime.deadline import TimeLeft
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    RESERVED_SECONDS,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    TwilioError,
    Unavailable,
)
from delivery.twilio.credentials import ApiCredentials, TwilioSecret, UnknownAccount

from . import reports
from .context import ReconcileContext
from .reports import ReconcileReport

# More than a run can check, and few enough to hold in memory. Twilio's list shows the newest
# messages first, so with small batches each batch would read the same pages again.
_BATCH_SIZE: Final = 20_000
_FETCHES_PER_PAGE: Final = 10  # a page of a thousand takes Twilio about as long as ten fetches
_MIN_PAGES: Final = 3
_MAX_PAGES_WITHOUT_RESULT: Final = 40  # a quarter of a run
_MAX_ERRORS_IN_A_ROW: Final = 3  # then Twilio or the table is the cause, not a message


class Reconciler:
    """Fetches stale messages from Twilio, and records their statuses like those of callbacks."""

    def __init__(self, context: ReconcileContext) -> None:
        self._context = context

    def reconcile_stale_messages(
        self, secret: TwilioSecret, time_left: TimeLeft
    ) -> Iterator[ReconcileReport]:
        """Reconcile every message that is due, the longest due first.

        An error of one account stops the messages of that account only.

        Raises:
            StoreUnavailable: the table cannot be read, or cannot be written several times in a row.
        """
        stopped: set[str] = set()
        stale = self._context.messages.stale_messages(self._context.now())
        for due in batched(stale, _BATCH_SIZE, strict=False):
            for account_sid, messages in _by_account(due, secret.main.account_sid).items():
                if account_sid in stopped:
                    continue
                try:
                    yield from self._reconcile(secret, account_sid, messages, time_left)
                except TwilioError as error:
                    stopped.add(account_sid)
                    yield reports.account_stopped(error, account_sid)

    def _reconcile(
        self,
        secret: TwilioSecret,
        account_sid: str,
        messages: Iterable[Message],
        time_left: TimeLeft,
    ) -> Iterator[ReconcileReport]:
        """Record what Twilio answers about messages of one account.

        Raises:
            TwilioError: Twilio does not answer, or not for this account; the rest stays due.
            StoreUnavailable: the table cannot be written.
        """
        errors_in_a_row = 0
        for message, answer in self._answers(secret, account_sid, messages, time_left):
            if time_left() <= RESERVED_SECONDS:
                raise Unavailable("too little time is left")
            try:
                if isinstance(answer, OutcomeUnknown):
                    # Otherwise it would be the first of the next run, and three such messages would
                    # block all others.
                    self._schedule_next_check(message)
                    raise answer
                yield from self._record(message, answer, account_sid)
                errors_in_a_row = 0
            except (OutcomeUnknown, StoreUnavailable) as error:
                errors_in_a_row += 1
                yield reports.failed(error, message_sid=message.message_sid)
                if errors_in_a_row == _MAX_ERRORS_IN_A_ROW:
                    raise

    def _answers(
        self,
        secret: TwilioSecret,
        account_sid: str,
        messages: Iterable[Message],
        time_left: TimeLeft,
    ) -> Iterator[tuple[Message, MessageResource | OutcomeUnknown | None]]:
        """Yield each message with Twilio's answer.

        The answer is None where Twilio does not know the message, or the secret not the account.
        """
        try:
            credentials = secret.for_account(account_sid)
        except UnknownAccount:
            yield from ((message, None) for message in messages)
            return
        days: defaultdict[date, dict[str, Message]] = defaultdict(dict)
        for message in messages:
            days[message.starts_at.date()][message.message_sid] = message
        for day, of_day in days.items():
            yield from self._answers_of_day(credentials, day, of_day, time_left)

    def _answers_of_day(
        self,
        credentials: ApiCredentials,
        day: date,
        messages: Mapping[str, Message],
        time_left: TimeLeft,
    ) -> Iterator[tuple[Message, MessageResource | OutcomeUnknown | None]]:
        """Yield messages that were sent on one day, by SID, with Twilio's answer.

        They are read from Twilio's list of the day as long as that is cheaper, then one by one.
        """
        missing = dict(messages)
        pages = self._context.twilio.list_messages(credentials, sent_on=day, time_left=time_left)
        for number in count(1):
            if not _is_page_worthwhile(number, wanted=len(messages), missing=len(missing)):
                break
            try:
                page = next(pages, None)
            except (RequestRejected, OutcomeUnknown):
                break
            if page is None:
                break
            for resource in page:
                if message := missing.pop(resource.sid, None):
                    yield message, resource
        for message in missing.values():
            yield message, self._fetched(credentials, message, time_left)

    def _fetched(
        self, credentials: ApiCredentials, message: Message, time_left: TimeLeft
    ) -> MessageResource | OutcomeUnknown | None:
        try:
            return self._context.twilio.fetch(credentials, message.message_sid, time_left=time_left)
        except RequestRejected:
            return None
        except OutcomeUnknown as unknown:
            return unknown

    def _record(
        self, message: Message, resource: MessageResource | None, account_sid: str
    ) -> Iterator[ReconcileReport]:
        """Record what Twilio showed; then schedule the next check, or record it unconfirmed."""
        if resource is not None:
            update = self._context.update_from(resource, account_sid)
            if message.apply(update, self._context.timings) is not message:
                recorded = self._context.messages.record(update)
                message = recorded.message
                yield reports.reconciled(recorded)
        if message.outcome is not Outcome.PENDING:
            return
        if not message.is_overdue(self._context.now(), self._context.timings):
            self._schedule_next_check(message)
            return
        stored = self._context.messages.record_unconfirmed(message, self._context.now())
        if stored.outcome is Outcome.UNCONFIRMED:
            yield reports.unconfirmed(stored)

    def _schedule_next_check(self, message: Message) -> None:
        next_check_at = message.next_check_at(self._context.now(), self._context.timings)
        self._context.messages.schedule_check(message, next_check_at)


def _is_page_worthwhile(number: int, *, wanted: int, missing: int) -> bool:
    """Return whether to read the list's page of this number instead of fetching what is missing.

    There must be fewer pages than messages still missing, and the pages so far must have found
    enough messages. The list shows the newest first: in an account with millions of messages a day,
    reading it could take all the time of every run.
    """
    without_result = min(max(_MIN_PAGES, wanted // _FETCHES_PER_PAGE), _MAX_PAGES_WITHOUT_RESULT)
    found = wanted - missing
    return number < missing and number <= without_result + found // _FETCHES_PER_PAGE


def _by_account(messages: Iterable[Message], main: str) -> dict[str, list[Message]]:
    groups: defaultdict[str, list[Message]] = defaultdict(list)
    for message in messages:
        groups[message.account_sid or main].append(message)
    return groups
