"""`python -m sandbox demo`: a tour of some messages, each with a story of its own."""

import json
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from sandbox.aws.mailbox import Email
from sandbox.console import step
from sandbox.http_server import Response, call
from sandbox.lifecycle import Sandbox, Settings, running_sandbox
from sandbox.polling import TimedOut, wait_for
from sandbox.up import show_email

type Json = Any
"""What an API answered."""

_SENDER: Final = "+15005550006"
_ENDS_WITHIN_SECONDS: Final = 30
_SOURCES: Final = {
    "send": "Twilio's answer to the request",
    "callback": "status callback",
    "reconcile": "found by asking Twilio",
}
_STYLES: Final = {"delivered": "green", "failed": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A message, and how it has to end for the tour to be a success."""

    title: str
    to: str
    callbacks: int = 0
    """How many Twilio sends."""
    outcome: str = ""
    status: str = ""
    """The last word on the message; not always the last that arrived."""
    told: tuple[str, ...] = ()
    """What the callbacks say, or Twilio when it is asked."""
    in_this_order: bool = False
    """Whether they have to arrive in the order of `told`; usually nobody can say."""
    error_code: int | None = None
    refused_with: int | None = None
    """Twilio's error code if it does not take the message at all."""

    def holds(self, message: Json) -> bool:
        """Whether the message is what the story says.

        On a busy machine Twilio may be asked about a message before its callback is through.
        """
        arrived = tuple(
            transition["status"]
            for transition in message["transitions"]
            if transition["source"] != "send"
        )
        told = self.told if self.in_this_order else tuple(sorted(self.told))
        return (message["status"], message["outcome"], message.get("error_code"), told) == (
            self.status,
            self.outcome,
            self.error_code,
            arrived if self.in_this_order else tuple(sorted(arrived)),
        )


STORIES: Final = (
    Story(
        title="A message that arrives",
        to="+15551234567",
        callbacks=2,
        outcome="delivered",
        status="delivered",
        told=("sent", "delivered"),
    ),
    Story(
        title="The phone is switched off",
        to="+15555530003",
        callbacks=2,
        outcome="failed",
        status="undelivered",
        told=("sent", "undelivered"),
        error_code=30003,
    ),
    Story(
        title="One callback overtakes another",
        to="+15555550101",
        callbacks=2,
        outcome="delivered",
        status="delivered",
        told=("delivered", "sent"),
        in_this_order=True,
    ),
    Story(
        title="Every callback comes twice",
        to="+15555550102",
        callbacks=4,
        outcome="delivered",
        status="delivered",
        told=("sent", "delivered"),
    ),
    Story(
        title="Every callback is lost",
        to="+15555550104",
        outcome="delivered",
        status="delivered",
        told=("delivered",),
    ),
    Story(
        title="Twilio refuses the number",
        to="+15005550001",
        refused_with=21211,
    ),
    Story(
        title="A status that does not exist today",
        to="+15555550113",
        callbacks=2,
        outcome="pending",
        status="sent",
        told=("sent", "paused_by_carrier"),
    ),
)


def demo(console: Console, settings: Settings) -> int:
    """Start a sandbox, play the tour, end it: 0 if every message ended as its story says."""
    emails: list[Email] = []
    with running_sandbox(console, settings, emailed=emails.append) as sandbox:
        answers = _send_all(console, sandbox)
        with step(console, "Waiting for Twilio's status callbacks, or asking where they are lost"):
            ends = [
                _end(sandbox, story, answer) for story, answer in zip(STORIES, answers, strict=True)
            ]
        wrong = [
            end.wrong
            for number, end in enumerate(ends, start=1)
            if not _show_end(console, number, end)
        ]
        wrong += _show_notices(console, sandbox, ends, emails)
    console.print()
    if wrong:
        console.print("Not everything went as it should:", style="red")
        for what in wrong:
            console.print(f"  {what}", style="red")
        return 1
    _show_what_next(console)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """Where a message stands when its story is over; `wrong` is what should be otherwise."""

    story: Story
    answer: Json
    message: Json = None
    callbacks: int = 0
    wrong: str = ""


def _send_all(console: Console, sandbox: Sandbox) -> list[Response]:
    url = f"{sandbox.endpoints.messages_api_url}/messages"
    console.print()
    console.print(f"Sending {len(STORIES)} messages: POST {url}", style="bold")
    answers = []
    for number, story in enumerate(STORIES, start=1):
        answer = call(
            "POST",
            url,
            content={
                "to": story.to,
                "from": _SENDER,
                "body": f"Hello, this is message {number}.",
                "reference": f"tour-{number}",
            },
        )
        answers.append(answer)
        content = json.loads(answer.body)
        console.print(
            f"  {number}  {story.to}  {answer.status} {HTTPStatus(answer.status).phrase:<22}"
            f"{content.get('message_sid', '')}".rstrip()
        )
    console.print()
    return answers


def _end(sandbox: Sandbox, story: Story, answer: Response) -> _End:
    """Wait until the story is over, however it ends."""
    content = json.loads(answer.body)
    if story.refused_with is not None:
        refused = answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
        as_told = refused and content["error_code"] == story.refused_with
        wrong = "" if as_told else f"should be refused with {story.refused_with}"
        return _End(story=story, answer=content, wrong=wrong and f"{story.title}: {wrong}")
    if answer.status != HTTPStatus.CREATED:
        return _End(story=story, answer=content, wrong=f"{story.title}: not sent ({answer.status})")
    message_sid = content["message_sid"]
    try:
        wait_for(
            lambda: _is_over(sandbox, story, message_sid),
            within=_ENDS_WITHIN_SECONDS,
            what=f"{story.title}: {', '.join(story.told)} and outcome {story.outcome}",
        )
        wrong = ""
    except TimedOut as waited:
        wrong = str(waited)
    return _End(
        story=story,
        answer=content,
        message=_message(sandbox, message_sid),
        callbacks=_callbacks(sandbox, message_sid),
        wrong=wrong,
    )


def _is_over(sandbox: Sandbox, story: Story, message_sid: str) -> bool:
    sandbox.emulator.check()
    called = _callbacks(sandbox, message_sid) == story.callbacks
    return called and story.holds(_message(sandbox, message_sid))


def _message(sandbox: Sandbox, message_sid: str) -> Json:
    answer = call("GET", f"{sandbox.endpoints.messages_api_url}/messages/{message_sid}")
    return json.loads(answer.body)


def _callbacks(sandbox: Sandbox, message_sid: str) -> int:
    """How many callbacks of this message Twilio got an answer to."""
    url = f"{sandbox.endpoints.twilio_api_base_url}/_simulator/messages/{message_sid}"
    callbacks = json.loads(call("GET", url).body)["callbacks"]
    return sum(callback["state"] == "answered" for callback in callbacks)


def _show_end(console: Console, number: int, end: _End) -> bool:
    console.print()
    console.print(f"{number}  {end.story.title}", style="bold")
    if end.message:
        _show_timeline(console, end)
    else:
        console.print(f"   {end.answer.get('detail', end.answer)}")
    if end.wrong:
        console.print(f"   Wrong: {end.wrong}", style="red")
    return not end.wrong


def _show_timeline(console: Console, end: _End) -> None:
    message = end.message
    start = datetime.fromisoformat(message["transitions"][0]["at"])
    for transition in message["transitions"]:
        at = datetime.fromisoformat(transition["at"])
        code = f" (error {transition['error_code']})" if "error_code" in transition else ""
        console.print(
            f"   {at:%H:%M:%S}.{at.microsecond // 1000:03d}"
            f"  +{(at - start).total_seconds():.2f} s"
            f"  {transition['status'] + code:<25}  {_SOURCES[transition['source']]}"
        )
    outcome = message["outcome"]
    console.print(
        Text.assemble(
            f"   To {message['to']}: status {message['status']}, outcome ",
            (outcome, _STYLES.get(outcome, "yellow")),
            f"; callbacks: {end.callbacks}",
        )
    )
    if explanation := message.get("explanation"):
        console.print(f"   {explanation['title']}. {explanation['action']}")


def _show_notices(
    console: Console, sandbox: Sandbox, ends: list[_End], emails: list[Email]
) -> list[str]:
    """Show what the on-call person got; say what is missing or too much."""
    failed = sorted(
        end.message["message_sid"]
        for end in ends
        if end.message and end.message["outcome"] == "failed"
    )
    try:
        wait_for(
            lambda: len(emails) >= len(failed),
            within=_ENDS_WITHIN_SECONDS,
            what="An email for each failed message",
        )
    except TimedOut as waited:
        return [str(waited)]
    console.print()
    console.print("The failure notice, as the on-call person gets it by email", style="bold")
    for email in emails:
        console.print()
        show_email(console, email)
    waiting = sandbox.account.take(sandbox.endpoints.notices_queue_url)
    queued = sorted(_told_of(notice) for notice in waiting)
    return [] if queued == failed else [f"Notices for {queued} in the queue, not for {failed}"]


def _told_of(notice: str) -> str:
    told_of: str = json.loads(notice)["metadata"]["additionalContext"]["message_sid"]
    return told_of


def _show_what_next(console: Console) -> None:
    console.print("Every message ended as its story says.", style="green")
    console.print()
    console.print("What next?", style="bold")
    for command, what in (
        ("make sandbox", "the same system, up until Ctrl-C, with commands to try on it"),
        ("make test", "every promise of it, and attempts to break them"),
        ("make deploy", "into your own AWS account; docs/getting-started.md has each step"),
    ):
        console.print(Text.assemble("  ", (f"{command:<14}", "cyan"), what))
