"""What a person sees on a terminal, and what a log file gets."""

import io
import re

import pytest

from sandbox.console import Console, Style


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps_on(stream: io.StringIO, **environment: str) -> str:
    console = Console(stream, environment)
    with console.step("Building"):
        pass
    console.line("Ready", Style.GOOD)
    return stream.getvalue()


def test_a_file_gets_plain_lines_with_times() -> None:
    seen = steps_on(io.StringIO(), TERM="xterm")

    assert re.fullmatch(r"Building \.\.\. done \(\d+\.\d s\)\nReady\n", seen)


def test_a_terminal_gets_colours_and_a_line_that_moves() -> None:
    seen = steps_on(Terminal(), TERM="xterm")

    assert "\r" in seen
    assert f"{Style.GOOD}Ready" in seen
    assert seen.count("\n") == 2


def test_no_color_is_respected() -> None:
    seen = steps_on(Terminal(), TERM="xterm", NO_COLOR="1")

    assert Style.GOOD not in seen
    assert Style.COMMAND not in seen
    assert "done" in seen


def test_a_dumb_terminal_gets_plain_lines() -> None:
    seen = steps_on(Terminal(), TERM="dumb")

    assert "\x1b" not in seen
    assert "\r" not in seen


def test_a_step_that_fails_says_so_and_lets_the_error_through() -> None:
    stream = io.StringIO()

    with pytest.raises(ValueError, match="broken"), Console(stream, {}).step("Deploying"):
        raise ValueError("broken")

    assert re.fullmatch(r"Deploying \.\.\. failed \(\d+\.\d s\)\n", stream.getvalue())


def test_a_step_that_a_person_stops_has_not_failed() -> None:
    stream = io.StringIO()

    with pytest.raises(KeyboardInterrupt), Console(stream, {}).step("Deploying"):
        raise KeyboardInterrupt

    assert re.fullmatch(r"Deploying \.\.\. stopped \(\d+\.\d s\)\n", stream.getvalue())


def test_a_bar_grows_on_a_terminal_and_says_how_far_it_is() -> None:
    stream = Terminal()

    with Console(stream, {"NO_COLOR": "1"}).progress("Sending", 4) as advance:
        for _ in range(4):
            advance()

    assert re.search(r"Sending \.\.\. done \(\d+\.\d s\)\n$", stream.getvalue())
    assert stream.getvalue().count("\n") == 1


def test_a_file_gets_every_quarter_of_a_bar_once() -> None:
    stream = io.StringIO()

    with Console(stream, {}).progress("Sending", 10) as advance:
        for _ in range(10):
            advance()

    assert stream.getvalue().startswith("Sending ... 25% 50% 75% 100% done (")


def test_a_table_lines_words_up_on_the_left_and_numbers_on_the_right() -> None:
    stream = io.StringIO()

    Console(stream, {}).table(("story", "times"), [("arrives", 7), ("is lost", 1200)])

    assert stream.getvalue().splitlines() == [
        "  story     times",
        "  arrives       7",
        "  is lost    1200",
    ]
