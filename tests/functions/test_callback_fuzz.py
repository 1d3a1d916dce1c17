"""The public endpoint with generated requests (hypothesis).

Nothing unsigned is stored, nothing signed is lost, and a response echoes nothing of its request.
"""

import base64
import json
import os
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from moto import mock_aws

from delivery.twilio.callback import parse_form
from tests.functions.callbacks import SECRET_NAME, StatusCallbackRig, a_request, an_http_event
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.cloudformation import create_table
from tests.support.shared_clients import shared_client

pytestmark = pytest.mark.thorough

ECHO = "zZechoZz"
"""Is in requests, and in no response."""

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
    """What Twilio could send: a SID, a status and any other parameters."""
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


class Breakable:
    """A client that a test can disconnect."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.is_down = False

    def __getattr__(self, name: str) -> Any:
        if self.is_down and name != "exceptions":
            return self._fail
        return getattr(self._client, name)

    def _fail(self, **_: Any) -> None:
        raise EndpointConnectionError(endpoint_url=ECHO)


class Endpoint(StatusCallbackRig):
    """The function with resources that a test can break."""

    def __init__(self) -> None:
        dynamodb, sqs = shared_client("dynamodb"), shared_client("sqs")
        create_table(dynamodb, "MessagesTable", "MessagesTable")
        url = sqs.create_queue(QueueName="callbacks")["QueueUrl"]
        content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
        shared_client("secretsmanager").create_secret(
            Name=SECRET_NAME, SecretString=json.dumps(content)
        )
        super().__init__(dynamodb, {**os.environ, "CALLBACK_QUEUE_URL": url})
        self.table, self.queue = Breakable(dynamodb), Breakable(sqs)
        self.restart(dynamodb=self.table, sqs=self.queue)

    def call(self, event: dict[str, Any]) -> int:
        """Invoke the handler; a response to a stranger holds nothing but what is written here."""
        response = self.handle(event)
        status: int = response["statusCode"]
        if status == 204:
            assert response == {"statusCode": 204}
        else:
            body = json.loads(response["body"])
            assert response["headers"] == {"content-type": "application/problem+json"}
            assert body.keys() == {"title", "status", "detail"}
            assert ECHO not in response["body"]
        return status

    def stored(self) -> set[tuple[str, str]]:
        """(message_sid, status) of every status in the table."""
        return {
            (item["message_sid"]["S"], entry["M"]["status"]["S"])
            for item in self.items()
            for entry in item["transitions"]["L"]
        }

    def statuses_of(self, message_sid: str) -> set[str]:
        """The statuses of one message in the table."""
        message = self.message(message_sid)
        return {entry.status for entry in message.transitions} if message else set()

    def replay_all(self) -> None:
        """Replay what is queued until the queue is empty."""
        sqs = shared_client("sqs")
        while records := self.queued():
            assert self.replay(records) == []
            for record in records:
                sqs.delete_message(
                    QueueUrl=self._environ["CALLBACK_QUEUE_URL"],
                    ReceiptHandle=record["receiptHandle"],
                )


@pytest.fixture
def endpoint(aws: None) -> Endpoint:  # noqa: ARG001 -- moto
    return Endpoint()


# One endpoint for all examples: what each of them stores must follow from its request alone.
QUICKLY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(body=bodies, headers=headers, raw_query=queries, encoded=st.booleans())
@QUICKLY
def test_an_unsigned_request_is_rejected_and_writes_nothing(
    endpoint: Endpoint, body: bytes, headers: dict[str, Any], raw_query: str, *, encoded: bool
) -> None:
    before = endpoint.stored()

    status = endpoint.call(an_http_event(body, headers, raw_query=raw_query, encoded=encoded))

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
def test_an_event_without_a_usual_field_gets_a_response(
    endpoint: Endpoint, parameters: Parameters, gone: set[str], blank: Any
) -> None:
    event = a_request(parameters)
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
def test_every_signed_callback_is_stored(
    endpoint: Endpoint, parameters: Parameters, raw_query: str
) -> None:
    account = [("AccountSid", ACCOUNT_SID)]
    event = a_request([*account, *parameters], raw_query=raw_query)

    status = endpoint.call(event)

    reported = dict(reversed(parameters))
    assert status == 204
    assert reported["MessageStatus"][:64] in endpoint.statuses_of(reported["MessageSid"])


@given(
    parameters=callbacks(), missing=st.sampled_from(["MessageSid", "MessageStatus"]), data=st.data()
)
@QUICKLY
def test_a_signed_request_without_a_required_parameter_writes_nothing(
    endpoint: Endpoint, parameters: Parameters, missing: str, data: st.DataObject
) -> None:
    blank = data.draw(st.sampled_from([None, "", " ", "\t\n"]))
    incomplete = [pair for pair in parameters if pair[0] != missing]
    if blank is not None:
        incomplete.append((missing, blank))
    before = endpoint.stored()

    status = endpoint.call(a_request(incomplete))

    assert status == 400
    assert endpoint.stored() == before


@given(parameters=callbacks(), change=st.integers(0), data=st.data())
@QUICKLY
def test_a_signature_is_invalid_for_any_other_body(
    endpoint: Endpoint, parameters: Parameters, change: int, data: st.DataObject
) -> None:
    event = a_request(parameters)
    body = bytearray(base64.b64decode(event["body"]))
    place = change % len(body)
    body[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != body[place]))
    received = set(parse_form(bytes(body)))
    before = endpoint.stored()

    status = endpoint.call(event | {"body": base64.b64encode(body).decode()})

    same = received == set(parse_qsl(urlencode(parameters), keep_blank_values=True))
    assert status == (204 if same else 403)
    assert same or endpoint.stored() == before


class CallbacksWhileThingsBreak(RuleBasedStateMachine):
    """After 204 a status is durable, whatever was down; after another response Twilio retries."""

    def __init__(self) -> None:
        super().__init__()
        self._mock = mock_aws()
        self._mock.start()
        self._endpoint = Endpoint()
        self._promised: set[tuple[str, str]] = set()

    def teardown(self) -> None:
        """When everything is up again, the table has exactly what was answered with 204."""
        self._endpoint.table.is_down = self._endpoint.queue.is_down = False
        self._endpoint.replay_all()
        assert self._endpoint.stored() == self._promised
        self._mock.stop()

    @rule()
    def the_table_goes_down_or_comes_back(self) -> None:
        self._endpoint.table.is_down = not self._endpoint.table.is_down

    @rule()
    def the_queue_goes_down_or_comes_back(self) -> None:
        self._endpoint.queue.is_down = not self._endpoint.queue.is_down

    @rule(parameters=callbacks(), raw_query=queries)
    def twilio_calls_back(self, parameters: Parameters, raw_query: str) -> None:
        answer = self._endpoint.call(a_request(parameters, raw_query=raw_query))

        nothing_works = self._endpoint.table.is_down and self._endpoint.queue.is_down
        assert answer == (503 if nothing_works else 204)
        if answer == 204:
            reported = dict(reversed(parameters))
            self._promised.add((reported["MessageSid"], reported["MessageStatus"][:64]))

    @rule(body=bodies, headers=headers, raw_query=queries)
    def a_stranger_calls(self, body: bytes, headers: dict[str, Any], raw_query: str) -> None:
        status = self._endpoint.call(an_http_event(body, headers, raw_query=raw_query))
        assert status in {403, 413, 415}

    @rule()
    def the_queue_is_replayed(self) -> None:
        if not (self._endpoint.table.is_down or self._endpoint.queue.is_down):
            self._endpoint.replay_all()


CallbacksWhileThingsBreak.TestCase.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None
)
test_callbacks_while_things_break = CallbacksWhileThingsBreak.TestCase
