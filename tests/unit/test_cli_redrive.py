"""`delivery redrive`: dead letters go back, with the id under which they were asked for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws
from mypy_boto3_sqs import SQSClient

from delivery_cli.commands.redrive.dead_letter import KeyDoesNotFit, with_key
from tests.made_once import shared_client
from tests.support.command_line import AStack, Ran, run, signed_in

NUMBER = "+15558675310"
LONGEST = 64 * 1024


@dataclass
class Queues:
    """The four queues that take part, in moto."""

    client: SQSClient
    urls: dict[str, str]
    environment: dict[str, str]
    stack: AStack

    def put(self, queue: str, *bodies: Any) -> list[str]:
        """Put messages there: their ids."""
        texts = [it if isinstance(it, str) else json.dumps(it) for it in bodies]
        return [
            self.client.send_message(QueueUrl=self.urls[queue], MessageBody=it)["MessageId"]
            for it in texts
        ]

    def take(self, queue: str) -> list[str]:
        """The bodies of the messages that can be received there now."""
        bodies: list[str] = []
        while found := self.client.receive_message(
            QueueUrl=self.urls[queue], MaxNumberOfMessages=10
        ).get("Messages"):
            bodies += [it["Body"] for it in found]
        return bodies

    def redrive(self, *arguments: str, **options: Any) -> Ran:
        return run("redrive", *arguments, environment=self.environment, **options)


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queues]:
    monkeypatch.setattr(
        "delivery_cli.commands.redrive.dead_letters._WAIT_SECONDS", 0
    )  # moto hides nothing for long
    names = ("SendQueue", "SendDeadLetterQueue", "CallbackQueue", "CallbackDeadLetterQueue")
    with mock_aws():
        client = shared_client("sqs")
        urls = {name: client.create_queue(QueueName=name)["QueueUrl"] for name in names}
        stack = AStack(
            outputs={"MessagesApiUrl": "https://api.example.com"},
            resources={name: ("AWS::SQS::Queue", url) for name, url in urls.items()},
        )
        with signed_in(stack) as environment:
            yield Queues(client, urls, environment, stack)


# --- what goes along -----------------------------------------------------------------------------


def test_a_request_without_a_key_gets_its_old_id_as_its_key(queues: Queues) -> None:
    (old_id,) = queues.put("SendDeadLetterQueue", {"to": NUMBER, "body": "Hello"})

    ran = queues.redrive("send", "--yes", "--json")

    (body,) = queues.take("SendQueue")
    assert json.loads(body) == {"to": NUMBER, "body": "Hello", "idempotency_key": old_id}
    assert queues.take("SendDeadLetterQueue") == []
    assert ran.code == 0
    assert ran.json["queues"][0]["redriven"] == 1


def test_a_request_with_a_key_of_its_own_goes_back_as_it_is(queues: Queues) -> None:
    text = '{ "idempotency_key" : "order-1",\n"to":"+15558675310" }'
    queues.put("SendDeadLetterQueue", text)

    queues.redrive("send", "--yes")

    assert queues.take("SendQueue") == [text]


def test_a_status_goes_back_as_it_is(queues: Queues) -> None:
    queues.put("CallbackDeadLetterQueue", {"message_sid": "SM1", "status": "sent"})

    queues.redrive("callbacks", "--yes")

    assert [json.loads(it) for it in queues.take("CallbackQueue")] == [
        {"message_sid": "SM1", "status": "sent"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        '{"to": "+1", "body": "x"}',
        '{"to": "+1"}\n',
        "{}",
        "{ }",
        '{"idempotency_key": null, "to": "+1"}',
        r'{"body": "Gr\u00fc\u00dfe } \ud83d", "n": 1.0, "big": 123456789012345678901234567890}',
        '{"body": "Grüße"}',
    ],
)
def test_nothing_but_the_key_is_added(body: str) -> None:
    keyed = json.loads(with_key(body, "id-1"))

    assert keyed == json.loads(body) | {"idempotency_key": "id-1"}


@pytest.mark.parametrize(
    "body",
    ["no json", "[1]", '"text"', "", '{"idempotency_key": "mine"}', '{"idempotency_key":""}'],
)
def test_what_has_a_key_or_is_no_request_stays_as_it_is(body: str) -> None:
    assert with_key(body, "id-1") == body


def test_a_request_that_the_key_would_make_too_large_is_left(queues: Queues) -> None:
    body = json.dumps({"to": NUMBER, "body": ""})
    full = json.dumps({"to": NUMBER, "body": "x" * (LONGEST - len(body))})
    (old_id,) = queues.put("SendDeadLetterQueue", full)

    ran = queues.redrive("send", "--yes")

    assert ran.code == 1
    assert f"{old_id} stays" in ran.out
    assert queues.take("SendQueue") == []
    with pytest.raises(KeyDoesNotFit):
        with_key(full, old_id)


def test_what_was_too_large_before_is_not_held_back(queues: Queues) -> None:
    too_large = json.dumps({"body": "x" * LONGEST})
    queues.put("SendDeadLetterQueue", too_large)

    assert queues.redrive("send", "--yes").code == 0


# --- how many, and when --------------------------------------------------------------------------


def test_every_dead_letter_goes_back_however_many_and_large_there_are(queues: Queues) -> None:
    bodies = [{"to": NUMBER, "reference": f"r-{n}", "body": "x" * 30_000} for n in range(23)]
    queues.put("SendDeadLetterQueue", *bodies)

    ran = queues.redrive("--yes")

    moved = sorted(json.loads(it)["reference"] for it in queues.take("SendQueue"))
    assert moved == sorted(f"r-{n}" for n in range(23))
    assert "23 moved to SendQueue" in ran.out
    assert "CallbackDeadLetterQueue is empty" in ran.out


def test_what_comes_back_ends_the_redrive(queues: Queues) -> None:
    queues.stack.resources["SendQueue"] = queues.stack.resources["SendDeadLetterQueue"]
    queues.put("SendDeadLetterQueue", {"to": NUMBER})

    ran = queues.redrive("send", "--yes")

    assert ran.code == 1
    assert "came back" in ran.out


def test_a_dry_run_shows_what_there_is_and_leaves_it_there(queues: Queues) -> None:
    own, old = queues.put(
        "SendDeadLetterQueue",
        {"to": NUMBER, "body": "A secret", "idempotency_key": "order-1"},
        {"to": NUMBER, "body": "A secret", "reference": "r-2"},
    )
    queues.put("CallbackDeadLetterQueue", "garbage")

    ran, as_json = queues.redrive("--dry-run"), queues.redrive("--dry-run", "--json")

    sends, callbacks = as_json.json["queues"]
    keys = {it["message_id"]: it["idempotency_key"] for it in sends["letters"]}
    assert ran.code == 0
    assert keys == {own: "order-1", old: old}
    assert "come back" in callbacks["letters"][0]["problem"]
    assert "A secret" not in ran.out + as_json.out
    assert len(queues.take("SendDeadLetterQueue")) == 2


def test_nothing_is_moved_unless_somebody_says_yes(queues: Queues) -> None:
    queues.put("SendDeadLetterQueue", {"to": NUMBER})

    program = queues.redrive()
    person = queues.redrive(terminal=True, stdin="n\n")
    nobody = queues.redrive(terminal=True, stdin="")

    assert (program.code, person.code, nobody.code) == (1, 1, 1)
    assert "--yes" in program.err
    assert "1 of SendDeadLetterQueue" in person.out
    assert queues.take("SendQueue") == []


def test_a_person_who_says_yes_gets_it_done(queues: Queues) -> None:
    queues.put("SendDeadLetterQueue", {"to": NUMBER})

    ran = queues.redrive(terminal=True, stdin="y\n")

    assert ran.code == 0
    assert len(queues.take("SendQueue")) == 1


def test_empty_queues_need_no_confirmation(queues: Queues) -> None:
    assert queues.redrive().code == 0


def test_what_somebody_has_received_is_told(queues: Queues) -> None:
    queues.put("SendDeadLetterQueue", {"to": NUMBER})
    queues.client.receive_message(
        QueueUrl=queues.urls["SendDeadLetterQueue"], VisibilityTimeout=300
    )

    ran = queues.redrive("send")

    assert "1 hidden" in ran.out


def test_a_stack_without_such_a_queue_is_told(queues: Queues) -> None:
    del queues.stack.resources["SendDeadLetterQueue"]

    ran = queues.redrive()

    assert ran.code == 1
    assert "no SendDeadLetterQueue: it is older than this command" in ran.err
