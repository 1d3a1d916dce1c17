"""`python -m sandbox up`: the sandbox for whoever wants to try something."""

import shlex
from contextlib import AbstractContextManager, suppress
from typing import Final

from rich.console import Console

from sandbox.aws.mailbox import Email
from sandbox.aws.sam_local import variables_of, written
from sandbox.endpoints import Endpoints
from sandbox.lifecycle import FAILURE_EMAIL, FOLDER, Sandbox, Settings, running_sandbox

SAM_LOCAL_FILE: Final = FOLDER / "sam-local.json"


def up(console: Console, settings: Settings) -> int:
    """Stay up until the process is told to end; 0 then."""

    def show(email: Email) -> None:
        console.print()
        show_email(console, email)

    with (
        running_sandbox(console, settings, emailed=show) as sandbox,
        suppress(KeyboardInterrupt),  # from here on it is up, whatever is still to be said
        _for_sam_local(sandbox),
    ):
        _show_places(console, sandbox.endpoints, settings)
        for title, command in _things_to_try(sandbox.endpoints).items():
            console.print()
            console.print(title, style="bold")
            console.print(f"  {command}", style="cyan")
        console.print()
        console.print("Failure notices appear below as they are mailed. Ctrl-C ends it all.")
        sandbox.emulator.wait_until_ended()
    console.print()
    console.print("Stopped. Nothing is left running.")
    return 0


def _for_sam_local(sandbox: Sandbox) -> AbstractContextManager[None]:
    variables = variables_of(
        sandbox.account.functions,
        sandbox.stack.resources,
        aws_endpoint_url=sandbox.endpoints.aws_endpoint_url,
    )
    return written(SAM_LOCAL_FILE, variables)


def show_email(console: Console, email: Email) -> None:
    """An email as it lies in the inbox."""
    console.print(f"To:      {FAILURE_EMAIL}", style="dim")
    console.print(f"Subject: {email.subject}", style="bold")
    console.print()
    for line in email.text.splitlines():
        console.print(f"  {line}".rstrip())


def _things_to_try(endpoints: Endpoints) -> dict[str, str]:
    """Shell commands by what they do, while this sandbox is up."""
    messages = f"{endpoints.messages_api_url}/messages"
    account_sid, auth_token = endpoints.twilio_account_sid, endpoints.twilio_auth_token
    twilio = f"{endpoints.twilio_api_base_url}/2010-04-01/Accounts/{account_sid}/Messages.json"
    callback = endpoints.status_callback_url
    send = '{"to": "+15555530003", "from": "+15005550006", "body": "Is anybody there?"}'
    fail = '{"kind": "fail", "status": 503, "times": 2, "path": "/twilio"}'
    return {
        "Send a message; this recipient's phone is switched off": (
            f"curl -s {messages} -H 'Content-Type: application/json' -d {shlex.quote(send)}"
        ),
        "Read it back, with the message_sid from that answer": f"curl -s {messages}/SM...",
        "Ask as an operator does (docs/command-line.md has every command)": (
            ".venv/bin/delivery find --sandbox --to +15555530003"
        ),
        "Send like code that only sets StatusCallback and knows nothing else of this stack": (
            f"curl -s {twilio} -u {account_sid}:{auth_token} --data-urlencode To=+15551234567 "
            "--data-urlencode From=+15005550006 -d Body=Hello "
            f"-d StatusCallback={callback}"
        ),
        "Run one function in a container, with `sam local` (see docs/sam-local.md)": (
            f"AWS_ACCESS_KEY_ID={endpoints.aws_access_key_id} "
            f"AWS_SECRET_ACCESS_KEY={endpoints.aws_secret_access_key} "
            f"AWS_DEFAULT_REGION={endpoints.region} sam local invoke StatusCallbackFunction "
            "-e events/status_callback-delivered.json --env-vars .sandbox/sam-local.json "
            "--add-host host.docker.internal:host-gateway"
        ),
        "Let the next two callbacks fail on their way, and see Twilio repeat them": (
            f"curl -s {callback.removesuffix('/twilio/status')}/_gateway/faults "
            f"-d {shlex.quote(fail)}"
        ),
    }


def _show_places(console: Console, endpoints: Endpoints, settings: Settings) -> None:
    console.print()
    console.print("The sandbox is up.", style="green")
    for name, place in (
        ("Status callbacks", endpoints.status_callback_url),
        ("Messages API", endpoints.messages_api_url),
        ("Simulated Twilio", f"{endpoints.twilio_api_base_url}/_simulator/messages"),
        ("Emulated AWS", endpoints.aws_endpoint_url),
        ("Dashboard", endpoints.dashboard_url),
        ("For programs", str(settings.endpoints_file.path) if settings.endpoints_file else "-"),
    ):
        console.print(f"  {name + ':':<18}{place}")
