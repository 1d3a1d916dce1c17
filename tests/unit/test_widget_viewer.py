"""The viewer of the widget: how CloudWatch's context is read, and times and numbers are shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.dashboard_widget.viewer import Viewer
from tests.support.builders import NOON

ENDPOINT = "arn:aws:lambda:us-east-1:123456789012:function:widget"


def a_viewer(**context: Any) -> Viewer:
    return Viewer.of(context, endpoint=ENDPOINT, now=NOON)


def test_a_viewer_is_read_from_the_widget_context() -> None:
    viewer = a_viewer(
        theme="dark",
        timezone={"label": "Local", "offsetISO": "-03:30", "offsetInMinutes": 210},
        params={"showNumbers": True},
        forms={"all": {"lookup": " order-1 "}},
    )

    assert viewer.is_dark
    assert viewer.zone_name == "UTC-03:30"
    assert viewer.shows_numbers
    assert viewer.typed == " order-1 "


@pytest.mark.parametrize(
    "context",
    [
        None,
        [],
        {},
        {"theme": 1, "timezone": "UTC", "params": None, "forms": {"all": []}},
        {"timezone": {"offsetISO": "+99:99"}, "forms": {"all": {"lookup": 5}}},
        {"timezone": {"offsetISO": 60}, "params": {"showNumbers": "true"}, "forms": []},
    ],
)
def test_missing_or_invalid_values_get_the_defaults(context: Any) -> None:
    assert Viewer.of(context, endpoint=ENDPOINT, now=NOON) == Viewer(now=NOON, endpoint=ENDPOINT)


def test_only_the_parameters_of_the_widget_show_numbers() -> None:
    assert not a_viewer(showNumbers=True, forms={"all": {"showNumbers": True}}).shows_numbers
    assert a_viewer(params={"showNumbers": True}).shows_numbers


@pytest.mark.parametrize(("number", "shown"), [("+15558675310", "…5310"), (None, None)])
def test_a_number_is_masked_unless_the_viewer_sees_numbers(
    number: str | None, shown: str | None
) -> None:
    assert a_viewer().number(number) == shown
    assert a_viewer(params={"showNumbers": True}).number(number) == number


@pytest.mark.parametrize(
    ("time", "day"),
    [
        (NOON, "Today"),
        (NOON - timedelta(hours=11), "Today"),
        (NOON - timedelta(hours=12, seconds=1), "Yesterday"),
        (NOON + timedelta(hours=13), "Tuesday, 24 November 2026"),
        (datetime(2025, 12, 31, 23, tzinfo=UTC), "Wednesday, 31 December 2025"),
    ],
)
def test_a_recent_day_is_relative(time: datetime, day: str) -> None:
    assert a_viewer().day(time) == day


def test_times_and_days_are_in_the_viewers_zone() -> None:
    viewer = a_viewer(timezone={"offsetISO": "+13:00"})

    assert viewer.time(NOON) == "01:00:00"
    assert viewer.day(NOON - timedelta(hours=2)) == "Yesterday"
    assert a_viewer().zone_name == "UTC"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (12, "12 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (-5, "just now")],
)
def test_an_age_has_one_unit(seconds: float, words: str) -> None:
    assert a_viewer().ago(NOON - timedelta(seconds=seconds)) == words
