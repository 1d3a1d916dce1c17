"""The audit of a day: what differs between the table and Twilio's list, and the day's result.

Pure. Each finished UTC day of an account is audited twice: some hours after its end (`first`), and
when late receipts and prices are in (`final`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Self

from delivery.domain.messages import Message, Source, StatusUpdate
from delivery.domain.prices import UNKNOWN_CURRENCY, amount_of, currency_of
from delivery.domain.records import Record, plain
from delivery.domain.statuses import rank

FIRST_AFTER: Final = timedelta(hours=6)
"""How long after its end a day is audited first."""
FINAL_AFTER: Final = timedelta(days=4)
"""How long after its end a day is audited finally."""
MAX_CATCH_UP: Final = timedelta(days=30)
"""How far back missed audits are caught up, and unknown messages are imported. The tombstone of an
erased message is kept as long, so that no audit imports the message again.
"""
RESULT_RETENTION: Final = timedelta(days=400)
MAX_DIFFERENCE_SIDS: Final = 100
MAX_CORRECTED_PERCENT: Final = 1
"""A larger share of corrected statuses means lost callbacks: AuditCorrectionsAlarm fires."""

_ONE_DAY: Final = timedelta(days=1)


class AuditState(StrEnum):
    """The state of a day's result."""

    RUNNING = "running"
    PARTIAL = "partial"
    """Audited by hand before the first audit was due: the list may be incomplete."""
    FIRST = "first"
    FINAL = "final"
    FAILED = "failed"
    """Twilio refused the list; the next run tries again."""


class Correction(StrEnum):
    """What an audit corrects in a message."""

    STATUS = "status"
    ERROR_CODE = "error_code"
    SEGMENTS = "segments"
    PRICE = "price"


class Difference(StrEnum):
    """Why an audit does not write what differs."""

    LOWER_STATUS = "lower_status"
    OTHER_ERROR_CODE = "other_error_code"
    UNKNOWN_STATUS = "unknown_status"
    ERASED = "erased"
    NOT_WRITTEN = "not_written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What an audit found out about one message: what to write, and what stays different."""

    update: StatusUpdate | None = None
    corrections: frozenset[Correction] = frozenset()
    differences: frozenset[Difference] = frozenset()


def compare(message: Message, listed: StatusUpdate) -> Comparison:
    """Compare a message with what Twilio's list says of it.

    A status that ranks higher is written, also after a final one, and so are an error code where
    none was known, segments, and a price. A value that the list lacks never removes one.
    """
    status, error_code = listed.status, listed.error_code
    corrections, differences = _status_corrections(message, status, error_code)
    if differences:
        # Segments and price are still written, in an update with a status that is known already.
        error_code = None
        if Difference.OTHER_ERROR_CODE not in differences:
            status = message.transitions[-1].status
    corrections |= _fact_corrections(message, listed)
    if not corrections:
        return Comparison(differences=frozenset(differences))
    update = replace(listed, status=status, error_code=error_code, source=Source.AUDIT)
    return Comparison(
        update=update, corrections=frozenset(corrections), differences=frozenset(differences)
    )


def _status_corrections(
    message: Message, status: str, error_code: int | None
) -> tuple[set[Correction], set[Difference]]:
    known = next((it for it in message.transitions if it.status == status), None)
    if not rank(status):
        return set(), {Difference.UNKNOWN_STATUS}
    if rank(status) > message.status_rank:
        return {Correction.STATUS}, set()
    if rank(status) < message.status_rank:
        return set(), {Difference.LOWER_STATUS}
    if error_code is None or known is None or known.error_code == error_code:
        return set(), set()
    if known.error_code is None:
        return {Correction.ERROR_CODE}, set()
    return set(), {Difference.OTHER_ERROR_CODE}


def _fact_corrections(message: Message, listed: StatusUpdate) -> set[Correction]:
    corrections = set[Correction]()
    if listed.num_segments not in {None, message.num_segments}:
        corrections.add(Correction.SEGMENTS)
    price_unit = listed.price_unit or message.price_unit
    price = (message.price, message.price_unit)
    if listed.price is not None and (listed.price, price_unit) != price:
        corrections.add(Correction.PRICE)
    return corrections


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """The result of a day's audit for one account, complete or in progress.

    `corrected` counts messages by kind of correction, `differences` by reason; `difference_sids`
    has up to 100 SIDs for each reason. `spend` is positive, by currency. `next_page` is the path of
    the page with which the audit goes on, `pages` counts those that it has read, and `marked_page`
    is one of their paths.
    """

    account_sid: str
    day: date
    state: AuditState
    messages: int = 0
    """Outbound messages in Twilio's list."""
    known: int = 0
    corrected: Mapping[str, int] = field(default_factory=dict)
    corrected_messages: int = 0
    priced: int = 0
    """Messages for which the list has a price."""
    imported: int = 0
    rejected_creations: int = 0
    unknown: int = 0
    differences: Mapping[str, int] = field(default_factory=dict)
    difference_sids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spend: Mapping[str, Decimal] = field(default_factory=dict)
    target: AuditState = AuditState.FIRST
    """The state that a running audit ends in."""
    next_page: str | None = None
    pages: int = 0
    marked_page: str | None = None
    updated_at: datetime
    lease_until: datetime | None = None
    version: int = 0

    @property
    def status_corrected_percent(self) -> float:
        """The share of the known messages whose status was corrected."""
        return 100 * self.corrected.get(Correction.STATUS, 0) / max(self.known, 1)

    @property
    def difference_count(self) -> int:
        """The number of differences that stay, of all reasons."""
        return sum(self.differences.values())

    def leads_back(self, next_page: str) -> bool:
        """Whether the page just read leads to itself, or to the marked one before it."""
        return next_page in {self.next_page, self.marked_page}

    def continued(self, next_page: str) -> Self:
        """Return the result of an audit that goes on with this page.

        Each page whose number is a power of two is marked until the next one. So one page is
        remembered, and a list that leads back to any of its pages soon reaches a marked one:
        https://en.wikipedia.org/wiki/Cycle_detection#Brent's_algorithm
        """
        pages = self.pages + 1
        marked = next_page if pages.bit_count() == 1 else self.marked_page
        return replace(self, next_page=next_page, pages=pages, marked_page=marked)

    def restarted(self, now: datetime) -> Self:
        """Return the result of an audit that starts again; what was written still counts."""
        return type(self)(
            account_sid=self.account_sid,
            day=self.day,
            state=self.state,
            target=self.target,
            updated_at=now,
            corrected=self.corrected,
            corrected_messages=self.corrected_messages,
            imported=self.imported,
            lease_until=self.lease_until,
            version=self.version,
        )

    def corrected_by(self, comparison: Comparison) -> Self:
        """Count the corrections of a message that were written."""
        corrected = dict(self.corrected)
        for kind in comparison.corrections:
            corrected[kind] = corrected.get(kind, 0) + 1
        written = self.corrected_messages + bool(comparison.corrections)
        return replace(self, corrected=corrected, corrected_messages=written)

    def with_difference(self, reason: Difference, message_sid: str) -> Self:
        """Count a difference that stays, and keep the SID if there is room."""
        counts = {**self.differences, reason: self.differences.get(reason, 0) + 1}
        sids = (*self.difference_sids.get(reason, ()), message_sid)[:MAX_DIFFERENCE_SIDS]
        return replace(
            self, differences=counts, difference_sids={**self.difference_sids, reason: sids}
        )

    def with_price(self, price: str | None, price_unit: str | None) -> Self:
        """Add a listed price to the spend; Twilio writes a charge as a negative amount."""
        amount = amount_of(price)
        if amount is None:
            return self
        currency = currency_of(price_unit) or UNKNOWN_CURRENCY
        spend = {**self.spend, currency: self.spend.get(currency, Decimal(0)) - Decimal(amount)}
        return replace(self, priced=self.priced + 1, spend=spend)

    def as_record(self) -> Record:
        """Return the result as plain data, as answers show it."""
        record = self.as_item_record()
        return {name: value for name, value in record.items() if name not in INTERNAL_FIELDS}

    def as_item_record(self) -> Record:
        """Return the result as plain data, as the table stores it."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        values["spend"] = {currency: f"{it:f}" for currency, it in self.spend.items()}
        values["difference_sids"] = {it: list(sids) for it, sids in self.difference_sids.items()}
        return {name: plain(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read what `as_item_record` or `as_record` returned."""
        values = {it.name: record[it.name] for it in fields(cls) if it.name in record}
        read = {name: _READERS[name](values[name]) for name in _READERS.keys() & values.keys()}
        return cls(**values | read)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProgress:
    """Which days of an account are audited: the last one of each kind, and where it began."""

    account_sid: str
    first_day: date
    """The account's first audited day."""
    first_until: date | None = None
    final_until: date | None = None

    def due(self, now: datetime, *, retention: timedelta) -> Iterator[tuple[date, AuditState]]:
        """Yield the audits that are due at `now`, in order: first ones, then final ones."""
        oldest = (now - min(MAX_CATCH_UP, retention)).date()
        for state, after, until in (
            (AuditState.FIRST, FIRST_AFTER, self.first_until),
            (AuditState.FINAL, FINAL_AFTER, self.final_until),
        ):
            day = max(self.first_day, oldest, until + _ONE_DAY if until else self.first_day)
            while now >= end_of(day) + after:
                yield day, state
                day += _ONE_DAY

    def audited(self, day: date, state: AuditState) -> Self:
        """Return the progress after a day was audited."""
        match state:
            case AuditState.FIRST:
                return replace(self, first_until=max(self.first_until or day, day))
            case AuditState.FINAL:
                return replace(self, final_until=max(self.final_until or day, day))
            case _:
                return self


def end_of(day: date) -> datetime:
    """Return when a day ends in UTC."""
    return datetime.combine(day, time(), UTC) + _ONE_DAY


_READERS: Final[Mapping[str, Callable[[Any], object]]] = {
    "day": date.fromisoformat,
    "state": AuditState,
    "target": AuditState,
    "updated_at": datetime.fromisoformat,
    "lease_until": datetime.fromisoformat,
    "spend": lambda spend: {currency: Decimal(amount) for currency, amount in spend.items()},
    "difference_sids": lambda sids: {reason: tuple(it) for reason, it in sids.items()},
}
"""How a field of a result is read from a record."""

INTERNAL_FIELDS: Final = frozenset(
    {"target", "next_page", "pages", "marked_page", "lease_until", "version"}
)
"""The fields of a result that answers leave out."""
