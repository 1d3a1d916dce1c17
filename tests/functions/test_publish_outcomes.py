"""PublishOutcomesFunction: every change of an outcome is an event, at least once and in order."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.messages import Message, StatusUpdate, Timings
from tests.functions.outcomes import OutcomesRig, batch, delivered
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, a_message, an_update
from tests.support.embedded_metrics import data_points, total
from tests.support.stream import HISTORIES, Image, image, records


@pytest.fixture
def outcomes(aws: None) -> OutcomesRig:  # noqa: ARG001 -- moto must answer
    return OutcomesRig()


# --- what is published ---------------------------------------------------------------------------


@pytest.mark.parametrize(("writes", "changes"), HISTORIES.values(), ids=HISTORIES)
def test_every_change_of_an_outcome_is_published_in_order_and_nothing_else(
    outcomes: OutcomesRig,
    log_output: io.StringIO,
    writes: list[Image],
    changes: list[tuple[str, str]],
) -> None:
    assert outcomes.handle(*records(*writes)) == []

    published = [(it["previous_outcome"], it["outcome"]) for it in outcomes.events.details]
    assert published == changes
    assert log_output.getvalue() == ""  # not even for a tombstone


def test_an_event_has_the_facts_of_the_message_and_the_category_of_its_failure(
    outcomes: OutcomesRig,
) -> None:
    sent = an_update(
        "sent",
        reference="order-4711",
        context={"shop": "köln"},
        request_id="rq_" + "0" * 32,
        body="secret words",
    )
    failed = a_message(sent, an_update("undelivered", after=2, error_code=30003))

    outcomes.handle(*records(image(a_message(sent)), image(failed)))

    (entry,), (detail,) = outcomes.events.accepted, outcomes.events.details
    assert (entry["Source"], entry["DetailType"]) == ("delivery", "Message Outcome Changed")
    assert entry["Time"] == failed.final_at
    assert detail.pop("event_id")
    assert detail == {
        "message_sid": MESSAGE_SID,
        "outcome": "failed",
        "previous_outcome": "pending",
        "changed_at": "2026-11-23T12:00:02.000Z",
        "created_at": "2026-11-23T12:00:00.000Z",
        "status": "undelivered",
        "error_code": 30003,
        "category": "recipient_unreachable",
        "retryable": True,
        "account_sid": ACCOUNT_SID,
        "request_id": "rq_" + "0" * 32,
        "reference": "order-4711",
        "context": {"shop": "köln"},
        "to": "…5310",
        "from": "…0006",
    }


def test_a_repeated_event_has_the_same_id_and_no_two_changes_share_one(
    outcomes: OutcomesRig,
) -> None:
    writes, _ = HISTORIES["failed, and delivered after all"]
    other = image(delivered(1))

    for _ in range(2):
        outcomes.handle(*records(*writes), *records(other))

    ids = [detail["event_id"] for detail in outcomes.events.details]
    assert ids[:3] == ids[3:]
    assert len(set(ids)) == 3


def test_a_request_that_fails_and_is_superseded_twice_has_an_id_for_each_change(
    outcomes: OutcomesRig,
) -> None:
    request_id = "rq_" + "0" * 32

    def rejected(after: float) -> StatusUpdate:
        return an_update("rejected", message_sid=request_id, request_id=request_id, after=after)

    failed = Message.from_unsent_request(rejected(0), Timings())
    superseded = failed.as_superseded(NOON + timedelta(minutes=1))
    # Its key has expired, and is used again.
    again = rejected(40 * 86_400)
    failed_again = superseded.as_failed_again(again, Timings(), requested_at=again.at)
    last = failed_again.as_superseded(again.at + timedelta(minutes=1))
    writes = [image(it) for it in (failed, superseded, failed_again, last)]

    for _ in range(2):
        outcomes.handle(*records(*writes))

    ids = [detail["event_id"] for detail in outcomes.events.details]
    assert ids[:4] == ids[4:]
    assert len(set(ids)) == 4


# --- what the bus rejects ------------------------------------------------------------------------


@pytest.mark.parametrize(("rejected", "calls"), [(9, [10]), (10, [10, 10]), (24, [10] * 2 + [5])])
def test_the_stream_is_repeated_from_the_first_event_that_was_rejected(
    outcomes: OutcomesRig, rejected: int, calls: list[int]
) -> None:
    outcomes.events.rejects = {rejected, rejected + 1}
    stream = batch(25)

    (retry_from,) = outcomes.handle(*stream)

    assert retry_from == str(rejected)
    assert outcomes.events.calls == calls
    outcomes.events.rejects = set()
    assert outcomes.handle(*stream[rejected:]) == []
    published = {detail["message_sid"] for detail in outcomes.events.details}
    assert published == {delivered(number).message_sid for number in range(25)}


@pytest.mark.parametrize(
    "item",
    [
        {"message_sid": {"S": "x"}, "outcome": {"S": "delivered"}},
        {"message_sid": {"S": "x"}, "outcome": {"S": "no such outcome"}},
        {**(image(delivered(7)) or {}), "transitions": {"S": "no list"}},
    ],
)
def test_an_unreadable_record_is_reported_and_skipped(
    outcomes: OutcomesRig,
    log_output: io.StringIO,
    capsys: pytest.CaptureFixture[str],
    item: dict[str, Any],
) -> None:
    first, last = batch(2)
    (unreadable,) = records(item)

    assert outcomes.handle(first, unreadable, last) == []

    sids = [it["message_sid"] for it in outcomes.events.details]
    assert sids == [delivered(0).message_sid, delivered(1).message_sid]
    assert total(data_points(capsys.readouterr().out), "ItemUnreadable") == 1
    line = json.loads(log_output.getvalue())
    assert (line["level"], line["sequence_number"]) == ("ERROR", "100")


# --- log and metrics -----------------------------------------------------------------------------


def test_a_batch_without_a_change_publishes_nothing(
    outcomes: OutcomesRig, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *same = records(image(delivered(0)), image(delivered(0)))

    assert outcomes.handle(*same) == []

    assert outcomes.events.calls == []
    assert total(data_points(capsys.readouterr().out), "OutcomePublished", service="tested") == 0
