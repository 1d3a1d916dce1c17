"""Outages of the table, the callback queue and the stream while messages are sent."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import (
    TIMEOUT_SECONDS,
    ExternalClient,
    Inbox,
    a_message_sid,
    facts_of,
)

WRITERS: Final = ("SendMessageFunction", "StatusCallbackFunction", "ReconcileMessagesFunction")
UNIQUE_CODE: Final = "30011"

type Deny = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def deny(client: ExternalClient, sandbox: Sandbox) -> Deny:
    """Denies the functions that write messages access to a resource while its context lasts.

    AWS then rejects each call, as it does after a mistake in a policy or a key.
    """
    iam, functions = client.aws("iam"), client.aws("lambda")
    roles = [
        functions.get_function_configuration(FunctionName=sandbox.stack.resources[name])["Role"]
        for name in WRITERS
    ]
    names = [role.rpartition("/")[2] for role in roles]

    @contextmanager
    def denied(*actions: str, resource: str) -> Iterator[None]:
        statement = {"Effect": "Deny", "Action": list(actions), "Resource": resource}
        policy = {"PolicyName": "Denied" + resource.rpartition(":")[2].replace("/", "-")}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        for name in names:
            iam.put_role_policy(RoleName=name, PolicyDocument=document, **policy)
        try:
            yield
        finally:
            for name in names:
                iam.delete_role_policy(RoleName=name, **policy)

    return denied


def table_arn(sandbox: Sandbox) -> str:
    return f"arn:aws:dynamodb:*:*:table/{sandbox.endpoints.messages_table}"


def queue_arn(sandbox: Sandbox) -> str:
    name = sandbox.stack.resources["CallbackQueue"].rpartition("/")[2]
    return f"arn:aws:sqs:*:*:{name}"


def queued(sandbox: Sandbox) -> int:
    return sandbox.account.count_messages(sandbox.stack.resources["CallbackQueue"])


def wait_until_empty(sandbox: Sandbox) -> None:
    wait_for(lambda: queued(sandbox) == 0, timeout=TIMEOUT_SECONDS, what="An empty CallbackQueue")


def test_callbacks_during_an_outage_of_the_table_are_queued_and_recorded_later(
    client: ExternalClient, sandbox: Sandbox, deny: Deny
) -> None:
    delivered, failed = a_message_sid(), a_message_sid()

    with deny("dynamodb:*", resource=table_arn(sandbox)):
        responses = [
            client.post_callback(delivered, "delivered"),
            client.post_callback(delivered, "sent"),
            client.post_callback(failed, "undelivered", ErrorCode=UNIQUE_CODE),
            client.post_callback(failed, "sent"),
        ]
        stored, kept = client.item(delivered), queued(sandbox)
        back_at = datetime.now(UTC)
    ended = client.wait_for_message(delivered, lambda it: len(it["transitions"]) == 2, "complete")
    wait_until_empty(sandbox)

    assert [response.status_code for response in responses] == [204] * 4
    assert (stored, kept) == (None, 4)
    assert (ended["status"], ended["outcome"]) == ("delivered", "delivered")
    assert all(datetime.fromisoformat(it["at"]) < back_at for it in ended["transitions"])
    assert client.message(failed)["error_code"] == int(UNIQUE_CODE)


def test_twilio_retries_callbacks_during_an_outage_of_table_and_queue(
    client: ExternalClient, sandbox: Sandbox, deny: Deny
) -> None:
    message_sid = a_message_sid()

    with (
        deny("dynamodb:*", resource=table_arn(sandbox)),
        deny("sqs:SendMessage", resource=queue_arn(sandbox)),
    ):
        rejected = client.post_callback(message_sid, "delivered")
        kept = queued(sandbox)
    repeated = client.post_callback(message_sid, "delivered")

    assert (rejected.status_code, kept) == (503, 0)
    assert repeated.status_code == 204
    assert client.message(message_sid)["outcome"] == "delivered"


@pytest.mark.parametrize("queue_available", [True, False])
def test_a_message_sent_during_an_outage_of_the_table_is_recorded_later_with_its_fields(
    client: ExternalClient, sandbox: Sandbox, deny: Deny, *, queue_available: bool
) -> None:
    all_callbacks_are_lost = "+15555550104"

    with deny("dynamodb:*", resource=table_arn(sandbox)):
        if queue_available:
            response = client.send(all_callbacks_are_lost, reference="order-4711")
        else:
            with deny("sqs:SendMessage", resource=queue_arn(sandbox)):
                response = client.send(all_callbacks_are_lost, reference="order-4711")
        stored = client.item(response.json()["message_sid"])
    message: Any = client.wait_for_message(
        response.json()["message_sid"], lambda it: it["outcome"] == "delivered", "delivered"
    )
    wait_until_empty(sandbox)

    assert (response.status_code, stored) == (201, None)
    assert (message["reference"], message["request_id"]) == (
        "order-4711",
        response.json()["request_id"],
    )


@pytest.fixture
def no_stream(client: ExternalClient, sandbox: Sandbox) -> Iterator[None]:
    """The notifier's event source is disabled during the test."""
    functions = client.aws("lambda")
    notifier = sandbox.stack.alias_arn("NotifyFailureFunction")
    (mapping,) = functions.list_event_source_mappings(FunctionName=notifier)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    yield
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@pytest.mark.usefixtures("no_stream")
def test_the_sweep_notifies_failures_that_the_stream_dropped(
    client: ExternalClient, inbox: Inbox, no_open_incident: Callable[[str], None]
) -> None:
    no_open_incident(UNIQUE_CODE)
    sids = [a_message_sid() for _ in range(3)]

    for sid in sids:
        client.post_callback(sid, "undelivered", ErrorCode=UNIQUE_CODE)
    due = [client.item(sid)["notice"] for sid in sids]
    alone, *grouped = (
        client.wait_for_message(
            sid, lambda it: it["notice"] in {"published", "grouped"}, "notified"
        )
        for sid in sids
    )
    (notice,) = inbox.wait_for(alone["message_sid"])

    facts = facts_of(notice)
    assert due == ["due"] * 3
    assert facts["notice_id"] == alone["notice_id"]
    assert {it["notice_id"] for it in grouped} == {facts["incident_id"]}
    assert [len(inbox.about(sid)) for sid in sids] == [1, 0, 0]
