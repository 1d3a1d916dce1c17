"""SNS and Secrets Manager, as far as the project uses them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from simulation.fakes.errors import client_error

_MAX_SUBJECT_LENGTH: Final = 100
_MAX_MESSAGE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A notice that was published on the topic; `by` is the invocation that published it."""

    at: float
    by: str
    notice_id: str
    facts: Mapping[str, str]


class Sns:
    """One topic, and every notice that was published on it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.published: list[Published] = []
        self._clock = clock

    def perform(self, operation: str, arguments: Mapping[str, Any], by: str) -> dict[str, Any]:
        """Perform a request of the invocation `by`.

        Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
        """
        if operation != "publish":
            raise NotImplementedError(f"the fake has no {operation}")
        subject, message = arguments["Subject"], arguments["Message"]
        is_printable = subject.isascii() and subject.isprintable()
        if not (0 < len(subject) < _MAX_SUBJECT_LENGTH and is_printable):
            raise client_error("InvalidParameter", "Publish", "Subject")
        texts = json.loads(message)
        if len(message.encode()) > _MAX_MESSAGE_BYTES or "default" not in texts:
            raise client_error("InvalidParameter", "Publish", "Message")
        content = json.loads(texts["default"])
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
        """Perform a request."""
        if operation != "get_secret_value" or arguments != {"SecretId": self._name}:
            raise client_error("ResourceNotFoundException", "GetSecretValue")
        return {"Name": self._name, "SecretString": json.dumps(self.content)}
