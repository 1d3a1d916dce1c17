"""Fault injection for clients of AWS services."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError


def make_unreadable(client: Any, table_name: str, **key: str) -> None:
    """Give an item a status that this version does not know, as after a rollback."""
    client.update_item(
        TableName=table_name,
        Key={name: {"S": value} for name, value in key.items()},
        UpdateExpression="SET outcome = :new, #state = :new",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":new": {"S": "from_the_future"}},
    )


type Around = Callable[[str, Callable[..., Any], dict[str, Any]], Any]
"""Gets an operation, its call and its arguments, and returns the answer."""


def _as_is(_: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return call(**arguments)


class WrappedClient:
    """A client of AWS, or a stand-in for one, whose calls a test counts, delays or changes."""

    def __init__(self, client: Any, around: Around = _as_is) -> None:
        self.calls: list[str] = []
        """The operations in the order of their calls."""
        self._client = client
        self._around = around

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name == "exceptions":
            return attribute

        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            return self._around(name, attribute, arguments)

        return call


class FailingClient(WrappedClient):
    """A client one of whose calls fails, before or after it takes effect; the others work.

    Args:
        client: a client of AWS or a stand-in for one.
        call: which call fails, counted from 1.
        after: whether the call takes effect and its answer is lost.
        error: what the call raises; a fitting botocore error by default.
    """

    def __init__(
        self, client: Any, call: int = 1, *, after: bool, error: BaseException | None = None
    ) -> None:
        super().__init__(client, self._fail)
        self._after = after
        self._error = error or (
            ReadTimeoutError(endpoint_url="https://aws.example.com")
            if after
            else EndpointConnectionError(endpoint_url="https://aws.example.com")
        )
        self.calls_left = call

    @property
    def has_failed(self) -> bool:
        """Whether the call was made that fails."""
        return self.calls_left <= 0

    def _fail(self, _: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        self.calls_left -= 1
        if self.calls_left != 0:
            return call(**arguments)
        if self._after:
            call(**arguments)
        raise self._error
