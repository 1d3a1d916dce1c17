"""What a run left behind: items of the tables and their changes, messages at Twilio, notices.

The checks use none of the project's own rules: they compare what Twilio knows with what is stored,
by the words of the contract.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from sandbox.twilio.resource import Message as TwilioMessage
from sandbox.twilio.scenarios import scenario_for
from simulation.deployment import queue_url
from simulation.existing_sender import IMPOSTOR_BODY
from simulation.first_items import UNREADABLE_REQUEST_IDS, UNREADABLE_SID, is_in_backlog
from simulation.world import World

type Record = dict[str, Any]
"""An item of a table as plain data."""

FAILURES: Final = frozenset(
    {"failed", "rejected", "presumed_unsent", "undelivered", "partially_delivered"}
)
"""The statuses that a failure notice is for."""
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
_SUCCESS: Final = 2


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise; `subject` is the word by which the trace is searched."""

    promise: str
    subject: str
    text: str


class Evidence:
    """The evidence of one run that has ended."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.at_twilio = {message.sid: message for message in world.twilio.simulator.messages()}
        """The messages that Twilio has, by SID."""
        items = {it["message_sid"]: it for it in self.table("MessagesTable")}
        items.pop(UNREADABLE_SID, None)
        self.tombstones = {sid: it for sid, it in items.items() if "erased_at" in it}
        self.messages = {sid: it for sid, it in items.items() if sid not in self.tombstones}
        """The stored messages by SID or request id, without tombstones."""
        self.requests = {it["request_id"]: it for it in self.table("SendRequestsTable")}
        for unreadable in UNREADABLE_REQUEST_IDS:
            self.requests.pop(unreadable, None)
        self.sent_under: defaultdict[str, list[TwilioMessage]] = defaultdict(list)
        """The messages at Twilio, deleted ones included, by the request that they name."""
        for message in (*self.at_twilio.values(), *world.twilio.deleted):
            if request_id := request_id_of(message):
                self.sent_under[request_id].append(message)

    def table(self, name: str) -> list[Record]:
        """Return the items of a table."""
        items = map(plain, self.world.aws.tables[name].items())
        return [it for it in items if not is_in_backlog(it.get("request_id", ""))]

    @property
    def dead_letters(self) -> int:
        """The number of requests in SendDeadLetterQueue."""
        return len(self.world.aws.queues[queue_url("SendDeadLetterQueue")].messages)

    def acknowledged(self, sid: str) -> Iterator[tuple[str, int | None]]:
        """Yield the statuses, with their error codes, for which Twilio got a 2xx."""
        for callback in self.world.twilio.simulator.callbacks(sid):
            if any((past.result.status or 0) // 100 == _SUCCESS for past in callback.attempts):
                yield status_and_code(callback.parameters)

    def reported(self, sid: str) -> dict[str, int | None]:
        """Return every status that the message has had at Twilio, with its error code."""
        codes: dict[str, int | None] = dict.fromkeys(("queued", "accepted", "scheduled"))
        callbacks = self.world.twilio.simulator.callbacks(sid)
        if not callbacks:  # it has no StatusCallback: a list names the status of that moment
            message = self.at_twilio[sid]
            codes |= {"sending": None, message.status: message.error_code}
            codes |= {step.status: step.error_code for step in scenario_for(message.to).steps}
        return codes | dict(status_and_code(callback.parameters) for callback in callbacks)

    def is_ambiguous(self, request: Record) -> bool:
        """Return whether several requests or messages match, and operators were alarmed."""
        alarmed = self.world.lambda_service.metrics["InDoubtAmbiguous"] > 0
        rivals = [
            other
            for other in self.requests.values()
            if other.get("to") == request.get("to") and other["state"] != "sent"
        ]
        unknown = [
            message
            for message in self.at_twilio.values()
            if message.to == request.get("to")
            and request_id_of(message) != self.messages.get(message.sid, {}).get("request_id")
        ]
        return alarmed and len(rivals) + len(unknown) > 1


def plain(item: Mapping[str, Any]) -> Record:
    """Return an item without DynamoDB's types."""
    return {name: _value(value) for name, value in item.items()}


def rank(status: str) -> int:
    """Return the rank of a status: the higher one wins; 0 for an unknown status."""
    return _RANKS.get(status, 0)


def is_request(key: str) -> bool:
    """Return whether an item of the MessagesTable is a request that ended without a SID."""
    return key.startswith("rq_")


def request_id_of(message: TwilioMessage) -> str | None:
    """Return the request that the message was sent for: its callback URL names it.

    An impostor's message names one, and was sent for none.
    """
    if message.body.endswith(IMPOSTOR_BODY):  # a trial account puts a prefix before it
        return None
    query = parse_qs(urlsplit(message.status_callback or "").query)
    return query.get("request_id", [None])[0]


def status_and_code(parameters: Iterable[tuple[str, str]]) -> tuple[str, int | None]:
    """Return what a callback reports."""
    form = dict(parameters)
    return form["MessageStatus"], int(form["ErrorCode"]) if "ErrorCode" in form else None


def _value(value: Mapping[str, Any]) -> Any:
    match value:
        case {"N": number}:
            return int(number)
        case {"L": entries}:
            return [_value(entry) for entry in entries]
        case {"M": entries}:
            return plain(entries)
        case {"BOOL": truth}:
            return truth
        case _:
            return value["S"]
