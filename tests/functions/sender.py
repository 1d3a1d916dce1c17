"""SendMessageFunction with its resources, as its tests use it."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from tests.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.embedded_metrics import DataPoint, data_points
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, ScriptedTwilio

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

SERVICE_SID = "MG" + "5" * 32
CONTENT_SID = "HX" + "6" * 32
SUBACCOUNT_SID = "AC" + "7" * 32
NEW_TOKEN = "promoted-auth-token"
BODY = "Your table is ready"
TO = "+15558675310"
FROM = "+15005550006"
UNHEARD_OF = (
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


class Clock:
    """The time of the functions; a test can let some of it pass."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def pass_by(self, **time: float) -> None:
        self._ahead += timedelta(**time)


class Line:
    """The function's line to DynamoDB or SQS, which a test can lead through something else."""

    def __init__(self, client: Any) -> None:
        self.through = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.through, name)


class Function:
    """The deployed function with its resources; remembers whatever left it but a success."""

    def __init__(
        self,
        app: ModuleType,
        server: ScriptedTwilio,
        dynamodb: DynamoDBClient,
        secrets_manager: SecretsManagerClient,
        *,
        capsys: pytest.CaptureFixture[str],
        clock: Clock,
        line: Line,
    ) -> None:
        self.app = app
        self.clock = clock
        self.line = line
        self.dynamodb = dynamodb
        self.twilio = server
        self.requests = SendRequestStore(dynamodb, "SendRequestsTable")
        self.seconds_left = 29.0
        self.errors: list[str] = []
        self.secrets_manager = secrets_manager
        self.printed: list[str] = []
        self._capsys = capsys

    def invoke(self, event: Any) -> Any:
        context = SimpleNamespace(
            function_name="SendMessageFunction",
            aws_request_id=str(uuid4()),
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        answer = self.app.lambda_handler(event, cast("LambdaContext", context))
        if (answer.get("statusCode") or answer.get("status_code") or 200) > 201:
            self.errors.append(json.dumps(answer))
        return answer

    def post(self, document: object, *, key: str | None = None) -> tuple[int, dict[str, Any]]:
        headers = {"idempotency-key": key} if key else {}
        answer = self.invoke(an_http_event(json.dumps(document), headers=headers))
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

    def lose_the_answer(self, *, key: str | None = None, **changes: Any) -> SendRequest:
        """Send a message whose answer is lost: the request, in doubt."""
        self.twilio.will(DROPPED)
        _, doubt = self.post(a_document(**changes), key=key)
        return self.request(doubt["request_id"])

    def give_up(self, request: SendRequest) -> SendRequest:
        """Settle it as not found, as reconciling does."""
        not_found = request.completed(
            RequestState.PRESUMED_UNSENT, at=self.clock.now(), kept_for=timedelta(days=30)
        )
        return self.requests.complete(request, not_found)

    def take(self, *bodies: object, received: int = 1) -> list[str]:
        """The queue's message ids that stay queued, of messages that are named by their place."""
        records = [
            {
                "messageId": f"{QUEUE_MESSAGE_ID}-{place}",
                "receiptHandle": f"handle-{place}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": str(received)},
                "eventSource": "aws:sqs",
            }
            for place, body in enumerate(bodies)
        ]
        answer = self.invoke({"Records": records})
        return [failure["itemIdentifier"][-1] for failure in answer["batchItemFailures"]]

    def message(self, message_sid: str = MESSAGE_SID) -> Message | None:
        return MessageStore(self.dynamodb, "MessagesTable").get(message_sid)

    def messages(self) -> list[Message]:
        items = self.dynamodb.scan(TableName="MessagesTable")["Items"]
        found = [self.message(item["message_sid"]["S"]) for item in items]
        return [message for message in found if message]

    def secret_holds(self, **fields: Any) -> None:
        content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | fields
        self.secrets_manager.put_secret_value(
            SecretId="delivery/twilio", SecretString=json.dumps(content)
        )

    def metrics(self) -> dict[str, float]:
        """What was counted since this was last asked."""
        return {it.name: sum(it.values) for it in self.data_points()}

    def data_points(self) -> list[DataPoint]:
        """The same with their dimensions."""
        output = self._capsys.readouterr()
        self.printed += output
        return data_points(output.out)

    def lose_the_table(self) -> None:
        self.dynamodb.delete_table(TableName="MessagesTable")

    def parameters(self, place: int = 0) -> dict[str, str]:
        return dict(self.twilio.requests[place].parameters)

    def password(self, place: int = 0) -> str:
        """What a request to Twilio was authorized with."""
        encoded = self.twilio.requests[place].headers["Authorization"].removeprefix("Basic ")
        return base64.b64decode(encoded).decode().partition(":")[2]
