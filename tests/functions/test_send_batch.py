"""SendMessageFunction: batches, whose valid messages are put into SendQueue."""

import io
import json
import re
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from functions.send_message.send_queue import SendQueue, message_group
from tests.functions.sender import (
    SUBACCOUNT_SID,
    SenderRig,
    a_document,
)
from tests.support.builders import ACCOUNT_SID
from tests.support.faults import FailingClient, WrappedClient
from tests.support.shared_clients import shared_client

KEY = "newsletter-2026-11"
INVALID = a_document(to="not-a-number")


def take_all(send_queue: str) -> list[str]:
    """Take all messages out of the queue, and return their bodies."""
    sqs = shared_client("sqs")
    bodies: list[str] = []
    while messages := sqs.receive_message(QueueUrl=send_queue, MaxNumberOfMessages=10).get(
        "Messages", []
    ):
        bodies += [message["Body"] for message in messages]
    return bodies


def failing_sqs(*, from_request: int = 1, after: bool = False) -> WrappedClient:
    """SQS whose requests fail from this one on, before or after they take effect."""
    numbers = count(1)

    def around(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        fails = next(numbers) >= from_request
        answer = None if fails and not after else call(**arguments)
        if fails:
            raise ReadTimeoutError(endpoint_url="https://sqs")
        return answer

    return WrappedClient(shared_client("sqs"), around)


# --- queueing ----------------------------------------------------------------------------------


def test_a_batch_is_put_into_the_queue_and_not_sent_yet(sender: SenderRig, send_queue: str) -> None:
    documents = [a_document(reference=f"order-{number}") for number in range(25)]

    status, answer = sender.post_batch(*documents)

    assert status == 202
    assert (answer["queued"], answer["invalid"]) == (25, 0)
    assert all(result["queued"] for result in answer["results"])
    queued = map(json.loads, take_all(send_queue))
    assert sorted(document["reference"] for document in queued) == sorted(
        document["reference"] for document in documents
    )
    assert sender.twilio.requests == []
    assert sender.metrics() == {"RequestQueued": 25}


def test_a_message_that_expires_in_the_queue_is_rejected_under_the_request_id_of_the_response(
    sender: SenderRig, send_queue: str
) -> None:
    send_at = (sender.clock()).replace(microsecond=0)
    document = a_document(
        **{"from": None}, messaging_service_sid="MG" + "5" * 32, send_at=send_at.isoformat()
    )
    sender.clock.advance(hours=-1)
    _, answer = sender.post_batch(document)
    sender.clock.advance(hours=2)

    sender.receive(*take_all(send_queue))

    request_id = answer["results"][0]["request_id"]
    message = sender.message(request_id)
    assert message is not None
    assert (message.status, message.request_id) == ("rejected", request_id)


def test_each_message_of_a_batch_is_validated_by_itself(sender: SenderRig, send_queue: str) -> None:
    late = a_document(text="x", send_at="2020-01-01T12:00:00Z")

    foreign = a_document(account_sid="AC" + "9" * 32)

    status, answer = sender.post_batch(a_document(), INVALID, late, "Hello", foreign)

    assert status == 202
    assert (answer["queued"], answer["invalid"], answer["not_queued"]) == (1, 4, 0)
    assert [sorted(result) for result in answer["results"]] == [
        ["queued", "request_id"],
        *[["problems"]] * 4,
    ]
    fields = [[it["field"] for it in result["problems"]] for result in answer["results"][1:]]
    assert fields == [["to"], ["text", "send_at", "send_at"], ["request"], ["account_sid"]]
    assert len(take_all(send_queue)) == 1
    assert sender.metrics() == {"RequestQueued": 1, "RequestInvalid": 4}


def test_the_response_holds_the_first_ten_problems_of_a_message(sender: SenderRig) -> None:
    _, answer = sender.post_batch({f"surprise_{number}": 1 for number in range(100)})

    assert len(answer["results"][0]["problems"]) == 10


# --- idempotency keys ----------------------------------------------------------------------------


def test_a_batch_that_is_repeated_under_its_key_sends_each_message_once(
    sender: SenderRig, send_queue: str
) -> None:
    documents = [a_document(reference=f"order-{number}") for number in range(3)]

    first, second = (sender.post_batch(*documents, key=KEY) for _ in range(2))
    sender.receive(*take_all(send_queue))

    assert first == second
    assert len(sender.twilio.requests) == 3


def test_without_a_key_every_call_makes_new_requests(sender: SenderRig) -> None:
    first, second = (sender.post_batch(a_document()) for _ in range(2))

    assert first[1]["results"][0]["request_id"] != second[1]["results"][0]["request_id"]


def test_the_key_of_a_message_is_the_same_in_a_batch_and_in_a_single_request(
    sender: SenderRig, send_queue: str
) -> None:
    _, answer = sender.post_batch(a_document(idempotency_key="order-7"), key=KEY)

    _, single = sender.post(a_document(), key="order-7")
    sender.receive(*take_all(send_queue))

    assert single["request_id"] == answer["results"][0]["request_id"]
    assert len(sender.twilio.requests) == 1


def test_the_second_message_of_a_batch_with_the_same_key_is_invalid(sender: SenderRig) -> None:
    document = a_document(idempotency_key="order-7")

    _, answer = sender.post_batch(document, document)

    assert answer["results"][0]["queued"]
    assert [it["field"] for it in answer["results"][1]["problems"]] == ["idempotency_key"]


def test_a_queued_message_names_its_key_and_no_account_of_its_own(
    sender: SenderRig, send_queue: str
) -> None:
    sender.post_batch(a_document(), a_document(), key=KEY)

    queued = [json.loads(body) for body in take_all(send_queue)]

    assert not any("account_sid" in it for it in queued)
    assert sorted(it["idempotency_key"] for it in queued) == [f"{KEY}:0", f"{KEY}:1"]


# --- message groups: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html


def test_each_account_and_sender_is_a_message_group(sender: SenderRig) -> None:
    sender.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": "t"}})
    service = {"from": None, "messaging_service_sid": "MG" + "5" * 32}
    of_subaccount = {"account_sid": SUBACCOUNT_SID}
    documents = [a_document(**it) for it in ({}, {"body": "Another"}, of_subaccount, service)]
    groups: list[str] = []

    def accept(**arguments: Any) -> Any:
        groups.extend(entry["MessageGroupId"] for entry in arguments["Entries"])
        return {"Successful": arguments["Entries"]}

    sender.restart(sqs=SimpleNamespace(send_message_batch=accept))
    sender.post_batch(*documents)

    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


@pytest.mark.parametrize("name", ["ACME Inc", "\N{SNOWMAN}" * 100, "x" * 200])
def test_a_message_group_has_only_characters_that_sqs_accepts(name: str) -> None:
    groups = [message_group(ACCOUNT_SID, name + end) for end in "ab"]

    assert groups[0] != groups[1]
    assert all(re.fullmatch(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}", group) for group in groups)


# --- malformed batches --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("not JSON", "request"),
        ("[]", "request"),
        ('{"messages": [], "more": 1}', "request"),
        ('{"messages": {}}', "messages"),
        ('{"messages": []}', "messages"),
        (json.dumps({"messages": [{}] * 1001}), "messages"),
    ],
)
def test_a_body_that_is_not_a_batch_is_invalid_as_a_whole(
    sender: SenderRig, send_queue: str, text: str, field: str
) -> None:
    status, answer = sender.post_batch_text(text)

    assert status == 400
    assert [it["field"] for it in answer["problems"]] == [field]
    assert take_all(send_queue) == []


def test_a_batch_may_have_a_thousand_messages(sender: SenderRig) -> None:
    status, answer = sender.post_batch(*[{}] * 1000)

    assert (status, answer["invalid"]) == (202, 1000)


def test_a_batch_over_four_mebibytes_is_too_large(sender: SenderRig) -> None:
    status, answer = sender.post_batch_text(" " * (4 * 1024 * 1024 + 1))

    assert status == 413
    assert "4 MiB" in answer["detail"]


def test_a_message_that_is_larger_in_the_queue_than_its_limit_is_invalid(sender: SenderRig) -> None:
    variables = {"1": "\N{SNOWMAN}" * 11_000}
    document = a_document(body=None, content_sid="HX" + "6" * 32, content_variables=variables)

    _, answer = sender.post_batch(document)

    assert "64 KiB" in answer["results"][0]["problems"][0]["problem"]


# --- failures of SQS ----------------------------------------------------------------------------


def test_a_failed_request_to_sqs_is_retried(sender: SenderRig, send_queue: str) -> None:
    sender.restart(sqs=FailingClient(shared_client("sqs"), 1, after=False))

    status, answer = sender.post_batch(*[a_document() for _ in range(25)])

    assert (status, answer["queued"]) == (202, 25)
    assert len(take_all(send_queue)) == 25


def test_the_response_says_for_each_message_whether_it_is_queued(
    sender: SenderRig, send_queue: str
) -> None:
    sender.restart(sqs=failing_sqs(from_request=3))

    status, answer = sender.post_batch(*[a_document() for _ in range(40)], INVALID)

    assert status == 503
    assert (answer["queued"], answer["not_queued"], answer["invalid"]) == (20, 20, 1)
    assert [result.get("queued") for result in answer["results"]].count(True) == 20
    assert len(take_all(send_queue)) == 20
    assert sender.metrics() == {"RequestQueued": 20, "RequestNotQueued": 20, "RequestInvalid": 1}


def test_a_message_that_may_not_be_queued_can_be_repeated_under_the_key_of_the_response(
    sender: SenderRig, send_queue: str
) -> None:
    sender.restart(sqs=failing_sqs(after=True))
    _, answer = sender.post_batch(a_document())
    (result,) = answer["results"]
    sender.restart()

    _, again = sender.post_batch(a_document(idempotency_key=result["idempotency_key"]))
    sender.receive(*take_all(send_queue))

    assert not result["queued"]
    assert again["results"][0] == {"request_id": result["request_id"], "queued": True}
    assert len(sender.twilio.requests) == 1


def test_entries_that_sqs_rejects_are_reported_with_its_code(
    sender: SenderRig, log_output: io.StringIO
) -> None:
    def reject_first(**arguments: Any) -> Any:
        first, *others = arguments["Entries"]
        return {
            "Successful": [{"Id": entry["Id"]} for entry in others],
            "Failed": [{"Id": first["Id"], "Code": "InternalError", "SenderFault": False}],
        }

    sender.restart(sqs=SimpleNamespace(send_message_batch=reject_first))

    status, answer = sender.post_batch(*[a_document() for _ in range(10)])

    assert (status, answer["queued"], answer["not_queued"]) == (503, 9, 1)
    assert "InternalError" in log_output.getvalue()


def test_nothing_is_put_into_the_queue_when_too_little_time_is_left(
    sender: SenderRig, send_queue: str
) -> None:
    sender.seconds_left = 4.0

    status, answer = sender.post_batch(a_document())

    assert (status, answer["not_queued"]) == (503, 1)
    assert take_all(send_queue) == []


def test_nothing_is_queued_while_the_secret_is_invalid(sender: SenderRig, send_queue: str) -> None:
    sender.secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString="{")

    status, answer = sender.post_batch(a_document())

    assert status == 503
    assert "results" not in answer
    assert take_all(send_queue) == []


# --- sizes of SQS requests ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([10] * 10, [10]),
        ([10] * 11, [10, 1]),
        ([64 * 1024] * 5, [4, 1]),
        ([200_000, 60_000, 10_000], [2, 1]),
    ],
)
def test_a_request_to_sqs_has_at_most_ten_messages_and_256_kib(
    sizes: list[int], expected: list[int]
) -> None:
    groups: list[int] = []

    def accept(**arguments: Any) -> Any:
        groups.append(len(arguments["Entries"]))
        return {"Successful": arguments["Entries"]}

    client: Any = SimpleNamespace(send_message_batch=accept)

    entries = {number: ("x" * size, "group") for number, size in enumerate(sizes)}

    SendQueue(client, "url").put(entries, time_left=lambda: 29)

    assert sorted(groups, reverse=True) == expected
