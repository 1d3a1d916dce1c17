"""EventBridge, as far as the project uses it: one bus, which may reject a part of a request."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from simulation.fakes.errors import client_error

_MAX_ENTRIES: Final = 10
_MAX_REQUEST_BYTES: Final = 256 * 1024


class EventBridge:
    """A bus, and the details of every event that was published on it.

    Args:
        name: the name of the bus.
        rejects: draws whether an entry is rejected.
    """

    def __init__(self, name: str, rejects: Callable[[], bool]) -> None:
        self.published: list[Mapping[str, Any]] = []
        self._name = name
        self._rejects = rejects

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Perform a request.

        Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
        """
        if operation != "put_events" or set(arguments) != {"Entries"}:
            raise NotImplementedError(f"the fake has no {operation} with {sorted(arguments)}")
        entries = arguments["Entries"]
        size = sum(
            len(f"{it['Source']}{it['DetailType']}{it['Detail']}".encode()) for it in entries
        )
        if not 0 < len(entries) <= _MAX_ENTRIES or size > _MAX_REQUEST_BYTES:
            raise client_error("ValidationException", "PutEvents")
        results = [self._publish(entry) for entry in entries]
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedEntryCount": failed, "Entries": results}

    def _publish(self, entry: Mapping[str, Any]) -> dict[str, str]:
        if entry["EventBusName"] != self._name:
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "no such bus"}
        if self._rejects():
            return {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}
        self.published.append(json.loads(entry["Detail"]))
        return {"EventId": str(len(self.published))}
