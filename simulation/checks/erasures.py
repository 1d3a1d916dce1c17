"""Checks of erasures: each one is completed, and what it erased does not come back."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from simulation.checks.evidence import Evidence, Violation
from simulation.operator import Erasure

_TOMBSTONE: Final = frozenset({"message_sid", "erased_at", "status_rank", "expires_at"})


def check_erasures(evidence: Evidence) -> Iterator[Violation]:
    """Yield the violations of every erasure."""
    operator = evidence.world.operator
    for erasure in operator.erasures:
        yield from _erased(evidence, erasure)
    for address, reasons in operator.incomplete.items():
        yield Violation("erasure", address, f"incomplete: {reasons}")
    for sid, tombstone in evidence.tombstones.items():
        if restored := tombstone.keys() - _TOMBSTONE:
            yield Violation("erasure", sid, f"the tombstone has {sorted(restored)}")


def _erased(evidence: Evidence, erasure: Erasure) -> Iterator[Violation]:
    """What existed when the erasure began exists nowhere any more."""
    address, began = erasure.address, evidence.world.loop.time_at(erasure.began)
    for message in evidence.at_twilio.values():
        if message.to == address and message.created < began:
            yield Violation("erasure", message.sid, "Twilio still has it")
    for message in evidence.world.twilio.deleted:
        if message.sid in evidence.messages:
            yield Violation("erasure", message.sid, "it is stored again")
    for request in evidence.requests.values():
        if request.get("to") == address and datetime.fromisoformat(request["claimed_at"]) < began:
            yield Violation("erasure", request["request_id"], "it still holds the recipient")
    for item in evidence.messages.values():
        if item.get("to") == address and datetime.fromisoformat(item["created_at"]) < began:
            yield Violation("erasure", item["message_sid"], "it still holds the recipient")
