"""How many segments the rate limiter counts for a text, and what the simulator splits it into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.send_message.segments import segments_of
from sandbox.twilio.segments import segment_count


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("x", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("\N{SMILING FACE WITH SUNGLASSES}" * 35, 1),
        ("\N{SMILING FACE WITH SUNGLASSES}" * 36, 2),
        ("x" * 159 + "“", 3),
    ],
)
def test_a_text_takes_so_many_segments(text: str, segments: int) -> None:
    assert segments_of(text) == segments


@given(st.text(st.sampled_from("xyz €{~“ж\n\N{SMILING FACE WITH SUNGLASSES}"), max_size=1600))
def test_it_is_what_twilio_splits_it_into_or_one_less(text: str) -> None:
    assert 0 <= segment_count(text) - segments_of(text) <= max(1, segment_count(text) // 30)
