"""What a status callback costs at AWS: requests and lines of the log, counted."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from botocore.client import BaseClient

from delivery.twilio.credentials import TwilioSecrets
from tests.functions.test_status_callback import CALLBACK, a_request, status_of
from tests.made_once import shared_client


@pytest.fixture
def app(
    messages_table: str, twilio_secret: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The function in a new environment: it has not read the secret."""
    from functions.status_callback import app  # noqa: PLC0415 -- its clients need moto first

    assert messages_table
    assert twilio_secret
    secrets_manager = shared_client("secretsmanager")
    monkeypatch.setattr(app, "secrets", TwilioSecrets(secrets_manager, "delivery/twilio"))
    return app


@contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Every request to any service of AWS, by its operation."""
    requests: Counter[str] = Counter()
    asked = BaseClient._make_api_call  # type: ignore[attr-defined]  # noqa: SLF001 -- every client's one way out

    def count(client: BaseClient, operation: str, arguments: Any) -> Any:
        requests[operation] += 1
        return asked(client, operation, arguments)

    with mock.patch.object(BaseClient, "_make_api_call", count):
        yield requests


def a_status(status: str) -> dict[str, Any]:
    return a_request(CALLBACK | {"MessageStatus": status, "SmsStatus": status})


def test_the_callbacks_of_a_message_in_order_cost_one_request_each(app: ModuleType) -> None:
    status_of(app, a_status("queued"))  # it reads the secret, which serves for minutes

    for status in ("sent", "delivered"):
        with counted_requests() as requests:
            answer = status_of(app, a_status(status))

        assert answer == 204
        assert requests == {"UpdateItem": 1}


def test_the_first_callback_of_an_environment_also_reads_the_secret(app: ModuleType) -> None:
    with counted_requests() as requests:
        status_of(app, a_status("queued"))

    assert requests == {"GetSecretValue": 1, "UpdateItem": 1}


def test_a_repeated_callback_costs_one_request(app: ModuleType) -> None:
    status_of(app, a_status("sent"))

    with counted_requests() as requests:
        status_of(app, a_status("sent"))

    assert requests == {"UpdateItem": 1}


def test_a_late_callback_costs_two_requests(app: ModuleType) -> None:
    status_of(app, a_status("delivered"))

    with counted_requests() as requests:
        status_of(app, a_status("sent"))

    assert requests == {"UpdateItem": 2}


def test_a_callback_that_is_not_signed_costs_no_request(app: ModuleType) -> None:
    with counted_requests() as requests:
        answer = status_of(app, a_request(x_twilio_signature=None))

    assert answer == 403
    assert requests == {}


def test_a_callback_writes_one_line_and_the_count_carries_the_ids(
    app: ModuleType, log_output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    status_of(app, a_status("delivered"))

    (line,) = (log_output.getvalue() + capsys.readouterr().out).splitlines()
    facts = json.loads(line)
    assert facts["TransitionRecorded"] == [1.0]
    assert facts["message_sid"] == CALLBACK["MessageSid"]
    assert facts["status"] == "delivered"
