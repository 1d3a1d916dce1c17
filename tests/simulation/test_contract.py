"""The fakes behave as what they stand for, as far as others that stand for it know."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.cloudformation import create_table
from tests.simulation.contract import differences, recorded_requests
from tests.simulation.deployment import REGION
from tests.simulation.fakes.queues import Queue
from tests.simulation.faults import Weather
from tests.simulation.lambda_service import Lambda
from tests.simulation.world import World

EVENTS = Path(__file__).parents[2] / "events"
TABLES = ("MessagesTable", "SendRequestsTable")
SEEDS = (4, 8, 15, 16, 23)
KINDS = {"version", "Records"}
WRITES = {"update_item", "put_item", "delete_item"}


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


@pytest.mark.thorough
@pytest.mark.usefixtures("moto")
@pytest.mark.parametrize("seed", SEEDS)
def test_moto_answers_every_request_to_dynamodb_as_the_fake_does(seed: int) -> None:
    dynamodb: Any = boto3.client("dynamodb", region_name=REGION)
    names = {name: create_table(dynamodb, name) for name in TABLES}
    requests = list(recorded_requests([seed]))

    found = list(differences(requests, dynamodb, names))

    assert not found, "\n".join(found)


def test_the_requests_are_all_that_the_functions_make_and_some_of_them_fail() -> None:
    requests = list(recorded_requests(SEEDS))

    operations = {request.operation for request in requests}
    errors = {request.answer.get("error") for request in requests}
    assert operations == {*WRITES, "get_item", "batch_get_item", "query"}
    assert errors == {None, "ConditionalCheckFailedException"}


@pytest.mark.usefixtures("moto")
def test_a_queue_hides_counts_and_gives_up_as_motos_does() -> None:
    sqs = boto3.client("sqs", region_name=REGION)
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 2}
    url = sqs.create_queue(
        QueueName="queue",
        Attributes={"VisibilityTimeout": "0", "RedrivePolicy": json.dumps(redrive)},
    )["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="hello")

    def received_by_moto(queue: str) -> list[tuple[str, int]]:
        answer = sqs.receive_message(QueueUrl=queue, AttributeNames=["ApproximateReceiveCount"])
        return [
            (it["Body"], int(it["Attributes"]["ApproximateReceiveCount"]))
            for it in answer.get("Messages", [])
        ]

    ids = iter("abc")
    parts: Any = {"clock": lambda: 0.0, "ids": lambda: next(ids)}
    dead_letters = Queue("dead", visibility=30, most_receives=None, dead_letters=None, **parts)
    queue = Queue("queue", visibility=0, most_receives=2, dead_letters=dead_letters, **parts)
    queue.send("hello", {})

    def received(fake: Queue) -> list[tuple[str, int]]:
        return [(it.body, it.receive_count) for it in fake.receive(10)]

    for _ in range(4):
        assert received(queue) == received_by_moto(url)
    assert [body for body, _ in received(dead_letters)] == [
        body for body, _ in received_by_moto(dead)
    ]


@pytest.mark.parametrize(
    ("function", "sample"),
    [
        ("send_message", "send_message-queue.json"),
        ("notify_failure", "notify_failure-failed.json"),
        ("status_callback", "status_callback-delivered.json"),
    ],
)
def test_an_event_has_nothing_that_a_real_one_lacks(
    function: str, sample: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = json.loads((EVENTS / sample).read_text("utf-8"))
    events: list[Any] = []
    invoke = Lambda.invoke

    def watched(service: Lambda, resource: Any, event: Any, *rest: Any, **more: Any) -> None:
        if resource.name == function:
            events.append(event)
        invoke(service, resource, event, *rest, **more)

    monkeypatch.setattr(Lambda, "invoke", watched)
    calm = Weather(
        faults=0, worst=None, mishaps=0, slow=0, invoked_every=1800, sending=60, calm_at=60
    )
    for seed in range(4):
        World(seed, weather=calm).run()

    alike = [event for event in events if event.keys() & KINDS == real.keys() & KINDS]
    assert alike
    for event in alike:
        assert _unknown(event, real) == []


def _unknown(ours: Any, real: Any, path: str = "") -> list[str]:
    """The names that our event has and the real one has not; items differ, so they may."""
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
