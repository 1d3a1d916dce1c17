"""Publishes failures: the first one of a kind alone, further ones in the summaries of an incident.

Each notice is claimed with a conditional write, published, and marked as published. If a notifier
dies in between, another one takes over the claim when its lease is over, and publishes the notice
with the same id and the same numbers: whether it was published before is unknown. Of several
notifiers at once, one gets the claim.
https://en.wikipedia.org/wiki/Lease_(computer_science)
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import batched
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.notices import NoticeState
from delivery.domain.records import iso
from delivery.domain.statuses import Outcome
from delivery.runtime.aws_errors import AWS_ERRORS
from delivery.runtime.deadline import TimeLeft
from delivery.storage.messages import MessageStore
from delivery.storage.table import ItemUnreadable, StoreUnavailable

from . import reports
from .incident import Example, Incident, IncidentKey, NoticeKind, PendingNotice, incident_for
from .incident_store import MAX_MESSAGES, IncidentStore, Step
from .policy import NoticePolicy
from .publisher import NoticePublisher
from .reports import NoticeReport

type Work = Generator[NoticeReport, None, list[Message]]
"""Yields a report of each step; returns the messages that another writer changed, to read again."""

# What publishing one notice can take while SNS hangs and DynamoDB does not.
_SECONDS_PER_NOTICE: Final = 20
# Fewer with each attempt: a message that cannot be counted must not hold up the others.
_BATCH_SIZES: Final = (MAX_MESSAGES, MAX_MESSAGES, MAX_MESSAGES, 30, 10, 1)
_MAX_ATTEMPTS: Final = 16
_ERRORS: Final = (StoreUnavailable, *AWS_ERRORS)
_CONFLICTS: Final = "conflicts with other writers"
_ONE_TICK: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds an invocation. Claims older than `abandoned_before` are taken over."""

    abandoned_before: datetime
    time_left: TimeLeft

    def allow_notice(self) -> bool:
        """Whether there is time to publish one more notice."""
        return self.time_left() >= _SECONDS_PER_NOTICE


class Notifier:
    """Takes the notices of messages and of incidents through their states."""

    def __init__(
        self,
        *,
        messages: MessageStore,
        incidents: IncidentStore,
        publisher: NoticePublisher,
        policy: NoticePolicy,
        now: Callable[[], datetime],
    ) -> None:
        self._messages = messages
        self._incidents = incidents
        self._publisher = publisher
        self._policy = policy
        self._now = now
        # The times of this environment's claims that it has not completed, by SID or notice id. It
        # handles one invocation at a time, so it may take over its own claims at once.
        self._own_claims: dict[str, str] = {}

    def notify(self, message_sids: Iterable[str], limits: Limits) -> Iterator[NoticeReport]:
        """Take the notices of these messages as far as they go.

        The messages are read again, because the stream and the index may be behind. A message that
        fails does not stop the others: it is `unhandled` in a report. One whose item, or whose
        incident's item, this version cannot read is reported and left to the sweep.
        """
        remaining = list(dict.fromkeys(message_sids))
        for batch_size in _BATCH_SIZES:
            if not remaining:
                return
            remaining = yield from self._attempt(remaining, batch_size, limits)
        if remaining:
            yield reports.failed(remaining, _CONFLICTS)

    def advance_incidents(self, limits: Limits) -> Iterator[NoticeReport]:
        """Publish the summaries that are due, and close the incidents that are over.

        An incident that fails does not stop the others; the next sweep finds it again.
        """
        try:
            for key in self._incidents.due(self._now()):
                if not limits.allow_notice():
                    yield reports.skipped((), **reports.key_fields(key))
                    return
                yield from self._try_to_advance(key, limits)
        except StoreUnavailable as error:
            yield reports.sweep_interrupted(str(error))

    # --- messages ---

    def _attempt(
        self, message_sids: Sequence[str], batch_size: int, limits: Limits
    ) -> Generator[NoticeReport, None, list[str]]:
        """Make one attempt; return the SIDs of the messages that another writer changed."""
        unreadable: list[str] = []
        try:
            messages = list(self._messages.get_many(message_sids, unreadable=unreadable.append))
        except StoreUnavailable as error:
            yield reports.failed(message_sids, type(error).__name__)
            return []
        for message_sid in unreadable:
            yield reports.unreadable(message_sid, "the item is not a message")
        if gone := len(message_sids) - len(messages) - len(unreadable):
            yield reports.already_handled(gone)
        conflicts: list[str] = []
        for group, work in self._plan(messages, batch_size, limits):
            if not limits.allow_notice():
                yield reports.skipped(_sids(group))
                continue
            try:
                conflicts += _sids((yield from work))
            except ItemUnreadable as error:
                yield _unreadable(IncidentKey.of(group[0]), error, message_sids=_sids(group))
            except _ERRORS as error:
                yield reports.failed(_sids(group), type(error).__name__)
        return conflicts

    def _plan(
        self, messages: Sequence[Message], batch_size: int, limits: Limits
    ) -> Iterator[tuple[list[Message], Work]]:
        """Yield groups of messages, each with its work, which begins when it is iterated."""
        failures: defaultdict[IncidentKey, list[Message]] = defaultdict(list)
        recoveries: defaultdict[str, list[Message]] = defaultdict(list)
        for message in messages:
            if message.notice is NoticeState.DUE and message.outcome is Outcome.FAILED:
                failures[IncidentKey.of(message)].append(message)
            elif message.notice is NoticeState.RECOVERY_DUE and message.is_grouped:
                recoveries[str(message.notice_id)].append(message)
            else:
                yield [message], self._notify_alone(message, limits)
        for key, group in failures.items():
            if key.category in self._policy.muted:
                yield group, self._mute(key, group, batch_size)
            else:
                yield group, self._group_failures(key, group, batch_size, limits)
        for incident_id, group in recoveries.items():
            yield group, self._group_recoveries(incident_id, group, batch_size)

    def _notify_alone(self, message: Message, limits: Limits) -> Work:
        """Take the next steps of a notice that is about this message only."""
        claimed = self._claim(message, limits.abandoned_before)
        if claimed is None or claimed.notice is not NoticeState.PUBLISHING:
            self._own_claims.pop(message.message_sid, None)
            yield reports.step_taken(claimed)
        else:
            yield from self._publish_message(claimed)
        return []

    def _claim(self, message: Message, abandoned_before: datetime) -> Message | None:
        """Claim or withdraw the notice; return None if another notifier has it, or none is due."""
        own = self._own_claims.get(message.message_sid)
        match message:
            case Message(notice=NoticeState.DUE | NoticeState.RECOVERY_DUE):
                claim = self._messages.advance_notice
            case Message(notice=NoticeState.PUBLISHING) if _claimed_at(message) < abandoned_before:
                claim = self._messages.take_over_notice
            case Message(notice=NoticeState.PUBLISHING) if iso(_claimed_at(message)) == own:
                claim = self._messages.take_over_notice
            case _:
                return None
        at = self._later_than(message)
        self._own_claims[message.message_sid] = iso(at)
        return claim(message, at)

    def _publish_message(self, claimed: Message) -> Iterator[NoticeReport]:
        """Publish the notice of a message that this notifier has claimed, and mark it."""
        if claimed.outcome is Outcome.FAILED or claimed.is_recovery_notice:
            self._publisher.publish_message(claimed)
        marked = self._messages.advance_notice(claimed, self._now())
        self._own_claims.pop(claimed.message_sid, None)
        yield reports.step_taken(marked)

    def _mute(self, key: IncidentKey, failures: Iterable[Message], batch_size: int) -> Work:
        """Mark failures whose category is muted: only a metric counts them."""
        conflicts: list[Message] = []
        for batch in batched(failures, batch_size, strict=False):
            muted = [it.with_notice(NoticeState.MUTED, self._later_than(it)) for it in batch]
            if self._incidents.write_steps(list(map(Step, batch, muted))):
                yield reports.counted(_sids(batch), metric="NoticeMuted", **reports.key_fields(key))
            else:
                conflicts += batch
        return conflicts

    def _group_failures(
        self, key: IncidentKey, failures: Iterable[Message], batch_size: int, limits: Limits
    ) -> Work:
        """Count failures in the incident of their key; one that opens it is published alone."""
        waiting = sorted(failures, key=lambda it: (it.final_at or it.updated_at, it.message_sid))
        conflicts: list[Message] = []
        while waiting:
            if not limits.allow_notice():
                yield reports.skipped(_sids(waiting))
                break
            at, seen = self._now(), self._incidents.get(key)
            incident = incident_for(waiting[0], at, self._policy, seen=seen)
            if incident is seen:
                batch, waiting = waiting[:batch_size], waiting[batch_size:]
                conflicts += yield from self._add_to_incident(incident, batch, at)
            else:
                opener, *waiting = waiting
                conflicts += yield from self._open_incident(seen, incident, opener)
        return conflicts

    def _open_incident(
        self, previous: Incident | None, incident: Incident, opener: Message
    ) -> Work:
        """Store the new incident with the claim of its first failure, and publish that."""
        at = self._later_than(opener)
        claimed = opener.with_next_notice_state(at)
        self._own_claims[opener.message_sid] = iso(at)
        stored = self._incidents.write(previous, incident, [Step(opener, claimed)])
        if stored is None:
            self._own_claims.pop(opener.message_sid, None)
            return [opener]
        carried = previous.pending_notice if previous else None
        closing = stored.pending_notice if stored.pending_notice != carried else None
        if previous is not None and previous.is_open and closing is None:
            yield reports.of_incident(previous, metric="IncidentClosed")
        yield reports.of_incident(stored, metric="IncidentOpened")
        try:
            if closing is not None:
                yield from self._publish_pending(stored, closing)
            yield from self._publish_message(claimed)
        except _ERRORS as error:  # further failures can be counted all the same
            yield reports.failed([opener.message_sid], type(error).__name__)
        return []

    def _add_to_incident(self, seen: Incident, batch: list[Message], at: datetime) -> Work:
        """Store the incident with these failures counted."""
        after = seen.add_failures(batch, at, self._policy.mask)
        grouped = [it.grouped_into(seen.incident_id, self._later_than(it)) for it in batch]
        stored = self._incidents.write(seen, after, list(map(Step, batch, grouped)))
        if stored is None:
            return batch
        yield reports.counted(
            _sids(batch), metric="NoticeGrouped", **reports.incident_fields(stored)
        )
        return []

    def _group_recoveries(
        self, incident_id: str, messages: Sequence[Message], batch_size: int
    ) -> Work:
        """Count recoveries in the incident that counts the failures, if it is still kept."""
        conflicts: list[Message] = []
        while messages:
            batch, messages = list(messages[:batch_size]), messages[batch_size:]
            known = map(self._incidents.get, IncidentKey.candidates(batch[0]))
            seen = next((it for it in known if it and it.incident_id == incident_id), None)
            steps = [Step(it, it.with_next_notice_state(self._later_than(it))) for it in batch]
            if seen is None:  # a later incident took its place: nothing more is published about it
                is_stored = self._incidents.write_steps(steps)
            else:
                after = seen.add_recoveries(len(batch))
                is_stored = self._incidents.write(seen, after, steps) is not None
            if is_stored:
                yield reports.counted(
                    _sids(batch), metric="RecoveryGrouped", incident_id=incident_id
                )
            else:
                conflicts += batch
        return conflicts

    def _later_than(self, message: Message) -> datetime:
        """Return now, but later than any earlier claim of the message: no two are equal."""
        return max(self._now(), _claimed_at(message) + _ONE_TICK)

    # --- incidents ---

    def _try_to_advance(self, key: IncidentKey, limits: Limits) -> Iterator[NoticeReport]:
        try:
            yield from self._advance(key, limits)
        except ItemUnreadable as error:
            yield _unreadable(key, error)
        except _ERRORS as error:
            yield reports.failed((), type(error).__name__, **reports.key_fields(key))

    def _advance(self, key: IncidentKey, limits: Limits) -> Iterator[NoticeReport]:
        """Take the step that is due for an incident; a conflict with another writer repeats it."""
        for _ in range(_MAX_ATTEMPTS):
            seen = self._incidents.get(key)
            after = self._next_step(seen, limits.abandoned_before) if seen else None
            if seen is None or after is None or after == seen:
                return
            pending = after.pending_notice
            if pending is not None:
                self._own_claims[pending.notice_id] = iso(pending.claimed_at)
            stored = self._incidents.write(seen, after)
            if stored is not None:
                if pending is not None:
                    yield from self._publish_pending(stored, pending)
                elif not stored.is_open:
                    yield reports.of_incident(stored, metric="IncidentClosed")
                return
            if pending is not None:
                self._own_claims.pop(pending.notice_id, None)
        # Failures are counted in it all the time: the next sweep finds it again.

    def _next_step(self, seen: Incident, abandoned_before: datetime) -> Incident:
        at, pending = self._now(), seen.pending_notice
        if pending is None:
            return self._with_examples(seen.advance(at, self._policy))
        own = self._own_claims.get(pending.notice_id)
        if pending.claimed_at < abandoned_before or iso(pending.claimed_at) == own:
            return seen.reclaim(max(at, pending.claimed_at + _ONE_TICK))
        return seen

    def _with_examples(self, incident: Incident) -> Incident:
        """Return the incident with the examples of its pending notice, their numbers masked."""
        pending = incident.pending_notice
        if pending is None or not pending.tally.examples:
            return incident
        sids = pending.tally.examples
        examples = [
            Example(
                message_sid=message.message_sid,
                to=self._policy.mask(message.to) if message.to else None,
                reference=message.reference,
            )
            for message in self._messages.get_many(sids, unreadable=lambda _: None)
        ]
        return incident.with_examples(examples)

    def _publish_pending(
        self, incident: Incident, pending: PendingNotice
    ) -> Iterator[NoticeReport]:
        """Publish the pending notice that this notifier has claimed, and mark it."""
        self._publisher.publish_incident(incident.key, pending)
        for _ in range(_MAX_ATTEMPTS):
            after = incident.mark_published(pending.notice_id, self._now(), self._policy)
            if after == incident or self._incidents.write(incident, after) is not None:
                break
            newer = self._incidents.get(incident.key)
            if newer is None:
                break
            incident = newer
        else:
            raise StoreUnavailable(_CONFLICTS)
        self._own_claims.pop(pending.notice_id, None)
        ids = {"notice_id": pending.notice_id}
        if pending.failures:
            yield reports.of_incident(after, metric="SummaryPublished", **ids)
        if pending.kind is NoticeKind.CLOSING:
            yield reports.of_incident(after, metric="IncidentClosed", **ids)


def _unreadable(key: IncidentKey, error: ItemUnreadable, **fields: object) -> NoticeReport:
    return reports.unreadable(key.cause, str(error), account_sid=key.account_sid, **fields)


def _sids(messages: Iterable[Message]) -> list[str]:
    return [message.message_sid for message in messages]


def _claimed_at(message: Message) -> datetime:
    """Return when the message's notice became due or was last claimed."""
    return message.notice_at or message.updated_at
