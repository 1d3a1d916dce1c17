"""Runs every check, tells each finding as it comes, and sums up."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from delivery_cli.aws_errors import in_words
from delivery_cli.commands.doctor.finding import Check, Finding, State, unknown, wrong
from delivery_cli.commands.doctor.reachability import api, callback, stack, twilio
from delivery_cli.commands.doctor.resources import (
    alarms,
    functions,
    queues,
    schedules,
    sources,
    stream,
    topics,
)
from delivery_cli.errors import CommandError, StackNotFound, StackTooOld
from delivery_cli.output import Screen
from delivery_cli.target import Place
from delivery_cli.terminal_text import visible

_CHECKS: Final[dict[str, Check]] = {
    "twilio": twilio,
    "api": api,
    "callback": callback,
    "stream": stream,
    "sources": sources,
    "schedules": schedules,
    "topics": topics,
    "alarms": alarms,
    "queues": queues,
    "functions": functions,
}
_STYLES: Final = {State.OK: "green", State.WRONG: "red", State.UNKNOWN: "yellow"}


def examine(screen: Screen, place: Place) -> int:
    """Check the stack from end to end: 0 if all is well, 1 if not, or if something is unknown."""
    findings = []
    for finding in _findings(place):
        findings.append(finding)
        if not screen.as_json:
            _tell(screen, finding)
    counts = Counter(finding.state for finding in findings)
    well = counts[State.OK] == len(findings)
    screen.result(
        {
            "stack": place.stack_name,
            "region": place.account.region,
            "ok": well,
            "findings": [finding.as_json() for finding in findings],
        },
        [Text(), _sum(counts)],
    )
    return 0 if well else 1


def _findings(place: Place) -> Iterator[Finding]:
    """Without a stack there is nothing to look at; every other check stands for itself."""
    try:
        yield from stack(place)
    except (StackNotFound, StackTooOld) as error:
        yield wrong("stack", str(error), error.fix)
        return
    for name, check in _CHECKS.items():
        try:
            yield from check(place)
        except (BotoCoreError, ClientError) as error:
            explained = in_words(error)
            yield unknown(name, f"Not checked: {explained}", explained.fix)
        except CommandError as error:
            yield wrong(name, str(error), error.fix)


def _tell(screen: Screen, finding: Finding) -> None:
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(width=7)
    lines.add_row(Text(finding.state, _STYLES[finding.state]), Text(visible(finding.what)))
    if finding.fix:
        lines.add_row("", Text(visible(finding.fix), style="dim"))
    screen.line(lines)


def _sum(counts: Counter[State]) -> Text:
    if counts[State.WRONG]:
        return Text(f"{counts[State.WRONG]} to put right.", style="bold red")
    if counts[State.UNKNOWN]:
        return Text(f"Nothing wrong, but {counts[State.UNKNOWN]} not checked.", style="bold yellow")
    return Text("All is well.", style="bold green")
