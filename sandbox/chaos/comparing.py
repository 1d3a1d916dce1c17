"""What our tables, answers and notices say, against what Twilio knows: the differences in words.

The truth is what the simulator did. What it takes to be right is written down here anew, from the
contract, and not taken from the code that is looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from sandbox.aws_account import Record
from sandbox.chaos.asking import Answer
from sandbox.chaos.plan import Accepts, Order, Way
from sandbox.chaos.seeing import UNSETTLED_STATES, AtTwilio, Seen

# Twilio's words, the worst first: the last one that was learned is the status.
_KNOWN: Final = (
    *("accepted", "scheduled", "queued", "sending", "sent", "canceled"),
    *("failed", "undelivered", "partially_delivered", "delivered", "read"),
)
_OUTCOMES: Final = {
    "canceled": "canceled",
    "failed": "failed",
    "undelivered": "failed",
    "partially_delivered": "failed",
    "delivered": "delivered",
    "read": "delivered",
}
_TOLD: Final[Mapping[str | None, tuple[str, ...]]] = {
    "sent": ("failure",),
    "recovered": ("failure", "recovery"),
    "withdrawn": (),
    "muted": (),
    None: (),
}
_EPISODE: Final = "ep_"
_SENT_ANSWERS: Final = (200, 201)
_DOUBTFUL_STATES: Final = frozenset({"in_doubt", "not_found"})


def differences(orders: Sequence[Order], seen: Seen) -> list[str]:
    """Every way in which what is said differs from what is so; empty if all of it is right."""
    messages = {str(item["message_sid"]): item for item in seen.messages}
    sent: defaultdict[str, list[AtTwilio]] = defaultdict(list)
    for message in seen.at_twilio:
        sent[message.body].append(message)
    found: list[str] = []
    for message in seen.at_twilio:
        found += _wrong_message(message, messages.get(message.sid))
    for order in orders:
        found += _wrong_order(order, sent[order.body], seen)
    found += _wrong_requests(seen)
    found += wrong_notices(seen)
    known = {message.sid for message in seen.at_twilio}
    found += [
        f"{sid} is no message of Twilio's, and no request either"
        for sid in messages
        if sid not in known and not sid.startswith("rq_")
    ]
    return found


def untold(seen: Seen) -> int:
    """How many messages ended here before Twilio changed its mind, and no callback told us so.

    Nobody asks about a message that has ended: this is the one thing that can stay unknown.
    """
    messages = {item["message_sid"]: item for item in seen.messages}
    return sum(it.sid in messages and _is_untold(it, messages[it.sid]) for it in seen.at_twilio)


def _is_untold(truth: AtTwilio, item: Record) -> bool:
    recorded = _recorded(item)
    has_ended = _best(recorded) in _OUTCOMES
    return has_ended and truth.status not in {*recorded, *truth.confirmed}


def _recorded(item: Record) -> list[str]:
    return [str(entry["status"]) for entry in item["transitions"]]


def _best(statuses: Iterable[str]) -> str:
    return max(statuses, key=lambda it: _KNOWN.index(it) if it in _KNOWN else -1)


def _wrong_message(truth: AtTwilio, item: Record | None) -> Iterator[str]:
    if item is None:
        yield f"{truth.sid} is not in the table"
        return
    recorded = _recorded(item)
    status = _best(recorded) if _is_untold(truth, item) else truth.status
    if status not in _KNOWN:
        status = _best(recorded)
    outcome = _OUTCOMES.get(status, "unconfirmed")
    error_code = truth.error_codes.get(status) if outcome == "failed" else None
    for name, expected in (
        ("status", status),
        ("outcome", outcome),
        ("error_code", error_code),
        ("request_id", truth.request_id),
    ):
        if item.get(name) != expected:
            yield f"{truth.sid}: {name} is {item.get(name)}, not {expected}"
    if missing := truth.confirmed - set(recorded):
        yield f"{truth.sid}: {sorted(missing)} got a 2xx, and was not recorded"
    if invented := set(recorded) - truth.statuses:
        yield f"{truth.sid}: {sorted(invented)} was recorded, and never was"
    if len(set(recorded)) != len(recorded):
        yield f"{truth.sid}: a status was recorded twice: {recorded}"


def _wrong_order(order: Order, sent: Sequence[AtTwilio], seen: Seen) -> Iterator[str]:
    """Sent as often as it should be, and the caller told the truth about it."""
    answers = [answer for answer in seen.answers if answer.number == order.number]
    is_certain = order.way is Way.QUEUE or order.key is not None
    most = order.recipient.accepts is Accepts.IT
    least = most and is_certain
    if not least <= len(sent) <= most:
        yield f"{order.reference} was sent {len(sent)} times: {[it.sid for it in sent]}"
    for answer in answers:
        yield from _wrong_answer(order, answer, {it.sid for it in sent})
    if sent:
        return
    failed = [
        item
        for item in seen.messages
        if item.get("reference") == order.reference and item["outcome"] == "failed"
    ]
    in_doubt = any(answer.state in _DOUBTFUL_STATES for answer in answers)
    if (order.way is Way.QUEUE or in_doubt) and len(failed) != 1:
        yield f"{order.reference} was never sent, and {len(failed)} items say so"


def _wrong_answer(order: Order, answer: Answer, sids: set[str]) -> Iterator[str]:
    if answer.status in _SENT_ANSWERS and answer.message_sid not in sids:
        yield f"{order.reference}: answered {answer.message_sid}, but Twilio has {sorted(sids)}"


def _wrong_requests(seen: Seen) -> Iterator[str]:
    sids = {message.request_id: message.sid for message in seen.at_twilio}
    requests = {str(item["request_id"]): item for item in seen.requests}
    for request_id, request in requests.items():
        state, message_sid = request["state"], request.get("message_sid")
        if state in UNSETTLED_STATES:
            yield f"{request_id} is {state}"
        elif (state == "sent") != (request_id in sids) or message_sid != sids.get(request_id):
            yield f"{request_id} is {state} as {message_sid}; Twilio has {sids.get(request_id)}"
    for request_id in sids.keys() - requests.keys():
        yield f"{request_id} was sent as {sids[request_id]}, and is not remembered"


def wrong_notices(seen: Seen) -> Iterator[str]:
    """Who failed was told of, alone or in a count, and nobody else; and who recovered after that.

    A failure that was counted has its episode's id; the first one of each episode is told alone.
    """
    expected: set[str] = set()
    counted: Counter[str] = Counter()
    for item in seen.messages:
        sid, notice = item["message_sid"], item.get("notice")
        if notice not in _TOLD:
            yield f"{sid}: its notice is {notice}, and nothing goes on"
        if notice != "muted" and (item["outcome"] == "failed") != (notice == "sent"):
            yield f"{sid}: its outcome is {item['outcome']}, and its notice {notice}"
        notice_id = str(item.get("notice_id"))
        if notice == "muted":
            continue
        if notice_id.startswith(_EPISODE):
            counted[notice_id] += 1
        else:
            expected |= {f"{sid}:{event}" for event in _TOLD.get(notice, ())}
    told = {it for it in seen.notices if not it.startswith(_EPISODE)}
    for notice_id in sorted(expected - told):
        yield f"nobody was told of {notice_id}"
    for notice_id in sorted(told - expected):
        yield f"people were told of {notice_id}, and should not have been"
    yield from _wrong_ranges(seen, counted)


def _wrong_ranges(seen: Seen, counted: Mapping[str, int]) -> Iterator[str]:
    """The notices of an episode cover each number of its count once, however often they came."""
    covered: defaultdict[str, list[int]] = defaultdict(list)
    for notice_id, ranges in seen.ranges.items():
        if len(ranges) > 1:
            yield f"{notice_id} did not always say the same: {sorted(map(str, ranges))}"
        for each in ranges:
            covered[each.episode_id] += range(each.first, each.last + 1)
    for episode_id in sorted(covered.keys() | counted.keys()):
        numbers, failures = sorted(covered[episode_id]), counted.get(episode_id, 0) + 1
        if numbers != list(range(1, failures + 1)):
            yield f"{episode_id}: {failures} failed, and people were told of {numbers}"
