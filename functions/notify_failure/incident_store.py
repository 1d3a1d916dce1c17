"""The incidents in their table: one item for each account and cause, changed with its messages.

A failure is in the count of an incident exactly when its message says so: one transaction writes
both, as a compare-and-set on what was read. A writer that loses reads again. The client must not
repeat a write by itself: it would take its own write, whose answer was lost, for a conflict.

Errors:

    StoreUnavailable    a read failed, or a write is not known to be stored: try again later
    ItemUnreadable      this version cannot read the incident
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from delivery.domain.messages import Message
from delivery.domain.records import iso
from delivery.storage.expressions import Conditions
from delivery.storage.items import Item, as_item
from delivery.storage.messages import compare_and_set, record_of
from delivery.storage.table import Table, TransactItem, parse_item, transact

from .incident import OPEN, Incident, IncidentKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_MESSAGES: Final = 99
"""How many messages one write can change with an incident: a transaction has a hundred parts."""

# The attributes that decide which incident counts a message.
_DEPENDS_ON: Final = ("notice", "outcome", "error_code", "account_sid")


@dataclass(frozen=True, slots=True)
class Step:
    """A message as it was read, and after the next step of its notice."""

    seen: Message
    after: Message


class IncidentStore:
    """The incidents of one table, and the notices of their messages.

    `client` is a low-level DynamoDB client without retries; `reader` may retry reads.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        messages_table_name: str,
        *,
        reader: "DynamoDBClient | None" = None,
    ) -> None:
        self._client = client
        self._incidents = Table(client, table_name, reader=reader)
        self._messages = Table(client, messages_table_name)

    def get(self, key: IncidentKey) -> Incident | None:
        """Return the latest incident of the key, open or closed (strongly consistent).

        Raises:
            ItemUnreadable: the item is not an incident.
        """
        item = self._incidents.get(account_sid=key.account_sid, cause=key.cause)
        return _incident(item) if item else None

    def due(self, now: datetime) -> Iterator[IncidentKey]:
        """Return the keys of the incidents whose `next_at` has come, the oldest first.

        The index lags a little behind: read the incident before changing it.
        """
        condition = "#open = :open AND #next_at <= :now"
        for item in self._incidents.query("by_next_at", condition, open=OPEN, now=iso(now)):
            yield IncidentKey(account_sid=item["account_sid"]["S"], cause=item["cause"]["S"])

    def write(
        self, seen: Incident | None, after: Incident, steps: Sequence[Step] = ()
    ) -> Incident | None:
        """Store the incident together with the steps of at most `MAX_MESSAGES` messages.

        Returns the incident as stored; None if it or a message has changed since it was read, and
        nothing was written.

        Raises:
            StoreUnavailable: the write may or may not be stored; read again.
        """
        after = replace(after, version=seen.version + 1 if seen else 1)
        record, conditions = after.as_record(), _unchanged_since(seen)
        if steps:
            put = self._incidents.as_put(record, conditions)
            written = transact(self._client, [put, *map(self._update, steps)])
        else:
            written, _ = self._incidents.put(record, conditions)
        return after if written else None

    def write_steps(self, steps: Sequence[Step]) -> bool:
        """Store the steps of at most `MAX_MESSAGES` messages that no incident counts.

        Returns whether they were stored; otherwise a message has changed since it was read.

        Raises:
            StoreUnavailable: the write may or may not be stored; read again.
        """
        return transact(self._client, list(map(self._update, steps)))

    def _update(self, step: Step) -> TransactItem:
        seen = as_item(record_of(step.seen))
        return self._messages.as_update(compare_and_set(seen, step.seen, step.after, _DEPENDS_ON))


def _unchanged_since(seen: Incident | None) -> Conditions:
    """Return the condition that the incident is the one that was read, and has not changed."""
    conditions = Conditions()
    if seen is None:
        conditions.require("attribute_not_exists(#incident_id)")
    else:
        conditions.require(
            "#incident_id = :incident_id AND #version = :version",
            incident_id=seen.incident_id,
            version=seen.version,
        )
    return conditions


def _incident(item: Item) -> Incident:
    return parse_item(item, Incident.from_record, "an incident")
