"""Checks of callers: true replies (I5), nothing lost on a queue (I1, I4, I7), the senders' rate."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from simulation.callers import CallerRequest, Entry
from simulation.checks.evidence import Evidence, Violation, request_id_for, request_id_of

if TYPE_CHECKING:
    from datetime import datetime

_MUST_NOT_FAIL: Final = ("send_message", "status_callback", "query_messages")
"""The functions that answer a client; whatever else invokes a function invokes it again."""
_PROVABLY_NOT_SENT: Final = frozenset({400, 422, 503})
_MAX_SECONDS_TO_TWILIO: Final = 40
"""The time from a message's slot until Twilio has it: retries, and a slow network."""


def check_callers(evidence: Evidence) -> Iterator[Violation]:
    """Yield the violations of every caller's request."""
    for invocation, error in evidence.world.lambda_service.errors:
        if invocation.startswith(_MUST_NOT_FAIL):
            yield Violation("errors", invocation, f"raised {error!r}")
    for request in evidence.world.callers.requests:
        yield from _true_replies(evidence, request)
        yield from _traceable(evidence, request)
    yield from _empty_queues(evidence)
    yield from _rate_limited(evidence)


def _true_replies(evidence: Evidence, request: CallerRequest) -> Iterator[Violation]:
    replies = request.replies
    sids = {reply.body["message_sid"] for reply in replies if reply.status in {200, 201}}
    if unknown := sids - evidence.at_twilio.keys() - evidence.tombstones.keys():
        yield Violation("I5", request.caller, f"the reply says that {sorted(unknown)} was sent")
    if any(reply.status == 409 and "state" not in reply.body for reply in replies):
        yield Violation("I5", request.caller, "the reply says that the key has other content")
    if request.key is None or request.entry is Entry.BATCH:  # whose 503 proves nothing
        return
    sent = {message.sid for message in evidence.sent_under.get(request_id_for(request.key), [])}
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
        request_id = request_id_for(request.key or queue_id)
        stored = evidence.requests.get(request_id)
        # Invalid input is recorded by its key, or by its id on the queue.
        ids = {request_id, *(request_id_for(it) for it in (request.key, queue_id) if it)}
        item = next((evidence.messages[it] for it in ids if it in evidence.messages), None)
        if ids & evidence.tombstones.keys():
            continue
        if not (stored or item or evidence.dead_letters):
            yield Violation("I7", request_id, "the queued request left no trace")
        if stored and stored["state"] == "rejected" and item is None:
            yield Violation("I4", request_id, "rejected, and not recorded")


def _empty_queues(evidence: Evidence) -> Iterator[Violation]:
    for url, queue in evidence.world.aws.queues.items():
        if queue.messages:
            name = url.rpartition("/")[2]
            promise = "I1" if "Callback" in name else "I7"
            yield Violation(promise, name, f"{len(queue.messages)} messages are left")


def _rate_limited(evidence: Evidence) -> Iterator[Violation]:
    """Requests from the queue keep to the sender's rate; each of them is one segment."""
    rate = float(evidence.world.segments_per_second)
    from_queue = {
        request_id_for(key)
        for request in evidence.world.callers.requests
        if request.entry in {Entry.QUEUE, Entry.BATCH}
        for key in (request.key, *request.queue_ids)
        if key
    }
    sent: defaultdict[str, list[datetime]] = defaultdict(list)
    for message in evidence.at_twilio.values():
        if rate and request_id_of(message) in from_queue:
            sent[message.messaging_service_sid or message.sender or ""].append(message.created)
    for sender, times in sent.items():
        for before, after in pairwise(sorted(times)):
            if (after - before).total_seconds() < 1 / rate - _MAX_SECONDS_TO_TWILIO:
                yield Violation("rate", sender, f"only {after - before} between two messages")
