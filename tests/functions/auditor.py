"""The rig of the tests of AuditMessagesFunction: its tables, and a Twilio in virtual time."""

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from delivery.domain.audits import AuditResult
from delivery.storage.audits import AuditStore
from tests.functions.tracked_account import FunctionRig
from tests.support.virtual_twilio import ACCOUNT_SID, SUBACCOUNT_SID

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class AuditorRig(FunctionRig):
    """The function; its secret has one account, and the test sends on one day."""

    seconds_left = 900.0
    day = date(2026, 11, 23)

    @property
    def audits(self) -> AuditStore:
        client: DynamoDBClient = self.dynamodb
        return AuditStore(client, "ControlTable")

    def run(self, event: dict[str, Any] | None = None, **environ: str) -> None:
        """Invoke the function, metrics included, in an environment of its own."""
        self.invoke(self.build(**environ), event or {})

    def add_subaccount(self) -> str:
        """Add a subaccount to the secret; returns its SID."""
        self._put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": "the-subaccount-token"}})
        return SUBACCOUNT_SID

    def remove_subaccount(self) -> None:
        """Remove the subaccount from the secret."""
        self._put_secret()

    def _put_secret(self, **more: object) -> None:
        self.secrets_manager.put_secret_value(
            SecretId="delivery/twilio", SecretString=json.dumps(self.secret | more)
        )

    def result(self) -> AuditResult:
        found = self.audits.result(ACCOUNT_SID, self.day)
        assert found is not None
        return found
