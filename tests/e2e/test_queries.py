"""Lists and the summary, over HTTP."""

import secrets
from datetime import UTC, datetime

import pytest

from tests.e2e.external_client import NEVER_FINAL, ExternalClient, Json, a_message_sid


def a_number() -> str:
    """A number of no other message."""
    return f"+1557{secrets.randbelow(10**7):07}"


def sids(response: Json) -> list[str]:
    return [message["message_sid"] for message in response["messages"]]


def today() -> str:
    return datetime.now(UTC).date().isoformat()


@pytest.fixture
def to(client: ExternalClient) -> str:
    """A number with five failed messages."""
    to = a_number()
    for _ in range(5):
        response = client.post_callback(a_message_sid(), "undelivered", To=to, ErrorCode="30007")
        assert response.status_code == 204
    return to


def test_the_messages_to_a_number_are_read_page_by_page(client: ExternalClient, to: str) -> None:
    everything = client.get("messages", to=to)
    first = client.get("messages", to=to, limit=2)
    second = client.get("messages", to=to, limit=2, next_token=first["next_token"])
    third = client.get("messages", to=to, limit=2, next_token=second["next_token"])

    assert len(everything["messages"]) == 5
    assert sids(first) + sids(second) + sids(third) == sids(everything)
    assert "next_token" not in everything.keys() | third.keys()
    created = [message["created_at"] for message in everything["messages"]]
    assert created == sorted(created, reverse=True)
    assert everything["messages"][0]["explanation"]["category"] == "carrier_filtering"


def test_the_failed_messages_of_today_are_listed_and_counted(
    client: ExternalClient, to: str
) -> None:
    failed = []
    page = client.get("messages", failed_on=today(), limit=100)
    failed += page["messages"]
    while "next_token" in page:
        page = client.get("messages", failed_on=today(), limit=100, next_token=page["next_token"])
        failed += page["messages"]
    summary = client.get("summary")

    listed = [message["message_sid"] for message in failed]
    assert len(listed) == len(set(listed))
    assert len([message for message in failed if message.get("to") == to]) == 5
    assert summary["complete"] is True
    assert summary["failed"]["count"] >= 5
    assert summary["failed"]["by_category"]["carrier_filtering"] >= 5
    assert summary["failed"]["by_sender"]["+15005550006"] >= 5


def test_an_unconfirmed_message_is_listed_on_its_day_and_not_as_pending(
    client: ExternalClient, unconfirmed_messages: dict[str, Json]
) -> None:
    message = unconfirmed_messages[NEVER_FINAL[0]]
    message_sid, day = message["message_sid"], message["updated_at"][:10]

    unconfirmed = client.get("messages", unconfirmed_on=day, limit=100)
    pending = client.get("messages", pending="true", limit=100)
    summary = client.get("summary", date=day)

    assert message_sid in sids(unconfirmed)
    assert message_sid not in sids(pending)
    assert summary["unconfirmed"]["count"] >= 1
