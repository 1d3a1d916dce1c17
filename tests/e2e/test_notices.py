"""What people and programs are told about messages that failed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sandbox.aws.mailbox import Email
from sandbox.polling import wait_for
from tests.e2e.outside import WITHIN_SECONDS, Inbox, OutsideProgram, a_message_sid, facts_of

STORM = 300
FILTERED = "30007"


def test_a_failed_message_is_noticed_once_with_every_fact(
    program: OutsideProgram, inbox: Inbox
) -> None:
    message_sid = program.sent("+15555530005", reference="order-4711")

    (notice,) = inbox.wait_for(message_sid)
    item = program.item(message_sid)

    facts = facts_of(notice)
    assert notice["content"]["version"] == "1.0"
    assert (facts["error_code"], facts["reference"]) == ("30005", "order-4711")
    assert facts["notice_id"] == item["notice_id"]
    assert notice["attributes"]["status"] == "undelivered"
    assert notice["attributes"]["error_code"] == "30005"
    assert "+15555530005" not in str(notice)


def test_the_email_tells_in_words_what_happened_and_what_to_do(
    program: OutsideProgram, emails: list[Email]
) -> None:
    message_sid = program.sent("+15555530004")

    def arrived() -> Email | None:
        return next((email for email in emails if message_sid in email.text), None)

    email = wait_for(arrived, timeout=WITHIN_SECONDS, what="The email")

    assert "0004" in email.subject
    for words in ("was not delivered", "Impact", "What to do", "undelivered"):
        assert words in email.text
    assert "+15555530004" not in email.subject + email.text


def test_repeated_failures_of_one_message_are_one_notice(
    program: OutsideProgram, inbox: Inbox
) -> None:
    message_sid, later = a_message_sid(), a_message_sid()

    for _ in range(3):
        program.call_back(message_sid, "undelivered", ErrorCode="30008")
    program.call_back(later, "undelivered", ErrorCode="30017")
    inbox.wait_for(later)

    assert len(inbox.about(message_sid)) == 1


def test_nobody_is_told_of_a_message_that_arrives(program: OutsideProgram, inbox: Inbox) -> None:
    delivered, failed = a_message_sid(), a_message_sid()

    program.call_back(delivered, "delivered")
    program.call_back(failed, "failed", ErrorCode="30019")
    inbox.wait_for(failed)

    assert inbox.about(delivered) == []
    assert "notice" not in program.item(delivered)


def test_a_storm_is_one_notice_and_summaries_that_add_up(
    program: OutsideProgram,
    inbox: Inbox,
    emails: list[Email],
    first_of_its_kind: Callable[[str], None],
) -> None:
    first_of_its_kind(FILTERED)
    before = len(inbox.of_cause(FILTERED))
    message_sids = [a_message_sid() for _ in range(STORM)]

    def fail(message_sid: str) -> None:
        program.call_back(message_sid, "undelivered", ErrorCode=FILTERED, To="+491701234567")

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(fail, message_sids))
    (recovers,) = program.items_when(
        lambda it: it["message_sid"] in message_sids and is_grouped(it), "A counted failure"
    )[:1]
    program.call_back(recovers["message_sid"], "delivered")
    program.message_when(
        recovers["message_sid"], lambda it: it.get("notice") == "recovered", "counted as recovered"
    )
    first_of_its_kind(FILTERED)

    def all_told() -> list[dict[str, str]] | None:
        facts = [facts_of(it) for it in inbox.of_cause(FILTERED)[before:]]
        return facts if facts and facts[-1]["kind"] == "closing" else None

    facts = wait_for(all_told, timeout=WITHIN_SECONDS, what="The last line")
    kinds = [it["kind"] for it in facts]
    assert kinds == ["opening", *["summary"] * (len(facts) - 2), "closing"]
    assert len(facts) < 12
    assert len({it["incident_id"] for it in facts}) == 1
    ranges = [range(int(it["range_from"]), int(it["range_to"]) + 1) for it in facts if is_range(it)]
    assert [number for each in ranges for number in each] == list(range(1, STORM + 1))
    assert facts[-1]["recovered"] == "1"
    assert inbox.about(recovers["message_sid"]) == []
    items = [program.item(message_sid) for message_sid in message_sids]
    assert sum(is_grouped(item) for item in items) == STORM - 1
    (summary,) = [it for it in emails if f"{facts[1]['notice_id']}." in it.text][:1]
    assert "…4567" in summary.text
    assert "1701234567" not in summary.text


def is_grouped(item: dict[str, str]) -> bool:
    return item.get("notice_id", "").startswith("inc_")


def is_range(facts: dict[str, str]) -> bool:
    return "range_from" in facts
