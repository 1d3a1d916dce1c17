"""PublishOutcomesFunction: the archive gets a row for each change that a report can show."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from delivery.domain.messages import Source
from tests.functions.outcomes import OutcomesRig, batch, delivered
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, a_message, an_update
from tests.support.embedded_metrics import data_points, total
from tests.support.stream import HISTORIES, Image, image, records


@pytest.fixture
def archive(aws: None) -> OutcomesRig:  # noqa: ARG001 -- moto must answer
    return OutcomesRig(bus_name="", stream_name="archive", dimensions="campaign, shop")


@pytest.fixture
def both(aws: None) -> OutcomesRig:  # noqa: ARG001 -- moto must answer
    return OutcomesRig(stream_name="archive")


# --- what is archived ----------------------------------------------------------------------------


def test_a_row_has_the_facts_that_reports_need_and_nothing_personal(archive: OutcomesRig) -> None:
    sent = an_update(
        "sent",
        to="+14155550177",
        reference="order-4711",
        context={"campaign": "spring", "name": "Ada Lovelace"},
        request_id="rq_" + "0" * 32,
        body="secret words",
        num_segments="2",
        price="-0.0150",
        price_unit="USD",
        messaging_service_sid="MG" + "1" * 32,
    )
    failed = a_message(sent, an_update("undelivered", after=2, error_code=30003))

    archive.handle(*records(image(failed)))

    (row,) = archive.rows
    assert row == {
        "message_sid": MESSAGE_SID,
        "account_sid": ACCOUNT_SID,
        "created_at": "2026-11-23T12:00:00.000Z",
        "recorded_at": "2026-11-23T12:00:02.000Z",
        "sequence": "100".zfill(40),
        "outcome": "failed",
        "status": "undelivered",
        "error_code": 30003,
        "category": "recipient_unreachable",
        "channel": "sms",
        "country": "US",
        "sender": "+15005550006",
        "messaging_service_sid": "MG" + "1" * 32,
        "seconds_to_final": 2.0,
        "num_segments": 2,
        "price": "-0.0150",
        "price_unit": "USD",
        "dimensions": {"campaign": "spring"},
    }


@pytest.mark.parametrize(("writes", "changes"), HISTORIES.values(), ids=HISTORIES)
def test_the_first_write_and_each_change_of_the_outcome_are_a_row(
    archive: OutcomesRig, writes: list[Image], changes: list[tuple[str, str]]
) -> None:
    assert archive.handle(*records(*writes)) == []

    outcomes = [row["outcome"] for row in archive.rows]
    first = (writes[0] or {})["outcome"]["S"]
    assert outcomes[0] == first
    assert outcomes[1:] == [after for _, after in changes][0 if first == "pending" else 1 :]


@pytest.mark.parametrize(
    "fact",
    [
        {"price": "-0.0075", "price_unit": "USD"},
        {"num_segments": "3"},
        {"messaging_service_sid": "MG" + "1" * 32},
        {"context": {"campaign": "spring"}},
    ],
)
def test_a_fact_that_a_report_shows_is_a_row_when_it_becomes_known(
    archive: OutcomesRig, fact: dict[str, Any]
) -> None:
    known = delivered(1)

    archive.handle(*records(image(known), image(replace(known, **fact))))

    assert len(archive.rows) == 2


@pytest.mark.parametrize("fact", [{"reference": "order-7"}, {"context": {"name": "Ada"}}])
def test_a_fact_that_no_report_shows_is_no_row(archive: OutcomesRig, fact: dict[str, Any]) -> None:
    known = delivered(1)

    archive.handle(*records(image(known), image(replace(known, **fact))))

    assert len(archive.rows) == 1


def test_a_pending_status_after_the_first_is_no_row(archive: OutcomesRig) -> None:
    archive.handle(*records(image(a_message("queued")), image(a_message("queued", "sent"))))

    assert [row["status"] for row in archive.rows] == ["queued"]


def test_a_message_whose_item_was_unreadable_before_is_a_row(archive: OutcomesRig) -> None:
    (record,) = records(image(delivered(1)))
    record["dynamodb"]["OldImage"] = {"message_sid": {"S": "x"}, "outcome": {"S": "delivered"}}

    assert archive.handle(record) == []

    assert len(archive.rows) == 1


# --- dimensions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "left_out"),
    [
        ("spring sale 2026", 0),
        ("x" * 64, 0),
        ("x" * 65, 1),
        ("ada@example.com", 1),
        ("123456", 0),
        ("1234567", 1),
        ("٠١٢٣٤٥٦", 1),  # digits of another script
        ("(415) 555-0177", 1),  # the recipient's number with separators
    ],
)
def test_a_dimension_that_may_be_of_one_person_is_left_out_and_counted(
    archive: OutcomesRig, capsys: pytest.CaptureFixture[str], value: str, left_out: int
) -> None:
    message = a_message(an_update("sent", to="+14155550177", context={"campaign": value}))

    archive.handle(*records(image(message)))
    archive.firehose.error = ConnectTimeoutError(endpoint_url="https://firehose")
    archive.handle(*records(image(message)))  # counted when the stream repeats it

    (row,) = archive.rows
    assert row.get("dimensions") == (None if left_out else {"campaign": value})
    points = data_points(capsys.readouterr().out)
    assert (total(points, "DimensionLeftOut", service="tested") or 0) == left_out


# --- channel, country and time -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "channel", "country"),
    [
        ({"to": "+4915112345678"}, "sms", "DE"),
        ({"to": "+14155550177", "message_sid": "MM" + "1" * 32}, "mms", "US"),
        ({"to": "whatsapp:+5511987654321", "from_": "whatsapp:+14155238886"}, "whatsapp", "BR"),
        ({"to": "+442079460000", "from_": "rcs:acme_agent"}, "rcs", "GB"),
        ({"to": "messenger:1234567", "from_": "messenger:1"}, "messenger", None),
        ({"to": "+15558675310"}, "sms", "US"),  # assigned to no country of +1
        ({"to": "+80012345678"}, "sms", None),
        ({"to": "+999123456"}, "sms", None),
        ({"to": None}, None, None),
    ],
)
def test_channel_and_country_follow_from_the_addresses(
    archive: OutcomesRig, facts: dict[str, Any], channel: str | None, country: str | None
) -> None:
    archive.handle(*records(image(a_message(an_update("sent", **facts)))))

    (row,) = archive.rows
    assert (row.get("channel"), row.get("country")) == (channel, country)


@pytest.mark.parametrize("source", Source)
def test_only_a_callback_gives_the_seconds_to_the_final_status(
    archive: OutcomesRig, source: Source
) -> None:
    message = a_message("sent", an_update("delivered", after=7, source=source))

    archive.handle(*records(image(message)))

    (row,) = archive.rows
    assert row.get("seconds_to_final") == (7.0 if source is Source.CALLBACK else None)


def test_a_final_status_that_is_the_first_known_has_no_seconds(archive: OutcomesRig) -> None:
    archive.handle(*records(image(a_message(an_update("delivered")))))

    (row,) = archive.rows
    assert "seconds_to_final" not in row


# --- what Firehose rejects -----------------------------------------------------------------------


def test_the_rows_of_a_batch_are_packed_into_one_record(archive: OutcomesRig) -> None:
    assert archive.handle(*batch(100)) == []

    ((data,),) = archive.firehose.calls
    assert data.endswith(b"\n")
    assert [row["message_sid"] for row in archive.rows] == [
        delivered(number).message_sid for number in range(100)
    ]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Put"),
        ConnectTimeoutError(endpoint_url="https://aws.example.com"),
    ],
)
@pytest.mark.parametrize(
    ("sink", "message"), [("events", "OutcomePublishFailed"), ("firehose", "OutcomeArchiveFailed")]
)
def test_a_sink_that_does_not_answer_repeats_the_stream(
    both: OutcomesRig, log_output: io.StringIO, sink: str, message: str, error: Exception
) -> None:
    getattr(both, sink).error = error

    assert both.handle(*batch(3)) == ["0"]

    line = json.loads(log_output.getvalue())
    assert (line["level"], line["message"]) == ("ERROR", message)
    assert line["message_sid"] == delivered(0).message_sid


def test_the_stream_continues_from_the_first_change_that_either_sink_rejected(
    both: OutcomesRig,
) -> None:
    stream = batch(25)
    both.events.rejects = {7}
    assert both.handle(*stream) == ["7"]
    both.events.rejects = set()
    both.firehose.rejects = {1}

    assert both.handle(*stream[7:]) == ["7"]
    assert both.handle(*stream[7:]) == []

    everything = {delivered(number).message_sid for number in range(25)}
    assert {row["message_sid"] for row in both.rows} == everything
    assert {it["message_sid"] for it in both.events.details} == everything


def test_without_a_bus_or_an_archive_nothing_is_sent_there(archive: OutcomesRig) -> None:
    bus_only = OutcomesRig()

    archive.handle(*batch(2))
    bus_only.handle(*batch(2))

    assert (archive.events.calls, bus_only.firehose.calls) == ([], [])


def test_an_unreadable_dimension_is_reported_and_its_row_skipped(
    archive: OutcomesRig, capsys: pytest.CaptureFixture[str]
) -> None:
    first, last = batch(2)
    context = {"context": {"M": {"shop": {"N": "7"}}}}
    (unreadable,) = records({**(image(delivered(7)) or {}), **context})

    assert archive.handle(first, unreadable, last) == []

    assert len(archive.rows) == 2
    assert total(data_points(capsys.readouterr().out), "ItemUnreadable") == 1


@pytest.mark.parametrize(
    "fact", [{"num_segments": "many"}, {"num_segments": "9" * 12}, {"price": "free"}]
)
def test_a_fact_that_no_column_can_hold_is_left_out_of_the_row(
    archive: OutcomesRig, fact: dict[str, Any]
) -> None:
    # Firehose would reject the whole record, with all other rows in it.
    archive.handle(*records(image(replace(delivered(1), **fact))))

    (row,) = archive.rows
    assert row.keys().isdisjoint(fact)


def test_what_each_sink_accepted_and_rejected_is_counted_and_no_phone_number_is_written(
    both: OutcomesRig, capsys: pytest.CaptureFixture[str], log_output: io.StringIO
) -> None:
    both.events.rejects = {11}
    both.handle(*batch(20))
    both.firehose.error = ConnectTimeoutError(endpoint_url="https://firehose")
    both.handle(*batch(5))

    output = capsys.readouterr().out
    points = data_points(output)
    assert total(points, "OutcomePublished", service="tested") == 11 + 5
    assert total(points, "OutcomePublishFailed", service="tested") == 1
    assert total(points, "OutcomeArchived", service="tested") == 20
    assert total(points, "OutcomeArchiveFailed", service="tested") == 1
    assert not any(it in output + log_output.getvalue() for it in ("8675310", "5550006"))
