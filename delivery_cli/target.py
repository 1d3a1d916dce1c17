"""The stack that a command works on: in AWS, or in the sandbox on this machine."""

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
from delivery_cli.http_session import open_session
from delivery_cli.messages_api import MessagesApi, SignedWithAws
from delivery_cli.stack import Resource, Stack, read_resources, read_stack

_ENDPOINTS_FILE: Final = Path(".sandbox", "endpoints.json")


class Target:
    """One stack and the clients for it; everything is looked up when it is first used.

    Args:
        account: AWS account and region of the stack.
        stack_name: name of the stack.
        unsigned_api_url: URL of a MessagesApi that requires no signature; None to use the stack's
            output.
    """

    def __init__(
        self, account: Account, stack_name: str, unsigned_api_url: str | None = None
    ) -> None:
        self.account = account
        self.stack_name = stack_name
        self._unsigned_api_url = unsigned_api_url

    @cached_property
    def stack(self) -> Stack:
        """The stack as CloudFormation describes it.

        Raises:
            StackNotFound: it does not exist.
        """
        return read_stack(self.account.stacks, self.stack_name)

    @cached_property
    def resources(self) -> Mapping[str, Resource]:
        """The stack's resources by logical id."""
        return read_resources(self.account.stacks, self.stack.name)

    def physical_id(self, logical_id: str) -> str:
        """Return the AWS name of a resource that every current stack has; of a queue, its URL.

        Raises:
            StackTooOld: this stack does not have it.
        """
        try:
            return self.resources[logical_id].physical_id
        except KeyError:
            raise StackTooOld(f"The stack has no {logical_id}") from None

    @cached_property
    def api(self) -> MessagesApi:
        """Client of the stack's MessagesApi."""
        url = self._unsigned_api_url or self.stack.outputs["MessagesApiUrl"]
        session = open_session(url)
        if self._unsigned_api_url is None:
            session.auth = SignedWithAws(self.account.credentials, self.account.region)
        return MessagesApi(session, url)

    @cached_property
    def twilio(self) -> TwilioClient:
        """Twilio client with the same base URL as the stack's functions."""
        url = self.stack.twilio_api_base_url
        return TwilioClient(open_session(url), url)

    @cached_property
    def twilio_secret(self) -> TwilioSecret:
        """The Twilio accounts in the stack's secret.

        Raises:
            SecretError: the secret cannot be read or is invalid.
        """
        return TwilioSecrets(self.account.secrets, self.stack.twilio_secret_name).current()


def aws_target(*, stack_name: str, region: str | None, profile: str | None) -> Target:
    """Return a stack in AWS; credentials and region are found as the AWS CLI finds them."""
    return Target(Account(Session(region_name=region, profile_name=profile)), stack_name)


def sandbox_target(file: Path) -> Target:
    """Return the sandbox's stack, from the sandbox's endpoints file.

    Raises:
        CommandError: the file cannot be read, or lacks endpoints.
    """
    try:
        endpoints: Any = json.loads(file.read_text("utf-8"))
        session = Session(
            aws_access_key_id=endpoints["aws_access_key_id"],
            aws_secret_access_key=endpoints["aws_secret_access_key"],
            region_name=endpoints["region"],
        )
        return Target(
            Account(session, endpoint_url=endpoints["aws_endpoint_url"]),
            endpoints["stack_name"],
            unsigned_api_url=endpoints["messages_api_url"],
        )
    except OSError as error:
        raise _not_running(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise CommandError(
            f"{file} does not contain the endpoints of a sandbox.",
            "Stop the sandbox, remove the file, and start it again with `make sandbox`.",
        ) from None


def find_endpoints_file(setting: str, folder: Path) -> Path:
    """Return the path of the sandbox's endpoints file.

    Args:
        setting: the value of DELIVERY_SANDBOX: a path to the file, or any other value to look for
            it.
        folder: where the search starts, upwards.

    Raises:
        CommandError: no sandbox runs there.
    """
    if setting.endswith(".json"):
        return Path(setting)
    for parent in (folder, *folder.parents):
        if (parent / _ENDPOINTS_FILE).is_file():
            return parent / _ENDPOINTS_FILE
    raise _not_running(f"no {_ENDPOINTS_FILE} in {folder} or above it")


def _not_running(reason: str) -> CommandError:
    return CommandError(
        f"The sandbox is not running: {reason}.",
        "Start it with `make sandbox`, and wait until it reports that it is up. If it runs in "
        "another folder, set DELIVERY_SANDBOX to the path of its endpoints.json.",
    )
