"""Checks of send requests: sent at most once (I5), and resolved by evidence (I6)."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from sandbox.twilio.resource import Message as TwilioMessage
from simulation.checks.evidence import Evidence, Record, Violation
from simulation.deployment import parameter

_SEARCH_SECONDS: Final = 120
"""How long before the end of the doubt the list must show a message, so that it is found."""
_SEARCH_PAGES: Final = 10
"""How many pages of a recipient's list a run searches; one more shows that the list goes on."""


def check_requests(evidence: Evidence) -> Iterator[Violation]:
    """Yield the violations of every request."""
    for request_id, messages in evidence.sent_under.items():
        if len(messages) > 1:
            yield Violation("I5", request_id, f"several messages: {_sids(messages)}")
    for request in evidence.requests.values():
        yield from _resolved(evidence, request)
    for (invocation, searched), pages in evidence.world.twilio.searches.items():
        if invocation.startswith("reconcile_messages") and len(pages) > _SEARCH_PAGES + 1:
            yield Violation("I6", searched, f"{invocation} reads {len(pages)} pages of it")


def _resolved(evidence: Evidence, request: Record) -> Iterator[Violation]:
    request_id, state = request["request_id"], request["state"]
    messages = evidence.sent_under.get(request_id, [])
    match state:
        case "sent":
            item = evidence.messages.get(request_id)
            if item is not None and item["outcome"] == "failed":
                yield Violation("I6", request_id, "sent, and shown as failed")
            if _sids(messages) != [request.get("message_sid")]:
                text = f"sent as {request.get('message_sid')}, and Twilio has {_sids(messages)}"
                yield Violation("I6", request_id, text)
            yield from _complete(evidence, request)
        case "rejected":
            if messages:
                yield Violation("I5", request_id, "rejected, and sent")
        case "presumed_unsent":
            if request_id not in evidence.tombstones:
                yield from _unsent(evidence, request_id, messages)
        case _ if not evidence.is_ambiguous(request):
            yield Violation("I6", request_id, f"still {state}")


def _complete(evidence: Evidence, request: Record) -> Iterator[Violation]:
    """The message has the caller's reference and context, whichever source was first."""
    sid = request["message_sid"]
    if sid in evidence.tombstones:
        return
    item = evidence.messages.get(sid, {})
    context = item.get("context", {}).items()
    if (
        item.get("reference") != request.get("reference")
        or not context >= request.get("context", {}).items()
    ):
        text = f"{sid} lacks the reference or context of {request['request_id']}"
        yield Violation("I6", sid, text)


def _unsent(
    evidence: Evidence, request_id: str, messages: Sequence[TwilioMessage]
) -> Iterator[Violation]:
    """A request that is presumed unsent is shown as failed, and no evidence contradicts it."""
    item = evidence.messages.get(request_id)
    if item is None or item["outcome"] != "failed":
        text = f"presumed unsent, and shown as {item and item['outcome']}"
        yield Violation("I6", request_id, text)
    for message in messages:
        if any(evidence.acknowledged(message.sid)):
            text = f"presumed unsent, and {message.sid} called back with its id"
            yield Violation("I6", request_id, text)
        elif _is_only_match(evidence, message) and not (
            _has_long_list(evidence, message) and _is_past_search(evidence, request_id)
        ):
            text = f"presumed unsent, and {message.sid} is in Twilio's list"
            yield Violation("I6", request_id, text)


def _is_only_match(evidence: Evidence, message: TwilioMessage) -> bool:
    """Return whether one attempt only matches the message, and the list shows it in time.

    The text that Twilio makes of a template is not known: the request of a message without a body
    matches every message to its recipient.
    """
    lag = evidence.world.twilio.simulator.settings.list_lag_seconds
    in_time = lag < float(parameter("InDoubtTimeoutMinutes")) * 60 - _SEARCH_SECONDS
    matches = sum(
        1 if request.key else request.attempts
        for request in evidence.world.callers.requests
        if request.document["to"] == message.to
        and (not message.body or message.body.endswith(request.document.get("body", "")))
    )
    return in_time and matches <= 1


def _has_long_list(evidence: Evidence, message: TwilioMessage) -> bool:
    """Return whether the list of the message's recipient can have more pages than a run reads."""
    twilio = evidence.world.twilio
    listed = sum(
        (other.account_sid, other.to) == (message.account_sid, message.to)
        for other in (*evidence.at_twilio.values(), *twilio.deleted)
    )
    return listed > _SEARCH_PAGES * twilio.search_page_size


def _is_past_search(evidence: Evidence, request_id: str) -> bool:
    """Return whether the request was presumed unsent when no match could resolve it any more."""
    item = evidence.messages.get(request_id)
    if item is None:
        return False
    claimed = datetime.fromisoformat(evidence.requests[request_id]["claimed_at"])
    presumed = datetime.fromisoformat(item["transitions"][-1]["at"])
    return presumed - claimed >= timedelta(hours=float(parameter("UnconfirmedAfterHours")))


def _sids(messages: Sequence[TwilioMessage]) -> list[str]:
    return [message.sid for message in messages]
