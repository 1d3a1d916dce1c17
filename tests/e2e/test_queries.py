"""Lists and the summary, asked over HTTP as the team's own programs do."""

import secrets
from datetime import UTC, datetime

import pytest
import requests

from tests.e2e.outside import NEVER_ENDING, Json, OutsideProgram, a_message_sid


def a_number() -> str:
    """A number that no other message goes to."""
    return f"+1557{secrets.randbelow(10**7):07}"


def sids(answer: Json) -> list[str]:
    return [message["message_sid"] for message in answer["messages"]]


def today() -> str:
    return datetime.now(UTC).date().isoformat()


@pytest.fixture
def to(program: OutsideProgram) -> str:
    """A number to which five messages failed."""
    to = a_number()
    for _ in range(5):
        answer = program.call_back(a_message_sid(), "undelivered", To=to, ErrorCode="30007")
        assert answer.status_code == 204
    return to


def test_the_messages_to_a_number_are_read_page_by_page(program: OutsideProgram, to: str) -> None:
    everything = program.asked("messages", to=to)
    first = program.asked("messages", to=to, limit=2)
    second = program.asked("messages", to=to, limit=2, next_token=first["next_token"])
    third = program.asked("messages", to=to, limit=2, next_token=second["next_token"])

    assert len(everything["messages"]) == 5
    assert sids(first) + sids(second) + sids(third) == sids(everything)
    assert "next_token" not in everything.keys() | third.keys()
    created = [message["created_at"] for message in everything["messages"]]
    assert created == sorted(created, reverse=True)
    assert everything["messages"][0]["explanation"]["category"] == "carrier_filtering"


def test_a_plus_that_nobody_encoded_is_understood(program: OutsideProgram, to: str) -> None:
    url = f"{program.endpoints['messages_api_url']}/messages?to={to}"

    answer = requests.get(url, timeout=35)

    assert answer.json()["question"] == {"to": to}
    assert len(answer.json()["messages"]) == 5


def test_what_failed_today_is_listed_and_summed_up(program: OutsideProgram, to: str) -> None:
    failed = []
    page = program.asked("messages", failed_on=today(), limit=100)
    failed += page["messages"]
    while "next_token" in page:
        page = program.asked(
            "messages", failed_on=today(), limit=100, next_token=page["next_token"]
        )
        failed += page["messages"]
    summary = program.asked("summary")

    listed = [message["message_sid"] for message in failed]
    assert len(listed) == len(set(listed))
    assert len([message for message in failed if message.get("to") == to]) == 5
    assert summary["complete"] is True
    assert summary["failed"]["count"] >= 5
    assert summary["failed"]["by_category"]["carrier_filtering"] >= 5
    assert summary["failed"]["by_sender"]["+15005550006"] >= 5


def test_a_message_is_found_by_its_reference_and_on_the_list_of_what_is_awaited(
    program: OutsideProgram,
) -> None:
    reference = f"order+{secrets.token_hex(8)}"
    message_sid = program.sent(NEVER_ENDING[0], reference=reference)

    with_reference = program.asked("messages", reference=reference)
    awaited = program.asked("messages", awaiting="true", limit=100)

    assert sids(with_reference) == [message_sid]
    assert message_sid in sids(awaited)


def test_a_message_that_was_given_up_is_on_the_list_of_its_day_and_awaited_no_more(
    program: OutsideProgram, given_up: dict[str, Json]
) -> None:
    message_sid = given_up[NEVER_ENDING[0]]["message_sid"]

    unconfirmed = program.asked("messages", unconfirmed_on=today(), limit=100)
    awaited = program.asked("messages", awaiting="true", limit=100)
    summary = program.asked("summary", date=today())

    assert message_sid in sids(unconfirmed)
    assert message_sid not in sids(awaited)
    assert summary["unconfirmed"]["count"] >= 1


def test_a_question_that_is_not_clear_is_refused_with_the_fix(program: OutsideProgram) -> None:
    url = f"{program.endpoints['messages_api_url']}/messages?to=5558675310&limit=500"

    answer = requests.get(url, timeout=35)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert {it["field"] for it in answer.json()["problems"]} == {"to", "limit"}
