"""Sends through SendQueue and by direct invocation."""

import json
from collections.abc import Callable

import pytest
import requests

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import SENDER, TIMEOUT_SECONDS, ExternalClient, Inbox, a_key


@pytest.mark.parametrize(
    ("to", "error_code"),
    [("not-a-number", None), ("+15005550001", 21211)],
    ids=["by us", "by Twilio"],
)
def test_a_rejection_on_the_queue_is_final_and_notified(
    client: ExternalClient,
    inbox: Inbox,
    no_open_incident: Callable[[str], None],
    to: str,
    error_code: int | None,
) -> None:
    no_open_incident(str(error_code or "rejected"))
    reference = a_key()
    client.enqueue({"to": to, "from": SENDER, "body": "x", "reference": reference})

    (item,) = client.wait_for_items(
        lambda it: it.get("reference") == reference, "The rejected request"
    )
    inbox.wait_for(item["message_sid"])

    assert (item["status"], item["outcome"], item.get("error_code")) == (
        "rejected",
        "failed",
        error_code,
    )
    assert item["message_sid"] == item["request_id"]


def test_a_message_of_a_batch_whose_time_has_passed_is_invalid(client: ExternalClient) -> None:
    late = {
        "to": "+15551234567",
        "messaging_service_sid": f"MG{'0' * 32}",
        "body": "Late",
        "send_at": "2020-01-01T00:00:00Z",
    }

    response = requests.post(
        f"{client.endpoints['messages_api_url']}/messages/batch",
        json={"messages": [late]},
        timeout=35,
    )

    assert response.status_code == 202, response.text
    (result,) = response.json()["results"]
    assert [it["field"] for it in result["problems"]] == ["send_at"]


def test_the_sender_can_be_invoked_directly(client: ExternalClient, sandbox: Sandbox) -> None:
    document = {"to": "+15551234567", "from": SENDER, "body": "Directly"}

    response = client.aws("lambda").invoke(
        FunctionName=sandbox.stack.outputs["SendMessageFunctionArn"], Payload=json.dumps(document)
    )

    result = json.loads(response["Payload"].read())
    assert result["status_code"] == 201
    assert client.message(result["body"]["message_sid"]) is not None


def test_an_asynchronous_invocation_that_sends_nothing_reaches_the_failures_queue_once(
    client: ExternalClient, sandbox: Sandbox
) -> None:
    sqs = client.aws("sqs")
    queue = sandbox.stack.resources["SendInvocationFailuresQueue"]
    reference = a_key()
    document = {"to": "+15551234567", "raise_on_error": True, "reference": reference}

    client.aws("lambda").invoke(
        FunctionName=sandbox.stack.outputs["SendMessageFunctionArn"],
        InvocationType="Event",
        Payload=json.dumps(document),
    )

    def receive() -> list[str]:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=3)
        for message in found.get("Messages", []):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [it["Body"] for it in found.get("Messages", [])]

    (failure,) = wait_for(
        receive, timeout=TIMEOUT_SECONDS, what="The record of the failed invocation"
    )
    assert reference in failure
    assert receive() == []
