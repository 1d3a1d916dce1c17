"""The rig of the tests of AuditMessagesFunction: its tables, and a Twilio in virtual time."""

import json
from datetime import date
from typing import Any

from delivery.domain.audits import AuditResult
from delivery.storage.audits import AuditStore
from tests.functions.tracked_account import FunctionRig
from tests.support.virtual_twilio import ACCOUNT_SID, SUBACCOUNT_SID, Fault, a_response


def listing(*messages: dict[str, str]) -> Fault:
    """Let Twilio's list have one page with these messages."""
    body = json.dumps({"messages": messages}).encode()
    return lambda _: a_response(200, body)


class AuditorRig(FunctionRig):
    """The function; its secret has one account, and the test sends on one day."""

    seconds_left = 900.0
    day = date(2026, 11, 23)

    @property
    def audits(self) -> AuditStore:
        return AuditStore(self.dynamodb, "ControlTable")

    def run(self, event: dict[str, Any] | None = None, **environ: str) -> None:
        """Invoke the function, metrics included, in an environment of its own."""
        self.invoke(self.build(**environ), event or {})

    def run_by_hand(self, **environ: str) -> None:
        """Audit the day now, as an operator does."""
        self.run({"on": self.day.isoformat()}, **environ)

    def run_next_day(self, **environ: str) -> None:
        """Audit the day by hand on the day after it."""
        self.advance(days=1)
        self.run_by_hand(**environ)

    def add_subaccount(self) -> str:
        """Add a subaccount to the secret; returns its SID."""
        self.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": "the-subaccount-token"}})
        return SUBACCOUNT_SID

    def put_secret(self, **more: object) -> None:
        """Store the secret with these fields."""
        self.secrets_manager.put_secret_value(
            SecretId="delivery/twilio", SecretString=json.dumps(self.secret | more)
        )

    def result(self, account_sid: str = ACCOUNT_SID) -> AuditResult:
        found = self.audits.result(account_sid, self.day)
        assert found is not None
        return found
