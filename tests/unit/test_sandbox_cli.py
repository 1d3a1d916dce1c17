"""Usage errors of `python -m sandbox`."""

import pytest

from sandbox.cli import main


@pytest.mark.parametrize(
    ("command", "words"), [("up", "Start the sandbox"), ("twilio", "simulated Twilio alone")]
)
def test_the_help_keeps_the_spelling_of_names(
    command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert words in shown
    assert "until Ctrl-C." in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ("required", "demo|up|twilio")),
        (["up", "--aws-port", "many"], ("--aws-port", "'many'", "1 to 65535")),
        (["up", "--aws-port", "65536"], ("--aws-port", "'65536'", "1 to 65535")),
        (["twilio", "--port", "-1"], ("--port", "'-1'", "1 to 65535")),
        (["twilio", "--account", "AC1"], ("--account", "'AC1'", "AC and 32")),
        (["twilio", "--token", "naïve"], ("--token", "printable ASCII")),
        (["twilio", "--api-key", f"SK{'0' * 32}"], ("--api-key", "a colon, and the secret")),
        (["twilio", "--speed", "0"], ("--speed", "'0'", "above 0")),
        (["twilio", "--speed", "fast"], ("--speed", "'fast'", "above 0")),
        (["twilio", "--webhook-rule", "default"], ("--webhook-rule", "'default'", "DEFAULT")),
        (["twilio", "--shared-key", "a-b:c"], ("--shared-key", "webhooks_sharedkey_1")),
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
