"""Reading the fields of a send request: damaged text, invisible characters, and limits."""

from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.send_checks import check_send_at
from delivery.domain.send_fields import SEND_FIELDS, InvalidValue
from tests.support.builders import NOON


def problem_of(name: str, value: Any) -> str:
    with pytest.raises(InvalidValue) as raised:
        SEND_FIELDS[name].read(value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("body", "caf\ufffd", "U+FFFD"),
        ("body", "nul\0", "U+0000"),
        ("body", "half \ud83d", "surrogate"),
        ("reference", "order \ufffd", "U+FFFD"),
        ("persistent_action", ["geo:\0"], "U+0000"),
        ("content_variables", {"1": ["caf\ufffd"]}, "U+FFFD"),
        ("content_variables", '{"caf\\ufffd": "1"}', "U+FFFD"),
        ("content_variables", '{"1": "\\u0000"}', "U+0000"),
        ("context", {"shop": "caf\ufffd"}, "U+FFFD"),
        ("context", {"sh\0p": "1"}, "U+0000"),
        ("to", "\u202a+15558675310\u202c", "U+202A"),
        ("to", "+1555\u200b8675310", "U+200B"),
        ("to", "+15558675310\n", "U+000A"),
        ("from", "Ac\u00adme", "U+00AD"),
        ("fallback_from", "+15005550006\ufeff", "U+FEFF"),
    ],
)
def test_damaged_text_and_invisible_characters_are_named(name: str, value: Any, named: str) -> None:
    assert named in problem_of(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body", "two\nlines \N{GRINNING FACE} \u200d"),
        ("from", "Acme Shop"),
        ("reference", "order 7\u00a0"),
        ("content_variables", {"1": "\\u0000 written out"}),
    ],
)
def test_sound_text_is_read_as_it_is(name: str, value: Any) -> None:
    assert SEND_FIELDS[name].read(value)


@pytest.mark.parametrize(
    ("name", "last_valid", "first_invalid"),
    [
        ("body", "x" * 1600, "x" * 1601),
        ("reference", "x" * 128, "x" * 129),
        ("idempotency_key", "x" * 256, "x" * 257),
        ("from", "x" * 256, "x" * 257),
        ("to", "whatsapp:" + "1" * 247, "whatsapp:" + "1" * 248),
        ("to", "+123456789012345", "+1234567890123456"),
        ("to", "+12", "+1"),
        ("media_url", ["https://x"] * 10, ["https://x"] * 11),
        ("media_url", ["https://x"], []),
        ("media_url", ["https://" + "x" * 2040], ["https://" + "x" * 2041]),
        ("persistent_action", ["geo:1"] * 10, ["geo:1"] * 11),
        ("validity_period", 1, 0),
        ("validity_period", 36_000, 36_001),
        ("validity_period", 1, True),
        ("validity_period", 1, 1.0),
        ("attempt", 1_000_000, 1_000_001),
        ("content_sid", "HX" + "aF" * 16, "HX" + "a" * 33),
        ("context", {str(n): "x" for n in range(20)}, {str(n): "x" for n in range(21)}),
        ("context", {"n": "x" * 1023}, {"n": "x" * 1024}),
        ("context", {"n": "\u00e9" * 511}, {"n": "\u00e9" * 512}),
        ("context", {"n": "x"}, {"": "x"}),
    ],
)
def test_a_limit_belongs_to_what_is_valid(name: str, last_valid: Any, first_invalid: Any) -> None:
    SEND_FIELDS[name].read(last_valid)

    assert problem_of(name, first_invalid)


@pytest.mark.parametrize(
    ("delay", "word"),
    [
        (timedelta(0), "past"),
        (timedelta(seconds=1), None),
        (timedelta(days=365), None),
        (timedelta(days=365, seconds=1), "35 days"),
    ],
)
def test_a_message_is_scheduled_for_later_and_not_for_ever(
    delay: timedelta, word: str | None
) -> None:
    problems = check_send_at(NOON + delay, now=NOON)

    assert [name for name, _ in problems] == ["send_at"] * bool(word)
    assert all(word in text for _, text in problems if word)


def test_a_time_is_sent_in_utc_and_whole_seconds() -> None:
    assert SEND_FIELDS["send_at"].read("2026-12-24T18:00:00.9+01:00") == ["2026-12-24T17:00:00Z"]


def test_the_order_of_names_in_variables_does_not_change_their_text() -> None:
    read = SEND_FIELDS["content_variables"].read

    assert read({"2": "b", "1": "a"}) == read('{"1": "a", "2": "b"}') == ['{"1": "a", "2": "b"}']


@pytest.mark.parametrize("year", ["0999", "9999"])
def test_a_time_of_any_year_is_read(year: str) -> None:
    assert SEND_FIELDS["send_at"].read(f"{year}-06-01T00:00:00Z") == [f"{year}-06-01T00:00:00Z"]
