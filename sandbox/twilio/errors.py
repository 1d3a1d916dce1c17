"""Twilio's error responses: code, HTTP status and body."""

from typing import Any

_HTTP_STATUS = {
    20003: 401,
    20004: 405,
    20009: 409,
    20404: 404,
    20409: 409,
    20429: 429,
    20500: 500,
    30409: 409,
    59103: 409,
}
"""All other codes are 400. Twilio documents no status for 20009, 30409 and 59103; 409 is assumed.

Nor does it document the code of what is in use in the webhooks configuration API: 20409 is assumed.
"""


class ApiError(Exception):
    """Twilio rejects the request; some errors carry a second sentence as `detail`."""

    def __init__(self, code: int, message: str, *, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail
        self.status = _HTTP_STATUS.get(code, 400)

    @property
    def document(self) -> dict[str, Any]:
        """The body of the response.

        Source: https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions
        """
        document: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return document | ({"detail": self.detail} if self.detail else {})
