"""Checks of notices (I4): people are notified of every failure, and only as often as promised.

Every failed message is published alone, or grouped into exactly one incident, or muted. The notices
of an incident add up to its count, however often and by whichever invocation they were published.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from simulation.checks.evidence import FAILURES, Evidence, Record, Violation, is_request
from simulation.checks.failures import Failure, Incident, NoticeStep, failures_in, incidents_in
from simulation.deployment import parameter
from simulation.fakes.notifications import Published

_INCIDENT: Final = "inc_"
_RECOVERIES: Final = ("delivered", "read")
_UNSENT: Final = frozenset({"rejected", "presumed_unsent"})
"""The statuses of ours: they are the cause of a failure without an error code."""
_SID: Final = re.compile(r"\b(?:SM|MM)[0-9a-f]{32}\b|\brq_[0-9a-f]{32}\b")
_MUTED_CODES: Final = {"opt_out": {"21610"}, "": set[str]()}
"""The error codes of the muted categories, as far as a run has them."""
_ONE_MILLISECOND: Final = timedelta(milliseconds=1)


def check_notices(evidence: Evidence) -> Iterator[Violation]:
    """Yield every notice that is wrong, superfluous or missing."""
    yield from _Notices(evidence).all()


class _Notices:
    """The published notices, and what the tables say about them."""

    def __init__(self, evidence: Evidence) -> None:
        world = evidence.world
        self._disturbed = world.disturbed
        self._loop = world.loop
        # A notifier that crashed between its claim and the publish has published nothing.
        self._notice_may_be_lost = any(it.startswith("notify_failure") for it in world.disturbed)
        self._messages = evidence.messages
        self._latest = {it["incident_id"]: it for it in evidence.table("IncidentsTable")}
        """The last incident of each key."""
        self._published: defaultdict[str, list[Published]] = defaultdict(list)
        """By notice id."""
        for published in world.aws.topic.published:
            self._published[published.notice_id].append(published)
        self._failures = failures_in(world.aws.tables["MessagesTable"])
        self._incidents = incidents_in(world.aws.tables["IncidentsTable"])
        self._grouped: defaultdict[str, list[NoticeStep]] = defaultdict(list)
        """By incident, the steps that grouped a failure into it."""
        self._recovered: defaultdict[str, list[NoticeStep]] = defaultdict(list)
        """By incident, the steps that counted a recovery in it."""
        for failure in self._all_failures():
            for step in failure.steps:
                if step.state == "grouped":
                    self._grouped[step.item["notice_id"]].append(step)
                elif step.state == "recovered" and _is_grouped(step.item):
                    self._recovered[step.item["notice_id"]].append(step)
        self._openers = {
            incident_id: self._opener(incident) for incident_id, incident in self._incidents.items()
        }
        """By incident, the failure whose claim opened it."""
        self._of_incident: defaultdict[str, list[Published]] = defaultdict(list)
        """By incident, the first publication of each of its notices."""
        for first, *_ in self._published.values():
            if "kind" in first.facts:
                self._of_incident[first.facts["incident_id"]].append(first)
        self._muted_codes = _MUTED_CODES[parameter("MutedCategories")]
        self._interval = timedelta(minutes=float(parameter("NoticeIntervalMinutes")))

    def all(self) -> Iterator[Violation]:
        for message in self._messages.values():
            yield from self._of_message(message)
        for failure in self._all_failures():
            yield from self._counted_once(failure)
        for notice_id, published in self._published.items():
            yield from self._repeated(notice_id, published)
            yield from self._justified(published[0])
        incidents = self._grouped.keys() | self._of_incident.keys() | self._incidents.keys()
        for incident_id in sorted(incidents):
            yield from self._adds_up(incident_id)
        for incident_id, incident in self._incidents.items():
            yield from self._opened(incident_id, incident)
        for item in self._latest.values():
            yield from self._closed(item)
        yield from self._rare()

    def _all_failures(self) -> Iterator[Failure]:
        return (failure for failures in self._failures.values() for failure in failures)

    def _opener(self, incident: Incident) -> Failure | None:
        """Return the failure that was claimed by the write that stored the incident first."""
        failures = self._failures.get(incident.item["opened_by"], [])
        return next((it for it in failures if it.claim and it.claim.at == incident.at), None)

    def _of_message(self, message: Record) -> Iterator[Violation]:
        """The state of the notice fits the message, its last failure and what was published."""
        sid, notice = message["message_sid"], message.get("notice")
        is_grouped, failed = _is_grouped(message), message["outcome"] == "failed"
        last = next(reversed(self._failures.get(sid, [])), None)
        failure_notices = self._published.get(last.notice_id, []) if last else []
        recovery_notices = [
            it
            for it in self._published.get(f"{sid}:recovery", [])
            if last is not None and it.at >= last.at
        ]
        nothing = not failure_notices and not recovery_notices
        fits = {
            (None, False): last is None and not failed and not _had_outcome_failed(message),
            ("withdrawn", False): nothing and not failed,
            ("published", False): bool(failure_notices) and not recovery_notices and failed,
            ("recovered", False): bool(recovery_notices) and not failed,
            ("grouped", True): nothing and failed,
            ("recovered", True): nothing and not failed,
            ("muted", False): nothing and last is not None,
        }
        if not fits.get((notice, is_grouped), False):
            text = (
                f"notice {notice} {message.get('notice_id')}, outcome {message['outcome']}, "
                f"published {len(failure_notices)} times, recovery {len(recovery_notices)} times"
            )
            yield Violation("I4", sid, text)
        may_be_unpublished = is_grouped or self._notice_may_be_lost
        if notice == "recovered" and not (failure_notices or may_be_unpublished):
            yield Violation("I4", sid, "the recovery was published, and the failure was not")
        if "notice_due" in message:
            yield Violation("I4", sid, "the notice is still due")
        # A publish that timed out may take effect after the recovery: no notifier can prevent that.
        in_time = [it for it in failure_notices if it.by not in self._disturbed]
        if in_time and recovery_notices and recovery_notices[0].at < in_time[0].at:
            yield Violation("I4", sid, "the recovery was published before the failure")

    def _counted_once(self, failure: Failure) -> Iterator[Violation]:
        """Each failure counts in one way: alone, in one incident, muted, or not at all."""
        sid, ways = failure.message_sid, failure.counted_by
        if len(ways) > 1:
            yield Violation("I4", sid, f"{failure.notice_id} was {[it.state for it in ways]}")
        if failure.has_reached("published") and failure.notice_id not in self._published:
            yield Violation("I4", sid, f"{failure.notice_id} is marked, and was not published")
        for step in ways:
            if step.state == "withdrawn":
                continue
            cause = _cause_of(step.item)
            if (cause in self._muted_codes) is not (step.state == "muted"):
                yield Violation("I4", sid, f"{step.state}, with the cause {cause}")
            if step.state == "grouped":
                incident = self._incidents.get(step.item["notice_id"])
                if incident is None or incident.key != _key_of(step.item):
                    text = f"a failure of {cause} is grouped into {step.item['notice_id']}"
                    yield Violation("I4", sid, text)

    def _repeated(self, notice_id: str, published: Sequence[Published]) -> Iterator[Violation]:
        """A notice is repeated only after a fault, and with the same facts if it has a range."""
        subject = notice_id.partition(":")[0]
        if sum(each.by not in self._disturbed for each in published) > 1:
            text = f"{notice_id} was repeated without need by {[each.by for each in published]}"
            yield Violation("I4", subject, text)
        differs = any(each.facts != published[0].facts for each in published)
        if notice_id.startswith(_INCIDENT) and differs:
            yield Violation("I4", subject, f"{notice_id} was repeated with other facts")

    def _justified(self, published: Published) -> Iterator[Violation]:
        """A notice is about failures that were claimed for it, or counted by its incident."""
        subject, facts = published.notice_id.partition(":")[0], published.facts
        if published.notice_id.startswith(_INCIDENT):
            examples = set(_SID.findall(facts.get("examples", "")))
            grouped = {step.item["message_sid"] for step in self._grouped[subject]}
            if others := examples - grouped:
                text = f"{published.notice_id} names {sorted(others)}, which it does not count"
                yield Violation("I4", subject, text)
        elif facts.get("kind") == "opening":
            opener = self._openers.get(facts["incident_id"])
            if opener is None or opener.notice_id != published.notice_id:
                text = f"{published.notice_id} did not open {facts['incident_id']}"
                yield Violation("I4", subject, text)
        elif not any(it.has_reached("recovery_due") for it in self._failures.get(subject, [])):
            yield Violation("I4", subject, f"{published.notice_id} is published, and was not due")

    def _adds_up(self, incident_id: str) -> Iterator[Violation]:
        """The notices of an incident cover each number of its count once."""
        grouped = self._grouped[incident_id]
        notices = self._of_incident.get(incident_id, [])
        numbers = sorted(
            number
            for notice in notices
            if "range_from" in notice.facts
            for number in range(int(notice.facts["range_from"]), int(notice.facts["range_to"]) + 1)
        )
        # The first message may recover, or its request fail again, before a notifier publishes the
        # notice that it claimed.
        opener = self._openers.get(incident_id)
        is_lost = self._notice_may_be_lost and opener and not opener.has_reached("published")
        first = 2 if is_lost and 1 not in numbers else 1
        if numbers != list(range(first, len(grouped) + 2)):
            text = f"{len(grouped)} were grouped after the first, and {numbers} were published"
            yield Violation("I4", incident_id, text)
        kinds = [notice.facts["kind"] for notice in notices]
        if kinds.count("closing") != bool(grouped):
            yield Violation("I4", incident_id, f"not one closing notice, but {kinds}")

    def _opened(self, incident_id: str, incident: Incident) -> Iterator[Violation]:
        """An incident is stored with the claim of the failure that opens it, and has its key."""
        opener = self._openers[incident_id]
        if opener is None or opener.claim is None:
            yield Violation("I4", incident_id, "it was stored, and no failure was claimed with it")
            return
        if incident.key != (key := _key_of(opener.claim.item)):
            yield Violation("I4", incident_id, f"it was opened by a failure of {key}")
        recorded, stored = map(self._loop.time_at, (opener.at, incident.at))
        if not recorded - _ONE_MILLISECOND <= incident.opened_at <= stored:
            text = f"opened at {incident.opened_at}, recorded at {recorded}, stored at {stored}"
            yield Violation("I4", incident_id, text)

    def _closed(self, item: Record) -> Iterator[Violation]:
        """The last incident of each key is closed, and has the numbers of its messages."""
        incident_id = item["incident_id"]
        if item["is_open"] or "open" in item or "pending_notice" in item:
            yield Violation("I4", incident_id, "it is not closed")
        expected = len(self._grouped[incident_id]) + 1, len(self._recovered[incident_id])
        numbers = item["counted"], item["recovered"]
        if numbers != expected:
            yield Violation("I4", incident_id, f"{numbers}, and its messages {expected}")
        if item["published"] != item["counted"]:
            text = f"{item['published']} of {item['counted']} are published"
            yield Violation("I4", incident_id, text)

    def _rare(self) -> Iterator[Violation]:
        """Between two notices of the same key is at least the interval."""
        for incident_id, notices in self._of_incident.items():
            for notice in notices:
                since, until = notice.facts.get("since"), notice.facts.get("until")
                if notice.facts["kind"] == "summary" and since and until:
                    pause = datetime.fromisoformat(until) - datetime.fromisoformat(since)
                    if pause < self._interval:
                        text = f"{notice.notice_id} came {pause} after the notice before"
                        yield Violation("I4", incident_id, text)
        by_key: defaultdict[tuple[str, str], list[Incident]] = defaultdict(list)
        for incident in self._incidents.values():
            by_key[incident.key].append(incident)
        for incidents in by_key.values():
            for earlier, later in pairwise(sorted(incidents, key=lambda it: it.at)):
                pause = later.opened_at - earlier.last_failure_at
                if pause < self._interval:
                    text = f"it opened {pause} after the last failure of the incident before"
                    yield Violation("I4", later.item["incident_id"], text)


def _is_grouped(message: Record) -> bool:
    return str(message.get("notice_id")).startswith(_INCIDENT)


def _key_of(failed: Record) -> tuple[str, str]:
    """Return the account and the cause of a failure."""
    return failed.get("account_sid", "unknown"), _cause_of(failed)


def _cause_of(failed: Record) -> str:
    """Return the cause of a failure, as the item shows it at that moment."""
    status = failed["status"] if failed["status"] in _UNSENT else "unknown"
    return str(failed.get("error_code", status))


def _had_outcome_failed(message: Record) -> bool:
    """Return whether the outcome was ever `failed`: a failure came before a recovery.

    A request that was sent after all does not count: both may be in its first write.
    """
    statuses = [entry["status"] for entry in message["transitions"]]
    recovered = min((statuses.index(it) for it in _RECOVERIES if it in statuses), default=None)
    failed_first = any(status in FAILURES for status in statuses[:recovered])
    return failed_first and not is_request(message["message_sid"])
