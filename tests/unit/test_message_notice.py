import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.twilio.error_codes import Category
from functions.notify_failure.episode import episode_id_of
from functions.notify_failure.message_notice import compose
from functions.notify_failure.notice import FailureNotice, Places, as_subject
from functions.notify_failure.wording import HOW_BAD
from tests.builders import MESSAGE_SID, NOON, a_message, an_update

PLACES = Places(
    messages_api_url="https://messages.example.com",
    dashboard_url="https://console.example.com/dashboard",
)
QUIET = timedelta(minutes=15)


def a_failure(**facts: Any) -> Message:
    return a_message(
        an_update("queued", source=Source.SEND, reference="order-4711", body="secret words"),
        an_update("sent", after=1),
        an_update("undelivered", after=63, error_code=30003, **facts),
    )


def a_notice(message: Message | None = None, *, shows_numbers: bool = False) -> FailureNotice:
    return compose(message or a_failure(), PLACES, quiet=QUIET, shows_numbers=shows_numbers)


def context_of(notice: FailureNotice) -> dict[str, str]:
    context: dict[str, str] = json.loads(notice.default)["metadata"]["additionalContext"]
    return context


def test_an_email_tells_the_whole_story_without_looking_anything_up() -> None:
    assert (
        a_notice().email
        == f"""\
A message to …5310 was not delivered.

  To:        …5310
  From:      …0006
  Reference: order-4711
  Message:   {MESSAGE_SID}
  Account:   AC{"0" * 32}
  Created:   2026-11-23 12:00:00 UTC
  Failed:    2026-11-23 12:01:03 UTC (1 min 3 s later)

What went wrong
  Handset unreachable (off, no signal, roaming). Twilio's error code is 30003.
  This usually concerns one recipient only. Other messages are not affected.

What to do
  One or two delayed retries at most; then treat as unreachable.
  Sending it again later can help.

What happened (UTC)
  2026-11-23 12:00:00  queued       Twilio's answer to the request
  2026-11-23 12:00:01  sent         status callback
  2026-11-23 12:01:03  undelivered  error 30003, status callback

Where to look
  This message: GET https://messages.example.com/messages/{MESSAGE_SID} (with IAM credentials)
  This error:   https://www.twilio.com/docs/api/errors/30003
  Dashboard:    https://console.example.com/dashboard

If more fail like this, they are counted: a summary comes in 15 min instead of a notice for each.

Notice {MESSAGE_SID}:failure. Should it arrive twice, it carries the same id.
"""
    )


def test_the_subject_says_who_and_why_in_what_sns_takes() -> None:
    subject = a_notice().subject

    assert subject.startswith("Message to ...5310 was not delivered: Handset unreachable")
    assert subject.isascii()
    assert len(subject) <= 100
    assert "\n" not in subject


def test_a_long_subject_ends_with_a_whole_word() -> None:
    service = "WhatsApp: the message was sent outside of the window, and (as it seems) without a"

    subject = as_subject(f"Message to ...5310 was not delivered: {service} template at all")

    assert subject.endswith(" window, and...")
    assert len(subject) < 100


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"to": "+15558675310"}, "…5310"),
        ({"to": "whatsapp:+15558675310"}, "whatsapp:…5310"),
        ({"to": "+1 (555) 867-5310"}, "…5310"),
        ({"to": "whatsapp:+1.555.867.5310"}, "whatsapp:…5310"),
        ({"to": "+1\n555/8675310"}, "…5310"),
        ({"to": None}, "an unknown recipient"),
    ],
)
def test_numbers_show_their_last_four_digits(facts: dict[str, Any], shown: str) -> None:
    notice = a_notice(a_message(an_update("failed", **facts)))

    assert f"A message to {shown} was not delivered." in notice.email
    digits = re.sub(r"[^0-9]", "", notice.email + notice.default + notice.subject)
    assert "8675310" not in digits
    assert "5550006" not in notice.email + notice.default + notice.subject


@pytest.mark.parametrize(
    "odd", ["rcs:a\nTo: b", "rcs:\x00\x07\x7f", "rcs:\u2028x", "rcs:" + "a" * 250]
)
def test_an_odd_address_makes_no_notice_that_sns_would_refuse_and_forges_no_line(odd: str) -> None:
    notice = a_notice(a_message(an_update("failed", to=odd, reference="r\r\nTo: forged")))

    assert re.fullmatch(r"[ -~]{1,99}", notice.subject)
    assert not any(line.startswith("To: ") for line in notice.email.splitlines())


def test_numbers_are_shown_where_somebody_decided_so() -> None:
    notice = a_notice(shows_numbers=True)

    assert "A message to +15558675310 was not delivered." in notice.email
    assert context_of(notice)["to"] == "+15558675310"


def test_a_body_is_never_shown() -> None:
    notice = a_notice()

    assert "secret words" not in notice.email + notice.default + notice.subject


def test_a_chat_channel_gets_the_custom_notification_schema() -> None:
    notification = json.loads(a_notice().default)

    assert notification["version"] == "1.0"
    assert notification["source"] == "custom"
    assert notification["id"] == f"{MESSAGE_SID}:failure"
    assert notification["content"]["textType"] == "client-markdown"
    assert "Handset unreachable" in notification["content"]["description"]
    assert (
        "One or two delayed retries at most; then treat as unreachable."
        in notification["content"]["nextSteps"]
    )
    assert "a summary comes in 15 min" in notification["content"]["description"]
    assert notification["metadata"]["threadId"] == episode_id_of(a_failure())
    context = notification["metadata"]["additionalContext"]
    assert all(isinstance(fact, str) for fact in context.values())


def test_a_program_finds_every_fact_of_the_notice_by_name() -> None:
    context = context_of(a_notice())

    assert {
        "event": "failure",
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
    }.items() <= context.items()


def test_subscribers_can_filter_by_attributes() -> None:
    assert a_notice().attributes == {
        "status": "undelivered",
        "category": "recipient_unreachable",
        "account_sid": "AC" + "0" * 32,
        "retryable": "true",
        "error_code": 30003,
    }
    assert "error_code" not in a_notice(a_message("failed")).attributes


def test_a_failure_without_a_code_or_with_an_unknown_one_says_so_and_where_to_look() -> None:
    without, unknown = a_message("failed"), a_message(an_update("failed", error_code=99999))

    for message in (without, unknown):
        notice = a_notice(message)
        assert "will not help" not in notice.email
        assert "What to do\n  " in notice.email
        assert context_of(notice)["category"] == "unknown"
    assert "https://www.twilio.com/docs/api/errors/99999" in a_notice(unknown).email


def test_a_recovery_is_good_news_and_asks_for_nothing() -> None:
    told = a_failure().told(NOON).told(NOON)
    recovered = told.apply(an_update("delivered", after=4000), Timings())

    notice = a_notice(recovered)

    assert notice.subject == "Delivered after all: message to ...5310"
    assert "was delivered after all" in notice.email
    assert "What to do" not in notice.email
    assert "Delivered: 2026-11-23 13:06:40 UTC (1 h 6 min later)" in notice.email
    assert context_of(notice)["event"] == "recovery"
    assert json.loads(notice.default)["id"] == f"{MESSAGE_SID}:recovery"


def test_a_recovery_names_the_failure_that_people_were_told_of() -> None:
    late = an_update("failed", error_code=30007, after=70)
    told = a_failure().told(NOON).told(NOON).apply(late, Timings())

    notice = a_notice(told.apply(an_update("delivered", after=4000), Timings()))

    assert context_of(notice)["error_code"] == context_of(a_notice())["error_code"] == "30003"


def a_refusal(status: str) -> StatusUpdate:
    return an_update(
        status, message_sid="rq_" + "a" * 32, request_id="rq_" + "a" * 32, error_code=21211
    )


@pytest.mark.parametrize(
    ("status", "words"), [("rejected", "was refused"), ("presumed_unsent", "was probably not sent")]
)
def test_a_request_that_became_no_message_is_told_in_its_own_words(status: str, words: str) -> None:
    message = Message.from_unsent_request(a_refusal(status), Timings())

    notice = a_notice(message)

    assert words in notice.email.splitlines()[0]
    assert re.search(r"Request: +rq_", notice.email)
    assert "Message: " not in notice.email
    assert "later)" not in notice.email


def test_a_request_that_was_not_found_is_told_with_what_to_do_about_it() -> None:
    notice = a_notice(
        Message.from_unsent_request(
            replace(a_refusal("presumed_unsent"), error_code=None), Timings()
        )
    )

    assert "was probably not sent: No trace of it at Twilio" in notice.subject
    assert "under a new key" in notice.email
    assert "Whatever was sent in that moment may be missing" in notice.email
    assert "/requests/rq_" in notice.email


def test_a_request_that_was_refused_here_is_not_looked_for_at_twilio() -> None:
    refused = Message.from_unsent_request(
        replace(a_refusal("rejected"), error_code=None), Timings()
    )

    notice = a_notice(refused)

    assert "The request was not one that can be sent" in notice.subject
    assert "SendMessageFunction" in notice.email
    assert "Twilio's Console" not in notice.email
    assert "make the next ones wrong, too" in notice.email


def test_a_message_that_may_have_gone_out_all_the_same_is_not_just_sent_again() -> None:
    risky = a_message(an_update("failed", error_code=20500))

    assert "look before you send it again" in a_notice(risky).email


def test_a_request_that_was_sent_after_all_says_where_its_message_is_found() -> None:
    told = (
        Message.from_unsent_request(a_refusal("presumed_unsent"), Timings()).told(NOON).told(NOON)
    )

    notice = a_notice(told.as_superseded(NOON))

    assert notice.subject.startswith("Sent after all: message to ")
    assert "Request rq_aaa" in notice.email
    assert "/requests/rq_aaa" in notice.email
    assert "Delivered" not in notice.email
    assert json.loads(notice.default)["metadata"]["eventType"] == "recovery"


@pytest.mark.parametrize("category", Category)
def test_every_category_says_how_bad_it_is(category: Category) -> None:
    assert HOW_BAD[category].endswith(".")


def test_a_place_that_is_not_known_is_left_out() -> None:
    places = Places(messages_api_url="https://m", dashboard_url="")

    notice = compose(a_failure(), places, quiet=QUIET, shows_numbers=False)

    assert "Dashboard" not in notice.email


def test_a_time_span_is_said_as_a_person_says_it() -> None:
    notices = [
        a_notice(a_message("queued", an_update("failed", after=after)))
        for after in (0.4, 90061, timedelta(days=2).total_seconds())
    ]

    assert [notice.email.partition("(")[2].partition(" later")[0] for notice in notices] == [
        "0.4 s",
        "1 d 1 h",
        "2 d",
    ]
