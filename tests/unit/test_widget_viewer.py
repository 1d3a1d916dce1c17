"""Who looks at the widget: what CloudWatch says of them, and how times and numbers are shown."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.dashboard_widget.viewer import Viewer
from tests.builders import NOON

ENDPOINT = "arn:aws:lambda:us-east-1:123456789012:function:widget"


def a_viewer(**context: Any) -> Viewer:
    return Viewer.of(context, endpoint=ENDPOINT, now=NOON)


def test_a_viewer_is_who_cloudwatch_says() -> None:
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
def test_a_viewer_of_whom_nothing_sensible_is_said_gets_the_defaults(context: Any) -> None:
    assert Viewer.of(context, endpoint=ENDPOINT, now=NOON) == Viewer(now=NOON, endpoint=ENDPOINT)


def test_only_the_widget_on_its_dashboard_says_whether_numbers_are_shown() -> None:
    assert not a_viewer(showNumbers=True, forms={"all": {"showNumbers": True}}).shows_numbers
    assert a_viewer(params={"showNumbers": True}).shows_numbers


@pytest.mark.parametrize(("number", "shown"), [("+15558675310", "…5310"), (None, None)])
def test_a_number_is_shown_as_far_as_the_viewer_may_see_it(
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
def test_a_day_is_said_as_people_say_it(time: datetime, day: str) -> None:
    assert a_viewer().day(time) == day


def test_times_and_days_are_those_of_the_viewers_zone() -> None:
    viewer = a_viewer(timezone={"offsetISO": "+13:00"})

    assert viewer.time(NOON) == "01:00:00"
    assert viewer.day(NOON - timedelta(hours=2)) == "Yesterday"
    assert a_viewer().zone_name == "UTC"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "just now"), (12, "12 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (-5, "just now")],
)
def test_how_long_ago_is_told_in_one_unit(seconds: float, words: str) -> None:
    assert a_viewer().ago(NOON - timedelta(seconds=seconds)) == words
