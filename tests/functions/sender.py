"""The rig of the tests of SendMessageFunction: its environment, its callers, its Twilio."""

import base64
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
import requests
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.runtime.http_event import body_of
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.twilio.client import TwilioClient
from tests.support.api_description import (
    assert_described_answer,
    assert_described_body,
    assert_described_request,
)
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.clock import Clock
from tests.support.embedded_metrics import DataPoint, data_points
from tests.support.granted import permissions_of
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, ScriptedTwilio
from tests.support.shared_clients import shared_client

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from functions.send_message.app import SendMessage

SERVICE_SID = "MG" + "5" * 32
CONTENT_SID = "HX" + "6" * 32
SUBACCOUNT_SID = "AC" + "7" * 32
NEW_TOKEN = "promoted-auth-token"
BODY = "Your table is ready"
TO = "+15558675310"
FROM = "+15005550006"
SENSITIVE_WORDS = (
    AUTH_TOKEN,
    NEW_TOKEN,
    BODY,
    TO.removeprefix("+"),
    FROM.removeprefix("+"),
    "says Twilio",
)
"""No log line, metric or error answer holds any of these: I8."""

EVENTS = Path(__file__).parents[2] / "events"
REQUEST_ID = re.compile(r"rq_[0-9a-f]{32}")
QUEUE_MESSAGE_ID = "059f36b4-87a3-44ab-83d2-661975830a7d"


def a_document(**changes: Any) -> dict[str, Any]:
    """A request for a message; a change to None removes the field."""
    fields = {"to": TO, "from": FROM, "body": BODY} | changes
    return {name: value for name, value in fields.items() if value is not None}


def an_http_event(
    body: str | None, *, route: str = "POST /messages", **fields: Any
) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": route.partition(" ")[2],
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"domainName": "messages.example.com", "http": {"method": "POST"}},
        "isBase64Encoded": False,
        "body": body,
        **fields,
    }


def _assert_described(event: Any, answer: dict[str, Any]) -> None:
    """The description of MessagesApi has the answer, and the body of an accepted request."""
    match event, answer:
        case {"routeKey": str(route)}, {"statusCode": status} if route.startswith("POST "):
            assert_described_answer(route, answer)
            if route == "POST /messages" and status < 300:
                assert_described_request(route, body_of(event))
        case _, {"status_code": status, "body": body}:  # of a direct invocation
            assert_described_body("POST /messages", status, body)


class SenderRig:
    """The function in an environment, its callers, and the Twilio that it sends to.

    Every answer must be one that the description of MessagesApi has. The rig remembers everything
    that the function wrote, and every answer that was no success: at the end of a test, none of it
    may hold a number, a text or a token (I8).
    """

    def __init__(
        self,
        app: ModuleType,
        server: ScriptedTwilio,
        dynamodb: DynamoDBClient,
        secrets_manager: SecretsManagerClient,
        *,
        environ: dict[str, str],
        clock: Clock,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.module = app
        self.clock = clock
        self.dynamodb = dynamodb
        self.secrets_manager = secrets_manager
        self.twilio = server
        self.requests = SendRequestStore(dynamodb, "SendRequestsTable")
        self.seconds_left = 29.0
        self.errors: list[str] = []
        self.printed: list[str] = []
        self._environ = environ
        self._capsys = capsys
        self._sessions: list[requests.Session] = []
        self.function = self.build()

    def build(
        self, *, dynamodb: Any = None, sqs: Any = None, twilio_url: str = "", **environ: str
    ) -> "SendMessage":
        """Return the function in an environment of its own, with these clients and variables."""
        session = requests.Session()
        self._sessions.append(session)
        clients = self.module.Clients(
            dynamodb=dynamodb or self.dynamodb,
            sqs=sqs or shared_client("sqs"),
            secrets_manager=self.secrets_manager,
            twilio=TwilioClient(session, twilio_url or self.twilio.url, sleep=lambda _: None),
        )
        function: SendMessage = self.module.build(self._environ | environ, clients, now=self.clock)
        return function

    def restart(self, **changes: Any) -> None:
        """Go on in a new environment, made as `build` makes it."""
        self.function = self.build(**changes)

    def close(self) -> None:
        """Close the connections, and forget what was counted and not printed."""
        for session in self._sessions:
            session.close()
        self.module.metrics.clear_metrics()

    def invoke(self, event: Any) -> Any:
        context = SimpleNamespace(
            function_name="SendMessageFunction",
            aws_request_id=str(uuid4()),
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        handle = self.module.metrics.log_metrics(self.function.handle, raise_on_empty_metrics=False)
        with permissions_of("SendMessageFunction", self.dynamodb):
            answer: Any = handle(event, cast("LambdaContext", context))
        _assert_described(event, answer)
        if (answer.get("statusCode") or answer.get("status_code") or 200) > 201:
            self.errors.append(json.dumps(answer))
            assert "None" not in self.errors[-1], "an error has no reason"
        return answer

    def post(self, document: object, *, key: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"idempotency-key": key} if key else {}
        answer = self.invoke(an_http_event(json.dumps(document), headers=headers))
        return answer["statusCode"], json.loads(answer["body"])

    def post_batch(self, *documents: object, key: str | None = None) -> tuple[int, dict[str, Any]]:
        return self.post_batch_text(json.dumps({"messages": documents}), key=key)

    def post_batch_text(self, text: str, *, key: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"idempotency-key": key} if key else {}
        answer = self.invoke(an_http_event(text, route="POST /messages/batch", headers=headers))
        return answer["statusCode"], json.loads(answer["body"])

    def cancel(self, message_sid: str = MESSAGE_SID) -> tuple[int, dict[str, Any]]:
        answer = self.invoke(
            an_http_event(
                None,
                route="POST /messages/{message_sid}/cancel",
                pathParameters={"message_sid": message_sid},
            )
        )
        return answer["statusCode"], json.loads(answer["body"])

    def invoke_directly(self, document: object) -> tuple[int, dict[str, Any]]:
        answer = self.invoke(document)
        return answer["status_code"], answer["body"]

    def request(self, request_id: str) -> SendRequest:
        request = self.requests.get(request_id)
        assert request is not None
        return request

    def send_in_doubt(self, *, key: str | None = None, **changes: Any) -> SendRequest:
        """Send a message for which Twilio's answer is lost; return its request, in doubt."""
        self.twilio.will(DROPPED)
        _, answer = self.post(a_document(**changes), key=key)
        return self.request(answer["request_id"])

    def presume_unsent(self, request: SendRequest) -> SendRequest:
        """Complete a request as presumed unsent, as reconciling does."""
        completed = request.completed(
            RequestState.PRESUMED_UNSENT, at=self.clock(), kept_for=timedelta(days=30)
        )
        return self.requests.complete(request, completed)

    def receive(
        self, *bodies: object, received: int = 1, sent_at: datetime | None = None
    ) -> list[str]:
        """Hand over a batch of SendQueue; return the indexes of the messages that stay there."""
        sent_ms = int((sent_at or self.clock()).timestamp() * 1000)
        records = [
            {
                "messageId": f"{QUEUE_MESSAGE_ID}-{index}",
                "receiptHandle": f"handle-{index}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {
                    "ApproximateReceiveCount": str(received),
                    "SentTimestamp": str(sent_ms),
                },
                "eventSource": "aws:sqs",
            }
            for index, body in enumerate(bodies)
        ]
        answer = self.invoke({"Records": records})
        return [failure["itemIdentifier"][-1] for failure in answer["batchItemFailures"]]

    def message(self, message_sid: str = MESSAGE_SID) -> Message | None:
        return MessageStore(self.dynamodb, "MessagesTable").get(message_sid)

    def messages(self) -> list[Message]:
        items = self.dynamodb.scan(TableName="MessagesTable")["Items"]
        found = [self.message(item["message_sid"]["S"]) for item in items]
        return [message for message in found if message]

    def put_secret(self, **fields: Any) -> None:
        content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | fields
        self.secrets_manager.put_secret_value(
            SecretId="delivery/twilio", SecretString=json.dumps(content)
        )

    def metrics(self) -> dict[str, float]:
        """What was counted since the last call, in metrics and in the log alone."""
        printed = len(self.printed)
        self.data_points()
        lines = [json.loads(line) for line in self.printed[printed].splitlines()]
        return {
            name: sum(values)
            for line in lines
            for name, values in line.items()
            if isinstance(values, list)
        }

    def data_points(self) -> list[DataPoint]:
        """The same with their dimensions."""
        output = self._capsys.readouterr()
        self.printed += output
        return data_points(output.out)

    def delete_messages_table(self) -> None:
        self.dynamodb.delete_table(TableName="MessagesTable")

    def parameters(self, index: int = 0) -> dict[str, str]:
        return dict(self.twilio.requests[index].parameters)

    def password(self, index: int = 0) -> str:
        """The token or secret of a request to Twilio."""
        encoded = self.twilio.requests[index].headers["Authorization"].removeprefix("Basic ")
        return base64.b64decode(encoded).decode().partition(":")[2]
