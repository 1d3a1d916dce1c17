"""Errors as boto3's clients raise them."""

from typing import Any

from botocore.exceptions import ClientError


class ClientErrors:
    """A client's `exceptions`: a class for every code, made when it is first asked for."""

    def __init__(self) -> None:
        self._classes: dict[str, type[ClientError]] = {}

    def __getattr__(self, code: str) -> type[ClientError]:
        if code not in self._classes:
            self._classes[code] = type(code, (ClientError,), {})
        return self._classes[code]


EXCEPTIONS = ClientErrors()


def client_error(code: str, operation: str, message: str = "", **parts: Any) -> ClientError:
    """The error with this code; `parts` are told beside it, as a failed condition's item is."""
    response: Any = {"Error": {"Code": code, "Message": message or code}, **parts}
    return getattr(EXCEPTIONS, code)(response, operation)  # type: ignore[no-any-return]  # always one
