"""Which dead letters may be redriven, and where to; docs/operations.md says why no others may."""

from dataclasses import dataclass
from typing import Final

SEND: Final = "send"
CALLBACKS: Final = "callbacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A dead-letter queue and the queue to which it leads back, by their logical ids."""

    dead_letters: str
    queue: str


ROUTES: Final = {
    SEND: Route(dead_letters="SendDeadLetterQueue", queue="SendQueue"),
    CALLBACKS: Route(dead_letters="CallbackDeadLetterQueue", queue="CallbackQueue"),
}
