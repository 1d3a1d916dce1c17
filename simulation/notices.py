"""Who was told of what, once a run has come to rest: the promise I4.

Every failed message is told alone, or in the count of exactly one episode, or counted only because
its category is muted. What people are told of an episode adds up to its count, however often and
by whomever it was told.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from simulation.aftermath import (
    FAILURES,
    Record,
    Violation,
    ever_failed,
    is_erased,
    plain,
)
from simulation.deployment import parameter
from simulation.fakes.notifications import Published
from simulation.world import World

_EPISODE: Final = "inc_"
_BETTER: Final = ("delivered", "read")
_SID: Final = re.compile(r"\b(?:SM|MM)[0-9a-f]{32}\b|\brq_[0-9a-f]{32}\b")
# The categories that are muted have these codes, as far as a run has any of them.
_MUTED_CODES: Final = {"opt_out": {"21610"}, "": set[str]()}


def wrong_notices(world: World) -> Iterator[Violation]:
    """Every way in which people were told wrongly, twice, or not at all."""
    yield from _Notices(world).all()


class _Notices:
    """What people were told, beside what the tables say."""

    def __init__(self, world: World) -> None:
        self._disturbed = world.disturbed
        self._loop = world.loop
        # Who died between the claim and the publish has told nobody, and nobody knows that.
        self._maybe_told = any(name.startswith("notify_failure") for name in world.disturbed)
        items = [plain(item) for item in world.aws.tables["MessagesTable"].items()]
        self._messages = {it["message_sid"]: it for it in items if not is_erased(it)}
        self._erased = {it["message_sid"] for it in items if is_erased(it)}
        self._episodes = {
            record["incident_id"]: record
            for record in map(plain, world.aws.tables["IncidentsTable"].items())
        }
        self._told: defaultdict[str, list[Published]] = defaultdict(list)
        """By notice id."""
        for published in world.aws.topic.published:
            self._told[published.notice_id].append(published)
        self._counted: defaultdict[str, list[Record]] = defaultdict(list)
        """By episode, the messages that say so."""
        for message in self._messages.values():
            if _is_counted(message):
                self._counted[message["notice_id"]].append(message)
        self._of_episode: defaultdict[str, list[Published]] = defaultdict(list)
        """The first of each notice that tells of an episode."""
        for first, *_ in self._told.values():
            if "kind" in first.facts:
                self._of_episode[first.facts["incident_id"]].append(first)
        # As they were when somebody claimed to tell of them; a code can be learned later.
        self._claimed: dict[str, Record] = {}
        for change in world.aws.tables["MessagesTable"].stream:
            image = plain(change.after or {})
            if image.get("notice") == "publishing":
                self._claimed.setdefault(image["message_sid"], image)
        self._muted_codes = _MUTED_CODES[parameter("MutedCategories")]
        self._quiet = timedelta(minutes=float(parameter("NoticeIntervalMinutes")))

    def all(self) -> Iterator[Violation]:
        for message in self._messages.values():
            yield from self._of_message(message)
        for notice_id, told in self._told.items():
            yield from self._repeated(notice_id, told)
            yield from self._of_a_failure(told[0])
        for episode_id in self._counted.keys() | self._of_episode.keys() | self._episodes.keys():
            yield from self._adds_up(episode_id)
        for episode in self._episodes.values():
            yield from self._is_over(episode)
        yield from self._quietly()

    def _of_message(self, message: Record) -> Iterator[Violation]:
        sid, notice = message["message_sid"], message.get("notice")
        failed = message["outcome"] == "failed"
        failures, recoveries = (
            self._told.get(f"{sid}:{event}", []) for event in ("failure", "recovery")
        )
        alone = bool(failures) and not recoveries
        nothing = not failures and not recoveries
        fits = {
            (None, False): nothing and not failed and not _was_failed(message),
            ("withdrawn", False): nothing and not failed,
            ("sent", False): alone and failed,
            ("recovered", False): bool(recoveries) and not failed,
            # In the count of an episode, and nothing else is told of them.
            ("sent", True): nothing and failed,
            ("recovered", True): nothing and not failed,
            ("muted", True): nothing and ever_failed(message),
        }
        if not fits.get((notice, _is_counted(message)), False):
            text = (
                f"notice {notice} {message.get('notice_id')}, outcome {message['outcome']}, "
                f"told {len(failures)} times, recovery {len(recoveries)} times"
            )
            yield Violation(promise="I4", subject=sid, text=text)
        if notice == "recovered" and not (_is_counted(message) or failures or self._maybe_told):
            text = "the recovery was told, and the failure was not"
            yield Violation(promise="I4", subject=sid, text=text)
        if notice == "muted" and not self._codes(message) & self._muted_codes:
            yield Violation(promise="I4", subject=sid, text="muted, though its category is not")
        if "notice_due" in message:
            yield Violation(promise="I4", subject=sid, text="people are still owed a word")
        if failures and recoveries and recoveries[0].at < failures[0].at:
            text = "the recovery was told before the failure"
            yield Violation(promise="I4", subject=sid, text=text)

    def _repeated(self, notice_id: str, told: Sequence[Published]) -> Iterator[Violation]:
        """Again only where the first time was lost; and then with the same numbers."""
        subject = notice_id.partition(":")[0]
        undisturbed = [each for each in told if each.by not in self._disturbed]
        if len(undisturbed) > 1:
            text = f"{notice_id} was told twice without need, by {[each.by for each in told]}"
            yield Violation(promise="I4", subject=subject, text=text)
        if notice_id.startswith(_EPISODE) and any(each.facts != told[0].facts for each in told):
            text = f"{notice_id} did not say the same each time"
            yield Violation(promise="I4", subject=subject, text=text)

    def _of_a_failure(self, told: Published) -> Iterator[Violation]:
        """People are told of what failed, and of nothing that they do not want to hear of."""
        subject = told.notice_id.partition(":")[0]
        claimed = self._claimed.get(subject, told.facts)
        if str(claimed.get("error_code")) in self._muted_codes:
            yield Violation(promise="I4", subject=subject, text="told, and its category is muted")
        if not told.notice_id.startswith(_EPISODE):
            message = self._messages.get(subject)
            if subject in self._erased:
                return
            if message is None or not ever_failed(message):
                yield Violation(promise="I4", subject=subject, text="told, and it never failed")
            return
        examples = _SID.findall(told.facts.get("examples", ""))
        counted = {message["message_sid"] for message in self._counted.get(subject, ())}
        if strangers := set(examples) - counted - self._erased:
            text = f"{told.notice_id} names {sorted(strangers)}, which it does not count"
            yield Violation(promise="I4", subject=subject, text=text)

    def _adds_up(self, episode_id: str) -> Iterator[Violation]:
        """The notices of an episode cover each number of its count once."""
        members = self._counted.get(episode_id, [])
        notices = self._of_episode.get(episode_id, [])
        numbers = sorted(
            number
            for notice in notices
            if "range_from" in notice.facts
            for number in range(int(notice.facts["range_from"]), int(notice.facts["range_to"]) + 1)
        )
        # Of one whose messages were all erased, only the episode itself says so.
        muted = (
            all(message["notice"] == "muted" for message in members)
            if members
            else self._episodes.get(episode_id, {}).get("is_muted", False)
        )
        # The first one may have become well before whoever had claimed it told of it. What was
        # erased is still in the count, but says no more that it is.
        first = 2 if self._maybe_told and 1 not in numbers else 1
        least = len(members) + 1
        last = max(numbers, default=least)
        adds_up = numbers == list(range(first, last + 1)) and last - least <= len(self._erased)
        if numbers if muted else not adds_up or last < least:
            text = f"{len(members)} are counted after the first, and {numbers} were told"
            yield Violation(promise="I4", subject=episode_id, text=text)
        kinds = [notice.facts["kind"] for notice in notices]
        if members and not muted and kinds.count("closing") != 1:
            text = f"it has stopped, and people were told {kinds}"
            yield Violation(promise="I4", subject=episode_id, text=text)

    def _is_over(self, episode: Record) -> Iterator[Violation]:
        """The last episode of its kind is closed, and says the same as its messages."""
        episode_id = episode["incident_id"]
        members = self._counted.get(episode_id, [])
        if episode["is_open"] or "open" in episode or "pending_notice" in episode:
            yield Violation(promise="I4", subject=episode_id, text="it is not over")
        counted = len(members) + (0 if episode["is_muted"] else 1)
        recovered = sum(message["notice"] == "recovered" for message in members)
        said = episode["counted"], episode["recovered"]
        if said != (counted, recovered) and not self._erased:
            text = f"it says {said}, and its messages {counted, recovered}"
            yield Violation(promise="I4", subject=episode_id, text=text)
        if not episode["is_muted"] and episode["published"] != episode["counted"]:
            text = f"{episode['published']} of {episode['counted']} are told"
            yield Violation(promise="I4", subject=episode_id, text=text)
        for message in members:
            if episode["cause"] not in self._causes(message):
                text = f"it is counted among those of {episode['cause']}"
                yield Violation(promise="I4", subject=message["message_sid"], text=text)

    def _quietly(self) -> Iterator[Violation]:
        """Between two notices of the same kind of failure there is time."""
        openings: defaultdict[tuple[str, str], list[Published]] = defaultdict(list)
        for episode_id, notices in self._of_episode.items():
            for notice in notices:
                facts = notice.facts
                if facts["kind"] == "opening":
                    claimed = self._claimed.get(notice.notice_id.partition(":")[0], facts)
                    ours = {claimed["status"]} & {"rejected", "presumed_unsent"}
                    cause = str(claimed.get("error_code", *(ours or {"unknown"})))
                    openings[facts.get("account_sid", ""), cause].append(notice)
                since, until = facts.get("since"), facts.get("until")
                if facts["kind"] == "summary" and since and until:
                    pause = datetime.fromisoformat(until) - datetime.fromisoformat(since)
                    if pause < self._quiet:
                        text = f"{notice.notice_id} came {pause} after the one before"
                        yield Violation(promise="I4", subject=episode_id, text=text)
        for (_, cause), notices in openings.items():
            yield from self._seldom(cause, notices)

    def _seldom(self, cause: str, openings: Sequence[Published]) -> Iterator[Violation]:
        """Episodes of one kind follow each other; none begins before the one before was quiet.

        When exactly each began is not seen from outside: after the first failure of them all, and
        before people were told of the last.
        """
        # Those that were erased since are left out: nobody can say when they failed.
        openings = [it for it in openings if it.notice_id.partition(":")[0] in self._messages]
        if not openings:
            return
        firsts = [self._messages[it.notice_id.partition(":")[0]] for it in openings]
        began = min(datetime.fromisoformat(_failed_at(message)) for message in firsts)
        ended = max(it.at for it in openings)
        within = timedelta(seconds=ended - self._loop.seconds_at(began))
        if (len(openings) - 1) * self._quiet > within:
            text = f"{len(openings)} notices of {cause} within {within}"
            yield Violation(promise="I4", subject=firsts[0]["message_sid"], text=text)

    def _codes(self, message: Record) -> set[str]:
        return {
            str(entry["error_code"]) for entry in message["transitions"] if "error_code" in entry
        }

    def _causes(self, message: Record) -> set[str]:
        statuses = {entry["status"] for entry in message["transitions"]}
        return {*self._codes(message), *(statuses & {"rejected", "presumed_unsent"}), "unknown"}


def _is_counted(message: Record) -> bool:
    return str(message.get("notice_id")).startswith(_EPISODE)


def _was_failed(message: Record) -> bool:
    """Whether its outcome was ever `failed`: what it shows of that came before anything better.

    A request may turn up just before it is told of; its item has both from the first write.
    """
    statuses = [entry["status"] for entry in message["transitions"]]
    better = min((statuses.index(it) for it in _BETTER if it in statuses), default=len(statuses))
    is_request = message["message_sid"].startswith("rq_")
    return not is_request and any(status in FAILURES for status in statuses[:better])


def _failed_at(message: Record) -> str:
    return min(str(entry["at"]) for entry in message["transitions"] if entry["status"] in FAILURES)
