"""ReconcileMessagesFunction with its tables and a Twilio in virtual time, as its tests use it."""

from collections.abc import Callable
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from mypy_boto3_dynamodb import DynamoDBClient

from delivery.domain.messages import Message, Source, StatusUpdate
from delivery.domain.send_requests import RequestState, SendRequest, body_digest
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    RECIPIENT,
    SENDER,
    Fault,
    VirtualTwilio,
    Wire,
    a_response,
)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

TWILIO = "https://twilio.example"
REQUEST_ID = "rq_" + "a" * 32
OTHER_REQUEST_ID = "rq_" + "b" * 32
BODY = "Hello"
STAYS_SENT = "+15555550105"
UNDELIVERED = "+15555530003"
UNHEARD_OF = (AUTH_TOKEN, BODY, RECIPIENT[1:], SENDER[1:], STAYS_SENT[1:])
"""No log line and no metric holds any of these: I8."""


def always(status: int, body: bytes = b"{}") -> Fault:
    return lambda _: a_response(status, body)


LAGGING_LIST: Fault = always(200, b'{"messages": []}')

type Counted = Callable[[], dict[str, int]]
"""What the function counted of its own work since this was last asked, by metric."""


class World:
    """The function, its tables, and a Twilio whose callbacks reach nobody unless a test says so."""

    def __init__(
        self, app: ModuleType, virtual: VirtualTwilio, wire: Wire, dynamodb: DynamoDBClient
    ) -> None:
        self.app = app
        self.twilio = virtual
        self.wire = wire
        self.dynamodb = dynamodb
        self.seconds_left = 240.0
        self.store = MessageStore(dynamodb, "MessagesTable")
        self.requests = SendRequestStore(dynamodb, "SendRequestsTable")

    @property
    def asked(self) -> list[str]:
        """What Twilio was asked since this was last looked at."""
        asked, self.wire.asked = self.wire.asked, []
        return [it.partition(" ")[2] for it in asked]

    def pass_by(self, **time: float) -> None:
        self.twilio.run(seconds=timedelta(**time).total_seconds())

    def run(self) -> None:
        context = SimpleNamespace(
            function_name="ReconcileMessagesFunction",
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        self.app.lambda_handler({}, cast("LambdaContext", context))

    def send(self, *, known: bool = True, **form: Any) -> str:
        """A message of our sender's, whose first status is in the table if it is known."""
        document = self.twilio.send(**form)
        if known:
            self.apply(document["sid"], document["status"], source=Source.SEND, to=document["to"])
        return str(document["sid"])

    def apply(self, message_sid: str, status: str, **facts: Any) -> Message:
        defaults: dict[str, Any] = {
            "at": self.twilio.now,
            "source": Source.CALLBACK,
            "account_sid": ACCOUNT_SID,
            "to": RECIPIENT,
        }
        update = StatusUpdate(message_sid=message_sid, status=status, **(defaults | facts))
        return self.store.record(update).message

    def message(self, message_sid: str) -> Message:
        message = self.store.get(message_sid)
        assert message is not None
        return message

    def claim(self, request_id: str = REQUEST_ID, **facts: Any) -> SendRequest:
        """A request whose function died with its answer: nothing but the claim is there."""
        defaults: dict[str, Any] = {
            "claim_id": request_id[-8:],
            "content_digest": "c" * 64,
            "account_sid": ACCOUNT_SID,
            "to": RECIPIENT,
            "from_": SENDER,
            "body_digest": body_digest(BODY),
            "reference": "order-1",
            "context": {"shop": "7"},
            "claimed_at": self.twilio.now,
            "lease_until": self.twilio.now + timedelta(seconds=29),
        }
        claim = SendRequest(request_id=request_id, **(defaults | facts))
        return self.requests.claim(claim)

    def request(self, request_id: str = REQUEST_ID) -> SendRequest:
        request = self.requests.get(request_id)
        assert request is not None
        return request

    def give_up(self, request: SendRequest) -> None:
        """Settle it as not found, as a run does that dies before it tells."""
        settled = request.completed(
            RequestState.PRESUMED_UNSENT, at=self.twilio.now, kept_for=timedelta(days=30)
        )
        self.requests.complete(request, settled)


def a_lost_answer(world: World, request_id: str = REQUEST_ID, **form: Any) -> str:
    """A request that Twilio accepted, of which nobody here knows more than the claim."""
    world.claim(request_id)
    world.pass_by(seconds=1)
    return world.send(known=False, **form)
