"""The public interface of the stack: its APIs, parameters, outputs and names."""

import re
from datetime import timedelta
from typing import Any

import pytest

from delivery.twilio.error_codes import Category
from tests.support.cloudformation import Template, load_template
from tests.template.deployment import of_type, references, target_of
from tests.template.resolving import resolved

HTTP_APIS = "AWS::ApiGatewayV2::Api"
STAGES = "AWS::ApiGatewayV2::Stage"
DEFAULT_INTEGRATION_TIMEOUT = 30_000  # milliseconds, of an HTTP API

DEFAULTS = {
    "TwilioSecretName": "delivery/twilio",
    "TwilioSecretKmsKeyArn": "",
    "FailureEmail": "",
    "PublicBaseUrl": "",
    "TwilioApiBaseUrl": "https://api.twilio.com",
    "StoreMessageBody": "false",
    "MessageRetentionDays": 400,
    "IdempotencyKeyRetentionDays": 30,
    "TableDeletionProtection": "false",
    "LogRetentionDays": 30,
    "CallbackRateLimit": 500,
    "CallbackBurstLimit": 1000,
    "NoticesShowFullNumbers": "false",
    "SenderSegmentsPerSecond": 0,
    "SendConcurrency": 5,
    "InDoubtTimeoutMinutes": 15,
    "ReconcileAfterMinutes": 60,
    "UnconfirmedAfterHours": 72,
    "AuditMode": "tracked",
    "AlarmEmail": "",
    "FailureRatePercent": 20,
    "FailureRateMinMessages": 20,
    "OutcomeEventBusName": "",
    "ArchiveOutcomes": "false",
    "ArchiveRetentionDays": 0,
    "ReportDimensions": "",
    "CanaryTo": "",
    "CanaryFrom": "",
    "CanaryMessagingServiceSid": "",
    "CanaryIntervalHours": 4,
    "NoticeIntervalMinutes": 15,
    "MutedCategories": "opt_out",
    "PermissionsBoundaryArn": "",
    "Architecture": "arm64",
}

ACCOUNT = "123456789012"
KEY_ID = "12345678-1234-1234-1234-123456789012"

PATTERNS = {
    name: parameter["AllowedPattern"]
    for name, parameter in load_template()["Parameters"].items()
    if "AllowedPattern" in parameter
}


# --- the APIs ------------------------------------------------------------------------------------


def routes_of(api: str, stack: Template) -> dict[str, dict[str, Any]]:
    """Return the operations of an API's OpenAPI body, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in of_type(stack, HTTP_APIS)[api]["Body"]["paths"].items()
        for method, operation in operations.items()
    }


def function_of(operation: dict[str, Any]) -> str:
    uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    (called,) = re.findall(r"/functions/\$\{(\w+)Aliaslive\}/invocations$", uri)
    return str(called)


def test_the_apis_have_exactly_these_routes(stack: Template) -> None:
    routes = {
        api: {route: function_of(operation) for route, operation in routes_of(api, stack).items()}
        for api in of_type(stack, HTTP_APIS)
    }

    assert routes == {
        "CallbackApi": {"POST /twilio/status": "StatusCallbackFunction"},
        "MessagesApi": {
            "POST /messages": "SendMessageFunction",
            "POST /messages/batch": "SendMessageFunction",
            "POST /messages/{message_sid}/cancel": "SendMessageFunction",
            "GET /messages": "QueryMessagesFunction",
            "GET /messages/{message_sid}": "QueryMessagesFunction",
            "GET /requests/{request_id}": "QueryMessagesFunction",
            "GET /audits": "QueryMessagesFunction",
            "GET /summary": "QueryMessagesFunction",
        },
    }


def test_every_route_of_the_messages_api_requires_iam_authorization(stack: Template) -> None:
    body = of_type(stack, HTTP_APIS)["MessagesApi"]["Body"]

    for route, operation in routes_of("MessagesApi", stack).items():
        assert operation["security"] == [{"AWS_IAM": []}], route
    scheme = body["components"]["securitySchemes"]["AWS_IAM"]
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"


def test_the_callback_api_requires_no_iam_authorization(stack: Template) -> None:
    body = of_type(stack, HTTP_APIS)["CallbackApi"]["Body"]

    assert "security" not in body
    assert all(
        "security" not in operation for operation in routes_of("CallbackApi", stack).values()
    )


def test_the_parameters_throttle_the_public_stage(stack: Template) -> None:
    throttles = {
        target_of(stage["ApiId"]): stage.get("DefaultRouteSettings", {})
        for stage in of_type(stack, STAGES).values()
    }

    assert throttles["CallbackApi"] == {
        "ThrottlingRateLimit": {"Ref": "CallbackRateLimit"},
        "ThrottlingBurstLimit": {"Ref": "CallbackBurstLimit"},
    }
    assert set(throttles) == set(of_type(stack, HTTP_APIS))
    assert all("RouteSettings" not in stage for stage in of_type(stack, STAGES).values())


def test_an_integration_does_not_time_out_before_its_function(stack: Template) -> None:
    functions = of_type(stack, "AWS::Lambda::Function")

    for api in of_type(stack, HTTP_APIS):
        for route, operation in routes_of(api, stack).items():
            integration = operation["x-amazon-apigateway-integration"]
            timeout = integration.get("timeoutInMillis", DEFAULT_INTEGRATION_TIMEOUT)
            assert functions[function_of(operation)]["Timeout"] * 1000 <= timeout, route


def test_a_status_callback_times_out_after_six_seconds(stack: Template) -> None:
    (operation,) = routes_of("CallbackApi", stack).values()

    assert operation["x-amazon-apigateway-integration"]["timeoutInMillis"] == 6000
    assert of_type(stack, "AWS::Lambda::Function")["StatusCallbackFunction"]["Timeout"] == 6


def test_every_route_uses_a_proxy_integration_with_payload_format_2(stack: Template) -> None:
    for api in of_type(stack, HTTP_APIS):
        for operation in routes_of(api, stack).values():
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["type"] == "aws_proxy"
            assert integration["payloadFormatVersion"] == "2.0"


# --- the parameters ------------------------------------------------------------------------------


def test_the_stack_has_exactly_these_parameters_and_defaults(template: Template) -> None:
    defaults = {name: it.get("Default") for name, it in template["Parameters"].items()}

    assert defaults == DEFAULTS


def test_a_parameter_is_described_and_validated_by_cloudformation(template: Template) -> None:
    for name, parameter in template["Parameters"].items():
        assert len(parameter["Description"].split()) > 3, name
        assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter), name
        limit = {"String": "AllowedPattern", "Number": "MinValue"}[parameter["Type"]]
        assert {limit, "AllowedValues"} & parameter.keys(), name


def test_every_number_has_an_upper_bound_with_which_times_can_be_calculated(
    template: Template,
) -> None:
    for name, parameter in template["Parameters"].items():
        if parameter["Type"] != "Number" or "AllowedValues" in parameter:
            continue
        assert parameter["MinValue"] <= parameter["Default"] <= parameter["MaxValue"], name
        unit = next((it for it in ("Days", "Hours", "Minutes") if name.endswith(it)), None)
        if unit:
            # A date later than 9999 is an error, and would make every callback a 5xx.
            longest = timedelta(**{unit.lower(): 1}) * parameter["MaxValue"]
            assert longest <= timedelta(days=3653), name
    assert template["Parameters"]["MessageRetentionDays"]["MinValue"] == 7


def test_every_parameter_is_used(template: Template) -> None:
    sections = ("Globals", "Conditions", "Resources", "Outputs")
    used = set(references([template[section] for section in sections]))

    assert template["Parameters"].keys() - used == set()


def test_a_duration_may_be_a_fraction(template: Template) -> None:
    durations = ("InDoubtTimeoutMinutes", "ReconcileAfterMinutes", "UnconfirmedAfterHours")
    for name in (*durations, "NoticeIntervalMinutes"):
        parameter = template["Parameters"][name]
        assert (parameter["Type"], parameter["MinValue"]) == ("Number", 0)


def test_a_switch_is_true_or_false_in_lower_case(template: Template) -> None:
    for name in ("StoreMessageBody", "NoticesShowFullNumbers", "TableDeletionProtection"):
        assert template["Parameters"][name]["AllowedValues"] == ["true", "false"]


def accepts(name: str, value: str) -> bool:
    """Return whether CloudFormation accepts the value: a pattern has to match all of it."""
    return re.fullmatch(PATTERNS[name], value) is not None


def test_a_pattern_accepts_the_default() -> None:
    assert [name for name in PATTERNS if not accepts(name, str(DEFAULTS[name]))] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FailureEmail", "first.last+sms@mail.example.co.uk"),
        ("OutcomeEventBusName", "team/orders.v2"),
        ("ReportDimensions", "campaign,shop_id, team-2"),
        ("CanaryTo", "+15558675310"),
        ("CanaryFrom", "72000"),
        ("CanaryFrom", "Acme Bank 2"),
        ("CanaryMessagingServiceSid", "MG0123456789abcdef0123456789abcdef"),
        ("PublicBaseUrl", "https://example.com/hooks/twilio"),
        ("PublicBaseUrl", "https://example.com:8443"),
        ("PublicBaseUrl", "http://127.0.0.1:8080"),  # the sandbox's gateway
        ("PublicBaseUrl", "http://host.docker.internal:8080"),
        ("TwilioApiBaseUrl", "https://api.dublin.ie1.twilio.com"),
        ("TwilioApiBaseUrl", "http://host.docker.internal:8081"),  # seen from a container
        ("TwilioSecretKmsKeyArn", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{KEY_ID}"),
        ("TwilioSecretKmsKeyArn", f"arn:aws-cn:kms:cn-north-1:{ACCOUNT}:key/mrk-0123456789abcdef"),
        ("PermissionsBoundaryArn", f"arn:aws:iam::{ACCOUNT}:policy/boundaries/developer"),
        ("PermissionsBoundaryArn", "arn:aws-us-gov:iam::aws:policy/PowerUserAccess"),
        ("TwilioSecretName", "prod_Twilio+1=a.b@c-d"),
        ("MutedCategories", "none"),  # `sam deploy --guided` cannot empty a value
        ("MutedCategories", "opt_out, recipient_unreachable"),
    ],
)
def test_a_parameter_accepts_a_valid_value(name: str, value: str) -> None:
    assert accepts(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FailureEmail", "oncall"),
        ("FailureEmail", "a@example.com, b@example.com"),
        ("OutcomeEventBusName", "arn:aws:events:us-east-1:123456789012:event-bus/default"),
        ("OutcomeEventBusName", "*"),
        ("ReportDimensions", "campaign,"),
        ("ReportDimensions", "it's"),
        ("ReportDimensions", "a,b,c,d,e,f"),
        ("CanaryTo", "5558675310"),
        ("CanaryTo", '+1555", "body": "x'),
        ("CanaryFrom", 'A", "b": "c'),
        ("PublicBaseUrl", "messages.example.com"),
        ("PublicBaseUrl", "http://messages.example.com"),
        ("PublicBaseUrl", "http://127.0.0.1.example.com"),
        ("PublicBaseUrl", "http://localhost:8080@example.com"),
        ("PublicBaseUrl", "https://example.com/"),
        ("PublicBaseUrl", "https://example.com?a=b"),
        ("PublicBaseUrl", "https://example.com\n"),
        ("MutedCategories", "optout"),
        ("MutedCategories", "opt_out,"),
        ("MutedCategories", "none,opt_out"),
        ("TwilioApiBaseUrl", ""),
        ("TwilioApiBaseUrl", "http://api.twilio.com"),
        ("TwilioSecretKmsKeyArn", f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/*"),
        ("TwilioSecretKmsKeyArn", f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/twilio"),
        ("PermissionsBoundaryArn", f"arn:aws:iam::{ACCOUNT}:role/developer"),
        ("TwilioApiBaseUrl", "https://api.twilio.com/"),
        ("TwilioSecretName", ""),
        ("TwilioSecretName", "delivery/*"),
        ("TwilioSecretName", "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio-abcdef"),
    ],
)
def test_a_parameter_rejects_an_invalid_value(name: str, value: str) -> None:
    assert not accepts(name, value)


def test_every_error_category_can_be_muted_and_no_other() -> None:
    named = set(re.findall(r"[a-z_]+", PATTERNS["MutedCategories"]))

    assert named - {"none"} == set(Category)


# --- outputs and names ---------------------------------------------------------------------------


def test_the_stack_has_exactly_these_outputs(template: Template) -> None:
    assert set(template["Outputs"]) == {
        "StatusCallbackUrl",
        "MessagesApiUrl",
        "MessagesTableName",
        "SendQueueUrl",
        "SendMessageFunctionArn",
        "FailureTopicArn",
        "AlarmTopicArn",
        "DashboardUrl",
        "ArchiveBucketName",
        "ReportsWorkGroup",
        "ReportsDatabase",
    }
    assert all(output["Description"] for output in template["Outputs"].values())


def test_an_output_has_the_value_that_the_functions_get(template: Template) -> None:
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    sender = template["Resources"]["SendMessageFunction"]["Properties"]
    notifier = template["Resources"]["NotifyFailureFunction"]["Properties"]

    assert outputs["MessagesTableName"] == {"Ref": "MessagesTable"}
    assert outputs["SendQueueUrl"] == {"Ref": "SendQueue"}
    assert outputs["FailureTopicArn"] == {"Ref": "FailureTopic"}
    assert outputs["AlarmTopicArn"] == {"Ref": "AlarmTopic"}
    variables = sender["Environment"]["Variables"] | notifier["Environment"]["Variables"]
    assert outputs["StatusCallbackUrl"] == variables["STATUS_CALLBACK_URL"]
    assert outputs["MessagesApiUrl"] == variables["MESSAGES_API_URL"]
    assert outputs["DashboardUrl"] == variables["DASHBOARD_URL"]


def test_the_status_callback_url_uses_the_public_base_url_if_there_is_one(
    template: Template,
) -> None:
    url = template["Outputs"]["StatusCallbackUrl"]["Value"]

    condition, public, own = url["Fn::If"]
    assert template["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "PublicBaseUrl"}, ""]}]
    }
    assert public == {"Fn::Sub": "${PublicBaseUrl}/twilio/status"}
    assert own == {
        "Fn::Sub": "https://${CallbackApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"
        "/twilio/status"
    }


def test_only_the_dashboard_and_the_workgroup_have_a_physical_name(template: Template) -> None:
    named = {
        name: value
        for name, resource in template["Resources"].items()
        for given, value in resource.get("Properties", {}).items()
        if given in {"Name", "LayerName", f"{resource['Type'].rpartition('::')[2]}Name"}
        and resource["Type"] != "AWS::Athena::NamedQuery"  # whose name is a title
    }

    # Names that are unique in an account are built from the stack's.
    assert named == {
        "Dashboard": {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"},
        "ReportsWorkGroup": {"Ref": "AWS::StackName"},
    }


@pytest.mark.parametrize(
    ("partition", "region", "console"),
    [
        ("aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_the_dashboard_url_leads_to_the_dashboard_in_the_console_of_the_partition(
    partition: str, region: str, console: str, template: Template
) -> None:
    given = {"AWS::Partition": partition, "AWS::Region": region, "AWS::StackName": "messages"}
    dashboard = template["Resources"]["Dashboard"]["Properties"]["DashboardName"]

    url = resolved(template["Outputs"]["DashboardUrl"]["Value"], template, given)

    name = resolved(dashboard, template, given)
    # Dashboards are global: two regions of an account need two names.
    assert name == f"messages-{region}"
    assert url == f"{console}/cloudwatch/home?region={region}#dashboards/dashboard/{name}"


@pytest.mark.parametrize(
    ("topic", "address"), [("FailureTopic", "FailureEmail"), ("AlarmTopic", "AlarmEmail")]
)
def test_a_topic_has_an_email_subscription_if_an_address_is_given(
    topic: str, address: str, template: Template
) -> None:
    (subscription,) = (
        it
        for it in template["Resources"].values()
        if it["Type"] == "AWS::SNS::Subscription" and it["Properties"]["TopicArn"] == {"Ref": topic}
    )

    assert template["Conditions"][subscription["Condition"]] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": address}, ""]}]
    }
    assert subscription["Properties"] == {
        "TopicArn": {"Ref": topic},
        "Protocol": "email",
        "Endpoint": {"Ref": address},
    }
