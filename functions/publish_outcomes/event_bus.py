"""Publishes outcome changes to EventBridge."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from typing import TYPE_CHECKING, Final

from delivery.runtime.aws_errors import AWS_ERRORS, error_name

from .outcome_event import OutcomeEvent

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef

SOURCE: Final = "delivery"
DETAIL_TYPE: Final = "Message Outcome Changed"
_MAX_ENTRIES: Final = 10  # of one PutEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of some events: how many were accepted before the first that was not."""

    accepted: int
    rejected: OutcomeEvent | None = None
    reason: str = ""


class EventBus:
    """The event bus that receives outcome changes.

    The client's retries are safe, because an event keeps its id.
    """

    def __init__(self, client: "EventBridgeClient", name: str) -> None:
        self._client = client
        self._name = name

    def publish(self, events: Sequence[OutcomeEvent]) -> Published:
        """Publish the events in their order, until the bus rejects one or does not answer.

        A few events after the rejected one may be published as well: they are published again.
        """
        accepted = 0
        for batch in batched(events, _MAX_ENTRIES, strict=False):
            try:
                answer = self._client.put_events(Entries=[self._entry(it) for it in batch])
            except AWS_ERRORS as error:
                return Published(accepted=accepted, rejected=batch[0], reason=error_name(error))
            for event, entry in zip(batch, answer["Entries"], strict=True):
                if "ErrorCode" in entry:
                    return Published(accepted=accepted, rejected=event, reason=entry["ErrorCode"])
                accepted += 1
        return Published(accepted=accepted)

    def _entry(self, event: OutcomeEvent) -> "PutEventsRequestEntryTypeDef":
        return {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Time": event.at,
            "Detail": json.dumps(event.detail),
        }
