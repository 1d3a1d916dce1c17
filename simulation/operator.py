"""An operator who erases one person's data, again and again until nothing is left to be erased."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from simulation.deployment import parameter
from simulation.faults import Faults
from simulation.lambda_service import Lambda
from simulation.trace import Trace
from simulation.virtual_time import Ended, Loop

_AGAIN_AFTER: Final = 1800.0
_PASSING: Final = frozenset({"StoreUnavailable", "SecretUnavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One run of the command that left nothing: whatever was there when it began is gone."""

    address: str
    began: float


class Operator:
    """Uses the code of `delivery erase`, whose calls fail like everybody's; it may die midway."""

    def __init__(
        self,
        *,
        service: Lambda,
        loop: Loop,
        faults: Faults,
        trace: Trace,
    ) -> None:
        self.erasures: list[Erasure] = []
        self.left: dict[str, list[str]] = {}
        """By address, why the last run could not erase everything; gone once one could."""
        self._lambda = service
        self._loop = loop
        self._faults = faults
        self._trace = trace

    def erase(self, address: str, *, at: float) -> None:
        """Begin then, and be done with it once it is calm."""
        self._loop.at(at, lambda: self._begin(address))

    def _begin(self, address: str) -> None:
        def ended(result: Ended) -> None:
            if result.error is not None and type(result.error).__name__ not in _PASSING:
                raise result.error
            left = result.error is not None or result.died or result.value
            self.left[address] = result.value or [repr(result)]
            if not left:
                del self.left[address]
                self.erasures.append(Erasure(address=address, began=began))
            self._trace.add(self._loop.seconds, "operator", f"erased {address}", result)
            if left or self._loop.seconds < self._faults.weather.calm_at + _AGAIN_AFTER:
                self._loop.after(_AGAIN_AFTER, lambda: self._begin(address))

        began = self._loop.seconds
        self._loop.spawn("operator", lambda: self._erase(address), ended)

    def _erase(self, address: str) -> list[str]:
        """What was left."""
        tools = self._lambda
        erasing, store, request_store, twilio, credentials = tools.modules(
            "delivery_cli.commands.erase.eraser",
            *("delivery.storage.messages", "delivery.storage.send_requests"),
            *("delivery.twilio.client", "delivery.twilio.credentials"),
        )
        tables = tools.client("dynamodb")
        secrets = credentials.TwilioSecrets(
            tools.client("secretsmanager"),
            parameter("TwilioSecretName"),
            clock=lambda: self._loop.seconds,
        )
        client = tools.in_virtual_time(twilio.TwilioClient)(
            tools.session(), parameter("TwilioApiBaseUrl")
        )
        eraser = erasing.Eraser(
            messages=store.MessageStore(tables, "MessagesTable"),
            requests=request_store.SendRequestStore(tables, "SendRequestsTable"),
            twilio=erasing.TwilioAccounts(client, secrets.current()),
            key_retention=timedelta(days=float(parameter("IdempotencyKeyRetentionDays"))),
            now=lambda: self._loop.now,
        )
        return [step.reason for step in eraser.erase(address) if step.is_left]
