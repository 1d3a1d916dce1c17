"""Finding what the widget shows: failed messages day by day, and whatever a text may mean."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Final, Self

from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.cursor import Page
from delivery.storage.message_lists import Count, MessageList
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.text.identifiers import Kind, LookupCandidate, interpret

_ROWS: Final = 10
_DAYS: Final = 7  # so many are looked through before somebody has to ask for more
_MAX_UNSETTLED: Final = 200
_MAX_READ: Final = 300
_LONG: Final = timedelta(hours=1)  # Twilio is first asked about a message after so long, by default
_DAY: Final = timedelta(days=1)
_CHANNELS: Final = ("", "whatsapp:", "rcs:")  # in which a plain number can have got a message


class NoSuchPlace(Exception):
    """The list has no such day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the list of failures goes on: a day in UTC, and where on it."""

    day: date
    next_token: str | None = None

    @classmethod
    def of(cls, day: str, next_token: str | None) -> Self:
        """The place that a button names.

        Raises:
            NoSuchPlace: it names none.
        """
        try:
            return cls(day=date.fromisoformat(day), next_token=next_token)
        except ValueError:
            raise NoSuchPlace from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Failed messages, newest first, from one day back to another one, both in UTC."""

    messages: tuple[Message, ...]
    newest_day: date
    oldest_day: date
    older: Place | None
    """None where nothing older is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is to worry about: on this day in UTC, and right now."""

    failed: Count
    unconfirmed: Count
    pending: Count
    awaiting_long: int | None
    """How many of those for more than an hour; None where there are too many to read them all."""
    in_doubt: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """The messages that a text means, newest first, or a page of them."""

    meaning: LookupCandidate
    page: Page


class Finder:
    """Looks into both tables.

    Args:
        store: the messages.
        requests: the requests to send, some of which have become no message.
        kept_for: how long a message is kept.
    """

    def __init__(
        self, store: MessageStore, requests: SendRequestStore, *, kept_for: timedelta
    ) -> None:
        self._store = store
        self._requests = requests
        self._kept_for = kept_for

    def message(self, message_sid: str) -> Message | None:
        """The message with this SID.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        return self._store.get(message_sid)

    def counts(self, now: datetime) -> Counts:
        """The counts of the moment, from the indexes as far as they say it.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        unresolved = list(islice(self._requests.unresolved(), _MAX_UNSETTLED))
        in_doubt = sum(it.state_at(now) is RequestState.IN_DOUBT for it in unresolved)
        awaiting = self._store.lists.count(MessageList.pending())
        return Counts(
            failed=self._store.lists.count(MessageList.failed_on(now.date())),
            unconfirmed=self._store.lists.count(MessageList.unconfirmed_on(now.date())),
            pending=awaiting,
            awaiting_long=self._awaiting_long(now) if awaiting.number <= _MAX_READ else None,
            in_doubt=Count(number=in_doubt, is_exact=len(unresolved) < _MAX_UNSETTLED),
        )

    def _awaiting_long(self, now: datetime) -> int:
        listed = islice(self._store.lists.every(MessageList.pending()), _MAX_READ)
        return sum(now - message.starts_at > _LONG for message in listed)

    def failures(self, today: date, start: Place | None = None) -> Failures:
        """A page of the messages that failed, from a place on, or from today.

        Raises:
            NoSuchPlace, TokenInvalid: the list has no such place.
            StoreUnavailable: DynamoDB did not answer.
        """
        place = start or Place(day=today)
        newest_day = oldest_day = place.day
        last_day = today - self._kept_for
        if not last_day <= place.day <= today:
            raise NoSuchPlace
        messages: list[Message] = []
        for _ in range(_DAYS):
            page = self._store.lists.page(
                MessageList.failed_on(place.day),
                limit=_ROWS - len(messages),
                next_token=place.next_token,
            )
            messages += page.messages
            oldest_day = place.day
            place = (
                Place(day=place.day, next_token=page.next_token)
                if page.next_token
                else Place(day=place.day - _DAY)
            )
            if len(messages) == _ROWS or place.day < last_day:
                break
        return Failures(
            messages=tuple(messages),
            newest_day=newest_day,
            oldest_day=oldest_day,
            older=place if place.day >= last_day else None,
        )

    def look_up(self, text: str) -> Message | SendRequest | Several | None:
        """What a text means: the one message, several, a request that has become none, or nothing.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        for meaning in interpret(text):
            is_id = meaning.kind is Kind.MESSAGE
            found = self._one(meaning.value) if is_id else self._several(meaning)
            if found:
                return found
        return None

    def page(self, meaning: LookupCandidate, next_token: str | None = None) -> Several:
        """A page of the messages to a recipient, or with a reference.

        Raises:
            TokenInvalid: the token is of another list.
            StoreUnavailable: DynamoDB did not answer.
        """
        is_reference = meaning.kind is Kind.REFERENCE
        of = (MessageList.with_reference if is_reference else MessageList.to)(meaning.value)
        page = self._store.lists.page(of, limit=_ROWS, next_token=next_token)
        return Several(meaning=meaning, page=page)

    def _one(self, its_id: str) -> Message | SendRequest | None:
        message, request = self._store.get(its_id), self._requests.get(its_id)
        if message is None and request is not None and request.message_sid is not None:
            message = self._store.get(request.message_sid)
        return message or request

    def _several(self, meaning: LookupCandidate) -> Message | Several | None:
        for spelling in _spellings(meaning):
            several = self.page(spelling)
            match several.page:
                case Page(messages=(message,), next_token=None):
                    return message
                case Page(messages=(_, *_)):
                    return several
        return None


def _spellings(meaning: LookupCandidate) -> list[LookupCandidate]:
    """Who has a number does not know in which channel it got a message."""
    if meaning.kind is not Kind.RECIPIENT or ":" in meaning.value:
        return [meaning]
    return [replace(meaning, value=f"{channel}{meaning.value}") for channel in _CHANNELS]
