"""Requests that nobody waits for: SendQueue and direct invocation."""

import json
from collections.abc import Callable

from sandbox.lifecycle import Sandbox
from tests.e2e.outside import SENDER, Inbox, OutsideProgram


def test_a_message_on_the_queue_is_sent_and_tracked(program: OutsideProgram) -> None:
    program.enqueue(
        {"to": "+15551234567", "from": SENDER, "body": "From the queue", "reference": "queue-1"}
    )

    (item,) = program.items_when(
        lambda it: it.get("reference") == "queue-1" and it["outcome"] == "delivered",
        "The queued message, delivered",
    )

    assert item["message_sid"].startswith("SM")


def test_bad_input_on_the_queue_is_final_and_noticed(
    program: OutsideProgram, inbox: Inbox, first_of_its_kind: Callable[[str], None]
) -> None:
    first_of_its_kind("rejected")
    program.enqueue({"to": "nobody", "from": SENDER, "body": "x", "reference": "queue-2"})

    (item,) = program.items_when(lambda it: it.get("reference") == "queue-2", "The refused request")
    inbox.wait_for(item["message_sid"])

    assert (item["status"], item["outcome"]) == ("rejected", "failed")
    assert item["message_sid"] == item["request_id"]


def test_a_refusal_of_twilio_on_the_queue_is_final_and_noticed(
    program: OutsideProgram, inbox: Inbox, first_of_its_kind: Callable[[str], None]
) -> None:
    first_of_its_kind("21211")
    program.enqueue({"to": "+15005550001", "from": SENDER, "body": "x", "reference": "queue-3"})

    (item,) = program.items_when(lambda it: it.get("reference") == "queue-3", "The refused request")
    inbox.wait_for(item["message_sid"])

    assert (item["status"], item["outcome"], item["error_code"]) == ("rejected", "failed", 21211)


def test_the_sender_can_be_invoked_directly(program: OutsideProgram, sandbox: Sandbox) -> None:
    document = {"to": "+15551234567", "from": SENDER, "body": "Directly"}

    answer = program.client("lambda").invoke(
        FunctionName=sandbox.stack.resources["SendMessageFunction"], Payload=json.dumps(document)
    )

    result = json.loads(answer["Payload"].read())
    assert result["status_code"] == 201
    assert program.message(result["body"]["message_sid"]) is not None
