"""Checks of audits (I11): the table agrees with Twilio's list, or the result says where not.

Each day on which Twilio has messages is audited finally. Its result adds up to the list, and every
listed message that the table knows is as listed, or is counted as a difference with its reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from simulation.audit_phase import FINAL_AFTER, end_of
from simulation.checks.evidence import Evidence, Record, Violation, rank
from simulation.twilio import ACCOUNT_SID, SUBACCOUNT_SID

_PARAMETERS: Final = ("price", "price_unit", "num_segments")
type Listed = Mapping[str, Any]
"""A message as Twilio's list shows it."""


def check_audits(evidence: Evidence) -> Iterator[Violation]:
    """Yield the violations of every day's final audit."""
    results = {
        it["name"]: it for it in evidence.table("ControlTable") if it["name"].startswith("audit#")
    }
    accounts = [ACCOUNT_SID, *([SUBACCOUNT_SID] if evidence.world.has_subaccount else [])]
    day = evidence.world.start.date()
    while end_of(day) + FINAL_AFTER <= evidence.world.loop.now:
        for account_sid in accounts:
            result = results.get(f"audit#{account_sid}#{day.isoformat()}", {})
            yield from _audited(evidence, account_sid, day, result)
        day += timedelta(days=1)


def _audited(
    evidence: Evidence, account_sid: str, day: date, result: Record
) -> Iterator[Violation]:
    """A day of an account is audited finally, and the table agrees with the list."""
    listed = evidence.world.twilio.list_of_day(account_sid, day)
    if result.get("state") == "final":
        yield from _adds_up(evidence, result, listed)
        for message in listed:
            yield from _as_listed(evidence, day, result, message)
    else:
        yield Violation("I11", day.isoformat(), f"its audit is {result.get('state')}")


def _adds_up(evidence: Evidence, result: Record, listed: Sequence[Listed]) -> Iterator[Violation]:
    """The numbers of the result are those of the list, and count each listed message once."""
    day = str(result["day"])
    rejected = {it["sid"] for it in listed} - evidence.at_twilio.keys()
    expected = {
        "messages": len(listed),
        "priced": sum(it["price"] is not None for it in listed),
        "rejected_creations": len(rejected),
    }
    # What was deleted while the audit read, or after it, is counted, and not listed any more.
    deleted = evidence.world.twilio.deletions
    for name, number in expected.items():
        if not number <= result[name] <= number + deleted:
            yield Violation("I11", day, f"{result[name]} {name}, and the list has {number}")
    spend = sum(-Decimal(it["price"]) for it in listed if it["price"] is not None)
    counted = Decimal(result.get("spend", {}).get("USD", 0))
    if counted != spend and not (deleted and counted > spend):
        yield Violation("I11", day, f"a spend of {counted}, and the list adds up to {spend}")
    differences = result.get("differences", {})
    unknown = result["messages"] - result["known"] - result["rejected_creations"]
    unknown -= differences.get("erased", 0) + result["unknown"]
    if not 0 <= unknown <= result["imported"] + differences.get("not_written", 0):
        text = f"{unknown} messages are neither known, imported, erased, rejected nor unknown"
        yield Violation("I11", day, text)


def _as_listed(
    evidence: Evidence, day: date, result: Record, listed: Listed
) -> Iterator[Violation]:
    """The stored message is as listed, or the result counts a difference with its reason."""
    sid = listed["sid"]
    reasons = {reason for reason, sids in result.get("difference_sids", {}).items() if sid in sids}
    item = evidence.messages.get(sid)
    if sid not in evidence.at_twilio:
        if item is not None:
            yield Violation("I11", sid, "a rejected creation is stored as a message")
        return
    if item is None:
        yield from _unknown(evidence, sid, reasons)
        return
    first = item["transitions"][0]
    may_import = evidence.world.audit_mode == "all"
    if sid in evidence.world.audits.expired and first["source"] == "audit" and not may_import:
        yield Violation("I11", sid, "it expired, and the audit stored it again")
    # The audit did not know a message that a late callback stored while it was reading.
    if "not_written" in reasons or datetime.fromisoformat(first["at"]) >= end_of(day) + FINAL_AFTER:
        return
    differs = {name for name in _PARAMETERS if listed[name] not in {None, item.get(name)}}
    if listed["price"] is None:
        differs.discard("price_unit")
    if differs:
        yield Violation("I11", sid, f"the list has another {', '.join(sorted(differs))}")
    yield from _status_as_listed(item, listed, reasons)


def _status_as_listed(item: Record, listed: Listed, reasons: set[str]) -> Iterator[Violation]:
    sid, status = listed["sid"], listed["status"]
    expected = set()
    if not rank(status):
        expected = {"unknown_status"}
    elif rank(item["status"]) > rank(status):
        expected = {"lower_status"}
    elif item["status"] != status:
        yield Violation("I11", sid, f"{item['status']}, and {status} in the list")
    else:
        codes = {entry["status"]: entry.get("error_code") for entry in item["transitions"]}
        if codes[status] != listed["error_code"] is not None:
            expected = {"other_error_code"}
    if reasons != expected:
        text = f"counted as {sorted(reasons)}, and the difference is {sorted(expected)}"
        yield Violation("I11", sid, text)


def _unknown(evidence: Evidence, sid: str, reasons: set[str]) -> Iterator[Violation]:
    """A message that is not stored was erased, or is not to be imported."""
    if sid in evidence.tombstones or evidence.world.audit_mode == "tracked":
        return
    if "not_written" not in reasons and sid not in evidence.world.audits.expired:
        yield Violation("I11", sid, "Twilio lists it, and it was not imported")
