"""The dead-letter queues that can be redriven; docs/operations.md explains why only these."""

from dataclasses import dataclass
from typing import Final

SEND: Final = "send"
CALLBACKS: Final = "callbacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Logical ids of a dead-letter queue and of the queue that its messages return to."""

    source: str
    target: str


ROUTES: Final = {
    SEND: Route(source="SendDeadLetterQueue", target="SendQueue"),
    CALLBACKS: Route(source="CallbackDeadLetterQueue", target="CallbackQueue"),
}
