"""`python -m sandbox demo`: sends a message for each of some scenarios, and shows its delivery."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from delivery.text.formatting import SOURCE_LABELS
from sandbox.aws.mailbox import Email
from sandbox.console import step
from sandbox.demo_report import show_report
from sandbox.http_server import Response, call
from sandbox.lifecycle import Sandbox, Settings, running_sandbox
from sandbox.polling import TimedOut, wait_for
from sandbox.up import print_email

type Json = Any

_SENDER: Final = "+15005550006"
_TIMEOUT_SECONDS: Final = 30
_STYLES: Final = {"delivered": "green", "failed": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A message of the demo and its expected result."""

    title: str
    to: str
    lesson: str
    """What the reader can see in it."""
    campaign: str = "welcome"
    """What the report groups the message by."""
    callbacks: int = 2
    """How many callbacks the stack acknowledges."""
    status: str = "delivered"
    outcome: str = "delivered"
    reported: tuple[str, ...] = ("sent", "delivered")
    """The statuses that callbacks or reconciliation report."""
    in_order: bool = False
    """Whether the statuses must arrive in the order of `reported`."""
    error_code: int | None = None
    rejected_with: int | None = None
    """Twilio's error code if it rejects the message."""

    def matches(self, message: Json, *, acknowledged: int) -> bool:
        """Whether the message and the number of acknowledged callbacks are as expected."""
        arrived = tuple(it["status"] for it in message["transitions"] if it["source"] != "send")
        order = tuple if self.in_order else sorted
        return (
            (message["status"], message["outcome"]) == (self.status, self.outcome)
            and message.get("error_code") == self.error_code
            and order(arrived) == order(self.reported)
            and acknowledged == self.callbacks
        )


SCENARIOS: Final = (
    Scenario(
        title="A message is delivered",
        to="+15551234567",
        lesson="Twilio's callbacks report each step.",
    ),
    Scenario(
        title="The recipient's phone is switched off",
        to="+15555530003",
        lesson="The failure is explained, and the on-call person is notified (see below).",
        status="undelivered",
        outcome="failed",
        reported=("sent", "undelivered"),
        error_code=30003,
    ),
    Scenario(
        title="The callbacks arrive out of order",
        to="+15555550101",
        lesson="The order does not matter: the outcome stays delivered.",
        reported=("delivered", "sent"),
        in_order=True,
    ),
    Scenario(
        title="Every callback arrives twice",
        to="+15555550102",
        lesson="Each status is recorded once.",
        campaign="reminder",
        callbacks=4,
    ),
    Scenario(
        title="Every callback is lost",
        to="+15555550104",
        lesson="Without news of the message, the stack asks Twilio.",
        campaign="reminder",
        callbacks=0,
        reported=("delivered",),
    ),
    Scenario(
        title="Twilio rejects the number",
        to="+15005550001",
        lesson="Nothing was sent, and the response says why.",
        rejected_with=21211,
    ),
    Scenario(
        title="Twilio introduces a new status",
        to="+15555550113",
        lesson="The stack keeps it in the history, and waits for a final status.",
        campaign="reminder",
        status="sent",
        outcome="pending",
        reported=("sent", "paused_by_carrier"),
    ),
)


def demo(console: Console, settings: Settings) -> int:
    """Run the demo in a sandbox, and return 0 if every message ended as expected, else 1."""
    emails: list[Email] = []
    with running_sandbox(console, settings, on_email=emails.append) as sandbox:
        responses = _send_all(console, sandbox)
        with step(console, "Waiting for Twilio's status callbacks"):
            results = [
                _wait_for_result(sandbox, scenario, response)
                for scenario, response in zip(SCENARIOS, responses, strict=True)
            ]
        for number, result in enumerate(results, start=1):
            _print_result(console, number, result)
        problems = [f"{it.scenario.title}: {it.problem}" for it in results if it.problem]
        messages = [it.message for it in results if it.message]
        problems += _wait_for_emails(messages, emails)
        _print_emails(console, emails)
        outcomes = Counter(it["outcome"] for it in messages)
        problems += show_report(console, sandbox.endpoints, outcomes)
    console.print()
    if problems:
        console.print("Not every message ended as expected:", style="red")
        for problem in problems:
            console.print(f"  {problem}", style="red")
        return 1
    _print_next_steps(console)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """What became of a message; `problem` says what was expected instead, if anything."""

    scenario: Scenario
    response: Json
    message: Json = None
    problem: str = ""


def _send_all(console: Console, sandbox: Sandbox) -> list[Response]:
    url = f"{sandbox.endpoints.messages_api_url}/messages"
    console.print()
    console.print(f"Sending {len(SCENARIOS)} messages: POST {url}", style="bold")
    responses = []
    for number, scenario in enumerate(SCENARIOS, start=1):
        response = call(
            "POST",
            url,
            content={
                "to": scenario.to,
                "from": _SENDER,
                "body": f"Hello, this is message {number}.",
                "reference": f"demo-{number}",
                "context": {"campaign": scenario.campaign},
            },
        )
        responses.append(response)
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        message_sid = json.loads(response.body).get("message_sid", "")
        console.print(f"  {number}  to {scenario.to}  {status:<25}  {message_sid}".rstrip())
    console.print()
    return responses


def _wait_for_result(sandbox: Sandbox, scenario: Scenario, response: Response) -> _Result:
    content = json.loads(response.body)
    if scenario.rejected_with is not None:
        rejected = response.status == HTTPStatus.UNPROCESSABLE_ENTITY
        as_expected = rejected and content["error_code"] == scenario.rejected_with
        problem = "" if as_expected else f"expected a rejection with {scenario.rejected_with}"
        return _Result(scenario=scenario, response=content, problem=problem)
    if response.status != HTTPStatus.CREATED:
        return _Result(scenario=scenario, response=content, problem=f"sent: {response.status}")
    message_sid = content["message_sid"]
    problem = ""
    try:
        wait_for(
            lambda: _is_as_expected(sandbox, scenario, message_sid),
            timeout=_TIMEOUT_SECONDS,
            what=f"outcome {scenario.outcome} after {', '.join(scenario.reported)}",
        )
    except TimedOut as error:
        problem = str(error)
    message = _message(sandbox, message_sid)
    return _Result(scenario=scenario, response=content, message=message, problem=problem)


def _is_as_expected(sandbox: Sandbox, scenario: Scenario, message_sid: str) -> bool:
    sandbox.emulator.raise_if_ended()
    url = f"{sandbox.endpoints.twilio_api_base_url}/_simulator/messages/{message_sid}"
    states = [it["state"] for it in json.loads(call("GET", url).body)["callbacks"]]
    message = _message(sandbox, message_sid)
    return scenario.matches(message, acknowledged=states.count("answered"))


def _message(sandbox: Sandbox, message_sid: str) -> Json:
    response = call("GET", f"{sandbox.endpoints.messages_api_url}/messages/{message_sid}")
    return json.loads(response.body)


def _print_result(console: Console, number: int, result: _Result) -> None:
    scenario = result.scenario
    console.print()
    console.print(f"{number}  {scenario.title}", style="bold")
    console.print(f"   {scenario.lesson}", style="dim")
    if result.message:
        _print_timeline(console, result.message)
    else:
        console.print(f"   {result.response.get('detail', result.response)}")
    if result.problem:
        console.print(f"   {result.problem}", style="red")


def _print_timeline(console: Console, message: Json) -> None:
    start = datetime.fromisoformat(message["transitions"][0]["at"])
    for transition in message["transitions"]:
        seconds = (datetime.fromisoformat(transition["at"]) - start).total_seconds()
        code = f" (error {transition['error_code']})" if "error_code" in transition else ""
        status = transition["status"] + code
        console.print(f"   {seconds:5.2f} s  {status:<25}  {SOURCE_LABELS[transition['source']]}")
    outcome = message["outcome"]
    console.print(Text.assemble("   Outcome: ", (outcome, _STYLES.get(outcome, "yellow"))))
    if explanation := message.get("explanation"):
        console.print(f"   {explanation['title']}. {explanation['action']}")


def _wait_for_emails(messages: Sequence[Json], emails: Sequence[Email]) -> list[str]:
    """Wait for an email about each failed message, and return what is wrong with them."""
    failed = [it for it in messages if it["outcome"] == "failed"]
    try:
        wait_for(
            lambda: len(emails) >= len(failed),
            timeout=_TIMEOUT_SECONDS,
            what="An email for each failed message",
        )
    except TimedOut as error:
        return [str(error)]
    return check_emails(messages, emails)


def check_emails(messages: Sequence[Json], emails: Sequence[Email]) -> list[str]:
    """Return a problem unless there is one email about each failed message, and no other."""
    failed = sorted(it["message_sid"] for it in messages if it["outcome"] == "failed")
    notified = sorted(
        next(
            (it["message_sid"] for it in messages if it["message_sid"] in email.text), "no message"
        )
        for email in emails
    )
    return [] if notified == failed else [f"Expected emails about {failed}, not {notified}"]


def _print_emails(console: Console, emails: Sequence[Email]) -> None:
    for email in emails:
        console.print()
        console.print("The failure notice, as the on-call person receives it", style="bold")
        console.print()
        print_email(console, email)


def _print_next_steps(console: Console) -> None:
    console.print("Every message ended as expected.", style="green")
    console.print()
    console.print("Next steps", style="bold")
    for command, effect in (
        ("make sandbox", "keep the sandbox running, and try it yourself"),
        ("make deploy", "deploy into your AWS account; see docs/getting-started.md"),
        ("make test", "run all tests"),
    ):
        console.print(Text.assemble("  ", (f"{command:<14}", "cyan"), effect))
