"""`python -m sandbox twilio`: runs the simulated Twilio alone, until Ctrl-C.

It serves any application with one of Twilio's SDKs, and needs nothing of AWS.
"""

import random
import shlex
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console

from delivery.twilio.signature import Algorithm
from sandbox.errors import SandboxError
from sandbox.twilio.accounts import Account
from sandbox.twilio.admin_api import PREFIX
from sandbox.twilio.server import SimulatorServer
from sandbox.twilio.settings import Settings
from sandbox.twilio.webhook_rules import (
    MatchType,
    Rule,
    Setting,
    Share,
    SharedKey,
    Signing,
    WebhookRules,
    new_id,
    new_shared_key,
)

DEFAULT_PORT = 4020
DEFAULT_SPEED = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the command; sandbox/cli.py has their defaults.

    `speed` is in statuses of a message per second. Each of `rule_urls` is a webhook rule: a prefix
    if it ends with a slash, empty for the DEFAULT rule, else an exact URL. They all sign with one
    shared key, which is a new one if `shared_key` (id and secret) is None.
    """

    port: int
    account_sid: str
    auth_token: str = field(repr=False)
    api_key: tuple[str, str] | None = field(repr=False)
    speed: float
    rule_urls: Sequence[str]
    shared_key: tuple[str, str] | None = field(repr=False)
    algorithm: Algorithm


def run_twilio(console: Console, options: Options) -> int:
    """Run the simulated Twilio until the process is stopped, and return 0.

    Raises:
        SandboxError: the port cannot be used.
    """
    account = Account(
        sid=options.account_sid,
        auth_token=options.auth_token,
        api_keys=dict([options.api_key] if options.api_key else []),
    )
    settings = Settings(step_seconds=1 / options.speed)
    try:
        server = SimulatorServer([account], port=options.port, settings=settings)
    except OSError as error:
        raise SandboxError(
            f"Port {options.port} cannot be used ({error}). Choose another one with --port; 0 "
            "takes a free one."
        ) from error
    with server, suppress(KeyboardInterrupt):  # a normal end from here on
        key = server.apply(lambda twilio: _create_rules(twilio.webhook_rules(account.sid), options))
        _print_endpoints(console, server.url, options)
        if key:
            _print_rules(console, key, options)
        _print_next_steps(console, server.url, options)
        threading.Event().wait()
    console.print()
    console.print("Stopped. Nothing is left running.")
    return 0


def match_type_of(url: str) -> MatchType:
    """Return how a rule matches this URL, as Twilio requires its last character."""
    if not url:
        return MatchType.DEFAULT
    return MatchType.PREFIX_MATCH if url.endswith("/") else MatchType.EXACT_MATCH


def _create_rules(rules: WebhookRules, options: Options) -> SharedKey | None:
    """Create the rules of the options, and return the key that signs; None without rules."""
    if not options.rule_urls:
        return None
    ids, now = random.SystemRandom(), datetime.now(UTC)
    if options.shared_key:
        id_, secret = options.shared_key
        key = SharedKey(id=id_, secret=secret, created=now)
        rules.shared_keys[key.id] = key
    else:
        key = new_shared_key(rules, ids, now)
    signing = Signing(key_id=key.id, algorithm=options.algorithm)
    setting = Setting(id=new_id("setting", ids), signing=signing, created=now)
    rules.settings[setting.id] = setting
    for url in dict.fromkeys(options.rule_urls):
        rule = Rule(
            id=new_id("rule", ids),
            match_type=match_type_of(url),
            pattern=url,
            shares=(Share(setting_id=setting.id, percentage=100),),
            created=now,
            updated=now,
        )
        rules.rules[rule.id] = rule
    return key


def _print_endpoints(console: Console, url: str, options: Options) -> None:
    console.print("The simulated Twilio is up.", style="green")
    rows = {
        "API": url,
        "Messages": f"{url}{PREFIX}",
        "Account SID": options.account_sid,
        "Auth token": options.auth_token,
    }
    if options.api_key:
        rows["API key"] = f"{options.api_key[0]}, secret {options.api_key[1]}"
    for name, value in rows.items():
        console.print(f"  {name + ':':<13}{value}")


def _print_rules(console: Console, key: SharedKey, options: Options) -> None:
    console.print()
    console.print(f"Webhook rules: {options.algorithm} with a shared key", style="bold")
    console.print(f"  {'Key:':<13}{key.id}")
    console.print(f"  {'Secret:':<13}{key.secret}")
    for url in options.rule_urls:
        console.print(f"  {match_type_of(url)}  {url}".rstrip())


def _print_next_steps(console: Console, url: str, options: Options) -> None:
    send = shlex.join(
        [
            *("curl", f"{url}/2010-04-01/Accounts/{options.account_sid}/Messages.json"),
            *("-u", f"{options.account_sid}:{options.auth_token}"),
            *("--data-urlencode", "To=+15551234567", "--data-urlencode", "From=+15005550006"),
            *("-d", "Body=Hello", "-d", "StatusCallback=http://localhost:3000/status"),
        ]
    )
    console.print()
    console.print("Send a message", style="bold")
    console.print(f"  {send}", style="cyan")
    console.print()
    console.print("Point an SDK at it: docs/simulator.md has the code for each language.")
    console.print("Press Ctrl-C to stop.")
