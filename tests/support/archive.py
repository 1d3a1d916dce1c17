"""The archive of outcomes as an SQL engine sees it: the table `outcomes` in DuckDB.

DuckDB executes the queries in the sandbox too. Athena is another engine (Trino): the queries use
only what both know.
"""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any, Final

import duckdb

from delivery.domain.records import iso
from tests.support.builders import NOON

type Row = dict[str, Any]

COLUMNS: Final = {
    "message_sid": "VARCHAR",
    "account_sid": "VARCHAR",
    "created_at": "VARCHAR",
    "recorded_at": "VARCHAR",
    "sequence": "VARCHAR",
    "outcome": "VARCHAR",
    "status": "VARCHAR",
    "error_code": "INTEGER",
    "category": "VARCHAR",
    "channel": "VARCHAR",
    "country": "VARCHAR",
    "sender": "VARCHAR",
    "messaging_service_sid": "VARCHAR",
    "seconds_to_final": "DOUBLE",
    "num_segments": "INTEGER",
    "price": "VARCHAR",
    "price_unit": "VARCHAR",
    "dimensions": "MAP(VARCHAR, VARCHAR)",
    "day": "VARCHAR",
}
"""The columns of the table and DuckDB's name of their types."""

_engine = cache(duckdb.connect)
"""Started once: that takes longer than most queries."""
_numbers = count()

_STATUSES: Final = {"pending": "sent", "failed": "undelivered"}


def archived(number: int = 1, **changes: Any) -> Row:
    """A row of the message with this number: delivered to Germany after two seconds."""
    outcome = changes.get("outcome", "delivered")
    created_at: datetime = changes.pop("created_at", NOON)
    recorded_at: datetime = changes.pop("recorded_at", created_at + timedelta(seconds=2))
    row: Row = {
        **dict.fromkeys(COLUMNS),
        "message_sid": f"SM{number:032x}",
        "account_sid": "AC" + "1" * 32,
        "created_at": iso(created_at),
        "recorded_at": iso(recorded_at),
        "sequence": f"{number:040}",
        "outcome": outcome,
        "status": _STATUSES.get(outcome, outcome),
        "channel": "sms",
        "country": "DE",
        "sender": "+15005550006",
        "seconds_to_final": 2.0 if outcome == "delivered" else None,
        "num_segments": 1,
        "dimensions": {},
        "day": f"{recorded_at:%Y-%m-%d}",
    }
    return row | changes


def on_day(day: date) -> datetime:
    """Noon of a day."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def open_archive(rows: Iterable[Row]) -> duckdb.DuckDBPyConnection:
    """Return a new database whose table `outcomes` has these rows."""
    database = _engine().cursor()
    name = f"archive_{next(_numbers)}"
    database.execute(f"ATTACH ':memory:' AS {name}")
    database.execute(f"USE {name}")
    database.execute("SET TimeZone = 'UTC'")
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    database.execute(f"CREATE TABLE outcomes ({columns})")
    insert(database, rows)
    return database


def insert(database: duckdb.DuckDBPyConnection, rows: Iterable[Row]) -> None:
    """Add rows to the table."""
    database.execute(
        "INSERT INTO outcomes SELECT added.* FROM (SELECT unnest(from_json_strict(?, ?)) AS added)",
        [json.dumps(list(rows)), json.dumps([COLUMNS])],
    )


def select(database: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    """Return the rows of a query's result."""
    result = database.execute(query)
    names = [column[0] for column in result.description]
    return [dict(zip(names, values, strict=True)) for values in result.fetchall()]
