"""The adapters and settings that sending and canceling messages share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.domain.messages import Timings
from delivery.storage.callback_queue import CallbackQueue
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import TwilioSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class SendContext:
    """The adapters and settings that sending and canceling work with."""

    secrets: TwilioSecrets
    twilio: TwilioClient
    messages: MessageStore
    requests: SendRequestStore
    backlog: CallbackQueue
    """Holds the statuses that the table cannot take."""
    timings: Timings
    """Those of a message that is returned although the table could not take it."""
    requests_kept_for: timedelta
    """How long a completed request keeps its key."""
    stores_body: bool
    """Whether the body is stored with the message."""
    now: Callable[[], datetime]
