"""Every scenario of the simulator, in virtual time."""

import json

import pytest

from delivery.twilio.error_codes import explain
from sandbox.http_server import Response
from sandbox.twilio.callbacks import CallbackState
from sandbox.twilio.rest import HeldResponse
from tests.support.virtual_twilio import SERVICE_SID, VirtualTwilio


def status_of(answer: Response | None) -> int:
    assert answer is not None
    return answer.status


@pytest.mark.parametrize(
    ("to", "reported", "final"),
    [
        ("+15558675310", ["sent", "delivered"], "delivered"),
        ("+15555530003", ["sent", "undelivered"], "undelivered"),
        ("+15555530007", ["sent", "failed"], "failed"),
        ("+15555521610", ["sent", "failed"], "failed"),
        ("+15555563016", ["sent", "undelivered"], "undelivered"),
        ("+15555550101", ["delivered", "sent"], "delivered"),
        ("+15555550102", ["sent", "sent", "delivered", "delivered"], "delivered"),
        ("+15555550103", ["sent"], "delivered"),
        ("+15555550104", [], "delivered"),
        ("+15555550105", ["sent"], "sent"),
        ("+15555550110", ["sent", "undelivered", "delivered"], "delivered"),
        ("+15555550112", ["sent", "delivered", "read"], "read"),
        ("+15555550113", ["sent", "paused_by_carrier"], "paused_by_carrier"),
        ("+15555550114", ["sent", "undelivered"], "delivered"),
    ],
)
def test_the_recipient_chooses_the_scenario(to: str, reported: list[str], final: str) -> None:
    twilio = VirtualTwilio()

    created = twilio.send(To=to)

    assert created["status"] == "queued"
    assert twilio.statuses() == reported
    assert twilio.fetch(created["sid"])["status"] == final


@pytest.mark.parametrize("prefix", ["whatsapp:", "rcs:"])
def test_a_channel_address_has_the_same_scenario(prefix: str) -> None:
    twilio = VirtualTwilio()

    twilio.send(To=f"{prefix}+15555530003", From=f"{prefix}+15557654321")

    assert twilio.statuses() == ["sent", "undelivered"]


def test_an_error_code_is_in_the_callback_and_in_the_message() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555530003")["sid"]

    _, final = twilio.run()

    message = twilio.fetch(sid)
    assert final["ErrorCode"] == "30003"
    assert message["error_code"] == 30003
    assert message["error_message"] == explain(30003).title


def test_0110_delivered_after_undelivered_removes_the_error_code() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555550110")["sid"]

    _, undelivered, delivered = twilio.run()

    message = twilio.fetch(sid)
    assert undelivered["ErrorCode"] == "30003"
    assert "ErrorCode" not in delivered
    assert (message["error_code"], message["error_message"]) == (None, None)


def test_0102_sends_copies_that_differ_in_their_token_only() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550102")

    twilio.run()

    first, second = twilio.received[:2]
    token = "I-Twilio-Idempotency-Token"
    assert first.body == second.body
    assert first.headers["X-Twilio-Signature"] == second.headers["X-Twilio-Signature"]
    assert first.headers[token] != second.headers[token]


def test_0104_keeps_lost_callbacks_as_lost_and_never_sends_them() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555550104")["sid"]

    twilio.run()

    states = [callback.state for callback in twilio.simulator.callbacks(sid)]
    assert states == [CallbackState.LOST, CallbackState.LOST]
    assert twilio.received == []


def test_0106_holds_the_answer_until_its_first_callback_is_finished() -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(To="+15555550106")

    assert isinstance(answer, HeldResponse)
    assert json.loads(answer.body)["status"] == "queued"
    assert not twilio.simulator.is_finished(answer.after_callback)
    assert twilio.statuses(seconds=0) == ["sent"]
    assert twilio.simulator.is_finished(answer.after_callback)
    assert twilio.statuses() == ["delivered"]


def test_0106_without_a_callback_url_answers_at_once() -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(To="+15555550106", StatusCallback=None)

    assert status_of(answer) == 201
    assert not isinstance(answer, HeldResponse)


@pytest.mark.parametrize(
    ("to", "status", "reported"),
    [
        ("+15555550107", None, ["sent", "delivered"]),  # accepted, but no answer
        ("+15555550108", 500, ["sent", "delivered"]),  # accepted, but an error
        ("+15555550111", None, []),  # not accepted
    ],
)
def test_a_lost_answer_does_not_decide_whether_a_message_was_accepted(
    to: str, status: int | None, reported: list[str]
) -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(To=to)

    assert (answer and answer.status) == status
    assert len(twilio.simulator.messages()) == bool(reported)
    assert twilio.statuses() == reported


def test_0109_throttles_each_distinct_request_twice_and_accepts_it_then() -> None:
    twilio = VirtualTwilio()

    statuses = [
        (body, status_of(twilio.post(To="+15555550109", Body=body)))
        for body in ("one", "one", "other", "one", "one")
    ]

    assert statuses == [("one", 429), ("one", 429), ("other", 429), ("one", 201), ("one", 429)]
    assert len(twilio.simulator.messages()) == 1


def test_0112_on_whatsapp_has_the_parameters_of_the_channel() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="whatsapp:+15555550112", From="whatsapp:+15557654321")

    _, delivered, read = twilio.run()

    assert delivered["ChannelPrefix"] == "whatsapp"
    assert delivered["ChannelToAddress"] == "+15555550112"
    assert delivered["EventType"] == "DELIVERED"
    assert delivered["ChannelInstallSid"].startswith("XE")
    assert "RawDlrDoneDate" not in delivered
    assert read["EventType"] == "READ"
    assert "ChannelInstallSid" not in read


def test_0112_to_a_plain_number_through_a_service_is_sent_as_rcs() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550112", From=None, MessagingServiceSid=SERVICE_SID)

    *_, read = twilio.run()

    assert read["ChannelPrefix"] == "rcs"
    assert read["From"].startswith("rcs:")
    assert read["To"] == "+15555550112"


def test_a_service_message_is_queued_when_its_sender_is_chosen() -> None:
    twilio = VirtualTwilio()

    accepted = twilio.send(From=None, MessagingServiceSid=SERVICE_SID)
    reported = twilio.run()

    created = (accepted["status"], accepted["from"], accepted["num_segments"])
    assert created == ("accepted", None, "0")
    assert [callback["MessageStatus"] for callback in reported] == ["queued", "sent", "delivered"]
    assert {callback["From"] for callback in reported} == {"+15005550006"}
    assert {callback["MessagingServiceSid"] for callback in reported} == {SERVICE_SID}
    assert twilio.fetch(accepted["sid"])["num_segments"] == "1"


@pytest.mark.parametrize(
    ("to", "reported"),
    [
        ("+15555550102", ["queued", "queued", "sent", "sent", "delivered", "delivered"]),
        ("+15555550104", []),
        ("+15555550106", ["queued", "sent", "delivered"]),
    ],
)
def test_a_scenario_about_every_callback_covers_queued_too(to: str, reported: list[str]) -> None:
    twilio = VirtualTwilio()

    twilio.post(To=to, From=None, MessagingServiceSid=SERVICE_SID)

    assert twilio.statuses() == reported


def test_sending_is_reported_only_when_switched_on() -> None:
    twilio = VirtualTwilio(report_sending=True)
    twilio.send()

    assert twilio.statuses() == ["sending", "sent", "delivered"]


def test_the_same_seed_and_times_give_the_same_ids_and_requests() -> None:
    one, other = VirtualTwilio(), VirtualTwilio()

    for twilio in (one, other):
        twilio.send(To="+15555550102")
        twilio.run()

    assert one.received == other.received
