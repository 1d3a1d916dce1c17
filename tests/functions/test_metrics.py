"""The outcome of messages is counted once, over all functions, with few dimensions."""

import json

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from delivery.domain.messages import Source, StatusUpdate
from delivery.metrics import CountedByFacts, count_apart, count_recorded
from delivery.storage.messages import MessageStore
from delivery.twilio.error_codes import explain
from tests.support.builders import NOON, an_update
from tests.support.embedded_metrics import DataPoint, data_points, total

SERVICE = {"service": "tested"}


class MetricsRig:
    """A table, and the lines of metrics that are written about it."""

    def __init__(self, store: MessageStore, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = store
        self.metrics = Metrics(provider=CountedByFacts())
        self._capsys = capsys

    def written(self) -> str:
        """The lines since the last call."""
        return self._capsys.readouterr().out

    def points(self) -> list[DataPoint]:
        """The data points of the lines since the last call."""
        return data_points(self.written())

    def counted(self, *updates: StatusUpdate) -> list[DataPoint]:
        """The data points of the last of these updates."""
        for update in updates:
            self.written()
            count_apart(self.metrics, self.store.record(update))
        return self.points()


@pytest.fixture
def rig(store: MessageStore, capsys: pytest.CaptureFixture[str]) -> MetricsRig:
    return MetricsRig(store, capsys)


# --- the lines -----------------------------------------------------------------------------------


def test_each_metric_of_a_line_has_its_own_dimensions(rig: MetricsRig) -> None:
    rig.metrics.add_metric("CallbackReplayed", MetricUnit.Count, 1)
    rig.metrics.add_metric("TransitionRecorded", MetricUnit.Count, 1)
    rig.metrics.add_metric("MessageFailed", MetricUnit.Count, 1)
    rig.metrics.add_metadata("status", "undelivered")
    rig.metrics.add_metadata("category", "opt_out")
    rig.metrics.flush_metrics()

    points = {(it.name, it.dimensions) for it in rig.points()}

    assert points == {
        ("CallbackReplayed", frozenset({("service", "tested")})),
        ("TransitionRecorded", frozenset({("service", "tested")})),
        ("MessageFailed", frozenset()),
        ("MessageFailed", frozenset({("category", "opt_out")})),
    }


def test_a_flushed_line_leaves_nothing_for_the_next(rig: MetricsRig) -> None:
    for category in ("content", "opt_out"):
        rig.metrics.add_metric("MessageFailed", MetricUnit.Count, 1)
        rig.metrics.add_metadata("category", category)
        rig.metrics.flush_metrics()

    points = rig.points()

    assert total(points, "MessageFailed", category="content") == 1
    assert total(points, "MessageFailed", category="opt_out") == 1
    assert total(points, "MessageFailed") == 2
    rig.metrics.flush_metrics()
    assert rig.written() == ""


def test_a_count_that_is_only_logged_makes_no_metric(rig: MetricsRig) -> None:
    rig.metrics.add_metric("RequestQueued", MetricUnit.Count, 3)
    rig.metrics.flush_metrics()
    rig.metrics.add_metric("RequestQueued", MetricUnit.Count, 4)
    rig.metrics.add_metric("RequestInvalid", MetricUnit.Count, 1)
    rig.metrics.flush_metrics()

    alone, together = rig.written().splitlines()

    assert data_points(alone) == []
    assert json.loads(alone)["RequestQueued"] == [3.0]
    assert [it.name for it in data_points(together)] == ["RequestInvalid"]
    assert json.loads(together)["RequestQueued"] == [4.0]


# --- what is counted -----------------------------------------------------------------------------


def test_a_new_status_of_a_message_is_counted_once(rig: MetricsRig) -> None:
    first = rig.counted(an_update("delivered"))
    late = rig.counted(an_update("sent", after=1))
    repeated = rig.counted(an_update("sent", after=2))

    assert total(first, "TransitionRecorded", **SERVICE) == 1
    assert total(late, "TransitionRecorded", **SERVICE) == 1
    assert repeated == []


def test_an_unknown_status_is_counted_and_logged_as_other(rig: MetricsRig) -> None:
    for word in ("new_word", "unknown"):
        count_apart(rig.metrics, rig.store.record(an_update(word)))

    output = rig.written()
    assert total(data_points(output), "TransitionRecorded", **SERVICE) == 2
    lines = [json.loads(line) for line in output.splitlines()]
    assert [it["status"] for it in lines] == ["other"] * 2
    assert lines[0]["unknown_status"] == "new_word"


@pytest.mark.parametrize(
    ("status", "code"), [("failed", 21610), ("undelivered", 99999), ("partially_delivered", None)]
)
def test_a_failed_message_is_counted_once_by_the_category_of_its_code(
    rig: MetricsRig, status: str, code: int | None
) -> None:
    failure = an_update(status, error_code=code, after=5)
    failed = rig.counted(an_update("sent"), failure)
    after = rig.counted(failure, an_update("partially_delivered", error_code=30003))

    category = str(explain(code).category)
    assert total(failed, "MessageFailed") == 1
    assert total(failed, "MessageFailed", category=category) == 1
    assert total(after, "MessageFailed") is None


def test_a_delivered_message_counts_as_not_failed_with_its_time_to_delivery(
    rig: MetricsRig,
) -> None:
    delivered = rig.counted(an_update("queued"), an_update("delivered", after=7.25))
    read = rig.counted(an_update("read", after=60))

    assert total(delivered, "MessageFailed") == 0
    assert total(delivered, "TimeToDelivered") == 7.25
    assert [it.unit for it in delivered if it.name == "TimeToDelivered"] == ["Seconds"]
    assert {it.name for it in read} == {"TransitionRecorded"}


def test_a_message_delivered_after_a_failure_is_counted_as_both(rig: MetricsRig) -> None:
    failed = rig.counted(an_update("sent"), an_update("undelivered", after=1))
    delivered = rig.counted(an_update("delivered", after=2))

    assert (total(failed, "MessageFailed"), total(delivered, "MessageFailed")) == (1, 0)


def test_an_unconfirmed_message_is_counted_when_it_fails(rig: MetricsRig) -> None:
    message = rig.store.record(an_update("sent")).message
    rig.store.record_unconfirmed(message, NOON)

    points = rig.counted(an_update("undelivered", error_code=30008, after=9))

    assert total(points, "MessageFailed", category="unknown") == 1


def test_a_canceled_message_is_counted_neither_as_failed_nor_as_delivered(rig: MetricsRig) -> None:
    points = rig.counted(an_update("scheduled"), an_update("canceled", after=1))

    assert {it.name for it in points} == {"TransitionRecorded"}


@pytest.mark.parametrize(
    "updates",
    [
        [an_update("delivered")],  # no earlier status shows when it was sent
        [
            an_update("sent"),
            an_update("delivered", after=9, source=Source.RECONCILE),
        ],  # nor when it was delivered
    ],
)
def test_the_time_to_delivery_needs_an_earlier_status_and_a_callback(
    rig: MetricsRig, updates: list[StatusUpdate]
) -> None:
    points = rig.counted(*updates)

    assert total(points, "MessageFailed") == 0
    assert total(points, "TimeToDelivered") is None


def test_the_time_to_delivery_of_a_scheduled_message_counts_from_its_send_time(
    rig: MetricsRig,
) -> None:
    an_hour_later = an_update(after=3600).at
    scheduled = an_update("scheduled", source=Source.SEND, send_at=an_hour_later)

    points = rig.counted(scheduled, an_update("delivered", after=3604))

    assert total(points, "TimeToDelivered") == 4


def test_a_rejected_request_is_counted_as_a_failure_once(rig: MetricsRig) -> None:
    refused = an_update("rejected", message_sid="rq_" + "a" * 32, error_code=21610)

    for _ in range(2):
        count_apart(rig.metrics, rig.store.record_unsent_request(refused))

    points = rig.points()
    assert total(points, "MessageFailed", category="opt_out") == 1
    assert total(points, "TransitionRecorded", **SERVICE) == 1


def test_a_line_has_the_ids_and_no_phone_number(rig: MetricsRig) -> None:
    recorded = rig.store.record(an_update("undelivered", error_code=30003, body="secret words"))

    count_recorded(rig.metrics, recorded)
    rig.metrics.flush_metrics()

    (written,) = rig.written().splitlines()
    line = json.loads(written)
    assert line["message_sid"] == recorded.message.message_sid
    assert (line["outcome"], line["error_code"]) == ("failed", 30003)
    assert not any(it in written for it in ("8675310", "5550006", "secret words"))
