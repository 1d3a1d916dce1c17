"""Usage errors of `python -m sandbox`."""

import pytest

from sandbox.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ("required", "demo|up")),
        (["dance"], ("invalid choice", "'dance'")),
        (["up", "--aws-port", "many"], ("--aws-port", "'many'", "1 to 65535")),
        (["up", "--aws-port", "0"], ("--aws-port", "'0'", "1 to 65535")),
        (["up", "--aws-port", "65536"], ("--aws-port", "'65536'", "1 to 65535")),
        (["demo", "--seed", "1"], ("unrecognized arguments", "--seed 1")),
    ],
)
def test_a_usage_error_names_the_argument_and_the_expected_values(
    arguments: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)

    error = capsys.readouterr().err
    assert exited.value.code == 2
    assert [word for word in words if word not in error] == []
