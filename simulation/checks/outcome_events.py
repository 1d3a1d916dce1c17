"""Checks of outcome events: one for each change of an outcome.

Each change is published at least once, with an id that is the same for repetitions and differs from
the id of every other change. The exception are changes that Lambda dropped, which are in the
on-failure queue.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from simulation.checks.evidence import Evidence, Violation, is_request, plain
from simulation.fakes.dynamodb import Change
from simulation.first_items import UNREADABLE_SID

type Step = tuple[str, str, str]
"""An outcome, the one that followed it, and the time if a request changed: it can repeat both."""


def check_outcome_events(evidence: Evidence) -> Iterator[Violation]:
    """Yield changes without an event, events without a change, and ids that are not unique."""
    aws = evidence.world.aws
    changes: defaultdict[str, set[Step]] = defaultdict(set)
    for change in aws.tables["MessagesTable"].changes:
        if (step := _step(change)) and _sid(change) != UNREADABLE_SID:
            changes[_sid(change)].add(step)
    dropped = {(_sid(change), _step(change)) for change in aws.dropped["publish_outcomes"]}
    published: defaultdict[str, set[Step]] = defaultdict(set)
    ids: defaultdict[tuple[str, Step], set[str]] = defaultdict(set)
    for event in aws.bus.published:
        sid = event["message_sid"]
        at = event["changed_at"] if is_request(sid) else ""
        step = (event["previous_outcome"], event["outcome"], at)
        published[sid].add(step)
        ids[sid, step].add(event["event_id"])
    for sid in sorted(changes.keys() | published.keys()):
        for step in sorted(changes[sid] - published[sid]):
            if (sid, step) not in dropped:
                yield Violation("events", sid, f"no event for the change {step}")
        for step in sorted(published[sid] - changes[sid]):
            yield Violation("events", sid, f"it never changed as {step}")
    seen: set[str] = set()
    for (sid, step), several in ids.items():
        if len(several) > 1 or several & seen:
            yield Violation("events", sid, f"ids of {step}, or of others, too: {sorted(several)}")
        seen |= several


def _step(change: Change) -> Step | None:
    before, after = _outcome(change.before) or "pending", _outcome(change.after)
    if after is None or after == before:
        return None
    image = plain(change.after or {})
    at = str(image.get("final_at", image["updated_at"])) if is_request(_sid(change)) else ""
    return before, after, at


def _outcome(image: Mapping[str, Any] | None) -> str | None:
    return plain(image or {}).get("outcome")


def _sid(change: Change) -> str:
    return str(change.key["message_sid"]["S"])
