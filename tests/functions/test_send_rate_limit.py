"""SendMessageFunction: the messages of SendQueue go at each sender's rate."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from delivery.twilio.credentials import TwilioSecrets
from functions.send_message.rate_limit_store import RateLimitStore
from functions.send_message.rate_limiter import SenderRateLimiter
from functions.send_message.send_queue import SendQueue
from tests.builders import NOON
from tests.functions.sender import (
    SERVICE_SID,
    SUBACCOUNT_SID,
    Function,
    Line,
    a_document,
)
from tests.support.scripted_twilio import accepted, rejected

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

FROM_OTHER = "+15005550007"


class Paced:
    """The function with a rate; time passes for it only where it waits, and that is remembered."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.waited: list[float] = []
        self.hidden: dict[str, int] = {}
        self._now = NOON

    def now(self) -> datetime:
        return self._now

    def pass_by(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.pass_by(seconds)

    def hide(self, **arguments: Any) -> dict[str, Any]:
        self.hidden |= {
            entry["ReceiptHandle"].removeprefix("handle-"): entry["VisibilityTimeout"]
            for entry in arguments["Entries"]
        }
        return {}

    def take(self, *documents: Any, received: int = 1) -> list[str]:
        """As Function.take, each message of a key of its own."""
        return self.function.take(*documents, received=received)

    @property
    def posts(self) -> int:
        return len(self.function.twilio.requests)


@pytest.fixture
def paced(
    function: Function,
    line: Line,
    queue_line: Line,
    secrets_manager: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[float], Paced]:
    def at_rate(per_second: float) -> Paced:
        paced = Paced(function)
        queue_line.through = SimpleNamespace(change_message_visibility_batch=paced.hide)
        pacer = SenderRateLimiter(
            store=RateLimitStore(cast("DynamoDBClient", line), "ControlTable"),
            queue=SendQueue(cast("SQSClient", queue_line), "url"),
            secrets=TwilioSecrets(secrets_manager, "delivery/twilio"),
            per_second=per_second,
            now=paced.now,
            sleep=paced.sleep,
            chance=lambda: 0.5,
        )
        monkeypatch.setattr(function.app, "pacer", pacer)
        return paced

    return at_rate


def documents(count: int, *, of: str = "a", **fields: Any) -> list[dict[str, Any]]:
    return [a_document(idempotency_key=f"{of}-{n}", **fields) for n in range(count)]


# --- turns ---------------------------------------------------------------------------------------


def test_the_messages_of_a_batch_go_at_the_rate(paced: Callable[[float], Paced]) -> None:
    sender = paced(2)

    stay = sender.take(*documents(6))

    assert stay == []
    assert sender.posts == 6
    # A second's worth goes at once with the first.
    assert sum(sender.waited) == 1.5


def test_who_would_wait_for_long_goes_back_and_is_hidden_until_its_turn_may_have_come(
    paced: Callable[[float], Paced],
) -> None:
    sender = paced(0.5)

    stay = sender.take(*documents(10))

    assert stay == ["2", "3", "4", "5", "6", "7", "8", "9"]
    assert sender.posts == 2
    assert sender.hidden == {str(place): 2 * place - 1 for place in range(2, 10)}
    assert sender.function.metrics() == {"MessageSent": 2, "SendDeferred": 8}


def test_who_comes_back_goes(paced: Callable[[float], Paced]) -> None:
    sender = paced(0.5)
    first = documents(10)
    sender.take(*first)
    sender.pass_by(2)

    stay = sender.take(*first[2:4])

    assert stay == []
    assert sender.posts == 4


def test_every_invocation_respects_what_others_have_reserved(
    paced: Callable[[float], Paced],
) -> None:
    sender, other = paced(2), paced(2)
    sender.take(*documents(3))

    stay = other.take(*documents(3, of="b"))

    assert stay == []
    assert sum(other.waited) == 1.5


@pytest.mark.parametrize(
    "fields",
    [
        {"from": FROM_OTHER},
        {"from": None, "messaging_service_sid": SERVICE_SID},
        {"account_sid": SUBACCOUNT_SID},
    ],
)
def test_each_sender_of_each_account_has_a_pace_of_its_own(
    paced: Callable[[float], Paced], fields: dict[str, Any]
) -> None:
    sender = paced(0.1)
    sender.function.secret_holds(subaccounts={SUBACCOUNT_SID: {"auth_token": "t"}})

    stay = sender.take(*documents(1), *documents(1, of="b", **fields))

    assert stay == []
    assert sum(sender.waited) == 0


@pytest.mark.parametrize(
    ("fields", "segments"),
    [
        ({}, 1),
        ({"body": "x" * 500}, 4),
        ({"body": "x" * 500, "media_url": ["https://example.com/a.jpg"]}, 1),
        ({"to": "whatsapp:+15558675310", "body": "x" * 500}, 1),
        ({"body": None, "content_sid": "HX" + "6" * 32}, 1),
    ],
)
def test_an_sms_takes_its_segments_and_all_else_one_turn(
    paced: Callable[[float], Paced], fields: dict[str, Any], segments: int
) -> None:
    sender = paced(4)
    sender.take(*documents(4, of="before"))

    sender.take(*documents(1, **fields))
    sender.take(*documents(1, of="after"))

    assert sum(sender.waited) == segments / 4


def test_bad_input_is_not_kept_waiting_for_its_refusal(paced: Callable[[float], Paced]) -> None:
    sender = paced(0.01)
    sender.take(*documents(2))

    stay = sender.take(*documents(1, of="b"), a_document(to="nobody"), "not JSON")

    assert stay == ["0"]
    assert [message.status for message in sender.function.messages()].count("rejected") == 2


def test_what_comes_over_the_api_is_not_kept_waiting(paced: Callable[[float], Paced]) -> None:
    sender = paced(0.01)
    sender.take(*documents(2))

    status, _ = sender.function.post(a_document())

    assert status == 201


def test_a_message_is_hidden_a_second_at_least_for_each_time_that_it_was_handed_out(
    paced: Callable[[float], Paced],
) -> None:
    sender = paced(0.1)
    sender.take(*documents(2))

    sender.take(*documents(1, of="b"), received=200)

    assert sender.hidden["0"] == 200


def test_if_the_pace_cannot_be_read_nothing_is_sent_and_all_stay(
    paced: Callable[[float], Paced],
) -> None:
    sender = paced(1)
    sender.function.dynamodb.delete_table(TableName="ControlTable")

    stay = sender.take(*documents(2))

    assert stay == ["0", "1"]
    assert sender.posts == 0
    assert sender.function.metrics() == {"SendUnavailable": 2}


def test_if_nobody_knows_whose_pace_it_is_nothing_is_sent_and_all_stay(
    paced: Callable[[float], Paced],
) -> None:
    sender = paced(1)
    sender.function.secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString="{")

    stay = sender.take(*documents(2))

    assert stay == ["0", "1"]
    assert sender.function.metrics() == {"SendUnavailable": 2}


# --- what it costs -------------------------------------------------------------------------------


class Counting:
    """Counts the requests to DynamoDB."""

    def __init__(self, client: Any) -> None:
        self.counts: Counter[str] = Counter()
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if name == "exceptions":
            return self._client.exceptions

        def ask(**arguments: Any) -> Any:
            if "rate#" in str(arguments.get("Key")):
                self.counts[name] += 1
            return getattr(self._client, name)(**arguments)

        return ask


def test_a_batch_reserves_with_one_write_while_others_do(
    paced: Callable[[float], Paced], line: Line
) -> None:
    sender = paced(10)
    sender.take(*documents(2))
    counting = Counting(line.through)
    line.through = counting

    sender.take(*documents(5, of="b"))

    assert counting.counts == {"update_item": 1}


def test_without_a_rate_nothing_is_asked_or_waited_for(
    function: Function, line: Line, queue_line: Line
) -> None:
    counting = Counting(line.through)
    line.through = counting
    queue_line.through = SimpleNamespace()

    stay = function.take(*documents(5))

    assert stay == []
    assert counting.counts == {}


# --- 429 -----------------------------------------------------------------------------------------


def test_throttling_holds_back_the_message_its_batch_and_its_sender(
    paced: Callable[[float], Paced],
) -> None:
    sender = paced(10)
    sender.function.twilio.will(rejected(429, 20429, {"Retry-After": "17"}))

    stay = sender.take(*documents(3))
    tried = sender.posts
    later = sender.take(*documents(1, of="b"))

    assert (stay, later) == (["0", "1", "2"], ["0"])
    assert sender.hidden == dict.fromkeys(("0", "1", "2"), 17)
    assert sender.posts == tried


def test_a_throttled_sender_goes_on_when_it_may(paced: Callable[[float], Paced]) -> None:
    sender = paced(10)
    sender.function.twilio.will(rejected(429, 20429, {"Retry-After": "17"}))
    sender.take(*documents(1))
    sender.function.twilio.will(accepted())
    sender.pass_by(17)

    stay = sender.take(*documents(1))

    assert stay == []


def test_throttling_does_not_hold_back_other_senders(paced: Callable[[float], Paced]) -> None:
    sender = paced(10)
    sender.function.twilio.will(*[rejected(429, 20429)] * 5, accepted())

    stay = sender.take(*documents(2), *documents(1, of="b", **{"from": FROM_OTHER}))

    assert stay == ["0", "1"]
