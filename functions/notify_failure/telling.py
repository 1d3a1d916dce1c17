"""Telling people of failures: the first of its kind alone, those that follow in summaries.

Each step is written down before it is taken, and marked after. What is found half done is done
again under the same `notice_id` and with the same numbers, as soon as nobody else can be at it:
nobody knows whether it was done. Of several who are at it at once, one gets through.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from delivery.domain.messages import Message, NoticeState, Outcome, iso
from delivery.runtime.aws_errors import AWS_ERRORS
from delivery.runtime.deadline import TimeLeft
from delivery.storage.messages import MessageStore, StoreUnavailable
from delivery.twilio.error_codes import Category

from .episode import (
    Episode,
    EpisodeKey,
    Example,
    Kind,
    Telling,
    episode_begun,
)
from .episode_store import MAX_MESSAGES, EpisodeStore, Step
from .findings import Finding, What
from .tally import Shown

type Work = Generator[Finding, None, list[Message]]
"""Yields what is done; returns the messages that somebody else changed, to be read again."""

# What telling one notice can take while SNS hangs and the tables do not.
_SECONDS_TO_TELL: Final = 20
# How many are counted at once, with each try fewer: one that cannot be must not hold up the others.
_AT_ONCE: Final = (MAX_MESSAGES, MAX_MESSAGES, MAX_MESSAGES, 30, 10, 1)
_MAX_TRIES: Final = 16
_TROUBLES: Final = (StoreUnavailable, *AWS_ERRORS)
_A_MOMENT: Final = timedelta(milliseconds=1)

_WHAT: Final = {
    NoticeState.SENT: What.PUBLISHED,
    NoticeState.WITHDRAWN: What.WITHDRAWN,
    NoticeState.RECOVERY_DUE: What.RECOVERY_OWED,
    NoticeState.RECOVERED: What.RECOVERY_PUBLISHED,
}


class Teller:
    """Takes notices as far as they go, those of messages and those of episodes.

    Args:
        publish_message: tells people of one message; the notice is durable when it returns.
        publish_range: tells people what an episode has counted, in the same way.
        shown: a phone number as people may see it.
        quiet: the time between two notices of the same kind of failure.
        muted: the categories that nobody is told of.
        now: the time.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        messages: MessageStore,
        episodes: EpisodeStore,
        publish_message: Callable[[Message], None],
        publish_range: Callable[[EpisodeKey, Telling], None],
        shown: Shown,
        quiet: timedelta,
        muted: Container[Category],
        now: Callable[[], datetime],
    ) -> None:
        self._messages = messages
        self._episodes = episodes
        self._publish_message = publish_message
        self._publish_range = publish_range
        self._shown = shown
        self._quiet = quiet
        self._muted = muted
        self._now = now
        # The claims of this environment that it has not finished, by SID or notice id. An
        # environment does one thing at a time: such a claim is nobody's any more.
        self._unfinished: dict[str, str] = {}

    def settle(
        self, message_sids: Iterable[str], *, abandoned_before: datetime, time_left: TimeLeft
    ) -> Iterator[Finding]:
        """Take the notices of these messages as far as they go.

        What the stream and the index showed may be old, so the messages are read again. A claim
        that is older than `abandoned_before` is taken over. A message that cannot be dealt with,
        which is `DELAYED` or `LEFT`, does not stop the others.
        """
        left = list(dict.fromkeys(message_sids))
        for at_once in _AT_ONCE:
            if not left:
                return
            left = yield from self._settle(left, at_once, abandoned_before, time_left)
        if left:
            yield _delayed(left, "others kept changing them at the same time")

    def tell_episodes(
        self, *, abandoned_before: datetime, time_left: TimeLeft
    ) -> Iterator[Finding]:
        """Tell what episodes have counted since the last time, and close those that are over.

        One that cannot be told does not stop the others; it is looked at again.

        Raises:
            StoreUnavailable: nobody knows what is to be looked at.
        """
        for key in self._episodes.due(self._now()):
            if time_left() < _SECONDS_TO_TELL:
                yield Finding(what=What.LEFT, facts=_facts(key))
                return
            try:
                yield from self._look_at(key, abandoned_before)
            except _TROUBLES as error:
                yield _delayed((), type(error).__name__, **_facts(key))

    # --- messages ---

    def _settle(
        self,
        message_sids: Sequence[str],
        at_once: int,
        abandoned_before: datetime,
        time_left: TimeLeft,
    ) -> Generator[Finding, None, list[str]]:
        """One try; returns the SIDs of those that somebody else changed meanwhile."""
        odd: list[str] = []
        try:
            messages = list(self._messages.get_many(message_sids, unreadable=odd.append))
        except StoreUnavailable as error:
            yield _delayed(message_sids, type(error).__name__)
            return []
        if odd:
            yield _delayed(odd, "it is no message")
        if gone := len(message_sids) - len(messages) - len(odd):
            yield Finding(what=What.ALREADY_SETTLED, count=gone)
        lost: list[str] = []
        for group, work in self._works(messages, at_once, abandoned_before, time_left):
            if time_left() < _SECONDS_TO_TELL:
                yield Finding(what=What.LEFT, message_sids=_sids(group))
                continue
            try:
                lost += _sids((yield from work))
            except _TROUBLES as error:
                yield _delayed(_sids(group), type(error).__name__)
        return lost

    def _works(
        self,
        messages: Sequence[Message],
        at_once: int,
        abandoned_before: datetime,
        time_left: TimeLeft,
    ) -> Iterator[tuple[list[Message], Work]]:
        """What is to be done, and the messages that it is done for; nothing begins before it."""
        failed: defaultdict[EpisodeKey, list[Message]] = defaultdict(list)
        recovered: defaultdict[str, list[Message]] = defaultdict(list)
        for message in messages:
            if message.notice is NoticeState.DUE and message.outcome is Outcome.FAILED:
                failed[EpisodeKey.of(message)].append(message)
            elif message.notice is NoticeState.RECOVERY_DUE and message.is_grouped:
                recovered[str(message.notice_id)].append(message)
            else:
                yield [message], self._tell_alone(message, abandoned_before)
        for key, group in failed.items():
            yield group, self._count(key, group, at_once, time_left)
        for episode_id, group in recovered.items():
            yield group, self._count_recovered(episode_id, group, at_once)

    def _tell_alone(self, message: Message, abandoned_before: datetime) -> Work:
        """The next step of a notice that concerns this message only, and what follows from it."""
        claimed = self._claimed(message, abandoned_before)
        if claimed is None or claimed.notice is not NoticeState.PUBLISHING:
            self._unfinished.pop(message.message_sid, None)
            yield _settled(claimed)
        else:
            yield from self._finish(claimed)
        return []

    def _claimed(self, message: Message, abandoned_before: datetime) -> Message | None:
        """The message after the claim of its notice; None where there is nothing for us to tell."""
        ours = self._unfinished.get(message.message_sid)
        match message:
            case Message(notice=NoticeState.DUE | NoticeState.RECOVERY_DUE):
                claim = self._messages.advance_notice
            case Message(notice=NoticeState.PUBLISHING) if message.updated_at < abandoned_before:
                claim = self._messages.take_over_notice
            case Message(notice=NoticeState.PUBLISHING) if iso(message.updated_at) == ours:
                claim = self._messages.take_over_notice
            case _:
                return None
        at = self._later_than(message)
        self._unfinished[message.message_sid] = iso(at)
        return claim(message, at)

    def _finish(self, claimed: Message) -> Iterator[Finding]:
        """Tell people of a message whose notice is ours to tell, and mark it."""
        if claimed.outcome is Outcome.FAILED or claimed.is_recovery_notice:
            self._publish_message(claimed)
        told = self._messages.advance_notice(claimed, self._now())
        self._unfinished.pop(claimed.message_sid, None)
        yield _settled(told)

    def _count(
        self, key: EpisodeKey, messages: Sequence[Message], at_once: int, time_left: TimeLeft
    ) -> Work:
        """Count failures in the episode of their kind; the first one opens it, and is told."""
        muted = key.category in self._muted
        messages = sorted(messages, key=lambda it: (it.final_at or it.updated_at, it.message_sid))
        seen = self._episodes.get(key)
        lost: list[Message] = []
        while messages:
            if time_left() < _SECONDS_TO_TELL:
                yield Finding(what=What.LEFT, message_sids=_sids(messages))
                break
            at = self._now()
            begins = seen is None or not seen.counts_more(at, self._quiet, muted=muted)
            if seen is None or begins:
                episode = episode_begun(messages[0], at, self._quiet, previous=seen, muted=muted)
            else:
                episode = seen
            tells = begins and not muted
            size = 1 if tells else at_once
            part, messages = messages[:size], messages[size:]
            if not tells:
                episode = episode.with_more(part, at, self._shown)
            steps = [self._step_into(episode, message, tells=tells) for message in part]
            written = self._episodes.write(seen, episode, steps)
            if written is None:
                self._unfinished.pop(part[0].message_sid, None)  # the claim is another's
                lost += part
            else:
                if begins:
                    yield from _begun(seen, written)
                if tells:
                    yield from self._tell_beginning(seen, written, steps[0].after)
                else:
                    what = What.MUTED if written.is_muted else What.COUNTED
                    yield Finding(what=what, count=len(part), facts=_facts_of(written))
            if messages:
                seen = written if written and not tells else self._episodes.get(key)
        return lost

    def _step_into(self, episode: Episode, message: Message, *, tells: bool) -> Step:
        """The message's part in the episode: it is claimed, to be told; or counted."""
        at = self._later_than(message)
        if not tells:
            after = message.counted(episode.episode_id, at, muted=episode.is_muted)
        else:
            self._unfinished[message.message_sid] = iso(at)
            after = message.told(at)
        return Step(seen=message, after=after)

    def _tell_beginning(
        self, previous: Episode | None, begun: Episode, opener: Message
    ) -> Iterator[Finding]:
        """Tell people the last line of the episode before, if it was open, and then the first."""
        try:
            if begun.telling is not None and _is_new(begun.telling, previous):
                yield from self._tell_range(begun, begun.telling)
            yield from self._finish(opener)
        except _TROUBLES as error:  # those that follow can be counted all the same
            yield _delayed([opener.message_sid], type(error).__name__)

    def _count_recovered(self, episode_id: str, messages: Sequence[Message], at_once: int) -> Work:
        """Count messages that were delivered after all where their failures were counted."""
        lost: list[Message] = []
        while messages:
            known = map(self._episodes.get, EpisodeKey.where_counted(messages[0]))
            seen = next((it for it in known if it and it.episode_id == episode_id), None)
            part, messages = messages[:at_once], messages[at_once:]
            if seen is None:  # another has followed it: nobody is told of this one any more
                for message in part:
                    self._messages.advance_notice(message, self._later_than(message))
            else:
                steps = [Step(seen=it, after=it.told(self._later_than(it))) for it in part]
                if self._episodes.write(seen, seen.with_recovered(len(part)), steps) is None:
                    lost += part
                    continue
            facts = {"episode_id": episode_id}
            yield Finding(what=What.RECOVERY_COUNTED, count=len(part), facts=facts)
        return lost

    def _later_than(self, message: Message) -> datetime:
        """Now; and never the time of an earlier claim, so that each has its own."""
        return max(self._now(), message.updated_at + _A_MOMENT)

    # --- episodes ---

    def _look_at(self, key: EpisodeKey, abandoned_before: datetime) -> Iterator[Finding]:
        """Tell what an episode has counted, close it, or leave it to whoever is at it."""
        for _ in range(_MAX_TRIES):
            seen = self._episodes.get(key)
            if seen is None:
                return
            at = self._now()
            if seen.telling is None:
                muted = key.category in self._muted
                after = self._with_examples(seen, seen.looked_at(at, self._quiet, muted=muted))
            elif self._is_abandoned(seen.telling, abandoned_before):
                after = seen.taken_over(max(at, seen.telling.claimed_at + _A_MOMENT))
            else:
                return
            if after == seen:
                return
            if after.telling is not None:
                self._unfinished[after.telling.notice_id] = iso(after.telling.claimed_at)
            written = self._episodes.write(seen, after)
            if written is None:
                self._unfinished.pop(after.telling.notice_id if after.telling else "", None)
                continue
            if written.telling is not None:
                yield from self._tell_range(written, written.telling)
            elif not written.is_open:
                yield Finding(what=What.CLOSED, facts=_facts_of(written))
        # Others count in it all the time: the next minute finds it as it is.

    def _is_abandoned(self, telling: Telling, abandoned_before: datetime) -> bool:
        ours = self._unfinished.get(telling.notice_id)
        return telling.claimed_at < abandoned_before or iso(telling.claimed_at) == ours

    def _with_examples(self, seen: Episode, after: Episode) -> Episode:
        """The episode that is about to tell something, with the numbers of its examples."""
        if after.telling is None or not seen.tally.examples:
            return after
        examples = [
            Example(
                message_sid=message.message_sid,
                to=self._shown(message.to) if message.to else None,
                reference=message.reference,
            )
            for message in self._messages.get_many(
                after.telling.tally.examples, unreadable=lambda _: None
            )
        ]
        return after.with_examples(examples)

    def _tell_range(self, episode: Episode, telling: Telling) -> Iterator[Finding]:
        """Tell people what is ours to tell of an episode, and mark it."""
        self._publish_range(episode.key, telling)
        for _ in range(_MAX_TRIES):
            after = episode.after_telling(telling.notice_id, self._now(), self._quiet)
            if after == episode or self._episodes.write(episode, after) is not None:
                break
            newer = self._episodes.get(episode.key)
            if newer is None:
                break
            episode = newer
        else:
            raise StoreUnavailable("others kept counting at the same time")
        self._unfinished.pop(telling.notice_id, None)
        facts = _facts_of(episode) | {"notice_id": telling.notice_id}
        if telling.failures:
            yield Finding(what=What.SUMMARY_PUBLISHED, facts=facts)
        if telling.kind is Kind.CLOSING:
            yield Finding(what=What.CLOSED, facts=facts)


def _settled(message: Message | None) -> Finding:
    """How far the notice got; somebody else took the step where it is not one of ours."""
    if message is None or message.notice not in _WHAT:
        return Finding(what=What.ALREADY_SETTLED)
    return Finding(
        what=_WHAT[message.notice],
        message_sids=(message.message_sid,),
        facts={
            "notice_id": message.notice_id,
            "status": message.status,
            "error_code": message.error_code,
        },
    )


def _is_new(telling: Telling, previous: Episode | None) -> bool:
    """Whether the new episode brought it, and nobody else is telling it."""
    return previous is not None and previous.telling != telling


def _begun(previous: Episode | None, begun: Episode) -> Iterator[Finding]:
    """That an episode began; and that the one before ended, if nobody is to be told so."""
    if previous is not None and previous.is_open and begun.telling == previous.telling:
        yield Finding(what=What.CLOSED, facts=_facts_of(previous))
    yield Finding(what=What.OPENED, facts=_facts_of(begun))


def _delayed(message_sids: Iterable[str], reason: str, **facts: object) -> Finding:
    sids = tuple(message_sids)
    return Finding(
        what=What.DELAYED,
        count=len(sids) or 1,
        message_sids=sids,
        facts={"reason": reason, **facts},
    )


def _facts(key: EpisodeKey) -> dict[str, object]:
    return {"account_sid": key.account_sid, "cause": key.cause}


def _facts_of(episode: Episode) -> dict[str, object]:
    return {
        **_facts(episode.key),
        "episode_id": episode.episode_id,
        "counted": episode.counted,
        "told": episode.told,
    }


def _sids(messages: Iterable[Message]) -> tuple[str, ...]:
    return tuple(message.message_sid for message in messages)
