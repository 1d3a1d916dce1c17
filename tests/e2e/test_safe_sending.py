"""Idempotency keys and requests in doubt, through the deployed stack."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sandbox.aws.gateway import Fault, FaultKind, Gateway
from tests.e2e.external_client import (
    ExternalClient,
    Inbox,
    Json,
    a_body,
    a_key,
    facts_of,
)

DELIVERED = "+15551234567"
ACCEPTED_WITHOUT_RESPONSE = ("+15555550107", "+15555550108")
NEVER_ACCEPTED = "+15555550111"
NO_CALLBACK = Fault(kind=FaultKind.DROP, times=None, path="/twilio/status")


def is_delivered(message: Json) -> bool:
    return bool(message["outcome"] == "delivered")


def test_a_duplicate_request_sends_nothing_and_returns_the_same_message(
    client: ExternalClient,
) -> None:
    key, body = a_key(), a_body()

    first = client.send(DELIVERED, key=key, body=body)
    again = client.send(DELIVERED, key=key, body=body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["message_sid"] == first.json()["message_sid"]
    assert len(client.sent_with_body(body)) == 1


def test_of_concurrent_requests_with_the_same_key_one_sends(client: ExternalClient) -> None:
    key, body = a_key(), a_body()

    with ThreadPoolExecutor(6) as pool:
        sends = [pool.submit(client.send, DELIVERED, key=key, body=body) for _ in range(6)]
    responses = [it.result() for it in sends]

    assert [response.status_code for response in responses].count(201) == 1
    assert {response.status_code for response in responses} <= {200, 201, 202}
    assert len(client.sent_with_body(body)) == 1


@pytest.mark.parametrize("to", ACCEPTED_WITHOUT_RESPONSE)
def test_the_callback_with_its_id_resolves_a_request_in_doubt(
    client: ExternalClient, to: str
) -> None:
    key, body = a_key(), a_body()

    response = client.send(to, key=key, body=body)
    request_id = response.json()["request_id"]
    request = client.wait_for_request_state(request_id, "sent")
    again = client.send(to, key=key, body=body)

    assert (response.status_code, response.json()["state"]) == (202, "in_doubt")
    (sent,) = client.sent_with_body(body)
    assert request["message_sid"] == sent["sid"]
    assert (again.status_code, again.json()["message_sid"]) == (200, sent["sid"])
    assert client.item(sent["sid"])["request_id"] == request_id
    assert client.item(request_id) is None


@pytest.fixture
def list_lag_of_a_second(client: ExternalClient) -> Iterator[None]:
    with client.list_lag(1):
        yield


@pytest.mark.usefixtures("list_lag_of_a_second")
@pytest.mark.parametrize("kind", [FaultKind.FAIL, FaultKind.DROP])
def test_the_matching_message_in_twilios_list_resolves_a_request_in_doubt_without_callbacks(
    client: ExternalClient, gateway: Gateway, kind: FaultKind
) -> None:
    gateway.add_fault(replace(NO_CALLBACK, kind=kind))
    bodies = [a_body() for _ in ACCEPTED_WITHOUT_RESPONSE]

    responses = [
        client.send(to, body=body, reference="by-match")
        for to, body in zip(ACCEPTED_WITHOUT_RESPONSE, bodies, strict=True)
    ]

    for response, body in zip(responses, bodies, strict=True):
        request = client.wait_for_request_state(response.json()["request_id"], "sent")
        message = client.wait_for_message(request["message_sid"], is_delivered, "delivered")
        (sent,) = client.sent_with_body(body)
        assert request["message_sid"] == sent["sid"]
        assert message["reference"] == "by-match"
        assert {entry["source"] for entry in message["transitions"]} == {"reconcile"}


def test_a_request_that_twilio_never_received_is_presumed_unsent_notified_and_not_sent_again(
    client: ExternalClient, inbox: Inbox, no_open_incident: Callable[[str], None]
) -> None:
    key, body = a_key(), a_body()
    no_open_incident("presumed_unsent")

    response = client.send(NEVER_ACCEPTED, key=key, body=body, reference="gone")
    at_once = client.send(NEVER_ACCEPTED, key=key, body=body, reference="gone")
    request_id = response.json()["request_id"]
    request = client.wait_for_request_state(request_id, "presumed_unsent")
    (notice,) = inbox.wait_for(request_id)
    later = client.send(NEVER_ACCEPTED, key=key, body=body, reference="gone")

    assert [(it.status_code, it.json()["state"]) for it in (response, at_once, later)] == [
        (202, "in_doubt"),
        (202, "in_doubt"),
        (409, "presumed_unsent"),
    ]
    assert request["problem"]["detail"]
    facts = facts_of(notice)
    assert (facts["status"], facts["reference"]) == ("presumed_unsent", "gone")
    assert client.item(request_id)["outcome"] == "failed"
    assert client.sent_with_body(body) == []


@pytest.mark.usefixtures("list_lag_of_a_minute")
def test_a_late_callback_turns_presumed_unsent_into_sent_and_publishes_a_recovery(
    client: ExternalClient, gateway: Gateway, inbox: Inbox, no_open_incident: Callable[[str], None]
) -> None:
    body = a_body()
    no_open_incident("presumed_unsent")
    gateway.add_fault(NO_CALLBACK)
    request_id = client.send("+15555550107", body=body).json()["request_id"]
    client.wait_for_request_state(request_id, "presumed_unsent")
    inbox.wait_for(request_id)
    (sent,) = client.sent_with_body(body)
    gateway.clear_faults()

    client.post_callback(
        sent["sid"], "delivered", query=f"?request_id={request_id}", To="+15555550107"
    )
    request = client.wait_for_request_state(request_id, "sent")
    notices = inbox.wait_for(request_id, count=2)

    assert request["message_sid"] == sent["sid"]
    assert client.message(sent["sid"])["outcome"] == "delivered"
    events = [facts_of(it)["event"] for it in notices]
    assert sorted(events) == ["failure", "recovery"]
