"""What happens to a message, chosen by its recipient's number: a table, and nothing else."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Reply(StrEnum):
    """What becomes of the answer to the send itself."""

    PROMPT = "prompt"
    AFTER_CALLBACK = "after_callback"
    """The first status happens at once, and the answer waits until its callback is settled."""
    DROPPED = "dropped"
    """Accepted, but the connection closes before the answer."""
    ERROR = "error"
    """Accepted, but the answer is 500."""
    NEVER_ACCEPTED = "never_accepted"
    """The connection closes, and nothing was accepted."""
    THROTTLED_TWICE = "throttled_twice"


class Arrival(StrEnum):
    """What becomes of a status's callback."""

    PROMPT = "prompt"
    TWICE = "twice"
    AFTER_NEXT = "after_next"
    """It leaves when the callback of a later status is settled."""
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A status, `paces` after the one before; without `arrival`, the story's own applies."""

    status: str
    error_code: int | None = None
    arrival: Arrival | None = None
    paces: float = 1
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Every status that follows the initial one.

    `rich_channel` is the channel that carries a message which was addressed to a plain number.
    """

    steps: tuple[Step, ...]
    reply: Reply = Reply.PROMPT
    arrival: Arrival = Arrival.PROMPT
    rich_channel: str | None = None


_SENT = Step(status="sent")
_DELIVERED = Step(status="delivered")

DELIVERED = Story(steps=(_SENT, _DELIVERED))

STORIES = {
    "+15555550101": Story(steps=(Step(status="sent", arrival=Arrival.AFTER_NEXT), _DELIVERED)),
    "+15555550102": Story(steps=(_SENT, _DELIVERED), arrival=Arrival.TWICE),
    "+15555550103": Story(steps=(_SENT, Step(status="delivered", arrival=Arrival.LOST))),
    "+15555550104": Story(steps=(_SENT, _DELIVERED), arrival=Arrival.LOST),
    "+15555550105": Story(steps=(_SENT,)),
    "+15555550106": Story(steps=(_SENT, _DELIVERED), reply=Reply.AFTER_CALLBACK),
    "+15555550107": Story(steps=(_SENT, _DELIVERED), reply=Reply.DROPPED),
    "+15555550108": Story(steps=(_SENT, _DELIVERED), reply=Reply.ERROR),
    "+15555550109": Story(steps=(_SENT, _DELIVERED), reply=Reply.THROTTLED_TWICE),
    "+15555550110": Story(
        steps=(
            _SENT,
            Step(status="undelivered", error_code=30003),
            Step(status="delivered", paces=5),
        )
    ),
    "+15555550111": Story(steps=(), reply=Reply.NEVER_ACCEPTED),
    "+15555550112": Story(
        steps=(_SENT, _DELIVERED, Step(status="read", paces=2)), rich_channel="rcs"
    ),
    # Nothing final follows, so the best status that anybody knows today stays `sent`. Twilio adds
    # parameters without notice, and a blank one is part of the signature like any other.
    "+15555550113": Story(
        steps=(
            _SENT,
            Step(
                status="paused_by_carrier",
                parameters=(
                    ("CarrierPauseReason", "Überlast & Prüfung = später"),
                    ("CarrierPauseUntil", ""),
                    ("_schema", "2031-01"),
                ),
            ),
        )
    ),
}

_CODE_NUMBER = re.compile(r"\+155555([1-9][0-9]{4})")

# Codes of messages that could not be sent at all; any other code came back from the carrier or the
# channel. Twilio names queue overflow, suspension, media errors and filters for `failed`
# (https://www.twilio.com/docs/messaging/api/message-resource), and captures show 30007 with it. The
# API's own refusals (2xxxx), scheduling (35xxx) and templates (92xxx) never reach a carrier.
_FAILED_CODES = frozenset(
    {
        11751,  # media too large
        12300,  # media of a wrong type
        14107,  # loop protection
        30001,  # queue overflow
        30002,  # account suspended
        30007,  # filtered
        *range(30010, 30017),  # price, time to live, recipients or channel impossible
        30020,  # scheduling failed
        30021,  # Messaging Service failed
        30036,  # validity period over
        30037,  # sending disabled
        30450,  # blocked by SMS pumping protection
        30454,  # account's limit reached
        30500,  # failed inside Twilio
        63007,  # no such channel sender
        63038,  # account's daily limit
    }
)
_FAILED_FAMILIES = frozenset({20, 21, 35, 92})


def story_for(to: str) -> Story:
    """The story of this recipient, however its number is addressed (plain, `whatsapp:`, `rcs:`).

    A number that spells a failure code goes through `sent` for either status: captures show
    `failed` after it too.
    """
    number = to.rpartition(":")[2]
    code_number = _CODE_NUMBER.fullmatch(number)
    if number in STORIES:
        return STORIES[number]
    if code_number:
        code = int(code_number[1])
        failed = code in _FAILED_CODES or code // 1000 in _FAILED_FAMILIES
        status = "failed" if failed else "undelivered"
        return Story(steps=(_SENT, Step(status=status, error_code=code)))
    return DELIVERED
