"""Stands in for DynamoDB, Secrets Manager and Twilio: `python -m bench.stand_in DELAY_MS`.

It prints its URL and serves until it is stopped. It keeps nothing, so it answers quickly and always
alike: an update as if the item were new, which is what a message's first status finds.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from itertools import count
from typing import Any, Final, override

_SECRET: Final = {"account_sid": "AC" + "0" * 32, "auth_token": "sandbox-auth-token"}
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
)
_END_OF_HEAD: Final = b"\r\n\r\n"


def _update_item(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("ReturnValues") != "ALL_NEW":
        return {}
    names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
    new = {names[f"#{key[1:]}"]: value for key, value in values.items() if f"#{key[1:]}" in names}
    return {"Attributes": {**request["Key"], **new}}


def _send_message_batch(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "Successful": [
            {"Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": ""}
            for entry in request["Entries"]
        ],
        "Failed": [],
    }


_ANSWERS: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "DynamoDB_20120810.UpdateItem": _update_item,
    "AmazonSQS.SendMessageBatch": _send_message_batch,
    "DynamoDB_20120810.PutItem": lambda _: {},
    "secretsmanager.GetSecretValue": lambda _: {"SecretString": json.dumps(_SECRET)},
}

_sids = count(1)


def _accepted() -> dict[str, Any]:
    """What Twilio answers to a request to send."""
    return {
        "sid": f"SM{next(_sids):032x}",
        "status": "accepted",
        "account_sid": _SECRET["account_sid"],
        "to": "+15558675310",
        "from": None,
        "messaging_service_sid": "MG" + "0" * 32,
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
    }


class StandIn(asyncio.Protocol):
    """One connection, kept open between requests."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._unread = b""
        self._transport: asyncio.Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._unread += data
        while _END_OF_HEAD in self._unread:
            head, _, rest = self._unread.partition(_END_OF_HEAD)
            lines = head.decode("latin-1").split("\r\n")[1:]
            headers = {key.lower(): value for key, _, value in (it.partition(": ") for it in lines)}
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self._unread = rest[length:]
            target = headers.get("x-amz-target")
            answer = _ANSWERS[target](json.loads(rest[:length])) if target else _accepted()
            asyncio.get_running_loop().call_later(self._delay, self._answer, answer)

    def _answer(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self._transport.write(_HEAD % len(body) + body)


async def serve(delay_ms: float) -> None:
    """Serve on a free port of this machine."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: StandIn(delay_ms / 1000), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
