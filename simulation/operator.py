"""The operator, who erases a person's data until nothing is left, and backfills the archive."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from simulation.deployment import functions, parameter
from simulation.engine import Engine
from simulation.lambda_service import TWILIO_CLIENT, TWILIO_SECRETS, LambdaService
from simulation.virtual_time import TaskResult

_PAUSE: Final = 1800.0
_RETRYABLE: Final = frozenset({"StoreUnavailable", "SecretUnavailable", "ArchiveUnavailable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One complete erasure: nothing is left of what existed when it began."""

    address: str
    began: float


@dataclass(slots=True, kw_only=True)
class Operator:
    """Runs the code of `delivery erase` and `delivery archive`, which meet call faults.

    They may crash midway.
    """

    service: LambdaService
    engine: Engine
    erasures: list[Erasure] = field(default_factory=list)
    incomplete: dict[str, list[str]] = field(default_factory=dict)
    """The reasons why the last erasure of an address was incomplete, by address."""
    backfills: int = 0
    """The number of complete backfills."""

    def erase(self, address: str, *, at: float) -> None:
        """Begin then, and repeat until an erasure is complete and no fault occurs any more."""
        self.engine.loop.at(at, lambda: self._begin(address))

    def backfill(self, *, at: float) -> None:
        """Begin to backfill the archive then, and repeat until a run is complete."""
        self.engine.loop.at(at, self._begin_backfill)

    def _begin_backfill(self) -> None:
        loop = self.engine.loop

        def ended(result: TaskResult) -> None:
            if result.error is not None and type(result.error).__name__ not in _RETRYABLE:
                raise result.error
            self.engine.trace.add("operator", "backfilled the archive", result)
            if result.error is not None or result.killed:
                loop.after(_PAUSE, self._begin_backfill)
            else:
                self.backfills += 1

        loop.spawn("operator", self._backfill, ended)

    def _backfill(self) -> int:
        """Run the command, and return the number of rows."""
        service = self.service
        command, archive, messages = service.modules(
            "delivery_cli.commands.archive.backfill",
            *("delivery.storage.archive", "delivery.storage.messages"),
        )
        stream = functions()["publish_outcomes"].environment["ARCHIVE_STREAM_NAME"]
        backfill = command.Backfill(
            messages=messages.MessageStore(service.client("dynamodb"), "MessagesTable"),
            archive=archive.Archive(service.client("firehose"), stream),
            dimensions=parameter("ReportDimensions").split(","),
            wait=self.engine.loop.sleep,
        )
        rows: int = backfill.run().rows
        return rows

    def _begin(self, address: str) -> None:
        loop, faults = self.engine.loop, self.engine.faults
        began = loop.seconds

        def ended(result: TaskResult) -> None:
            if result.error is not None and type(result.error).__name__ not in _RETRYABLE:
                raise result.error
            is_complete = result == TaskResult(value=[])
            if is_complete:
                self.incomplete.pop(address, None)
                self.erasures.append(Erasure(address=address, began=began))
            else:
                self.incomplete[address] = result.value or [repr(result)]
            self.engine.trace.add("operator", f"erased {address}", result)
            if not is_complete or loop.seconds < faults.profile.ends_at + _PAUSE:
                loop.after(_PAUSE, lambda: self._begin(address))

        loop.spawn("operator", lambda: self._erase(address), ended)

    def _erase(self, address: str) -> list[str]:
        """Run the command, and return the reasons of what it could not erase."""
        service, loop = self.service, self.engine.loop
        erase, messages, requests, twilio, credentials = service.modules(
            "delivery_cli.commands.erase.eraser",
            *("delivery.storage.messages", "delivery.storage.send_requests"),
            *(module for module, _ in (TWILIO_CLIENT, TWILIO_SECRETS)),
        )
        tables = service.client("dynamodb")
        secrets = service.in_virtual_time(credentials, TWILIO_SECRETS[1])(
            service.client("secretsmanager"), parameter("TwilioSecretName")
        )
        client = service.in_virtual_time(twilio, TWILIO_CLIENT[1])(
            service.session(), parameter("TwilioApiBaseUrl")
        )
        eraser = erase.Eraser(
            messages=messages.MessageStore(tables, "MessagesTable"),
            requests=requests.SendRequestStore(tables, "SendRequestsTable"),
            twilio=erase.TwilioAccounts(client, secrets.current()),
            key_retention=timedelta(days=float(parameter("IdempotencyKeyRetentionDays"))),
            now=lambda: loop.now,
        )
        return [step.reason for step in eraser.erase(address) if step.is_left]
