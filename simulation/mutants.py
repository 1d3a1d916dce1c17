"""Mutants: small deliberate faults in the project's code, each of which the simulation must catch.

A mutant names its fault, the promises that it can break, and the code that it changes. After work
on that code `tests/simulation/test_mutants.py` lists the mutants whose fragment is gone: give each
of them the fragment that does the same thing now. A new mutant is one more entry of `MUTANTS`. A
mutant that no run catches shows what runs lack.

`python -m simulation --mutants --seeds 600` counts how many runs each of them needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from simulation.edit import Edit

_LAYER: Final = "layers/delivery/delivery"
_SEND: Final = "functions/send_message"
_CALLBACK: Final = "functions/status_callback"
_NOTIFY: Final = "functions/notify_failure"
_OUTCOMES: Final = "functions/publish_outcomes"
_RECONCILE: Final = "functions/reconcile_messages"
_COMMAND_LINE: Final = "delivery_cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """The project with one deliberate fault; `breaks` are the promises that it can break."""

    name: str
    breaks: frozenset[str]
    edits: Sequence[Edit]


def _mutant(name: str, breaks: str, folder: str, *fragments: str) -> Mutant:
    """Return a mutant that replaces each fragment by the one that follows it."""
    edits = [
        Edit(folder=folder, old=old, new=new)
        for old, new in zip(fragments[::2], fragments[1::2], strict=True)
    ]
    return Mutant(name=name, breaks=frozenset(breaks.split()), edits=edits)


def mutant_named(words: str) -> Mutant:
    """Return the mutant whose name contains these words.

    Raises:
        LookupError: no mutant matches, or several do.
    """
    found = [mutant for mutant in MUTANTS if words in mutant.name]
    if len(found) != 1:
        names = "; ".join(mutant.name for mutant in found) or "none"
        raise LookupError(f"expected one mutant with {words!r} in its name, found: {names}")
    return found[0]


MUTANTS: Final = (
    # --- statuses ---
    _mutant(
        "an update overwrites a better status",
        "I2",
        _LAYER,
        '"#status_rank < :status_rank AND attribute_not_exists(#notice)"',
        '"attribute_not_exists(#notice)"',
    ),
    _mutant(
        "an update ignores the state of the notice",
        "I4",
        _LAYER,
        '"#status_rank < :status_rank AND attribute_not_exists(#notice)"',
        '"#status_rank < :status_rank AND (#status_rank < :status_rank OR #notice = #notice)"',
    ),
    _mutant(
        "the status is the one that arrived last",
        "I2",
        _LAYER,
        "max(transitions, key=",
        "(lambda found, key: found[-1])(transitions, key=",
    ),
    _mutant(
        "a write does not check what was read",
        "I2 I4",
        _LAYER,
        "dict.fromkeys((*depends_on, *touched))",
        '("message_sid",)',
    ),
    _mutant(
        "a duplicate without an error code erases the code",
        "I3",
        _LAYER,
        "known.error_code or new.error_code",
        "new.error_code",
    ),
    _mutant(
        "the error code stays after a recovery",
        "I3",
        _LAYER,
        "message.failure_code if outcome is Outcome.FAILED else None",
        "message.failure_code",
    ),
    # --- status callbacks ---
    _mutant(
        "blank parameters are dropped",
        "I1",
        _LAYER,
        'parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True',
        'parse_qsl(body.decode("utf-8", "replace")',
    ),
    _mutant(
        "the request_id of a callback is not stored",
        "I6",
        _LAYER,
        "request_id or value",
        "None",
    ),
    _mutant(
        "204 although neither table nor queue took the callback",
        "I1",
        _CALLBACK,
        "except QueueUnavailable as error:\n    return _not_stored(error)",
        "except QueueUnavailable:\n    return _STORED",
    ),
    _mutant(
        "204 after a store error without queueing the callback",
        "I1",
        _CALLBACK,
        "self.queue.put(update)",
        "pass",
    ),
    _mutant(
        "a replay that fails removes the update from the queue",
        "I1",
        _CALLBACK,
        "_report(reports.replay_failed(record.message_id, error))\nraise",
        "_report(reports.replay_failed(record.message_id, error))\nreturn",
    ),
    # --- notices of messages ---
    _mutant(
        "a failure sets no notice",
        "I4",
        _LAYER,
        "return NoticeState.DUE",
        "return None",
    ),
    _mutant(
        "a recovery sets no notice",
        "I4",
        _LAYER,
        "state in {NoticeState.PUBLISHED, NoticeState.GROUPED}",
        "state is NoticeState.MUTED",
    ),
    _mutant(
        "a notice is marked as published before it is published",
        "I4",
        _NOTIFY,
        "self._publisher.publish_message(claimed)",
        """
        self._messages.advance_notice(claimed, self._now())
        self._publisher.publish_message(claimed)""",
    ),
    _mutant(
        "a notice is taken over while its lease holds",
        "I4",
        _NOTIFY,
        "_claimed_at(message) < abandoned_before",
        "_claimed_at(message) != abandoned_before",
    ),
    _mutant(
        "the sweep does nothing",
        "I4",
        _NOTIFY,
        "self.messages.notices_due(limits.abandoned_before)",
        "()",
    ),
    _mutant(
        "a muted category is notified",
        "I4",
        _NOTIFY,
        "muted=muted",
        "muted=frozenset()",
    ),
    # --- notices of incidents ---
    _mutant(
        "grouped messages are not marked as grouped",
        "I4",
        _NOTIFY,
        "*map(self._update, steps)",
        "",
    ),
    _mutant(
        "several grouped messages are counted as one",
        "I4",
        _NOTIFY,
        "self.counted + len(messages)",
        "self.counted + 1",
    ),
    _mutant(
        "messages are marked in one write and counted in another",
        "I4",
        _NOTIFY,
        "transact(self._client, [put,",
        """(lambda client, parts: all([transact(client, [it]) for it in reversed(parts)]))(
            self._client, [put,""",
    ),
    _mutant(
        "the count of an incident is written although it has changed",
        "I4",
        _NOTIFY,
        '"#incident_id = :incident_id AND #version = :version"',
        '"#incident_id = :incident_id AND (#version = :version OR #version > :version)"',
    ),
    _mutant(
        "a message is grouped although another invocation has grouped it",
        "I4",
        _NOTIFY,
        '("notice", "outcome", "error_code", "account_sid")',
        '("account_sid",)',
    ),
    _mutant(
        "a summary is published before it is recorded",
        "I4",
        _NOTIFY,
        "stored = self._incidents.write(seen, after)",
        """
        if pending is not None:
            self._publisher.publish_incident(key, pending)
        stored = self._incidents.write(seen, after)""",
    ),
    _mutant(
        "a summary whose publisher died is not taken over",
        "I4",
        _NOTIFY,
        "pending.claimed_at < abandoned_before or iso(pending.claimed_at) == own",
        "pending.claimed_at > abandoned_before and iso(pending.claimed_at) == own",
    ),
    _mutant(
        "a summary that is taken over covers more messages",
        "I4",
        _NOTIFY,
        "self._change_notice(claimed_at=at)",
        "self._change_notice(claimed_at=at, range_to=self.counted)",
    ),
    _mutant(
        "a summary is marked as published before it is published",
        "I4",
        _NOTIFY,
        "self._publisher.publish_incident(incident.key, pending)",
        "",
        "self._own_claims.pop(pending.notice_id, None)\nids =",
        """
        self._publisher.publish_incident(incident.key, pending)
        self._own_claims.pop(pending.notice_id, None)
        ids =""",
    ),
    _mutant(
        "the next summary covers the same messages again",
        "I4",
        _NOTIFY,
        "pending_notice=None, published=pending.range_to",
        "pending_notice=None",
    ),
    _mutant(
        "incidents are never processed on schedule",
        "I4",
        _NOTIFY,
        "self._incidents.due(self._now())",
        "()",
    ),
    _mutant(
        "a failure joins an incident that is closed",
        "I4",
        _NOTIFY,
        "if not self.is_open:\n    return False",
        "if not self.is_open:\n    return True",
    ),
    _mutant(
        "every failure opens an incident",
        "I4",
        _NOTIFY,
        "return not (is_over and self.unpublished == 0 and self.pending_notice is None)",
        "return False",
    ),
    _mutant(
        "a new incident loses the closing notice of the one before",
        "I4",
        _NOTIFY,
        "seen.closing_notice(at) if seen else None",
        "None",
    ),
    _mutant(
        "the recovery of a grouped message is published alone",
        "I4",
        _LAYER,
        "NoticeState.RECOVERED if is_grouped else NoticeState.PUBLISHING",
        "NoticeState.PUBLISHING",
    ),
    _mutant(
        "an incident does not count recoveries",
        "I4",
        _NOTIFY,
        "replace(self, recovered=self.recovered + messages)",
        "self",
    ),
    # --- outcome events ---
    _mutant(
        "an event that the bus rejected is not retried",
        "events",
        _OUTCOMES,
        'return Published(accepted=accepted, rejected=change, reason=entry["ErrorCode"])',
        "continue",
    ),
    _mutant(
        "events are not retried while the bus does not answer",
        "events",
        _OUTCOMES,
        "return Published(accepted=accepted, rejected=batch[0], reason=error_name(error))",
        "continue",
    ),
    _mutant(
        "all events of a message have the same id",
        "events",
        _OUTCOMES,
        'f"{message_sid} {previous} {outcome}"',
        'f"{message_sid}"',
    ),
    _mutant(
        "a second change of an outcome publishes no event",
        "events",
        _OUTCOMES,
        "if message.outcome is previous:",
        "if message.outcome is previous or previous is not Outcome.PENDING:",
    ),
    # --- erasing ---
    _mutant(
        "a late callback restores erased data",
        "erasure I1",
        _LAYER,
        '"status_rank": _ERASED_RANK',
        '"status_rank": 0',
    ),
    _mutant(
        "data is erased in the table and not at Twilio",
        "erasure",
        _COMMAND_LINE,
        "self._twilio.delete(message_sid, account_sid)",
        '""',
    ),
    _mutant(
        "a request still holds the recipient of erased data",
        "erasure",
        _LAYER,
        'to="",',
        "",
    ),
    # --- sending ---
    _mutant(
        "a request is sent again after a read timeout",
        "I5",
        _LAYER,
        'raise OutcomeUnknown(f"the request left and no response came: {name}")',
        'raise Unavailable(f"the request left and no response came: {name}")',
    ),
    _mutant(
        "a request is sent again after a 5xx",
        "I5",
        _LAYER,
        'raise OutcomeUnknown(f"Twilio answered HTTP {status} without a message")',
        'raise Unavailable(f"Twilio answered HTTP {status} without a message")',
    ),
    _mutant(
        "the claim of a request is unconditional",
        "I5",
        _LAYER,
        '"attribute_not_exists(#request_id) OR #state = :rejected"',
        '"attribute_not_exists(#request_id) OR #state <> :rejected"',
    ),
    _mutant(
        "a request is sent although its claim may have failed",
        "I5",
        _SEND,
        "self._release(request)\nreturn ServiceUnavailable(reason=str(error))",
        "held = request\ndel error",
    ),
    _mutant(
        "the claim of another invocation is released",
        "I5",
        _LAYER,
        "self._table.delete(ours, request_id=request.request_id)",
        """
        ours = Conditions()
        ours.require(
            "#claim_id <> :claim_id OR #state = :in_progress",
            claim_id=request.claim_id,
            in_progress=RequestState.IN_PROGRESS,
        )
        self._table.delete(ours, request_id=request.request_id)""",
    ),
    _mutant(
        "a key is released although the outcome is unknown",
        "I5",
        _SEND,
        "self._settle(request, RequestState.IN_DOUBT)",
        "self._release(request)",
    ),
    _mutant(
        "a request in doubt is sent again under its key",
        "I5",
        _SEND,
        "held.claim_id == request.claim_id",
        "held.claim_id == request.claim_id or held.state is RequestState.IN_DOUBT",
    ),
    _mutant(
        "a request in progress is sent again under its key",
        "I5",
        _SEND,
        "held.claim_id == request.claim_id",
        "held.claim_id == request.claim_id or held.state is RequestState.IN_PROGRESS",
    ),
    _mutant(
        "a request is completed although its message was not stored",
        "I6",
        _SEND,
        "message_stored=accepted.stored",
        "message_stored=True",
    ),
    _mutant(
        "a rejection on the queue is not recorded",
        "I4 I7",
        _SEND,
        "count_apart(outcomes, sender.record_unsent_request(sent, key=key))",
        "pass",
    ),
    _mutant(
        "a request that cannot be sent now is removed from the queue",
        "I7",
        _SEND,
        "raise StaysQueued(sent.reason)",
        "return",
    ),
    # --- rate limiter ---
    _mutant(
        "the rate limiter does not wait for a slot",
        "rate",
        _SEND,
        "if not turn.goes:\n    return False",
        "if not turn.goes:\n    return True",
        "self._pacer.wait_until(turn.at)",
        "pass",
    ),
    _mutant(
        "a deferred request is removed from the queue",
        "I7",
        _SEND,
        'raise StaysQueued("it waits for its turn")',
        "return",
    ),
    _mutant(
        "a slot is reserved for several requests",
        "rate",
        _SEND,
        "free_at += length",
        "",
    ),
    # --- reconciling ---
    _mutant(
        "reconciling ignores error codes",
        "I3",
        _RECONCILE,
        "replace(update, account_sid=",
        "replace(update, error_code=None, account_sid=",
    ),
    _mutant(
        "stale messages are not reconciled",
        "I7",
        _RECONCILE,
        "self._context.messages.stale_messages(self._context.now())",
        "()",
    ),
    _mutant(
        "no message becomes unconfirmed",
        "I7",
        _RECONCILE,
        "not message.is_overdue(self._context.now(), self._context.timings)",
        "message.starts_at",
    ),
    _mutant(
        "a stale message becomes unconfirmed after one check",
        "I7",
        _RECONCILE,
        "not message.is_overdue(self._context.now(), self._context.timings)",
        "not message.starts_at",
    ),
    # --- requests in doubt ---
    _mutant(
        "a request in doubt is resolved before the list can show its message",
        "I6",
        _RECONCILE,
        "in_doubt and now >= request.claimed_at + self._timeout",
        "in_doubt",
    ),
    _mutant(
        "one of several candidates is taken as the match",
        "I6",
        _RECONCILE,
        "len(matching) > 1 or contested or is_too_old",
        "is_too_old",
    ),
    _mutant(
        "the message of another request is a candidate",
        "I6",
        _RECONCILE,
        "known.get(resource.sid)",
        "None",
    ),
    _mutant(
        "a request that is presumed unsent is not recorded",
        "I6",
        _RECONCILE,
        "yield from self._record_unsent(request)\nself._expire_if_overdue(request)",
        "self._expire_if_overdue(request)",
        "if stored.state is RequestState.PRESUMED_UNSENT:\n"
        "    yield from self._record_unsent(request)",
        "if stored.state is RequestState.PRESUMED_UNSENT:\n    yield from ()",
    ),
    _mutant(
        "a resolved message lacks what only its request knows",
        "I6",
        _RECONCILE,
        "self._add_request_facts(request, message)",
        "",
    ),
    _mutant(
        "a late callback does not resolve a request that was presumed unsent",
        "I6",
        _RECONCILE,
        "state is not RequestState.IN_PROGRESS",
        "state is RequestState.IN_DOUBT",
    ),
    _mutant(
        "a request that was sent after all is still shown as unsent",
        "I6",
        _RECONCILE,
        "self._context.messages.record_superseded(self._unsent_update(request))",
        "pass",
    ),
)
