"""A trace is readable, and can be reduced to what has certain words."""

from datetime import UTC, datetime
from functools import partial

from simulation.trace import Trace
from simulation.trace_format import shorten_ids

SID = "SM" + "5ed33e363ba5d3d1cb67e38533ce8607"


def test_long_ids_are_shortened_and_short_words_are_not() -> None:
    assert shorten_ids(f"{SID} c8d973ed-cb75-8222-a1f9-83d0d31ef370 deadbeef") == (
        "SM5ed33e… c8d973… deadbeef"
    )


def a_trace() -> Trace:
    """Two invocations, of which the first is about SM1, and Twilio."""
    now = 1.0
    trace = Trace(datetime(2026, 11, 23, 12, tzinfo=UTC), lambda: now)
    trace.add("Twilio", "calls back", "SM1")
    for number, sid in enumerate(("SM1", "SM2"), start=1):
        actor, now = f"status_callback#{number}", 2.0
        trace.add(actor, "invoked")
        trace.add_call(actor, "secretsmanager", lambda: "read")
        now = 2.5
        trace.add_call(actor, "sqs", lambda: "send", fault="response lost")
        now = 3.0
        trace.add_call(actor, "dynamodb", partial(str, sid)).error = "Throttling"
        trace.add(actor, "ended")
    return trace


def test_a_word_selects_its_events_and_what_led_to_them() -> None:
    lines = list(a_trace().lines("SM1"))

    assert lines == [
        "12:00:01.000  Twilio               calls back  SM1",
        "12:00:02.000  status_callback#1    invoked",
        "12:00:02.500  status_callback#1    sqs  send  [response lost]",
        "12:00:03.000  status_callback#1    dynamodb  SM1  [Throttling]",
        "12:00:03.000  status_callback#1    ended",
    ]


def test_without_a_word_the_trace_is_complete() -> None:
    assert len(list(a_trace().lines())) == 11
