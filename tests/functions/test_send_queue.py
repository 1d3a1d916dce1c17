"""SendMessageFunction: the messages of SendQueue."""

import io
import json
from typing import Any

import pytest

from delivery.domain.notices import NoticeState
from delivery.domain.send_checks import check_fields
from delivery.domain.statuses import Outcome
from delivery.twilio.error_detail import MAX_LENGTH
from functions.send_message.request_ids import request_id_of
from tests.functions.sender import (
    FROM,
    QUEUE_MESSAGE_ID,
    REQUEST_ID,
    SUBACCOUNT_SID,
    TO,
    SenderRig,
    a_document,
)
from tests.support.builders import ACCOUNT_SID
from tests.support.embedded_metrics import total
from tests.support.scripted_twilio import DROPPED, Reply, accepted, rejected


def test_queued_messages_are_sent_and_removed_from_the_queue(sender: SenderRig) -> None:
    sender.twilio.will(accepted(sid=f"SM{1:032x}"), accepted(sid=f"SM{2:032x}"))

    stay = sender.receive(a_document(reference="1"), a_document(reference="2"))

    assert stay == []
    assert sorted(message.reference or "" for message in sender.messages()) == ["1", "2"]
    assert sender.twilio.connections == 1


@pytest.mark.parametrize(
    ("replies", "stay"),
    [
        ([rejected(400, 21610), accepted(), DROPPED], []),
        ([accepted(), rejected(401, 20003)], ["1", "2"]),
    ],
)
def test_only_requests_that_provably_were_not_sent_and_can_be_retried_stay_queued(
    sender: SenderRig, replies: list[Reply], stay: list[str]
) -> None:
    sender.twilio.will(*replies)

    assert sender.receive(a_document(), a_document(), a_document()) == stay


def test_a_queued_request_that_twilio_rejects_becomes_a_failed_message_with_a_notice_due(
    sender: SenderRig,
) -> None:
    sender.twilio.will(rejected(400, 21610))

    stay = sender.receive(a_document(reference="order-7", context={"tenant": "blue"}))

    [message] = sender.messages()
    assert stay == []
    assert message.account_sid == ACCOUNT_SID
    assert message.message_sid == message.request_id
    assert REQUEST_ID.fullmatch(message.message_sid)
    assert (message.status, message.outcome) == ("rejected", Outcome.FAILED)
    assert (message.error_code, message.notice) == (21610, NoticeState.DUE)
    assert (message.to, message.from_, message.reference) == (TO, FROM, "order-7")
    assert message.context == {"tenant": "blue"}
    assert message.body is None


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "[]",
        "\ud800",
        json.dumps(a_document(to="5558675310")),
        json.dumps(a_document(to={"S": "x"}, reference=["x"], context={"a": 1})),
        json.dumps(a_document(body="half \ud83d", reference="half \ud83d")),
        "[" * 50_000,
        "x" * 200_000,
    ],
)
def test_invalid_input_on_the_queue_becomes_one_failed_message_with_a_notice_due(
    sender: SenderRig, body: str
) -> None:
    stay = sender.receive(body)
    stay_again = sender.receive(body)

    [message] = sender.messages()
    assert stay == stay_again == []
    assert (message.status, message.outcome) == ("rejected", Outcome.FAILED)
    assert (message.error_code, message.notice) == (None, NoticeState.DUE)
    assert message.account_sid == ACCOUNT_SID
    assert sender.twilio.requests == []
    assert total(sender.data_points(), "MessageFailed", category="content") == 1


def test_the_failed_message_of_invalid_input_has_its_valid_fields_and_its_problems(
    sender: SenderRig,
) -> None:
    valid = {"reference": "order-7", "context": {"tenant": "blue"}, "account_sid": SUBACCOUNT_SID}
    invalid = {"to": "5558675310", "validity_period": "soon", "5558675310 <b>&": "x"}

    sender.receive(a_document(**valid, **invalid))

    [message] = sender.messages()
    assert (message.to, message.from_, message.reference) == (None, FROM, "order-7")
    assert (message.context, message.account_sid) == ({"tenant": "blue"}, SUBACCOUNT_SID)
    assert message.message_sid == request_id_of(SUBACCOUNT_SID, f"{QUEUE_MESSAGE_ID}-0")
    detail = message.error_detail or ""
    assert "to must be a number in E.164 form" in detail
    assert "55586" not in detail
    assert not {"<", ">", "&"} & set(detail)


@pytest.mark.parametrize(
    "fields",
    [
        {"validity_period": 999_999},
        {"send_at": "tomorrow"},
        {"media_urls": ["x"]},
        {"content_variables": 1},
        dict.fromkeys(("to", "from", "messaging_service_sid", "body", "media_url"), 1),
    ],
)
def test_the_detail_of_invalid_input_has_each_problem_as_it_is_or_counts_it(
    sender: SenderRig, fields: dict[str, object]
) -> None:
    document = a_document(**fields)
    problems = [f"{name} {text}" for name, text in check_fields(document).problems]

    sender.receive(document)

    [message] = sender.messages()
    assert message.error_detail is not None
    assert len(message.error_detail) <= MAX_LENGTH
    shown = [it for it in problems if it in message.error_detail]
    left_out = len(problems) - len(shown)
    assert shown == problems[: len(shown)] != []
    assert message.error_detail.endswith(f"; and {left_out} more") == bool(left_out)


def test_invalid_input_is_recorded_without_an_account_while_the_secret_is_invalid(
    sender: SenderRig,
) -> None:
    sender.put_secret(auth_token="")

    assert sender.receive("not JSON") == []

    [message] = sender.messages()
    assert (message.account_sid, message.notice) == (None, NoticeState.DUE)


@pytest.mark.parametrize(
    "document", ["not JSON", a_document(to="5558675310"), a_document(body="b", idempotency_key="k")]
)
def test_the_log_names_an_unsent_request_by_the_id_in_its_notice(
    sender: SenderRig, caplog: pytest.LogCaptureFixture, document: object
) -> None:
    sender.post(a_document(body="a", idempotency_key="k"))
    sender.receive(document)

    [request_id] = [it.message_sid for it in sender.messages() if it.is_request]
    assert request_id in {getattr(line, "request_id", None) for line in caplog.records}


def test_each_rejection_of_a_batch_is_counted_in_its_own_category(sender: SenderRig) -> None:
    sender.twilio.will(rejected(400, 21610), rejected(400, 30034))

    sender.receive(a_document(), a_document())

    points = sender.data_points()
    assert total(points, "MessageFailed") == 2
    assert total(points, "MessageFailed", category="opt_out") == 1
    assert total(points, "MessageFailed", category="registration_compliance") == 1
    assert total(points, "SendRejected", service="tested") == 2


def test_a_rejection_that_cannot_be_stored_stays_queued(sender: SenderRig) -> None:
    sender.delete_messages_table()
    sender.twilio.will(rejected(400, 21610))

    assert sender.receive(a_document(), "not JSON") == ["0", "1"]


def test_a_batch_that_runs_out_of_time_keeps_the_rest_queued(
    sender: SenderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_reply = sender.twilio.next_reply

    def slow() -> Reply:
        sender.seconds_left -= 6
        return next_reply()

    monkeypatch.setattr(sender.twilio, "next_reply", slow)

    assert sender.receive(a_document(), a_document(), a_document()) == ["2"]


def test_a_defect_keeps_only_its_own_message_queued_and_is_logged(
    sender: SenderRig, monkeypatch: pytest.MonkeyPatch, log_output: io.StringIO
) -> None:
    send_json = sender.function.sender.send_json

    def failing(text: str, **arguments: Any) -> Any:
        if "defect" in text:
            raise KeyError(TO)
        return send_json(text, **arguments)

    monkeypatch.setattr(sender.function.sender, "send_json", failing)

    assert sender.receive(a_document(), a_document(reference="defect"), a_document()) == ["1"]
    assert "KeyError" in log_output.getvalue()
