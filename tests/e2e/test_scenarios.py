"""Every scenario of the simulator, through the deployed stack, to its end."""

from collections.abc import Callable

import pytest

from tests.e2e.external_client import NEVER_FINAL, ExternalClient, Inbox, Json, facts_of

# recipient: final status, outcome, error code, distinct statuses in the transitions
SCENARIOS: dict[str, tuple[str, str, int | None, set[str]]] = {
    "+15551234567": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555530003": ("undelivered", "failed", 30003, {"queued", "sent", "undelivered"}),
    "+15555530007": ("failed", "failed", 30007, {"queued", "sent", "failed"}),
    "+15555550101": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550102": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550103": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550104": ("delivered", "delivered", None, {"queued", "delivered"}),
    "+15555550106": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550109": ("delivered", "delivered", None, {"queued", "sent", "delivered"}),
    "+15555550112": ("read", "delivered", None, {"queued", "sent", "delivered", "read"}),
}
# The number of lost callbacks: only reconciling finds the final status.
LOST = {"+15555550103": 1, "+15555550104": 2}
# The statuses in the transitions of scenarios without a final status.
UNCONFIRMED = {
    "+15555550105": {"queued", "sent"},
    "+15555550113": {"queued", "sent", "paused_by_carrier"},
}


def ended(client: ExternalClient, to: str) -> Json:
    """Send to this recipient, and return the message when its scenario is over."""
    *_, statuses = SCENARIOS[to]
    message_sid = client.send_accepted(to)
    client.wait_for_message(
        message_sid,
        lambda it: {entry["status"] for entry in it["transitions"]} == statuses,
        f"with {statuses}",
    )
    return client.wait_for_callbacks(message_sid)


def ended_as_its_scenario_says(message: Json) -> bool:
    status, outcome, error_code, statuses = SCENARIOS[message["to"]]
    return (
        (message["status"], message["outcome"]) == (status, outcome)
        and message.get("error_code") == error_code
        and sorted(entry["status"] for entry in message["transitions"]) == sorted(statuses)
    )


@pytest.mark.parametrize("to", [to for to in SCENARIOS if to not in LOST])
def test_every_scenario_ends_with_its_status_and_outcome(client: ExternalClient, to: str) -> None:
    message = ended(client, to)

    assert ended_as_its_scenario_says(message), message


@pytest.mark.parametrize("to", LOST)
def test_lost_callbacks_are_made_up_for_by_reconciling(client: ExternalClient, to: str) -> None:
    message = ended(client, to)

    callbacks = client.simulator_message(message["message_sid"])["callbacks"]
    assert ended_as_its_scenario_says(message), message
    assert [it["state"] for it in callbacks].count("lost") == LOST[to]
    assert message["transitions"][-1]["source"] == "reconcile"


@pytest.mark.parametrize("to", NEVER_FINAL)
def test_a_message_without_a_final_status_becomes_unconfirmed(
    unconfirmed_messages: dict[str, Json], to: str
) -> None:
    message = unconfirmed_messages[to]

    assert message["status"] == "sent"
    assert {entry["status"] for entry in message["transitions"]} == UNCONFIRMED[to]


def test_a_late_final_status_replaces_unconfirmed(
    client: ExternalClient, unconfirmed_messages: dict[str, Json]
) -> None:
    message_sid = unconfirmed_messages["+15555550113"]["message_sid"]

    client.post_callback(message_sid, "delivered")

    assert client.message(message_sid)["outcome"] == "delivered"


def test_a_late_delivered_replaces_the_failure_and_publishes_a_recovery(
    client: ExternalClient, inbox: Inbox, no_open_incident: Callable[[str], None]
) -> None:
    no_open_incident("30003")

    message_sid = client.send_accepted("+15555550110")

    message = client.wait_for_message(
        message_sid, lambda it: it["outcome"] == "delivered", "delivered after all"
    )
    notices = inbox.wait_for(message_sid, count=2)

    assert message["status"] == "delivered"
    assert "error_code" not in message
    assert [entry.get("error_code") for entry in message["transitions"]].count(30003) == 1
    events = [facts_of(it)["event"] for it in notices]
    assert sorted(events) == ["failure", "recovery"]
