"""Least privilege: every role has exactly the permissions listed here, and so has every caller."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cloudformation import Template
from tests.template.deployment import (
    FUNCTIONS,
    Properties,
    function_of,
    logical_id,
    of_type,
    target_of,
)
from tests.template.resolving import resolved

SECRET = (
    "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}"
    ":secret:${TwilioSecretName}-??????"
)
EVENT_BUS = (
    "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${OutcomeEventBusName}"
)
READS_THE_SECRET = ("secretsmanager:GetSecretValue", SECRET)
# Only if the secret is encrypted with a customer managed key.
DECRYPTS_THE_SECRET = ("kms:Decrypt", "TwilioSecretKmsKeyArn")


def on(resource: str, *actions: str) -> set[tuple[str, str]]:
    """Return permissions on one resource."""
    return {(action, resource) for action in actions}


# The permissions of each function. A change that widens a policy has to change this table.
PERMISSIONS = {
    "audit_messages": {
        READS_THE_SECRET,
        DECRYPTS_THE_SECRET,
        *on("MessagesTable", "dynamodb:BatchGetItem", "dynamodb:UpdateItem"),
        *on("ControlTable", "dynamodb:GetItem", "dynamodb:PutItem"),
        *on("ScheduleDeadLetterQueue", "sqs:SendMessage"),
    },
    "dashboard_widget": {
        *on("MessagesTable", "dynamodb:BatchGetItem", "dynamodb:GetItem"),
        *on("SendRequestsTable", "dynamodb:BatchGetItem", "dynamodb:GetItem"),
        *on("ControlTable", "dynamodb:BatchGetItem", "dynamodb:GetItem"),
        *on("${SendRequestsTable.Arn}/index/by_unresolved", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_list", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_to", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_reference", "dynamodb:Query"),
    },
    "notify_failure": {
        *on("MessagesTable", "dynamodb:BatchGetItem", "dynamodb:UpdateItem"),
        *on("IncidentsTable", "dynamodb:GetItem", "dynamodb:PutItem"),
        *on("${IncidentsTable.Arn}/index/by_next_at", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_notice_due", "dynamodb:Query", "dynamodb:Scan"),
        *on("FailureTopic", "sns:Publish"),
        *on("NotifyFailureDeadLetterQueue", "sqs:SendMessage"),
        *on("ScheduleDeadLetterQueue", "sqs:SendMessage"),
    },
    "publish_outcomes": {
        *on(EVENT_BUS, "events:PutEvents"),
        *on("ArchiveStream", "firehose:PutRecordBatch"),
        *on("PublishOutcomesDeadLetterQueue", "sqs:SendMessage"),
    },
    "query_messages": {
        *on("ControlTable", "dynamodb:BatchGetItem", "dynamodb:GetItem"),
        *on("MessagesTable", "dynamodb:GetItem", "dynamodb:BatchGetItem"),
        *on("SendRequestsTable", "dynamodb:GetItem", "dynamodb:BatchGetItem"),
        *on("${SendRequestsTable.Arn}/index/by_unresolved", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_to", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_request", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_reference", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_list", "dynamodb:Query"),
    },
    "reconcile_messages": {
        READS_THE_SECRET,
        DECRYPTS_THE_SECRET,
        *on("MessagesTable", "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"),
        *on("SendRequestsTable", "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:PutItem"),
        *on("${MessagesTable.Arn}/index/by_list", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_to", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_request", "dynamodb:Query"),
        *on("${SendRequestsTable.Arn}/index/by_unresolved", "dynamodb:Query"),
        *on("ScheduleDeadLetterQueue", "sqs:SendMessage"),
    },
    "send_message": {
        READS_THE_SECRET,
        DECRYPTS_THE_SECRET,
        *on(
            "SendRequestsTable",
            "dynamodb:BatchGetItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
        ),
        *on("ControlTable", "dynamodb:UpdateItem"),
        *on("${MessagesTable.Arn}/index/by_to", "dynamodb:Query"),
        *on("${MessagesTable.Arn}/index/by_request", "dynamodb:Query"),
        *on("MessagesTable", "dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:UpdateItem"),
        *on("SendQueue", "sqs:ChangeMessageVisibility", "sqs:SendMessage"),
        *on("CallbackQueue", "sqs:SendMessage"),
        *on("SendInvocationFailuresQueue", "sqs:SendMessage"),
    },
    "status_callback": {
        READS_THE_SECRET,
        DECRYPTS_THE_SECRET,
        *on("MessagesTable", "dynamodb:UpdateItem"),
        *on("CallbackQueue", "sqs:SendMessage"),
    },
}

# SAM's basic execution policies: for the logs, and for the queue or stream that invokes a function.
BASIC = "AWSLambdaBasicExecutionRole"
MANAGED = {
    "audit_messages": {BASIC},
    "dashboard_widget": {BASIC},
    "notify_failure": {BASIC, "AWSLambdaDynamoDBExecutionRole"},
    "publish_outcomes": {BASIC, "AWSLambdaDynamoDBExecutionRole"},
    "query_messages": {BASIC},
    "reconcile_messages": {BASIC},
    "send_message": {BASIC, "AWSLambdaSQSQueueExecutionRole"},
    "status_callback": {BASIC, "AWSLambdaSQSQueueExecutionRole"},
}

# What AWS chooses: six characters of a secret's ARN, and the names of objects below a prefix.
CHOSEN_BY_AWS = re.compile(
    r"(?<=\$\{TwilioSecretName\})-\?{6}$|(?<=\$\{ArchiveBucket\.Arn\})/\w+/\*$"
)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements_of(role: Properties) -> Iterator[dict[str, Any]]:
    """Yield the statements of a role's own policies, also those with a condition."""
    for policy in role.get("Policies", []):
        yield from unconditional(as_list(policy["PolicyDocument"]["Statement"]))


def unconditional(statements: list[Any]) -> Iterator[dict[str, Any]]:
    for statement in statements:
        match statement:
            case {"Fn::If": [str(), then, {"Ref": "AWS::NoValue"}]}:
                yield then
            case _:
                yield statement


def resource_name(resource: Any) -> str:
    match resource:
        case {"Fn::Sub": str(arn)} | str(arn):
            return arn
        case _:
            return target_of(resource)


def permissions_of(role: Properties) -> set[tuple[str, str]]:
    """Return the actions that a role's own policies allow, each with its resource."""
    return {
        (action, resource_name(resource))
        for statement in statements_of(role)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def test_every_policy_statement_names_its_actions_and_resources(stack: Template) -> None:
    roles = of_type(stack, "AWS::IAM::Role")

    for role in roles.values():
        for statement in statements_of(role):
            assert statement["Effect"] == "Allow"
            assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        permissions = permissions_of(role)
        assert permissions
        for action, resource in permissions:
            assert re.fullmatch(r"[a-z0-9-]+:[A-Z][A-Za-z0-9]+", action)
            assert not re.search(r"[*?]", CHOSEN_BY_AWS.sub("", resource)), resource


def test_every_policy_statement_has_a_descriptive_id(template: Template) -> None:
    resources = template["Resources"].values()
    policies = [
        policy for it in resources for policy in it.get("Properties", {}).get("Policies", [])
    ]

    statements = [
        statement
        for policy in policies
        for statement in unconditional(as_list(policy.get("PolicyDocument", policy)["Statement"]))
    ]

    assert len(statements) > 20
    assert [it for it in statements if not re.fullmatch(r"[A-Z][A-Za-z]+", it.get("Sid", ""))] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_exactly_its_permissions(function: str, stack: Template) -> None:
    role = of_type(stack, "AWS::IAM::Role")[f"{logical_id(function)}Role"]

    assert permissions_of(role) == PERMISSIONS[function]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("key", ["", "arn:aws:kms:eu-west-1:123456789012:key/1"])
def test_only_a_function_that_reads_the_secret_may_use_its_key(
    function: str, key: str, stack: Template
) -> None:
    role = of_type(stack, "AWS::IAM::Role")[f"{logical_id(function)}Role"]

    policies = resolved(role.get("Policies", []), stack, {"TwilioSecretKmsKeyArn": key})

    permitted = {
        (action, resource)
        for action, resource in permissions_of({"Policies": policies})
        if action.startswith("kms:")
    }
    needed = key and READS_THE_SECRET in PERMISSIONS[function]
    assert permitted == ({("kms:Decrypt", key)} if needed else set())


@pytest.mark.parametrize("boundary", ["", "arn:aws:iam::123456789012:policy/developer"])
def test_every_role_has_the_permissions_boundary(boundary: str, stack: Template) -> None:
    for name, role in of_type(stack, "AWS::IAM::Role").items():
        found = resolved(role, stack, {"PermissionsBoundaryArn": boundary})
        assert found.get("PermissionsBoundary", "") == boundary, name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_has_only_basic_execution_policies_attached(function: str, stack: Template) -> None:
    role = of_type(stack, "AWS::IAM::Role")[f"{logical_id(function)}Role"]

    attached = {arn.removeprefix("arn:aws:iam::aws:policy/") for arn in role["ManagedPolicyArns"]}

    assert attached == {f"service-role/{name}" for name in MANAGED[function]}


def test_each_function_has_its_own_role_and_no_other_resource_grants_permissions(
    stack: Template,
) -> None:
    functions = of_type(stack, "AWS::Lambda::Function")
    # A policy of a queue, a topic or a secret grants permissions, too.
    granting = {
        name
        for name, it in stack["Resources"].items()
        if it["Type"].startswith("AWS::IAM::") or (it["Type"].endswith("Policy") and grants(it))
    }

    used = {name: target_of(properties["Role"]) for name, properties in functions.items()}

    assert used == {logical_id(function): f"{logical_id(function)}Role" for function in FUNCTIONS}
    others = {*roles_of_schedules(stack), "ArchiveStreamRole"}
    assert granting == set(used.values()) | others
    assert set(PERMISSIONS) == set(MANAGED) == set(FUNCTIONS)


def grants(policy: dict[str, Any]) -> bool:
    """Return whether a resource policy allows anything; one that only denies grants nothing."""
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    return any(it["Effect"] != "Deny" for it in statements)


def roles_of_schedules(stack: Template) -> dict[str, Properties]:
    """Return each schedule by the logical id of its role."""
    return {
        target_of(schedule["Target"]["RoleArn"]): schedule
        for schedule in of_type(stack, "AWS::Scheduler::Schedule").values()
    }


def test_only_the_service_that_needs_a_role_may_assume_it(stack: Template) -> None:
    for name, role in of_type(stack, "AWS::IAM::Role").items():
        service = "scheduler" if name in roles_of_schedules(stack) else "lambda"
        service = {"ArchiveStreamRole": "firehose"}.get(name, service)
        assert [
            (it["Effect"], it["Action"], it["Principal"])
            for it in role["AssumeRolePolicyDocument"]["Statement"]
        ] == [("Allow", ["sts:AssumeRole"], {"Service": [f"{service}.amazonaws.com"]})]


def test_a_schedule_may_invoke_its_function_and_use_the_dead_letter_queue(stack: Template) -> None:
    for name, schedule in roles_of_schedules(stack).items():
        role = of_type(stack, "AWS::IAM::Role")[name]

        assert permissions_of(role) == {
            ("lambda:InvokeFunction", target_of(schedule["Target"]["Arn"])),
            ("sqs:SendMessage", "ScheduleDeadLetterQueue"),
        }
        assert "ManagedPolicyArns" not in role


def test_the_delivery_stream_may_write_to_its_prefixes_of_the_bucket_only(stack: Template) -> None:
    role = of_type(stack, "AWS::IAM::Role")["ArchiveStreamRole"]
    (stream,) = of_type(stack, "AWS::KinesisFirehose::DeliveryStream").values()
    destination = stream["ExtendedS3DestinationConfiguration"]
    objects = ("${ArchiveBucket.Arn}/outcomes/*", "${ArchiveBucket.Arn}/rejected/*")
    glue = "arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}"
    tables = (
        f"{glue}:catalog",
        f"{glue}:database/${{ReportsDatabase}}",
        f"{glue}:table/${{ReportsDatabase}}/${{ArchiveTable}}",
    )
    logs = (
        "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}"
        ":log-group:${ArchiveStreamLogs}:log-stream:${ArchiveStreamLogStream}"
    )

    assert permissions_of(role) == {
        ("s3:GetBucketLocation", "ArchiveBucket"),
        ("s3:ListBucket", "ArchiveBucket"),
        ("s3:ListBucketMultipartUploads", "ArchiveBucket"),
        *((f"s3:{it}", name) for it in ("GetObject", "PutObject") for name in objects),
        *(("s3:AbortMultipartUpload", name) for name in objects),
        *((f"glue:{it}", name) for it in ("GetTable", "GetTableVersion") for name in tables),
        *(("glue:GetTableVersions", name) for name in tables),
        ("logs:PutLogEvents", logs),
    }
    assert destination["Prefix"].startswith("outcomes/")
    assert destination["ErrorOutputPrefix"].startswith("rejected/")


def test_an_api_may_invoke_a_function_for_its_own_routes_only(stack: Template) -> None:
    permissions = of_type(stack, "AWS::Lambda::Permission").values()

    granted = {
        (permission["Principal"], function_of(permission["FunctionName"]), *source_of(permission))
        for permission in permissions
    }

    gateway = "apigateway.amazonaws.com"
    assert granted == {
        (gateway, "SendMessageFunction", "MessagesApi", "POST/messages"),
        (gateway, "SendMessageFunction", "MessagesApi", "POST/messages/batch"),
        (gateway, "SendMessageFunction", "MessagesApi", "POST/messages/*/cancel"),
        (gateway, "QueryMessagesFunction", "MessagesApi", "GET/messages"),
        (gateway, "QueryMessagesFunction", "MessagesApi", "GET/messages/*"),
        (gateway, "QueryMessagesFunction", "MessagesApi", "GET/requests/*"),
        (gateway, "QueryMessagesFunction", "MessagesApi", "GET/summary"),
        (gateway, "QueryMessagesFunction", "MessagesApi", "GET/audits"),
        (gateway, "StatusCallbackFunction", "CallbackApi", "POST/twilio/status"),
    }
    assert {permission["Action"] for permission in permissions} == {"lambda:InvokeFunction"}


def source_of(permission: Properties) -> tuple[str, str]:
    """Return the API and the route that a permission is for."""
    text, names = permission["SourceArn"]["Fn::Sub"]
    prefix = (
        "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${__ApiId__}"
        "/${__Stage__}/"
    )
    assert text.startswith(prefix), text
    return target_of(names["__ApiId__"]), text.removeprefix(prefix)


def test_no_function_has_a_function_url(stack: Template) -> None:
    assert not of_type(stack, "AWS::Lambda::Url")
