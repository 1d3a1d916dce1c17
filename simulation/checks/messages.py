"""Checks of messages: stored durably (I1), true to Twilio (I2, I3), with a final outcome (I7)."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

from sandbox.twilio.resource import Message as TwilioMessage
from simulation.checks.evidence import (
    FAILURES,
    Evidence,
    Record,
    Violation,
    is_request,
    rank,
    request_id_of,
    status_and_code,
)
from simulation.deployment import parameter
from simulation.first_items import UNREADABLE_REQUEST_IDS, UNREADABLE_SID
from simulation.twilio import SUBACCOUNT_SID

_OUTCOMES: Final[Mapping[str, str]] = {
    "canceled": "canceled",
    **dict.fromkeys(FAILURES, "failed"),
    "delivered": "delivered",
    "read": "delivered",
}
_REJECTIONS: Final = frozenset({400, 403, 413, 415})


def check_messages(evidence: Evidence) -> Iterator[Violation]:
    """Yield the violations of every message, at Twilio and in the table."""
    for message in evidence.at_twilio.values():
        yield from _accepted(evidence, message)
        yield from _durable(evidence, message)
        yield from _known(evidence, message)
    if evidence.world.is_rolled_back:
        yield from _reported(evidence)
    for item in evidence.messages.values():
        yield from _consistent(evidence, item)
        yield from _final(item)


def _reported(evidence: Evidence) -> Iterator[Violation]:
    """Each item that this version cannot read is reported by its key, and stops nothing."""
    reported = {
        str(fields.get(name))
        for fields in evidence.world.lambda_service.logged["ItemUnreadable"]
        for name in ("key", "message_sid")
    }
    for key in sorted({UNREADABLE_SID, *UNREADABLE_REQUEST_IDS} - reported):
        yield Violation("I7", key, "it cannot be read, and is not reported")


def _accepted(evidence: Evidence, message: TwilioMessage) -> Iterator[Violation]:
    """No callback of Twilio's own is rejected, unless its account was missing in the secret."""
    if message.account_sid == SUBACCOUNT_SID and evidence.world.subaccount_leaves:
        return
    for callback in evidence.world.twilio.simulator.callbacks(message.sid):
        answers = {past.result.status or 0 for past in callback.attempts}
        if rejections := answers & _REJECTIONS:
            status, _ = status_and_code(callback.parameters)
            yield Violation("I1", message.sid, f"callback {status} got {sorted(rejections)}")


def _durable(evidence: Evidence, message: TwilioMessage) -> Iterator[Violation]:
    """What got a 2xx is stored, until it expires."""
    if message.sid in evidence.world.audits.expired:
        return
    item = evidence.messages.get(message.sid)
    for status, code in evidence.acknowledged(message.sid):
        transitions = {entry["status"]: entry for entry in item["transitions"]} if item else {}
        if status not in transitions:
            yield Violation("I1", message.sid, f"callback {status} got a 2xx, and is not stored")
        elif code is not None and transitions[status].get("error_code") != code:
            yield Violation("I3", message.sid, f"error code {code} of {status} is not stored")


def _known(evidence: Evidence, message: TwilioMessage) -> Iterator[Violation]:
    """A message that Twilio has for one of our requests is stored, or its request says why not."""
    request_id = request_id_of(message)
    if request_id is None or message.sid in evidence.messages:
        return
    request = evidence.requests.get(request_id)
    if request is None:
        yield Violation("I5", message.sid, f"it was sent for the unknown request {request_id}")
    elif request["state"] != "presumed_unsent" and not evidence.is_ambiguous(request):
        text = f"{request_id} is {request['state']}, and its message is not stored"
        yield Violation("I6", message.sid, text)


def _consistent(evidence: Evidence, item: Record) -> Iterator[Violation]:
    """Status, outcome and transitions of a stored message fit together, and fit Twilio."""
    sid = item["message_sid"]
    statuses = [entry["status"] for entry in item["transitions"]]
    if len(statuses) != len(set(statuses)):
        yield Violation("I2", sid, f"duplicates in {statuses}")
    if is_request(sid):
        return
    best = max(statuses, key=rank)
    if item["status"] != (best if rank(best) else "unknown"):
        yield Violation("I2", sid, f"status {item['status']} is not the best of {statuses}")
    outcome = _OUTCOMES.get(best, "pending")
    if item["outcome"] != outcome and (outcome, item["outcome"]) != ("pending", "unconfirmed"):
        yield Violation("I2", sid, f"outcome {item['outcome']} with {statuses}")
    if sid in evidence.at_twilio:
        yield from _as_at_twilio(evidence, item)
    else:
        yield Violation("I2", sid, "Twilio has no such message")


def _as_at_twilio(evidence: Evidence, item: Record) -> Iterator[Violation]:
    message = evidence.at_twilio[item["message_sid"]]
    codes = evidence.reported(message.sid)
    for entry in item["transitions"]:
        status, code = entry["status"], entry.get("error_code")
        if status not in codes:
            yield Violation("I2", message.sid, f"{status} was never reported")
        elif code not in {None, codes[status]}:
            yield Violation("I3", message.sid, f"{status} has error code {code}")
        # `_durable` checks what a callback reported.
        elif code is None and codes[status] is not None and entry["source"] != "callback":
            yield Violation("I3", message.sid, f"{status} lacks its error code")
    failures = {
        entry["status"]: entry["error_code"]
        for entry in item["transitions"]
        if entry["status"] in FAILURES and "error_code" in entry
    }
    code = failures[max(failures, key=rank)] if failures else None
    expected = code if item["outcome"] == "failed" else None
    if item.get("error_code") != expected:
        text = f"error_code {item.get('error_code')} instead of {expected}"
        yield Violation("I3", message.sid, text)
    if _OUTCOMES.get(message.status) and item["outcome"] in {"pending", "unconfirmed"}:
        yield Violation("I7", message.sid, f"{item['outcome']}, and {message.status} at Twilio")


def _final(item: Record) -> Iterator[Violation]:
    """A message has a final outcome, or becomes unconfirmed in time, and is on the right list."""
    sid, outcome = item["message_sid"], item["outcome"]
    if outcome == "pending":
        yield Violation("I7", sid, "it has no final outcome")
    if outcome == "unconfirmed":
        begins = max(item["created_at"], item.get("send_at", ""))
        waited = datetime.fromisoformat(item["list_at"]) - datetime.fromisoformat(begins)
        if waited < timedelta(hours=float(parameter("UnconfirmedAfterHours"))):
            yield Violation("I7", sid, f"unconfirmed after {waited}")
    listed = str(item.get("list_key", "")).partition("#")[0]
    if listed != (outcome if outcome in {"failed", "unconfirmed"} else ""):
        yield Violation("I7", sid, f"it is on the list {listed!r}")
