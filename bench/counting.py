"""A stand-in for a DynamoDB client that counts requests and capacity units.

It keeps the template's tables in memory.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bench.capacity import Units, item_bytes, write_units
from simulation.account import empty_tables
from simulation.deployment import resources
from simulation.fakes import dynamodb
from simulation.fakes.errors import EXCEPTIONS

_READS: Final = {"get_item", "batch_get_item", "query", "scan"}
_WRITES: Final = {"put_item", "update_item", "delete_item", "transact_write_items"}
_INDEX_ENTRY_BYTES: Final = 100
_PAGE_SIZE: Final = 1024 * 1024 // _INDEX_ENTRY_BYTES  # DynamoDB returns at most a MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write of one item, successful or not: a failed condition is billed too."""

    step: str
    table: str
    units: Units
    bytes_after: int


@dataclass(slots=True)
class CountingDynamoDb:
    """Tables in memory, and the cost of each request."""

    step: str = ""
    """Label of the writes that follow."""
    requests: Counter[str] = field(default_factory=Counter)
    """By operation."""
    writes: list[Write] = field(default_factory=list)
    tables: dict[str, dynamodb.Table] = field(default_factory=empty_tables)
    exceptions: Any = EXCEPTIONS

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation not in _READS | _WRITES:
            raise AttributeError(operation)
        return lambda **arguments: self._perform(operation, arguments)

    def reset(self) -> None:
        """Forget the counts, not the items."""
        self.requests.clear()
        self.writes.clear()

    def _perform(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.requests[operation] += 1
        fake = dynamodb.DynamoDb(self.tables, page_size=_PAGE_SIZE)
        if operation in _READS:
            return fake.perform(operation, arguments)
        transaction = arguments.get("TransactItems")
        parts = [it for part in transaction for it in part.values()] if transaction else [arguments]
        touched = [(self.tables[part["TableName"]], self._key(part)) for part in parts]
        before = [table.get(key) for table, key in touched]
        try:
            return fake.perform(operation, arguments)
        finally:
            for (table, key), item in zip(touched, before, strict=True):
                self._count_write(table, item, table.get(key), in_transaction=bool(transaction))

    def _count_write(
        self, table: dynamodb.Table, before: Any, after: Any, *, in_transaction: bool
    ) -> None:
        units = write_units(resources("AWS::DynamoDB::Table")[table.name], before, after)
        if in_transaction:  # DynamoDB prepares and commits each item
            units = replace(units, table=2 * units.table)
        self.writes.append(
            Write(
                step=self.step,
                table=table.name,
                units=units,
                bytes_after=item_bytes(after or {}),
            )
        )

    def _key(self, part: Mapping[str, Any]) -> dict[str, Any]:
        names = self.tables[part["TableName"]].key_names
        return {name: (part.get("Key") or part["Item"])[name] for name in names}
