"""Scenarios while callbacks fail on the way: the outcome is the same, only later."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sandbox.aws.gateway import Fault, FaultKind, Gateway
from sandbox.lifecycle import Sandbox
from tests.e2e.external_client import ExternalClient, Inbox, a_body
from tests.e2e.test_scenarios import SCENARIOS

ALL_CALLBACKS = Fault(kind=FaultKind.FAIL, times=None, path="/twilio/status")
IN_DOUBT = ("+15555550107", "+15555550108")


def has_ended(outcome: str, message: Any) -> bool:
    return bool(message["outcome"] == outcome)


@pytest.mark.usefixtures("list_lag_of_a_minute")
def test_every_scenario_has_the_same_outcome_if_no_callback_is_acknowledged(
    client: ExternalClient, gateway: Gateway
) -> None:
    gateway.add_fault(ALL_CALLBACKS)

    sent = {to: client.send_accepted(to) for to in SCENARIOS if to != "+15555550106"}

    for to, message_sid in sent.items():
        status, outcome, error_code, _ = SCENARIOS[to]
        message = client.wait_for_message(message_sid, partial(has_ended, outcome), outcome)
        assert (message["status"], message.get("error_code")) == (status, error_code)


def test_callbacks_resolve_requests_in_doubt_even_if_the_responses_are_lost(
    client: ExternalClient, gateway: Gateway
) -> None:
    gateway.add_fault(replace(ALL_CALLBACKS, kind=FaultKind.LOSE_RESPONSE))

    bodies = {to: a_body() for to in IN_DOUBT}
    request_ids = {
        to: client.send(to, body=body).json()["request_id"] for to, body in bodies.items()
    }

    for to, body in bodies.items():
        request = client.wait_for_request_state(request_ids[to], "sent")
        (sent,) = client.sent_with_body(body)
        assert request["message_sid"] == sent["sid"]
        client.wait_for_message(sent["sid"], partial(has_ended, "delivered"), "delivered")


def test_a_failure_found_by_reconciling_is_notified_once(
    client: ExternalClient, gateway: Gateway, inbox: Inbox
) -> None:
    gateway.add_fault(replace(ALL_CALLBACKS, kind=FaultKind.DROP))

    message_sid = client.send_accepted("+15555530006")
    (notice,) = inbox.wait_for(message_sid)

    assert notice["attributes"]["error_code"] == "30006"
    assert client.message(message_sid)["transitions"][-1]["source"] == "reconcile"


def test_the_scheduled_functions_run_without_failures(sandbox: Sandbox) -> None:
    assert sandbox.schedule.rounds > 0
    assert sandbox.schedule.summary == ""
