"""Sends a message with Twilio's own SDK; the delivery stack tracks it.

    python send.py +15558675310 "Your order is on its way" 4711

Reads from the environment: TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM, STATUS_CALLBACK_URL
(the stack's output StatusCallbackUrl) and, for a simulator or a sandbox only, TWILIO_API_BASE_URL.
"""

import os
import sys
from typing import Any, override
from urllib.parse import quote, urlencode

from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

# Twilio tries a lost callback again only where the URL asks for it, in a fragment that it obeys and
# does not send: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
RETRY_LOST_CALLBACKS = "#rc=5&rp=all&ct=2000&rt=5000"


def send(to: str, body: str, order: str) -> str:
    """Send it, and return the SID under which the stack knows the message."""
    message = a_client().messages.create(
        to=to,
        from_=os.environ["TWILIO_FROM"],
        body=body,
        status_callback=status_callback(order=order),
    )
    return str(message.sid)


def status_callback(**context: str) -> str:
    """The stack's URL, with parameters of your own: they come back in the message's `context`."""
    parameters = urlencode(sorted(context.items()), quote_via=quote)
    return f"{os.environ['STATUS_CALLBACK_URL']}?{parameters}{RETRY_LOST_CALLBACKS}"


def a_client() -> Client:
    """Twilio's client; in the sandbox it talks to the simulator instead."""
    base_url = os.environ.get("TWILIO_API_BASE_URL")
    return Client(
        os.environ["TWILIO_ACCOUNT_SID"],
        os.environ["TWILIO_AUTH_TOKEN"],
        http_client=SimulatorHttpClient(base_url) if base_url else None,
    )


class SimulatorHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK brings no types
    """Sends what is meant for https://api.twilio.com to another place."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._base_url = base_url

    @override
    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        elsewhere = url.replace("https://api.twilio.com", self._base_url)
        return super().request(method, elsewhere, *args, **kwargs)


if __name__ == "__main__":
    print(send(*sys.argv[1:4]))
