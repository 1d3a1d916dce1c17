"""What is asked for, drawn from a seed, and what goes wrong meanwhile.

The seed decides the requests; which of them a fault meets is up to the moment.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from sandbox.gateway import MESSAGES_API_PREFIX, Fault, FaultKind

_CALLBACKS: Final = "/twilio/status"
_SENDER: Final = "+15005550006"
_SERVICE_SID: Final = "MG" + "0" * 32
_NEARBY: Final = 24  # requests between a request and its late repetition, at the most

STORM: Final = (
    Fault(kind=FaultKind.FAIL, path=_CALLBACKS, times=None, chance=0.1),
    Fault(
        kind=FaultKind.FAIL,
        path=_CALLBACKS,
        times=None,
        chance=0.05,
        status=HTTPStatus.TOO_MANY_REQUESTS,
    ),
    Fault(kind=FaultKind.DROP, path=_CALLBACKS, times=None, chance=0.1),
    Fault(kind=FaultKind.LOSE_ANSWER, path=_CALLBACKS, times=None, chance=0.1),
    Fault(kind=FaultKind.STALL, path=_CALLBACKS, times=None, chance=0.08, seconds=1),
    # Longer than Twilio waits for an answer; the callback arrives all the same.
    Fault(kind=FaultKind.STALL, path=_CALLBACKS, times=None, chance=0.02, seconds=6),
    Fault(kind=FaultKind.FAIL, path=MESSAGES_API_PREFIX, times=None, chance=0.08),
    Fault(kind=FaultKind.DROP, path=MESSAGES_API_PREFIX, times=None, chance=0.08),
    Fault(kind=FaultKind.LOSE_ANSWER, path=MESSAGES_API_PREFIX, times=None, chance=0.1),
    Fault(kind=FaultKind.STALL, path=MESSAGES_API_PREFIX, times=None, chance=0.05, seconds=1),
)
"""What goes wrong all the time."""

OUTAGE: Final = Fault(kind=FaultKind.DROP, path=_CALLBACKS, times=None)
"""What goes wrong for a while: no callback gets through, and Twilio gives up on some."""


class Accepts(StrEnum):
    """What Twilio does about a request to send."""

    IT = "it"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A recipient, its story in words, and how often it is drawn."""

    to: str
    story: str
    weight: int = 3
    accepts: Accepts = Accepts.IT


RECIPIENTS: Final = (
    Recipient(to="+15551234567", story="arrives", weight=24),
    Recipient(to="+15555530003", story="phone is switched off", weight=9),
    Recipient(to="+15555530007", story="filtered by the carrier", weight=6),
    Recipient(to="+15555550101", story="delivered before sent"),
    Recipient(to="+15555550102", story="every callback twice"),
    Recipient(to="+15555550103", story="the final callback is lost"),
    Recipient(to="+15555550104", story="every callback is lost"),
    Recipient(to="+15555550105", story="stays sent for ever"),
    Recipient(to="+15555550106", story="callback before the answer"),
    Recipient(to="+15555550107", story="accepted, no answer", weight=5),
    Recipient(to="+15555550108", story="accepted, but answered 500", weight=5),
    Recipient(to="+15555550109", story="429 twice, then accepted"),
    Recipient(to="+15555550110", story="undelivered, then delivered"),
    Recipient(to="+15555550111", story="never accepted, no answer", accepts=Accepts.NOTHING),
    Recipient(to="+15555550112", story="delivered, then read"),
    Recipient(to="+15555550113", story="a status of the future"),
    Recipient(to="+15005550001", story="refused by Twilio", accepts=Accepts.NOTHING),
    Recipient(to="nobody", story="no recipient at all", weight=1, accepts=Accepts.NOTHING),
)


class Way(StrEnum):
    """How a request comes in."""

    API = "api"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One message that somebody wants sent; `asks` is how often they ask for it.

    Without a key nobody asks twice.
    """

    number: int
    recipient: Recipient
    way: Way
    key: str | None
    asks: int
    content: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """By which our tables know it."""
        return str(self.content["reference"])

    @property
    def body(self) -> str:
        """By which Twilio knows it: no other one has this text."""
        return str(self.content["body"])


def draw_orders(seed: int, count: int) -> list[Order]:
    """So many orders; the same ones for the same seed."""
    chances = random.Random(seed)  # noqa: S311 -- no secret: the same seed draws the same orders
    return [_order(chances, number) for number in range(1, count + 1)]


def in_turn(orders: list[Order], seed: int) -> list[Order]:
    """The orders as they are asked for: repetitions at once, or a little later."""
    chances = random.Random(seed)  # noqa: S311 -- the same
    places: list[tuple[float, Order]] = []
    for place, order in enumerate(orders):
        later = chances.choice((0, _NEARBY))
        places += [(place + chances.random() * later * ask, order) for ask in range(order.asks)]
    return [order for _, order in sorted(places, key=lambda it: it[0])]


def _order(chances: random.Random, number: int) -> Order:
    weights = [recipient.weight for recipient in RECIPIENTS]
    (recipient,) = chances.choices(RECIPIENTS, weights)
    way = chances.choices(list(Way), (3, 1))[0]
    key = f"order-{number}" if chances.random() < 0.9 else None  # noqa: PLR2004 -- nearly all
    content = {
        "to": recipient.to,
        "body": f"Message {number} of the storm",
        "reference": f"chaos-{number}",
    }
    if chances.random() < 0.8:  # noqa: PLR2004 -- most
        content["from"] = _SENDER
    else:
        content["messaging_service_sid"] = _SERVICE_SID
    return Order(
        number=number,
        recipient=recipient,
        way=way,
        key=key,
        asks=chances.choices((1, 2, 3), (6, 3, 1))[0] if key else 1,
        content=content,
    )
