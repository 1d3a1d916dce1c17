"""Where the stack is: in AWS, or in the sandbox on this machine."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from boto3 import Session

from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import TwilioSecret, TwilioSecrets
from delivery_cli.aws import Account
from delivery_cli.errors import CommandError, StackTooOld
from delivery_cli.http_session import session_to
from delivery_cli.messages_api import MessagesApi, SignedWithAws
from delivery_cli.stack import Resource, Stack, read_resources, read_stack

_FILE: Final = Path(".sandbox", "endpoints.json")
_NEEDED: Final = frozenset(
    {
        "aws_endpoint_url",
        "aws_access_key_id",
        "aws_secret_access_key",
        "region",
        "stack_name",
        "messages_api_url",
    }
)


class Place:
    """One stack, and the ways to it; nothing is asked before it is needed.

    Args:
        account: where the stack is.
        stack_name: its name.
        open_api_url: of a MessagesApi that asks for no signature; None is the stack's own.
    """

    def __init__(self, account: Account, stack_name: str, open_api_url: str | None = None) -> None:
        self.account = account
        self.stack_name = stack_name
        self._open_api_url = open_api_url

    @cached_property
    def stack(self) -> Stack:
        """What CloudFormation says of it.

        Raises:
            StackNotFound: it is not there.
        """
        return read_stack(self.account.stacks, self.stack_name)

    @cached_property
    def resources(self) -> Mapping[str, Resource]:
        """What it consists of, by logical id."""
        return read_resources(self.account.stacks, self.stack.name)

    def physical_id(self, logical_id: str) -> str:
        """The name in AWS of a resource that every stack of today has; of a queue its URL.

        Raises:
            StackTooOld: this one has not.
        """
        try:
            return self.resources[logical_id].physical_id
        except KeyError:
            raise StackTooOld(f"The stack has no {logical_id}") from None

    @cached_property
    def api(self) -> MessagesApi:
        """Its MessagesApi."""
        url = self._open_api_url or self.stack.outputs["MessagesApiUrl"]
        session = session_to(url)
        if self._open_api_url is None:
            session.auth = SignedWithAws(self.account.credentials, self.account.region)
        return MessagesApi(session, url)

    @cached_property
    def twilio(self) -> TwilioClient:
        """Twilio, as the stack's functions reach it."""
        url = self.stack.twilio_api_base_url
        return TwilioClient(session_to(url), url)

    @cached_property
    def twilio_secret(self) -> TwilioSecret:
        """What the stack's functions know of Twilio's accounts.

        Raises:
            SecretError: it cannot be read, or used.
        """
        return TwilioSecrets(self.account.secrets, self.stack.twilio_secret_name).current()


def aws_target(*, stack_name: str, region: str | None, profile: str | None) -> Place:
    """A stack in AWS, with credentials and region found as the AWS CLI finds them."""
    return Place(Account(Session(region_name=region, profile_name=profile)), stack_name)


def sandbox_target(file: Path) -> Place:
    """The stack of the sandbox that tells its endpoints in this file."""
    endpoints = _read(file)
    session = Session(
        aws_access_key_id=endpoints["aws_access_key_id"],
        aws_secret_access_key=endpoints["aws_secret_access_key"],
        region_name=endpoints["region"],
    )
    return Place(
        Account(session, endpoint_url=endpoints["aws_endpoint_url"]),
        endpoints["stack_name"],
        open_api_url=endpoints["messages_api_url"],
    )


def sandbox_file(named: str, folder: Path) -> Path:
    """The sandbox's endpoints file: the one that is named, or the nearest above the folder.

    Args:
        named: what DELIVERY_SANDBOX says: a path to a file, or anything else for "look for it".
        folder: where to start, usually the current one.

    Raises:
        CommandError: no sandbox is up there.
    """
    if named.endswith(".json"):
        return Path(named)
    for above in (folder, *folder.parents):
        if (above / _FILE).is_file():
            return above / _FILE
    raise CommandError(
        f"No sandbox is up: there is no {_FILE} in {folder} or above it.",
        "Start one with `make sandbox`, and wait until it says that it is up.",
    )


def _read(file: Path) -> Mapping[str, str]:
    try:
        endpoints: Any = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise CommandError(
            f"No sandbox is up: {file} cannot be read ({error.strerror}).",
            "Start one with `make sandbox`, and wait until it says that it is up.",
        ) from None
    except ValueError:
        endpoints = None
    if not isinstance(endpoints, dict) or not endpoints.keys() >= _NEEDED:
        raise CommandError(
            f"{file} does not hold the endpoints of a sandbox.",
            "Stop the sandbox, remove the file, and start it again with `make sandbox`.",
        )
    return endpoints
