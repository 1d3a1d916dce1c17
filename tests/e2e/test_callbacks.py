"""Status callbacks for messages that this stack did not send."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from twilio.request_validator import RequestValidator

from sandbox.aws.gateway import Fault, FaultKind
from sandbox.lifecycle import Sandbox
from tests.e2e.external_client import ExternalClient, a_message_sid

STATUSES = ("queued", "sent", "delivered", "read")
CALLBACKS = "/twilio/status"


@pytest.mark.parametrize("order", [STATUSES[::-1], ("sent", "read", "queued", "delivered")])
def test_the_order_of_callbacks_does_not_matter(
    client: ExternalClient, order: tuple[str, ...]
) -> None:
    message_sid = a_message_sid()

    responses = [client.post_callback(message_sid, status).status_code for status in order]

    assert responses == [204] * len(order)
    item = client.item(message_sid)
    assert (item["status"], item["outcome"]) == ("read", "delivered")
    assert tuple(entry["status"] for entry in item["transitions"]) == order


def test_concurrent_and_repeated_callbacks_are_recorded_once(client: ExternalClient) -> None:
    message_sid = a_message_sid()
    statuses = ["sent", "undelivered", "delivered"] * 4

    with ThreadPoolExecutor(len(statuses)) as pool:
        responses = list(
            pool.map(lambda status: client.post_callback(message_sid, status), statuses)
        )

    assert [response.status_code for response in responses] == [204] * len(statuses)
    item = client.item(message_sid)
    assert (item["status"], item["outcome"]) == ("delivered", "delivered")
    recorded = sorted(entry["status"] for entry in item["transitions"])
    assert recorded == ["delivered", "sent", "undelivered"]


def test_a_signature_is_valid_only_for_its_token_url_and_parameters(client: ExternalClient) -> None:
    message_sid = a_message_sid()
    url = client.endpoints["status_callback_url"]
    parameters = client.parameters(message_sid, "delivered")
    ours = RequestValidator(client.endpoints["twilio_auth_token"])
    theirs = RequestValidator("another-auth-token")

    responses = [
        client.post(url, parameters, None),
        client.post(url, parameters, theirs.compute_signature(url, parameters)),
        client.post(f"{url}?a=1", parameters, ours.compute_signature(url, parameters)),
        client.post(url, parameters | {"ErrorCode": ""}, ours.compute_signature(url, parameters)),
    ]

    assert [response.status_code for response in responses] == [403] * 4
    assert client.item(message_sid) is None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.FAIL, status=429, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.DROP, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.LOSE_RESPONSE, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.STALL, seconds=1, times=2, path=CALLBACKS),
    ],
    ids=lambda fault: fault.kind,
)
def test_callbacks_that_fail_on_the_way_are_retried_and_recorded_once(
    client: ExternalClient, sandbox: Sandbox, fault: Fault
) -> None:
    sandbox.gateway.add_fault(fault)

    message_sid = client.send_accepted("+15551234567")
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "delivered", "delivered")
    message = client.wait_for_callbacks(message_sid)

    assert sorted(it["status"] for it in message["transitions"]) == ["delivered", "queued", "sent"]
    assert sandbox.gateway.faults == []
