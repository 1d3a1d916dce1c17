"""Checks of callers: true replies (I5), nothing lost on a queue (I1, I4, I7), the senders' rate."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Final

from simulation.callers import CallerRequest, Entry, request_id_for
from simulation.checks.evidence import Evidence, Record, Violation, request_id_of
from simulation.deployment import queue_url

_CLOCK_SECONDS: Final = 1.0
_MUST_NOT_FAIL: Final = ("send_message", "status_callback", "query_messages")
"""The functions that answer a client; whatever else invokes a function invokes it again."""
_AS_REQUESTED: Final = "RequestFailed"
"""What a direct invocation with `raise_on_error` raises if nothing was sent."""
_PROVABLY_NOT_SENT: Final = frozenset({400, 422, 503})
_MAX_SECONDS_TO_TWILIO: Final = 40
"""The time from a message's slot until Twilio has it: retries, and a slow network."""


def check_callers(evidence: Evidence) -> Iterator[Violation]:
    """Yield the violations of every caller's request."""
    for invocation, error in evidence.world.lambda_service.errors:
        if invocation.startswith(_MUST_NOT_FAIL) and type(error).__name__ != _AS_REQUESTED:
            yield Violation("errors", invocation, f"raised {error!r}")
    for request in evidence.world.callers.requests:
        yield from _true_replies(evidence, request)
        yield from _traceable(evidence, request)
        if request.entry is Entry.ASYNCHRONOUS and request.raises:
            yield from _sent_or_failed(evidence, request)
    yield from _empty_queues(evidence)
    yield from _rate_limited(evidence)


def _true_replies(evidence: Evidence, request: CallerRequest) -> Iterator[Violation]:
    replies = request.replies
    sids = {reply.body["message_sid"] for reply in replies if reply.status in {200, 201}}
    if unknown := sids - evidence.at_twilio.keys() - evidence.tombstones.keys():
        yield Violation("I5", request.caller, f"the reply says that {sorted(unknown)} was sent")
    # A corrected request has other content than the one that it corrects.
    conflicts = [it for it in replies if it.status == 409 and "state" not in it.body]
    if conflicts and not request.is_corrected:
        yield Violation("I5", request.caller, "the reply says that the key has other content")
    if request.key is None or request.entry is Entry.BATCH:  # whose 503 proves nothing
        return
    messages = evidence.sent_under.get(request_id_for(request.key, request.account_sid), [])
    sent = {message.sid for message in messages}
    since = min((evidence.world.loop.seconds_at(it.created) for it in messages), default=None)
    if since is not None and any(it.status == 400 and it.at > since for it in replies):
        yield Violation(
            "I5", request.caller, "the reply says that a request is invalid that was sent"
        )
    if not sids <= sent:
        yield Violation(
            "I5", request.caller, f"the replies say {sorted(sids)}, sent {sorted(sent)}"
        )
    statuses = [reply.status for reply in replies]
    all_replied = statuses and len(statuses) == request.attempts
    if sent and all_replied and set(statuses) <= _PROVABLY_NOT_SENT:
        yield Violation("I5", request.caller, f"the replies were {statuses}, sent {sorted(sent)}")


def _traceable(evidence: Evidence, request: CallerRequest) -> Iterator[Violation]:
    """A queued request is sent, rejected and recorded, or a dead letter."""
    queue_ids = request.queue_ids
    if request.entry is Entry.BATCH:  # each message of a batch has a key
        results = [it for reply in request.replies for it in reply.body.get("results", [])]
        queue_ids = ["" for result in results if result.get("queued")]
    for queue_id in queue_ids:
        account_sid = request.account_sid
        request_id = request_id_for(request.key or queue_id, account_sid)
        stored = evidence.requests.get(request_id)
        # Invalid input is recorded by its key, or by its id on the queue.
        keys = [it for it in (request.key, queue_id) if it]
        ids = {request_id, *(request_id_for(it, account_sid) for it in keys)}
        item = next((evidence.messages[it] for it in ids if it in evidence.messages), None)
        if ids & evidence.tombstones.keys():
            continue
        if not (stored or item or evidence.dead_letters):
            yield Violation("I7", request_id, "the queued request left no trace")
        if stored and stored["state"] == "rejected":
            if item is None:
                yield Violation("I4", request_id, "rejected, and not recorded")
            elif _is_older(evidence, item, request) and not evidence.dead_letters:
                yield Violation("I4", request_id, "rejected again, and not recorded again")


def _is_older(evidence: Evidence, item: Record, request: CallerRequest) -> bool:
    """Return whether a failure was recorded before the request was queued the last time."""
    at = datetime.fromisoformat(item["transitions"][0]["at"])
    return evidence.world.loop.seconds_at(at) < request.queued_at - _CLOCK_SECONDS


def _sent_or_failed(evidence: Evidence, request: CallerRequest) -> Iterator[Violation]:
    """An asynchronous invocation that sent nothing is kept by its failure destination."""
    request_id = request_id_for(request.key or "", request.account_sid)
    state = evidence.requests.get(request_id, {}).get("state")
    if state in {"sent", "in_doubt", "presumed_unsent"} or request_id in evidence.tombstones:
        return
    failures = evidence.world.aws.queues[queue_url("SendInvocationFailuresQueue")].messages
    documents = [json.loads(it.body) for it in failures.values()]
    if {**request.document, "raise_on_error": True} not in documents:
        text = f"the request is {state}, and its failed invocation is not kept"
        yield Violation("I7", request.caller, text)


def _empty_queues(evidence: Evidence) -> Iterator[Violation]:
    for url, queue in evidence.world.aws.queues.items():
        if queue.messages and url != queue_url("SendInvocationFailuresQueue"):
            name = url.rpartition("/")[2]
            promise = "I1" if "Callback" in name else "I7"
            yield Violation(promise, name, f"{len(queue.messages)} messages are left")


def _rate_limited(evidence: Evidence) -> Iterator[Violation]:
    """Requests from the queue keep to the rate of an account's sender; each is one segment."""
    rate = float(evidence.world.segments_per_second)
    from_queue = {
        request_id_for(key, request.account_sid)
        for request in evidence.world.callers.requests
        if request.entry in {Entry.QUEUE, Entry.BATCH}
        for key in (request.key, *request.queue_ids)
        if key
    }
    sent: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    for message in evidence.at_twilio.values():
        if rate and request_id_of(message) in from_queue:
            sender = message.messaging_service_sid or message.sender or ""
            sent[message.account_sid, sender].append(message.created)
    for (_, sender), times in sent.items():
        for before, after in pairwise(sorted(times)):
            if (after - before).total_seconds() < 1 / rate - _MAX_SECONDS_TO_TWILIO:
                yield Violation("rate", sender, f"only {after - before} between two messages")
