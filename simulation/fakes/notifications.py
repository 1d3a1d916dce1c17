"""SNS and Secrets Manager, as far as the handlers use them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulation.fakes.errors import client_error

_LONGEST_SUBJECT: Final = 100
_LARGEST_MESSAGE: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A notice that reached the topic: who is told, and what of."""

    at: float
    by: str
    notice_id: str
    facts: Mapping[str, str]


class Sns:
    """One topic, and everything that was ever published to it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.published: list[Published] = []
        self._clock = clock

    def perform(self, operation: str, arguments: Mapping[str, Any], by: str) -> dict[str, Any]:
        """One request, made by somebody."""
        if operation != "publish":
            raise NotImplementedError(f"{operation} must be taught to the fake first")
        subject, message = arguments["Subject"], arguments["Message"]
        if not 0 < len(subject) < _LONGEST_SUBJECT or not (
            subject.isascii() and subject.isprintable()
        ):
            raise client_error("InvalidParameter", "Publish", "Subject")
        if len(message.encode()) > _LARGEST_MESSAGE:
            raise client_error("InvalidParameter", "Publish", "Message")
        for_each = json.loads(message)
        if "default" not in for_each:
            raise client_error("InvalidParameter", "Publish", "Message")
        content = json.loads(for_each["default"])
        self.published.append(
            Published(
                at=self._clock(),
                by=by,
                notice_id=content["id"],
                facts=content["metadata"]["additionalContext"],
            )
        )
        return {"MessageId": str(len(self.published))}


class SecretsManager:
    """One secret."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self.content = content
        self._name = name

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """One request."""
        if operation != "get_secret_value" or arguments != {"SecretId": self._name}:
            raise client_error("ResourceNotFoundException", "GetSecretValue")
        return {"Name": self._name, "SecretString": json.dumps(self.content)}
