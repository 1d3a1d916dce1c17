"""Every story of the simulator, through the deployed stack, up to where it stands by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.outside import Inbox, OutsideProgram

# recipient: status, outcome, error code, distinct statuses that arrived
STORIES: dict[str, tuple[str, str, int | None, set[str]]] = {
    "+15551234567": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555530003": ("undelivered", "failed", 30003, {"queued", "sent", "undelivered"}),
    "+15555530007": ("failed", "failed", 30007, {"queued", "sent", "failed"}),
    "+15555550101": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550102": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550103": ("sent", "pending", None, {"queued", "sent"}),
    "+15555550104": ("queued", "pending", None, {"queued"}),
    "+15555550105": ("sent", "pending", None, {"queued", "sent"}),
    "+15555550106": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550109": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550112": ("read", "delivered", None, {"queued", "sent", "delivered", "read"}),
    "+15555550113": ("sent", "pending", None, {"queued", "sent", "paused_by_carrier"}),
}


@pytest.mark.parametrize("to", STORIES)
def test_a_message_ends_as_its_recipients_story_says(program: OutsideProgram, to: str) -> None:
    status, outcome, error_code, statuses = STORIES[to]

    message_sid = program.sent(to)
    program.message_when(
        message_sid,
        lambda it: {entry["status"] for entry in it["transitions"]} == statuses,
        f"with {statuses}",
    )
    message = program.quiet(message_sid)

    assert (message["status"], message["outcome"]) == (status, outcome)
    assert message.get("error_code") == error_code
    assert sorted(entry["status"] for entry in message["transitions"]) == sorted(statuses)


def test_every_status_is_recorded_once_although_its_callback_comes_twice(
    program: OutsideProgram,
) -> None:
    message_sid = program.sent("+15555550102")

    program.message_when(message_sid, lambda it: it["outcome"] == "delivered", "delivered")
    message = program.quiet(message_sid)

    answered = [it["state"] for it in program.at_twilio(message_sid)["callbacks"]]
    assert answered == ["answered"] * 4
    assert [it["status"] for it in message["transitions"]].count("delivered") == 1
    assert [it["status"] for it in message["transitions"]].count("sent") == 1


def test_a_late_delivered_is_the_truth_and_people_are_told_so(
    program: OutsideProgram, inbox: Inbox
) -> None:
    message_sid = program.sent("+15555550110")

    message = program.message_when(
        message_sid, lambda it: it["outcome"] == "delivered", "delivered after all"
    )
    notices = inbox.wait_for(message_sid, count=2)

    assert message["status"] == "delivered"
    assert "error_code" not in message
    assert [entry.get("error_code") for entry in message["transitions"]].count(30003) == 1
    events = [it["content"]["metadata"]["additionalContext"]["event"] for it in notices]
    assert sorted(events) == ["failure", "recovery"]


@pytest.mark.parametrize("to", ["+15555550107", "+15555550108"])
def test_an_answer_that_was_lost_is_in_doubt_and_its_callbacks_still_count(
    program: OutsideProgram, to: str
) -> None:
    answer = program.send(to)

    assert (answer.status_code, answer.json()["state"]) == (202, "in_doubt")
    (accepted,) = program.all_at_twilio(to)
    message = program.message_when(
        accepted["sid"], lambda it: it["outcome"] == "delivered", "delivered"
    )
    assert message["request_id"] == answer.json()["request_id"]


def test_a_send_that_twilio_never_saw_is_not_tried_again(program: OutsideProgram) -> None:
    answer = program.send("+15555550111")

    assert (answer.status_code, answer.json()["state"]) == (202, "in_doubt")
    assert program.all_at_twilio("+15555550111") == []


def test_a_number_that_twilio_refuses_is_explained(program: OutsideProgram) -> None:
    answer = program.send("+15005550001")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["error_code"] == 21211
    assert problem["explanation"]["retryable"] is False
    assert "+15005550001" not in answer.text


def test_all_that_is_wrong_with_a_request_is_told_at_once(program: OutsideProgram) -> None:
    answer = program.send("not a number", body="", validity_period=0)

    assert answer.status_code == 400
    fields = {problem["field"] for problem in answer.json()["problems"]}
    assert {"to", "validity_period"} <= fields


def test_a_scheduled_message_can_be_canceled(program: OutsideProgram) -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    message_sid = program.sent(
        "+15551234567", messaging_service_sid=f"MG{'0' * 32}", send_at=in_an_hour.isoformat()
    )

    answer = program.cancel(message_sid)

    assert answer.status_code == 200, answer.text
    assert program.message(message_sid)["outcome"] == "canceled"
