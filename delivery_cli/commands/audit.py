"""`delivery audit`: shows how far the table and Twilio's message list agree on a day."""

import argparse
import csv
import io
from collections.abc import Iterator, Mapping
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from delivery.domain.audits import MAX_CORRECTED_PERCENT, AuditState, Correction, Difference
from delivery_cli.arguments import Commands, add_command, add_day
from delivery_cli.csv_text import csv_cell
from delivery_cli.message_view import format_time
from delivery_cli.messages_api import Json
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls

_STATE_LABELS: Final[Mapping[str, str]] = {
    AuditState.RUNNING: "not finished: the next run continues it",
    AuditState.PARTIAL: "partial: audited less than 6 hours after the end of the day",
    AuditState.FIRST: "first audit: prices and late statuses may follow",
    AuditState.FINAL: "final audit",
    AuditState.FAILED: "failed: Twilio rejected the list; the next run tries again",
}
_CORRECTION_LABELS: Final[Mapping[str, str]] = {
    Correction.STATUS: "status",
    Correction.ERROR_CODE: "error code",
    Correction.SEGMENTS: "segments",
    Correction.PRICE: "price",
}
_REASON_LABELS: Final[Mapping[str, str]] = {
    Difference.LOWER_STATUS: "Twilio lists a lower status",
    Difference.OTHER_ERROR_CODE: "Twilio lists another error code",
    Difference.UNKNOWN_STATUS: "Twilio lists an unknown status",
    Difference.ERASED: "erased here",
    Difference.NOT_WRITTEN: "not written: the table did not answer, or the item is gone",
}


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Show the audit of a day: corrections, differences and spend."
    command = add_command(commands, "audit", summary, _run, _check)
    add_day(command, default="yesterday")
    command.add_argument("--csv", action="store_true", help="print the differences as CSV")
    return command


def _check(options: argparse.Namespace) -> None:
    if options.csv and options.json:
        options.parser.error("argument --csv: not allowed with --json")


def _run(options: argparse.Namespace, output: Output, target: Target) -> int:
    audits = target.api.audits(options.on)
    results: list[Json] = audits["audits"]
    if options.csv:
        output.raw(_csv_of(results))
    else:
        output.result(audits, _render(options.on, results))
    return int(not results or any(map(_exceeds, results)))


def _exceeds(result: Json) -> bool:
    """Return whether so many statuses were corrected that callbacks are being lost."""
    corrected: int = result["corrected"].get(Correction.STATUS, 0)
    known: int = result["known"]
    return 100 * corrected > MAX_CORRECTED_PERCENT * max(known, 1)


def _csv_of(results: list[Json]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("account_sid", "day", "reason", "message_sid"))
    for result in results:
        for reason, sids in result["difference_sids"].items():
            about = (result["account_sid"], result["day"], reason)
            writer.writerows(map(csv_cell, (*about, sid)) for sid in sids)
    return table.getvalue()


def _render(day: str, results: list[Json]) -> Iterator[RenderableType]:
    yield Text(f"{day} (UTC)", style="bold")
    if not results:
        yield Text("No account has an audit of this day.")
        yield Text(
            "The stack audits a day 6 hours and 4 days after its end (UTC), unless AuditMode is "
            "off. The first day that it audits is the one before its first run."
        )
    for result in results:
        yield from _render_account(result)


def _render_account(result: Json) -> Iterator[RenderableType]:
    state = escape_controls(result["state"])
    yield Text()
    yield Text(f"account {escape_controls(result['account_sid'])}", style="bold")
    yield Text(f"{_STATE_LABELS.get(state, state)} ({format_time(result['updated_at'])} UTC)")
    yield _counts(
        {
            "messages at Twilio": result["messages"],
            "known here": result["known"],
            **_labelled(result["corrected"], _CORRECTION_LABELS, "corrected: "),
            "imported": result["imported"],
            "rejected creations": result["rejected_creations"],
            "unknown here": result["unknown"],
            **_labelled(result["differences"], _REASON_LABELS, "different: "),
        }
    )
    for currency, amount in result["spend"].items():
        yield Text(
            f"spend {escape_controls(amount)} {escape_controls(currency)} "
            f"({result['priced']} priced)"
        )
    for reason, sids in result["difference_sids"].items():
        yield Text(f"{_REASON_LABELS.get(reason, escape_controls(reason))}:")
        for sid in sids:
            yield Padding.indent(Text(escape_controls(sid)), 4)
    if _exceeds(result):
        yield Text(
            f"More than {MAX_CORRECTED_PERCENT}% of the statuses were corrected: callbacks are "
            "being lost. docs/operations.md has a runbook: AuditCorrectionsAlarm.",
            style="red",
        )


def _labelled(counts: Mapping[str, int], labels: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {
        f"{prefix}{labels.get(name, escape_controls(name))}": count
        for name, count in counts.items()
    }


def _counts(counts: Mapping[str, int]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", min_width=7)
    for label, count in counts.items():
        table.add_row(str(count), Text(label))
    return table
