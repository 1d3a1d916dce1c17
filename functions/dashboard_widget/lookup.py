"""Finds what the widget shows: failed messages by day, counts, and what matches a typed text."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final, Self

from delivery.domain.audits import AuditResult
from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.audits import AuditStore
from delivery.storage.cursor import Page
from delivery.storage.message_lists import Count, MessageList
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.text.addresses import addresses_of
from delivery.text.identifiers import Kind, LookupCandidate, interpret

_PAGE_SIZE: Final = 10
_DAYS_PER_PAGE: Final = 7
_AUDITED_DAYS: Final = 7
_MAX_UNRESOLVED: Final = 200
_MAX_PENDING: Final = 300
_STALE_AFTER: Final = timedelta(hours=1)  # the default of ReconcileAfterMinutes
_ONE_DAY: Final = timedelta(days=1)


class InvalidCursor(Exception):
    """The list of failures does not have this day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCursor:
    """Where a page of the failures begins: a day in UTC, and the token of that day's list."""

    day: date
    next_token: str | None = None

    @classmethod
    def of(cls, day: str, next_token: str | None) -> Self:
        """Return the cursor in the parameters of a button.

        Raises:
            InvalidCursor: `day` is not a date.
        """
        try:
            return cls(day=date.fromisoformat(day), next_token=next_token)
        except ValueError:
            raise InvalidCursor from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """A page of failed messages, newest first; `older` is None where no older ones are kept."""

    messages: tuple[Message, ...]
    newest_day: date
    oldest_day: date
    older: PageCursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The counts above the list: of this day in UTC, and of what is pending and in doubt now.

    `stale` is None where there are too many pending messages to read them all.
    """

    failed: Count
    unconfirmed: Count
    pending: Count
    stale: int | None
    in_doubt: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """A page of the messages that match a candidate, newest first."""

    candidate: LookupCandidate
    page: Page


class Lookup:
    """Reads messages, send requests and the results of audits.

    Every method raises StoreUnavailable if DynamoDB does not answer.
    """

    def __init__(
        self,
        messages: MessageStore,
        send_requests: SendRequestStore,
        audits: AuditStore,
        *,
        retention: timedelta,
    ) -> None:
        self._messages = messages
        self._send_requests = send_requests
        self._audits = audits
        self._retention = retention

    def message(self, message_sid: str) -> Message | None:
        """Return the message with this SID."""
        return self._messages.get(message_sid)

    def counts(self, now: datetime) -> Counts:
        """Return the counts at this moment; the indexes alone give most of them."""
        unresolved = list(islice(self._send_requests.unresolved(), _MAX_UNRESOLVED))
        in_doubt = sum(it.state_at(now) is RequestState.IN_DOUBT for it in unresolved)
        pending = self._messages.lists.count(MessageList.pending())
        return Counts(
            failed=self._messages.lists.count(MessageList.failed_on(now.date())),
            unconfirmed=self._messages.lists.count(MessageList.unconfirmed_on(now.date())),
            pending=pending,
            stale=self._count_stale(now) if pending.number <= _MAX_PENDING else None,
            in_doubt=Count(number=in_doubt, is_exact=len(unresolved) < _MAX_UNRESOLVED),
        )

    def _count_stale(self, now: datetime) -> int:
        pending = islice(self._messages.lists.every(MessageList.pending()), _MAX_PENDING)
        return sum(now - message.starts_at > _STALE_AFTER for message in pending)

    def audits(self, today: date) -> list[AuditResult]:
        """Return the audits of the last finished days, newest first, of every account."""
        days = [today - number * _ONE_DAY for number in range(1, _AUDITED_DAYS + 1)]
        return sorted(self._audits.results(days), key=lambda result: result.day, reverse=True)

    def failures(self, today: date, start: PageCursor | None = None) -> Failures:
        """Return the page of failed messages that begins at the cursor, or today.

        It ends when it is full, or after a week of days.

        Raises:
            InvalidCursor, TokenInvalid: the list does not have this page.
        """
        cursor = start or PageCursor(day=today)
        newest_day = oldest_day = cursor.day
        last_day = today - self._retention
        if not last_day <= cursor.day <= today:
            raise InvalidCursor
        messages: list[Message] = []
        for _ in range(_DAYS_PER_PAGE):
            page = self._messages.lists.page(
                MessageList.failed_on(cursor.day),
                limit=_PAGE_SIZE - len(messages),
                next_token=cursor.next_token,
            )
            messages += page.messages
            oldest_day = cursor.day
            cursor = (
                PageCursor(day=cursor.day, next_token=page.next_token)
                if page.next_token
                else PageCursor(day=cursor.day - _ONE_DAY)
            )
            if len(messages) == _PAGE_SIZE or cursor.day < last_day:
                break
        return Failures(
            messages=tuple(messages),
            newest_day=newest_day,
            oldest_day=oldest_day,
            older=cursor if cursor.day >= last_day else None,
        )

    def look_up(self, text: str) -> Message | SendRequest | Matches | None:
        """Return what matches a typed text: the only message, several, or a request without one."""
        for candidate in interpret(text):
            is_id = candidate.kind is Kind.MESSAGE
            found = self._by_id(candidate.value) if is_id else self._matching(candidate)
            if found:
                return found
        return None

    def page(self, candidate: LookupCandidate, next_token: str | None = None) -> Matches:
        """Return a page of the messages to a recipient, or with a reference.

        Raises:
            TokenInvalid: the token belongs to another list.
        """
        of = (
            MessageList.to(*addresses_of(candidate.value))
            if candidate.kind is Kind.RECIPIENT
            else MessageList.with_reference(candidate.value)
        )
        page = self._messages.lists.page(of, limit=_PAGE_SIZE, next_token=next_token)
        return Matches(candidate=candidate, page=page)

    def _by_id(self, key: str) -> Message | SendRequest | None:
        message, request = self._messages.get(key), self._send_requests.get(key)
        if message is None and request is not None and request.message_sid is not None:
            message = self._messages.get(request.message_sid)
        return message or request

    def _matching(self, candidate: LookupCandidate) -> Message | Matches | None:
        matches = self.page(candidate)
        match matches.page:
            case Page(messages=(message,), next_token=None):
                return message
            case Page(messages=(_, *_)):
                return matches
            case _:
                return None
