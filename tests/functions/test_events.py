"""Every file in events/ is what its function gets, and gets the answer that its name promises.

Those of send_message need a Twilio to answer them: test_send_message has them.
"""

import importlib
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from delivery.credentials import TwilioSecrets
from tests.made_once import shared_client

EVENTS = Path(__file__).parents[2] / "events"
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
HTTP_STATUS = {
    "status_callback-sent": 204,
    "status_callback-delivered": 204,
    "status_callback-undelivered": 204,
    "status_callback-own-parameters": 204,
    "status_callback-whatsapp-read": 204,
    "status_callback-future-status": 204,
    "status_callback-unsigned": 403,
    "status_callback-json": 415,
    "status_callback-no-sid": 400,
    "query_messages-message": 200,
    "query_messages-unknown": 404,
    "query_messages-to": 200,
    "query_messages-reference": 200,
    "query_messages-failed": 200,
    "query_messages-unconfirmed": 200,
    "query_messages-awaiting": 200,
    "query_messages-two-questions": 400,
    "query_messages-summary": 200,
    "query_messages-summary-invalid": 400,
}
SHOWN = {
    "dashboard_widget-describe": "showNumbers",
    "dashboard_widget-failures": "Handset unreachable",
    "dashboard_widget-lookup": "Message to ",
    "dashboard_widget-message": "error 30003",
    "dashboard_widget-nothing-found": "Nothing is known here",
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
NO_ANSWER = {"notify_failure-sweep", "reconcile_messages-scheduled"}


def app_of(name: str) -> ModuleType:
    return importlib.import_module(f"functions.{name.partition('-')[0]}.app")


def handled(name: str) -> Any:
    event = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    answer: Any = app_of(name).lambda_handler(event, CONTEXT)
    return answer


@pytest.fixture
def stack(
    messages_table: str,
    requests_table: str,
    episodes_table: str,
    twilio_secret: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resources that the functions use, and functions that have seen none of others'."""
    assert messages_table
    assert requests_table
    assert episodes_table
    assert twilio_secret
    topic_arn = shared_client("sns").create_topic(Name="failures")["TopicArn"]
    monkeypatch.setattr(app_of("notify_failure"), "FAILURE_TOPIC_ARN", topic_arn)
    secrets = TwilioSecrets(shared_client("secretsmanager"), "delivery/twilio")
    monkeypatch.setattr(app_of("status_callback"), "secrets", secrets)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "name",
    sorted(path.stem for path in EVENTS.glob("*.json") if not path.stem.startswith("send_message")),
)
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
        assert answer["statusCode"] == HTTP_STATUS[name], answer


def test_every_function_has_a_sample_event() -> None:
    functions = {path.parent.name for path in EVENTS.parent.glob("functions/*/app.py")}

    assert {path.stem.partition("-")[0] for path in EVENTS.glob("*.json")} == functions
