"""Erasing a person's data with the command line, in the deployed stack."""

import secrets
from pathlib import Path

from tests.e2e.external_client import ExternalClient, a_body, a_key
from tests.support.command_line import CommandResult, run


def a_number() -> str:
    """A number that no other message goes to."""
    return f"+1557{secrets.randbelow(10**7):07}"


def erase(number: str, endpoints: Path) -> CommandResult:
    return run("erase", number, "--yes", "--json", environment={"DELIVERY_SANDBOX": str(endpoints)})


def test_a_person_is_erased_here_and_at_twilio_and_a_late_callback_restores_nothing(
    client: ExternalClient, endpoints_path: Path
) -> None:
    to, key, body = a_number(), a_key(), a_body()
    message = client.send(to, key=key, body=body, reference="order-7").json()
    message_sid = message["message_sid"]
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "delivered", "is delivered")
    client.wait_for_callbacks(message_sid)

    erased = erase(to, endpoints_path)
    late = client.post_callback(message_sid, "read", To=to)
    again = client.send(to, key=key, body=body, reference="order-7")

    assert (erased.code, erased.json["left"]) == (0, []), erased
    assert erased.json["erased"] == 2  # the message and its request
    assert late.status_code == 204
    assert client.message(message_sid) is None
    assert client.get("messages", to=to)["messages"] == []
    tombstone = {"message_sid", "erased_at", "status_rank", "expires_at"}
    assert client.item(message_sid).keys() == tombstone
    assert client.sent_with_body(body) == []
    ids = {"message_sid": message_sid, "request_id": message["request_id"]}
    assert (again.status_code, again.json()) == (200, ids)
