"""The notice of one message: its facts, and one email as it is sent."""

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.domain.statuses import MessageStatus
from delivery.twilio.error_codes import explain
from functions.notify_failure.advice import IMPACT, impact_of
from functions.notify_failure.channels import (
    FailureNotice,
    Protocol,
    compose,
    format_subject,
)
from functions.notify_failure.incident import IncidentKey, incident_id_of
from functions.notify_failure.message_notice import message_content
from functions.notify_failure.notice import Links
from functions.notify_failure.policy import NoticePolicy
from tests.support.api_description import assert_described_notice
from tests.support.builders import MESSAGE_SID, NOON, a_message, an_update

LINKS = Links(
    messages_api_url="https://messages.example.com",
    dashboard_url="https://console.example.com/dashboard",
)
POLICY = NoticePolicy(interval=timedelta(minutes=15), muted=frozenset(), shows_full_numbers=False)
UNREACHABLE = explain(30003)


def a_failure(**facts: Any) -> Message:
    return a_message(
        an_update("queued", source=Source.SEND, reference="order-4711", body="secret words"),
        an_update("sent", after=1),
        an_update("undelivered", after=63, error_code=30003, **facts),
    )


def a_notice(message: Message | None = None, policy: NoticePolicy = POLICY) -> FailureNotice:
    notice = compose(message_content(message or a_failure(), LINKS, policy))
    assert_described_notice(json.loads(notice.texts[Protocol.DEFAULT]))
    return notice


def email_of(notice: FailureNotice) -> str:
    return notice.texts[Protocol.EMAIL]


def facts_of(notice: FailureNotice) -> dict[str, str]:
    notification = json.loads(notice.texts[Protocol.DEFAULT])
    facts: dict[str, str] = notification["metadata"]["additionalContext"]
    return facts


def everything_in(notice: FailureNotice) -> str:
    return notice.subject + "".join(notice.texts.values())


# --- failures ------------------------------------------------------------------------------------


def test_an_email_is_understood_without_looking_anything_up() -> None:
    assert (
        email_of(a_notice())
        == f"""\
A message to …5310 was not delivered: {UNREACHABLE.title}, error 30003.

  To:        …5310
  From:      …0006
  Reference: order-4711
  Message:   {MESSAGE_SID}
  Account:   AC{"0" * 32}
  Created:   2026-11-23 12:00:00 UTC
  Failed:    2026-11-23 12:01:03 UTC (1 min 3 s later)

Impact
  {IMPACT[UNREACHABLE.category]}

What to do
  {UNREACHABLE.action}
  {UNREACHABLE.retry_advice}

Timeline (UTC)
  2026-11-23 12:00:00  queued       Twilio's response to the send request
  2026-11-23 12:00:01  sent         status callback
  2026-11-23 12:01:03  undelivered  error 30003, status callback

Where to look
  This message: GET https://messages.example.com/messages/{MESSAGE_SID} (with IAM credentials)
  This error:   https://www.twilio.com/docs/api/errors/30003
  Dashboard:    https://console.example.com/dashboard

Further failures of this kind get no notice of their own: a summary counts them, the first one in \
15 min.

Notice {MESSAGE_SID}:failure. A repetition of this notice has the same id.
"""
    )


@pytest.mark.parametrize(
    ("sent_on", "days", "age"),
    [
        ("2026-11-23", 0.75, "1 day"),  # six hours after the end of the day
        ("2026-11-24", 5.6, "5 days"),
        (None, 4.6, "5 days"),  # a message of an earlier version: the day of its creation
    ],
)
def test_a_failure_that_the_audit_found_says_so_and_how_old_it_is(
    sent_on: str | None, days: float, age: str
) -> None:
    day = date.fromisoformat(sent_on) if sent_on else None
    found = {"error_code": 30003, "source": Source.AUDIT, "sent_on": day}
    message = a_message(an_update("sent"), an_update("undelivered", after=days * 86_400, **found))

    notice = a_notice(message)

    sent_on = sent_on or "2026-11-23"
    assert f"(found by the audit of {sent_on}, sent {age} ago)." in email_of(notice)
    assert facts_of(notice)["found_by_audit_of"] == sent_on
    assert facts_of(notice)["sent_days_ago"] == age.split(maxsplit=1)[0]
    assert "found_by_audit_of" not in facts_of(a_notice())


def test_the_subject_names_the_recipient_and_the_cause_in_what_sns_takes() -> None:
    subject = a_notice().subject

    assert subject.startswith("Message to ...5310 was not delivered: Handset unreachable")
    assert re.fullmatch(r"[ -~]{1,99}", subject)


def test_a_failure_without_a_sender_or_a_recipient_is_described() -> None:
    notice = a_notice(a_message(an_update("failed", error_code=30003, from_=None, to=None)))

    assert "5310" not in notice.subject
    assert "an unknown recipient" in notice.subject


def test_a_subject_has_as_many_whole_words_as_sns_takes() -> None:
    assert format_subject("x" * 99) == "x" * 99
    assert format_subject("x" * 96 + " and more") == "x" * 96 + "..."
    assert format_subject("Message to " + "x" * 300) == "Message to " + "x" * 85 + "..."
    words = "x" * 60 + " " + "y" * 35
    assert format_subject(f"{words} and more") == f"{words}..."
    assert format_subject(f"{words}y and more") == "x" * 60 + "..."


def test_a_long_subject_ends_with_a_whole_word() -> None:
    cause = "WhatsApp: the message was sent outside of the window, and (as it seems) without a"

    subject = format_subject(f"Message to ...5310 was not delivered: {cause} template at all")

    assert subject.endswith(" window, and...")
    assert len(subject) < 100


@pytest.mark.parametrize(
    ("facts", "masked"),
    [
        ({"to": "+15558675310"}, "…5310"),
        ({"to": "whatsapp:+15558675310"}, "whatsapp:…5310"),
        ({"to": "+1 (555) 867-5310"}, "…5310"),
        ({"to": "+1\n555/8675310"}, "…5310"),
    ],
)
def test_numbers_show_their_last_four_digits(facts: dict[str, Any], masked: str) -> None:
    notice = a_notice(a_message(an_update("failed", **facts)))

    assert email_of(notice).startswith(f"A message to {masked} was not delivered")
    digits = re.sub(r"[^0-9]", "", everything_in(notice))
    assert "8675310" not in digits
    assert "5550006" not in everything_in(notice)


def test_full_numbers_are_shown_where_the_policy_says_so() -> None:
    notice = a_notice(policy=replace(POLICY, shows_full_numbers=True))

    assert email_of(notice).startswith("A message to +15558675310 was not delivered")
    assert facts_of(notice)["to"] == "+15558675310"


def test_a_body_is_never_shown() -> None:
    assert "secret words" not in everything_in(a_notice())


def test_a_chat_channel_gets_the_custom_notification_schema() -> None:
    notification = json.loads(a_notice().texts[Protocol.DEFAULT])

    assert notification["version"] == "1.0"
    assert notification["source"] == "custom"
    assert notification["id"] == f"{MESSAGE_SID}:failure"
    assert notification["content"]["textType"] == "client-markdown"
    assert UNREACHABLE.title in notification["content"]["description"]
    assert UNREACHABLE.action in notification["content"]["nextSteps"]
    assert f"/messages/{MESSAGE_SID}" in notification["content"]["nextSteps"][-1]
    assert notification["metadata"]["threadId"] == incident_id_of(a_failure())
    facts = notification["metadata"]["additionalContext"]
    assert all(isinstance(fact, str) for fact in facts.values())


def test_programs_find_every_fact_of_the_notice_by_name() -> None:
    assert {
        "event": "failure",
        "kind": "opening",
        "incident_id": incident_id_of(a_failure()),
        "message_sid": MESSAGE_SID,
        "status": "undelivered",
        "outcome": "failed",
        "error_code": "30003",
        "category": "recipient_unreachable",
        "retryable": "true",
        "reference": "order-4711",
        "to": "…5310",
        "from": "…0006",
        "final_at": "2026-11-23T12:01:03.000Z",
        "notice_id": f"{MESSAGE_SID}:failure",
    }.items() <= facts_of(a_notice()).items()


def test_a_failure_without_a_known_code_says_so_and_where_to_look() -> None:
    without, unknown = a_message("failed"), a_message(an_update("failed", error_code=99999))

    for message in (without, unknown):
        explained = explain(message.error_code)
        assert explained.title in a_notice(message).subject
        assert facts_of(a_notice(message))["advice"].startswith(explained.action)
        assert facts_of(a_notice(message))["category"] == "unknown"
    assert "https://www.twilio.com/docs/api/errors/99999" in email_of(a_notice(unknown))


def test_an_empty_link_is_left_out() -> None:
    links = Links(messages_api_url="https://m", dashboard_url="")

    notice = compose(message_content(a_failure(), links, POLICY))

    assert "Dashboard" not in email_of(notice)
    assert "dashboard_url" not in facts_of(notice)


def test_an_interval_of_zero_announces_no_summary() -> None:
    assert "follow_up" in facts_of(a_notice())
    assert "follow_up" not in facts_of(a_notice(policy=replace(POLICY, interval=timedelta())))


# --- recoveries ----------------------------------------------------------------------------------


def test_a_recovery_says_so_and_requires_nothing() -> None:
    published = a_failure().with_next_notice_state(NOON).with_next_notice_state(NOON)
    recovered = published.apply(an_update("delivered", after=4000), Timings())

    notice = a_notice(recovered)

    assert notice.subject == "Recovered: message to ...5310 was delivered"
    assert "What to do" not in email_of(notice)
    assert "Delivered: 2026-11-23 13:06:40 UTC (1 h 6 min later)" in email_of(notice)
    assert facts_of(notice)["event"] == "recovery"
    assert "advice" not in facts_of(notice)
    assert json.loads(notice.texts[Protocol.DEFAULT])["id"] == f"{MESSAGE_SID}:recovery"


def test_a_recovery_names_the_incident_that_its_failure_opened() -> None:
    published = a_failure().with_next_notice_state(NOON).with_next_notice_state(NOON)
    recovered = published.apply(an_update("delivered", after=4000), Timings())

    facts = facts_of(a_notice(recovered.with_next_notice_state(NOON)))

    assert facts["notice_id"] == f"{MESSAGE_SID}:recovery"
    assert facts["incident_id"] == facts_of(a_notice(a_failure()))["incident_id"]


def test_a_recovery_names_the_failure_that_was_published() -> None:
    late = an_update("failed", error_code=30007, after=70)
    published = (
        a_failure().with_next_notice_state(NOON).with_next_notice_state(NOON).apply(late, Timings())
    )

    notice = a_notice(published.apply(an_update("delivered", after=4000), Timings()))

    assert facts_of(notice)["error_code"] == "30003"
    assert UNREACHABLE.title in email_of(notice)


# --- requests that never became a message --------------------------------------------------------


def an_unsent_request(status: str, **facts: Any) -> Message:
    request_id = "rq_" + "a" * 32
    update: StatusUpdate = an_update(status, message_sid=request_id, request_id=request_id, **facts)
    return Message.from_unsent_request(update, Timings())


@pytest.mark.parametrize(
    ("status", "happened"),
    [("rejected", "was rejected and not sent"), ("presumed_unsent", "was probably not sent")],
)
def test_a_request_that_never_became_a_message_is_described_as_such(
    status: str, happened: str
) -> None:
    notice = a_notice(an_unsent_request(status))

    assert happened in notice.subject
    assert happened in email_of(notice).splitlines()[0]
    assert re.search(r"Request: +rq_", email_of(notice))
    assert "/requests/rq_" in email_of(notice)
    assert "Message: " not in email_of(notice)
    assert "later)" not in email_of(notice)


@pytest.mark.parametrize("status", [MessageStatus.REJECTED, MessageStatus.PRESUMED_UNSENT])
def test_a_request_without_a_code_has_an_impact_and_steps_of_its_own(status: str) -> None:
    request = an_unsent_request(status)
    explained = explain(None, status)

    facts = facts_of(a_notice(request))

    assert facts["title"] == explained.title
    assert facts["advice"] == f"{explained.action} {explained.retry_advice}"
    assert facts["impact"] == impact_of(status, explained.category)
    assert facts["impact"] != impact_of("30003", explained.category)
    assert IncidentKey.of(request).cause == status


def test_the_notice_of_invalid_input_names_the_fields_and_their_problems() -> None:
    problems = "to must be a number in E.164 form"
    invalid = an_unsent_request("rejected", error_detail=problems)

    assert problems in facts_of(a_notice(invalid))["advice"]


def test_a_request_that_was_sent_after_all_says_where_its_message_is_found() -> None:
    published = (
        an_unsent_request("presumed_unsent")
        .with_next_notice_state(NOON)
        .with_next_notice_state(NOON)
    )

    notice = a_notice(published.as_superseded(NOON))

    assert notice.subject == "Recovered: message to ...5310 was sent"
    assert "Request rq_aaa" in email_of(notice)
    assert "/requests/rq_aaa" in email_of(notice)
    assert re.search(r"^  Sent: +2026-11-23 12:00:00 UTC$", email_of(notice), re.MULTILINE)
    assert facts_of(notice)["event"] == "recovery"


@pytest.mark.parametrize("fails_again", [False, True])
def test_the_recovery_of_a_request_names_the_incident_of_its_last_failure(
    fails_again: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    failed = an_unsent_request("rejected", error_code=21211)
    if fails_again:
        again = an_update(
            "rejected", message_sid=failed.message_sid, request_id=failed.message_sid, after=60.789
        )
        failed = failed.as_failed_again(again, Timings(), requested_at=NOON + timedelta(minutes=1))
    published = failed.with_next_notice_state(NOON).with_next_notice_state(NOON)
    stored = Message.from_record(published.as_item_record())

    recovered = stored.as_superseded(NOON + timedelta(minutes=2))

    assert incident_id_of(recovered) == incident_id_of(failed)


def test_the_recovery_of_a_rejected_request_names_its_error_code() -> None:
    rejected = an_unsent_request("rejected", error_code=21211)
    published = rejected.with_next_notice_state(NOON).with_next_notice_state(NOON)

    facts = facts_of(a_notice(published.as_superseded(NOON)))

    assert facts["event"] == "recovery"
    assert facts["error_code"] == "21211"
    assert facts["title"] == explain(21211).title
