"""Every file in events/ is what its function gets, and gets the answer that its name promises."""

import importlib
import json
import os
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.functions.sender import EVENTS, SenderRig
from tests.support.api_description import assert_described_answer
from tests.support.shared_clients import shared_client

CONTEXT = SimpleNamespace(
    function_name="Function",
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:Function",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 29_000,
)

# What comes first, as far as an event needs something to be there.
UNDELIVERED = "status_callback-undelivered"
BEFORE = {
    "dashboard_widget-failures": [UNDELIVERED],
    "dashboard_widget-lookup": [UNDELIVERED],
    "dashboard_widget-message": [UNDELIVERED],
    "query_messages-message": [UNDELIVERED],
    "notify_failure-failed": [UNDELIVERED],
    "notify_failure-recovered": [UNDELIVERED, "notify_failure-failed", "status_callback-delivered"],
    "notify_failure-sweep": [UNDELIVERED],
}
SUCCESS = {"status_callback": 204, "query_messages": 200}
FAILURE = {
    "status_callback-unsigned": 403,
    "status_callback-json": 415,
    "status_callback-no-sid": 400,
    "query_messages-unknown": 404,
    "query_messages-two-filters": 400,
    "query_messages-summary-invalid": 400,
}
SHOWN = {
    "dashboard_widget-describe": "showNumbers",
    "dashboard_widget-failures": "Handset unreachable",
    "dashboard_widget-lookup": "Message to ",
    "dashboard_widget-message": "error 30003",
    "dashboard_widget-nothing-found": "Nothing found",
}
BATCH = {
    "notify_failure-failed",
    "notify_failure-recovered",
    "publish_outcomes-delivered",
    "publish_outcomes-erased",
    "publish_outcomes-failed",
    "publish_outcomes-recovered",
    "status_callback-replay",
}
SENT: dict[str, dict[str, Any]] = {
    "send_message-api": {"statusCode": 201},
    "send_message-api-template": {"statusCode": 201},
    "send_message-api-invalid": {"statusCode": 400},
    "send_message-api-not-json": {"statusCode": 400},
    "send_message-batch": {"statusCode": 202},
    "send_message-batch-partly-invalid": {"statusCode": 202},
    "send_message-batch-invalid": {"statusCode": 400},
    "send_message-canary": {"status_code": 201},
    "send_message-cancel": {"statusCode": 200},
    "send_message-cancel-unknown": {"statusCode": 404},
    "send_message-direct": {"status_code": 201},
    "send_message-direct-invalid": {"status_code": 400},
    "send_message-queue": {"batchItemFailures": []},
    "send_message-queue-invalid": {"batchItemFailures": []},
}
NO_ANSWER = {
    "audit_messages-day",
    "audit_messages-scheduled",
    "notify_failure-sweep",
    "reconcile_messages-scheduled",
}


def app_of(name: str) -> ModuleType:
    return importlib.import_module(f"functions.{name.partition('-')[0]}.app")


def event_of(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text("utf-8"))


def handled(name: str) -> Any:
    answer: Any = app_of(name).lambda_handler(event_of(name), CONTEXT)
    return answer


@pytest.fixture
def stack(
    messages_table: str,  # noqa: ARG001 -- the functions use it
    requests_table: str,  # noqa: ARG001 -- the same
    incidents_table: str,  # noqa: ARG001 -- the same
    control_table: str,  # noqa: ARG001 -- the same
    twilio_secret: dict[str, str],  # noqa: ARG001 -- the same
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resources that the functions use, and functions that have seen none of others'."""
    shared_client("sns").create_topic(Name="failures")
    shared_client("s3").create_bucket(Bucket="archive")
    role = "arn:aws:iam::123456789012:role/archive"
    shared_client("firehose").create_delivery_stream(
        DeliveryStreamName="archive",
        S3DestinationConfiguration={"RoleARN": role, "BucketARN": "arn:aws:s3:::archive"},
    )
    app = app_of("status_callback")
    clients = app.Clients(
        dynamodb=shared_client("dynamodb"),
        secrets_manager=shared_client("secretsmanager"),
        sqs=shared_client("sqs"),
    )
    monkeypatch.setattr(app, "function", app.build(os.environ, clients))


NAMES = sorted(path.stem for path in EVENTS.glob("*.json"))


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("name", [it for it in NAMES if not it.startswith("send_message")])
def test_an_event_gets_the_answer_that_its_name_promises(name: str) -> None:
    for earlier in BEFORE.get(name, []):
        handled(earlier)

    answer = handled(name)

    if name in BATCH:
        assert answer == {"batchItemFailures": []}
    elif name in NO_ANSWER:
        assert answer is None
    elif name in SHOWN:
        assert SHOWN[name] in answer
    else:
        assert answer
        assert answer["statusCode"] == FAILURE.get(name, SUCCESS[name.partition("-")[0]]), answer
        if name.startswith("query_messages"):
            assert_described_answer(event_of(name)["routeKey"], answer)


@pytest.mark.parametrize("name", [it for it in NAMES if it.startswith("send_message")])
def test_an_event_of_the_sender_gets_its_answer_when_twilio_accepts(
    sender: SenderRig, name: str
) -> None:
    answer = sender.invoke(event_of(name))

    assert answer.items() >= SENT[name].items()


def test_every_function_has_a_sample_event() -> None:
    functions = {path.parent.name for path in EVENTS.parent.glob("functions/*/app.py")}

    assert {name.partition("-")[0] for name in NAMES} == functions
