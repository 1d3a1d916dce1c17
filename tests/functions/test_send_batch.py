"""SendMessageFunction: many messages in one call, each checked by itself and put into SendQueue."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from functions.send_message.send_queue import SendQueue
from tests.builders import ACCOUNT_SID
from tests.functions.sender import (
    REQUEST_ID,
    SUBACCOUNT_SID,
    Function,
    Line,
    a_document,
    an_http_event,
)
from tests.made_once import shared_client

KEY = "newsletter-2026-11"
REFUSED = a_document(to="nobody")


def post(
    function: Function, *documents: object, key: str | None = None
) -> tuple[int, dict[str, Any]]:
    return post_text(function, json.dumps({"messages": documents}), key=key)


def post_text(
    function: Function, text: str, *, key: str | None = None
) -> tuple[int, dict[str, Any]]:
    headers = {"idempotency-key": key} if key else {}
    event = an_http_event(text, route="POST /messages/batch", headers=headers)
    answer = function.invoke(event)
    return answer["statusCode"], json.loads(answer["body"])


def waiting(send_queue: str) -> list[str]:
    """The bodies of the messages in the queue, taken out of it."""
    sqs = shared_client("sqs")
    bodies: list[str] = []
    while messages := sqs.receive_message(QueueUrl=send_queue, MaxNumberOfMessages=10).get(
        "Messages", []
    ):
        bodies += [message["Body"] for message in messages]
    return bodies


class Losing:
    """SQS that fails from the so many-th request on, or for one; some entries, or with an error."""

    def __init__(self, *, fails: Callable[[int], bool], takes: bool = False) -> None:
        self.client = shared_client("sqs")
        self.requests = 0
        self._fails = fails
        self._takes = takes

    def send_message_batch(self, **arguments: Any) -> Any:
        self.requests += 1
        fails = self._fails(self.requests)
        if fails and not self._takes:
            raise ReadTimeoutError(endpoint_url="https://sqs")
        answer = self.client.send_message_batch(**arguments)
        if fails:
            raise ReadTimeoutError(endpoint_url="https://sqs")
        return answer


# --- what is queued ----------------------------------------------------------------------------


def test_every_message_of_a_batch_waits_in_the_queue_and_nothing_is_sent_yet(
    function: Function, send_queue: str
) -> None:
    documents = [a_document(reference=f"order-{number}") for number in range(25)]

    status, answer = post(function, *documents)

    assert status == 202
    assert (answer["queued"], answer["invalid"]) == (25, 0)
    assert all(result["queued"] for result in answer["results"])
    queued = map(json.loads, waiting(send_queue))
    assert sorted(document["reference"] for document in queued) == sorted(
        document["reference"] for document in documents
    )
    assert function.twilio.requests == []
    assert function.metrics() == {"RequestQueued": 25}


def test_a_message_is_sent_under_the_request_id_that_the_caller_was_told(
    function: Function, send_queue: str
) -> None:
    _, answer = post(function, a_document(reference="order-7"))

    function.take(*waiting(send_queue))

    message = function.message()
    assert message is not None
    assert message.request_id == answer["results"][0]["request_id"]
    assert message.reference == "order-7"
    assert REQUEST_ID.fullmatch(message.request_id or "")


def test_what_can_no_longer_be_sent_is_known_under_that_request_id_too(
    function: Function, send_queue: str
) -> None:
    send_at = (function.clock.now()).replace(microsecond=0)
    document = a_document(
        **{"from": None}, messaging_service_sid="MG" + "5" * 32, send_at=send_at.isoformat()
    )
    function.clock.pass_by(hours=-1)
    _, answer = post(function, document)
    function.clock.pass_by(hours=2)

    function.take(*waiting(send_queue))

    request_id = answer["results"][0]["request_id"]
    message = function.message(request_id)
    assert message is not None
    assert (message.status, message.request_id) == ("rejected", request_id)


def test_each_message_of_a_batch_is_checked_by_itself(function: Function, send_queue: str) -> None:
    status, answer = post(function, a_document(), REFUSED, a_document(text="x"), "Hello")

    assert status == 202
    assert (answer["queued"], answer["invalid"]) == (1, 3)
    assert [sorted(result) for result in answer["results"]] == [
        ["queued", "request_id"],
        ["problems"],
        ["problems"],
        ["problems"],
    ]
    fields = [[it["field"] for it in result["problems"]] for result in answer["results"][1:]]
    assert fields == [["to"], ["text"], ["request"]]
    assert len(waiting(send_queue)) == 1
    assert function.metrics() == {"RequestQueued": 1, "RequestInvalid": 3}


def test_a_message_of_an_account_that_the_secret_does_not_have_is_refused(
    function: Function,
) -> None:
    function.secret_holds(subaccounts={SUBACCOUNT_SID: {"auth_token": "t"}})

    _, answer = post(
        function, a_document(account_sid=SUBACCOUNT_SID), a_document(account_sid="AC" + "9" * 32)
    )

    assert answer["results"][0]["queued"]
    assert [it["field"] for it in answer["results"][1]["problems"]] == ["account_sid"]


def test_of_a_message_with_many_problems_the_first_ten_are_told(function: Function) -> None:
    _, answer = post(function, {f"surprise_{number}": 1 for number in range(100)})

    assert len(answer["results"][0]["problems"]) == 10


# --- the keys ----------------------------------------------------------------------------------


def test_a_batch_can_be_repeated_under_its_key_and_sends_each_message_once(
    function: Function, send_queue: str
) -> None:
    documents = [a_document(reference=f"order-{number}") for number in range(3)]

    first, second = (post(function, *documents, key=KEY) for _ in range(2))
    function.take(*waiting(send_queue))

    assert first == second
    assert len(function.twilio.requests) == 3


def test_without_a_key_every_call_asks_for_new_messages(function: Function) -> None:
    first, second = (post(function, a_document()) for _ in range(2))

    assert first[1]["results"][0]["request_id"] != second[1]["results"][0]["request_id"]


def test_a_messages_own_key_is_kept_and_is_the_same_as_in_a_single_request(
    function: Function, send_queue: str
) -> None:
    _, answer = post(function, a_document(idempotency_key="order-7"), key=KEY)

    _, single = function.post(a_document(), key="order-7")
    function.take(*waiting(send_queue))

    assert single["request_id"] == answer["results"][0]["request_id"]
    assert len(function.twilio.requests) == 1


def test_a_key_twice_in_one_batch_is_refused_the_second_time(function: Function) -> None:
    document = a_document(idempotency_key="order-7")

    _, answer = post(function, document, document)

    assert answer["results"][0]["queued"]
    assert [it["field"] for it in answer["results"][1]["problems"]] == ["idempotency_key"]


def test_what_is_queued_names_its_account_and_its_key(function: Function, send_queue: str) -> None:
    post(function, a_document(), a_document(), key=KEY)

    queued = [json.loads(body) for body in waiting(send_queue)]

    assert {it["account_sid"] for it in queued} == {ACCOUNT_SID}
    assert sorted(it["idempotency_key"] for it in queued) == [f"{KEY}:0", f"{KEY}:1"]


# --- what is malformed as a whole --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "request"),
        ("not JSON", "request"),
        ("[]", "request"),
        ("{}", "request"),
        ('{"messages": [], "more": 1}', "request"),
        ('{"messages": {}}', "messages"),
        ('{"messages": []}', "messages"),
        (json.dumps({"messages": [{}] * 1001}), "messages"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    function: Function, send_queue: str, text: str, field: str
) -> None:
    status, answer = post_text(function, text)

    assert status == 400
    assert [it["field"] for it in answer["problems"]] == [field]
    assert waiting(send_queue) == []


def test_a_key_that_leaves_no_room_for_a_messages_place_is_refused(function: Function) -> None:
    status, answer = post(function, a_document(), key="k" * 251)

    assert status == 400
    assert [it["field"] for it in answer["problems"]] == ["Idempotency-Key"]


def test_a_batch_over_four_mebibytes_is_refused(function: Function) -> None:
    status, answer = post_text(function, " " * (4 * 1024 * 1024 + 1))

    assert status == 413
    assert "4 MiB" in answer["detail"]


def test_a_batch_of_a_thousand_long_messages_is_taken_whole(
    function: Function, queue_line: Line
) -> None:
    documents = [a_document(body="x" * 1600, reference=str(number)) for number in range(1000)]
    taken: list[str] = []

    def take(**arguments: Any) -> Any:
        taken.extend(entry["MessageBody"] for entry in arguments["Entries"])
        return {"Successful": arguments["Entries"]}

    queue_line.through = SimpleNamespace(send_message_batch=take)

    status, answer = post(function, *documents)

    assert (status, answer["queued"]) == (202, 1000)
    queued = [json.loads(body)["reference"] for body in taken]
    assert sorted(queued) == sorted(document["reference"] for document in documents)


def test_a_message_that_grows_beyond_the_queues_limit_is_refused(function: Function) -> None:
    variables = {"1": "\N{SNOWMAN}" * 11_000}
    document = a_document(body=None, content_sid="HX" + "6" * 32, content_variables=variables)

    _, answer = post(function, document)

    assert "64 KiB" in answer["results"][0]["problems"][0]["problem"]


# --- when SQS fails ----------------------------------------------------------------------------


def test_a_request_to_sqs_that_fails_is_made_again(
    function: Function, send_queue: str, queue_line: Line
) -> None:
    queue_line.through = Losing(fails=lambda number: number == 1)

    status, answer = post(function, *[a_document() for _ in range(25)])

    assert (status, answer["queued"]) == (202, 25)
    assert len(waiting(send_queue)) == 25


def test_every_message_is_told_whether_it_is_in_the_queue(
    function: Function, send_queue: str, queue_line: Line
) -> None:
    queue_line.through = Losing(fails=lambda number: number > 2)

    status, answer = post(function, *[a_document() for _ in range(40)], REFUSED)

    assert status == 503
    assert (answer["queued"], answer["not_queued"], answer["invalid"]) == (20, 20, 1)
    assert [result.get("queued") for result in answer["results"]].count(True) == 20
    assert len(waiting(send_queue)) == 20
    assert function.metrics() == {"RequestQueued": 20, "RequestNotQueued": 20, "RequestInvalid": 1}


def test_what_may_not_be_queued_can_be_asked_for_again_under_the_key_that_is_told(
    function: Function, send_queue: str, queue_line: Line
) -> None:
    queue_line.through = Losing(fails=lambda _: True, takes=True)
    _, answer = post(function, a_document())
    (result,) = answer["results"]
    queue_line.through = shared_client("sqs")

    _, again = post(function, a_document(idempotency_key=result["idempotency_key"]))
    function.take(*waiting(send_queue))

    assert not result["queued"]
    assert again["results"][0] == {"request_id": result["request_id"], "queued": True}
    assert len(function.twilio.requests) == 1


def test_entries_that_sqs_refuses_are_tried_again_and_told(
    function: Function, queue_line: Line
) -> None:
    def refuse(**arguments: Any) -> Any:
        first, *others = arguments["Entries"]
        return {
            "Successful": [{"Id": entry["Id"]} for entry in others],
            "Failed": [{"Id": first["Id"], "Code": "InternalError", "SenderFault": False}],
        }

    queue_line.through = SimpleNamespace(send_message_batch=refuse)

    status, answer = post(function, *[a_document() for _ in range(10)])

    assert (status, answer["queued"], answer["not_queued"]) == (503, 9, 1)


def test_nothing_more_is_put_into_the_queue_when_time_is_short(
    function: Function, send_queue: str
) -> None:
    function.seconds_left = 4.0

    status, answer = post(function, a_document())

    assert (status, answer["not_queued"]) == (503, 1)
    assert waiting(send_queue) == []


def test_nothing_is_queued_while_the_accounts_are_unknown(
    function: Function, send_queue: str
) -> None:
    function.secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString="{")

    status, answer = post(function, a_document())

    assert status == 503
    assert "results" not in answer
    assert waiting(send_queue) == []


# --- one request to SQS ------------------------------------------------------------------------


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

    def take(**arguments: Any) -> Any:
        groups.append(len(arguments["Entries"]))
        return {"Successful": arguments["Entries"]}

    client: Any = SimpleNamespace(send_message_batch=take)

    SendQueue(client, "url").put(["x" * size for size in sizes], time_left=lambda: 29)

    assert sorted(groups, reverse=True) == expected
