"""The rig of the tests of AuditMessagesFunction: its tables, and a Twilio in virtual time."""

import io
import json
from datetime import date, timedelta
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import requests

from delivery.domain.audits import AuditResult
from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.storage.audits import AuditStore
from delivery.storage.messages import MessageStore
from tests.functions.reconciler import CONFIDENTIAL
from tests.support.embedded_metrics import DataPoint, data_points
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    RECIPIENT,
    SUBACCOUNT_SID,
    VirtualTwilio,
    Wire,
)

if TYPE_CHECKING:
    import pytest
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from functions.audit_messages.app import AuditMessages

TWILIO = "https://twilio.example"


class AuditorRig:
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
        self.twilio = VirtualTwilio()
        self.wire = Wire(self.twilio)
        self.seconds_left = 900.0
        self.messages = MessageStore(dynamodb, "MessagesTable", Timings())
        self.audits = AuditStore(dynamodb, "ControlTable")
        secret = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
        secrets_manager.create_secret(Name="delivery/twilio", SecretString=json.dumps(secret))
        self.secrets_manager = secrets_manager
        self._environ = environ | {"TWILIO_API_BASE_URL": TWILIO}
        self._http = requests.Session()
        self._log_output = log_output
        self._capsys = capsys
        self._printed = ""

    @property
    def day(self) -> date:
        """The day on which the test sends."""
        return date(2026, 11, 23)

    def build(self, **environ: str) -> "AuditMessages":
        clients = self.module.Clients(
            dynamodb=self.dynamodb, secrets_manager=self.secrets_manager, http=self._http
        )
        function = self.module.build(self._environ | environ, clients, now=lambda: self.twilio.now)
        self._http.mount(f"{TWILIO}/", self.wire)  # after the client, which mounts its own
        return cast("AuditMessages", function)

    def close(self) -> None:
        """Check that nothing confidential was logged or printed."""
        self._http.close()
        self.module.metrics.clear_metrics()
        self.data_points()
        written = self._log_output.getvalue() + self._printed
        assert [word for word in CONFIDENTIAL if word in written] == []

    def data_points(self) -> list[DataPoint]:
        """The data points of all metrics since the last call."""
        output = self._capsys.readouterr().out
        self._printed += output
        return data_points(output)

    def run(self, event: dict[str, Any] | None = None, **environ: str) -> None:
        """Invoke the function, metrics included, in an environment of its own."""
        context = SimpleNamespace(
            function_name="AuditMessagesFunction",
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        handle = self.build(**environ).handle
        self.module.metrics.log_metrics(handle)(event or {}, context)

    def add_subaccount(self) -> str:
        """Add a subaccount to the secret; returns its SID."""
        secret = {
            "account_sid": ACCOUNT_SID,
            "auth_token": AUTH_TOKEN,
            "subaccounts": {SUBACCOUNT_SID: {"auth_token": "the-subaccount-token"}},
        }
        self.secrets_manager.put_secret_value(
            SecretId="delivery/twilio", SecretString=json.dumps(secret)
        )
        return SUBACCOUNT_SID

    def advance(self, **time: float) -> None:
        self.twilio.run(seconds=timedelta(**time).total_seconds())

    def send(self, *, known: bool = True, **form: Any) -> str:
        """Send a message; its first status is in the table if it is known."""
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

    def message(self, message_sid: str) -> Message:
        found = self.messages.get(message_sid)
        assert found is not None
        return found

    def result(self) -> AuditResult:
        found = self.audits.result(ACCOUNT_SID, self.day)
        assert found is not None
        return found
