"""SendMessageFunction: each response of POST /messages and of a direct invocation."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from delivery.domain.statuses import Outcome
from delivery.storage.messages import MessageStore
from delivery.twilio import client as twilio
from sandbox.twilio.accounts import Account
from sandbox.twilio.server import SimulatorServer
from sandbox.twilio.settings import Settings
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
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN, an_update
from tests.support.embedded_metrics import total
from tests.support.scripted_twilio import DROPPED, MESSAGE_SID, STALLED, Reply, accepted, rejected
from tests.support.shared_clients import shared_client

# --- answers of Twilio ---------------------------------------------------------------------------


def test_the_response_to_an_accepted_message_is_the_stored_message(sender: SenderRig) -> None:
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


def test_twilio_gets_the_callback_url_of_this_stack_with_retries(sender: SenderRig) -> None:
    _, answer = sender.post(a_document())

    assert sender.parameters() == {
        "To": TO,
        "From": FROM,
        "Body": BODY,
        "StatusCallback": "https://callbacks.example.com/twilio/status"
        f"?request_id={answer['request_id']}#rc=5&rp=all&ct=2000&rt=5000",
    }


def test_the_body_is_not_stored_by_default(sender: SenderRig) -> None:
    _, answer = sender.post(a_document())

    assert "body" not in answer
    assert BODY not in str(sender.dynamodb.scan(TableName="MessagesTable"))


def test_the_body_is_stored_if_the_stack_is_configured_so(sender: SenderRig) -> None:
    sender.restart(STORE_MESSAGE_BODY="true")
    sender.twilio.will(accepted(body="Sent from your Twilio trial account - " + BODY))

    _, answer = sender.post(a_document())

    assert answer["body"].endswith(BODY)


def test_a_message_is_kept_and_reconciled_after_the_times_of_the_stack(sender: SenderRig) -> None:
    sender.restart(MESSAGE_RETENTION_DAYS="7", RECONCILE_AFTER_MINUTES="5")

    sender.post(a_document())

    [message] = sender.messages()
    assert message.expires_at == int((message.created_at + timedelta(days=7)).timestamp())
    assert message.list_at == message.created_at + timedelta(minutes=5)


def test_a_send_that_is_recorded_after_its_callbacks_changes_no_status(sender: SenderRig) -> None:
    store = MessageStore(sender.dynamodb, "MessagesTable")
    store.record(an_update("delivered", message_sid=MESSAGE_SID))

    status, answer = sender.post(a_document(reference="order-7"))

    assert status == 201
    assert (answer["status"], answer["outcome"]) == ("delivered", "delivered")
    assert answer["reference"] == "order-7"
    assert [entry["status"] for entry in answer["transitions"]] == ["delivered", "queued"]


def test_a_scheduled_message_is_stored_with_its_time(sender: SenderRig) -> None:
    send_at = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    sender.twilio.will(accepted(status="scheduled", messaging_service_sid=SERVICE_SID))

    _, answer = sender.post(
        a_document(messaging_service_sid=SERVICE_SID, send_at=send_at.isoformat())
    )

    assert sender.parameters()["SendAt"] == send_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert sender.parameters()["ScheduleType"] == "fixed"
    assert datetime.fromisoformat(answer["send_at"]) == send_at


def test_an_accepted_message_is_sent_even_if_neither_table_nor_queue_can_store_it(
    sender: SenderRig, callback_queue: str, log_output: io.StringIO
) -> None:
    sender.delete_messages_table()
    shared_client("sqs").delete_queue(QueueUrl=callback_queue)

    status, answer = sender.post(a_document(reference="order-7"))

    assert status == 201
    assert (answer["message_sid"], answer["status"]) == (MESSAGE_SID, "queued")
    assert answer["reference"] == "order-7"
    assert len(sender.twilio.requests) == 1
    assert "MessageNotStored" in log_output.getvalue()
    assert sender.metrics() == {"MessageSent": 1, "MessageNotStored": 1}


@pytest.mark.parametrize(
    ("code", "category", "retryable"),
    [
        (21211, "recipient_unreachable", False),
        (21610, "opt_out", False),
        (21611, "rate_limit", True),
        (29999, "unknown", False),
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


def test_errors_have_the_format_of_rfc_9457(sender: SenderRig) -> None:
    answer = sender.invoke(an_http_event("{}"))

    body = json.loads(answer["body"])
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert body["status"] == answer["statusCode"] == 400
    assert body.keys() >= {"title", "detail", "problems"}


@pytest.mark.parametrize(
    "reply",
    [
        rejected(500, 20500),
        rejected(503, 20503),
        DROPPED,
        Reply(status=201, body=b"<html>"),
        Reply(status=302, headers={"Location": "/"}),
    ],
)
def test_a_message_that_may_have_been_sent_is_in_doubt_and_not_sent_again(
    sender: SenderRig, reply: Reply
) -> None:
    sender.twilio.will(reply)

    status, answer = sender.post(a_document())

    assert status == 202
    assert answer.keys() == {"request_id", "state"}
    assert answer["state"] == "in_doubt"
    assert answer["request_id"] in sender.parameters()["StatusCallback"]
    assert len(sender.twilio.requests) == 1
    assert sender.metrics() == {"SendInDoubt": 1}


def test_a_message_without_an_answer_is_in_doubt(
    sender: SenderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twilio, "READ_TIMEOUT_SECONDS", 0.1)
    sender.twilio.will(STALLED)

    status, answer = sender.post(a_document())

    assert (status, answer["state"]) == (202, "in_doubt")
    assert len(sender.twilio.requests) == 1


def test_a_throttled_message_is_retried_until_twilio_accepts_it(sender: SenderRig) -> None:
    sender.twilio.will(rejected(429, 20429), rejected(429, 20429), accepted())

    status, _ = sender.post(a_document())

    assert status == 201
    assert len({str(request.parameters) for request in sender.twilio.requests}) == 1


def test_a_message_that_twilio_keeps_throttling_is_unavailable(sender: SenderRig) -> None:
    sender.twilio.will(rejected(429, 20429, {"Retry-After": "17"}))

    answer = sender.invoke(an_http_event(json.dumps(a_document())))

    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "17")
    assert sender.messages() == []
    assert sender.metrics() == {"SendUnavailable": 1}


def test_a_message_that_never_reached_twilio_is_unavailable(sender: SenderRig) -> None:
    sender.restart(twilio_url="http://127.0.0.1:9")

    answer = sender.invoke(an_http_event(json.dumps(a_document())))

    assert answer["statusCode"] == 503
    assert int(answer["headers"]["retry-after"]) > 0


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


@pytest.mark.parametrize("reply", [rejected(401, 20003), rejected(401), rejected(403, 20003)])
def test_refused_credentials_send_nothing_and_are_counted(sender: SenderRig, reply: Reply) -> None:
    sender.twilio.will(reply)

    answer = sender.invoke(an_http_event(json.dumps(a_document())))

    assert answer["statusCode"] == 503
    assert int(answer["headers"]["retry-after"]) > 0
    assert len(sender.twilio.requests) == 1
    assert sender.metrics() == {"CredentialsRefused": 1}


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


def test_a_missing_secret_sends_nothing(sender: SenderRig) -> None:
    sender.secrets_manager.delete_secret(
        SecretId="delivery/twilio", ForceDeleteWithoutRecovery=True
    )

    status, _ = sender.post(a_document())

    assert status == 503
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


# --- request ids -----------------------------------------------------------------------------


def test_the_same_key_gives_the_same_request_id_however_it_is_passed(sender: SenderRig) -> None:
    _, by_header = sender.post(a_document(), key="order-7")
    _, by_field = sender.post(a_document(idempotency_key="order-7"))
    direct = sender.invoke(a_document(idempotency_key="order-7", account_sid=ACCOUNT_SID))

    assert by_header["request_id"] == by_field["request_id"] == direct["body"]["request_id"]


def test_another_key_or_account_gives_another_request_id(sender: SenderRig) -> None:
    sender.put_secret(subaccounts={SUBACCOUNT_SID: {"auth_token": NEW_TOKEN}})
    sids = iter(range(5))

    def request_id(document: dict[str, Any], key: str | None) -> str:
        sender.twilio.will(accepted(sid=f"SM{next(sids):032x}"))
        _, answer = sender.post(document, key=key)
        found: str = answer["request_id"]
        return found

    ids = {
        request_id(a_document(), "order-7"),
        request_id(a_document(), "order-8"),
        request_id(a_document(account_sid=SUBACCOUNT_SID), "order-7"),
        request_id(a_document(), None),
        request_id(a_document(), None),
    }

    assert len(ids) == 5


# --- direct invocation -----------------------------------------------------------------------


def test_a_direct_invocation_returns_the_response_of_the_api(sender: SenderRig) -> None:
    answer = sender.invoke(a_document())

    assert answer["status_code"] == 201
    assert answer["body"]["message_sid"] == MESSAGE_SID


@pytest.mark.parametrize("event", [{}, {"to": TO}, [], [1], "hello", None, 7, {"Records": []}])
def test_a_direct_invocation_with_invalid_input_returns_all_problems(
    sender: SenderRig, event: Any
) -> None:
    answer = sender.invoke(event)

    assert answer["status_code"] == 400
    assert answer["body"]["problems"]


@pytest.mark.parametrize(
    ("replies", "status"),
    [
        ([rejected(400, 21610)], "422"),
        ([rejected(401, 20003)] * 2, "503"),
    ],
)
@pytest.mark.parametrize("flag", [True, "true", 1, []])
def test_a_direct_invocation_that_sent_nothing_fails_if_the_caller_wants_it(
    sender: SenderRig, replies: list[Reply], status: str, flag: object
) -> None:
    sender.twilio.will(*replies)

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


# --- log -------------------------------------------------------------------------------------


def test_the_log_line_of_a_sent_message_has_its_ids(
    sender: SenderRig, log_output: io.StringIO
) -> None:
    _, answer = sender.post(a_document(reference="order-7"))

    [line] = map(json.loads, log_output.getvalue().splitlines())
    assert line["message_sid"] == MESSAGE_SID
    assert line["request_id"] == answer["request_id"]
    assert line["reference"] == "order-7"


# --- against the simulator -------------------------------------------------------------------


@pytest.fixture
def simulator(sender: SenderRig) -> Iterator[SimulatorServer]:
    """The function's Twilio. Its callbacks go to the scripted server."""
    sender.twilio.will(Reply(status=204))
    account = Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN)
    with SimulatorServer([account], settings=Settings(step_seconds=0.01)) as running:
        sender.restart(
            twilio_url=running.url, STATUS_CALLBACK_URL=f"{sender.twilio.url}/twilio/status"
        )
        yield running


@pytest.mark.parametrize(
    ("to", "expected", "calls_back"),
    [
        ("+15557654321", 201, True),
        ("+15555550106", 201, True),
        ("+15555550107", 202, True),
        ("+15555550108", 202, True),
        ("+15555550109", 201, True),
        ("+15555550111", 202, False),
        ("+15555530003", 201, True),
    ],
)
def test_every_callback_of_a_message_carries_the_request_id_of_its_send(
    sender: SenderRig,
    simulator: SimulatorServer,
    to: str,
    expected: int,
    calls_back: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    receiver = sender.twilio

    status, answer = sender.post(a_document(to=to))

    assert status == expected
    if calls_back:
        assert simulator.wait_until(lambda _: len(receiver.requests) > 0, timeout=5)
        assert receiver.requests[0].path == f"/twilio/status?request_id={answer['request_id']}"
        assert dict(receiver.requests[0].parameters)["To"] == to


@pytest.mark.usefixtures("simulator")
def test_a_simulated_message_is_scheduled_and_canceled(sender: SenderRig) -> None:
    send_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    _, scheduled = sender.post(a_document(messaging_service_sid=SERVICE_SID, send_at=send_at))

    status, answer = sender.cancel(scheduled["message_sid"])

    assert scheduled["status"] == "scheduled"
    assert (status, answer["status"]) == (200, "canceled")
