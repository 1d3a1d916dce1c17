"""What rigs with a Twilio in virtual time share: its messages, and the tables that track them."""

import io
import json
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import requests

from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.domain.send_requests import RequestState, SendRequest, body_digest
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from tests.support.embedded_metrics import DataPoint, data_points
from tests.support.granted import permissions_of
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    RECIPIENT,
    SENDER,
    VirtualTwilio,
    Wire,
)

if TYPE_CHECKING:
    import pytest
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

TWILIO = "https://twilio.example"
REQUEST_ID = "rq_" + "a" * 32
BODY = "Hello"
STAYS_SENT = "+15555550105"
CONFIDENTIAL = (AUTH_TOKEN, BODY, RECIPIENT[1:], SENDER[1:], STAYS_SENT[1:])
"""No log line and no metric holds any of these: I8."""


class TrackedAccount:
    """A Twilio whose callbacks arrive only if a test applies them, and the tables."""

    def __init__(self, dynamodb: "DynamoDBClient") -> None:
        self.dynamodb = dynamodb
        self.twilio = VirtualTwilio()
        self.wire = Wire(self.twilio)
        self.messages = MessageStore(dynamodb, "MessagesTable", Timings())
        self.requests = SendRequestStore(dynamodb, "SendRequestsTable")

    def advance(self, **time: float) -> None:
        self.twilio.run(seconds=timedelta(**time).total_seconds())

    def send(self, *, known: bool = True, **form: Any) -> str:
        """Send a message from our sender; its first status is in the table if it is known."""
        document = self.twilio.send(**form)
        if known:
            self.apply(document["sid"], document["status"], source=Source.SEND, to=document["to"])
        return str(document["sid"])

    def apply(self, message_sid: str, status: str, **facts: Any) -> Message:
        defaults: dict[str, Any] = {
            "at": self.twilio.now,
            "source": Source.CALLBACK,
            "account_sid": ACCOUNT_SID,
            "to": RECIPIENT,
        }
        update = StatusUpdate(message_sid=message_sid, status=status, **(defaults | facts))
        return self.messages.record(update).message

    def claim(self, request_id: str = REQUEST_ID, **facts: Any) -> SendRequest:
        """Claim a request; its sender dies before it records anything else."""
        defaults: dict[str, Any] = {
            "claim_id": request_id[-8:],
            "content_digest": "c" * 64,
            "account_sid": ACCOUNT_SID,
            "to": RECIPIENT,
            "from_": SENDER,
            "body_digest": body_digest(BODY),
            "reference": "order-1",
            "context": {"shop": "7"},
            "claimed_at": self.twilio.now,
            "lease_until": self.twilio.now + timedelta(seconds=29),
        }
        return self.requests.claim(SendRequest(request_id=request_id, **(defaults | facts)))

    def complete(
        self, request: SendRequest, state: RequestState, *, message_sid: str | None = None
    ) -> SendRequest:
        """Store the result of a request."""
        completed = request.completed(
            state, at=self.twilio.now, kept_for=timedelta(days=30), message_sid=message_sid
        )
        return self.requests.complete(request, completed)

    def message(self, message_sid: str) -> Message:
        message = self.messages.get(message_sid)
        assert message is not None
        return message

    def request(self, request_id: str = REQUEST_ID) -> SendRequest:
        request = self.requests.get(request_id)
        assert request is not None
        return request


class FunctionRig(TrackedAccount):
    """A scheduled function that reads Twilio, its environment and its output."""

    seconds_left: float
    """What is left of an invocation."""
    subaccounts: tuple[str, ...] = ()
    """Those that the secret has besides the main account."""

    def __init__(
        self,
        module: ModuleType,
        dynamodb: "DynamoDBClient",
        secrets_manager: "SecretsManagerClient",
        environ: dict[str, str],
        *,
        log_output: io.StringIO,
        capsys: "pytest.CaptureFixture[str]",
    ) -> None:
        super().__init__(dynamodb)
        self.module = module
        self.secrets_manager = secrets_manager
        self.secret = {
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "subaccounts": {it: {"auth_token": "the-subaccount-token"} for it in self.subaccounts},
        }
        secrets_manager.create_secret(Name="delivery/twilio", SecretString=json.dumps(self.secret))
        self._environ = environ | {"TWILIO_API_BASE_URL": TWILIO}
        self._http = requests.Session()
        self._log_output = log_output
        self._capsys = capsys
        self._printed = ""

    def build(self, *, dynamodb: Any = None, **environ: str) -> Any:
        """The function in an environment of its own, with this client and these variables."""
        clients = self.module.Clients(
            dynamodb=dynamodb or self.dynamodb,
            secrets_manager=self.secrets_manager,
            http=self._http,
        )
        function = self.module.build(self._environ | environ, clients, now=lambda: self.twilio.now)
        self._http.mount(f"{TWILIO}/", self.wire)  # after the client, which mounts its own
        return function

    def invoke(self, function: Any, event: dict[str, Any]) -> None:
        """Invoke the function's handler, metrics included."""
        context = SimpleNamespace(
            function_name="tested-function",
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        folder = self.module.__name__.split(".")[1]
        name = "".join(part.title() for part in folder.split("_")) + "Function"
        with permissions_of(name, self.dynamodb):
            self.module.metrics.log_metrics(function.handle)(event, context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Check that nothing confidential was logged or printed, and that no reason is missing."""
        self._http.close()
        self.module.metrics.clear_metrics()
        self.data_points()
        written = self._log_output.getvalue() + self._printed
        assert [word for word in CONFIDENTIAL if word in written] == []
        assert '"None"' not in written

    def data_points(self) -> list[DataPoint]:
        """The data points of all metrics since the last call."""
        output = self._capsys.readouterr().out
        self._printed += output
        return data_points(output)

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        """The log lines of the function until now, or those with this message."""
        lines = [json.loads(line) for line in self._log_output.getvalue().splitlines()]
        return [line for line in lines if message in {"", line["message"]}]
