"""The audits of a run's days: each at the time that it is due, and disturbed.

Nothing else happens in these days, so the run skips the time between two audits: a phase begins
when one is due, and ends hours later. Faults occur in the first half hour of a phase. While the
audit reads, lost callbacks arrive, an operator erases a person or audits the same day by hand, and
an item expires.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Final

from simulation.account import Account
from simulation.callers import CallerRequest
from simulation.calls import Response
from simulation.deployment import functions
from simulation.engine import Engine
from simulation.event_sources import Schedule
from simulation.lambda_service import LambdaService
from simulation.operator import Operator
from simulation.twilio import Twilio

FIRST_AFTER: Final = timedelta(hours=6)
FINAL_AFTER: Final = timedelta(days=4)
"""How long after its end a day is audited, first and finally, by docs/reliability.md."""
_ONE_DAY: Final = timedelta(days=1)
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_FAULTS_LAST: Final = 30 * _MINUTE
_LEAST_INTERVAL: Final = 10 * _MINUTE
_BEGINS_AND_ENDS: Final = {
    "audit_messages": (0.0, 4 * _HOUR),
    "reconcile_messages": (2 * _HOUR, 5 * _HOUR),
    "notify_failure": (0.0, 7 * _HOUR),
}
"""When the schedule of each function runs in a phase: the auditor's corrections come first."""
_PHASE: Final = 8 * _HOUR
_FIRST_SKIPPED_RATE: Final = 0.2
_LATE_CALLBACKS_RATE: Final = 0.4
_BY_HAND_RATE: Final = 0.3
_EXPIRY_RATE: Final = 0.15
_ERASURE_RATE: Final = 0.1
_AUDIT_SECONDS: Final = 4.0
"""Within this time from the begin of a phase most of its first audit happens."""


@dataclass(slots=True, kw_only=True)
class AuditPhase:
    """The rest of a run, once everything that was sent has come to rest."""

    draws: random.Random
    aws: Account
    twilio: Twilio
    operator: Operator
    service: LambdaService
    engine: Engine
    schedules: Sequence[Schedule]
    items_expire: bool
    expired: set[str] = field(default_factory=set)
    """The SIDs of the items that expired."""

    def audit_by_hand(self, day: date, *, at: float) -> None:
        """Let an operator audit a day then, whatever its age."""
        function, event = functions()["audit_messages"], {"on": day.isoformat()}
        self.engine.loop.at(at, lambda: self.service.invoke(function, event, lambda _: None))

    def run(self, requests: Sequence[CallerRequest]) -> None:
        """Run every phase, until each day on which something was sent is audited finally."""
        loop, faults = self.engine.loop, self.engine.faults
        for due, day in self._due_times():
            begins = max(loop.seconds, loop.seconds_at(due)) + self.draws.uniform(0, 10 * _MINUTE)
            loop.run_until(begins)
            faults.resume(until=begins + _FAULTS_LAST)
            for schedule in self.schedules:
                first, last = _BEGINS_AND_ENDS.get(schedule.function.name, (_PHASE, 0.0))
                start = partial(schedule.start, until=begins + last, least_interval=_LEAST_INTERVAL)
                loop.at(begins + first, start)
            self._disturb(day, begins, requests)
            loop.run_until(begins + _PHASE)

    def _due_times(self) -> list[tuple[datetime, date]]:
        """Return when a phase begins, and which day it is about."""
        created = {it.created.date() for it in self.twilio.simulator.messages()}
        first, *others = sorted({self.engine.loop.time_at(0).date(), *created})
        due = [] if self.draws.random() < _FIRST_SKIPPED_RATE else [(FIRST_AFTER, first)]
        due += [(FINAL_AFTER, day) for day in (first, *others)]
        return [(end_of(day) + after, day) for after, day in due]

    def _disturb(self, day: date, begins: float, requests: Sequence[CallerRequest]) -> None:
        draws = self.draws
        if draws.random() < _LATE_CALLBACKS_RATE:
            for message in self.twilio.simulator.messages():
                if draws.random() < 0.5:
                    at = begins + draws.uniform(0, _AUDIT_SECONDS)
                    self.twilio.call_back_late(message.sid, at=at)
        if draws.random() < _BY_HAND_RATE:
            self.audit_by_hand(day, at=begins + draws.uniform(0, _AUDIT_SECONDS))
        if draws.random() < _EXPIRY_RATE and self.items_expire:
            self._expire_an_item()
        if draws.random() < _ERASURE_RATE and requests:
            address = draws.choice(requests).document["to"]
            if address.startswith("+"):
                self.operator.erase(address, at=begins + draws.uniform(0, _AUDIT_SECONDS))

    def _expire_an_item(self) -> None:
        """Let TTL delete the next item that an audit reads and may correct, before it does so."""
        table = self.aws.tables["MessagesTable"]

        def watch(_service: str, operation: str, _given: object, response: Response) -> None:
            audits = self.engine.loop.running_name.startswith("audit_messages")
            if not audits or operation != "batch_get_item" or not isinstance(response, Mapping):
                return
            for item in response["Responses"].get(table.name, []):
                if item.get("outcome") == {"S": "delivered"} and not item.keys() & _NEEDED:
                    self.expired.add(item["message_sid"]["S"])
                    self.engine.trace.add("TTL", "deletes", item["message_sid"])
                    table.put({"message_sid": item["message_sid"]}, None)
                    self.aws.watchers.remove(watch)
                    return

        self.aws.watchers.append(watch)


_NEEDED: Final = frozenset({"request_id", "notice", "price"})
"""Attributes of what does not expire: checks ask about requests, failures and corrected items."""


def end_of(day: date) -> datetime:
    """Return the end of a day in UTC."""
    return datetime.combine(day, time(), UTC) + _ONE_DAY
