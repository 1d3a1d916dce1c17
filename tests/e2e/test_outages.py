"""Parts of the deployed stack taken away while messages are under way, and given back."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.outside import WITHIN_SECONDS, Inbox, OutsideProgram, a_message_sid, facts_of

WRITERS: Final = ("SendMessageFunction", "StatusCallbackFunction", "ReconcileMessagesFunction")
A_CODE_OF_ITS_OWN: Final = "30011"

type TakeAway = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def take_away(program: OutsideProgram, sandbox: Sandbox) -> TakeAway:
    """Lets those who write messages do nothing with these resources, for as long as it is entered.

    Their roles are denied it: AWS refuses each call, as it does when somebody broke a key or a
    policy.
    """
    iam, functions = program.client("iam"), program.client("lambda")
    roles = [
        functions.get_function_configuration(FunctionName=sandbox.stack.resources[name])["Role"]
        for name in WRITERS
    ]
    names = [role.rpartition("/")[2] for role in roles]

    @contextmanager
    def without(*actions: str, resource: str) -> Iterator[None]:
        denied = {"Effect": "Deny", "Action": list(actions), "Resource": resource}
        policy = {"PolicyName": "TakenAway" + resource.rpartition(":")[2].replace("/", "-")}
        document = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
        for name in names:
            iam.put_role_policy(RoleName=name, PolicyDocument=document, **policy)
        try:
            yield
        finally:
            for name in names:
                iam.delete_role_policy(RoleName=name, **policy)

    return without


def table_arn(sandbox: Sandbox) -> str:
    return f"arn:aws:dynamodb:*:*:table/{sandbox.endpoints.messages_table}"


def queue_arn(sandbox: Sandbox) -> str:
    name = sandbox.stack.resources["CallbackQueue"].rpartition("/")[2]
    return f"arn:aws:sqs:*:*:{name}"


def waiting(sandbox: Sandbox) -> int:
    return sandbox.account.count_messages(sandbox.stack.resources["CallbackQueue"])


def wait_until_none_wait(sandbox: Sandbox) -> None:
    wait_for(lambda: waiting(sandbox) == 0, timeout=WITHIN_SECONDS, what="An empty CallbackQueue")


def test_what_twilio_says_while_the_table_is_away_is_kept_and_brought_in(
    program: OutsideProgram, sandbox: Sandbox, take_away: TakeAway
) -> None:
    delivered, failed = a_message_sid(), a_message_sid()

    with take_away("dynamodb:*", resource=table_arn(sandbox)):
        answers = [
            program.call_back(delivered, "delivered"),
            program.call_back(delivered, "sent"),
            program.call_back(failed, "undelivered", ErrorCode=A_CODE_OF_ITS_OWN),
            program.call_back(failed, "sent"),
        ]
        stored, kept = program.item(delivered), waiting(sandbox)
        back_at = datetime.now(UTC)
    ended = program.message_when(delivered, lambda it: len(it["transitions"]) == 2, "complete")
    wait_until_none_wait(sandbox)

    assert [answer.status_code for answer in answers] == [204] * 4
    assert (stored, kept) == (None, 4)
    assert (ended["status"], ended["outcome"]) == ("delivered", "delivered")
    assert all(datetime.fromisoformat(it["at"]) < back_at for it in ended["transitions"])
    assert program.message(failed)["error_code"] == int(A_CODE_OF_ITS_OWN)


def test_twilio_tries_again_while_neither_table_nor_queue_takes_what_it_says(
    program: OutsideProgram, sandbox: Sandbox, take_away: TakeAway
) -> None:
    message_sid = a_message_sid()

    with (
        take_away("dynamodb:*", resource=table_arn(sandbox)),
        take_away("sqs:SendMessage", resource=queue_arn(sandbox)),
    ):
        refused = program.call_back(message_sid, "delivered")
        kept = waiting(sandbox)
    repeated = program.call_back(message_sid, "delivered")

    assert (refused.status_code, kept) == (503, 0)
    assert repeated.status_code == 204
    assert program.message(message_sid)["outcome"] == "delivered"


@pytest.mark.parametrize("queue_takes_it", [True, False])
def test_a_message_that_is_sent_while_the_table_is_away_is_known_with_all_that_was_said_of_it(
    program: OutsideProgram, sandbox: Sandbox, take_away: TakeAway, *, queue_takes_it: bool
) -> None:
    all_callbacks_are_lost = "+15555550104"

    with take_away("dynamodb:*", resource=table_arn(sandbox)):
        if queue_takes_it:
            answer = program.send(all_callbacks_are_lost, reference="order-4711")
        else:
            with take_away("sqs:SendMessage", resource=queue_arn(sandbox)):
                answer = program.send(all_callbacks_are_lost, reference="order-4711")
        stored = program.item(answer.json()["message_sid"])
    message: Any = program.message_when(
        answer.json()["message_sid"], lambda it: it["outcome"] == "delivered", "delivered"
    )
    wait_until_none_wait(sandbox)

    assert (answer.status_code, stored) == (201, None)
    assert (message["reference"], message["request_id"]) == (
        "order-4711",
        answer.json()["request_id"],
    )


@pytest.fixture
def no_stream(program: OutsideProgram, sandbox: Sandbox) -> Iterator[None]:
    """The notifier does not hear of the table's stream, until the test is over."""
    functions = program.client("lambda")
    notifier = sandbox.stack.resources["NotifyFailureFunction"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=notifier)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    yield
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@pytest.mark.usefixtures("no_stream")
def test_people_are_told_by_the_sweep_of_what_the_stream_dropped(
    program: OutsideProgram, inbox: Inbox, first_of_its_kind: Callable[[str], None]
) -> None:
    first_of_its_kind(A_CODE_OF_ITS_OWN)
    sids = [a_message_sid() for _ in range(3)]

    for sid in sids:
        program.call_back(sid, "undelivered", ErrorCode=A_CODE_OF_ITS_OWN)
    due = [program.item(sid)["notice"] for sid in sids]
    alone, *counted = (
        program.message_when(sid, lambda it: it["notice"] in {"published", "grouped"}, "published")
        for sid in sids
    )
    (notice,) = inbox.wait_for(alone["message_sid"])

    facts = facts_of(notice)
    assert due == ["due"] * 3
    assert facts["notice_id"] == alone["notice_id"]
    assert {it["notice_id"] for it in counted} == {facts["incident_id"]}
    assert [len(inbox.about(sid)) for sid in sids] == [1, 0, 0]
