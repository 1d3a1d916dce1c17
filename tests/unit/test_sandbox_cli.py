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
        (["dance"], ("invalid choice", "'dance'")),
        (["up", "--aws-port", "many"], ("--aws-port", "'many'", "1 to 65535")),
        (["up", "--aws-port", "0"], ("--aws-port", "'0'", "1 to 65535")),
        (["up", "--aws-port", "65536"], ("--aws-port", "'65536'", "1 to 65535")),
        (["demo", "--seed", "1"], ("unrecognized arguments", "--seed 1")),
        (["twilio", "--port", "-1"], ("--port", "'-1'", "1 to 65535")),
        (["twilio", "--account", "AC1"], ("--account", "'AC1'", "AC and 32")),
        (["twilio", "--token", ""], ("--token", "printable ASCII")),
        (["twilio", "--token", "naïve"], ("--token", "printable ASCII")),
        (["twilio", "--api-key", "SK1:secret"], ("--api-key", "SK and 32")),
        (["twilio", "--api-key", f"SK{'0' * 32}"], ("--api-key", "a colon, and the secret")),
        (["twilio", "--speed", "0"], ("--speed", "'0'", "above 0")),
        (["twilio", "--speed", "nan"], ("--speed", "'nan'", "above 0")),
        (["twilio", "--speed", "fast"], ("--speed", "'fast'", "above 0")),
        (["twilio", "--webhook-rule", "default"], ("--webhook-rule", "'default'", "DEFAULT")),
        (["twilio", "--webhook-rule", ""], ("--webhook-rule", "''", "DEFAULT")),
        (["twilio", "--shared-key", "a-b:c"], ("--shared-key", "webhooks_sharedkey_1")),
        (["twilio", "--shared-key", "only_an_id"], ("--shared-key", "a colon")),
        (["twilio", "--algorithm", "MD5"], ("--algorithm", "'MD5'", "HMAC_SHA256")),
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
