"""Every story of the simulator, in virtual time."""

import json

import pytest

from delivery.twilio.error_codes import explain
from sandbox.http_server import Response
from sandbox.twilio.callbacks import CallbackResult, CallbackState, Failure
from sandbox.twilio.rest import HeldResponse
from tests.support.virtual_twilio import SERVICE_SID, VirtualTwilio, always


def status_of(answer: Response | None) -> int:
    assert answer is not None
    return answer.status


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("+15558675310", ["sent", "delivered"]),
        ("+15555530003", ["sent", "undelivered"]),
        ("+15555530007", ["sent", "failed"]),
        ("+15555530036", ["sent", "failed"]),
        ("+15555521610", ["sent", "failed"]),
        ("+15555563016", ["sent", "undelivered"]),
        ("+15555550101", ["delivered", "sent"]),
        ("+15555550102", ["sent", "sent", "delivered", "delivered"]),
        ("+15555550103", ["sent"]),
        ("+15555550104", []),
        ("+15555550105", ["sent"]),
        ("+15555550110", ["sent", "undelivered", "delivered"]),
        ("+15555550112", ["sent", "delivered", "read"]),
        ("+15555550113", ["sent", "paused_by_carrier"]),
    ],
)
def test_the_recipient_chooses_the_story(to: str, told: list[str]) -> None:
    twilio = VirtualTwilio()

    sent = twilio.send(To=to)

    assert sent["status"] == "queued"
    assert twilio.statuses() == told


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("+15558675310", "delivered"),
        ("+15555530003", "undelivered"),
        ("+15555550101", "delivered"),
        ("+15555550103", "delivered"),
        ("+15555550104", "delivered"),
        ("+15555550105", "sent"),
        ("+15555550110", "delivered"),
        ("+15555550112", "read"),
    ],
)
def test_twilio_itself_knows_the_truth_whatever_callbacks_told(to: str, status: str) -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To=to)["sid"]

    twilio.run()

    assert twilio.fetch(sid)["status"] == status


@pytest.mark.parametrize("prefix", ["whatsapp:", "rcs:"])
def test_a_channel_address_plays_the_same_story(prefix: str) -> None:
    twilio = VirtualTwilio()

    twilio.send(To=f"{prefix}+15555530003", From=f"{prefix}+15557654321")

    assert twilio.statuses() == ["sent", "undelivered"]


def test_a_failure_code_is_in_the_callback_and_in_the_resource() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555530003")["sid"]

    _, final = twilio.run()

    message = twilio.fetch(sid)
    assert final["ErrorCode"] == "30003"
    assert message["error_code"] == 30003
    assert message["error_message"] == explain(30003).title


def test_a_later_delivered_takes_the_failure_code_away() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555550110")["sid"]

    _, undelivered, delivered = twilio.run()

    assert undelivered["ErrorCode"] == "30003"
    message = twilio.fetch(sid)
    assert "ErrorCode" not in delivered
    assert (message["error_code"], message["error_message"]) == (None, None)


def test_a_held_callback_waits_for_the_end_of_the_next_one_even_if_that_fails() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550101")

    told = twilio.statuses(always(CallbackResult(failure=Failure.NO_RESPONSE)))

    assert told == ["delivered", "sent"]


def test_lost_callbacks_are_known_as_lost_and_never_leave() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555550104")["sid"]

    twilio.run()

    states = [callback.state for callback in twilio.simulator.callbacks(sid)]
    assert states == [CallbackState.LOST, CallbackState.LOST]
    assert twilio.received == []


def test_the_copies_of_a_callback_are_equal_but_for_their_token() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550102")

    twilio.run()

    first, second = twilio.received[:2]
    token = "I-Twilio-Idempotency-Token"
    assert first.body == second.body
    assert first.headers["X-Twilio-Signature"] == second.headers["X-Twilio-Signature"]
    assert first.headers[token] != second.headers[token]


def test_0106_holds_the_answer_until_its_first_callback_is_settled() -> None:
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


def test_0107_is_accepted_but_its_answer_never_comes() -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(To="+15555550107")

    assert answer is None
    assert [message.status for message in twilio.simulator.messages()] == ["queued"]
    assert twilio.statuses() == ["sent", "delivered"]


def test_0108_is_accepted_but_answers_500() -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(To="+15555550108")

    assert status_of(answer) == 500
    assert twilio.statuses() == ["sent", "delivered"]


def test_0109_refuses_each_distinct_request_twice_and_accepts_it_then() -> None:
    twilio = VirtualTwilio()

    one = [status_of(twilio.post(To="+15555550109", Body="one")) for _ in range(2)]
    other = status_of(twilio.post(To="+15555550109", Body="other"))
    third = status_of(twilio.post(To="+15555550109", Body="one"))
    fourth = status_of(twilio.post(To="+15555550109", Body="one"))

    assert (one, other, third, fourth) == ([429, 429], 429, 201, 429)
    assert len(twilio.simulator.messages()) == 1


def test_0111_drops_the_connection_and_accepts_nothing() -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(To="+15555550111")

    assert answer is None
    assert twilio.simulator.messages() == []
    assert twilio.statuses() == []


def test_0112_on_whatsapp_has_the_channel_s_parameters() -> None:
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


def test_0112_to_a_plain_number_through_a_service_is_carried_by_rcs() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550112", From=None, MessagingServiceSid=SERVICE_SID)

    *_, read = twilio.run()

    assert read["ChannelPrefix"] == "rcs"
    assert read["From"].startswith("rcs:")
    assert read["To"] == "+15555550112"


def test_0113_brings_a_status_and_parameters_that_do_not_exist_today() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550113")

    _, future = twilio.run()

    assert future["MessageStatus"] == future["SmsStatus"] == "paused_by_carrier"
    assert future["CarrierPauseUntil"] == ""
    assert future["CarrierPauseReason"] == "Überlast & Prüfung = später"


def test_a_service_message_is_accepted_then_queued_when_its_sender_is_chosen() -> None:
    twilio = VirtualTwilio()

    accepted = twilio.send(From=None, MessagingServiceSid=SERVICE_SID)
    said = twilio.run()

    assert (accepted["status"], accepted["from"], accepted["num_segments"]) == (
        "accepted",
        None,
        "0",
    )
    assert [s["MessageStatus"] for s in said] == ["queued", "sent", "delivered"]
    assert {s["From"] for s in said} == {"+15005550006"}
    assert {s["MessagingServiceSid"] for s in said} == {SERVICE_SID}
    assert twilio.fetch(accepted["sid"])["num_segments"] == "1"


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("+15555550102", ["queued", "queued", "sent", "sent", "delivered", "delivered"]),
        ("+15555550104", []),
        ("+15555550106", ["queued", "sent", "delivered"]),
    ],
)
def test_a_story_about_every_callback_covers_those_of_a_service(to: str, told: list[str]) -> None:
    twilio = VirtualTwilio()

    twilio.post(To=to, From=None, MessagingServiceSid=SERVICE_SID)

    assert twilio.statuses() == told


def test_sending_is_told_only_when_switched_on() -> None:
    twilio = VirtualTwilio(report_sending=True)
    twilio.send()

    assert twilio.statuses() == ["sending", "sent", "delivered"]


def test_steps_are_a_pace_apart_and_a_new_pace_counts_from_the_next_step() -> None:
    twilio = VirtualTwilio(step_seconds=10.0)
    twilio.send()

    assert twilio.statuses(seconds=9) == []
    assert twilio.statuses(seconds=2) == ["sent"]
    twilio.simulator.settings = twilio.simulator.settings.changed({"step_seconds": 1})
    assert twilio.statuses(seconds=8) == []
    assert twilio.statuses(seconds=2) == ["delivered"]


def test_the_same_seed_and_times_give_the_same_ids_and_requests() -> None:
    one, other = VirtualTwilio(), VirtualTwilio()

    for twilio in (one, other):
        twilio.send(To="+15555550102")
        twilio.run()

    assert one.received == other.received
