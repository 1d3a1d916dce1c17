"""The summaries and closing notices of incidents: their facts, and one email as it is sent."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.messages import Message, Source
from delivery.domain.statuses import MessageStatus
from delivery.twilio.error_codes import Category, explain
from functions.notify_failure.advice import (
    FIRST_STEP_FOR_MANY,
    IMPACT,
    IMPACT_OF_MANY,
    impact_of,
)
from functions.notify_failure.channels import FailureNotice, Protocol, compose
from functions.notify_failure.incident import (
    Example,
    Incident,
    IncidentKey,
    PendingNotice,
    incident_for,
)
from functions.notify_failure.incident_notice import incident_content
from functions.notify_failure.notice import Links
from functions.notify_failure.policy import NoticePolicy
from tests.support.api_description import assert_described_notice
from tests.support.builders import ACCOUNT_SID, NOON, a_message, an_update

INTERVAL = timedelta(minutes=15)
POLICY = NoticePolicy(interval=INTERVAL, muted=frozenset(), shows_full_numbers=False)
LINKS = Links(
    messages_api_url="https://messages.example.com",
    dashboard_url="https://console.example.com/dashboard",
)
FILTERED = explain(30007)


def a_failure(number: int = 0, *, minutes: float = 0, **facts: Any) -> Message:
    return a_message(
        an_update(
            "undelivered",
            after=minutes * 60,
            **{"message_sid": f"SM{number:032x}", "error_code": 30007} | facts,
        )
    )


def an_incident(by_minute: Mapping[float, int], **facts: Any) -> Incident:
    """An incident that opened at noon, with so many failures in these minutes after it."""
    incident = incident_for(a_failure(**facts), NOON, POLICY, seen=None)
    return with_failures(incident, by_minute, **facts)


def with_failures(incident: Incident, by_minute: Mapping[float, int], **facts: Any) -> Incident:
    for minutes, failures in by_minute.items():
        messages = [
            a_failure(incident.counted + number, minutes=minutes, **facts)
            for number in range(failures)
        ]
        at = NOON + timedelta(minutes=minutes)
        incident = incident.add_failures(messages, at, POLICY.mask)
    return incident


def pending_at(minutes: float, incident: Incident, policy: NoticePolicy = POLICY) -> PendingNotice:
    """The notice that is due then, its examples named."""
    pending = incident.advance(NOON + timedelta(minutes=minutes), policy).pending_notice
    assert pending is not None
    examples = tuple(
        Example(message_sid=sid, to="…4567", reference="order-1") for sid in pending.tally.examples
    )
    return replace(pending, examples=examples)


def with_summary_at(minutes: float, incident: Incident) -> Incident:
    """The incident when its summary was published then."""
    at = NOON + timedelta(minutes=minutes)
    notice_id = pending_at(minutes, incident).notice_id
    return incident.advance(at, POLICY).mark_published(notice_id, at, POLICY)


def notice_of(
    pending: PendingNotice, *, cause: str = "30007", policy: NoticePolicy = POLICY
) -> FailureNotice:
    key = IncidentKey(account_sid=ACCOUNT_SID, cause=cause)
    notice = compose(incident_content(key, pending, LINKS, policy))
    assert_described_notice(json.loads(notice.texts[Protocol.DEFAULT]))
    return notice


def a_notice(minutes: float, incident: Incident) -> FailureNotice:
    return notice_of(pending_at(minutes, incident), cause=incident.cause)


def facts_of(notice: FailureNotice) -> dict[str, str]:
    facts: dict[str, str] = json.loads(notice.texts[Protocol.DEFAULT])["metadata"][
        "additionalContext"
    ]
    return facts


def test_a_summary_is_understood_without_looking_anything_up() -> None:
    incident = an_incident({1: 60, 4: 30, 8: 20, 14.5: 10})
    incident = with_failures(incident, {14.8: 5}, from_="+15005550009").add_recoveries(3)

    email = a_notice(15, incident).texts[Protocol.EMAIL]

    assert (
        re.sub(r"inc_[0-9a-f]{32}", "inc_1", email)
        == f"""\
125 more messages were not delivered in the last 15 min: {FILTERED.title}, error 30007. In total, \
126 messages failed since 12:00 UTC. 3 of them were delivered later.

  New:       125 (numbers 2 to 126 of this incident)
  In total:  126
  Recovered: 3
  Account:   {ACCOUNT_SID}
  First new: 2026-11-23 12:01:00 UTC
  Last new:  2026-11-23 12:14:48 UTC
  Opened:    2026-11-23 12:00:00 UTC
  Incident:  inc_1

Impact
  {IMPACT[Category.CARRIER_FILTERING]}

What to do
  {FIRST_STEP_FOR_MANY[Category.CARRIER_FILTERING]}
  {FILTERED.action}

Top senders
  …0006: 120
  …0009: 5

Examples
  SM{1:032x} to …4567, reference order-1
  SM{2:032x} to …4567, reference order-1
  SM{3:032x} to …4567, reference order-1
  SM{4:032x} to …4567, reference order-1
  SM{5:032x} to …4567, reference order-1

Where to look
  Failed messages: GET https://messages.example.com/messages?failed_on=2026-11-23 (with IAM \
credentials)
  This error:      https://www.twilio.com/docs/api/errors/30007
  Dashboard:       https://console.example.com/dashboard

The next notice of this incident comes in 15 min: a summary, or a closing notice if nothing has \
failed.

Notice inc_1:2-126. A repetition of this notice has the same id.
"""
    )


def test_a_summary_counts_the_failures_that_the_audit_found() -> None:
    incident = with_failures(an_incident({1: 3}), {2: 2}, source=Source.AUDIT)

    notice = a_notice(15, incident)

    assert "The audit of earlier days found 2 of the new ones." in notice.texts[Protocol.EMAIL]
    assert facts_of(notice)["found_by_audit"] == "2"
    assert "audit" not in a_notice(15, an_incident({1: 3})).texts[Protocol.EMAIL]


def test_a_closing_notice_is_short_and_requires_nothing() -> None:
    notice = a_notice(31, with_summary_at(15, an_incident({1: 50, 14: 9})))

    assert notice.subject == (
        f"Incident closed, 60 messages not delivered: {FILTERED.title}, error 30007"
    )
    lead, *_ = notice.texts[Protocol.EMAIL].split("\n\n")
    assert "no message has failed like this for 17 min" in lead
    assert "60 messages failed since 12:00 UTC" in lead
    assert FILTERED.title in lead
    assert "What to do" not in notice.texts[Protocol.EMAIL]
    assert facts_of(notice)["kind"] == "closing"
    assert "range_from" not in facts_of(notice)


def test_a_closing_notice_covers_what_no_summary_covers() -> None:
    notice = a_notice(20, an_incident({1: 50, 2: 9}))

    assert notice.subject.startswith("Incident closed, 59 more messages not delivered: ")
    assert "for 18 min" in notice.texts[Protocol.EMAIL]
    assert "59 more messages were" in notice.texts[Protocol.EMAIL]
    assert facts_of(notice)["senders"] == "…0006: 59"


def test_a_few_failures_get_the_advice_for_a_single_one() -> None:
    notice = a_notice(15, an_incident({14: 1}, error_code=30003))

    assert notice.subject.startswith("1 more message not delivered: ")
    assert facts_of(notice)["impact"] == IMPACT[Category.RECIPIENT_UNREACHABLE]
    assert FIRST_STEP_FOR_MANY[Category.RECIPIENT_UNREACHABLE] not in facts_of(notice)["advice"]


def test_many_failures_get_advice_of_their_own() -> None:
    notice = a_notice(15, an_incident({14: 50}, error_code=30003))

    assert facts_of(notice)["impact"] == IMPACT_OF_MANY[Category.RECIPIENT_UNREACHABLE]
    assert FIRST_STEP_FOR_MANY[Category.RECIPIENT_UNREACHABLE] in facts_of(notice)["advice"]


def test_the_senders_with_the_most_failures_are_named() -> None:
    incident = an_incident({1: 10})
    for sender in range(1, 8):
        incident = with_failures(incident, {14: 1}, from_=f"+1500555100{sender}")

    assert facts_of(a_notice(15, incident))["senders"] == (
        "…0006: 10; …1001: 1; …1002: 1; …1003: 1; …1004: 1; others: 3"
    )


def test_programs_find_every_fact_of_a_summary_by_name() -> None:
    incident = an_incident({14: 50}).add_recoveries(2)

    facts = facts_of(a_notice(15, incident))

    assert {
        "event": "failure",
        "kind": "summary",
        "incident_id": incident.incident_id,
        "range_from": "2",
        "range_to": "51",
        "failures": "50",
        "counted": "51",
        "recovered": "2",
        "account_sid": ACCOUNT_SID,
        "error_code": "30007",
        "category": "carrier_filtering",
        "senders": "…0006: 50",
        "first_at": "2026-11-23T12:14:00.000Z",
        "last_at": "2026-11-23T12:14:00.000Z",
        "notice_id": f"{incident.incident_id}:2-51",
        "opened_at": "2026-11-23T12:00:00.000Z",
        "until": "2026-11-23T12:15:00.000Z",
    }.items() <= facts.items()
    assert all(facts.values())


def test_a_chat_channel_shows_the_notices_of_an_incident_as_one_thread() -> None:
    incident = an_incident({14: 50})

    notification = json.loads(a_notice(15, incident).texts[Protocol.DEFAULT])

    assert notification["metadata"]["threadId"] == incident.incident_id
    assert notification["id"] == f"{incident.incident_id}:2-51"
    assert FIRST_STEP_FOR_MANY[Category.CARRIER_FILTERING] in notification["content"]["nextSteps"]
    assert "failed_on=2026-11-23" in notification["content"]["nextSteps"][-1]


def test_a_summary_has_the_attributes_of_filter_policies() -> None:
    assert a_notice(15, an_incident({14: 50})).attributes == {
        "status": "failed",
        "category": "carrier_filtering",
        "account_sid": ACCOUNT_SID,
        "retryable": "false",
        "error_code": 30007,
    }


@pytest.mark.parametrize(
    ("cause", "recovered", "sentence"),
    [
        ("30007", 1, "1 of them was delivered later."),
        ("30007", 2, "2 of them were delivered later."),
        ("rejected", 2, "2 of them were sent later."),
        ("presumed_unsent", 1, "1 of them was sent later."),
    ],
)
def test_a_summary_counts_recoveries(cause: str, recovered: int, sentence: str) -> None:
    pending = pending_at(15, an_incident({14: 50}).add_recoveries(recovered))

    notice = notice_of(pending, cause=cause)

    assert sentence in notice.texts[Protocol.EMAIL]


def test_requests_that_are_presumed_unsent_are_described_as_such() -> None:
    pending = pending_at(15, an_incident({14: 50}, error_code=None))
    explained = explain(None, MessageStatus.PRESUMED_UNSENT)

    notice = notice_of(pending, cause="presumed_unsent")

    assert notice.subject == f"50 more messages probably not sent: {explained.title}"
    assert explained.retry_advice in facts_of(notice)["advice"]
    assert facts_of(notice)["impact"] == impact_of("presumed_unsent", Category.UNKNOWN)
    assert notice.attributes["status"] == "presumed_unsent"
    assert "error_code" not in notice.attributes


def test_an_incident_whose_category_was_muted_announces_no_further_notice() -> None:
    muting = replace(POLICY, muted=frozenset({Category.CARRIER_FILTERING}))
    pending = pending_at(15, an_incident({14: 50}), muting)

    notice = notice_of(pending, policy=muting)

    assert "muted" in notice.texts[Protocol.EMAIL]
    assert "no message has failed" not in notice.texts[Protocol.EMAIL]
    assert "follow_up" not in facts_of(notice)


@pytest.mark.parametrize("code", [30007, 99999])
def test_the_subject_of_a_summary_of_thousands_is_what_sns_takes(code: int | None) -> None:
    incident = an_incident({14: 5}, error_code=code)
    pending = replace(pending_at(15, incident), range_to=10_000)

    subject = notice_of(pending, cause=incident.cause).subject

    assert subject.startswith("9,999 more messages not delivered: ")
    assert re.fullmatch(r"[ -~]{1,99}", subject)


def test_every_category_has_its_impact_and_a_first_step() -> None:
    assert IMPACT.keys() == FIRST_STEP_FOR_MANY.keys() == set(Category)
    for text in (*IMPACT.values(), *IMPACT_OF_MANY.values(), *FIRST_STEP_FOR_MANY.values()):
        assert text.endswith(".")


def test_an_interval_of_seconds_is_shown_in_seconds() -> None:
    quick = replace(POLICY, interval=timedelta(seconds=6))
    incident = incident_for(a_failure(), NOON, quick, seen=None)
    incident = with_failures(incident, {2 / 60: 20, 5 / 60: 20})
    pending = incident.advance(NOON + quick.interval, quick).pending_notice
    assert pending is not None

    assert "in the last 6 s" in notice_of(pending, policy=quick).texts[Protocol.EMAIL]
