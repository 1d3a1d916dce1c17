"""A campaign during which the functions are killed repeatedly, with every parameter set.

The stack is deployed with a value that is not the default for each parameter, all at once.
"""

import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
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
from tests.e2e.external_client import SENDER, Json, request_id_of
from tests.support.every_parameter import CANARY_TO, EVERY_PARAMETER

MESSAGES: Final = 200
BATCH_SIZE: Final = 100
TIMEOUT_SECONDS: Final = 600
# Longer than the function's timeout, as in AWS, so that two never work on one message.
VISIBILITY_TIMEOUT_SECONDS: Final = 35
RECIPIENTS: Final = "+1444"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Its own sandbox, without messages of other tests."""
    settings = Settings(parameters=EVERY_PARAMETER)
    with running_sandbox(new_console(io.StringIO()), settings, on_email=lambda _: None) as sandbox:
        sandbox.account.set_visibility_timeout(
            sandbox.stack.resources["SendQueue"], VISIBILITY_TIMEOUT_SECONDS
        )
        yield sandbox


def send_batch(sandbox: Sandbox, batch: Sequence[Json], key: str) -> list[Json] | None:
    """The results of a batch; None if the caller has to retry."""
    response = requests.post(
        f"{sandbox.endpoints.messages_api_url}/messages/batch",
        json={"messages": batch},
        headers={"Idempotency-Key": key},
        timeout=35,
    )
    results: list[Json] = response.json()["results"] if response.status_code == 202 else []
    return results or None


def queue_campaign(sandbox: Sandbox) -> list[str]:
    """Queue the campaign in batches, and return the ids of its requests."""
    documents = (
        {"to": f"{RECIPIENTS}{number:07d}", "from": SENDER, "body": f"Campaign {number}"}
        for number in range(MESSAGES)
    )
    request_ids: list[str] = []
    for number, batch in enumerate(batched(documents, BATCH_SIZE, strict=False)):
        send = partial(send_batch, sandbox, batch, f"campaign-{number}")
        results = wait_for(send, timeout=TIMEOUT_SECONDS, what=f"A response to batch {number}")
        request_ids += [result["request_id"] for result in results]
    return request_ids


def at_twilio(sandbox: Sandbox) -> list[Message]:
    """All messages of the campaign that Twilio accepted."""
    messages = sandbox.simulator.apply(lambda twilio: twilio.messages())
    return [message for message in messages if message.to.startswith(RECIPIENTS)]


def have_arrived(sandbox: Sandbox, number: int) -> bool:
    return len(at_twilio(sandbox)) >= number


def known_requests(sandbox: Sandbox, request_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    items = sandbox.account.scan(sandbox.stack.resources["SendRequestsTable"])
    requests = {item["request_id"]: item for item in items}
    return {it: requests[it] for it in request_ids if it in requests}  # not those of the canary


def is_final(sandbox: Sandbox, request_ids: Collection[str]) -> bool:
    known = known_requests(sandbox, request_ids)
    states = Counter(request["state"] for request in known.values())
    waiting = sandbox.account.count_messages(sandbox.endpoints.send_queue_url)
    return states.total() == MESSAGES and set(states) <= {"sent", "presumed_unsent"} and not waiting


def test_killing_functions_during_a_campaign_neither_loses_nor_repeats_a_message(
    sandbox: Sandbox,
) -> None:
    queued = queue_campaign(sandbox)
    killed = 0
    for tenths in (2, 4, 6, 8):
        number = MESSAGES * tenths // 10
        wait_for(
            partial(have_arrived, sandbox, number),
            timeout=TIMEOUT_SECONDS,
            what=f"{number} messages",
        )
        killed += sandbox.emulator.kill_workers()
    # As a caller that does not know whether the batches were queued.
    queued_again = queue_campaign(sandbox)
    wait_for(
        partial(is_final, sandbox, queued),
        timeout=TIMEOUT_SECONDS,
        what="A final state of every request",
    )

    known = known_requests(sandbox, queued)
    sent = Counter(
        request_id_of(urlsplit(str(message.status_callback))._replace(fragment="").geturl())
        for message in at_twilio(sandbox)
    )
    assert killed > 0
    assert queued == queued_again
    assert set(known) == set(queued)
    assert set(sent.values()) == {1}
    assert {it for it, request in known.items() if request["state"] == "sent"} == set(sent)
    # A function that was killed between claim and post has not sent; each of these is a failure.
    unsent = [it for it, request in known.items() if request["state"] == "presumed_unsent"]
    items = {it["message_sid"]: it for it in sandbox.account.scan(sandbox.endpoints.messages_table)}
    assert all(items[request_id]["outcome"] == "failed" for request_id in unsent)


def test_the_canary_is_delivered_again_and_again(sandbox: Sandbox) -> None:
    def delivered() -> list[dict[str, Any]]:
        items = sandbox.account.scan(sandbox.endpoints.messages_table)
        canaries = [it for it in items if it.get("to") == CANARY_TO]
        return [it for it in canaries if it["outcome"] == "delivered"]

    wait_for(lambda: len(delivered()) > 1, timeout=60, what="A second canary message")

    assert {it["reference"] for it in delivered()} == {"canary"}
