"""What people and programs are told about messages that failed."""

from sandbox.mailbox import Email
from sandbox.waiting import wait_for
from tests.e2e.outside import WITHIN_SECONDS, Inbox, OutsideProgram, a_message_sid


def test_a_failed_message_is_noticed_once_with_every_fact(
    program: OutsideProgram, inbox: Inbox
) -> None:
    message_sid = program.sent("+15555530005", reference="order-4711")

    (notice,) = inbox.wait_for(message_sid)
    item = program.item(message_sid)

    facts = notice["content"]["metadata"]["additionalContext"]
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

    email = wait_for(arrived, within=WITHIN_SECONDS, what="The email")

    assert "0004" in email.subject
    for words in ("was not delivered", "What went wrong", "What to do", "undelivered"):
        assert words in email.text
    assert "+15555530004" not in email.subject + email.text


def test_repeated_failures_of_one_message_are_one_notice(
    program: OutsideProgram, inbox: Inbox
) -> None:
    message_sid, later = a_message_sid(), a_message_sid()

    for _ in range(3):
        program.call_back(message_sid, "undelivered", ErrorCode="30003")
    program.call_back(later, "undelivered", ErrorCode="30003")
    inbox.wait_for(later)

    assert len(inbox.about(message_sid)) == 1


def test_nobody_is_told_of_a_message_that_arrives(program: OutsideProgram, inbox: Inbox) -> None:
    delivered, failed = a_message_sid(), a_message_sid()

    program.call_back(delivered, "delivered")
    program.call_back(failed, "failed")
    inbox.wait_for(failed)

    assert inbox.about(delivered) == []
    assert "notice" not in program.item(delivered)
