"""SendMessageFunction: each response of POST /messages and of a direct invocation."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from delivery.domain.statuses import Outcome
from tests.functions.sender import (
    BODY,
    FROM,
    NEW_TOKEN,
    REQUEST_ID,
    SENSITIVE_WORDS,
    SERVICE_SID,
    SUBACCOUNT_SID,
    TO,
    SenderRig,
    a_document,
    an_http_event,
)
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.embedded_metrics import total
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, Reply, accepted, rejected

# --- answers of Twilio ---------------------------------------------------------------------------


def test_the_response_to_an_accepted_message_is_the_stored_message(
    sender: SenderRig, log_output: io.StringIO
) -> None:
    status, answer = sender.post(a_document(reference="order-7", context={"tenant": "blue"}))

    stored = sender.message()
    assert status == 201
    assert stored is not None
    assert answer == stored.as_record()
    assert (stored.status, stored.outcome) == ("queued", Outcome.PENDING)
    assert (stored.to, stored.from_, stored.reference) == (TO, FROM, "order-7")
    assert stored.context == {"tenant": "blue"}
    assert [(entry.status, entry.source) for entry in stored.transitions] == [("queued", "send")]
    assert REQUEST_ID.fullmatch(stored.request_id or "")
    [line] = map(json.loads, log_output.getvalue().splitlines())
    ids = {name: answer[name] for name in ("message_sid", "request_id", "reference")}
    assert line.items() >= ids.items()


def test_what_the_response_of_twilio_lacks_is_stored_from_the_request(sender: SenderRig) -> None:
    only_ids = {"sid": MESSAGE_SID, "status": "queued"}
    sender.twilio.will(Reply(status=201, body=json.dumps(only_ids).encode()))

    sender.post(a_document())

    (message,) = sender.messages()
    assert (message.account_sid, message.to, message.from_) == (ACCOUNT_SID, TO, FROM)


def test_twilio_gets_the_callback_url_of_this_stack_with_retries(sender: SenderRig) -> None:
    _, answer = sender.post(a_document())

    assert sender.parameters() == {
        "To": TO,
        "From": FROM,
        "Body": BODY,
        "StatusCallback": "https://callbacks.example.com/twilio/status"
        f"?request_id={answer['request_id']}#rc=5&rp=all&ct=2000&rt=5000",
    }


@pytest.mark.parametrize(
    ("stored", "kept"), [("true", f"Sent from your trial: {BODY}"), ("false", None)]
)
def test_the_body_is_stored_only_if_the_stack_is_configured_so(
    sender: SenderRig, stored: str, kept: str | None
) -> None:
    sender.restart(STORE_MESSAGE_BODY=stored)
    sender.twilio.will(accepted(body=f"Sent from your trial: {BODY}"))

    _, answer = sender.post(a_document())

    assert answer.get("body") == kept
    assert (BODY in str(sender.dynamodb.scan(TableName="MessagesTable"))) is bool(kept)


def test_a_message_is_kept_and_reconciled_after_the_times_of_the_stack(sender: SenderRig) -> None:
    sender.restart(MESSAGE_RETENTION_DAYS="7", RECONCILE_AFTER_MINUTES="5")

    sender.post(a_document())

    [message] = sender.messages()
    assert message.expires_at == int((message.created_at + timedelta(days=7)).timestamp())
    assert message.list_at == message.created_at + timedelta(minutes=5)


def test_a_scheduled_message_is_stored_with_its_time(sender: SenderRig) -> None:
    send_at = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    sender.twilio.will(accepted(status="scheduled", messaging_service_sid=SERVICE_SID))

    _, answer = sender.post(
        a_document(messaging_service_sid=SERVICE_SID, send_at=send_at.isoformat())
    )

    assert sender.parameters()["SendAt"] == send_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert sender.parameters()["ScheduleType"] == "fixed"
    assert datetime.fromisoformat(answer["send_at"]) == send_at


@pytest.mark.parametrize(
    ("code", "category", "retryable"),
    [
        (21610, "opt_out", False),
        (21611, "rate_limit", True),
        (None, "unknown", False),
    ],
)
def test_a_rejection_is_explained_without_the_text_of_twilio(
    sender: SenderRig,
    code: int | None,
    category: str,
    retryable: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    sender.twilio.will(rejected(400, code))

    status, answer = sender.post(a_document())

    assert status == 422
    assert answer.get("error_code") == code
    assert answer["explanation"]["category"] == category
    assert answer["explanation"]["retryable"] is retryable
    assert answer["explanation"]["title"]
    assert answer["explanation"]["action"]
    assert sender.messages() == []
    assert sender.metrics() == {"SendRejected": 1}


@pytest.mark.parametrize(
    ("reply", "posts", "retry_after", "metric"),
    [
        (rejected(429, 20429, {"Retry-After": "17"}), 1, 17, "SendUnavailable"),
        (rejected(429), 5, 5, "SendUnavailable"),
        (rejected(401, 20003), 1, 60, "CredentialsRefused"),
    ],
    ids=["throttled for a time", "throttled", "credentials refused"],
)
def test_a_message_that_twilio_did_not_take_can_be_retried_later(
    sender: SenderRig, reply: Reply, posts: int, retry_after: int, metric: str
) -> None:
    sender.twilio.will(reply)

    answer = sender.invoke(an_http_event(json.dumps(a_document())))

    assert answer["statusCode"] == 503
    assert answer["headers"]["retry-after"] == str(retry_after)
    assert len(sender.twilio.requests) == posts
    assert sender.messages() == []
    assert sender.metrics() == {metric: 1}


def test_nothing_is_sent_in_the_last_seconds_of_an_invocation(sender: SenderRig) -> None:
    sender.seconds_left = 18

    status, _ = sender.post(a_document())

    assert status == 503
    assert sender.twilio.requests == []


def test_an_invocation_reuses_no_connection_of_an_earlier_one(sender: SenderRig) -> None:
    sender.post(a_document())
    sender.post(a_document())

    assert sender.twilio.connections == 2


def test_a_message_that_fails_with_the_answer_of_twilio_is_counted_as_failed(
    sender: SenderRig,
) -> None:
    sender.twilio.will(accepted(status="failed", error_code=30003))

    sender.post(a_document())

    points = sender.data_points()
    assert total(points, "MessageSent", service="tested") == 1
    assert total(points, "MessageFailed", category="recipient_unreachable") == 1


def test_an_unknown_route_is_not_found(sender: SenderRig) -> None:
    answer = sender.invoke(an_http_event("{}", route="GET /messages"))

    assert answer["statusCode"] == 404


# --- the secret ----------------------------------------------------------------------------------


def test_a_rotated_token_is_used_without_a_deploy_and_without_an_error(sender: SenderRig) -> None:
    sender.post(a_document())
    sender.put_secret(auth_token=NEW_TOKEN)
    sender.twilio.will(rejected(401, 20003), accepted())

    status, _ = sender.post(a_document())

    assert status == 201
    assert [sender.password(place) for place in (1, 2)] == [AUTH_TOKEN, NEW_TOKEN]


def test_a_new_token_that_is_refused_too_is_tried_once(sender: SenderRig) -> None:
    sender.post(a_document())
    sender.put_secret(auth_token=NEW_TOKEN)
    sender.twilio.will(rejected(401, 20003))

    status, _ = sender.post(a_document())

    assert status == 503
    assert len(sender.twilio.requests) == 3


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"auth_token": ""}, "auth_token"), ({"account_sid": "AC1"}, "account_sid")],
)
def test_an_invalid_secret_sends_nothing_and_the_response_names_the_field(
    sender: SenderRig, fields: dict[str, str], named: str
) -> None:
    sender.put_secret(**fields)

    status, answer = sender.post(a_document())

    assert status == 503
    assert named in answer["detail"]
    assert sender.twilio.requests == []


def test_a_subaccount_sends_with_its_own_token(sender: SenderRig) -> None:
    sender.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    sender.twilio.will(accepted(account_sid=SUBACCOUNT_SID))

    status, answer = sender.post(a_document(account_sid=SUBACCOUNT_SID))

    [request] = sender.twilio.requests
    assert (status, answer["account_sid"]) == (201, SUBACCOUNT_SID)
    assert request.path == f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages.json"
    assert sender.password(0) == NEW_TOKEN


def test_an_account_that_the_secret_lacks_is_a_problem_of_the_request(sender: SenderRig) -> None:
    status, answer = sender.post(a_document(account_sid=SUBACCOUNT_SID))

    assert status == 400
    assert [problem["field"] for problem in answer["problems"]] == ["account_sid"]
    assert sender.twilio.requests == []


# --- direct invocation -----------------------------------------------------------------------


@pytest.mark.parametrize("event", [{}, {"to": TO}, [], None, {"Records": []}])
def test_a_direct_invocation_with_invalid_input_returns_all_problems(
    sender: SenderRig, event: Any
) -> None:
    answer = sender.invoke(event)

    assert answer["status_code"] == 400
    assert answer["body"]["problems"]


@pytest.mark.parametrize(
    ("reply", "status", "flag"),
    [
        (rejected(400, 21610), "422", True),
        (rejected(401, 20003), "503", "true"),
        (rejected(400, 21610), "422", []),
    ],
)
def test_a_direct_invocation_that_sent_nothing_fails_if_the_caller_wants_it(
    sender: SenderRig, reply: Reply, status: str, flag: object
) -> None:
    sender.twilio.will(reply)

    with pytest.raises(Exception, match=status) as raised:
        sender.invoke(a_document() | {"raise_on_error": flag})

    assert [word for word in SENSITIVE_WORDS if word in str(raised.value)] == []


def test_invalid_input_of_a_direct_invocation_fails_with_every_problem_of_its_fields(
    sender: SenderRig,
) -> None:
    with pytest.raises(Exception, match=r"^400: bdoy .*did you mean body\?; to must be a number"):
        sender.invoke(a_document(to="not-a-number", bdoy="x") | {"raise_on_error": True})


@pytest.mark.parametrize("reply", [accepted(), DROPPED])
def test_a_direct_invocation_that_may_have_sent_never_fails(
    sender: SenderRig, reply: Reply
) -> None:
    sender.twilio.will(reply)

    answer = sender.invoke(a_document() | {"raise_on_error": True})

    assert answer["status_code"] in {201, 202}


def test_a_direct_invocation_returns_errors_by_default(sender: SenderRig) -> None:
    answer = sender.invoke(a_document(to="not-a-number") | {"raise_on_error": False})

    assert answer["status_code"] == 400
    assert [it["field"] for it in answer["body"]["problems"]] == ["to"]
