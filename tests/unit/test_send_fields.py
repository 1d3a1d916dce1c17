"""Reading the fields of a send request: damaged text and invisible characters."""

from typing import Any

import pytest

from delivery.domain.send_fields import SEND_FIELDS, InvalidValue


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
        ("content_variables", {"1": "caf\ufffd"}, "U+FFFD"),
        ("content_variables", '{"caf\\ufffd": "1"}', "U+FFFD"),
        ("content_variables", '{"1": "\\u0000"}', "U+0000"),
        ("context", {"shop": "caf\ufffd"}, "U+FFFD"),
        ("context", {"sh\0p": "1"}, "U+0000"),
        ("to", "\u202a+15558675310\u202c", "U+202A"),
        ("to", "+1555\u200b8675310", "U+200B"),
        ("to", "+1\u00a05558675310", "U+00A0"),
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
