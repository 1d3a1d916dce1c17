"""The adapters and settings that reconciling messages and resolving requests share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from delivery.domain.messages import Source, StatusUpdate, Timings
from delivery.storage.messages import MessageStore
from delivery.twilio.client import MessageResource, TwilioClient


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileContext:
    """The adapters and settings that every task of a run works with.

    `stores_body` says whether a message is stored with its text.
    """

    twilio: TwilioClient
    messages: MessageStore
    timings: Timings
    stores_body: bool
    now: Callable[[], datetime]

    def update_from(self, resource: MessageResource, account_sid: str) -> StatusUpdate:
        """Return what Twilio's API says about a message of this account, as a status update."""
        update = resource.as_update(
            at=self.now(), source=Source.RECONCILE, with_body=self.stores_body
        )
        return replace(update, account_sid=update.account_sid or account_sid)
