"""`delivery redrive`: dead letters return to their queues, with their old ids as keys."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from moto import mock_aws
from mypy_boto3_sqs import SQSClient

from delivery_cli.commands.redrive.dead_letter import with_key
from delivery_cli.commands.redrive.dead_letter_queue import DeadLetterQueue
from delivery_cli.commands.redrive.routes import SEND
from tests.support.command_line import CommandResult, StackDescription, run, signed_in
from tests.support.faults import WrappedClient
from tests.support.shared_clients import shared_client

NUMBER = "+15558675310"


@dataclass
class Queues:
    """The dead-letter queues and their targets, in moto."""

    client: SQSClient
    urls: dict[str, str]
    environment: dict[str, str]
    stack: StackDescription

    def put(self, queue: str, *bodies: Any) -> list[str]:
        """Send messages to a queue, and return their ids."""
        texts = [it if isinstance(it, str) else json.dumps(it) for it in bodies]
        return [
            self.client.send_message(QueueUrl=self.urls[queue], MessageBody=it)["MessageId"]
            for it in texts
        ]

    def take(self, queue: str) -> list[str]:
        """Receive what is visible in a queue, and return the bodies."""
        bodies: list[str] = []
        while found := self.client.receive_message(
            QueueUrl=self.urls[queue], MaxNumberOfMessages=10
        ).get("Messages"):
            bodies += [it["Body"] for it in found]
        return bodies

    def redrive(self, *arguments: str, **options: Any) -> CommandResult:
        return run("redrive", *arguments, environment=self.environment, **options)


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queues]:
    monkeypatch.setattr(
        "delivery_cli.commands.redrive.dead_letter_queue._WAIT_SECONDS", 0
    )  # moto has no servers to sample
    names = ("SendQueue", "SendDeadLetterQueue", "CallbackQueue", "CallbackDeadLetterQueue")
    with mock_aws():
        client = shared_client("sqs")
        urls = {name: client.create_queue(QueueName=name)["QueueUrl"] for name in names}
        stack = StackDescription(
            outputs={"MessagesApiUrl": "https://api.example.com"},
            resources={name: ("AWS::SQS::Queue", url) for name, url in urls.items()},
        )
        with signed_in(stack) as environment:
            yield Queues(client, urls, environment, stack)


# --- idempotency keys ----------------------------------------------------------------------------


def test_a_request_without_a_key_gets_its_message_id_as_key(queues: Queues) -> None:
    (old_id,) = queues.put("SendDeadLetterQueue", {"to": NUMBER, "body": "Hello"})

    ran = queues.redrive("send", "--yes", "--json")

    (body,) = queues.take("SendQueue")
    assert json.loads(body) == {"to": NUMBER, "body": "Hello", "idempotency_key": old_id}
    assert queues.take("SendDeadLetterQueue") == []
    assert ran.code == 0
    assert ran.json["queues"][0]["redriven"] == 1


def test_a_status_update_is_redriven_unchanged(queues: Queues) -> None:
    text = '{ "message_sid" : "SM1" }'
    queues.put("CallbackDeadLetterQueue", text)

    ran = queues.redrive("callbacks", terminal=True, stdin="y\n")

    assert ran.code == 0
    assert queues.take("CallbackQueue") == [text]
    assert queues.redrive().code == 0  # empty queues need no confirmation
    assert queues.redrive("--dry-run").code == 0


@pytest.mark.parametrize(
    "body",
    [
        '{"to": "+1"}\n',
        "{ }",
        '{"idempotency_key": null, "to": "+1"}',
        r'{"body": "Gr\u00fc\u00dfe } \ud83d", "n": 1.0, "big": 123456789012345678901234567890}',
        '{"body":"Grüße","context":{"a":"好","b":"好"}}',
    ],
)
def test_only_the_key_is_added_to_a_request(body: str) -> None:
    keyed = with_key(body, "id-1")

    assert json.loads(keyed) == json.loads(body) | {"idempotency_key": "id-1"}
    assert len(keyed) <= len(body) + len(', "idempotency_key": "id-1"')


@pytest.mark.parametrize(
    "body",
    ["no json", "[1]", '{ "idempotency_key" : "mine",\n"to":"+1" }', '{"idempotency_key":""}'],
)
def test_a_request_with_a_key_or_a_body_that_is_no_request_is_unchanged(body: str) -> None:
    assert with_key(body, "id-1") == body


# --- redriving and previewing --------------------------------------------------------------------


def test_all_messages_are_redriven_in_several_batches(queues: Queues) -> None:
    bodies = [{"to": NUMBER, "reference": f"r-{n}", "body": "x" * 30_000} for n in range(23)]
    queues.put("SendDeadLetterQueue", *bodies)

    ran = queues.redrive("--yes", "--json")

    sends, callbacks = ran.json["queues"]
    moved = sorted(json.loads(it)["reference"] for it in queues.take("SendQueue"))
    assert moved == sorted(f"r-{n}" for n in range(23))
    assert (sends["queue"], sends["target"]) == ("SendDeadLetterQueue", "SendQueue")
    assert (sends["found"], sends["redriven"], callbacks["found"]) == (23, 23, 0)


def test_a_message_that_returns_ends_the_redrive(queues: Queues) -> None:
    queues.stack.resources["SendQueue"] = queues.stack.resources["SendDeadLetterQueue"]
    queues.put("SendDeadLetterQueue", {"to": NUMBER})

    ran = queues.redrive("send", "--yes", "--json")

    (result,) = ran.json["queues"]
    assert ran.code == 1
    assert (result["redriven"], len(result["failed"])) == (1, 1)


def test_a_message_that_sqs_rejects_stays_and_is_reported(queues: Queues) -> None:
    queues.put("SendDeadLetterQueue", *({"to": NUMBER, "reference": it} for it in ("r-1", "r-2")))

    def reject_the_last(name: str, call: Callable[..., Any], given: dict[str, Any]) -> Any:
        if name != "send_message_batch":
            return call(**given)
        *others, last = given["Entries"]
        failed = {"Id": last["Id"], "Code": "InvalidMessageContents"}
        return {**call(**given | {"Entries": others}), "Failed": [failed]}

    source, target = queues.urls["SendDeadLetterQueue"], queues.urls["SendQueue"]
    client = cast("SQSClient", WrappedClient(queues.client, reject_the_last))
    queue = DeadLetterQueue(client, SEND, source=source, target=target)
    result = queue.redrive(report_done=lambda _: None)

    assert (result.found, result.redriven, len(queues.take("SendQueue"))) == (2, 1, 1)
    assert list(result.failed.values()) == ["SQS rejected it: InvalidMessageContents."]
    assert queue.count("ApproximateNumberOfMessagesNotVisible") == 1


def test_a_dry_run_shows_ids_but_no_texts_and_moves_nothing(queues: Queues) -> None:
    own, old = queues.put(
        "SendDeadLetterQueue",
        {"to": NUMBER, "body": "A secret", "idempotency_key": "order-1"},
        {"to": NUMBER, "body": "A secret", "reference": "r-2"},
    )
    queues.put("CallbackDeadLetterQueue", "garbage")

    ran, as_json = queues.redrive("--dry-run"), queues.redrive("--dry-run", "--json")

    sends, callbacks = as_json.json["queues"]
    keys = {it["message_id"]: it["idempotency_key"] for it in sends["messages"]}
    assert ran.code == 0
    assert keys == {own: "order-1", old: old}
    assert "problem" in callbacks["messages"][0]
    assert own in ran.out
    assert "A secret" not in ran.out + as_json.out
    assert len(queues.take("SendDeadLetterQueue")) == 2


def test_nothing_is_redriven_without_confirmation(queues: Queues) -> None:
    queues.put("SendDeadLetterQueue", {"to": NUMBER})

    not_a_terminal = queues.redrive()
    answered_no = queues.redrive(terminal=True, stdin="n\n")
    end_of_input = queues.redrive(terminal=True, stdin="")

    assert (not_a_terminal.code, answered_no.code, end_of_input.code) == (1, 1, 1)
    assert "--yes" in not_a_terminal.err
    assert "SendDeadLetterQueue" in answered_no.out
    assert queues.take("SendQueue") == []


def test_messages_in_flight_are_counted(queues: Queues) -> None:
    queues.put("SendDeadLetterQueue", {"to": NUMBER})
    queues.client.receive_message(
        QueueUrl=queues.urls["SendDeadLetterQueue"], VisibilityTimeout=300
    )

    ran = queues.redrive("send", "--json")

    assert ran.json["queues"][0]["in_flight"] == 1


def test_a_stack_without_the_queue_is_reported_as_too_old(queues: Queues) -> None:
    del queues.stack.resources["SendDeadLetterQueue"]

    ran = queues.redrive()

    assert ran.code == 1
    assert "SendDeadLetterQueue" in ran.err
