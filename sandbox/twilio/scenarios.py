"""What happens to a message, chosen by its recipient's number: a table."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Reply(StrEnum):
    """What happens to the response to the create request; `rest.py` acts on it."""

    PROMPT = "prompt"
    AFTER_CALLBACK = "after_callback"
    """The first status is reached at once; the response waits for the end of its callback."""
    DROPPED = "dropped"
    """Accepted, but the connection closes without a response."""
    ERROR = "error"
    """Accepted, but the response is 500."""
    NEVER_ACCEPTED = "never_accepted"
    """The connection closes, and nothing is accepted."""
    THROTTLED_TWICE = "throttled_twice"
    """429 twice, then accepted."""


class Arrival(StrEnum):
    """What happens to the callback of a status; `engine.py` acts on it."""

    PROMPT = "prompt"
    TWICE = "twice"
    AFTER_NEXT = "after_next"
    """Sent when the callback of a later status is finished."""
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A status, `delay` times `Settings.step_seconds` after the one before.

    `arrival` overrides that of the scenario; `parameters` are added to the callback.
    """

    status: str
    error_code: int | None = None
    arrival: Arrival | None = None
    delay: float = 1
    parameters: tuple[tuple[str, str], ...] = ()


_SENT = Step(status="sent")
_DELIVERED = Step(status="delivered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Every status that follows the initial one.

    `rich_channel` is the channel that carries a message which was addressed to a plain number.
    """

    steps: tuple[Step, ...] = (_SENT, _DELIVERED)
    reply: Reply = Reply.PROMPT
    arrival: Arrival = Arrival.PROMPT
    rich_channel: str | None = None


# docs/getting-started.md describes each row.
SCENARIOS = {
    "+15555550101": Scenario(steps=(Step(status="sent", arrival=Arrival.AFTER_NEXT), _DELIVERED)),
    "+15555550102": Scenario(arrival=Arrival.TWICE),
    "+15555550103": Scenario(steps=(_SENT, Step(status="delivered", arrival=Arrival.LOST))),
    "+15555550104": Scenario(arrival=Arrival.LOST),
    "+15555550105": Scenario(steps=(_SENT,)),
    "+15555550106": Scenario(reply=Reply.AFTER_CALLBACK),
    "+15555550107": Scenario(reply=Reply.DROPPED),
    "+15555550108": Scenario(reply=Reply.ERROR),
    "+15555550109": Scenario(reply=Reply.THROTTLED_TWICE),
    "+15555550110": Scenario(
        steps=(
            _SENT,
            Step(status="undelivered", error_code=30003),
            Step(status="delivered", delay=5),
        )
    ),
    "+15555550111": Scenario(steps=(), reply=Reply.NEVER_ACCEPTED),
    "+15555550112": Scenario(
        steps=(_SENT, _DELIVERED, Step(status="read", delay=2)), rich_channel="rcs"
    ),
    # No final status follows, so the best known status stays `sent`. Twilio adds parameters
    # without notice; a blank one is part of the signature like any other.
    "+15555550113": Scenario(
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
    "+15555550114": Scenario(
        steps=(
            _SENT,
            Step(status="undelivered", error_code=30003),
            Step(status="delivered", delay=5, arrival=Arrival.LOST),
        )
    ),
}

_ERROR_CODE_NUMBER = re.compile(r"\+155555([1-9][0-9]{4})")

# Codes of messages that could not be sent at all; any other code came back from the carrier or the
# channel. Twilio names queue overflow, suspension, media errors and filters for `failed`
# (https://www.twilio.com/docs/messaging/api/message-resource), and captures show 30007 with it. The
# API's own errors (2xxxx), scheduling (35xxx) and templates (92xxx) never reach a carrier.
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


def scenario_for(to: str) -> Scenario:
    """Return the scenario of a recipient, with or without a prefix (`whatsapp:`, `rcs:`).

    A number that contains an error code goes through `sent` before `undelivered` and `failed`:
    captures show `failed` after it too.
    """
    number = to.rpartition(":")[2]
    if number in SCENARIOS:
        return SCENARIOS[number]
    match = _ERROR_CODE_NUMBER.fullmatch(number)
    if match is None:
        return Scenario()
    code = int(match[1])
    failed = code in _FAILED_CODES or code // 1000 in _FAILED_FAMILIES
    final = Step(status="failed" if failed else "undelivered", error_code=code)
    return Scenario(steps=(_SENT, final))
