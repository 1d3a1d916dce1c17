"""EventBridge, as far as the handlers use it: one bus, which may take a request in part."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from simulation.fakes.errors import client_error

_MAX_ENTRIES: Final = 10
_LARGEST_REQUEST: Final = 256 * 1024


class EventBridge:
    """A bus, and the details of everything that was ever put on it.

    Args:
        name: the bus's.
        refuses: draws whether an entry is not taken.
    """

    def __init__(self, name: str, refuses: Callable[[], bool]) -> None:
        self.published: list[Mapping[str, Any]] = []
        self._name = name
        self._refuses = refuses

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """One request.

        Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
        """
        if operation != "put_events" or set(arguments) != {"Entries"}:
            raise NotImplementedError(f"{operation} {sorted(arguments)} must be taught first")
        entries = arguments["Entries"]
        size = sum(
            len(f"{it['Source']}{it['DetailType']}{it['Detail']}".encode()) for it in entries
        )
        if not 0 < len(entries) <= _MAX_ENTRIES or size > _LARGEST_REQUEST:
            raise client_error("ValidationException", "PutEvents")
        answers = [self._take(entry) for entry in entries]
        failed = sum("ErrorCode" in answer for answer in answers)
        return {"FailedEntryCount": failed, "Entries": answers}

    def _take(self, entry: Mapping[str, Any]) -> dict[str, str]:
        if entry["EventBusName"] != self._name:
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "no such bus"}
        if self._refuses():
            return {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}
        self.published.append(json.loads(entry["Detail"]))
        return {"EventId": str(len(self.published))}
