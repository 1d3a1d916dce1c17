"""The permissions of each function's role, enforced by the emulator."""

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.lifecycle import Sandbox
from tests.e2e.external_client import ExternalClient
from tests.support.cloudformation import load_template

PROBE = """
import boto3
from botocore.exceptions import ClientError

def handler(event, context):
    try:
        getattr(boto3.client(event["service"]), event["operation"])(**event["parameters"])
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"
"""
FUNCTIONS = tuple(
    name
    for name, resource in load_template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
)
READ_THE_SECRET = {
    "AuditMessagesFunction",
    "ReconcileMessagesFunction",
    "SendMessageFunction",
    "StatusCallbackFunction",
}
KEY = {"message_sid": {"S": "SM-probe"}}
DENIED = {"AccessDeniedException", "AccessDenied", "AuthorizationError"}


class RoleProbe:
    """Calls AWS with the role of a function."""

    def __init__(self, client: ExternalClient, sandbox: Sandbox) -> None:
        self._functions = client.aws("lambda")
        self._sandbox = sandbox
        self._probes: dict[str, str] = {}

    def try_to(self, role_of: str, service: str, operation: str, **parameters: Any) -> str:
        """`done`, or the code of the error."""
        response = self._functions.invoke(
            FunctionName=self._probe(role_of),
            Payload=json.dumps(
                {"service": service, "operation": operation, "parameters": parameters}
            ),
        )
        result: str = json.loads(response["Payload"].read())
        return result

    def delete_functions(self) -> None:
        for name in self._probes.values():
            self._functions.delete_function(FunctionName=name)

    def _probe(self, role_of: str) -> str:
        if role_of not in self._probes:
            configuration = self._functions.get_function_configuration(
                FunctionName=self._sandbox.stack.resources[role_of]
            )
            code = io.BytesIO()
            with zipfile.ZipFile(code, "w") as archive:
                archive.writestr("probe.py", PROBE)
            created = self._functions.create_function(
                FunctionName=f"probe-{role_of}",
                Runtime="python3.13",
                Handler="probe.handler",
                Role=configuration["Role"],
                Code={"ZipFile": code.getvalue()},
                Timeout=20,
            )
            self._probes[role_of] = created["FunctionName"]
        return self._probes[role_of]


@pytest.fixture(scope="module")
def probe(client: ExternalClient, sandbox: Sandbox) -> Iterator[RoleProbe]:
    probe = RoleProbe(client, sandbox)
    yield probe
    probe.delete_functions()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("operation", ["delete_table", "scan", "delete_item"])
def test_no_function_can_delete_or_scan_the_table_or_delete_a_message(
    probe: RoleProbe, sandbox: Sandbox, function: str, operation: str
) -> None:
    parameters: dict[str, Any] = {"TableName": sandbox.endpoints.messages_table}
    if operation == "delete_item":
        parameters["Key"] = KEY

    result = probe.try_to(function, "dynamodb", operation, **parameters)

    assert result in DENIED


@pytest.mark.parametrize("function", [it for it in FUNCTIONS if it not in READ_THE_SECRET])
def test_only_functions_that_need_the_twilio_secret_can_read_it(
    probe: RoleProbe, function: str
) -> None:
    denied = probe.try_to(
        function, "secretsmanager", "get_secret_value", SecretId="delivery/twilio"
    )
    allowed = probe.try_to(
        "SendMessageFunction", "secretsmanager", "get_secret_value", SecretId="delivery/twilio"
    )

    assert denied in DENIED
    assert allowed == "done"


@pytest.mark.parametrize("function", [it for it in FUNCTIONS if it != "NotifyFailureFunction"])
def test_only_the_notifier_can_publish_notices(
    probe: RoleProbe, sandbox: Sandbox, function: str
) -> None:
    result = probe.try_to(
        function,
        "sns",
        "publish",
        TopicArn=sandbox.endpoints.failure_topic_arn,
        Message="Everything is fine",
    )

    assert result in DENIED


@pytest.mark.parametrize("function", ["QueryMessagesFunction", "DashboardWidgetFunction"])
def test_functions_that_only_read_cannot_write(
    probe: RoleProbe, sandbox: Sandbox, function: str
) -> None:
    table = sandbox.endpoints.messages_table

    read = probe.try_to(function, "dynamodb", "get_item", TableName=table, Key=KEY)
    written = probe.try_to(function, "dynamodb", "update_item", TableName=table, Key=KEY)

    assert read == "done"
    assert written in DENIED
