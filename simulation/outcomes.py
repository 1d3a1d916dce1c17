"""What programs were told of, once a run has come to rest: each change of an outcome.

At least once, with an id that is the same however often it comes and no other change's; unless
Lambda gave the change up, which is in the on-failure queue then.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from simulation.aftermath import Violation, plain
from simulation.fakes.dynamodb import Change
from simulation.world import World

type Step = tuple[str, str]
"""An outcome, and the one that followed it."""


def wrong_events(world: World) -> Iterator[Violation]:
    """Every change that nobody was told of, every event of none, every id that says nothing."""
    changes: defaultdict[str, set[Step]] = defaultdict(set)
    for change in world.aws.tables["MessagesTable"].stream:
        if step := _step(change):
            changes[_sid(change)].add(step)
    given_up = {(_sid(it), _step(it)) for it in world.aws.given_up["publish_outcomes"]}
    told: defaultdict[str, set[Step]] = defaultdict(set)
    for event in world.aws.bus.published:
        told[event["message_sid"]].add((event["previous_outcome"], event["outcome"]))
    for sid in changes.keys() | told.keys():
        for step in changes[sid] - told[sid]:
            if (sid, step) not in given_up:
                text = f"nobody was told that it went from {step[0]} to {step[1]}"
                yield Violation(promise="events", subject=sid, text=text)
        for step in told[sid] - changes[sid]:
            text = f"it never went from {step[0]} to {step[1]}"
            yield Violation(promise="events", subject=sid, text=text)
    yield from _wrong_ids(world)


def _wrong_ids(world: World) -> Iterator[Violation]:
    """Every change has an id, and every id a change."""
    ids: defaultdict[tuple[str, Step], set[str]] = defaultdict(set)
    for event in world.aws.bus.published:
        step = event["previous_outcome"], event["outcome"]
        ids[event["message_sid"], step].add(event["event_id"])
    seen: set[str] = set()
    for (sid, step), several in ids.items():
        if len(several) > 1 or several & seen:
            text = f"{sorted(several)} are the ids of {step}, and perhaps of others"
            yield Violation(promise="events", subject=sid, text=text)
        seen |= several


def _step(change: Change) -> Step | None:
    before, after = _outcome(change.before), _outcome(change.after)
    if after is None or after == (before or "pending"):
        return None
    return before or "pending", after


def _outcome(image: Mapping[str, Any] | None) -> str | None:
    return plain(image or {}).get("outcome")


def _sid(change: Change) -> str:
    return str(change.key["message_sid"]["S"])
