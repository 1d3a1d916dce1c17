"""Checks of the archive: a report agrees with the table (I12), and no row is about a person (I8).

The report's own SQL runs over the rows, some of them twice, in any order.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from delivery_cli.commands.report.measures import COUNTS, Report
from delivery_cli.commands.report.query import Span, report_query
from simulation.checks.evidence import Evidence, Record, Violation
from simulation.first_items import UNREADABLE_SID, is_in_backlog
from tests.support.archive import COLUMNS, open_archive, select

_BY: Final = ("sender", "channel")
_REPEATED: Final = 0.3


def check_archive(evidence: Evidence) -> Iterator[Violation]:
    """Yield groups whose totals differ from the table's, and rows with a recipient's number."""
    expired = evidence.world.audits.expired
    messages = [
        it
        for sid, it in evidence.messages.items()
        if it["outcome"] != "superseded" and sid not in expired
    ]
    rows = evidence.world.aws.archive.rows
    yield from _without_recipients(evidence, rows)
    if not rows:
        if messages:
            yield Violation("I12", "archive", "the archive has no row")
        return
    expected = _totals(messages)
    found = _reported(evidence, rows)
    for group in sorted(expected.keys() | found.keys(), key=str):
        if expected.get(group) != found.get(group):
            text = f"{group}: the table has {expected.get(group)}, the report {found.get(group)}"
            yield Violation("I12", "archive", text)


def _totals(messages: Sequence[Record]) -> dict[tuple[str | None, ...], Mapping[str, Any]]:
    """Return the counts, segments and spend of each group of the table's messages."""
    groups: dict[tuple[str | None, ...], Counter[str]] = {}
    for message in messages:
        counts = groups.setdefault((_sender(message), _channel(message)), Counter())
        counts["messages"] += 1
        counts[message["outcome"]] += 1
        counts["segments"] += int(message.get("num_segments", 0))
        counts["spend"] -= Decimal(message.get("price", 0))  # type: ignore[assignment]  # exact
    return {group: _plain(counts) for group, counts in groups.items()}


def _sender(message: Record) -> str | None:
    return message.get("from") or message.get("messaging_service_sid")


def _channel(message: Record) -> str | None:
    """Return the channel of a message, by the words of the contract."""
    for address in (message.get("to", ""), message.get("from", "")):
        if ":" in address:
            return str(address.split(":")[0])
    return None if "to" not in message else "mms" if message["message_sid"][:2] == "MM" else "sms"


def _reported(
    evidence: Evidence, rows: Sequence[Mapping[str, Any]]
) -> dict[tuple[str | None, ...], Mapping[str, Any]]:
    """Return the groups of a report of all days, of the messages that the table still has."""
    left_out = {*evidence.tombstones, *evidence.world.audits.expired, UNREADABLE_SID}
    kept = [
        it
        for it in rows
        if it["message_sid"] not in left_out and not is_in_backlog(it["message_sid"])
    ]
    draws = random.Random(len(rows))  # noqa: S311 -- repeatable, no secrets
    kept += [it for it in kept if draws.random() < _REPEATED]
    draws.shuffle(kept)
    days = [date.fromisoformat(it["recorded_at"][:10]) for it in rows]
    created = [date.fromisoformat(it["created_at"][:10]) for it in rows]
    archived = [dict.fromkeys(COLUMNS) | {"day": it["recorded_at"][:10]} | dict(it) for it in kept]
    query = report_query(Span(first=min(created), last=max(*days, *created)), _BY)
    with open_archive(archived) as database:
        result = [
            {name: None if value is None else str(value) for name, value in row.items()}
            for row in select(database, query)
        ]
    report = Report.of(result, _BY)
    return {
        group: _plain(
            Counter(
                {name: getattr(it, name) for name in (*COUNTS, "segments")}
                | {"spend": sum(it.spend.values(), Decimal(0))}
            )
        )
        for group, it in report.groups.items()
    }


def _plain(counts: Counter[str]) -> Mapping[str, Any]:
    return {name: count for name, count in sorted(counts.items()) if count}


def _without_recipients(
    evidence: Evidence, rows: Sequence[Mapping[str, Any]]
) -> Iterator[Violation]:
    text = json.dumps(rows)
    for message in evidence.at_twilio.values():
        digits = message.to.rpartition("+")[2]
        if digits.isdigit() and digits in text:
            yield Violation("I8", message.sid, "the archive has the number of its recipient")
