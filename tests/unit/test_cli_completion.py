"""The completion of the command line, as a shell runs it."""

import shutil
import subprocess

import pytest

from delivery_cli.completion import SHELLS
from tests.support.command_line import run

BASH = shutil.which("bash") or "bash"


@pytest.fixture(scope="module")
def script() -> str:
    return run("--completion", "bash").out


def completions(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(("delivery", *words))
    program = (
        f"{script}\nCOMP_WORDS=(delivery {' '.join(words[:-1])} '{words[-1]}')\n"
        f"COMP_CWORD={len(words)} COMP_LINE='{line}'\n"
        "_shtab_delivery\nprintf '%s\\n' \"${COMPREPLY[@]}\""
    )
    ran = subprocess.run(  # noqa: S603 -- bash with the script of the command line
        [BASH, "--norc", "-c", program], check=True, capture_output=True, text=True
    )
    return ran.stdout.split()


def test_bash_completes_commands_and_their_options(script: str) -> None:
    assert completions(script, "su") == ["summary"]
    assert "--body-file" in completions(script, "send", "--body")
    assert completions(script, "doctor", "--body") == []


def test_bash_completes_the_choices_of_an_option(script: str) -> None:
    assert completions(script, "failures", "--category", "opt") == ["opt_out"]


def test_bash_completes_the_names_of_files(script: str) -> None:
    assert completions(script, "send", "--csv", "/etc/pas")[0].startswith("/etc/passwd")


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_with_every_command(shell: str) -> None:
    result = run("--completion", shell)

    assert result.code == 0
    assert all(name in result.out for name in ("send", "redrive", "--idempotency-key"))
