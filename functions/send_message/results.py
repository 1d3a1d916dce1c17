"""What may come of a request to send, or to cancel."""

from dataclasses import dataclass, field

from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState
from delivery.runtime.responses import Problem
from delivery.storage.messages import Recorded

RETRY_AFTER_SECONDS = 5
RETRY_AFTER_REPAIR_SECONDS = 60
"""Somebody must put the secret right first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Twilio took it."""

    message: Message
    stored: bool = True
    """False: the table did not take it, and the request has to bring it in."""
    queued: bool = False
    """True: it waits in the CallbackQueue for the table."""
    recorded: Recorded | None = None
    """What Twilio's answer did to the message in the table, where that took it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRequest:
    """The same key again, and its request was sent: nothing was sent now."""

    request_id: str
    message_sid: str
    message: Message | None
    """None where it is not kept any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """The request cannot be sent as it is; nothing left."""

    problems: tuple[Problem, ...]
    document: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyConflict:
    """The key was used for other content; nothing was sent."""

    request_id: str
    document: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Twilio will not do it, whenever it is asked."""

    code: int | None
    request_id: str | None = None
    document: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageNotFound:
    """Twilio has no such message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """It is being sent right now, or may have been sent, or probably was not: never sent again."""

    request_id: str
    state: RequestState
    reason: str | None = None
    """Why nobody knows, where it was this very try that met it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUnavailable:
    """No message was sent, and it may be tried again."""

    reason: str
    retry_after: int = RETRY_AFTER_SECONDS
    credentials_refused: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A message of a batch that can be sent; it waits in SendQueue if that is `confirmed`.

    Otherwise it may be there all the same: it can be asked for again under its `key` only.
    """

    request_id: str
    key: str
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What became of each message, in their order, and why not all are known to be queued."""

    results: tuple[Queued | Invalid, ...]
    reason: str | None = None

    @property
    def queued(self) -> int:
        """How many wait in SendQueue for certain."""
        return sum(isinstance(it, Queued) and it.confirmed for it in self.results)

    @property
    def invalid(self) -> int:
        """How many cannot be sent as they are."""
        return sum(isinstance(it, Invalid) for it in self.results)

    @property
    def not_queued(self) -> int:
        """How many have to be asked for again."""
        return len(self.results) - self.queued - self.invalid


type SendResult = (
    Accepted
    | DuplicateRequest
    | Invalid
    | IdempotencyConflict
    | Rejected
    | Unresolved
    | ServiceUnavailable
)
type Unsent = Invalid | IdempotencyConflict | Rejected
"""What is final: nothing of it was sent, and nothing will be."""
type CancelResult = Accepted | Rejected | MessageNotFound | ServiceUnavailable
