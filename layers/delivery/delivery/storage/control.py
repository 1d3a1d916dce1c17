"""The ControlTable: the progress of background work, one item for each name.

The rate limiter of the sender keeps its slots in the same table.

Errors:

    StoreUnavailable    a read failed, or a write is not known to be stored: retry later
"""

from datetime import date
from typing import TYPE_CHECKING

from delivery.storage.expressions import Conditions
from delivery.storage.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ControlStore:
    """The progress that is kept in one table.

    Args:
        client: a low-level DynamoDB client with timeouts and retries set.
        table_name: the ControlTable.
    """

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._table = Table(client, table_name)

    def imported_day(self, account_sid: str) -> date | None:
        """Return the last day whose messages were imported in full for this account.

        Raises:
            StoreUnavailable: DynamoDB did not answer.
        """
        item = self._table.get(name=_import_name(account_sid))
        return date.fromisoformat(item["day"]["S"]) if item else None

    def save_imported_day(self, account_sid: str, day: date) -> None:
        """Store that a day was imported in full, unless a later one is stored.

        Raises:
            StoreUnavailable: it is not known to be stored; the day may be read again.
        """
        unless_later = Conditions()
        unless_later.require("attribute_not_exists(#day) OR #day < :day", day=day.isoformat())
        record = {"name": _import_name(account_sid), "day": day.isoformat()}
        self._table.put(record, unless_later)


def _import_name(account_sid: str) -> str:
    return f"import#{account_sid}"
