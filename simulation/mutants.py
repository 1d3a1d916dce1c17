"""Mutants: small deliberate faults in the project's code, each of which the simulation must catch.

A mutant names its fault, the promises that it can break, and the code that it changes. After work
on that code `tests/simulation/test_mutants.py` lists the mutants whose fragment is gone: give each
of them the fragment that does the same thing now. A new mutant is one more row. A mutant that is
never caught shows what runs lack.

`python -m simulation --mutants --seeds 600` counts how many runs each of them needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from simulation.edit import Edit

_LAYER: Final = "layers/delivery/delivery"
_SEND: Final = "functions/send_message"
_CALLBACK: Final = "functions/status_callback"
_NOTIFY: Final = "functions/notify_failure"
_OUTCOMES: Final = "functions/publish_outcomes"
_RECONCILE: Final = "functions/reconcile_messages"
_AUDIT: Final = "functions/audit_messages"
_COMMAND_LINE: Final = "delivery_cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """The project with one deliberate fault; `breaks` are the promises that it can break."""

    name: str
    breaks: frozenset[str]
    edits: Sequence[Edit]


def _mutants(folder: str, *rows: tuple[str, ...]) -> Iterator[Mutant]:
    """Yield a mutant for each row: its name, the promises, and code fragments with replacements."""
    for name, breaks, *fragments in rows:
        edits = [
            Edit(folder=folder, old=old, new=new)
            for old, new in zip(fragments[::2], fragments[1::2], strict=True)
        ]
        yield Mutant(name=name, breaks=frozenset(breaks.split()), edits=edits)


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
    *_mutants(
        _LAYER,
        (
            "an update overwrites a better status",
            "I2",
            '"#status_rank < :status_rank AND attribute_not_exists(#notice)"',
            '"attribute_not_exists(#notice)"',
        ),
        (
            "the status is the one that arrived last",
            "I2",
            "max(transitions, key=",
            "(lambda found, key: found[-1])(transitions, key=",
        ),
        (
            "an update ignores the state of the notice",
            "I4",
            '"#status_rank < :status_rank AND attribute_not_exists(#notice)"',
            '"#status_rank < :status_rank AND (#status_rank < :status_rank OR #notice = #notice)"',
        ),
        (
            "a second rejection of a key is not recorded",
            "I4",
            "if is_same and not is_later:",
            "if is_same:",
        ),
        (
            "a callback of another account is evidence",
            "I6",
            "and message.account_sid in {None, self.account_sid}",
            "",
        ),
        (
            "the order of a template's variables makes other content",
            "I5",
            "sort_keys=True",
            "sort_keys=False",
        ),
        (
            "an unreadable request stops the resolution of others",
            "I6",
            'readable(items, _request, "request_id", self._unreadable)',
            'readable(items, _request, "request_id", None)',
        ),
        (
            "an unreadable request is not reported",
            "I7",
            'readable(items, _request, "request_id", self._unreadable)',
            'readable(items, _request, "request_id", lambda _: None)',
        ),
        ("a failure sets no notice", "I4", "return NoticeState.DUE", "return None"),
        (
            "a recovery sets no notice",
            "I4",
            "state in {NoticeState.PUBLISHED, NoticeState.GROUPED}",
            "state is NoticeState.MUTED",
        ),
        (
            "the recovery of a grouped message is published alone",
            "I4",
            "NoticeState.RECOVERED if is_grouped else NoticeState.PUBLISHING",
            "NoticeState.PUBLISHING",
        ),
        (
            "a write does not check what was read",
            "I2 I4",
            "dict.fromkeys((*depends_on, *touched))",
            '("message_sid",)',
        ),
        (
            "a duplicate without an error code erases the code",
            "I3",
            "known.error_code or new.error_code",
            "new.error_code",
        ),
        (
            "the error code stays after a recovery",
            "I3",
            "message.failure_code if outcome is Outcome.FAILED else None",
            "message.failure_code",
        ),
        (
            "blank parameters are dropped",
            "I1",
            'parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True',
            'parse_qsl(body.decode("utf-8", "replace")',
        ),
        ("the request_id of a callback is not stored", "I6", "request_id or value", "None"),
        (
            "a first callback is not found by its request_id",
            "I6",
            'first.set("callback_request_id", update.request_id)',
            "pass",
        ),
        (
            "an unreadable message stops reconciliation",
            "I7",
            '"message_sid", unreadable or self._unreadable',
            '"message_sid", unreadable',
        ),
        (
            "a late callback restores erased data",
            "I1 erasure",
            '"status_rank": _ERASED_RANK',
            '"status_rank": 0',
            "ranks_higher = [_RANKS_HIGHER, _IS_LATER]",
            "ranks_higher = [_RANKS_HIGHER]",
        ),
        ("a request still holds the recipient of erased data", "erasure", 'to="",', ""),
        (
            "a request is sent again after a read timeout",
            "I5",
            "name = type(error).__name__\nraise OutcomeUnknown(",
            "name = type(error).__name__\nraise Unavailable(",
        ),
        (
            "a request is sent again after a 5xx",
            "I5",
            'raise OutcomeUnknown(f"Twilio answered HTTP {status} without a message")',
            'raise Unavailable(f"Twilio answered HTTP {status} without a message")',
        ),
        (
            "the claim of a request is unconditional",
            "I5",
            '"attribute_not_exists(#request_id)"',
            '"attribute_not_exists(#request_id) OR attribute_exists(#request_id)"',
        ),
    ),
    *_mutants(
        _CALLBACK,
        (
            "204 although neither table nor queue took the callback",
            "I1",
            "_report(reports.not_stored(error))\nreturn _try_again()",
            "_report(reports.not_stored(error))\nreturn _STORED",
        ),
        (
            "204 after a store error without queueing the callback",
            "I1",
            "self.queue.put(update)",
            "pass",
        ),
        (
            "a replay that fails removes the update from the queue",
            "I1",
            "_report(reports.replay_failed(record.message_id, error))\nraise",
            "_report(reports.replay_failed(record.message_id, error))\nreturn",
        ),
    ),
    *_mutants(
        _SEND,
        (
            "the claim of another invocation is released",
            "I5",
            "stored is None or stored.claim_id != claim.claim_id",
            "stored is None",
        ),
        (
            "a request is sent although its claim may have failed",
            "I5",
            "self._release(claim)\nreturn ServiceUnavailable(reason=str(error))",
            "held = claim\ndel error",
        ),
        (
            "a key is released although the outcome is unknown",
            "I5",
            "self._complete(claim, RequestState.IN_DOUBT)",
            "self._release(claim)",
        ),
        (
            "a request in doubt is sent again under its key",
            "I5",
            "held.claim_id != claim.claim_id",
            "held.claim_id != claim.claim_id and held.state is not RequestState.IN_DOUBT",
        ),
        (
            "a request in progress is sent again under its key",
            "I5",
            "held.claim_id != claim.claim_id",
            "held.claim_id != claim.claim_id and held.state is not RequestState.IN_PROGRESS",
        ),
        (
            "a request is completed although its message was not stored",
            "I6",
            "message_stored=accepted.stored",
            "message_stored=True",
        ),
        (
            "a time that has passed makes a used key invalid",
            "I5 I6",
            "request_id = request_id_of(request.account_sid, request.idempotency_key or key)",
            """
            if request.send_at is not None and request.send_at <= self._context.now():
                return Invalid(problems=())
            request_id = request_id_of(request.account_sid, request.idempotency_key or key)""",
        ),
        (
            "an account that left the secret makes a used key invalid",
            "I5 I6",
            "credentials = Invalid(problems=invalid.problems)",
            "return Invalid(problems=invalid.problems)",
        ),
        (
            "an acceptance leaves the rejection of its key",
            "I6",
            "self._recorder.supersede(claim.request_id)",
            "pass",
            "accepted.stored and not follows_rejection",
            "accepted.stored",
        ),
        (
            "an asynchronous invocation that sent nothing is lost",
            "I7",
            "if raises and response",
            "if not raises and response",
        ),
        (
            "a rejection on the queue is not recorded",
            "I4 I7",
            "self._record_unsent(sent, record)",
            "pass",
        ),
        (
            "a request that cannot be sent now is removed from the queue",
            "I7",
            "raise RequestNotSent(sent.reason)",
            "return",
        ),
        (
            "a deferred request is removed from the queue",
            "I7",
            'raise RequestNotSent("the rate limiter deferred it")',
            "return",
        ),
        (
            "the rate limiter does not wait for a slot",
            "rate",
            "if not reservation.immediate:\n    return False",
            "if not reservation.immediate:\n    return True",
            "self._limiter.wait_until(reservation.at)",
            "pass",
        ),
        ("a slot is reserved for several requests", "rate", "next_slot_at += cost_ms", ""),
    ),
    *_mutants(
        _NOTIFY,
        (
            "a notice is marked as published before it is published",
            "I4",
            "self._publisher.publish_message(claimed)",
            """
        self._messages.advance_notice(claimed, self._now())
        self._publisher.publish_message(claimed)""",
        ),
        (
            "a notice is taken over while its lease holds",
            "I4",
            "_claimed_at(message) < abandoned_before",
            "_claimed_at(message) != abandoned_before",
        ),
        (
            "the sweep does nothing",
            "I4",
            "self.messages.notices_due(limits.abandoned_before)",
            "()",
        ),
        ("a muted category is notified", "I4", "muted=muted", "muted=frozenset()"),
        ("grouped messages are not marked as grouped", "I4", "*map(self._update, steps)", ""),
        (
            "several grouped messages are counted as one",
            "I4",
            "self.counted + len(messages)",
            "self.counted + 1",
        ),
        (
            "messages are marked in one write and counted in another",
            "I4",
            "transact(self._client, [put,",
            """(lambda client, parts: all([transact(client, [it]) for it in reversed(parts)]))(
            self._client, [put,""",
        ),
        (
            "the count of an incident is written although it has changed",
            "I4",
            '"#incident_id = :incident_id AND #version = :version"',
            '"#incident_id = :incident_id AND (#version = :version OR #version > :version)"',
        ),
        (
            "a message is grouped although another invocation has grouped it",
            "I4",
            "self._messages.as_update(compare_and_set(seen, step.seen, step.after, _DEPENDS_ON))",
            """
        self._messages.as_update(
            (lambda it: setattr(
                it,
                "_conditions",
                [f"({each} OR attribute_exists(message_sid))" for each in it._conditions],
            ) or it)(compare_and_set(seen, step.seen, step.after, _DEPENDS_ON))
        )""",
        ),
        (
            "a summary is published before it is recorded",
            "I4",
            "stored = self._incidents.write(seen, after)",
            """
        if pending is not None:
            self._publisher.publish_incident(key, pending)
        stored = self._incidents.write(seen, after)""",
        ),
        (
            "a summary whose publisher died is not taken over",
            "I4",
            "pending.claimed_at < abandoned_before or iso(pending.claimed_at) == own",
            "pending.claimed_at > abandoned_before and iso(pending.claimed_at) == own",
        ),
        (
            "a summary that is taken over covers more messages",
            "I4",
            "self._change_notice(claimed_at=at)",
            "self._change_notice(claimed_at=at, range_to=self.counted)",
        ),
        (
            "a summary is marked as published before it is published",
            "I4",
            "self._publisher.publish_incident(incident.key, pending)",
            "",
            "self._own_claims.pop(pending.notice_id, None)\nids =",
            """
        self._publisher.publish_incident(incident.key, pending)
        self._own_claims.pop(pending.notice_id, None)
        ids =""",
        ),
        (
            "the next summary covers the same messages again",
            "I4",
            "pending_notice=None, published=pending.range_to",
            "pending_notice=None",
        ),
        (
            "incidents are never processed on schedule",
            "I4",
            "self._incidents.due(self._now())",
            "()",
        ),
        (
            "a failure joins an incident that is closed",
            "I4",
            "if not self.is_open:\n    return False",
            "if not self.is_open:\n    return True",
        ),
        (
            "every failure opens an incident",
            "I4",
            "return not (is_over and self.unpublished == 0 and self.pending_notice is None)",
            "return False",
        ),
        (
            "a new incident loses the closing notice of the one before",
            "I4",
            "seen.closing_notice(at) if seen else None",
            "None",
        ),
        (
            "an incident does not count recoveries",
            "I4",
            "replace(self, recovered=self.recovered + messages)",
            "self",
        ),
    ),
    *_mutants(
        _OUTCOMES,
        (
            "an event that the bus rejected is not retried",
            "events",
            'return Published(accepted=accepted, rejected=event, reason=entry["ErrorCode"])',
            "continue",
        ),
        (
            "events are not retried while the bus does not answer",
            "events",
            "return Published(accepted=accepted, rejected=batch[0], reason=error_name(error))",
            "continue",
        ),
        (
            "all events of a message have the same id",
            "events",
            'f"{message.message_sid} {previous} {message.outcome}"',
            'f"{message.message_sid}"',
        ),
        (
            "a second change of an outcome publishes no event",
            "events",
            "if message.outcome is change.previous_outcome:",
            "if change.previous_outcome != 'pending' or message.outcome == 'pending':",
        ),
        (
            "a change after the first outcome adds no row to the archive",
            "I12",
            "if change.previous and not is_new_row(message, change.previous, dimensions):",
            "if change.previous and change.previous.outcome != 'pending':",
        ),
        (
            "rows that Firehose rejected are not retried",
            "I12",
            "if archived.reason:",
            "if False:",
        ),
    ),
    *_mutants(
        _LAYER,
        (
            "a new price adds no row to the archive",
            "I12",
            '{"status", "recorded_at", "sequence"}',
            '{"status", "recorded_at", "sequence", "price", "num_segments"}',
        ),
        (
            "the time of the last update of a message goes back",
            "I12",
            "return max(at, self.updated_at + _MILLISECOND)",
            "return at",
            "ranks_higher = [_RANKS_HIGHER, _IS_LATER]",
            "ranks_higher = [_RANKS_HIGHER]",
        ),
        (
            "a row has the recipient in its sender",
            "I8",
            '"sender": message.from_,',
            '"sender": message.to,',
        ),
    ),
    *_mutants(
        _RECONCILE,
        (
            "reconciling ignores error codes",
            "I3",
            "replace(update, account_sid=",
            "replace(update, error_code=None, account_sid=",
        ),
        (
            "a backlog of presumed unsent requests takes all of the time",
            "I6 I7",
            """self.resolver.resolve_requests,
            self.reconciler.reconcile_stale_messages,
            self.resolver.recheck_presumed_unsent,""",
            """self.resolver.recheck_presumed_unsent,
            self.resolver.resolve_requests,
            self.reconciler.reconcile_stale_messages,""",
            "share_of(time_left, 1 / (len(tasks) - number))",
            "time_left",
        ),
        (
            "stale messages are not reconciled",
            "I7",
            "self._context.messages.stale_messages(self._context.now())",
            "()",
        ),
        (
            "no message becomes unconfirmed",
            "I7",
            "not message.is_overdue(self._context.now(), self._context.timings)",
            "message.starts_at",
        ),
        (
            "a stale message becomes unconfirmed after one check",
            "I7",
            "not message.is_overdue(self._context.now(), self._context.timings)",
            "not message.starts_at",
        ),
        (
            "a request in doubt is resolved before the list can show its message",
            "I6",
            "in_doubt and now >= request.claimed_at + self._timeout",
            "in_doubt",
        ),
        (
            "a search reads one page of a recipient's list",
            "I6",
            "for page in _pages_since(begins, pages)",
            "for page in [next(iter(_pages_since(begins, pages)))]",
        ),
        (
            "a search reads all pages of a recipient's list",
            "I6",
            "number == _MAX_PAGES",
            "number == 100 * _MAX_PAGES",
        ),
        (
            "a request whose search is too long is presumed unsent at once",
            "I6",
            "filter(lambda it: now >= self._competes_until(it), due)",
            "due",
        ),
        (
            "one of several candidates is taken as the match",
            "I6",
            "len(matching) > 1 or contested or is_too_old",
            "is_too_old",
        ),
        ("the message of another request is a candidate", "I6", "known.get(resource.sid)", "None"),
        (
            "a rejected creation is a candidate",
            "I6",
            "message is None and resource.may_be_rejected_creation",
            "False",
        ),
        (
            "a request that is presumed unsent is not recorded",
            "I6",
            """yield from self._record_unsent(request)
self._expire_if_overdue(request)""",
            "self._expire_if_overdue(request)",
            """if stored.state is RequestState.PRESUMED_UNSENT:
    yield from self._record_unsent(request)""",
            "if stored.state is RequestState.PRESUMED_UNSENT:\n    yield from ()",
        ),
        (
            "a resolved message lacks what only its request knows",
            "I6",
            "self._add_request_facts(request, message)",
            "",
        ),
        (
            "a late callback does not resolve a request that was presumed unsent",
            "I6",
            "message = self._message_of(request)\nif message is not None:",
            "message = None\nif message is not None:",
        ),
        (
            "a request that was sent after all is still shown as unsent",
            "I6",
            "self._context.messages.record_superseded(self._unsent_update(request))",
            "pass",
        ),
    ),
    *_mutants(
        _AUDIT,
        (
            "the audit reads the first page only",
            "I11",
            "if page.next_path is None:",
            "if page.next_path is None or page.messages:",
        ),
        (
            "the audit writes messages that it does not know",
            "I11",
            "self.messages.record_existing(write.message, write.update) is not None",
            "self.messages.record(write.update) is not None",
        ),
        (
            "a rejected creation is imported",
            "I11 I2",
            "if resource.may_be_rejected_creation:",
            "if resource.may_be_rejected_creation and self.mode is AuditMode.OFF:",
        ),
        (
            "nothing is imported",
            "I11",
            "self.mode is AuditMode.ALL and self._may_import(resource, result.day)",
            "self.mode is AuditMode.OFF",
        ),
        (
            "an audit that starts again keeps its counts",
            "I11",
            "result.restarted(self.now())",
            "replace(result, next_page=None, pages=0, marked_page=None)",
        ),
        (
            "an interrupted audit counts as done",
            "I11",
            "yield reports.interrupted(error, result)\nreturn None",
            "yield reports.interrupted(error, result)\nreturn replace(result, state=target)",
        ),
        (
            "a day that was not audited is passed over",
            "I11",
            "if result is None or result.state is not target:\n    break",
            "pass",
        ),
        (
            "a requested audit that ended early is not continued",
            "I11",
            "self.audits.requested()",
            "()",
        ),
        (
            "a difference is not counted",
            "I11",
            "result = result.with_difference(reason, resource.sid)",
            "pass",
        ),
    ),
    *_mutants(
        _LAYER,
        (
            "an audit goes on although another run has its lease",
            "I11",
            "known and known.lease_until and now < known.lease_until",
            "known and known.lease_until and now > known.lease_until",
        ),
        (
            "the second audit goes on where the first one ended",
            "I11",
            "known.state is AuditState.RUNNING and known.target is target",
            "known is not None",
        ),
        (
            "the audit ignores prices",
            "I11",
            "corrections.add(Correction.PRICE)",
            "pass",
        ),
        (
            "the audit corrects pending messages only",
            "I11",
            "if differences:",
            "if differences or message.final_at is not None:",
        ),
    ),
    *_mutants(
        _COMMAND_LINE,
        (
            "data is erased in the table and not at Twilio",
            "erasure",
            "self.twilio.delete(message_sid, account_sid)",
            '""',
        ),
    ),
)
