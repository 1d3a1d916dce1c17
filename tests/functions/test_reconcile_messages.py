"""ReconcileMessagesFunction against a simulated Twilio in virtual time: the promises I6 and I7."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast, override
from urllib.parse import unquote

import pytest
import requests
from botocore.exceptions import ConnectTimeoutError
from mypy_boto3_dynamodb import DynamoDBClient
from mypy_boto3_secretsmanager import SecretsManagerClient

from delivery import twilio as delivery_twilio
from delivery.credentials import TwilioSecrets
from delivery.message import Message, Notice, Outcome, Source, StatusUpdate
from delivery.metrics import COUNTED_BY
from delivery.request_store import RequestStore
from delivery.send_request import RequestState, SendRequest, body_digest
from delivery.store import MessageStore
from delivery.twilio import TwilioClient
from sandbox.simulator.exchange import Dropped
from tests.embedded_metrics import data_points, total
from tests.functions.interleaving import Writer, every_interleaving
from tests.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    RECIPIENT,
    SENDER,
    SERVICE_SID,
    SUBACCOUNT_SID,
    VirtualTwilio,
    basic,
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

type Fault = Callable[[requests.PreparedRequest], requests.Response | None]


class Wire(requests.adapters.BaseAdapter):
    """Carries requests to the simulator without a network; a test may answer in its place."""

    def __init__(self, virtual: VirtualTwilio) -> None:
        super().__init__()
        self._virtual = virtual
        self.asked: list[str] = []
        self.fault: Fault = lambda _: None

    @override
    def send(
        self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any
    ) -> requests.Response:
        path, _, query = str(request.path_url).partition("?")
        self.asked.append(unquote(f"{path.rpartition('/')[2]}?{query}".removesuffix("?")))
        instead = self.fault(request)
        if instead is not None:
            return instead
        answer = self._virtual.ask(
            str(request.method), path, query=query, authorization=request.headers["Authorization"]
        )
        if isinstance(answer, Dropped):
            raise requests.ConnectionError
        return a_response(answer.status, answer.body)

    @override
    def close(self) -> None:
        """Nothing is open."""


def a_response(status: int, body: bytes = b"{}") -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body  # noqa: SLF001 -- requests has no other way to make one
    return response


def always(status: int) -> Fault:
    return lambda _: a_response(status)


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
        self.requests = RequestStore(dynamodb, "SendRequestsTable")

    @property
    def asked(self) -> list[str]:
        """What Twilio was asked since this was last looked at."""
        asked, self.wire.asked = self.wire.asked, []
        return asked

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
            self.learn(document["sid"], document["status"], source=Source.SEND, to=document["to"])
        return str(document["sid"])

    def learn(self, message_sid: str, status: str, **facts: Any) -> Message:
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


@pytest.fixture
def app(aws: None) -> ModuleType:  # noqa: ARG001 -- its clients need moto first
    from functions.reconcile_messages import app  # noqa: PLC0415 -- the same

    return app


@pytest.fixture
def world(
    app: ModuleType,  # before capsys: its logger keeps the stream that it finds
    messages_table: str,
    requests_table: str,
    dynamodb: DynamoDBClient,
    secrets_manager: SecretsManagerClient,
    monkeypatch: pytest.MonkeyPatch,
    log_output: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[World]:
    """When a test is over, nothing that the function wrote may hold what nobody may read."""
    assert messages_table
    assert requests_table
    secret = {
        "account_sid": ACCOUNT_SID,
        "auth_token": AUTH_TOKEN,
        "subaccounts": {SUBACCOUNT_SID: {"auth_token": "the-subaccount-token"}},
    }
    secrets_manager.create_secret(Name="delivery/twilio", SecretString=json.dumps(secret))
    virtual = VirtualTwilio()
    wire = Wire(virtual)
    with requests.Session() as session:
        client = TwilioClient(session, TWILIO)
        session.mount(f"{TWILIO}/", wire)
        monkeypatch.setattr(app, "twilio", client)
        monkeypatch.setattr(app, "secrets", TwilioSecrets(secrets_manager, "delivery/twilio"))
        monkeypatch.setattr(app, "now", lambda: virtual.now)
        yield World(app, virtual, wire, dynamodb)
    written = log_output.getvalue() + capsys.readouterr().out
    assert [word for word in UNHEARD_OF if word in written] == []


@pytest.fixture
def counted(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, int]]:
    """What the function counted of its own work since this was last asked, by metric."""

    def metrics() -> dict[str, int]:
        counts = Counter[str]()
        for point in data_points(capsys.readouterr().out):
            counts[point.name] += int(sum(point.values))
        return {
            name: number
            for name, number in counts.items()
            if name != "ReconcileRun" and name not in COUNTED_BY
        }

    return metrics


type Counted = Callable[[], dict[str, int]]


# --- what becomes of messages is counted as if a callback had told it ---------------------------


def test_a_failure_that_no_callback_told_is_counted_by_its_category(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    sids = [world.send(To=UNDELIVERED) for _ in range(2)]
    world.pass_by(minutes=60)

    world.run()
    world.run()

    output = capsys.readouterr().out
    points = data_points(output)
    assert total(points, "MessageFailed", category="recipient_unreachable") == 2
    assert total(points, "TransitionRecorded", status="undelivered") == 2
    assert total(points, "TimeToDelivered") is None
    assert {json.loads(line).get("message_sid") for line in output.splitlines()} == {None, *sids}


def test_a_request_that_was_not_found_is_counted_as_a_failure_once(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.claim()
    world.pass_by(minutes=16)

    world.run()
    world.run()

    points = data_points(capsys.readouterr().out)
    assert total(points, "MessageFailed", category="unknown") == 1
    assert total(points, "RequestNotFound", service="tested") == 1


# --- quiet messages ------------------------------------------------------------------------------


def test_a_message_whose_callbacks_were_lost_ends_with_what_twilio_knows(
    world: World, counted: Counted
) -> None:
    sid = world.send(To=UNDELIVERED)
    world.pass_by(minutes=60)

    world.run()

    message = world.message(sid)
    assert (message.status, message.outcome, message.error_code) == (
        "undelivered",
        Outcome.FAILED,
        30003,
    )
    assert message.num_segments == "1"
    assert message.transitions[-1].source is Source.RECONCILE
    assert message.final_at == message.transitions[-1].at == world.twilio.now
    assert message.notice is Notice.DUE
    assert counted() == {"MessageReconciled": 1}


def test_a_message_that_ended_is_never_asked_about(world: World) -> None:
    sid = world.send()
    world.pass_by(minutes=1)
    world.learn(sid, "delivered")
    world.pass_by(days=5)

    world.run()

    assert world.asked == []


def test_a_message_is_left_alone_until_it_has_been_quiet_for_long(world: World) -> None:
    sid = world.send(To=STAYS_SENT)

    world.pass_by(minutes=59.9)
    world.run()
    asked_early = world.asked
    world.pass_by(minutes=0.1)
    world.run()

    assert asked_early == []
    assert world.asked == [f"{sid}.json"]


def test_a_message_that_stays_quiet_is_asked_about_less_and_less_and_becomes_unconfirmed(
    world: World, counted: Counted
) -> None:
    sid = world.send(To=STAYS_SENT)
    created_at = world.message(sid).created_at
    ages = []

    while world.message(sid).outcome is Outcome.PENDING:
        due = world.message(sid).watch_at or created_at
        world.pass_by(seconds=(due - world.twilio.now).total_seconds())
        world.run()
        assert world.asked == [f"{sid}.json"]
        ages.append((world.twilio.now - created_at) / timedelta(hours=1))

    message = world.message(sid)
    assert ages == [1, 2, 4, 8, 16, 32, 56, 72]
    assert (message.outcome, message.status) == (Outcome.UNCONFIRMED, "sent")
    assert message.watch == f"unconfirmed#{world.twilio.now:%Y-%m-%d}#{sid[-1]}"
    assert message.watch_at == world.twilio.now
    assert (message.final_at, message.notice) == (None, None)
    assert counted()["MessageUnconfirmed"] == 1


@pytest.mark.parametrize("status", ["delivered", "undelivered", "read", "canceled"])
def test_a_final_status_still_replaces_unconfirmed(world: World, status: str) -> None:
    sid = world.send(To=STAYS_SENT)
    world.pass_by(days=3)
    world.run()
    assert world.message(sid).outcome is Outcome.UNCONFIRMED

    message = world.learn(sid, status)

    assert message.outcome not in {Outcome.UNCONFIRMED, Outcome.PENDING}
    assert message.final_at == world.twilio.now
    assert (message.watch or "failed").startswith("failed")


def test_whatever_twilio_learned_last_is_asked_for_before_a_message_is_given_up(
    world: World, counted: Counted
) -> None:
    sid = world.send()
    world.pass_by(days=10)  # nobody ran all that time

    world.run()

    assert world.message(sid).outcome is Outcome.DELIVERED
    assert counted() == {"MessageReconciled": 1}


def test_a_scheduled_message_is_first_asked_about_after_its_time(world: World) -> None:
    send_at = world.twilio.now + timedelta(days=7)
    scheduled = {"ScheduleType": "fixed", "SendAt": send_at.isoformat(), "From": None}
    document = world.twilio.send(MessagingServiceSid=SERVICE_SID, **scheduled)
    world.learn(document["sid"], "scheduled", source=Source.SEND, send_at=send_at)

    world.pass_by(days=7, minutes=59)
    world.run()
    asked_early = world.asked
    world.pass_by(minutes=1)
    world.run()

    assert asked_early == []
    assert world.message(document["sid"]).outcome is Outcome.DELIVERED


def test_a_message_that_twilio_does_not_know_is_waited_for_like_any_other(
    world: World, counted: Counted
) -> None:
    sid = "SM" + "f" * 32
    world.learn(sid, "sent")

    world.pass_by(hours=1)
    world.run()
    first = world.message(sid)
    world.pass_by(hours=71)
    world.run()

    assert (first.outcome, first.watch_at) == (
        Outcome.PENDING,
        first.created_at + timedelta(hours=2),
    )
    assert world.message(sid).outcome is Outcome.UNCONFIRMED
    assert counted() == {"MessageUnconfirmed": 1}


def test_a_message_whose_account_is_gone_from_the_secret_ends_as_well(world: World) -> None:
    sid = world.send()
    gone = world.learn("SM" + "e" * 32, "sent", account_sid="AC" + "9" * 32)

    world.pass_by(hours=1)
    world.run()
    assert world.message(gone.message_sid).outcome is Outcome.PENDING
    assert world.message(sid).outcome is Outcome.DELIVERED
    world.pass_by(hours=71)
    world.run()

    assert world.message(gone.message_sid).outcome is Outcome.UNCONFIRMED


# --- how Twilio is asked -------------------------------------------------------------------------


def test_many_messages_of_a_day_cost_one_page_of_the_list(world: World) -> None:
    sids = [world.send() for _ in range(12)]
    world.pass_by(minutes=60)

    world.run()

    assert world.asked == ["Messages.json?DateSent=2026-11-23&PageSize=1000"]
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_one_message_is_asked_about_by_its_sid(world: World) -> None:
    sid = world.send()
    world.pass_by(minutes=60)

    world.run()

    assert world.asked == [f"{sid}.json"]


def test_what_the_list_does_not_show_is_asked_about_by_its_sid(world: World) -> None:
    sids = [world.send() for _ in range(2)]
    world.twilio.simulator.settings = world.twilio.simulator.settings.changed({"list_lag": 9000.0})
    world.pass_by(minutes=60)

    world.run()

    assert sorted(world.asked) == sorted(
        ["Messages.json?DateSent=2026-11-23&PageSize=1000", *(f"{sid}.json" for sid in sids)]
    )
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_pages_are_read_only_while_they_are_fewer_than_the_messages_to_ask_about(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 5)
    sids = [world.send() for _ in range(4)]
    world.pass_by(seconds=10)
    for _ in range(50):  # of other programs, and newer: they fill the first pages
        world.twilio.send()
    world.pass_by(minutes=60)

    world.run()

    asked = world.asked
    assert [it.startswith("Messages.json") for it in asked] == [True] * 3 + [False] * 4
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_pages_that_find_nothing_are_soon_given_up_for_single_questions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 5)
    sids = [world.send() for _ in range(20)]
    world.pass_by(seconds=10)
    for _ in range(100):  # an account that sends much else
        world.twilio.send()
    world.pass_by(minutes=60)

    world.run()

    asked = world.asked
    assert [it.startswith("Messages.json") for it in asked] == [True] * 3 + [False] * 20
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_pages_are_read_on_while_they_find_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 10)
    for _ in range(60):
        world.send()
    world.pass_by(minutes=60)

    world.run()

    assert [it.startswith("Messages.json") for it in world.asked] == [True] * 6


def test_messages_of_different_days_and_accounts_are_listed_apart(world: World) -> None:
    mine = [world.send() for _ in range(2)]
    world.pass_by(hours=13)
    mine += [world.send() for _ in range(2)]
    world.learn("SM" + "d" * 32, "sent", account_sid=SUBACCOUNT_SID)
    world.pass_by(minutes=60)

    world.run()

    assert sorted(world.asked) == [
        "Messages.json?DateSent=2026-11-23&PageSize=1000",
        "Messages.json?DateSent=2026-11-24&PageSize=1000",
        "SM" + "d" * 32 + ".json",
    ]
    assert {world.message(sid).outcome for sid in mine} == {Outcome.DELIVERED}


# --- when it cannot go on ------------------------------------------------------------------------


def test_a_throttled_run_stops_at_once_and_leaves_the_rest_on_the_list(
    world: World, counted: Counted
) -> None:
    first = world.send()
    world.pass_by(days=1)
    second = world.send()
    world.pass_by(minutes=60)
    before = [world.message(sid) for sid in (first, second)]
    world.wire.fault = always(429)

    world.run()

    assert len(world.asked) == 1
    assert [world.message(sid) for sid in (first, second)] == before
    assert counted() == {"ReconcileStopped": 1}


def test_refused_credentials_stop_one_account_and_not_the_others(
    world: World, counted: Counted, log_output: io.StringIO
) -> None:
    sids = [world.send(), world.send()]
    world.pass_by(days=1)
    theirs = world.twilio.json(
        "POST",
        f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages.json",
        form={"To": RECIPIENT, "From": SENDER, "Body": BODY},
        authorization=basic(SUBACCOUNT_SID, "the-subaccount-token"),
    )["sid"]
    world.learn(theirs, "queued", account_sid=SUBACCOUNT_SID)
    world.pass_by(hours=2)
    world.twilio.simulator.rotate_auth_token(ACCOUNT_SID, "promoted")

    world.run()

    assert {world.message(sid).outcome for sid in sids} == {Outcome.PENDING}
    assert world.message(theirs).outcome is Outcome.DELIVERED
    assert counted() == {"CredentialsRefused": 1, "MessageReconciled": 1}
    (line,) = (it for it in log_output.getvalue().splitlines() if "CredentialsRefused" in it)
    assert json.loads(line)["level"] == "ERROR"
    assert ACCOUNT_SID in line


def test_a_new_token_is_used_by_the_next_run(
    world: World, secrets_manager: SecretsManagerClient
) -> None:
    sid = world.send()
    world.pass_by(minutes=60)
    world.twilio.simulator.rotate_auth_token(ACCOUNT_SID, "promoted")
    world.run()
    secret = json.dumps({"account_sid": ACCOUNT_SID, "auth_token": "promoted"})
    secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString=secret)

    world.run()

    assert world.message(sid).outcome is Outcome.DELIVERED


def test_without_a_secret_nothing_happens_and_an_operator_is_told(
    world: World, secrets_manager: SecretsManagerClient, counted: Counted
) -> None:
    world.send()
    world.pass_by(days=9)
    secrets_manager.delete_secret(SecretId="delivery/twilio", ForceDeleteWithoutRecovery=True)

    world.run()

    assert world.asked == []
    assert counted() == {"CredentialsRefused": 1}


def test_a_run_whose_time_is_up_asks_nothing_more(world: World, counted: Counted) -> None:
    sid = world.send()
    world.pass_by(minutes=60)
    world.seconds_left = 18

    world.run()

    assert world.asked == []
    assert world.message(sid).outcome is Outcome.PENDING
    assert counted() == {"ReconcileStopped": 1}


def test_trouble_with_one_message_does_not_stop_the_others(world: World, counted: Counted) -> None:
    days = []
    for _ in range(3):
        days.append(world.send())
        world.pass_by(days=0.9)
    world.wire.fault = lambda request: (
        a_response(500) if days[0] in str(request.url) else None  # the one due longest
    )

    world.run()

    troubled, *others = (world.message(sid) for sid in days)
    assert {message.outcome for message in others} == {Outcome.DELIVERED}
    assert troubled.outcome is Outcome.PENDING
    assert troubled.watch_at is not None
    assert troubled.watch_at > world.twilio.now
    assert counted() == {"MessageReconciled": 2, "ReconcileTrouble": 1}


def test_a_twilio_that_answers_nothing_is_left_alone_after_three_messages(
    world: World, counted: Counted
) -> None:
    for _ in range(6):
        world.send()
        world.pass_by(days=1)
    world.wire.fault = always(500)

    world.run()

    assert len(world.asked) == 3 * 2  # each is asked about once more
    assert counted() == {"ReconcileTrouble": 3, "ReconcileStopped": 1}


def test_an_outage_of_twilio_never_makes_a_message_unconfirmed(world: World) -> None:
    sid = world.send()
    world.pass_by(days=9)
    world.wire.fault = always(503)

    for _ in range(3):
        world.run()
        world.pass_by(days=1)

    assert world.message(sid).outcome is Outcome.PENDING


def test_a_table_that_cannot_be_read_is_the_next_runs_business(
    world: World, counted: Counted
) -> None:
    world.dynamodb.delete_table(TableName="MessagesTable")

    world.run()

    assert counted() == {"ReconcileStopped": 1}


# --- others at the same time ---------------------------------------------------------------------


class Gated:
    """Stops at the gate for every write, and for the look for evidence; the rest is no choice."""

    def __init__(self, gated: Any, client: DynamoDBClient) -> None:
        self._gated = gated
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gated if name in {"update_item", "put_item"} else self._client, name)

    def query(self, **arguments: Any) -> Any:
        looks_for_evidence = arguments["IndexName"] == "by_to"
        return (self._gated if looks_for_evidence else self._client).query(**arguments)


def a_reconciler(world: World) -> Writer:
    """A run of the function's own parts through the client that it is given."""

    def run(client: Any) -> None:
        from functions.reconcile_messages.reconciling import (  # noqa: PLC0415 -- moto first
            Reconciler,
        )

        line = cast("DynamoDBClient", Gated(client, world.dynamodb))
        reconciler = Reconciler(
            twilio=world.app.twilio,
            store=MessageStore(line, "MessagesTable"),
            requests=RequestStore(line, "SendRequestsTable"),
            lifetimes=world.app.LIFETIMES,
            stores_body=False,
            now=lambda: world.twilio.now,
        )
        for _ in reconciler.ask_about_quiet_messages(
            world.app.secrets.current(), lambda: world.seconds_left
        ):
            pass

    return run


def a_callback(world: World, message_sid: str, status: str) -> Writer:
    update = StatusUpdate(
        message_sid=message_sid, status=status, at=world.twilio.now, source=Source.CALLBACK
    )
    return lambda client: MessageStore(client, "MessagesTable").record(update)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("to", "said", "outcome"),
    [
        (RECIPIENT, "delivered", Outcome.DELIVERED),
        (RECIPIENT, "sent", Outcome.DELIVERED),
        (UNDELIVERED, "undelivered", Outcome.FAILED),
        (STAYS_SENT, "delivered", Outcome.DELIVERED),
        (STAYS_SENT, "sent", Outcome.UNCONFIRMED),
    ],
)
def test_two_runs_and_a_callback_at_once_end_with_the_truth(
    world: World, monkeypatch: pytest.MonkeyPatch, to: str, said: str, outcome: Outcome
) -> None:
    sids: list[str] = []

    def writers_of_run(_: int) -> list[Writer]:
        sids.append(world.send(To=to))
        monkeypatch.setattr("delivery.store.AWAITING_KEYS", (world.message(sids[-1]).watch,))
        world.pass_by(days=3)
        return [a_reconciler(world), a_reconciler(world), a_callback(world, sids[-1], said)]

    for _ in every_interleaving(world.dynamodb, writers_of_run, at_most=60):
        message = world.message(sids[-1])
        statuses = [transition.status for transition in message.transitions]
        assert message.outcome is outcome
        assert len(statuses) == len(set(statuses))
        assert (message.final_at is None) is (outcome is Outcome.UNCONFIRMED)
    assert len(sids) > 1


class Breaking:
    """A client one of whose calls fails, before or after it takes effect."""

    def __init__(self, client: Any, call: int, *, after: bool) -> None:
        self._client = client
        self._left = call
        self._after = after

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name == "exceptions":
            return attribute

        def call(**arguments: Any) -> Any:
            self._left -= 1
            if self._left != 0:
                return attribute(**arguments)
            if self._after:
                attribute(**arguments)
            raise ConnectTimeoutError(endpoint_url="dynamodb")

        return call

    @property
    def broke(self) -> bool:
        return self._left <= 0


@pytest.fixture
def breaking(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Iterator[Breaking]]:
    """Each call of a run broken in turn, before and after it takes effect, until none is left."""

    def lines() -> Iterator[Breaking]:
        for after in (False, True):
            call = 1
            while True:
                line = Breaking(world.dynamodb, call, after=after)
                client = cast("DynamoDBClient", line)
                messages = MessageStore(client, "MessagesTable", world.app.LIFETIMES)
                with monkeypatch.context() as patch:
                    patch.setattr(world.app, "store", messages)
                    patch.setattr(
                        world.app, "request_store", RequestStore(client, "SendRequestsTable")
                    )
                    yield line
                if not line.broke:
                    break
                call += 1

    return lines


@pytest.mark.thorough
def test_a_run_that_loses_any_of_its_calls_is_made_good_by_the_next(
    world: World, breaking: Callable[[], Iterator[Breaking]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.store.AWAITING_KEYS", ("awaiting#0", "awaiting#1"))
    monkeypatch.setattr("delivery.request_store.UNSETTLED_KEYS", ("open#a",))
    whole = MessageStore(world.dynamodb, "MessagesTable", world.app.LIFETIMES)
    for number, _ in enumerate(breaking()):
        sid, lost = f"SM{2 * number:031x}1", f"SM{2 * number:031x}0"
        world.learn(lost, "sent", at=world.twilio.now - timedelta(days=4))
        world.learn(sid, "sent", at=world.twilio.now - timedelta(hours=5))
        world.run()

        monkeypatch.setattr(world.app, "store", whole)
        monkeypatch.setattr(world.app, "request_store", world.requests)
        world.run()

        assert world.message(lost).outcome is Outcome.UNCONFIRMED
        assert world.message(sid).watch_at == world.twilio.now + timedelta(hours=5)


# --- messages of other programs ------------------------------------------------------------------


def test_messages_of_other_programs_are_nobodys_business_by_default(world: World) -> None:
    sid = world.twilio.send()["sid"]
    world.pass_by(days=2)

    world.run()

    assert world.asked == []
    assert world.store.get(sid) is None


@pytest.fixture
def discovering(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(world.app, "RECONCILE_UNKNOWN_MESSAGES", True)
    return world


def test_messages_of_other_programs_are_recorded_when_their_day_is_over(
    discovering: World, counted: Counted
) -> None:
    world = discovering
    theirs = world.twilio.send(To=UNDELIVERED)["sid"]
    ours = world.send()
    world.pass_by(minutes=5)
    world.learn(ours, "delivered")
    before = world.message(ours)

    world.pass_by(hours=12.5)  # the day is over, but the list lags
    world.run()
    too_early = world.store.get(theirs)
    world.pass_by(hours=1)
    world.run()

    message = world.message(theirs)
    assert too_early is None
    assert (message.outcome, message.error_code, message.to) == (
        Outcome.FAILED,
        30003,
        UNDELIVERED,
    )
    assert message.transitions[0].source is Source.RECONCILE
    assert world.message(ours) == before
    assert counted()["MessageDiscovered"] == 1


def test_each_day_is_read_once_and_none_is_left_out(discovering: World) -> None:
    world = discovering
    world.pass_by(days=1)
    world.run()
    assert "Messages.json?DateSent=2026-11-23&PageSize=1000" in world.asked

    world.run()
    read_again = world.asked
    world.pass_by(days=3)
    world.run()

    days = [f"Messages.json?DateSent=2026-11-{day}&PageSize=1000" for day in (24, 25, 26)]
    assert read_again == []
    assert world.asked == days * 2  # for each account


def test_a_day_that_could_not_be_read_in_full_is_read_again(
    discovering: World, counted: Counted
) -> None:
    world = discovering
    sid = world.twilio.send()["sid"]
    world.pass_by(days=1)
    world.wire.fault = always(429)
    world.run()
    assert counted() == {"ReconcileStopped": 2}
    world.wire.fault = lambda _: None

    world.run()

    assert world.message(sid).outcome is Outcome.DELIVERED


def test_what_others_send_to_us_is_no_message_of_ours(discovering: World) -> None:
    world = discovering
    page = {"messages": [{"sid": "SM" + "1" * 32, "status": "received", "direction": "inbound"}]}
    world.pass_by(days=1)
    world.wire.fault = lambda _: a_response(200, json.dumps(page).encode())

    world.run()

    assert world.store.get("SM" + "1" * 32) is None


# --- requests in doubt ---------------------------------------------------------------------------


def a_lost_answer(world: World, request_id: str = REQUEST_ID, **form: Any) -> str:
    """A request that Twilio accepted, of which nobody here knows more than the claim."""
    world.claim(request_id)
    world.pass_by(seconds=1)
    return world.send(known=False, **form)


def evidence_of(log_output: io.StringIO) -> list[str]:
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    return [line["evidence"] for line in lines if line["message"] == "RequestSettled"]


def test_a_callback_that_carries_the_requests_id_settles_it_as_sent(
    world: World, counted: Counted
) -> None:
    sid = a_lost_answer(world)
    world.learn(sid, "sent", request_id=REQUEST_ID)
    world.pass_by(minutes=1)

    world.run()

    request = world.request()
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert request.unsettled is None
    assert request.expires_at == int((world.twilio.now + timedelta(days=30)).timestamp())
    assert world.asked == []
    assert counted() == {"RequestSettled": 1}


def test_what_only_the_request_knows_is_added_to_a_message_that_callbacks_told_of(
    world: World,
) -> None:
    send_at = world.twilio.now + timedelta(days=2)
    request = world.claim(send_at=send_at)
    sid = world.send(known=False)
    world.learn(sid, "from_the_future", request_id=REQUEST_ID, context={"lane": "3"})
    world.pass_by(minutes=1)

    world.run()

    message = world.message(sid)
    assert (message.reference, message.send_at) == (request.reference, send_at)
    assert message.context == {"lane": "3", **request.context}
    assert [entry.status for entry in message.transitions] == ["from_the_future"]


def a_message_that_nobody_took(world: World, request_id: str = REQUEST_ID, **form: Any) -> str:
    """A request that was sent while table and queue took nothing: it alone knows its message."""
    claimed = world.claim(request_id)
    world.pass_by(seconds=1)
    sid = world.send(known=False, **form)
    sent = claimed.settled(
        RequestState.SENT, at=world.twilio.now, kept_for=timedelta(days=30), message_sid=sid
    )
    world.requests.settle(claimed, sent.without_message())
    return sid


def test_a_message_of_which_only_its_request_knows_is_brought_in(
    world: World, counted: Counted
) -> None:
    sid = a_message_that_nobody_took(world)
    world.pass_by(minutes=1)

    world.run()

    message = world.message(sid)
    assert (message.status, message.request_id) == ("delivered", REQUEST_ID)
    assert (message.reference, message.context) == ("order-1", {"shop": "7"})
    assert world.asked == [f"{sid}.json"]
    assert (world.request().state, world.request().unsettled) == (RequestState.SENT, None)
    assert counted() == {"MessageReconciled": 1}


def test_a_message_that_was_taken_in_meanwhile_needs_no_question(
    world: World, counted: Counted
) -> None:
    sid = a_message_that_nobody_took(world)
    world.learn(sid, "sent", request_id=REQUEST_ID)
    world.pass_by(minutes=1)

    world.run()

    assert world.message(sid).reference == "order-1"
    assert (world.request().state, world.request().unsettled) == (RequestState.SENT, None)
    assert world.asked == []
    assert counted() == {}


@pytest.mark.parametrize("status", [404, 500])
def test_a_message_that_cannot_be_brought_in_yet_is_still_nobody_elses(
    world: World, counted: Counted, status: int
) -> None:
    sid = a_message_that_nobody_took(world)
    world.claim(OTHER_REQUEST_ID)
    world.wire.fault = lambda it: a_response(status) if sid in str(it.url) else None
    world.pass_by(minutes=15)

    world.run()

    assert world.request(OTHER_REQUEST_ID).state is RequestState.NOT_FOUND
    assert world.store.get(sid) is None
    assert world.request().unsettled is not None
    assert counted() == {"ReconcileTrouble": 1, "RequestNotFound": 1}


def test_a_message_that_twilio_does_not_have_is_not_asked_for_for_ever(world: World) -> None:
    sid = a_message_that_nobody_took(world)
    world.wire.fault = lambda it: a_response(404) if sid in str(it.url) else None
    world.pass_by(hours=73)

    world.run()

    assert (world.request().state, world.request().unsettled) == (RequestState.SENT, None)


def test_a_request_whose_function_may_still_be_at_work_is_left_alone(world: World) -> None:
    sid = a_lost_answer(world)
    world.learn(sid, "sent", request_id=REQUEST_ID)
    world.pass_by(seconds=20)

    world.run()

    assert world.request().state is RequestState.IN_PROGRESS


def test_twilios_list_which_lags_is_asked_when_the_doubt_is_old_enough(world: World) -> None:
    sid = a_lost_answer(world)

    world.pass_by(minutes=14)
    world.run()
    asked_early, state_early = world.asked, world.request().state_at(world.twilio.now)
    world.pass_by(minutes=1)
    world.run()

    assert (asked_early, state_early) == ([], RequestState.IN_DOUBT)
    assert world.asked == [f"Messages.json?To={RECIPIENT}&PageSize=1000"]
    assert world.request().message_sid == sid


def test_the_only_message_that_looks_like_the_request_is_its(
    world: World, counted: Counted, log_output: io.StringIO
) -> None:
    send_at = world.twilio.now + timedelta(days=2)
    world.claim(send_at=send_at)
    sid = world.send(known=False)
    world.pass_by(minutes=15)

    world.run()

    message = world.message(sid)
    assert (world.request().state, world.request().message_sid) == (RequestState.SENT, sid)
    assert message.request_id == REQUEST_ID
    assert (message.reference, message.context, message.send_at) == (
        "order-1",
        {"shop": "7"},
        send_at,
    )
    assert (message.status, message.transitions[0].source) == ("delivered", Source.RECONCILE)
    assert world.store.get(REQUEST_ID) is None
    assert counted() == {"RequestSettled": 1}
    assert evidence_of(log_output) == ["its looks"]


@pytest.mark.parametrize(
    ("claim", "form"),
    [
        ({"body_digest": None}, {"Body": "made from a template"}),
        ({"from_": None, "messaging_service_sid": SERVICE_SID}, {}),
        ({"messaging_service_sid": SERVICE_SID}, {}),
    ],
    ids=["content template", "sender from a service", "both"],
)
def test_a_look_alike_needs_only_what_the_request_said(
    world: World, claim: dict[str, Any], form: dict[str, Any]
) -> None:
    world.claim(**claim)
    if "messaging_service_sid" in claim:
        form = form | {"MessagingServiceSid": SERVICE_SID}
    sid = world.send(known=False, **form)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid


def test_a_trial_accounts_prefix_does_not_hide_a_message(world: World) -> None:
    world.twilio.simulator.settings = world.twilio.simulator.settings.changed({"trial": True})
    sid = a_lost_answer(world)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid


@pytest.mark.parametrize(
    ("form", "later"),
    [
        ({"Body": "Good bye"}, 0),
        ({"From": "+15557650000"}, 0),
        ({"To": "+15558675311"}, 0),
        ({"MessagingServiceSid": SERVICE_SID, "From": None}, 0),
        ({}, 60),
    ],
    ids=["other text", "other sender", "other recipient", "other service", "too late"],
)
def test_a_message_that_differs_is_not_the_requests(
    world: World, form: dict[str, Any], later: float
) -> None:
    world.claim()
    world.pass_by(seconds=later)
    sid = world.send(known=False, **form)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.NOT_FOUND
    assert world.store.get(sid) is None


def test_a_message_from_before_the_request_is_not_its(world: World) -> None:
    world.send(known=False)
    world.pass_by(minutes=1)
    world.claim()
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.NOT_FOUND


def test_two_messages_that_look_alike_are_never_guessed_between(
    world: World, counted: Counted, log_output: io.StringIO
) -> None:
    world.claim()
    sids = [world.send(known=False) for _ in range(2)]
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert world.request().unsettled
    assert [world.store.get(sid) for sid in (*sids, REQUEST_ID)] == [None] * 3
    assert counted() == {"DoubtAmbiguous": 1}
    (line,) = (json.loads(it) for it in log_output.getvalue().splitlines())
    assert line["level"] == "ERROR"
    assert (line["request_id"], set(line["message_sids"])) == (REQUEST_ID, set(sids))


def test_one_message_is_never_given_to_one_of_two_requests(world: World, counted: Counted) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID)
    sid = world.send(known=False)
    world.pass_by(minutes=15)

    world.run()

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        assert world.request(request_id).state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert world.store.get(sid) is None
    assert counted() == {"DoubtAmbiguous": 2}


def test_what_stays_ambiguous_is_told_as_not_found_in_the_end(
    world: World, counted: Counted
) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID)
    world.send(known=False)
    world.pass_by(hours=72)
    world.run()
    counted()

    world.pass_by(minutes=2)
    world.run()

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        request = world.request(request_id)
        assert (request.state, request.expires_at is None) == (RequestState.NOT_FOUND, False)
        assert world.message(request_id).notice is Notice.DUE
    assert counted()["RequestNotFound"] == 2


def test_a_callback_ends_the_ambiguity_of_the_other_request(world: World) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID)
    sids = [world.send(known=False) for _ in range(2)]
    world.pass_by(minutes=15)
    world.run()
    world.learn(sids[1], "delivered", request_id=OTHER_REQUEST_ID)

    world.run()

    assert world.request(OTHER_REQUEST_ID).message_sid == sids[1]
    assert world.request().message_sid == sids[0]


@pytest.mark.parametrize("state", ["not found", "at work"])
def test_a_request_that_may_have_sent_the_message_too_makes_it_ambiguous(
    world: World, counted: Counted, state: str
) -> None:
    lease = timedelta(days=1 if state == "at work" else 0, seconds=29)
    other = world.claim(OTHER_REQUEST_ID, lease_until=world.twilio.now + lease)
    if state == "not found":
        settled = other.settled(
            RequestState.NOT_FOUND, at=world.twilio.now, kept_for=timedelta(days=30)
        )
        world.requests.settle(other, settled)
    a_lost_answer(world)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert counted()["DoubtAmbiguous"] == 1


def test_a_message_of_another_request_is_no_candidate(world: World) -> None:
    world.claim()
    sid = world.send(known=False)
    world.learn(sid, "queued", source=Source.SEND, request_id=OTHER_REQUEST_ID)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.NOT_FOUND
    assert world.message(sid).request_id == OTHER_REQUEST_ID


def test_a_message_that_was_called_back_about_without_our_id_is_another_programs(
    world: World,
) -> None:
    world.claim()
    sid = world.send(known=False)
    world.learn(sid, "sent")
    world.pass_by(minutes=15)

    world.run()

    assert world.request().state is RequestState.NOT_FOUND
    assert world.message(sid).request_id is None


def test_a_message_that_is_known_from_twilios_list_only_may_be_the_requests(world: World) -> None:
    sid = a_lost_answer(world)
    world.learn(sid, "sent", source=Source.RECONCILE)
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid
    assert world.message(sid).request_id == REQUEST_ID


def test_a_message_that_carries_the_id_counts_even_if_the_index_lags(
    world: World, log_output: io.StringIO
) -> None:
    sid = a_lost_answer(world)
    # Under another number the index does not show it: as good as one that lags.
    world.learn(sid, "sent", request_id=REQUEST_ID, to="+15550000000")
    world.pass_by(minutes=15)

    world.run()

    assert world.request().message_sid == sid
    assert evidence_of(log_output) == ["its id"]


@pytest.mark.parametrize("status", [429, 401, 500])
def test_a_doubt_stays_a_doubt_while_twilio_does_not_say(world: World, status: int) -> None:
    world.claim()
    world.claim(OTHER_REQUEST_ID, to="+15558675311")
    world.pass_by(minutes=15)
    world.wire.fault = always(status)

    world.run()

    assert world.request().state_at(world.twilio.now) is RequestState.IN_DOUBT
    assert world.store.get(REQUEST_ID) is None
    assert len(world.asked) == (2 if status == 500 else 1)  # and not for the other recipient


def test_every_page_of_the_list_is_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 3)
    sid = a_lost_answer(world)
    for _ in range(10):
        world.send(known=False, Body="Something else")
    world.pass_by(minutes=15)

    world.run()

    assert len(world.asked) == 4
    assert world.request().message_sid == sid


# --- not found -----------------------------------------------------------------------------------


def test_without_evidence_a_request_is_told_as_probably_not_sent(
    world: World, counted: Counted
) -> None:
    world.claim()
    world.pass_by(minutes=15)

    world.run()

    request, message = world.request(), world.message(REQUEST_ID)
    assert request.state is RequestState.NOT_FOUND
    assert request.unsettled
    assert (message.status, message.outcome, message.notice) == (
        "not_found",
        Outcome.FAILED,
        Notice.DUE,
    )
    assert (message.request_id, message.to, message.reference) == (
        REQUEST_ID,
        RECIPIENT,
        "order-1",
    )
    assert counted() == {"RequestNotFound": 1}


@pytest.mark.parametrize(
    ("told", "notice"),
    [(0, Notice.WITHDRAWN), (1, Notice.RECOVERY_DUE), (2, Notice.RECOVERY_DUE)],
)
def test_a_callback_that_comes_late_still_turns_it_into_sent(
    world: World, counted: Counted, told: int, notice: Notice
) -> None:
    sid = a_lost_answer(world)
    world.wire.fault = lambda _: a_response(200, b'{"messages": []}')  # the list lags
    world.pass_by(minutes=15)
    world.run()
    counted()
    for _ in range(told):
        world.store.advance_notice(world.message(REQUEST_ID), world.twilio.now)
    world.learn(sid, "delivered", request_id=REQUEST_ID)

    world.run()

    request, message = world.request(), world.message(REQUEST_ID)
    assert (request.state, request.message_sid) == (RequestState.SENT, sid)
    assert request.unsettled is None
    assert (message.status, message.outcome) == ("sent", Outcome.PENDING)
    assert (message.watch, message.watch_at, message.final_at) == (None, None, None)
    assert [it.status for it in message.transitions] == ["not_found", "sent"]
    if message.notice is not notice:  # the notifier's step
        world.store.advance_notice(message, world.twilio.now)
    assert world.message(REQUEST_ID).notice is notice
    assert counted() == {"RequestSettled": 1}


def test_what_was_not_found_is_not_looked_for_in_the_list_again(world: World) -> None:
    sid = a_lost_answer(world)
    world.wire.fault = lambda _: a_response(200, b'{"messages": []}')
    world.pass_by(minutes=15)
    world.run()
    world.wire.fault = lambda _: None
    assert world.asked

    world.run()

    assert world.asked == []
    assert world.request().state is RequestState.NOT_FOUND
    assert world.store.get(sid) is None


def test_a_request_that_was_not_found_is_waited_for_as_long_as_a_message(world: World) -> None:
    world.claim()
    world.pass_by(minutes=15)
    world.run()

    world.pass_by(hours=71.7)
    world.run()
    waited_for = world.request().unsettled
    world.pass_by(hours=0.3)
    world.run()

    assert waited_for
    assert world.request().unsettled is None
    assert world.request().state is RequestState.NOT_FOUND
    assert world.message(REQUEST_ID).outcome is Outcome.FAILED


def test_a_scheduled_request_that_was_not_found_is_waited_for_from_its_time_on(
    world: World,
) -> None:
    send_at = world.twilio.now + timedelta(days=34)
    world.claim(send_at=send_at)
    world.pass_by(minutes=15)
    world.run()
    world.pass_by(hours=34 * 24)
    world.run()
    assert world.request().state is RequestState.NOT_FOUND
    sid = "SM" + "d" * 32
    world.learn(sid, "delivered", request_id=REQUEST_ID)

    world.run()

    assert (world.request().state, world.request().message_sid) == (RequestState.SENT, sid)
    assert world.message(REQUEST_ID).outcome is Outcome.PENDING


def test_whoever_found_nothing_and_died_leaves_the_notice_to_the_next_run(world: World) -> None:
    request = world.claim()
    world.pass_by(minutes=15)
    settled = request.settled(
        RequestState.NOT_FOUND, at=world.twilio.now, kept_for=timedelta(days=30)
    )
    world.requests.settle(request, settled)

    world.run()

    assert world.message(REQUEST_ID).notice is Notice.DUE


def test_a_run_that_is_slow_to_tell_does_not_undo_what_was_found_since(world: World) -> None:
    sid = a_lost_answer(world)
    world.pass_by(minutes=16)
    settled = world.request().settled(
        RequestState.NOT_FOUND, at=world.twilio.now, kept_for=timedelta(days=30)
    )
    world.requests.settle(world.request(), settled)
    world.learn(sid, "delivered", request_id=REQUEST_ID)
    world.run()
    assert world.request().state is RequestState.SENT

    world.store.record_never_sent(
        StatusUpdate(
            message_sid=REQUEST_ID,
            request_id=REQUEST_ID,
            status="not_found",
            at=world.twilio.now,
            source=Source.RECONCILE,
        )
    )

    assert world.message(REQUEST_ID).outcome is Outcome.PENDING


def test_a_request_of_an_account_that_is_gone_ends_as_well(world: World) -> None:
    world.claim(account_sid="AC" + "9" * 32)

    world.pass_by(hours=71)
    world.run()
    waiting = world.request().state_at(world.twilio.now)
    world.pass_by(hours=1)
    world.run()

    assert waiting is RequestState.IN_DOUBT
    assert world.request().state is RequestState.NOT_FOUND


def test_rivals_never_leave_one_of_them_alone_with_a_message(world: World) -> None:
    world.claim()
    world.pass_by(seconds=20)
    world.claim(OTHER_REQUEST_ID)
    sid = world.send(known=False)
    world.pass_by(hours=71.95)

    for _ in range(32):
        world.run()
        world.pass_by(seconds=10)

    for request_id in (REQUEST_ID, OTHER_REQUEST_ID):
        assert world.request(request_id).state is RequestState.NOT_FOUND
        assert world.request(request_id).unsettled is None
    assert world.store.get(sid) is None


# --- requests, and others at the same time -------------------------------------------------------


def a_settler(world: World) -> Writer:
    def run(client: Any) -> None:
        from functions.reconcile_messages.settling import Settler  # noqa: PLC0415 -- moto first

        line = cast("DynamoDBClient", Gated(client, world.dynamodb))
        settler = Settler(
            twilio=world.app.twilio,
            store=MessageStore(line, "MessagesTable"),
            requests=RequestStore(line, "SendRequestsTable"),
            doubt=timedelta(minutes=15),
            search=timedelta(hours=72),
            kept_for=timedelta(days=30),
            stores_body=False,
            now=lambda: world.twilio.now,
        )
        for _ in settler.settle_requests(world.app.secrets.current(), lambda: world.seconds_left):
            pass

    return run


@pytest.mark.thorough
def test_two_runs_at_once_and_a_callback_agree_on_what_became_of_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.store.AWAITING_KEYS", ())
    monkeypatch.setattr("delivery.request_store.UNSETTLED_KEYS", ("open#a",))
    request_ids: list[str] = []

    def writers_of_run(number: int) -> list[Writer]:
        request_ids.append(f"rq_{number:031x}a")
        sid = a_lost_answer(world, request_ids[-1])
        world.pass_by(minutes=16)
        world.wire.fault = lambda _: a_response(200, b'{"messages": []}')
        callback = StatusUpdate(
            message_sid=sid,
            status="delivered",
            at=world.twilio.now,
            source=Source.CALLBACK,
            to=RECIPIENT,
            request_id=request_ids[-1],
        )
        return [
            a_settler(world),
            a_settler(world),
            lambda client: MessageStore(client, "MessagesTable").record(callback),
        ]

    for _ in every_interleaving(world.dynamodb, writers_of_run, at_most=60):
        world.run()

        request = world.request(request_ids[-1])
        never_sent = world.store.get(request.request_id)
        assert request.state is RequestState.SENT
        assert never_sent is None or never_sent.outcome is Outcome.PENDING
    assert len(request_ids) > 1


@pytest.mark.thorough
@pytest.mark.parametrize("evidence", ["none", "looks", "late"])
def test_a_settlement_that_loses_any_of_its_calls_is_made_good_by_the_next_run(
    world: World,
    breaking: Callable[[], Iterator[Breaking]],
    monkeypatch: pytest.MonkeyPatch,
    evidence: str,
) -> None:
    monkeypatch.setattr("delivery.store.AWAITING_KEYS", ())
    monkeypatch.setattr("delivery.request_store.UNSETTLED_KEYS", ("open#a",))
    whole = MessageStore(world.dynamodb, "MessagesTable", world.app.LIFETIMES)
    for number, _ in enumerate(breaking()):
        request_id, to = f"rq_{number:031x}a", f"+1555{number:07}"
        request = world.claim(request_id, to=to)
        sid = None if evidence == "none" else world.send(known=False, To=to)
        world.pass_by(minutes=16)
        if evidence == "late":
            settled = request.settled(
                RequestState.NOT_FOUND, at=world.twilio.now, kept_for=timedelta(days=30)
            )
            world.requests.settle(request, settled)
            world.learn(str(sid), "sent", request_id=request_id, to=to)
        world.run()

        with monkeypatch.context() as patch:
            patch.setattr(world.app, "store", whole)
            patch.setattr(world.app, "request_store", world.requests)
            world.run()

        never_sent = world.store.get(request_id)
        assert world.request(request_id).message_sid == sid
        if sid is None:
            assert world.request(request_id).state is RequestState.NOT_FOUND
            assert never_sent
            assert never_sent.notice is Notice.DUE
            world.requests.settle(world.request(request_id), world.request(request_id).given_up())
        else:
            assert never_sent is None or never_sent.outcome is Outcome.PENDING
