"""A campaign whose functions are killed again and again in the middle of it."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import batched
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.console import new_console
from sandbox.lifecycle import Sandbox, Settings, running_sandbox
from sandbox.polling import wait_for
from sandbox.twilio.resource import Message
from tests.e2e.outside import SENDER, Json, request_id_of

MESSAGES: Final = 200
A_CALL: Final = 100
WITHIN_SECONDS: Final = 600
# Longer than a function lives, as where it is deployed: else two would work on one message.
REDELIVERED_AFTER_SECONDS: Final = 35
PARAMETERS: Final = {
    "SenderSegmentsPerSecond": "50",
    "ReconcileAfterMinutes": "5",
    "InDoubtTimeoutMinutes": "0.5",  # a claim holds for 29 seconds
    "UnconfirmedAfterHours": "1",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One of its own, so that no others' messages are among these."""
    settings = Settings(parameters=PARAMETERS)
    with running_sandbox(new_console(io.StringIO()), settings, on_email=lambda _: None) as sandbox:
        sandbox.account.set_visibility_timeout(
            sandbox.stack.resources["SendQueue"], REDELIVERED_AFTER_SECONDS
        )
        yield sandbox


def asked_for(sandbox: Sandbox, batch: Sequence[Json], key: str) -> list[Json] | None:
    """What became of each message of a batch; None where the caller has to ask again."""
    answer = requests.post(
        f"{sandbox.endpoints.messages_api_url}/messages/batch",
        json={"messages": batch},
        headers={"Idempotency-Key": key},
        timeout=35,
    )
    results: list[Json] = answer.json()["results"] if answer.status_code == 202 else []
    return results or None


def ask_for_all(sandbox: Sandbox) -> list[str]:
    """Put the campaign into the queue, a batch a call: the ids of its requests."""
    documents = (
        {"to": f"+1444{number:07d}", "from": SENDER, "body": f"Campaign {number}"}
        for number in range(MESSAGES)
    )
    request_ids: list[str] = []
    for number, batch in enumerate(batched(documents, A_CALL, strict=False)):
        ask = partial(asked_for, sandbox, batch, f"campaign-{number}")
        results = wait_for(ask, timeout=WITHIN_SECONDS, what=f"The answer to batch {number}")
        request_ids += [result["request_id"] for result in results]
    return request_ids


def at_twilio(sandbox: Sandbox) -> list[Message]:
    """Every message that Twilio has accepted."""
    return list(sandbox.simulator.apply(lambda twilio: twilio.messages()))


def are_sent(sandbox: Sandbox, number: int) -> bool:
    return len(at_twilio(sandbox)) >= number


def known_requests(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    items = sandbox.account.scan(sandbox.stack.resources["SendRequestsTable"])
    return {item["request_id"]: item for item in items if "state" in item}


def is_over(sandbox: Sandbox) -> bool:
    states = Counter(request["state"] for request in known_requests(sandbox).values())
    waiting = sandbox.account.count_messages(sandbox.endpoints.send_queue_url)
    return states.total() == MESSAGES and set(states) <= {"sent", "presumed_unsent"} and not waiting


def test_a_campaign_survives_its_functions_deaths_without_a_double_send_or_a_loss(
    sandbox: Sandbox,
) -> None:
    asked = ask_for_all(sandbox)
    killed = 0
    for tenths in (2, 4, 6, 8):
        number = MESSAGES * tenths // 10
        wait_for(
            partial(are_sent, sandbox, number), timeout=WITHIN_SECONDS, what=f"{number} messages"
        )
        killed += sandbox.emulator.kill_workers()
    asked_again = ask_for_all(sandbox)  # as whoever has seen that, and fears for the rest
    wait_for(partial(is_over, sandbox), timeout=WITHIN_SECONDS, what="The end of every request")

    known = known_requests(sandbox)
    sent = Counter(
        request_id_of(urlsplit(str(message.status_callback))._replace(fragment="").geturl())
        for message in at_twilio(sandbox)
    )
    assert killed > 0
    assert asked == asked_again
    assert set(known) == set(asked)
    assert set(sent.values()) == {1}
    assert {it for it, request in known.items() if request["state"] == "sent"} == set(sent)
    # Who died between the claim and the post has not sent; people are told of each of those.
    refused = [it for it, request in known.items() if request["state"] == "presumed_unsent"]
    items = {it["message_sid"]: it for it in sandbox.account.scan(sandbox.endpoints.messages_table)}
    assert all(items[request_id]["outcome"] == "failed" for request_id in refused)
