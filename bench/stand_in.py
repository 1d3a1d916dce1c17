"""A stand-in for DynamoDB, Secrets Manager, SQS and Twilio: `python -m bench.stand_in DELAY_MS`.

It prints its URL and serves until it is terminated. It stores nothing, so every answer takes the
same time: an update is answered as if the item were new.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

SECRET: Final = {"account_sid": "AC" + "0" * 32, "auth_token": "sandbox-auth-token"}
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
)


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


_AWS: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "dynamodb_20120810.updateitem": _update_item,
    "dynamodb_20120810.putitem": lambda _: {},
    "amazonsqs.sendmessagebatch": _send_message_batch,
    "secretsmanager.getsecretvalue": lambda _: {"SecretString": json.dumps(SECRET)},
}

_sids = count(1)


def _twilio() -> dict[str, Any]:
    return {
        "sid": f"SM{next(_sids):032x}",
        "status": "accepted",
        "account_sid": SECRET["account_sid"],
        "to": "+15558675310",
        "from": None,
        "messaging_service_sid": "MG" + "0" * 32,
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
    }


async def serve(delay_ms: float) -> None:
    """Serve on a free local port."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the client has closed it
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
                request = await reader.readexactly(int(headers.get("content-length", 0)))
                await asyncio.sleep(delay_ms / 1000)
                operation = headers.get("x-amz-target")
                answer = _AWS[operation](json.loads(request)) if operation else _twilio()
                body = json.dumps(answer).encode()
                writer.write(_HEAD % len(body) + body)

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
