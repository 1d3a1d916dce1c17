"""The results of sending, canceling, and queueing."""

from dataclasses import dataclass
from typing import Final

from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState
from delivery.runtime.responses import Problem
from delivery.storage.messages import Recorded

RETRY_AFTER_SECONDS: Final = 5
RETRY_AFTER_REPAIR_SECONDS: Final = 60
"""For what an operator must repair first, such as the secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Twilio accepted the message, or its cancellation."""

    message: Message
    stored: bool = True
    """Whether the table holds it. If not, a request to send stays on the reconciler's worklist."""
    queued: bool = False
    """Whether it waits in the CallbackQueue for the table."""
    recorded: Recorded | None = None
    """What Twilio's answer changed in the table; None if the table is unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRequest:
    """The key was used before, and its request was sent. This call sent nothing."""

    request_id: str
    message_sid: str
    message: Message | None
    """None if it is no longer kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """The request is invalid, and nothing was sent."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyConflict:
    """The key was used with other content. This call sent nothing."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Twilio rejected the request, and rejects it again if it is repeated."""

    code: int | None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageNotFound:
    """Twilio has no such message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """The request is in progress, in doubt, or presumed unsent, and is never sent again."""

    request_id: str
    state: RequestState
    reason: str | None = None
    """Why it is in doubt, if this very call has made it so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUnavailable:
    """This call sent nothing, and can be repeated later."""

    reason: str
    retry_after: int = RETRY_AFTER_SECONDS
    credentials_refused: bool = False
    throttled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A valid message of a batch. `confirmed` if it is in SendQueue for certain.

    If not, it may be in the queue all the same, and is safe to repeat only under its `key`.
    """

    request_id: str
    key: str
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The result of each message, in their order, and why SQS did not confirm all of them."""

    results: tuple[Queued | Invalid, ...]
    reason: str | None = None

    @property
    def queued(self) -> int:
        """The number of messages that are in SendQueue for certain."""
        return sum(isinstance(it, Queued) and it.confirmed for it in self.results)

    @property
    def invalid(self) -> int:
        """The number of invalid messages."""
        return sum(isinstance(it, Invalid) for it in self.results)

    @property
    def not_queued(self) -> int:
        """The number of messages to repeat."""
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
"""The final results under which nothing was sent."""
type CancelResult = Accepted | Rejected | MessageNotFound | ServiceUnavailable
