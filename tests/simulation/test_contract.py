"""The fakes behave like the services that they stand for, as far as moto and MiniStack know.

Each of the two has faults of its own, listed here; a fault that is mended must leave the list.
Where one of them gets a DynamoDB request wrong, the other one must confirm the fake. Neither knows
what SNS requires of subjects and of messages for several protocols:
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws

from sandbox.aws.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator
from sandbox.http_server import choose_ports
from simulation.deployment import resources
from simulation.fakes.events import EventBridge
from simulation.fakes.firehose import Firehose
from simulation.fakes.notifications import SecretsManager, Sns
from simulation.fakes.queues import Queue, Sqs
from simulation.faults import NO_FAULTS
from simulation.lambda_service import LambdaService
from simulation.world import World
from tests.simulation.contract import (
    Request,
    differences,
    recorded_requests,
    scripted_requests,
)
from tests.simulation.dynamodb_cases import EDGE_CASES
from tests.support.cloudformation import create_table

EVENTS = Path(__file__).parents[2] / "events"
MAX_SEEDS = 60
KINDS = {"version", "Records"}
OPERATIONS = {
    *("update_item", "put_item", "delete_item", "transact_write_items"),
    *("get_item", "batch_get_item", "query"),
}
ANSWERS = {None, "ConditionalCheckFailedException", "TransactionCanceledException"}
UNUSED_URL = "http://127.0.0.1:9"

KNOWN_FAULTS = {
    ("moto", "n < :v with S '2'"): "compares a number with a string",
    ("moto", "a missing value placeholder is an error"): "fails with a KeyError",
    ("moto", "an unused value placeholder is an error"): "accepts an unused one",
    ("moto", "a missing name placeholder is an error"): "fails with a KeyError",
    ("moto", "an index key of another type is an error"): "checks the table's own key only",
    ("moto", "the same transaction again has no effect"): "ignores tokens",
    ("moto", "another transaction with the same token is an error"): "as above",
    ("moto", "501 records in one call are an error"): "has no limit",
    ("ministack", "a sum with text is an error"): "keeps the text",
    ("ministack", "an attribute cannot be set twice"): "uses the last one",
    ("ministack", "an attribute cannot be set and removed"): "removes it",
    ("moto", "no visibility to change"): "accepts an empty batch",
    ("moto", "a subject of 100 characters"): "accepts one more than SNS",
    ("moto", "a subject that is not ASCII"): "accepts any",
    ("moto", "a subject of two lines"): "as above",
    ("moto", "an empty subject"): "as above",
    ("ministack", "a subject of 100 characters"): "accepts any subject",
    ("ministack", "a subject of 101 characters"): "as above",
    ("ministack", "a subject that is not ASCII"): "as above",
    ("ministack", "a subject of two lines"): "as above",
    ("ministack", "an empty subject"): "as above",
    ("moto", "no text for other protocols"): "ignores the parts of the message",
    ("ministack", "no text for other protocols"): "as above",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another implementation of AWS, without resources of earlier tests."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def client(self, service: Any) -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(proxies={}),
            **self.options,
        )

    def tables(self) -> dict[str, str]:
        """Create an empty copy of each of the template's tables; returns their names."""
        client = self.client("dynamodb")
        return {
            name: create_table(client, name, f"{name}-{secrets.token_hex(4)}")
            for name in resources("AWS::DynamoDB::Table")
        }

    @contextmanager
    def known_fault(self, case: str) -> Iterator[None]:
        """Expect a failure exactly where a fault of this implementation is known."""
        if (self.name, case) not in KNOWN_FAULTS:
            yield
            return
        with pytest.raises((AssertionError, KeyError, TypeError)):
            yield


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    (port,) = choose_ports({"--aws-port": None})
    folder = tmp_path_factory.mktemp("ministack")
    with Emulator(port=port, folder=folder, mailbox_url=UNUSED_URL) as emulator:
        emulator.wait_until_ready()
        yield emulator


@pytest.fixture(params=["moto", "ministack"])
def other(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        if request.param == "moto":
            stack.enter_context(mock_aws())
            yield Other(name="moto")
        else:
            emulator: Emulator = request.getfixturevalue("emulator")
            yield Other(name="ministack", options={"endpoint_url": emulator.url})


# --- DynamoDB ------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_dynamodb_answers_the_requests_of_runs_like_the_fake(other: Other) -> None:
    for requests in covering_runs():
        found = list(differences(requests, other.client("dynamodb"), other.tables()))

        assert not found, "\n".join(found)


@pytest.mark.thorough
@pytest.mark.parametrize("case", EDGE_CASES)
def test_dynamodb_answers_edge_cases_like_the_fake(other: Other, case: str) -> None:
    requests = list(scripted_requests(EDGE_CASES[case]))
    tables = other.tables()

    with other.known_fault(case):
        found = list(differences(requests, other.client("dynamodb"), tables))

        assert not found, "\n".join(found)


def test_no_edge_case_is_a_known_fault_of_both() -> None:
    cases = [case for _, case in KNOWN_FAULTS if case in EDGE_CASES]

    assert len(cases) == len(set(cases))


def covering_runs() -> Iterator[list[Request]]:
    """Yield the requests of run after run, until they cover every operation and each answer.

    An operation that is not compared fails: it is missing in OPERATIONS.
    """
    missing = {*OPERATIONS, *ANSWERS}
    for seed in range(MAX_SEEDS):
        requests = list(recorded_requests([seed]))
        yield requests
        operations = {request.operation for request in requests}
        assert operations <= OPERATIONS
        missing -= operations
        missing -= {request.answer.get("error") for request in requests}
        if not missing:
            return
    pytest.fail(f"no request of {MAX_SEEDS} runs: {missing}", pytrace=False)


# --- SQS -----------------------------------------------------------------------------------------

MAX_RECEIVES = 3
VISIBILITY_SECONDS = 30

type Received = list[tuple[str, int]]
"""The bodies, each with its receive count."""


class FakeQueue:
    """The fake with a dead-letter queue and a clock."""

    def __init__(self) -> None:
        ids = map(str, range(100))
        self._now = 0.0
        parts: Any = {"clock": lambda: self._now, "ids": lambda: next(ids)}
        self._dead = Queue("dead", visibility=30, max_receives=None, dead_letters=None, **parts)
        self._queue = Queue(
            "queue",
            visibility=VISIBILITY_SECONDS,
            max_receives=MAX_RECEIVES,
            dead_letters=self._dead,
            **parts,
        )
        self._ids: dict[str, str] = {}

    def send(self, body: str) -> None:
        self._ids[body] = self._queue.send(body)

    def receive(self, limit: int) -> Received:
        return sorted((it.body, it.receive_count) for it in self._queue.receive(limit))

    def delete(self, body: str) -> None:
        self._queue.delete(self._ids[body])

    def show(self, body: str) -> None:
        """Make a received message visible again."""
        self._queue.change_visibility(self._ids[body], 0)

    def become_visible(self) -> None:
        """Let the visibility timeout of all received messages pass."""
        self._now += VISIBILITY_SECONDS

    def dead_letters(self) -> list[str]:
        return sorted(it.body for it in self._dead.receive(10))


class OtherQueue:
    """The same of another implementation, without waiting for its timeouts."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._receipts: dict[str, str] = {}
        self._dead = client.create_queue(QueueName=f"dead-{secrets.token_hex(4)}")["QueueUrl"]
        query = {"QueueUrl": self._dead, "AttributeNames": ["QueueArn"]}
        redrive = {
            "deadLetterTargetArn": client.get_queue_attributes(**query)["Attributes"]["QueueArn"],
            "maxReceiveCount": MAX_RECEIVES,
        }
        self._url = client.create_queue(
            QueueName=f"queue-{secrets.token_hex(4)}",
            Attributes={
                "VisibilityTimeout": str(VISIBILITY_SECONDS),
                "RedrivePolicy": json.dumps(redrive),
            },
        )["QueueUrl"]

    def send(self, body: str) -> None:
        self._client.send_message(QueueUrl=self._url, MessageBody=body)

    def receive(self, limit: int) -> Received:
        answer = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=limit,
            AttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", [])
        self._receipts |= {it["Body"]: it["ReceiptHandle"] for it in messages}
        return sorted(
            (it["Body"], int(it["Attributes"]["ApproximateReceiveCount"])) for it in messages
        )

    def delete(self, body: str) -> None:
        receipt = self._receipts.pop(body)
        self._client.delete_message(QueueUrl=self._url, ReceiptHandle=receipt)

    def show(self, body: str) -> None:
        entry = {"Id": "1", "ReceiptHandle": self._receipts.pop(body), "VisibilityTimeout": 0}
        self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=[entry])

    def become_visible(self) -> None:
        for receipt in self._receipts.values():
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=0
            )
        self._receipts.clear()

    def dead_letters(self) -> list[str]:
        answer = self._client.receive_message(QueueUrl=self._dead, MaxNumberOfMessages=10)
        return sorted(it["Body"] for it in answer.get("Messages", []))


QUEUE_SCRIPTS: Mapping[str, str] = {
    "a received message is invisible for the visibility timeout": (
        "send a, receive, receive, become_visible, receive, receive"
    ),
    "a deleted message is never received again": (
        "send a, send b, receive, delete a, become_visible, receive, delete b, become_visible, "
        "receive, dead_letters"
    ),
    "a message that is received too often becomes a dead letter": (
        "send a, receive, become_visible, receive, become_visible, receive, dead_letters, "
        "become_visible, receive, dead_letters, receive"
    ),
    "each message has a receive count of its own": (
        "send a, receive, become_visible, receive, become_visible, send b, receive, delete b, "
        "become_visible, receive, dead_letters"
    ),
    "a message can be made visible early": (
        "send a, send b, receive, show a, receive, receive, show a, receive, show a, receive, "
        "dead_letters, become_visible, receive"
    ),
    "an invisible message does not block others": (
        "send a, receive, send b, receive, become_visible, receive"
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("script", QUEUE_SCRIPTS)
def test_sqs_receives_and_redrives_like_the_fake(other: Other, script: str) -> None:
    queues = FakeQueue(), OtherQueue(other.client("sqs"))

    for step in QUEUE_SCRIPTS[script].split(", "):
        name, _, body = step.partition(" ")
        arguments: tuple[Any, ...] = (body,) if body else (10,) if name == "receive" else ()
        fake, real = (getattr(queue, name)(*arguments) for queue in queues)
        assert fake == real, step


@pytest.mark.thorough
def test_sqs_returns_at_most_the_requested_number_like_the_fake(other: Other) -> None:
    queues: list[Any] = [FakeQueue(), OtherQueue(other.client("sqs"))]
    for queue in queues:
        for number in range(5):
            queue.send(str(number))

    counts = [[len(queue.receive(limit)) for limit in (2, 2, 10, 10)] for queue in queues]

    assert counts == [[2, 2, 1, 0]] * 2


def _put(*ids: str, body: str = "hello") -> dict[str, Any]:
    return {"Entries": [{"Id": each, "MessageBody": body} for each in ids]}


BATCHES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ten": ("send_message_batch", _put(*"0123456789")),
    "eleven": ("send_message_batch", _put(*"0123456789a")),
    "none": ("send_message_batch", _put()),
    "the same id twice": ("send_message_batch", _put("1", "1")),
    "more than a MiB": ("send_message_batch", _put(*"01234", body="x" * 220_000)),
    "no visibility to change": ("change_message_visibility_batch", {"Entries": []}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", BATCHES)
def test_sqs_validates_batches_like_the_fake(other: Other, case: str) -> None:
    operation, entries = BATCHES[case]
    client = other.client("sqs")
    url = client.create_queue(QueueName=f"queue-{secrets.token_hex(4)}")["QueueUrl"]
    ids = map(str, range(100))
    parts: Any = {"clock": lambda: 0.0, "ids": lambda: next(ids)}
    fake = Sqs({url: Queue(url, visibility=30, max_receives=None, dead_letters=None, **parts)})
    given = {"QueueUrl": url, **entries}

    codes = [
        str(_code_of(call)).rpartition(".")[2]
        for call in (
            lambda: fake.perform(operation, given),
            lambda: getattr(client, operation)(**given),
        )
    ]

    with other.known_fault(case):
        assert codes[0] == codes[1]


# --- EventBridge ---------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("entries", [1, 10, 11])
def test_eventbridge_accepts_as_many_entries_as_the_fake(other: Other, entries: int) -> None:
    client, bus = other.client("events"), f"bus-{secrets.token_hex(4)}"
    client.create_event_bus(Name=bus)
    entry = {"EventBusName": bus, "Source": "delivery", "DetailType": "Changed", "Detail": "{}"}
    given = {"Entries": [entry] * entries}
    fake = EventBridge(bus, lambda: False)

    errors = [
        _code_of(call)
        for call in (lambda: fake.perform("put_events", given), lambda: client.put_events(**given))
    ]

    assert errors == [None if entries <= 10 else "ValidationException"] * 2
    if entries <= 10:
        fakes, real = fake.perform("put_events", given), client.put_events(**given)
        assert fakes["FailedEntryCount"] == real["FailedEntryCount"] == 0
        assert [it.keys() for it in fakes["Entries"]] == [it.keys() for it in real["Entries"]]


# --- Firehose ------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("records", [1, 500, 501])
def test_firehose_accepts_as_many_records_as_the_fake(other: Other, records: int) -> None:
    client, stream = other.client("firehose"), f"stream-{secrets.token_hex(4)}"
    other.client("s3").create_bucket(Bucket=stream)
    role = "arn:aws:iam::123456789012:role/archive"
    destination = {"RoleARN": role, "BucketARN": f"arn:aws:s3:::{stream}"}
    client.create_delivery_stream(
        DeliveryStreamName=stream, ExtendedS3DestinationConfiguration=destination
    )
    given = {"DeliveryStreamName": stream, "Records": [{"Data": b'{"a": 1}\n'}] * records}
    fake = Firehose(stream, lambda: False)

    code = _code_of(lambda: fake.perform("put_record_batch", given))

    with other.known_fault(f"{records} records in one call are an error"):
        assert code == _code_of(lambda: client.put_record_batch(**given))
    assert (code is None) is (records <= 500)
    if code is None:
        fakes, real = fake.perform("put_record_batch", given), client.put_record_batch(**given)
        assert fakes["FailedPutCount"] == real["FailedPutCount"] == 0
        assert all(
            "RecordId" in it for it in (*fakes["RequestResponses"], *real["RequestResponses"])
        )
        assert len(fakes["RequestResponses"]) == len(real["RequestResponses"])


def _code_of(call: Callable[[], object]) -> str | None:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


# --- SNS and Secrets Manager ---------------------------------------------------------------------

MESSAGE = {"default": json.dumps({"id": "1", "metadata": {"additionalContext": {}}}), "email": "Hi"}

PUBLICATIONS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "a subject of 99 characters": ("x" * 99, MESSAGE),
    "a subject of 100 characters": ("x" * 100, MESSAGE),
    "a subject of 101 characters": ("x" * 101, MESSAGE),
    "a subject that is not ASCII": ("Nicht zugestellt: Müller", MESSAGE),
    "a subject of two lines": ("a\nb", MESSAGE),
    "an empty subject": ("", MESSAGE),
    "no text for other protocols": ("Subject", {"email": "Hi"}),
    "a message that is too large": ("Subject", MESSAGE | {"email": "x" * 262144}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("case", PUBLICATIONS)
def test_sns_accepts_what_the_fake_accepts(other: Other, case: str) -> None:
    subject, message = PUBLICATIONS[case]
    client = other.client("sns")
    topic = client.create_topic(Name=f"topic-{secrets.token_hex(4)}")["TopicArn"]
    arguments = {
        "TopicArn": topic,
        "Subject": subject,
        "Message": json.dumps(message),
        "MessageStructure": "json",
    }
    fake = Sns(lambda: 0.0)

    rejected_by_fake = _is_rejected(lambda: fake.perform("publish", arguments, "a test"))

    with other.known_fault(case):
        assert _is_rejected(lambda: client.publish(**arguments)) == rejected_by_fake
    assert bool(fake.published) is not rejected_by_fake


@pytest.mark.thorough
def test_secretsmanager_returns_a_secret_like_the_fake(other: Other) -> None:
    client = other.client("secretsmanager")
    name, content = f"secret-{secrets.token_hex(4)}", {"account_sid": "AC1", "auth_token": "t"}
    client.create_secret(Name=name, SecretString=json.dumps(content))

    real = client.get_secret_value(SecretId=name)
    fake = SecretsManager(name, content).perform("get_secret_value", {"SecretId": name})

    assert fake.items() <= real.items()


def _is_rejected(call: Callable[[], object]) -> bool:
    code = _code_of(call)
    assert code is None or code.startswith("InvalidParameter")
    return code is not None


# --- Lambda --------------------------------------------------------------------------------------


def test_a_simulated_event_has_no_field_that_a_real_event_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: dict[str, list[Any]] = defaultdict(list)
    invoke = LambdaService.invoke

    def recorded(
        service: LambdaService, resource: Any, event: Any, *rest: Any, **more: Any
    ) -> None:
        events[resource.name].append(event)
        invoke(service, resource, event, *rest, **more)

    monkeypatch.setattr(LambdaService, "invoke", recorded)
    for seed in range(4):
        World(seed, profile=NO_FAULTS).run()

    for function, sample in (
        ("send_message", "send_message-queue.json"),
        ("notify_failure", "notify_failure-failed.json"),
        ("status_callback", "status_callback-delivered.json"),
    ):
        real = json.loads((EVENTS / sample).read_text("utf-8"))
        same_kind = [it for it in events[function] if it.keys() & KINDS == real.keys() & KINDS]
        assert same_kind, sample
        assert [name for it in same_kind for name in _unknown(it, real)] == []


def _unknown(ours: Any, real: Any, path: str = "") -> list[str]:
    """Return the names that the real event lacks; images, headers and parameters may differ."""
    if path.endswith(("Image.", "headers.", "pathParameters.")):
        return []
    if isinstance(ours, dict) and isinstance(real, dict):
        return [
            unknown
            for name, value in ours.items()
            for unknown in (
                _unknown(value, real[name], f"{path}{name}.") if name in real else [path + name]
            )
        ]
    if isinstance(ours, list) and isinstance(real, list) and real:
        return [unknown for each in ours for unknown in _unknown(each, real[0], path)]
    return []
