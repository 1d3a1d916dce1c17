"""The checks of `delivery doctor`, run in order, and their summary."""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from rich.table import Table
from rich.text import Text

from delivery_cli.arguments import Commands, add_command
from delivery_cli.aws_errors import explain_aws_error
from delivery_cli.commands.doctor.finding import Check, Finding, State, unknown, wrong
from delivery_cli.commands.doctor.reachability import (
    check_api,
    check_callback_url,
    check_credentials,
    check_secret,
    check_stack,
)
from delivery_cli.commands.doctor.resources import (
    check_alarms,
    check_concurrency,
    check_event_sources,
    check_functions,
    check_queues,
    check_schedules,
    check_stream,
    check_tables,
    check_topics,
)
from delivery_cli.commands.doctor.webhook_rules import check_webhook_rules
from delivery_cli.errors import CommandError, StackNotFound, StackTooOld
from delivery_cli.output import Output
from delivery_cli.target import Target
from delivery_cli.terminal_text import escape_controls, format_count

_CHECKS: Final[dict[str, Check]] = {
    "secret": check_secret,
    "credentials": check_credentials,
    "api": check_api,
    "callback": check_callback_url,
    "webhooks": check_webhook_rules,
    "tables": check_tables,
    "stream": check_stream,
    "sources": check_event_sources,
    "schedules": check_schedules,
    "topics": check_topics,
    "alarms": check_alarms,
    "queues": check_queues,
    "functions": check_functions,
    "concurrency": check_concurrency,
}
_BETA_CHECKS: Final = frozenset({"webhooks"})
"""Not every account has what they check, so that `unknown` is not a failure."""
_STYLES: Final = {
    State.OK: "green",
    State.ADVICE: "cyan",
    State.WRONG: "red",
    State.UNKNOWN: "yellow",
}


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add the command."""
    summary = "Check a deployed stack from end to end, and say what to fix."
    return add_command(commands, "doctor", summary, _run)


def _run(_options: argparse.Namespace, output: Output, target: Target) -> int:
    """Run every check: returns 0 if nothing is wrong, or unknown outside of a beta."""
    findings = []
    for check, finding in _findings(target):
        findings.append({"check": check, **asdict(finding)})
        if not output.as_json:
            output.line(_render(finding))
    counts = Counter(finding["state"] for finding in findings)
    is_ok = not counts[State.WRONG] and _BETA_CHECKS.issuperset(
        finding["check"] for finding in findings if finding["state"] is State.UNKNOWN
    )
    output.result(
        {
            "stack": target.stack_name,
            "region": target.account.region,
            "ok": is_ok,
            "findings": findings,
        },
        [Text(), _render_summary(counts)],
    )
    return 0 if is_ok else 1


def _findings(target: Target) -> Iterator[tuple[str, Finding]]:
    """Run the checks; they are independent, but none is possible without the stack."""
    try:
        for finding in check_stack(target):
            yield "stack", finding
    except (StackNotFound, StackTooOld) as error:
        yield "stack", wrong(str(error), error.fix)
        return
    for name, check in _CHECKS.items():
        try:
            for finding in check(target):
                yield name, finding
        except (BotoCoreError, ClientError) as error:
            explained = explain_aws_error(error)
            yield name, unknown(f"Not checked: {explained}", explained.fix)
        except CommandError as error:
            yield name, wrong(str(error), error.fix)


def _render(finding: Finding) -> Table:
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(width=7)
    state = Text(finding.state, _STYLES[finding.state])
    lines.add_row(state, Text(escape_controls(finding.what)))
    if finding.fix:
        lines.add_row("", Text(escape_controls(finding.fix), style="dim"))
    return lines


def _render_summary(counts: Counter[State]) -> Text:
    if counts[State.WRONG]:
        return Text(f"{format_count(counts[State.WRONG], 'problem')} found.", style="bold red")
    if counts[State.UNKNOWN]:
        not_checked = f"{counts[State.UNKNOWN]} not checked"
        return Text(f"No problems found, but {not_checked}.", style="bold yellow")
    return Text("No problems found.", style="bold green")
