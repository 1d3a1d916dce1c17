"""`show`, `cancel`: one message, or one request to send."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.errors import CommandError
from delivery_cli.message_view import draw_message, draw_pairs
from delivery_cli.messages_api import Json, MessagesApi
from delivery_cli.output import Screen
from delivery_cli.terminal_text import visible

_STATES: Final = {
    "in_progress": ("It is being sent right now.", "yellow"),
    "sent": ("It was sent.", "green"),
    "rejected": ("It was refused; nothing was sent.", "red"),
    "in_doubt": (
        "It may have been sent: the request left, and no answer came. Evidence will settle it.",
        "yellow",
    ),
    "presumed_unsent": ("It was probably not sent.", "red"),
}


def is_request_id(named: str) -> bool:
    """Whether it is an id of ours, and not a message's SID."""
    return named.strip().lower().startswith("rq_")


def show(screen: Screen, api: MessagesApi, named: str) -> int:
    """Show the message with this SID, or the request with this id and its message."""
    if not is_request_id(named):
        message = _message_of(api, named)
        screen.result(message, draw_message(message))
        return 0
    request = _request_of(api, named)
    message_sid = request.get("message_sid")
    sent = api.message(message_sid) if message_sid else None
    screen.result(request | {"message": sent}, _draw_request(request, sent))
    return 0


def cancel(screen: Screen, api: MessagesApi, message_sid: str) -> int:
    """Cancel a scheduled message, and show it: 0 also if it was canceled before."""
    answer = api.cancel(message_sid)
    message = answer.content if answer.status == HTTPStatus.OK else api.message(message_sid)
    if message is None:
        raise CommandError(f"It was not canceled: {answer.detail}")
    if answer.status != HTTPStatus.OK and message["outcome"] != "canceled":
        fix = (
            "Try again in a minute; `delivery doctor` looks for the cause."
            if message["status"] == "scheduled"
            else f"Its status is {visible(message['status'])}; only a scheduled message can be "
            "canceled."
        )
        raise CommandError(f"It was not canceled: {answer.detail}", fix)
    screen.result(message, draw_message(message))
    return 0 if message["outcome"] == "canceled" else 1


def _message_of(api: MessagesApi, message_sid: str) -> Json:
    """The message with this SID.

    Raises:
        CommandError: the stack does not know it.
    """
    message = api.message(message_sid)
    if message is None:
        raise CommandError(
            f"This stack knows no message {visible(message_sid)}.",
            "Is it the right stack (--stack-name, --region)? A message is known once this stack "
            "sent it or got a status callback of it. `delivery find --to NUMBER` lists those of "
            "a recipient.",
        )
    return message


def _request_of(api: MessagesApi, request_id: str) -> Json:
    """The request with this id.

    Raises:
        CommandError: the stack does not know it.
    """
    request = api.request(request_id)
    if request is None:
        raise CommandError(
            f"This stack knows no request {visible(request_id)}.",
            "A request on the queue is known once it is taken up; one that ended is forgotten "
            "after IdempotencyKeyRetentionDays.",
        )
    return request


def draw_state(request: Json) -> Text:
    """Where the request stands, in a sentence."""
    state = request["state"]
    return Text(*_STATES.get(state, (visible(state), "")))


def _draw_request(request: Json, message: Json | None) -> Iterator[RenderableType]:
    yield Text(visible(request["request_id"]), style="bold")
    yield draw_state(request)
    problem = request.get("problem", {})
    explanation = problem.get("explanation", {})
    pairs = (
        ("reference", request.get("reference")),
        ("error", problem.get("error_code")),
        ("", explanation.get("title")),
        ("what to do", explanation.get("action") or problem.get("detail")),
    )
    if told := [(name, value) for name, value in pairs if value is not None]:
        yield draw_pairs(told)
    if message:
        yield Text()
        yield from draw_message(message)
