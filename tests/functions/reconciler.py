"""The rig of the tests of ReconcileMessagesFunction: its tables, and a Twilio in virtual time."""

import io
import json
from collections import Counter
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import requests

from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.domain.send_requests import RequestState, SendRequest, body_digest
from delivery.metrics import COUNTED_BY
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from tests.support.embedded_metrics import DataPoint, data_points
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    RECIPIENT,
    SENDER,
    SUBACCOUNT_SID,
    Fault,
    VirtualTwilio,
    Wire,
    a_response,
)

if TYPE_CHECKING:
    import pytest
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from functions.reconcile_messages.app import ReconcileMessages

TWILIO = "https://twilio.example"
REQUEST_ID = "rq_" + "a" * 32
OTHER_REQUEST_ID = "rq_" + "b" * 32
BODY = "Hello"
STAYS_SENT = "+15555550105"
UNDELIVERED = "+15555530003"
OTHER_ACCOUNT_SID = "AC" + "9" * 32
CONFIDENTIAL = (AUTH_TOKEN, BODY, RECIPIENT[1:], SENDER[1:], STAYS_SENT[1:])
"""No log line and no metric holds any of these: I8."""


def always(status: int, body: bytes = b"{}") -> Fault:
    return lambda _: a_response(status, body)


LAGGING_LIST: Fault = always(200, b'{"messages": []}')


class ReconcilerRig:
    """The function, its tables, and a Twilio whose callbacks arrive only if a test applies them."""

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
        self.module = module
        self.dynamodb = dynamodb
        self.secrets_manager = secrets_manager
        self.twilio = VirtualTwilio()
        self.wire = Wire(self.twilio)
        self.seconds_left = 240.0
        self.messages = MessageStore(dynamodb, "MessagesTable", Timings())
        self.requests = SendRequestStore(dynamodb, "SendRequestsTable")
        self.secret = {
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "subaccounts": {SUBACCOUNT_SID: {"auth_token": "the-subaccount-token"}},
        }
        secrets_manager.create_secret(Name="delivery/twilio", SecretString=json.dumps(self.secret))
        self._environ = environ | {"TWILIO_API_BASE_URL": TWILIO}
        self._http = requests.Session()
        self._log_output = log_output
        self._capsys = capsys
        self._printed = ""
        self.function = self.build()

    def build(self, *, dynamodb: Any = None, **environ: str) -> "ReconcileMessages":
        """The function in an environment of its own, with this client and these variables."""
        clients = self.module.Clients(
            dynamodb=dynamodb or self.dynamodb,
            secrets_manager=self.secrets_manager,
            http=self._http,
        )
        function = self.module.build(self._environ | environ, clients, now=lambda: self.twilio.now)
        self._http.mount(f"{TWILIO}/", self.wire)  # after the client, which mounts its own
        return cast("ReconcileMessages", function)

    def close(self) -> None:
        """Check that nothing confidential was logged or printed."""
        self._http.close()
        self.module.metrics.clear_metrics()
        self.module.outcome_metrics.clear_metrics()
        self._read_output()
        written = self._log_output.getvalue() + self._printed
        assert [word for word in CONFIDENTIAL if word in written] == []

    # --- what happens ---

    def advance(self, **time: float) -> None:
        self.twilio.run(seconds=timedelta(**time).total_seconds())

    def run(self, *, dynamodb: Any = None) -> None:
        """Invoke the function, metrics included; with this client, in an environment of its own."""
        function = self.build(dynamodb=dynamodb) if dynamodb else self.function
        context = SimpleNamespace(
            function_name="ReconcileMessagesFunction",
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        self.module.metrics.log_metrics(function.handle)({}, context)

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
        claim = SendRequest(request_id=request_id, **(defaults | facts))
        return self.requests.claim(claim)

    def send_and_die(self, request_id: str = REQUEST_ID, **form: Any) -> str:
        """Let Twilio accept a request's message; the sender dies with the answer."""
        self.claim(request_id)
        self.advance(seconds=1)
        return self.send(known=False, **form)

    def presume_unsent(self, request: SendRequest) -> None:
        """Presume a request unsent, as a run does that dies before it records the message."""
        presumed = request.completed(
            RequestState.PRESUMED_UNSENT, at=self.twilio.now, kept_for=timedelta(days=30)
        )
        self.requests.complete(request, presumed)

    def delay_list(self) -> None:
        """Let Twilio's list lag by hours."""
        settings = self.twilio.simulator.settings
        self.twilio.simulator.settings = settings.changed({"list_lag_seconds": 9000.0})

    # --- what there is afterwards ---

    def message(self, message_sid: str) -> Message:
        message = self.messages.get(message_sid)
        assert message is not None
        return message

    def request(self, request_id: str = REQUEST_ID) -> SendRequest:
        request = self.requests.get(request_id)
        assert request is not None
        return request

    def state(self, request_id: str = REQUEST_ID) -> RequestState:
        return self.request(request_id).state_at(self.twilio.now)

    def twilio_requests(self) -> list[str]:
        """The requests that Twilio received since the last call."""
        requests, self.wire.requests = self.wire.requests, []
        return [it.partition(" ")[2] for it in requests]

    def counted(self) -> dict[str, int]:
        """What the function counted of its own work since the last call, by metric."""
        counts = Counter[str]()
        for point in self.data_points():
            counts[point.name] += int(sum(point.values))
        return {
            name: number
            for name, number in counts.items()
            if name != "ReconcileRun" and name not in COUNTED_BY
        }

    def data_points(self) -> list[DataPoint]:
        """The data points of all metrics since the last call."""
        return data_points(self._read_output())

    def lines(self, message: str = "") -> list[dict[str, Any]]:
        """The log lines of the function until now, or those with this message."""
        lines = [json.loads(line) for line in self._log_output.getvalue().splitlines()]
        return [line for line in lines if message in {"", line["message"]}]

    def _read_output(self) -> str:
        output = self._capsys.readouterr().out
        self._printed += output
        return output
