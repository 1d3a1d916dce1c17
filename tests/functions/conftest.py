"""What the functions' tests share: AWS by moto, the environment of the functions, their output."""

import io
import json
import logging
import os
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from types import ModuleType

# moto before any client is made: the functions make theirs when they are imported.
import pytest
from moto import mock_aws
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models.table import Table
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from delivery.storage.messages import MessageStore
from tests.functions.auditor import AuditorRig
from tests.functions.callbacks import StatusCallbackRig
from tests.functions.notifier import NotifierRig
from tests.functions.reconciler import ReconcilerRig
from tests.functions.sender import SENSITIVE_WORDS, SenderRig
from tests.support.clock import Clock
from tests.support.cloudformation import create_table
from tests.support.scripted_twilio import ScriptedTwilio
from tests.support.shared_clients import shared_client

REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",  # moto's streams do not know such endpoints
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_LAMBDA_FUNCTION_NAME": "tested-function",
    "POWERTOOLS_SERVICE_NAME": "tested",
    "POWERTOOLS_METRICS_NAMESPACE": "Delivery",
    "MESSAGES_TABLE": "MessagesTable",
    "SEND_REQUESTS_TABLE": "SendRequestsTable",
    "CONTROL_TABLE": "ControlTable",
    "INCIDENTS_TABLE": "IncidentsTable",
    "IDEMPOTENCY_KEY_RETENTION_DAYS": "30",
    "CALLBACK_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/callbacks",
    "SEND_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/123456789012/requests",
    "TWILIO_SECRET_NAME": "delivery/twilio",
    "TWILIO_API_BASE_URL": "http://127.0.0.1:9",  # no server listens there; a test sets its own
    "SENDER_SEGMENTS_PER_SECOND": "0",
    "STATUS_CALLBACK_URL": "https://callbacks.example.com/twilio/status",
    "PUBLIC_BASE_URL": "https://callbacks.example.com",
    "STORE_MESSAGE_BODY": "false",
    "MESSAGE_RETENTION_DAYS": "400",
    "RECONCILE_AFTER_MINUTES": "60",
    "UNCONFIRMED_AFTER_HOURS": "72",
    "IN_DOUBT_TIMEOUT_MINUTES": "15",
    "AUDIT_MODE": "tracked",
    "OUTCOME_EVENT_BUS_NAME": "default",
    "ARCHIVE_STREAM_NAME": "archive",
    "REPORT_DIMENSIONS": "campaign, shop",
    "FAILURE_TOPIC_ARN": f"arn:aws:sns:{REGION}:123456789012:failures",
    "MESSAGES_API_URL": "https://messages.example.com",
    "NOTICES_SHOW_FULL_NUMBERS": "false",
    "NOTICE_INTERVAL_MINUTES": "15",
    "MUTED_CATEGORIES": "opt_out",
    "DASHBOARD_URL": "https://console.example.com/dashboard",
}
# When this is imported no test module is yet, and so none of the functions.
os.environ.update(ENVIRONMENT)
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)

_EMPTY_TABLES: dict[str, Table] = {}
"""By logical id."""


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture(scope="session")
def clients() -> tuple[DynamoDBClient, SecretsManagerClient]:
    """Made once: each takes longer than most tests, and moto answers those made before it."""
    return shared_client("dynamodb"), shared_client("secretsmanager")


@pytest.fixture
def dynamodb(
    aws: None,  # noqa: ARG001 -- it must not call before moto answers
    clients: tuple[DynamoDBClient, SecretsManagerClient],
) -> DynamoDBClient:
    return clients[0]


@pytest.fixture
def secrets_manager(
    aws: None,  # noqa: ARG001 -- the same
    clients: tuple[DynamoDBClient, SecretsManagerClient],
) -> SecretsManagerClient:
    return clients[1]


@pytest.fixture
def messages_table(dynamodb: DynamoDBClient) -> str:
    """The name of a table as the template describes it."""
    return _new_table(dynamodb, "MessagesTable", ENVIRONMENT["MESSAGES_TABLE"])


@pytest.fixture
def store(dynamodb: DynamoDBClient, messages_table: str) -> MessageStore:
    return MessageStore(dynamodb, messages_table)


@pytest.fixture
def requests_table(dynamodb: DynamoDBClient) -> str:
    """The same for the requests to send."""
    return _new_table(dynamodb, "SendRequestsTable", ENVIRONMENT["SEND_REQUESTS_TABLE"])


@pytest.fixture
def control_table(dynamodb: DynamoDBClient) -> str:
    """The table of the rate limiter's slots and of audits."""
    return _new_table(dynamodb, "ControlTable", ENVIRONMENT["CONTROL_TABLE"])


@pytest.fixture
def incidents_table(dynamodb: DynamoDBClient) -> str:
    """The same for the incidents."""
    return _new_table(dynamodb, "IncidentsTable", ENVIRONMENT["INCIDENTS_TABLE"])


def _new_table(dynamodb: DynamoDBClient, logical_id: str, name: str) -> str:
    """A table as the template describes it; a copy of the first one, which takes a tenth of it."""
    tables = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][REGION].tables
    if logical_id not in _EMPTY_TABLES:
        create_table(dynamodb, logical_id, name)
        _EMPTY_TABLES[logical_id] = deepcopy(tables[name])
    tables[name] = deepcopy(_EMPTY_TABLES[logical_id])
    return name


@pytest.fixture
def callback_queue(aws: None) -> str:  # noqa: ARG001 -- the same
    """The URL of the queue that takes what the table cannot."""
    return str(shared_client("sqs").create_queue(QueueName="callbacks")["QueueUrl"])


@pytest.fixture
def send_queue(aws: None) -> str:  # noqa: ARG001 -- the same
    """The URL of the queue of requests to send."""
    return str(shared_client("sqs").create_queue(QueueName="requests")["QueueUrl"])


@pytest.fixture
def twilio_secret(secrets_manager: SecretsManagerClient) -> dict[str, str]:
    """The content of the secret, which is in Secrets Manager."""
    content = {"account_sid": "AC" + "0" * 32, "auth_token": "sandbox-auth-token"}
    secrets_manager.create_secret(
        Name=ENVIRONMENT["TWILIO_SECRET_NAME"], SecretString=json.dumps(content)
    )
    return content


@pytest.fixture
def log_output() -> Iterator[io.StringIO]:
    """What the functions' loggers write during the test.

    Their streams are the standard output of the time when they were imported, out of the reach of
    pytest's own capture.
    """
    output = io.StringIO()
    handlers = [
        handler
        for logger in map(logging.getLogger, (ENVIRONMENT["POWERTOOLS_SERVICE_NAME"],))
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    before = [handler.setStream(output) for handler in handlers]
    yield output
    for handler, stream in zip(handlers, before, strict=True):
        if stream is not None:
            handler.setStream(stream)


@pytest.fixture
def callbacks(
    dynamodb: DynamoDBClient,
    messages_table: str,  # noqa: ARG001 -- the function uses it
    twilio_secret: dict[str, str],  # noqa: ARG001 -- the same
    callback_queue: str,
) -> Iterator[StatusCallbackRig]:
    """StatusCallbackFunction in a new environment."""
    rig = StatusCallbackRig(dynamodb, ENVIRONMENT | {"CALLBACK_QUEUE_URL": callback_queue})
    yield rig
    rig.module.metrics.clear_metrics()


@pytest.fixture
def notifier(
    dynamodb: DynamoDBClient,
    messages_table: str,  # noqa: ARG001 -- the function uses it
    incidents_table: str,  # noqa: ARG001 -- the same
    request: pytest.FixtureRequest,
) -> Iterator[NotifierRig]:
    """NotifyFailureFunction in a new environment, and a queue on its topic."""
    rig = NotifierRig(dynamodb, ENVIRONMENT)
    log_output = request.getfixturevalue("log_output")  # after its logger was made
    yield rig
    rig.module.metrics.clear_metrics()
    assert '"None"' not in log_output.getvalue(), "a log line has no reason"


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
def server() -> Iterator[ScriptedTwilio]:
    with ScriptedTwilio() as scripted:
        yield scripted


@pytest.fixture
def send_message(aws: None) -> ModuleType:  # noqa: ARG001 -- its clients need moto first
    from functions.send_message import app  # noqa: PLC0415 -- the same

    return app


@pytest.fixture
def sender(
    send_message: ModuleType,  # before capsys: its logger keeps the stream that it finds
    server: ScriptedTwilio,
    clients: tuple[DynamoDBClient, SecretsManagerClient],
    messages_table: str,  # noqa: ARG001 -- the function uses it
    requests_table: str,  # noqa: ARG001 -- the same
    control_table: str,  # noqa: ARG001 -- the same
    callback_queue: str,
    send_queue: str,
    twilio_secret: dict[str, str],  # noqa: ARG001 -- the same
    clock: Clock,
    log_output: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[SenderRig]:
    """SendMessageFunction in a new environment; nothing that it writes may be sensitive (I8)."""
    queues = {"CALLBACK_QUEUE_URL": callback_queue, "SEND_QUEUE_URL": send_queue}
    environ = ENVIRONMENT | queues
    rig = SenderRig(send_message, server, *clients, environ=environ, clock=clock, capsys=capsys)
    yield rig
    rig.metrics()
    rig.close()
    written = [log_output.getvalue(), *rig.printed, *rig.errors]
    assert [(word, text) for word in SENSITIVE_WORDS for text in written if word in text] == []
    assert '"None"' not in log_output.getvalue(), "a log line has no reason"


@pytest.fixture
def reconcile_messages(aws: None) -> ModuleType:  # noqa: ARG001 -- the same
    from functions.reconcile_messages import app  # noqa: PLC0415 -- its clients need moto first

    return app


@pytest.fixture
def reconciler(
    reconcile_messages: ModuleType,  # before capsys: its logger keeps the stream that it finds
    messages_table: str,  # noqa: ARG001 -- the function uses it
    requests_table: str,  # noqa: ARG001 -- the same
    control_table: str,  # noqa: ARG001 -- the same
    dynamodb: DynamoDBClient,
    secrets_manager: SecretsManagerClient,
    log_output: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[ReconcilerRig]:
    """ReconcileMessagesFunction; at the end it must have written nothing confidential."""
    clients = dynamodb, secrets_manager
    with ReconcilerRig(
        reconcile_messages, *clients, ENVIRONMENT, log_output=log_output, capsys=capsys
    ) as rig:
        yield rig


@pytest.fixture
def audit_messages(aws: None) -> ModuleType:  # noqa: ARG001 -- its clients need moto first
    from functions.audit_messages import app  # noqa: PLC0415 -- the same

    return app


@pytest.fixture
def auditor(
    audit_messages: ModuleType,  # before capsys: its logger keeps the stream that it finds
    messages_table: str,  # noqa: ARG001 -- the function uses it
    control_table: str,  # noqa: ARG001 -- the same
    dynamodb: DynamoDBClient,
    secrets_manager: SecretsManagerClient,
    log_output: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[AuditorRig]:
    """AuditMessagesFunction; at the end it must have written nothing confidential."""
    clients = dynamodb, secrets_manager
    with AuditorRig(
        audit_messages, *clients, ENVIRONMENT, log_output=log_output, capsys=capsys
    ) as rig:
        yield rig
