"""Signed callbacks from outside, for messages that this stack never sent."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from twilio.request_validator import RequestValidator

from sandbox.aws.gateway import Fault, FaultKind
from sandbox.lifecycle import Sandbox
from tests.e2e.outside import OutsideProgram, a_message_sid

LIFE = ("queued", "sent", "delivered", "read")
CALLBACKS = "/twilio/status"


@pytest.mark.parametrize("order", list(itertools.permutations(LIFE)), ids="-".join)
def test_the_order_of_callbacks_does_not_matter(
    program: OutsideProgram, order: tuple[str, ...]
) -> None:
    message_sid = a_message_sid()

    answers = [program.call_back(message_sid, status).status_code for status in order]

    assert answers == [204] * len(order)
    item = program.item(message_sid)
    assert (item["status"], item["outcome"]) == ("read", "delivered")
    assert tuple(entry["status"] for entry in item["transitions"]) == order


def test_callbacks_that_come_at_the_same_time_and_again_and_again_are_all_kept_once(
    program: OutsideProgram,
) -> None:
    message_sid = a_message_sid()
    statuses = ["sent", "undelivered", "delivered"] * 4

    with ThreadPoolExecutor(len(statuses)) as pool:
        answers = list(pool.map(lambda status: program.call_back(message_sid, status), statuses))

    assert [answer.status_code for answer in answers] == [204] * len(statuses)
    item = program.item(message_sid)
    assert (item["status"], item["outcome"]) == ("delivered", "delivered")
    recorded = sorted(entry["status"] for entry in item["transitions"])
    assert recorded == ["delivered", "sent", "undelivered"]


def test_a_callback_of_the_future_is_kept_and_answered_well(program: OutsideProgram) -> None:
    message_sid = a_message_sid()

    answer = program.call_back(
        message_sid,
        "teleported",
        ErrorCode="not a number",
        Blank="",
        Ünïcode="Grüße & 1+1=2",
    )

    assert answer.status_code == 204
    item = program.item(message_sid)
    assert (item["status"], item["outcome"]) == ("unknown", "pending")
    assert [entry["status"] for entry in item["transitions"]] == ["teleported"]


def test_query_parameters_of_the_callback_url_come_back_as_context(
    program: OutsideProgram,
) -> None:
    message_sid = a_message_sid()

    answer = program.call_back(
        message_sid, "sent", query="?order=4711&note=a%20b+c&order=second&empty="
    )

    assert answer.status_code == 204
    context = program.item(message_sid)["context"]
    assert (context["order"], context["note"]) == ("4711", "a b c")


@pytest.mark.parametrize("signature", [None, "", "bm90IGEgc2lnbmF0dXJl"])
def test_what_nobody_signed_is_refused_and_not_stored(
    program: OutsideProgram, signature: str | None
) -> None:
    message_sid = a_message_sid()
    parameters = program.parameters(message_sid, "delivered")

    answer = program.post(program.endpoints["status_callback_url"], parameters, signature)

    assert answer.status_code == 403
    assert program.item(message_sid) is None


def test_a_signature_counts_for_its_token_its_url_and_its_parameters_only(
    program: OutsideProgram,
) -> None:
    message_sid = a_message_sid()
    url = program.endpoints["status_callback_url"]
    parameters = program.parameters(message_sid, "delivered")
    ours = RequestValidator(program.endpoints["twilio_auth_token"])
    theirs = RequestValidator("another-auth-token")

    answers = [
        program.post(url, parameters, theirs.compute_signature(url, parameters)),
        program.post(f"{url}?a=1", parameters, ours.compute_signature(url, parameters)),
        program.post(url, parameters | {"ErrorCode": ""}, ours.compute_signature(url, parameters)),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert program.item(message_sid) is None


def test_a_callback_without_a_status_is_a_mistake_of_the_caller(
    program: OutsideProgram,
) -> None:
    answer = program.call_back(a_message_sid(), "")

    assert answer.status_code == 400


def test_what_is_no_form_or_too_large_is_refused_before_anything_else(
    program: OutsideProgram,
) -> None:
    url = program.endpoints["status_callback_url"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    as_json = requests.post(url, json={"MessageSid": "SM"}, timeout=35)
    too_large = requests.post(url, data="a" * (64 * 1024 + 1), headers=form, timeout=35)

    assert (as_json.status_code, too_large.status_code) == (415, 413)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind=FaultKind.FAIL, status=503, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.FAIL, status=429, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.DROP, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.LOSE_RESPONSE, times=2, path=CALLBACKS),
        Fault(kind=FaultKind.STALL, seconds=1, times=2, path=CALLBACKS),
    ],
    ids=lambda fault: fault.kind,
)
def test_callbacks_that_fail_on_their_way_come_again_and_count_once(
    program: OutsideProgram, sandbox: Sandbox, fault: Fault
) -> None:
    sandbox.gateway.add_fault(fault)

    message_sid = program.sent("+15551234567")
    program.message_when(message_sid, lambda it: it["outcome"] == "delivered", "delivered")
    message = program.quiet(message_sid)

    assert sorted(it["status"] for it in message["transitions"]) == ["delivered", "queued", "sent"]
    assert sandbox.gateway.faults == []
