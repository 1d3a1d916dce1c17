"""Every scenario while callbacks fail on their way: the end is the same, only later."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sandbox.aws.gateway import Fault, FaultKind, Gateway
from sandbox.lifecycle import Sandbox
from tests.e2e.outside import Inbox, OutsideProgram, a_body
from tests.e2e.test_scenarios import SCENARIOS

ALL_CALLBACKS = Fault(kind=FaultKind.FAIL, times=None, path="/twilio/status")
IN_DOUBT = ("+15555550107", "+15555550108")


def has_ended(outcome: str, message: Any) -> bool:
    return bool(message["outcome"] == outcome)


@pytest.mark.usefixtures("lagging_list")
@pytest.mark.parametrize(
    "fault",
    [
        ALL_CALLBACKS,
        replace(ALL_CALLBACKS, kind=FaultKind.STALL, seconds=6),  # Twilio waits five
        replace(ALL_CALLBACKS, kind=FaultKind.DROP),
        replace(ALL_CALLBACKS, kind=FaultKind.LOSE_RESPONSE),
    ],
    ids=lambda fault: fault.kind,
)
def test_every_scenario_ends_the_same_although_no_callback_is_answered(
    program: OutsideProgram, gateway: Gateway, fault: Fault
) -> None:
    gateway.add_fault(fault)

    sent = {to: program.sent(to) for to in SCENARIOS if to != "+15555550106"}

    for to, message_sid in sent.items():
        status, outcome, error_code, _ = SCENARIOS[to]
        message = program.message_when(message_sid, partial(has_ended, outcome), outcome)
        assert (message["status"], message.get("error_code")) == (status, error_code)


def test_requests_in_doubt_are_settled_by_callbacks_that_twilio_never_hears_answered(
    program: OutsideProgram, gateway: Gateway
) -> None:
    gateway.add_fault(replace(ALL_CALLBACKS, kind=FaultKind.LOSE_RESPONSE))

    bodies = {to: a_body() for to in IN_DOUBT}
    request_ids = {
        to: program.send(to, body=body).json()["request_id"] for to, body in bodies.items()
    }

    for to, body in bodies.items():
        request = program.request_when(request_ids[to], "sent")
        (sent,) = program.all_at_twilio(body)
        assert request["message_sid"] == sent["sid"]
        program.message_when(sent["sid"], partial(has_ended, "delivered"), "delivered")


def test_a_failure_that_only_asking_brought_is_noticed_once(
    program: OutsideProgram, gateway: Gateway, inbox: Inbox
) -> None:
    gateway.add_fault(replace(ALL_CALLBACKS, kind=FaultKind.DROP))

    message_sid = program.sent("+15555530006")
    (notice,) = inbox.wait_for(message_sid)

    assert notice["attributes"]["error_code"] == "30006"
    assert program.message(message_sid)["transitions"][-1]["source"] == "reconcile"


def test_the_scheduled_functions_run_and_do_not_fail(sandbox: Sandbox) -> None:
    assert sandbox.schedule.rounds > 0
    assert sandbox.schedule.summary == ""
