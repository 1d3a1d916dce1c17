"""Idempotency keys and requests in doubt, through the deployed stack."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import requests

from sandbox.aws.gateway import MESSAGES_API_PREFIX, Fault, FaultKind, Gateway
from sandbox.polling import wait_for
from tests.e2e.outside import (
    SENDER,
    WITHIN_SECONDS,
    Inbox,
    Json,
    OutsideProgram,
    a_body,
    a_key,
    facts_of,
)

ARRIVES = "+15551234567"
ACCEPTED_WITHOUT_AN_ANSWER = ("+15555550107", "+15555550108")
NEVER_ACCEPTED = "+15555550111"
NO_CALLBACK = Fault(kind=FaultKind.DROP, times=None, path="/twilio/status")


def is_delivered(message: Json) -> bool:
    return bool(message["outcome"] == "delivered")


def test_the_same_key_again_sends_nothing_and_shows_the_same_message(
    program: OutsideProgram,
) -> None:
    key, body = a_key(), a_body()

    first = program.send(ARRIVES, key=key, body=body)
    again = program.send(ARRIVES, key=key, body=body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["message_sid"] == first.json()["message_sid"]
    assert len(program.all_at_twilio(body)) == 1


def test_the_same_key_with_other_content_is_a_conflict(program: OutsideProgram) -> None:
    key, other = a_key(), a_body()
    program.sent(ARRIVES, key=key)

    answer = program.send(ARRIVES, key=key, body=other)

    assert answer.status_code == 409
    assert program.all_at_twilio(other) == []


def test_of_many_with_the_same_key_at_the_same_time_one_sends(program: OutsideProgram) -> None:
    key, body = a_key(), a_body()

    with ThreadPoolExecutor(6) as pool:
        sends = [pool.submit(program.send, ARRIVES, key=key, body=body) for _ in range(6)]
    answers = [it.result() for it in sends]

    assert [answer.status_code for answer in answers].count(201) == 1
    assert {answer.status_code for answer in answers} <= {200, 201, 202}
    assert len(program.all_at_twilio(body)) == 1


def test_a_client_whose_answer_was_lost_asks_again_and_learns_what_became_of_it(
    program: OutsideProgram, gateway: Gateway
) -> None:
    key, body = a_key(), a_body()
    gateway.add_fault(Fault(kind=FaultKind.LOSE_RESPONSE, path=MESSAGES_API_PREFIX))

    with pytest.raises(requests.ConnectionError):
        program.send(ARRIVES, key=key, body=body)
    again = program.send(ARRIVES, key=key, body=body)

    (sent,) = program.all_at_twilio(body)
    assert (again.status_code, again.json()["message_sid"]) == (200, sent["sid"])


def test_a_refused_request_says_so_and_gives_its_key_free(program: OutsideProgram) -> None:
    key = a_key()

    refused = program.send("+15005550001", key=key)
    corrected = program.send(ARRIVES, key=key)

    assert (refused.status_code, corrected.status_code) == (422, 201)


def test_a_request_that_nobody_made_is_not_known(program: OutsideProgram) -> None:
    assert program.request(f"rq_{'0' * 32}") is None


def test_a_message_that_is_queued_twice_is_sent_once(program: OutsideProgram) -> None:
    key, body = a_key(), a_body()
    document = {"to": ARRIVES, "from": SENDER, "body": body, "idempotency_key": key}

    program.enqueue(document)
    program.enqueue(document)
    wait_for(program.send_queue_is_empty, timeout=WITHIN_SECONDS, what="The queue's end")
    over_http = program.send(ARRIVES, key=key, body=body)

    (sent,) = program.all_at_twilio(body)
    assert (over_http.status_code, over_http.json()["message_sid"]) == (200, sent["sid"])


@pytest.mark.parametrize("to", ACCEPTED_WITHOUT_AN_ANSWER)
def test_a_request_in_doubt_is_settled_by_the_callback_that_carries_its_id(
    program: OutsideProgram, to: str
) -> None:
    key, body = a_key(), a_body()

    answer = program.send(to, key=key, body=body)
    request_id = answer.json()["request_id"]
    request = program.request_when(request_id, "sent")
    again = program.send(to, key=key, body=body)

    assert (answer.status_code, answer.json()["state"]) == (202, "in_doubt")
    (sent,) = program.all_at_twilio(body)
    assert request["message_sid"] == sent["sid"]
    assert (again.status_code, again.json()["message_sid"]) == (200, sent["sid"])
    assert program.item(sent["sid"])["request_id"] == request_id
    assert program.item(request_id) is None


@pytest.fixture
def list_a_second_behind(program: OutsideProgram) -> Iterator[None]:
    with program.twilios_list_lagging(1):
        yield


@pytest.mark.usefixtures("list_a_second_behind")
@pytest.mark.parametrize("kind", [FaultKind.FAIL, FaultKind.DROP])
def test_requests_in_doubt_are_settled_by_twilios_list_when_callbacks_are_lost(
    program: OutsideProgram, gateway: Gateway, kind: FaultKind
) -> None:
    gateway.add_fault(replace(NO_CALLBACK, kind=kind))
    bodies = [a_body() for _ in ACCEPTED_WITHOUT_AN_ANSWER]

    answers = [
        program.send(to, body=body, reference="by-its-looks")
        for to, body in zip(ACCEPTED_WITHOUT_AN_ANSWER, bodies, strict=True)
    ]

    for answer, body in zip(answers, bodies, strict=True):
        request = program.request_when(answer.json()["request_id"], "sent")
        message = program.message_when(request["message_sid"], is_delivered, "delivered")
        (sent,) = program.all_at_twilio(body)
        assert request["message_sid"] == sent["sid"]
        assert message["reference"] == "by-its-looks"
        assert {entry["source"] for entry in message["transitions"]} == {"reconcile"}


def test_what_was_never_accepted_is_not_found_noticed_and_never_sent_again(
    program: OutsideProgram, inbox: Inbox, first_of_its_kind: Callable[[str], None]
) -> None:
    key, body = a_key(), a_body()
    first_of_its_kind("presumed_unsent")

    answer = program.send(NEVER_ACCEPTED, key=key, body=body, reference="gone")
    at_once = program.send(NEVER_ACCEPTED, key=key, body=body, reference="gone")
    request_id = answer.json()["request_id"]
    request = program.request_when(request_id, "presumed_unsent")
    (notice,) = inbox.wait_for(request_id)
    later = program.send(NEVER_ACCEPTED, key=key, body=body, reference="gone")

    assert [(it.status_code, it.json()["state"]) for it in (answer, at_once, later)] == [
        (202, "in_doubt"),
        (202, "in_doubt"),
        (409, "presumed_unsent"),
    ]
    assert "probably not sent" in request["problem"]["detail"]
    facts = facts_of(notice)
    assert (facts["status"], facts["reference"]) == ("presumed_unsent", "gone")
    assert program.item(request_id)["outcome"] == "failed"
    assert program.all_at_twilio(body) == []


@pytest.mark.usefixtures("lagging_list")
def test_a_late_callback_turns_not_found_into_sent_and_people_are_told(
    program: OutsideProgram,
    gateway: Gateway,
    inbox: Inbox,
    first_of_its_kind: Callable[[str], None],
) -> None:
    body = a_body()
    first_of_its_kind("presumed_unsent")
    gateway.add_fault(NO_CALLBACK)
    request_id = program.send("+15555550107", body=body).json()["request_id"]
    program.request_when(request_id, "presumed_unsent")
    inbox.wait_for(request_id)
    (sent,) = program.all_at_twilio(body)
    gateway.clear_faults()

    program.call_back(
        sent["sid"], "delivered", query=f"?request_id={request_id}", To="+15555550107"
    )
    request = program.request_when(request_id, "sent")
    notices = inbox.wait_for(request_id, count=2)

    assert request["message_sid"] == sent["sid"]
    assert program.message(sent["sid"])["outcome"] == "delivered"
    events = [facts_of(it)["event"] for it in notices]
    assert sorted(events) == ["failure", "recovery"]
