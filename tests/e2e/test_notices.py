"""Notices of failed messages, to people and programs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sandbox.aws.mailbox import Email
from sandbox.polling import wait_for
from tests.e2e.external_client import (
    TIMEOUT_SECONDS,
    ExternalClient,
    Inbox,
    a_message_sid,
    facts_of,
)

FAILURES = 300
FILTERED = "30007"


def test_a_failed_message_is_notified_once_with_all_fields(
    client: ExternalClient, inbox: Inbox
) -> None:
    message_sid = client.send_accepted("+15555530005", reference="order-4711")

    (notice,) = inbox.wait_for(message_sid)
    item = client.item(message_sid)

    facts = facts_of(notice)
    assert notice["content"]["version"] == "1.0"
    assert (facts["error_code"], facts["reference"]) == ("30005", "order-4711")
    assert facts["notice_id"] == item["notice_id"]
    assert notice["attributes"]["status"] == "undelivered"
    assert notice["attributes"]["error_code"] == "30005"
    assert "+15555530005" not in str(notice)


def test_the_email_explains_the_failure_and_gives_advice(
    client: ExternalClient, emails: list[Email]
) -> None:
    message_sid = client.send_accepted("+15555530004")

    def arrived() -> Email | None:
        return next((email for email in emails if message_sid in email.text), None)

    email = wait_for(arrived, timeout=TIMEOUT_SECONDS, what="The email")

    assert "0004" in email.subject
    explanation = client.message(message_sid)["explanation"]
    for words in ("undelivered", explanation["title"], explanation["action"]):
        assert words in email.text
    assert "+15555530004" not in email.subject + email.text


def test_many_failures_are_one_notice_and_summaries_whose_totals_add_up(
    client: ExternalClient,
    inbox: Inbox,
    emails: list[Email],
    no_open_incident: Callable[[str], None],
) -> None:
    no_open_incident(FILTERED)
    before = len(inbox.with_error_code(FILTERED))
    message_sids = [a_message_sid() for _ in range(FAILURES)]

    def fail(message_sid: str) -> None:
        client.post_callback(message_sid, "undelivered", ErrorCode=FILTERED, To="+491701234567")

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(fail, message_sids))
    (recovers,) = client.wait_for_items(
        lambda it: it["message_sid"] in message_sids and is_grouped(it), "a grouped failure"
    )[:1]
    client.post_callback(recovers["message_sid"], "delivered")
    client.wait_for_message(
        recovers["message_sid"], lambda it: it.get("notice") == "recovered", "recovered"
    )
    no_open_incident(FILTERED)

    def all_notices() -> list[dict[str, str]] | None:
        facts = [facts_of(it) for it in inbox.with_error_code(FILTERED)[before:]]
        return facts if facts and facts[-1]["kind"] == "closing" else None

    facts = wait_for(all_notices, timeout=TIMEOUT_SECONDS, what="The closing notice")
    kinds = [it["kind"] for it in facts]
    assert kinds == ["opening", *["summary"] * (len(facts) - 2), "closing"]
    assert len(facts) < 12
    assert len({it["incident_id"] for it in facts}) == 1
    ranges = [range(int(it["range_from"]), int(it["range_to"]) + 1) for it in facts if is_range(it)]
    assert [number for each in ranges for number in each] == list(range(1, FAILURES + 1))
    assert facts[-1]["recovered"] == "1"
    assert inbox.about(recovers["message_sid"]) == []
    items = [client.item(message_sid) for message_sid in message_sids]
    assert sum(is_grouped(item) for item in items) == FAILURES - 1
    (summary,) = [it for it in emails if f"{facts[1]['notice_id']}." in it.text][:1]
    assert "…4567" in summary.text
    assert "1701234567" not in summary.text


def is_grouped(item: dict[str, str]) -> bool:
    return item.get("notice_id", "").startswith("inc_")


def is_range(facts: dict[str, str]) -> bool:
    return "range_from" in facts
