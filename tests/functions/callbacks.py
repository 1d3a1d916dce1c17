"""The rig of the tests of StatusCallbackFunction, and the requests that Twilio sends to it."""

import base64
import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from delivery.domain.messages import Message
from delivery.storage.messages import MessageStore
from delivery.twilio.signature import Algorithm, signature
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN, MESSAGE_SID
from tests.support.clock import Clock
from tests.support.granted import permissions_of
from tests.support.shared_clients import shared_client

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from functions.status_callback.app import StatusCallback

PATH = "/twilio/status"
URL = f"https://callbacks.example.com{PATH}"
DOMAIN = "a1b2c3.execute-api.us-east-1.amazonaws.com"
SECRET_NAME = "delivery/twilio"
CALLBACK = {
    "MessageSid": MESSAGE_SID,
    "SmsSid": MESSAGE_SID,
    "MessageStatus": "sent",
    "SmsStatus": "sent",
    "AccountSid": ACCOUNT_SID,
    "ApiVersion": "2010-04-01",
    "To": "+15558675310",
    "From": "+15005550006",
}


def a_callback(status: str = "sent", **parameters: str) -> dict[str, str]:
    """The parameters of a status callback."""
    return CALLBACK | {"MessageStatus": status, "SmsStatus": status} | parameters


def an_http_event(
    body: bytes,
    headers: dict[str, str | None],
    *,
    raw_query: str = "",
    path: str = PATH,
    domain: str = DOMAIN,
    encoded: bool = True,
) -> dict[str, Any]:
    """An event of CallbackApi; a header that is None is left out."""
    return {
        "version": "2.0",
        "routeKey": f"POST {PATH}",
        "rawPath": path,
        "rawQueryString": raw_query,
        "headers": {name: value for name, value in headers.items() if value is not None},
        "requestContext": {
            "domainName": domain,
            "http": {"method": "POST", "path": path},
            "stage": "$default",
        },
        "body": base64.b64encode(body).decode() if encoded else body.decode("latin-1"),
        "isBase64Encoded": encoded,
    }


def a_request(
    parameters: dict[str, str] | list[tuple[str, str]] | None = None,
    *,
    url: str = URL,
    token: str = AUTH_TOKEN,
    body: bytes | None = None,
    algorithm: Algorithm = Algorithm.HMAC_SHA1,
    raw_query: str = "",
    path: str = PATH,
    domain: str = DOMAIN,
    encoded: bool = True,
    **headers: str | None,
) -> dict[str, Any]:
    """An event of CallbackApi that Twilio signed for `url`."""
    pairs = list(CALLBACK.items()) if parameters is None else parameters
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    query = f"?{raw_query}" if raw_query else ""
    signed: dict[str, str | None] = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-twilio-signature": signature(token, url + query, pairs, algorithm),
    }
    all_headers = signed | {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode(pairs).encode() if body is None else body
    return an_http_event(
        body, all_headers, raw_query=raw_query, path=path, domain=domain, encoded=encoded
    )


class StatusCallbackRig:
    """The function in an environment, what invokes it, and what it stored."""

    def __init__(self, dynamodb: "DynamoDBClient", environ: dict[str, str]) -> None:
        from functions.status_callback import app  # noqa: PLC0415 -- its clients need moto first

        self.module = app
        self.dynamodb = dynamodb
        self.clock = Clock()
        self._environ = environ
        self.function = self.build()

    def build(
        self, *, dynamodb: Any = None, secrets_manager: Any = None, sqs: Any = None, **environ: str
    ) -> "StatusCallback":
        """The function in an environment of its own, with these clients and variables."""
        clients = self.module.Clients(
            dynamodb=dynamodb or self.dynamodb,
            secrets_manager=secrets_manager or shared_client("secretsmanager"),
            sqs=sqs or shared_client("sqs"),
        )
        return self.module.build(self._environ | environ, clients, now=self.clock)

    def restart(self, **changes: Any) -> None:
        """Go on in a new environment, which has not read the secret."""
        self.function = self.build(**changes)

    # --- what invokes the function ---

    def handle(self, event: dict[str, Any]) -> dict[str, Any]:
        """Invoke the handler, metrics included."""
        context = SimpleNamespace(function_name="StatusCallbackFunction", aws_request_id="1")
        handled = self.module.metrics.log_metrics(self.function.handle)
        with permissions_of("StatusCallbackFunction", self.dynamodb):
            response: dict[str, Any] = handled(event, context)
        return response

    def call(self, event: dict[str, Any]) -> int:
        """Invoke the handler with a request; returns the status of the response."""
        return int(self.handle(event)["statusCode"])

    def replay(self, records: Iterable[dict[str, Any]]) -> list[str]:
        """Hand over queued updates; returns the ids of those that return to the queue."""
        failures = self.handle({"Records": list(records)})["batchItemFailures"]
        return [failure["itemIdentifier"] for failure in failures]

    # --- what is around it ---

    def put_secret(self, text: str | None = None, **fields: Any) -> None:
        """Store the secret with these fields, or as this text."""
        content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | fields
        shared_client("secretsmanager").put_secret_value(
            SecretId=SECRET_NAME, SecretString=json.dumps(content) if text is None else text
        )

    def lose_the_table(self) -> None:
        """Make the MessagesTable unavailable."""
        self.dynamodb.delete_table(TableName="MessagesTable")

    def queued(self) -> list[dict[str, Any]]:
        """The messages of CallbackQueue as Lambda hands them to the function."""
        received = shared_client("sqs").receive_message(
            QueueUrl=self._environ["CALLBACK_QUEUE_URL"], MaxNumberOfMessages=10
        )
        return [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "eventSource": "aws:sqs",
            }
            for message in received.get("Messages", [])
        ]

    def message(self) -> Message:
        """The message as it is stored."""
        message = MessageStore(self.dynamodb, "MessagesTable").get(MESSAGE_SID)
        assert message is not None
        return message

    def items(self) -> list[dict[str, Any]]:
        """Every item of the MessagesTable."""
        return self.dynamodb.scan(TableName="MessagesTable")["Items"]
