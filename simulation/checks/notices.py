"""Checks of notices (I4): people are notified of every failure, and only as often as promised.

Every failed message is published alone, or grouped into exactly one incident, or muted. The notices
of an incident add up to its count, however often and by whichever invocation they were published.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from simulation.checks.evidence import FAILURES, Evidence, Record, Violation, ever_failed, plain
from simulation.deployment import parameter
from simulation.fakes.notifications import Published

_INCIDENT: Final = "inc_"
_RECOVERIES: Final = ("delivered", "read")
_UNSENT: Final = frozenset({"rejected", "presumed_unsent"})
"""The statuses of ours: they are the cause of a failure without an error code."""
_OPEN: Final = frozenset({"due", "publishing", "recovery_due"})
"""The states of a notice that is still to be published."""
_SID: Final = re.compile(r"\b(?:SM|MM)[0-9a-f]{32}\b|\brq_[0-9a-f]{32}\b")
_MUTED_CODES: Final = {"opt_out": {"21610"}, "": set[str]()}
"""The error codes of the muted categories, as far as a run has them."""


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
        self._erased = evidence.tombstones.keys()
        self._incidents = {it["incident_id"]: it for it in evidence.table("IncidentsTable")}
        self._published: defaultdict[str, list[Published]] = defaultdict(list)
        """By notice id."""
        for published in world.aws.topic.published:
            self._published[published.notice_id].append(published)
        self._grouped: defaultdict[str, list[Record]] = defaultdict(list)
        """By incident, the messages that are grouped into it."""
        for message in self._messages.values():
            if _is_grouped(message):
                self._grouped[message["notice_id"]].append(message)
        self._failed_again = {
            sid
            for sid, it in self._messages.items()
            if sid.startswith("rq_") and it["transitions"][0]["at"] > it["created_at"]
        }
        """Requests that failed more than once under their key: each failure has its own notice."""
        self._of_incident: defaultdict[str, list[Published]] = defaultdict(list)
        """By incident, the first publication of each of its notices."""
        for first, *_ in self._published.values():
            if "kind" in first.facts:
                self._of_incident[first.facts["incident_id"]].append(first)
        self._claimed: dict[str, Record] = {}
        """By SID, the message when its notice was first claimed: its code may be known later."""
        for change in world.aws.tables["MessagesTable"].stream:
            image = plain(change.after or {})
            if image.get("notice") == "publishing":
                self._claimed.setdefault(image["message_sid"], image)
        self._muted_codes = _MUTED_CODES[parameter("MutedCategories")]
        self._interval = timedelta(minutes=float(parameter("NoticeIntervalMinutes")))

    def all(self) -> Iterator[Violation]:
        for message in self._messages.values():
            yield from self._of_message(message)
        for notice_id, published in self._published.items():
            yield from self._repeated(notice_id, published)
            yield from self._justified(published[0])
        incidents = self._grouped.keys() | self._of_incident.keys() | self._incidents.keys()
        for incident_id in sorted(incidents):
            yield from self._adds_up(incident_id)
        for incident in self._incidents.values():
            yield from self._closed(incident)
        yield from self._rare()

    def _of_message(self, message: Record) -> Iterator[Violation]:
        """The state of the notice fits the message and what was published about it."""
        sid, notice = message["message_sid"], message.get("notice")
        is_grouped, failed = _is_grouped(message), message["outcome"] == "failed"
        failures, recoveries = (
            self._published.get(f"{sid}:{event}", []) for event in ("failure", "recovery")
        )
        nothing = not failures and not recoveries
        fits = {
            (None, False): nothing and not failed and not _had_outcome_failed(message),
            ("withdrawn", False): nothing and not failed,
            ("published", False): bool(failures) and not recoveries and failed,
            ("recovered", False): bool(recoveries) and not failed,
            ("grouped", True): nothing and failed,
            ("recovered", True): nothing and not failed,
            ("muted", False): nothing and ever_failed(message),
        }
        if notice is not None and sid in self._failed_again:
            # Each attempt has a notice of its own, and the message has the state of the last one.
            if notice in _OPEN:
                yield Violation("I4", sid, f"the notice of its last failure is {notice}")
            return
        if not fits.get((notice, is_grouped), False):
            text = (
                f"notice {notice} {message.get('notice_id')}, outcome {message['outcome']}, "
                f"published {len(failures)} times, recovery {len(recoveries)} times"
            )
            yield Violation("I4", sid, text)
        if notice == "recovered" and not (is_grouped or failures or self._notice_may_be_lost):
            yield Violation("I4", sid, "the recovery was published, and the failure was not")
        if notice == "muted" and not _codes(message) & self._muted_codes:
            yield Violation("I4", sid, "muted, and its category is not")
        if "notice_due" in message:
            yield Violation("I4", sid, "the notice is still due")
        # A publish that timed out may take effect after the recovery: no notifier can prevent that.
        in_time = [it for it in failures if it.by not in self._disturbed]
        if in_time and recoveries and recoveries[0].at < in_time[0].at:
            yield Violation("I4", sid, "the recovery was published before the failure")

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
        """A notice is about failures, in a category that is not muted."""
        subject = published.notice_id.partition(":")[0]
        claimed = self._claimed.get(subject, published.facts)
        if str(claimed.get("error_code")) in self._muted_codes:
            yield Violation("I4", subject, "published, and its category is muted")
        if not published.notice_id.startswith(_INCIDENT):
            message = self._messages.get(subject)
            if subject not in self._erased and (message is None or not ever_failed(message)):
                yield Violation("I4", subject, "published, and it never failed")
            return
        examples = set(_SID.findall(published.facts.get("examples", "")))
        grouped = {message["message_sid"] for message in self._grouped.get(subject, ())}
        if others := examples - grouped - self._erased - self._failed_again:
            text = f"{published.notice_id} names {sorted(others)}, which it does not count"
            yield Violation("I4", subject, text)

    def _adds_up(self, incident_id: str) -> Iterator[Violation]:
        """The notices of an incident cover each number of its count once."""
        members = self._grouped.get(incident_id, [])
        notices = self._of_incident.get(incident_id, [])
        numbers = sorted(
            number
            for notice in notices
            if "range_from" in notice.facts
            for number in range(int(notice.facts["range_from"]), int(notice.facts["range_to"]) + 1)
        )
        # The first message may recover before a notifier publishes the notice that it claimed.
        # An erased message stays in the count, and is not a member any more. A request that failed
        # several times under its key is counted each time, and the table shows its last failure.
        first = 2 if self._notice_may_be_lost and 1 not in numbers else 1
        least = len(members) + 1
        last = max(numbers, default=least)
        adds_up = numbers == list(range(first, last + 1))
        adds_up &= last - least <= len(self._erased) or bool(self._failed_again)
        if not adds_up or last < least:
            text = f"{len(members)} are grouped after the first, and {numbers} were published"
            yield Violation("I4", incident_id, text)
        kinds = [notice.facts["kind"] for notice in notices]
        if members and kinds.count("closing") != 1:
            yield Violation("I4", incident_id, f"not one closing notice, but {kinds}")

    def _closed(self, incident: Record) -> Iterator[Violation]:
        """The last incident of each key is closed, and has the numbers of its messages."""
        incident_id = incident["incident_id"]
        members = self._grouped.get(incident_id, [])
        if incident["is_open"] or "open" in incident or "pending_notice" in incident:
            yield Violation("I4", incident_id, "it is not closed")
        counted = len(members) + 1
        recovered = sum(message["notice"] == "recovered" for message in members)
        numbers = incident["counted"], incident["recovered"]
        if numbers != (counted, recovered) and not (self._erased or self._failed_again):
            yield Violation("I4", incident_id, f"{numbers}, and its messages {counted, recovered}")
        if incident["published"] != incident["counted"]:
            text = f"{incident['published']} of {incident['counted']} are published"
            yield Violation("I4", incident_id, text)
        for message in members:
            statuses = {entry["status"] for entry in message["transitions"]}
            if incident["cause"] not in {*_codes(message), *(statuses & _UNSENT), "unknown"}:
                text = f"it is grouped into an incident of {incident['cause']}"
                yield Violation("I4", message["message_sid"], text)

    def _rare(self) -> Iterator[Violation]:
        """Between two notices of the same key is at least the interval."""
        openings: defaultdict[tuple[str, str], list[Published]] = defaultdict(list)
        for incident_id, notices in self._of_incident.items():
            for notice in notices:
                facts = notice.facts
                if facts["kind"] == "opening":
                    claimed = self._claimed.get(notice.notice_id.partition(":")[0], facts)
                    statuses = {claimed["status"]} & _UNSENT
                    cause = str(claimed.get("error_code", *(statuses or {"unknown"})))
                    openings[facts.get("account_sid", ""), cause].append(notice)
                since, until = facts.get("since"), facts.get("until")
                if facts["kind"] == "summary" and since and until:
                    pause = datetime.fromisoformat(until) - datetime.fromisoformat(since)
                    if pause < self._interval:
                        text = f"{notice.notice_id} came {pause} after the notice before"
                        yield Violation("I4", incident_id, text)
        for (_, cause), notices in openings.items():
            yield from self._rarely_opened(cause, notices)

    def _rarely_opened(self, cause: str, openings: Sequence[Published]) -> Iterator[Violation]:
        """An incident opens at the earliest one interval after the one of its key before it.

        The notices do not say when it opened: it was after the first failure of all of them, and
        before the last opening was published.
        """
        # Nothing says when an erased message failed, or which cause each failure of a request had
        # that failed several times under its key.
        known = self._messages.keys() - self._failed_again
        openings = [it for it in openings if it.notice_id.partition(":")[0] in known]
        if not openings:
            return
        firsts = [self._messages[it.notice_id.partition(":")[0]] for it in openings]
        began = min(datetime.fromisoformat(_failed_at(message)) for message in firsts)
        ended = max(it.at for it in openings)
        within = timedelta(seconds=ended - self._loop.seconds_at(began))
        if (len(openings) - 1) * self._interval > within:
            text = f"{len(openings)} notices of {cause} within {within}"
            yield Violation("I4", firsts[0]["message_sid"], text)


def _is_grouped(message: Record) -> bool:
    return str(message.get("notice_id")).startswith(_INCIDENT)


def _codes(message: Record) -> set[str]:
    return {str(entry["error_code"]) for entry in message["transitions"] if "error_code" in entry}


def _had_outcome_failed(message: Record) -> bool:
    """Return whether the outcome was ever `failed`: a failure came before a recovery.

    A request that was sent after all does not count: both may be in its first write.
    """
    statuses = [entry["status"] for entry in message["transitions"]]
    recovered = min((statuses.index(it) for it in _RECOVERIES if it in statuses), default=None)
    is_request = message["message_sid"].startswith("rq_")
    return not is_request and any(status in FAILURES for status in statuses[:recovered])


def _failed_at(message: Record) -> str:
    if message["message_sid"].startswith("rq_"):  # it may have failed again
        return str(message["created_at"])
    return min(str(entry["at"]) for entry in message["transitions"] if entry["status"] in FAILURES)
