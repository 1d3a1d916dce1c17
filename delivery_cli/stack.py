"""A deployed stack as CloudFormation tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.errors import StackNotFound

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_OURS: Final = "MessagesApiUrl"
"""The output by which a stack of this project is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Its state, its outputs and its parameters by name."""

    name: str
    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def twilio_secret_name(self) -> str:
        """The secret that its functions read."""
        return self.parameters.get("TwilioSecretName", "delivery/twilio")

    @property
    def twilio_api_base_url(self) -> str:
        """Where its functions ask Twilio."""
        return self.parameters.get("TwilioApiBaseUrl", "https://api.twilio.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of a stack; of a queue the physical id is its URL."""

    logical_id: str
    physical_id: str
    kind: str
    """As CloudFormation names it, e.g. `AWS::SQS::Queue`."""


def read_stack(client: "CloudFormationClient", name: str) -> Stack:
    """The stack with its outputs.

    Raises:
        StackNotFound: there is none, or it is another project's; names those that could be meant.
    """
    try:
        (described,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # CloudFormation has no code of its own for this.
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
        raise StackNotFound(
            f"There is no stack named {name} in {client.meta.region_name}.", _others(client)
        ) from None
    outputs = {it["OutputKey"]: it["OutputValue"] for it in described.get("Outputs", [])}
    if _OURS not in outputs:
        raise StackNotFound(
            f"The stack {name} ({described['StackStatus']}) has no output {_OURS}: it is another "
            "project's, or was never deployed to its end.",
            _others(client),
        )
    return Stack(
        name=described["StackName"],
        status=described["StackStatus"],
        outputs=outputs,
        parameters={
            it["ParameterKey"]: it.get("ParameterValue", "")
            for it in described.get("Parameters", [])
        },
    )


def read_resources(client: "CloudFormationClient", name: str) -> dict[str, Resource]:
    """What the stack consists of, by logical id."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        it["LogicalResourceId"]: Resource(
            logical_id=it["LogicalResourceId"],
            physical_id=it.get("PhysicalResourceId", ""),
            kind=it["ResourceType"],
        )
        for page in pages
        for it in page["StackResourceSummaries"]
    }


def _others(client: "CloudFormationClient") -> str:
    """Where to look instead: other stacks of this project, if they may be seen."""
    fix = "Name the stack with --stack-name, its region with --region, its account with --profile."
    try:
        stacks = client.describe_stacks()["Stacks"]
    except (ClientError, BotoCoreError):
        return fix
    ours = [
        it["StackName"]
        for it in stacks
        if any(output["OutputKey"] == _OURS for output in it.get("Outputs", []))
    ]
    return f"{fix} This region has: {', '.join(ours)}." if ours else fix
