"""What must be true of every run once it has come to rest: the promises I1 to I7.

Nothing here asks the project's own rules: what Twilio knows is compared with what is stored, by
the words of the contract.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Final
from urllib.parse import parse_qs, urlsplit

from sandbox.twilio.resource import Message as TwilioMessage
from simulation.aftermath import FAILURES, Record, Violation, is_erased, plain
from simulation.callers import Entry, Wish
from simulation.deployment import parameter, queue_url
from simulation.notices import wrong_notices
from simulation.operator import Erasure
from simulation.outcomes import wrong_events
from simulation.twilio_side import ACCOUNT_SID
from simulation.world import World

_RANKS: Final[Mapping[str, int]] = {
    "accepted": 10,
    "scheduled": 15,
    "queued": 20,
    "sending": 30,
    "sent": 40,
    "canceled": 50,
    "failed": 60,
    "rejected": 60,
    "presumed_unsent": 60,
    "undelivered": 70,
    "partially_delivered": 75,
    "delivered": 80,
    "read": 90,
}
_OUTCOMES: Final[Mapping[str, str]] = {
    "canceled": "canceled",
    **dict.fromkeys(FAILURES, "failed"),
    "delivered": "delivered",
    "read": "delivered",
}
_ANSWERING: Final = ("send_message", "status_callback", "query_messages")
_TURNED_AWAY: Final = frozenset({400, 403, 413, 415})
_PROVABLY_NOT_SENT: Final = frozenset({400, 422, 503})
_SUCCESS: Final = 2
_LATE_AT_TWILIO: Final = 40
"""Seconds that a message may take from its turn until Twilio has it: tries, and a slow network."""
_MARKER: Final = frozenset({"message_sid", "erased_at", "status_rank", "expires_at"})


def violations(world: World) -> list[Violation]:
    """Every promise that this run broke."""
    return list(_Checks(world).all())


class _Checks:
    """The checks of one run, and what they are made on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._at_twilio = {message.sid: message for message in world.twilio.simulator.messages()}
        items = [plain(item) for item in world.aws.tables["MessagesTable"].items()]
        self._items = {it["message_sid"]: it for it in items if not is_erased(it)}
        self._erased = {it["message_sid"]: it for it in items if is_erased(it)}
        self._requests = {
            record["request_id"]: record
            for record in map(plain, world.aws.tables["SendRequestsTable"].items())
            if "state" in record  # another kind of item remembers what was read of Twilio's list
        }
        self._sent_under: dict[str, list[TwilioMessage]] = defaultdict(list)
        for message in (*self._at_twilio.values(), *world.twilio.deleted):
            if request_id := _request_id(message):
                self._sent_under[request_id].append(message)

    def all(self) -> Iterator[Violation]:
        """Every violation."""
        for name, error in self._world.lambda_service.errors:
            if name.startswith(_ANSWERING):  # others may: whatever invokes them does so again
                yield Violation(promise="errors", subject=name, text=f"raised {error!r}")
        for message in self._at_twilio.values():
            yield from self._understood(message)
            yield from self._durable(message)
            yield from self._known(message)
        for item in self._items.values():
            yield from self._true(item)
            yield from self._ended(item)
        yield from wrong_notices(self._world)
        yield from wrong_events(self._world)
        yield from self._sent_once()
        for request in self._requests.values():
            yield from self._settled(request)
        for wish in self._world.callers.wishes:
            yield from self._answered(wish)
            yield from self._not_forgotten(wish)
        yield from self._nothing_left()
        yield from self._paced()
        yield from self._erased_for_good()

    # --- I1, I3: what Twilio was promised ---

    def _durable(self, message: TwilioMessage) -> Iterator[Violation]:
        item = self._items.get(message.sid)
        for status, code in self._acknowledged(message.sid):
            transitions = {entry["status"]: entry for entry in item["transitions"]} if item else {}
            if status not in transitions:
                yield Violation(
                    promise="I1", subject=message.sid, text=f"{status} got a 2xx, and is not stored"
                )
            elif code is not None and transitions[status].get("error_code") != code:
                yield Violation(
                    promise="I3", subject=message.sid, text=f"{status}'s code {code} is not stored"
                )

    def _understood(self, message: TwilioMessage) -> Iterator[Violation]:
        """No callback of Twilio's own is ever turned away as if a stranger had sent it."""
        for callback in self._world.twilio.simulator.callbacks(message.sid):
            answers = {past.result.status or 0 for past in callback.attempts}
            if turned_away := answers & _TURNED_AWAY:
                status, _ = _status_and_code(callback.parameters)
                text = f"{status} was answered {sorted(turned_away)}"
                yield Violation(promise="I1", subject=message.sid, text=text)

    def _known(self, message: TwilioMessage) -> Iterator[Violation]:
        """A message that Twilio has for a request of ours is found, whatever happened."""
        request_id = _request_id(message)
        if request_id is None or message.sid in self._items:
            return
        request = self._requests.get(request_id)
        if request is None:
            text = f"it was sent for {request_id}, of which nothing is known"
            yield Violation(promise="I5", subject=message.sid, text=text)
        elif request["state"] != "presumed_unsent" and not self._is_left_to_people(request):
            text = f"{request_id} is {request['state']}, and its message is not stored"
            yield Violation(promise="I6", subject=message.sid, text=text)

    # --- I2, I3, I7: what is stored ---

    def _true(self, item: Record) -> Iterator[Violation]:
        sid = item["message_sid"]
        statuses = [entry["status"] for entry in item["transitions"]]
        if len(statuses) != len(set(statuses)):
            yield Violation(promise="I2", subject=sid, text=f"repeated: {statuses}")
        if sid.startswith("rq_"):
            return
        best = max(statuses, key=_rank)
        if item["status"] != (best if _rank(best) else "unknown"):
            text = f"{item['status']} is not the best of {statuses}"
            yield Violation(promise="I2", subject=sid, text=text)
        outcome = _OUTCOMES.get(best, "pending")
        if item["outcome"] != outcome and (outcome, item["outcome"]) != ("pending", "unconfirmed"):
            text = f"{item['outcome']} with {statuses}"
            yield Violation(promise="I2", subject=sid, text=text)
        if sid not in self._at_twilio:
            yield Violation(promise="I2", subject=sid, text="Twilio has no such message")
            return
        yield from self._as_at_twilio(item, statuses)

    def _as_at_twilio(self, item: Record, statuses: list[str]) -> Iterator[Violation]:
        message = self._at_twilio[item["message_sid"]]
        codes = self._codes(message)
        if made_up := set(statuses) - set(codes):
            text = f"{sorted(made_up)} never happened"
            yield Violation(promise="I2", subject=message.sid, text=text)
        for entry in item["transitions"]:
            if entry.get("error_code") not in {None, codes.get(entry["status"])}:
                text = f"{entry['status']} has the code {entry['error_code']}"
                yield Violation(promise="I3", subject=message.sid, text=text)
            lacks = entry.get("error_code") is None and codes.get(entry["status"]) is not None
            if lacks and entry["source"] != "callback":  # what was called back is in `_durable`
                text = f"{entry['status']} lacks its code"
                yield Violation(promise="I3", subject=message.sid, text=text)
        failures = {
            entry["status"]: entry["error_code"]
            for entry in item["transitions"]
            if entry["status"] in FAILURES and "error_code" in entry
        }
        code = failures[max(failures, key=_rank)] if failures else None
        expected = code if item["outcome"] == "failed" else None
        if item.get("error_code") != expected:
            text = f"error_code {item.get('error_code')} instead of {expected}"
            yield Violation(promise="I3", subject=message.sid, text=text)
        final = _OUTCOMES.get(message.status)
        if final and item["outcome"] in {"pending", "unconfirmed"}:
            text = f"{item['outcome']}, and Twilio knows that it is {message.status}"
            yield Violation(promise="I7", subject=message.sid, text=text)

    def _ended(self, item: Record) -> Iterator[Violation]:
        sid = item["message_sid"]
        after_all = sid.startswith("rq_") and item["status"] == "sent"
        if item["outcome"] == "pending" and not after_all:
            yield Violation(promise="I7", subject=sid, text="it never ended")
        if item["outcome"] == "unconfirmed":
            waited = datetime.fromisoformat(item["list_at"]) - datetime.fromisoformat(
                max(item["created_at"], item.get("send_at", ""))
            )
            if waited < timedelta(hours=float(parameter("UnconfirmedAfterHours"))):
                yield Violation(promise="I7", subject=sid, text=f"given up after {waited}")
        listed = str(item.get("list_key", "")).partition("#")[0]
        if listed != {"failed": "failed", "unconfirmed": "unconfirmed"}.get(item["outcome"], ""):
            yield Violation(promise="I7", subject=sid, text=f"it is on the list {listed!r}")

    # --- I5, I6: what was sent ---

    def _sent_once(self) -> Iterator[Violation]:
        for request_id, messages in self._sent_under.items():
            if len(messages) > 1:
                text = f"{len(messages)} messages: {[message.sid for message in messages]}"
                yield Violation(promise="I5", subject=request_id, text=text)

    def _settled(self, request: Record) -> Iterator[Violation]:
        request_id, state = request["request_id"], request["state"]
        messages = self._sent_under.get(request_id, [])
        match state:
            case "sent":
                item = self._items.get(request_id)
                if item is not None and item["outcome"] == "failed":
                    text = "sent, and shown as failed"
                    yield Violation(promise="I6", subject=request_id, text=text)
                if [message.sid for message in messages] != [request.get("message_sid")]:
                    text = f"sent as {request.get('message_sid')}, but Twilio has {messages}"
                    yield Violation(promise="I6", subject=request_id, text=text)
                yield from self._found_by_its_facts(request)
            case "rejected":
                if messages:
                    yield Violation(promise="I5", subject=request_id, text="refused, and sent")
            case "presumed_unsent":
                if request_id not in self._erased:
                    yield from self._not_found(request, messages)
            case _ if not self._is_left_to_people(request):
                yield Violation(promise="I6", subject=request_id, text=f"still {state}")

    def _found_by_its_facts(self, request: Record) -> Iterator[Violation]:
        """What the caller said of it is with the message, whoever told of that one first."""
        if request["message_sid"] in self._erased:
            return
        item = self._items.get(request["message_sid"], {})
        same_reference = item.get("reference") == request.get("reference")
        if not same_reference or not item.get("context", {}).items() >= (
            request.get("context", {}).items()
        ):
            text = f"{request['message_sid']} lacks what {request['request_id']} said of it"
            yield Violation(promise="I6", subject=request["message_sid"], text=text)

    def _not_found(self, request: Record, messages: list[TwilioMessage]) -> Iterator[Violation]:
        request_id = request["request_id"]
        item = self._items.get(request_id)
        if item is None or item["outcome"] != "failed":
            text = f"not found, and shown as {item and item['outcome']}"
            yield Violation(promise="I6", subject=request_id, text=text)
        for message in messages:
            if any(self._acknowledged(message.sid)):
                text = f"not found, though {message.sid} called back with its id"
                yield Violation(promise="I6", subject=request_id, text=text)
            elif self._is_unmistakable(message):
                text = f"not found, though {message.sid} is in Twilio's list"
                yield Violation(promise="I6", subject=request_id, text=text)

    def _is_unmistakable(self, message: TwilioMessage) -> bool:
        """Nobody else asked for a message that looks the same, and the list shows it in time."""
        lag = self._world.twilio.simulator.settings.list_lag_seconds
        in_time = lag < float(parameter("InDoubtTimeoutMinutes")) * 60 - 120
        return in_time and self._look_alikes(message.to, message.body) <= 1

    def _is_left_to_people(self, request: Record) -> bool:
        """Several look alike, which nobody guesses between; an operator was told."""
        counted = self._world.lambda_service.metrics["InDoubtAmbiguous"] > 0
        rivals = [
            other
            for other in self._requests.values()
            if other.get("to") == request.get("to") and other["state"] != "sent"
        ]
        strangers = [
            message
            for message in self._at_twilio.values()
            if message.to == request.get("to")
            and _request_id(message) != self._items.get(message.sid, {}).get("request_id")
        ]
        return counted and len(rivals) + len(strangers) > 1

    def _look_alikes(self, to: str, body: str) -> int:
        """The messages to this recipient with this text that may have been posted."""
        return sum(
            1 if wish.effective_key else wish.tries
            for wish in self._world.callers.wishes
            if wish.document["to"] == to and body.endswith(wish.document["body"])
        )

    def _answered(self, wish: Wish) -> Iterator[Violation]:
        subject = f"caller {wish.number}"
        for reply in wish.replies:
            if reply.status in {200, 201}:
                sid = reply.body["message_sid"]
                if sid not in self._at_twilio and sid not in self._erased:
                    text = f"told that {sid} was sent"
                    yield Violation(promise="I5", subject=subject, text=text)
            if reply.status == 409 and "state" not in reply.body:
                text = "told that the key has other content"
                yield Violation(promise="I5", subject=subject, text=text)
        if wish.effective_key is None or wish.entry is Entry.BATCH:  # whose 503 promises nothing
            return
        sids = {reply.body["message_sid"] for reply in wish.replies if reply.status in {200, 201}}
        request_id = _request_id_of(wish.effective_key)
        sent = {message.sid for message in self._sent_under.get(request_id, [])}
        if not sids <= sent:
            yield Violation(promise="I5", subject=subject, text=f"told {sids}, sent {sent}")
        heard = [reply.status for reply in wish.replies]
        if sent and heard and len(heard) == wish.tries and set(heard) <= _PROVABLY_NOT_SENT:
            text = f"told {heard}, and {sent} was sent"
            yield Violation(promise="I5", subject=subject, text=text)

    def _not_forgotten(self, wish: Wish) -> Iterator[Violation]:
        """What was put into the queue is sent, refused, or among the dead letters; never both."""
        queue_ids = wish.queue_ids
        if wish.entry is Entry.BATCH:  # those messages say their keys themselves
            queued = [it for reply in wish.replies for it in reply.body.get("results", [])]
            queue_ids = ["" for result in queued if result.get("queued")]
        for queue_id in queue_ids:
            request_id = _request_id_of(wish.effective_key or queue_id)
            request = self._requests.get(request_id)
            # Bad input is known by its key or else the id that it had in the queue, and by no
            # account.
            known_as = {
                request_id,
                *(_request_id_of(key, "") for key in (wish.effective_key, queue_id) if key),
            }
            item = next((self._items[it] for it in known_as if it in self._items), None)
            if known_as & self._erased.keys():
                continue
            if not (request or item or self._dead_letters):
                text = f"{request_id} of the queue ended without a trace"
                yield Violation(promise="I7", subject=request_id, text=text)
            if request and request["state"] == "rejected" and item is None:
                text = "refused, and nobody was told"
                yield Violation(promise="I4", subject=request_id, text=text)

    def _nothing_left(self) -> Iterator[Violation]:
        for url, queue in self._world.aws.queues.items():
            if queue.messages:
                name = url.rpartition("/")[2]
                text = f"{len(queue.messages)} messages are left"
                yield Violation(
                    promise="I1" if "Callback" in name else "I7", subject=name, text=text
                )

    def _paced(self) -> Iterator[Violation]:
        """What came from the queue went at the sender's rate; all of it is one segment long."""
        rate = float(self._world.sends_per_second)
        from_queue = {
            _request_id_of(key)
            for wish in self._world.callers.wishes
            if wish.entry in {Entry.QUEUE, Entry.BATCH}
            for key in (wish.effective_key, *wish.queue_ids)
            if key
        }
        sent: defaultdict[str, list[datetime]] = defaultdict(list)
        for message in self._at_twilio.values():
            if rate and _request_id(message) in from_queue:
                sent[message.messaging_service_sid or message.sender or ""].append(message.created)
        for sender, times in sent.items():
            for before, after in pairwise(sorted(times)):
                if (after - before).total_seconds() < 1 / rate - _LATE_AT_TWILIO:
                    text = f"{after - before} after each other"
                    yield Violation(promise="rate", subject=sender, text=text)

    # --- what was erased ---

    def _erased_for_good(self) -> Iterator[Violation]:
        """The operator got done, and nothing came back."""
        for erasure in self._world.operator.erasures:
            yield from self._gone(erasure)
        for address, reasons in self._world.operator.left.items():
            yield Violation(promise="erasure", subject=address, text=f"never done: {reasons}")
        for sid, marker in self._erased.items():
            if more := marker.keys() - _MARKER:
                text = f"{sorted(more)} is known of it again"
                yield Violation(promise="erasure", subject=sid, text=text)

    def _gone(self, erasure: Erasure) -> Iterator[Violation]:
        """What was there when it began is nowhere any more, whatever was told of it later."""
        address, began = erasure.address, self._world.loop.time_at(erasure.began)
        for message in self._at_twilio.values():
            if message.to == address and message.created < began:
                yield Violation(promise="erasure", subject=message.sid, text="Twilio still has it")
        for message in self._world.twilio.deleted:
            if message.sid in self._items:
                yield Violation(promise="erasure", subject=message.sid, text="it is back")
        for request in self._requests.values():
            if (
                request.get("to") == address
                and datetime.fromisoformat(request["claimed_at"]) < began
            ):
                text = "it still says to whom"
                yield Violation(promise="erasure", subject=request["request_id"], text=text)
        for item in self._items.values():
            if item.get("to") == address and datetime.fromisoformat(item["created_at"]) < began:
                text = "it still says to whom"
                yield Violation(promise="erasure", subject=item["message_sid"], text=text)

    # --- what the checks look at ---

    @cached_property
    def _dead_letters(self) -> int:
        return len(self._world.aws.queues[queue_url("SendDeadLetterQueue")].messages)

    def _acknowledged(self, sid: str) -> Iterator[tuple[str, int | None]]:
        """The statuses, with their codes, for which Twilio got a 2xx."""
        for callback in self._world.twilio.simulator.callbacks(sid):
            if any((past.result.status or 0) // 100 == _SUCCESS for past in callback.attempts):
                yield _status_and_code(callback.parameters)

    def _codes(self, message: TwilioMessage) -> dict[str, int | None]:
        """Every status that the message has had at Twilio, with its error code."""
        codes: dict[str, int | None] = dict.fromkeys(("queued", "accepted", "scheduled"))
        for callback in self._world.twilio.simulator.callbacks(message.sid):
            status, code = _status_and_code(callback.parameters)
            codes[status] = code
        return codes


def _rank(status: str) -> int:
    return _RANKS.get(status, 0)


def _request_id(message: TwilioMessage) -> str | None:
    """The request of ours that the message's callback URL names."""
    query = parse_qs(urlsplit(message.status_callback or "").query)
    return query.get("request_id", [None])[0]


def _request_id_of(key: str, account: str = ACCOUNT_SID) -> str:
    return f"rq_{hashlib.sha256(f'{account} {key}'.encode()).hexdigest()[:32]}"


def _status_and_code(parameters: Iterable[tuple[str, str]]) -> tuple[str, int | None]:
    said = dict(parameters)
    return said["MessageStatus"], int(said["ErrorCode"]) if "ErrorCode" in said else None
