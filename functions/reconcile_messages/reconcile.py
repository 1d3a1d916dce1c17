"""Asking Twilio about messages that are quiet, until each of them has ended.

Whoever is asked about gets a later `list_at`, so that nothing else needs to be remembered: what a
run does not reach, for whatever reason, is still on the list for the next one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import batched, count
from typing import Final

from delivery.domain.messages import Effect, Message, Timings
from delivery.domain.statuses import Outcome
from delivery.runtime.deadline import TimeLeft
from delivery.storage.control import ControlStore
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    RESERVED_SECONDS,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    TwilioClient,
    TwilioError,
    Unavailable,
)
from delivery.twilio.credentials import ApiCredentials, TwilioSecret, UnknownAccount

from .reports import Finding, What, said, stopped_by

# More than a run gets through, and little enough to hold. Of fewer, the oldest would be looked for
# on pages that show the newest first.
_AT_A_TIME: Final = 20_000
_PAYS_A_PAGE: Final = 10  # a page of a thousand takes Twilio about as long as ten single messages
_FEWEST_PAGES: Final = 3
_MAX_PAGES_FOR_NOTHING: Final = 40  # a quarter of a run
_MAX_TROUBLES: Final = 3  # in a row: then it is not the messages'
_NO_TIME: Final = "too little time is left"
_A_DAY: Final = timedelta(days=1)


class Reconciler:
    """Asks Twilio about messages, and stores its answers as callbacks would have.

    Args:
        timings: how long a message may be quiet, and how long it is waited for.
        stores_body: whether the text is stored with a message.
        now: the time.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        twilio: TwilioClient,
        store: MessageStore,
        control: ControlStore,
        timings: Timings,
        stores_body: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._twilio = twilio
        self._store = store
        self._control = control
        self._timings = timings
        self._stores_body = stores_body
        self._now = now

    def reconcile_stale_messages(
        self, secret: TwilioSecret, time_left: TimeLeft
    ) -> Iterator[Finding]:
        """Ask about every message whose time has come, those due longest first.

        What Twilio has against one account stops the messages of that account only.

        Raises:
            StoreUnavailable: the table cannot be read, or not be written again and again.
        """
        stopped: set[str] = set()
        for due in batched(self._store.stale_messages(self._now()), _AT_A_TIME, strict=False):
            for account_sid, messages in _by_account(due, secret.main.account_sid).items():
                if account_sid in stopped:
                    continue
                try:
                    yield from self._ask_about(secret, account_sid, messages, time_left)
                except TwilioError as error:
                    stopped.add(account_sid)
                    yield stopped_by(error, account_sid)

    def import_untracked_messages(
        self, secret: TwilioSecret, time_left: TimeLeft
    ) -> Iterator[Finding]:
        """Record messages that other programs sent, each day of Twilio's list once it is over.

        Raises:
            StoreUnavailable: the day is not known to be read in full, and is read again.
        """
        for account_sid in secret.account_sids:
            try:
                yield from self._discover(secret.for_account(account_sid), time_left)
            except TwilioError as error:
                yield stopped_by(error, account_sid)

    def _ask_about(
        self,
        secret: TwilioSecret,
        account_sid: str,
        messages: Iterable[Message],
        time_left: TimeLeft,
    ) -> Iterator[Finding]:
        """Store what Twilio answers about messages of one account.

        Raises:
            TwilioError: Twilio does not answer, or not this account: the rest waits.
            StoreUnavailable: the table does not take the answers.
        """
        troubles = 0
        for message, answer in self._answers(secret, account_sid, messages, time_left):
            if time_left() <= RESERVED_SECONDS:
                raise Unavailable(_NO_TIME)
            try:
                if isinstance(answer, OutcomeUnknown):
                    # Not this one first next time, or three such would hold up all the rest.
                    self._ask_later(message)
                    raise answer
                yield from self._learned(message, answer, account_sid)
                troubles = 0
            except (OutcomeUnknown, StoreUnavailable) as error:
                troubles += 1
                facts = {"message_sid": message.message_sid, "reason": str(error)}
                yield Finding(what=What.TROUBLE, facts=facts)
                if troubles == _MAX_TROUBLES:
                    raise

    def _answers(
        self,
        secret: TwilioSecret,
        account_sid: str,
        messages: Iterable[Message],
        time_left: TimeLeft,
    ) -> Iterator[tuple[Message, MessageResource | OutcomeUnknown | None]]:
        """Each message with what Twilio shows; None where it shows none, or cannot be asked.

        Pages of a day are read while that costs less than asking about each; what they did not
        show is asked about one by one.
        """
        try:
            credentials = secret.for_account(account_sid)
        except UnknownAccount:
            yield from ((message, None) for message in messages)
            return
        days: defaultdict[date, dict[str, Message]] = defaultdict(dict)
        for message in messages:
            days[message.starts_at.date()][message.message_sid] = message
        for day, missing in days.items():
            for resource in self._listed(credentials, day, missing, time_left):
                yield missing.pop(resource.sid), resource
            for message in missing.values():
                yield message, self._fetched(credentials, message, time_left)

    def _listed(
        self,
        credentials: ApiCredentials,
        day: date,
        missing: dict[str, Message],
        time_left: TimeLeft,
    ) -> Iterator[MessageResource]:
        """Those of the missing messages that Twilio's list of the day shows.

        A page more is read only while all pages together are fewer than the messages that would
        have to be asked about singly, and not for nothing: the list shows the newest first, and of
        an account that sends millions a day it would take the whole of every run. Whoever takes a
        resource takes its message off.
        """
        pages = self._twilio.list_messages(credentials, sent_on=day, time_left=time_left)
        wanted = len(missing)
        patience = min(max(_FEWEST_PAGES, wanted // _PAYS_A_PAGE), _MAX_PAGES_FOR_NOTHING)
        for number in count(1):
            found = wanted - len(missing)
            if number >= len(missing) or number > patience + found // _PAYS_A_PAGE:
                return
            try:
                page = next(pages, None)
            except (RequestRejected, OutcomeUnknown):
                return
            if page is None:
                return
            for resource in page:
                if resource.sid in missing:
                    yield resource

    def _fetched(
        self, credentials: ApiCredentials, message: Message, time_left: TimeLeft
    ) -> MessageResource | OutcomeUnknown | None:
        try:
            return self._twilio.fetch(credentials, message.message_sid, time_left=time_left)
        except RequestRejected:
            return None
        except OutcomeUnknown as unknown:
            return unknown

    def _learned(
        self, message: Message, resource: MessageResource | None, account_sid: str
    ) -> Iterator[Finding]:
        """Store what Twilio showed, and when it is asked next, or that it was asked in vain."""
        if resource is not None:
            update = said(
                resource, account_sid=account_sid, at=self._now(), with_body=self._stores_body
            )
            if message.effect_of(update) is not Effect.DUPLICATE:
                recorded = self._store.record(update)
                message = recorded.message
                yield Finding(
                    what=What.RECONCILED,
                    facts={
                        "message_sid": message.message_sid,
                        "request_id": message.request_id,
                        "status": update.status,
                        "effect": recorded.effect,
                        "outcome": message.outcome,
                        "error_code": update.error_code,
                    },
                    recorded=recorded,
                )
        if message.outcome is not Outcome.PENDING:
            return
        if not message.is_overdue(self._now(), self._timings):
            self._ask_later(message)
            return
        ended = self._store.record_unconfirmed(message, self._now())
        if ended.outcome is Outcome.UNCONFIRMED:
            facts = {"message_sid": ended.message_sid, "status": ended.status}
            yield Finding(what=What.UNCONFIRMED, facts=facts)

    def _ask_later(self, message: Message) -> None:
        self._store.schedule_check(message, message.next_check_at(self._now(), self._timings))

    def _discover(self, credentials: ApiCredentials, time_left: TimeLeft) -> Iterator[Finding]:
        """Read each day that is over since the last one; at first, the last one that is.

        A day counts as over when even its last message could be asked about: the list lags.
        """
        over = (self._now() - self._timings.reconcile_after).date() - _A_DAY
        read = self._control.imported_day(credentials.account_sid) or over - _A_DAY
        while read < over:
            read += _A_DAY
            for page in self._twilio.list_messages(credentials, sent_on=read, time_left=time_left):
                yield from self._record_unknown(page, credentials.account_sid, time_left)
            self._control.save_imported_day(credentials.account_sid, read)

    def _record_unknown(
        self, page: Sequence[MessageResource], account_sid: str, time_left: TimeLeft
    ) -> Iterator[Finding]:
        sent = {it.sid: it for it in page if (it.direction or "").startswith("outbound")}
        known = {message.message_sid for message in self._store.get_many(sent)}
        for sid in sent.keys() - known:
            if time_left() <= RESERVED_SECONDS:
                raise Unavailable(_NO_TIME)
            update = said(
                sent[sid], account_sid=account_sid, at=self._now(), with_body=self._stores_body
            )
            recorded = self._store.record(update)
            facts = {"message_sid": sid, "status": update.status}
            yield Finding(what=What.DISCOVERED, facts=facts, recorded=recorded)


def _by_account(messages: Iterable[Message], main: str) -> dict[str, list[Message]]:
    groups: defaultdict[str, list[Message]] = defaultdict(list)
    for message in messages:
        groups[message.account_sid or main].append(message)
    return groups
