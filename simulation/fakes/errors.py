"""Errors as boto3's clients raise them."""

from typing import Any

from botocore.exceptions import ClientError


class ClientErrors:
    """A client's `exceptions`: a class for every code, created at its first use."""

    def __init__(self) -> None:
        self._classes: dict[str, type[ClientError]] = {}

    def __getattr__(self, code: str) -> type[ClientError]:
        if code not in self._classes:
            self._classes[code] = type(code, (ClientError,), {})
        return self._classes[code]


EXCEPTIONS = ClientErrors()


def client_error(code: str, operation: str, message: str = "", **parts: Any) -> ClientError:
    """Return the error with this code; `parts` are further keys of the response."""
    response: Any = {"Error": {"Code": code, "Message": message or code}, **parts}
    return getattr(EXCEPTIONS, code)(response, operation)  # type: ignore[no-any-return]  # always a ClientError
