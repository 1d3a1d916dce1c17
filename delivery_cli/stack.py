"""A deployed stack, as CloudFormation describes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.errors import StackNotFound

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

_IDENTIFYING_OUTPUT: Final = "MessagesApiUrl"
"""Every stack of this project has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack's state, outputs and parameters by name."""

    name: str
    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def twilio_secret_name(self) -> str:
        """Name of the secret that the stack's functions read."""
        return self.parameters.get("TwilioSecretName", "delivery/twilio")

    @property
    def twilio_api_base_url(self) -> str:
        """Base URL of the Twilio API that the stack's functions call."""
        return self.parameters.get("TwilioApiBaseUrl", "https://api.twilio.com")

    @property
    def report_dimensions(self) -> list[str]:
        """Names in `context` that the archive keeps as dimensions."""
        names = self.parameters.get("ReportDimensions", "").split(",")
        return [it.strip() for it in names if it.strip()]

    @property
    def send_concurrency(self) -> int:
        """Concurrent executions that SendQueue may use."""
        return int(self.parameters.get("SendConcurrency", "5"))

    @property
    def audits_messages(self) -> bool:
        """Whether the schedule of the audit is enabled."""
        return self.parameters.get("AuditMode", "tracked") != "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of a stack; the physical id of a queue is its URL."""

    physical_id: str
    type: str
    """CloudFormation's resource type, e.g. `AWS::SQS::Queue`."""


def read_stack(client: "CloudFormationClient", name: str) -> Stack:
    """Return the stack of this name.

    Raises:
        StackNotFound: it does not exist, or is not one of this project; the fix lists those that
            are.
    """
    try:
        (described,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        # CloudFormation has no error code for this case.
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
        raise StackNotFound(
            f"No stack named {name} in {client.meta.region_name}.", _how_to_select(client)
        ) from None
    outputs = {it["OutputKey"]: it["OutputValue"] for it in described.get("Outputs", [])}
    if _IDENTIFYING_OUTPUT not in outputs:
        raise StackNotFound(
            f"The stack {name} ({described['StackStatus']}) has no output {_IDENTIFYING_OUTPUT}: "
            "it belongs to another project, or its first deployment failed.",
            "If its deployment failed, its events name the reason; docs/troubleshooting.md says "
            f"how to deploy again. {_how_to_select(client)}",
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
    """Return the stack's resources by logical id."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=name)
    return {
        it["LogicalResourceId"]: Resource(
            physical_id=it.get("PhysicalResourceId", ""), type=it["ResourceType"]
        )
        for page in pages
        for it in page["StackResourceSummaries"]
    }


def _how_to_select(client: "CloudFormationClient") -> str:
    """Return the options that select a stack, and the stacks of this project in the region."""
    fix = "Select the stack with --stack-name, --region and --profile."
    try:
        stacks = client.describe_stacks()["Stacks"]
    except (ClientError, BotoCoreError):
        return fix
    ours = [
        it["StackName"]
        for it in stacks
        if any(output["OutputKey"] == _IDENTIFYING_OUTPUT for output in it.get("Outputs", []))
    ]
    return f"{fix} Stacks in this region: {', '.join(ours)}." if ours else fix
