"""Events of the functions, as API Gateway sends them."""

import base64
import json
from typing import Any, Final
from urllib.parse import urlencode

from bench.stand_in import SECRET
from delivery.twilio.signature import signature

type Event = dict[str, Any]

BATCH_SIZE: Final = 1000
"""Messages in one request to POST /messages/batch: the most it accepts."""

_DOMAIN: Final = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
_QUERY: Final = "request_id=rq_0123456789abcdef0123456789abcdef"


def callback(number: int) -> Event:
    """Return a signed callback that reports a message as delivered."""
    sid = f"SM{number:032x}"
    form = {
        "AccountSid": SECRET["account_sid"],
        "ApiVersion": "2010-04-01",
        "From": "+15005550006",
        "MessageSid": sid,
        "MessageStatus": "delivered",
        "RawDlrDoneDate": "2611231200",
        "SmsSid": sid,
        "SmsStatus": "delivered",
        "To": "+15558675310",
    }
    url = f"https://{_DOMAIN}/twilio/status?{_QUERY}"
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": _DOMAIN,
        "user-agent": "TwilioProxy/1.1",
        "x-twilio-signature": signature(SECRET["auth_token"], url, form.items()),
    }
    return _post("/twilio/status", headers, urlencode(form), query=_QUERY)


def send(number: int) -> Event:
    """Return a request to send one message."""
    message = {
        "to": "+15558675310",
        "messaging_service_sid": "MG" + "0" * 32,
        "body": "Your order is on its way.",
        "reference": f"order-{number}",
    }
    return _post("/messages", _json_headers(f"order-{number}"), json.dumps(message))


def batch(number: int) -> Event:
    """Return a request to queue BATCH_SIZE messages."""
    messages = [
        {
            "to": f"+1444{place:07d}",
            "from": "+15005550006",
            "body": "Your order is on its way, and will be with you before noon.",
            "reference": f"order-{number}-{place}",
        }
        for place in range(BATCH_SIZE)
    ]
    document = json.dumps({"messages": messages})
    return _post("/messages/batch", _json_headers(f"batch-{number}"), document)


def _json_headers(idempotency_key: str) -> dict[str, str]:
    return {"content-type": "application/json", "idempotency-key": idempotency_key}


def _post(path: str, headers: dict[str, str], body: str, *, query: str = "") -> Event:
    return {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "domainName": _DOMAIN,
            "http": {"method": "POST"},
            "stage": "$default",
        },
        "isBase64Encoded": True,
        "body": base64.b64encode(body.encode()).decode(),
    }
