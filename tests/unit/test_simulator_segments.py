"""How many segments the simulator counts in a text."""

import pytest

from sandbox.twilio.segments import segment_count, smart_encoded


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),
        ("a" * 151 + "€" + "a" * 153, 2),
        ("\r\n" * 80, 1),
        ("`" + "a" * 70, 2),
        ("я" * 70, 1),
        ("я" * 71, 2),
        ("я" * 134, 2),
        ("я" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 66, 2),
        ("😀" * 67, 3),
    ],
)
def test_a_text_takes_the_segments_of_its_alphabet(text: str, segments: int) -> None:
    assert segment_count(text) == segments


def test_smart_encoding_replaces_typographic_characters_by_gsm_7() -> None:
    typographic = "\u201cIt\u2019s here\u201d \u2013 50\u00a0%\u2026 \uff21"

    assert smart_encoded(typographic) == '"It\'s here" - 50 %... A'
