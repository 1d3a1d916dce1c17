"""The public endpoint with generated requests (hypothesis).

Nothing unsigned is stored, nothing signed is lost, and a response echoes nothing of its request.
"""

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from delivery.twilio.callback import parse_form
from tests.functions.callbacks import StatusCallbackRig, a_request, an_http_event
from tests.support.builders import ACCOUNT_SID

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
def parameters_of_callbacks(draw: st.DrawFn) -> Parameters:
    """What Twilio could send: a SID, a status and any other parameters."""
    others = draw(st.lists(st.tuples(names | odd_text, odd_text), max_size=8))
    others = [pair for pair in others if pair[0] not in {"MessageSid", "MessageStatus"}]
    account = [("AccountSid", ACCOUNT_SID)]
    status = ("MessageStatus", draw(st.sampled_from(["sent", "failed", "read"]) | sids))
    return [*account, ("MessageSid", draw(sids)), *others, status]


bodies = (
    st.binary(max_size=400)
    | parameters_of_callbacks().map(lambda pairs: urlencode(pairs).encode())
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


def respond(callbacks: StatusCallbackRig, event: dict[str, Any]) -> int:
    """Invoke the handler; a response to a stranger holds nothing but what is written here."""
    response = callbacks.handle(event)
    status: int = response["statusCode"]
    if status == 204:
        assert response == {"statusCode": 204}
    else:
        body = json.loads(response["body"])
        assert response["headers"] == {"content-type": "application/problem+json"}
        assert body.keys() == {"title", "status", "detail"}
        assert ECHO not in response["body"]
    return status


def stored(callbacks: StatusCallbackRig) -> set[tuple[str, str]]:
    """(message_sid, status) of every status in the table."""
    return {
        (item["message_sid"]["S"], entry["M"]["status"]["S"])
        for item in callbacks.items()
        for entry in item["transitions"]["L"]
    }


# One table for all examples: what each of them stores must follow from its request alone.
SHARED_TABLE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(body=bodies, headers=headers, raw_query=queries, encoded=st.booleans())
@SHARED_TABLE
def test_an_unsigned_request_is_rejected_and_writes_nothing(
    callbacks: StatusCallbackRig,
    body: bytes,
    headers: dict[str, Any],
    raw_query: str,
    *,
    encoded: bool,
) -> None:
    before = stored(callbacks)

    status = respond(callbacks, an_http_event(body, headers, raw_query=raw_query, encoded=encoded))

    assert status in {403, 413, 415}
    assert stored(callbacks) == before


@given(
    parameters=parameters_of_callbacks(),
    gone=st.sets(
        st.sampled_from(
            ["version", "routeKey", "rawQueryString", "headers", "requestContext", "body"]
        )
    ),
    blank=st.none() | st.just({}) | st.just(""),
)
@SHARED_TABLE
def test_an_event_without_a_usual_field_gets_a_response(
    callbacks: StatusCallbackRig, parameters: Parameters, gone: set[str], blank: Any
) -> None:
    event = a_request(parameters)
    for name in gone:
        if blank is None:
            del event[name]
        else:
            event[name] = blank if isinstance(event[name], type(blank)) else None

    status = respond(callbacks, event)

    assert status in ({403, 415} if gone & {"headers", "body"} else {204})


@given(parameters=parameters_of_callbacks(), raw_query=queries)
@example(
    [("MessageSid", "SM\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}"), ("MessageStatus", "x")], ""
)
@example([("MessageSid", "S"), ("MessageStatus", "s" * 30000)], "a=" + "b" * 9000)
@example([("MessageSid", "S"), ("MessageStatus", "s"), *((f"n{it}", "") for it in range(5000))], "")
@SHARED_TABLE
def test_every_signed_callback_is_stored(
    callbacks: StatusCallbackRig, parameters: Parameters, raw_query: str
) -> None:
    account = [("AccountSid", ACCOUNT_SID)]
    event = a_request([*account, *parameters], raw_query=raw_query)

    status = respond(callbacks, event)

    reported = dict(reversed(parameters))
    assert status == 204
    assert (reported["MessageSid"], reported["MessageStatus"][:64]) in stored(callbacks)


@given(parameters=parameters_of_callbacks(), change=st.integers(0), data=st.data())
@SHARED_TABLE
def test_a_signature_is_invalid_for_any_other_body(
    callbacks: StatusCallbackRig, parameters: Parameters, change: int, data: st.DataObject
) -> None:
    event = a_request(parameters)
    body = bytearray(base64.b64decode(event["body"]))
    place = change % len(body)
    body[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != body[place]))
    received = set(parse_form(bytes(body)))
    before = stored(callbacks)

    status = respond(callbacks, event | {"body": base64.b64encode(body).decode()})

    same = received == set(parse_qsl(urlencode(parameters), keep_blank_values=True))
    assert status == (204 if same else 403)
    assert same or stored(callbacks) == before
