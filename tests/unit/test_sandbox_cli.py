"""What `python -m sandbox` says to a wrong command line, in words a person can act on."""

import pytest

from sandbox.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: up|demo"),
        (["dance"], "invalid choice: 'dance'"),
        (["up", "--aws-port", "many"], "argument --aws-port: many is no port (1 to 65535)"),
        (["up", "--aws-port", "0"], "argument --aws-port: 0 is no port (1 to 65535)"),
        (["up", "--aws-port", "65536"], "argument --aws-port: 65536 is no port (1 to 65535)"),
        (["demo", "--seed", "1"], "unrecognized arguments: --seed 1"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong_with_it(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert words in capsys.readouterr().err
