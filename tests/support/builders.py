"""Short ways to say what a test is about; everything else gets a plain default."""

from datetime import UTC, datetime, timedelta
from typing import Any

from delivery.domain.messages import Message, Source, StatusUpdate, Timings

MESSAGE_SID = "SM" + "0123456789abcdef" * 2
ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "sandbox-auth-token"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def an_update(status: str = "sent", *, after: float = 0, **facts: Any) -> StatusUpdate:
    """A status update that arrives `after` seconds past noon."""
    defaults: dict[str, Any] = {
        "message_sid": MESSAGE_SID,
        "source": Source.CALLBACK,
        "account_sid": ACCOUNT_SID,
        "to": "+15558675310",
        "from_": "+15005550006",
    }
    return StatusUpdate(status=status, at=NOON + timedelta(seconds=after), **(defaults | facts))


def a_message(*statuses: str | StatusUpdate, timings: Timings | None = None) -> Message:
    """The message that learned these statuses one after the other, a second apart."""
    updates = [
        status if isinstance(status, StatusUpdate) else an_update(status, after=second)
        for second, status in enumerate(statuses or ("sent",))
    ]
    timings = timings or Timings()
    message = Message.from_first_update(updates[0], timings)
    for update in updates[1:]:
        message = message.apply(update, timings)
    return message
