"""`python -m sandbox up`: runs the sandbox until Ctrl-C, and prints commands to try."""

import shlex
from contextlib import AbstractContextManager, suppress
from typing import Final

from rich.console import Console

from sandbox.aws.mailbox import Email
from sandbox.aws.sam_local import environments_file, function_environments
from sandbox.endpoints import FOLDER, Endpoints
from sandbox.lifecycle import FAILURE_EMAIL, Sandbox, Settings, running_sandbox

SAM_LOCAL_FILE: Final = FOLDER / "sam-local.json"
_RETRIES: Final = "#rc=5&rp=all&ct=2000&rt=5000"
"""Makes Twilio retry failed callbacks, as docs/existing-senders.md recommends."""


def up(console: Console, settings: Settings) -> int:
    """Run a sandbox until the process is stopped, and return 0."""

    def print_new_email(email: Email) -> None:
        console.print()
        print_email(console, email)

    with (
        running_sandbox(console, settings, on_email=print_new_email) as sandbox,
        suppress(KeyboardInterrupt),  # a normal end from here on
        _sam_local_file(sandbox),
    ):
        _print_endpoints(console, sandbox.endpoints, settings)
        for title, command in _commands_to_try(sandbox.endpoints).items():
            console.print()
            console.print(title, style="bold")
            console.print(f"  {command}", style="cyan")
        console.print()
        console.print("Failure notices appear below. Press Ctrl-C to stop the sandbox.")
        sandbox.emulator.wait_until_ended()
    console.print()
    console.print("Stopped. Nothing is left running.")
    return 0


def print_email(console: Console, email: Email) -> None:
    """Print an email as a mail reader shows it."""
    console.print(f"To:      {FAILURE_EMAIL}", style="dim")
    console.print(f"Subject: {email.subject}", style="bold")
    console.print()
    for line in email.text.splitlines():
        console.print(f"  {line}".rstrip())


def _sam_local_file(sandbox: Sandbox) -> AbstractContextManager[None]:
    environments = function_environments(
        sandbox.account.functions,
        sandbox.stack.resources,
        aws_endpoint_url=sandbox.endpoints.aws_endpoint_url,
    )
    return environments_file(SAM_LOCAL_FILE, environments)


def _print_endpoints(console: Console, endpoints: Endpoints, settings: Settings) -> None:
    console.print()
    console.print("The sandbox is up.", style="green")
    file = settings.endpoints_file.path if settings.endpoints_file else "-"
    for name, place in (
        ("Dashboard", endpoints.dashboard_url),
        ("Messages API", endpoints.messages_api_url),
        ("Status callbacks", endpoints.status_callback_url),
        ("Simulated Twilio", f"{endpoints.twilio_api_base_url}/_simulator/"),
        ("Emulated AWS", endpoints.aws_endpoint_url),
        ("Endpoints file", file),
    ):
        console.print(f"  {name + ':':<18}{place}")


def _commands_to_try(endpoints: Endpoints) -> dict[str, str]:
    """Shell commands by what they do, with the endpoints of this sandbox."""
    messages = f"{endpoints.messages_api_url}/messages"
    account_sid, auth_token = endpoints.twilio_account_sid, endpoints.twilio_auth_token
    twilio = f"{endpoints.twilio_api_base_url}/2010-04-01/Accounts/{account_sid}/Messages.json"
    callback = endpoints.status_callback_url
    document = '{"to": "+15555530003", "from": "+15005550006", "body": "Hello"}'
    fault = '{"kind": "fail", "status": 503, "times": 2, "path": "/twilio"}'
    return {
        "Send a message to a phone that is switched off": (
            f"curl -s {messages} -H 'Content-Type: application/json' -d {shlex.quote(document)}"
        ),
        "Read its state, with the message_sid of the response": f"curl -s {messages}/SM...",
        "Find messages with the operators' command line (docs/command-line.md)": (
            ".venv/bin/delivery find --sandbox --to +15555530003"
        ),
        "Send as existing code does, with Twilio's API and a StatusCallback": (
            f"curl -s {twilio} -u {account_sid}:{auth_token} --data-urlencode To=+15551234567 "
            "--data-urlencode From=+15005550006 -d Body=Hello "
            f"--data-urlencode {shlex.quote(f'StatusCallback={callback}?order=4711{_RETRIES}')}"
        ),
        "Run a function in a container with `sam local` (docs/sam-local.md)": (
            f"AWS_ACCESS_KEY_ID={endpoints.aws_access_key_id} "
            f"AWS_SECRET_ACCESS_KEY={endpoints.aws_secret_access_key} "
            f"AWS_DEFAULT_REGION={endpoints.region} "
            ".venv/bin/sam local invoke StatusCallbackFunction "
            "-e events/status_callback-delivered.json --env-vars .sandbox/sam-local.json "
            "--add-host host.docker.internal:host-gateway"
        ),
        "Let the next two callbacks fail; then send another message, and watch Twilio retry them": (
            f"curl -s {callback.removesuffix('/twilio/status')}/_gateway/faults "
            f"-d {shlex.quote(fault)}"
        ),
    }
