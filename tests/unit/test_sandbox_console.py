"""Console output on a terminal, and in a log file."""

import io
import re

import pytest

from sandbox.console import new_console, step

GREEN = "\x1b[32m"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def shown_on(stream: io.StringIO) -> str:
    console = new_console(stream)
    with step(console, "Building"):
        pass
    console.print("Ready", style="green")
    return stream.getvalue()


def test_a_file_gets_plain_lines_with_durations() -> None:
    shown = shown_on(io.StringIO())

    assert re.fullmatch(r"Building \.\.\. done \(\d+\.\d s\)\nReady\n", shown)


def test_a_terminal_gets_colours_and_a_spinner() -> None:
    shown = shown_on(Terminal())

    assert "\r" in shown
    assert f"{GREEN}Ready" in shown


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    assert "\x1b" not in shown_on(Terminal())


def test_a_command_to_copy_is_not_broken_into_lines() -> None:
    command = "curl -s http://127.0.0.1/[a] " + "--data x=1 " * 30
    stream = Terminal()

    new_console(stream).print(command)

    assert stream.getvalue() == f"{command}\n"


@pytest.mark.parametrize(
    ("error", "result"), [(ValueError, "failed"), (KeyboardInterrupt, "stopped")]
)
def test_the_result_of_a_step_is_shown_and_its_error_is_raised(
    error: type[BaseException], result: str
) -> None:
    stream = io.StringIO()

    with pytest.raises(error), step(new_console(stream), "Deploying"):
        raise error

    assert re.fullmatch(rf"Deploying \.\.\. {result} \(\d+\.\d s\)\n", stream.getvalue())
