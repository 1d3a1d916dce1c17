"""`send`: one message, at most once."""

import secrets
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from delivery_cli.commands.show import draw_state
from delivery_cli.errors import NoAnswer
from delivery_cli.message_view import draw_message
from delivery_cli.messages_api import Answer, Json, MessagesApi
from delivery_cli.output import Screen
from delivery_cli.terminal_text import visible

_TRIES: Final = 3


def send(screen: Screen, api: MessagesApi, document: Json, *, key: str | None) -> Answer:
    """Ask for one message, and again under the same key where only the answer was lost.

    Raises:
        CommandError: the request could not be made.
        NoAnswer: nobody knows whether it was sent; says how to find out.
    """
    key = key or f"cli-{secrets.token_hex(16)}"
    try:
        return _answer_under(key, api, document)
    except KeyboardInterrupt:
        screen.error(_not_known("It was stopped.", key))
        raise


def _answer_under(key: str, api: MessagesApi, document: Json) -> Answer:
    lost: NoAnswer | None = None
    for _ in range(_TRIES):
        try:
            answer = api.send(document, key=key)
        except NoAnswer as error:
            lost = error
            continue
        # API Gateway's own 503 says only that the function did not answer in time.
        if answer.is_the_functions:
            return answer
        lost = NoAnswer(f"The stack did not answer in time: {answer.detail}.")
    raise _not_known(f"{lost}", key)


def _not_known(cause: str, key: str) -> NoAnswer:
    return NoAnswer(
        f"{cause} Whether the message was sent is not known.",
        f"Repeat the command with --idempotency-key {key}: under one key nothing is sent twice.",
    )


def show_answer(screen: Screen, answer: Answer) -> int:
    """Show what came of it: 0 if there is a message, else 1."""
    screen.result(answer.content, _drawn(answer))
    return 0 if answer.status in {HTTPStatus.CREATED, HTTPStatus.OK} else 1


def id_to_watch(answer: Answer) -> str | None:
    """Of the message, or of the request that may become one; None if there will be none."""
    match answer.status:
        case HTTPStatus.CREATED | HTTPStatus.OK:
            return str(answer.content["message_sid"])
        case HTTPStatus.ACCEPTED:
            return str(answer.content["request_id"])
        case _:
            return None


def _drawn(answer: Answer) -> Iterator[RenderableType]:
    content = answer.content
    match answer.status:
        case HTTPStatus.CREATED:
            yield from draw_message(content)
        case HTTPStatus.OK:
            yield Text("It was sent before, under the same key; nothing was sent now.", "yellow")
            yield from draw_message(content) if "outcome" in content else _ids(content)
        case HTTPStatus.ACCEPTED:
            yield draw_state(content)
            yield Text(visible(f"`delivery watch {content['request_id']}` waits for it."))
        case HTTPStatus.SERVICE_UNAVAILABLE:
            yield Text(visible(answer.detail), style="red")
            yield Text("`delivery doctor` looks for the cause.")
        case HTTPStatus.BAD_REQUEST:
            yield Text("It cannot be sent as it is:", style="red")
            for problem in content.get("problems", []):
                yield Text(visible(f"  {problem['field']} {problem['problem']}"))
        case _:
            yield Text(visible(answer.detail), style="red")
            yield from _ids(content)


def _ids(content: Json) -> Iterator[RenderableType]:
    for name in ("message_sid", "request_id"):
        if name in content:
            yield Text(f"{name.replace('_', ' ')}: {visible(content[name])}")
