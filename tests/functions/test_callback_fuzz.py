"""The public endpoint under whatever may be thrown at it (hypothesis).

Nothing unsigned is ever stored, nothing signed is ever lost, and nobody learns anything from an
answer.
"""

import base64
import json
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from moto import mock_aws

from delivery.storage.callback_queue import CallbackQueue
from delivery.storage.messages import MessageStore
from delivery.twilio.callback import parse_form
from delivery.twilio.credentials import TwilioSecrets
from delivery.twilio.signature import signature
from tests.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.cloudformation import create_table
from tests.made_once import shared_client

pytestmark = pytest.mark.thorough

URL = "https://callbacks.example.com/twilio/status"
CONTEXT = SimpleNamespace(function_name="StatusCallbackFunction", aws_request_id="1")
ECHO = "zZechoZz"
"""Stands in whatever is sent, and in no answer."""

DETAILS = {
    400: {
        "MessageSid is missing, blank or none of Twilio's; every status has it",
        "MessageStatus is missing, blank or none of Twilio's; every status has it",
    },
    403: {"The request is not signed by Twilio for this endpoint."},
    413: {"A status callback has at most 64 KiB."},
    415: {"Send application/x-www-form-urlencoded, as Twilio does."},
    503: {"The status could not be stored; send it again."},
}

type Parameters = list[tuple[str, str]]

odd_text = st.text(max_size=30) | st.sampled_from(
    [
        ECHO,
        "",
        " ",
        "\0",
        "9" * 400,
        "\N{GRINNING FACE}" * 90,
        "%00",
        "<script>",
        "{}",
        "-1",
        "null",
    ]
)
names = st.sampled_from(
    ["To", "From", "ErrorCode", "RawDlrDoneDate", "AccountSid", "MessagingServiceSid", "Body"]
)
sids = st.text(min_size=1, max_size=128).filter(str.strip)
queries = st.lists(st.tuples(odd_text, odd_text), max_size=25).map(urlencode) | st.text(
    alphabet="abz019&=%+-_.~;", max_size=40
)


@st.composite
def callbacks(draw: st.DrawFn) -> Parameters:
    """What Twilio could send: a SID, a status, and anything else."""
    others = draw(st.lists(st.tuples(names | odd_text, odd_text), max_size=8))
    others = [pair for pair in others if pair[0] not in {"MessageSid", "MessageStatus"}]
    account = [("AccountSid", ACCOUNT_SID)]
    status = ("MessageStatus", draw(st.sampled_from(["sent", "failed", "read"]) | sids))
    return [*account, ("MessageSid", draw(sids)), *others, status]


bodies = (
    st.binary(max_size=400)
    | callbacks().map(lambda pairs: urlencode(pairs).encode())
    | st.dictionaries(odd_text, odd_text, max_size=5).map(lambda it: json.dumps(it).encode())
    | st.sampled_from(
        [
            b"&".join(f"n{number}=".encode() for number in range(8000)),
            b"&" * 65536,
            b"a&" * 32768,
            b"%" * 65536,
            b"=" * 65537,
            b"MessageSid=" + b"\xff" * 60000,
            b"[" * 60000,
            ECHO.encode() * 9000,
        ]
    )
)
header_values = st.none() | odd_text | st.just("application/x-www-form-urlencoded")
headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": header_values,
        "Content-Type": header_values,
        "x-twilio-signature": odd_text,
        "x-forwarded-for": odd_text,
        "content-length": odd_text,
        "host": odd_text,
    },
)


def a_request(
    body: bytes, headers: dict[str, Any], *, raw_query: str = "", encoded: bool = True
) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "POST /twilio/status",
        "rawPath": "/twilio/status",
        "rawQueryString": raw_query,
        "headers": {name: value for name, value in headers.items() if value is not None},
        "requestContext": {"domainName": "abc.execute-api.us-east-1.amazonaws.com"},
        "body": base64.b64encode(body).decode() if encoded else body.decode("latin-1"),
        "isBase64Encoded": encoded,
    }


def a_signed_request(parameters: Parameters, raw_query: str) -> dict[str, Any]:
    url = f"{URL}?{raw_query}" if raw_query else URL
    body = urlencode(parameters).encode()
    signed = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "x-twilio-signature": signature(AUTH_TOKEN, url, parse_form(body)),
    }
    return a_request(body, signed, raw_query=raw_query)


class Breakable:
    """A client that can be cut off."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_down = False

    def __getattr__(self, name: str) -> Any:
        if self.is_down and name != "exceptions":
            return self._fail
        return getattr(self._client, name)

    def _fail(self, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url=ECHO)


class Endpoint:
    """The function with its resources, which a test can break."""

    def __init__(self, app: ModuleType, patches: pytest.MonkeyPatch) -> None:
        self._app = app
        self._dynamodb = shared_client("dynamodb")
        self._sqs = shared_client("sqs")
        create_table(self._dynamodb, "MessagesTable", "MessagesTable")
        self._queue_url = self._sqs.create_queue(QueueName="callbacks")["QueueUrl"]
        content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
        secrets_manager = shared_client("secretsmanager")
        secrets_manager.create_secret(Name="delivery/twilio", SecretString=json.dumps(content))
        self.table, self.queue = Breakable(self._dynamodb), Breakable(self._sqs)
        patches.setattr(app, "secrets", TwilioSecrets(secrets_manager, "delivery/twilio"))
        patches.setattr(app, "store", MessageStore(self.table, "MessagesTable"))  # type: ignore[arg-type]  # as far as it is used
        patches.setattr(app, "queue", CallbackQueue(self.queue, self._queue_url))  # type: ignore[arg-type]  # the same

    def call(self, event: dict[str, Any]) -> int:
        """The status of the answer, which tells nothing to whoever gets it."""
        answer = self._app.lambda_handler(event, CONTEXT)
        status: int = answer["statusCode"]
        if status == 204:
            assert answer == {"statusCode": 204}
        else:
            body = json.loads(answer["body"])
            assert answer["headers"] == {"content-type": "application/problem+json"}
            assert body.keys() == {"title", "status", "detail"}
            assert body["detail"] in DETAILS[status]
        return status

    def stored(self) -> set[tuple[str, str]]:
        """(message_sid, status) of every status that the table has."""
        items = self._dynamodb.scan(TableName="MessagesTable")["Items"]
        return {
            (item["message_sid"]["S"], entry["M"]["status"]["S"])
            for item in items
            for entry in item["transitions"]["L"]
        }

    def statuses_of(self, message_sid: str) -> set[str]:
        """The statuses that the table has of one message."""
        message = MessageStore(self._dynamodb, "MessagesTable").get(message_sid)
        return {entry.status for entry in message.transitions} if message else set()

    def replay(self) -> None:
        """Have the function take what waits in the queue."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue_url, MaxNumberOfMessages=10
        ).get("Messages", []):
            records = [
                {"messageId": it["MessageId"], "body": it["Body"], "eventSource": "aws:sqs"}
                for it in messages
            ]
            answer = self._app.lambda_handler({"Records": records}, CONTEXT)
            assert answer == {"batchItemFailures": []}
            for it in messages:
                self._sqs.delete_message(
                    QueueUrl=self._queue_url, ReceiptHandle=it["ReceiptHandle"]
                )


@pytest.fixture
def endpoint(aws: None, monkeypatch: pytest.MonkeyPatch) -> Endpoint:  # noqa: ARG001 -- moto
    from functions.status_callback import app  # noqa: PLC0415 -- its clients need moto first

    return Endpoint(app, monkeypatch)


# One endpoint for all examples: what each of them leaves must follow from what it says.
QUICKLY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(body=bodies, headers=headers, raw_query=queries, encoded=st.booleans())
@QUICKLY
def test_what_nobody_signed_is_refused_and_writes_nothing(
    endpoint: Endpoint, body: bytes, headers: dict[str, Any], raw_query: str, *, encoded: bool
) -> None:
    before = endpoint.stored()

    status = endpoint.call(a_request(body, headers, raw_query=raw_query, encoded=encoded))

    assert status in {403, 413, 415}
    assert endpoint.stored() == before


@given(
    parameters=callbacks(),
    gone=st.sets(
        st.sampled_from(
            ["version", "routeKey", "rawQueryString", "headers", "requestContext", "body"]
        )
    ),
    blank=st.none() | st.just({}) | st.just(""),
)
@QUICKLY
def test_an_event_that_lacks_what_it_always_has_is_no_accident(
    endpoint: Endpoint, parameters: Parameters, gone: set[str], blank: Any
) -> None:
    event = a_signed_request(parameters, "")
    for name in gone:
        if blank is None:
            del event[name]
        else:
            event[name] = blank if isinstance(event[name], type(blank)) else None

    status = endpoint.call(event)

    assert status in ({403, 415} if gone & {"headers", "body"} else {204})


@given(parameters=callbacks(), raw_query=queries)
@example(
    [("MessageSid", "SM\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"), ("MessageStatus", "x")], ""
)
@example([("MessageSid", "S"), ("MessageStatus", "s" * 30000)], "a=" + "b" * 9000)
@example([("MessageSid", "S"), ("MessageStatus", "s"), *((f"n{it}", "") for it in range(5000))], "")
@QUICKLY
def test_whatever_twilio_signed_is_stored(
    endpoint: Endpoint, parameters: Parameters, raw_query: str
) -> None:
    account = [("AccountSid", ACCOUNT_SID)]
    event = a_signed_request([*account, *parameters], raw_query)

    status = endpoint.call(event)

    said = dict(reversed(parameters))
    assert status == 204
    assert said["MessageStatus"][:64] in endpoint.statuses_of(said["MessageSid"])


@given(
    parameters=callbacks(), missing=st.sampled_from(["MessageSid", "MessageStatus"]), data=st.data()
)
@QUICKLY
def test_signed_content_without_what_every_status_has_writes_nothing(
    endpoint: Endpoint, parameters: Parameters, missing: str, data: st.DataObject
) -> None:
    blank = data.draw(st.sampled_from([None, "", " ", "\t\n"]))
    incomplete = [pair for pair in parameters if pair[0] != missing]
    if blank is not None:
        incomplete.append((missing, blank))
    before = endpoint.stored()

    status = endpoint.call(a_signed_request(incomplete, ""))

    assert status == 400
    assert endpoint.stored() == before


@given(parameters=callbacks(), change=st.integers(0), data=st.data())
@QUICKLY
def test_a_signature_is_worth_nothing_for_anything_else(
    endpoint: Endpoint, parameters: Parameters, change: int, data: st.DataObject
) -> None:
    event = a_signed_request(parameters, "")
    body = bytearray(base64.b64decode(event["body"]))
    place = change % len(body)
    body[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != body[place]))
    said = set(parse_form(bytes(body)))
    before = endpoint.stored()

    status = endpoint.call(event | {"body": base64.b64encode(body).decode()})

    same = said == set(parse_qsl(urlencode(parameters), keep_blank_values=True))
    assert status == (204 if same else 403)
    assert same or endpoint.stored() == before


class CallbacksWhileThingsBreak(RuleBasedStateMachine):
    """A 204 means that it is kept, whatever was down; anything else that Twilio sends it again."""

    def __init__(self) -> None:
        super().__init__()
        self._mock, self._patches = mock_aws(), pytest.MonkeyPatch()
        self._mock.start()
        from functions.status_callback import app  # noqa: PLC0415 -- its clients need moto first

        self._endpoint = Endpoint(app, self._patches)
        self._promised: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        """Once all is well again, the table has what was promised, and nothing else."""
        self._endpoint.table.is_down = self._endpoint.queue.is_down = False
        self._endpoint.replay()
        assert self._endpoint.stored() == self._promised
        self._patches.undo()
        self._mock.stop()

    @rule()
    def the_table_goes_down_or_comes_back(self) -> None:
        self._endpoint.table.is_down = not self._endpoint.table.is_down

    @rule()
    def the_queue_goes_down_or_comes_back(self) -> None:
        self._endpoint.queue.is_down = not self._endpoint.queue.is_down

    @rule(parameters=callbacks(), raw_query=queries)
    def twilio_calls_back(self, parameters: Parameters, raw_query: str) -> None:
        answer = self._endpoint.call(a_signed_request(parameters, raw_query))

        nothing_works = self._endpoint.table.is_down and self._endpoint.queue.is_down
        assert answer == (503 if nothing_works else 204)
        if answer == 204:
            said = dict(reversed(parameters))
            self._promised.add((said["MessageSid"], said["MessageStatus"][:64]))

    @rule(body=bodies, headers=headers, raw_query=queries)
    def a_stranger_calls(self, body: bytes, headers: dict[str, Any], raw_query: str) -> None:
        assert self._endpoint.call(a_request(body, headers, raw_query=raw_query)) in {403, 413, 415}

    @rule()
    def what_waits_is_replayed(self) -> None:
        if not (self._endpoint.table.is_down or self._endpoint.queue.is_down):
            self._endpoint.replay()


CallbacksWhileThingsBreak.TestCase.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None
)
test_callbacks_while_things_break = CallbacksWhileThingsBreak.TestCase
