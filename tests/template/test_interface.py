"""What the stack shows to the world: its APIs, its parameters, its outputs, its names."""

import re
from typing import Any

import pytest

from delivery.twilio.error_codes import Category
from tests.cloudformation import Template, load_template
from tests.template.deployment import of_type, references, target_of

HTTP_APIS = "AWS::ApiGatewayV2::Api"
STAGES = "AWS::ApiGatewayV2::Stage"
LONGEST_INTEGRATION = 30_000  # milliseconds; what an HTTP API does when nothing is said

DEFAULTS = {
    "TwilioSecretName": "delivery/twilio",
    "FailureEmail": "",
    "PublicBaseUrl": "",
    "TwilioApiBaseUrl": "https://api.twilio.com",
    "StoreMessageBody": "false",
    "RetentionDays": 400,
    "RequestRetentionDays": 30,
    "LogRetentionDays": 30,
    "CallbackRateLimit": 500,
    "CallbackBurstLimit": 1000,
    "NoticeShowsNumbers": "false",
    "MaxSendsPerSecond": 0,
    "DoubtMinutes": 15,
    "ReconcileAfterMinutes": 60,
    "UnconfirmedAfterHours": 72,
    "ReconcileUnknownMessages": "false",
    "AlarmEmail": "",
    "FailureRatePercent": 20,
    "FailureRateMinMessages": 20,
    "OutcomeBusName": "",
    "CanaryTo": "",
    "CanaryFrom": "",
    "CanaryMessagingServiceSid": "",
    "CanaryEveryHours": 4,
    "NoticeQuietMinutes": 15,
    "MutedCategories": "opt_out",
    "Architecture": "arm64",
}

PATTERNS = {
    name: parameter["AllowedPattern"]
    for name, parameter in load_template()["Parameters"].items()
    if "AllowedPattern" in parameter
}


# --- the APIs ------------------------------------------------------------------------------------


def routes_of(api: str, stack: Template) -> dict[str, dict[str, Any]]:
    """The operations of an API's OpenAPI body, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in of_type(stack, HTTP_APIS)[api]["Body"]["paths"].items()
        for method, operation in operations.items()
    }


def function_of(operation: dict[str, Any]) -> str:
    uri = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    (called,) = re.findall(r"/functions/\$\{(\w+)\.Arn\}/invocations$", uri)
    return str(called)


def test_the_routes_are_the_designs(stack: Template) -> None:
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
            "GET /summary": "QueryMessagesFunction",
        },
    }


def test_every_route_of_the_teams_api_asks_for_aws_credentials(stack: Template) -> None:
    body = of_type(stack, HTTP_APIS)["MessagesApi"]["Body"]

    for route, operation in routes_of("MessagesApi", stack).items():
        assert operation["security"] == [{"AWS_IAM": []}], route
    scheme = body["components"]["securitySchemes"]["AWS_IAM"]
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"


def test_twilio_needs_no_aws_credentials(stack: Template) -> None:
    body = of_type(stack, HTTP_APIS)["CallbackApi"]["Body"]

    assert "security" not in body
    assert all(
        "security" not in operation for operation in routes_of("CallbackApi", stack).values()
    )


def test_the_public_stage_is_throttled_by_the_parameters(stack: Template) -> None:
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


def test_an_api_waits_at_least_as_long_as_its_function_works(stack: Template) -> None:
    functions = of_type(stack, "AWS::Lambda::Function")

    for api in of_type(stack, HTTP_APIS):
        for route, operation in routes_of(api, stack).items():
            integration = operation["x-amazon-apigateway-integration"]
            waits = integration.get("timeoutInMillis", LONGEST_INTEGRATION)
            assert functions[function_of(operation)]["Timeout"] * 1000 <= waits, route


def test_twilio_is_answered_or_let_down_within_six_seconds(stack: Template) -> None:
    (operation,) = routes_of("CallbackApi", stack).values()

    assert operation["x-amazon-apigateway-integration"]["timeoutInMillis"] == 6000
    assert of_type(stack, "AWS::Lambda::Function")["StatusCallbackFunction"]["Timeout"] == 6


def test_the_functions_are_handed_the_events_that_they_understand(stack: Template) -> None:
    for api in of_type(stack, HTTP_APIS):
        for operation in routes_of(api, stack).values():
            integration = operation["x-amazon-apigateway-integration"]
            assert integration["type"] == "aws_proxy"
            assert integration["payloadFormatVersion"] == "2.0"


# --- the parameters ------------------------------------------------------------------------------


def test_the_parameters_and_their_defaults_are_the_designs(template: Template) -> None:
    defaults = {name: it.get("Default") for name, it in template["Parameters"].items()}

    assert defaults == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_parameter_says_what_it_is_for(name: str, template: Template) -> None:
    parameter = template["Parameters"][name]

    assert len(parameter["Description"].split()) > 3
    assert ("AllowedPattern" in parameter) == ("ConstraintDescription" in parameter)


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_makes_no_sense_in_a_parameter_is_refused_before_anything_is_deployed(
    name: str, template: Template
) -> None:
    parameter = template["Parameters"][name]

    limit = {"String": "AllowedPattern", "Number": "MinValue"}[parameter["Type"]]
    assert {limit, "AllowedValues"} & parameter.keys()


def test_every_parameter_is_read(template: Template) -> None:
    sections = ("Globals", "Conditions", "Resources", "Outputs")
    read = set(references([template[section] for section in sections]))

    assert template["Parameters"].keys() - read == set()


@pytest.mark.parametrize(
    "name", ["DoubtMinutes", "ReconcileAfterMinutes", "UnconfirmedAfterHours", "NoticeQuietMinutes"]
)
def test_a_time_may_be_a_fraction(name: str, template: Template) -> None:
    parameter = template["Parameters"][name]

    assert parameter["Type"] == "Number"
    assert parameter.get("MinValue", 0) == 0
    assert "AllowedValues" not in parameter


def test_a_message_is_kept_for_a_week_at_least(template: Template) -> None:
    assert template["Parameters"]["RetentionDays"]["MinValue"] == 7


@pytest.mark.parametrize(
    "name", ["StoreMessageBody", "NoticeShowsNumbers", "ReconcileUnknownMessages"]
)
def test_a_choice_is_true_or_false_in_the_functions_spelling(name: str, template: Template) -> None:
    assert template["Parameters"][name]["AllowedValues"] == ["true", "false"]


def accepts(name: str, value: str) -> bool:
    """Whether CloudFormation takes the value: its patterns have to fit all of it."""
    return re.fullmatch(PATTERNS[name], value) is not None


def test_what_a_person_writes_freely_has_a_pattern() -> None:
    assert set(PATTERNS) == {
        "AlarmEmail",
        "CanaryFrom",
        "CanaryMessagingServiceSid",
        "CanaryTo",
        "FailureEmail",
        "MutedCategories",
        "OutcomeBusName",
        "PublicBaseUrl",
        "TwilioApiBaseUrl",
        "TwilioSecretName",
    }


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_default_is_allowed(name: str) -> None:
    assert accepts(name, str(DEFAULTS[name]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FailureEmail", ""),
        ("FailureEmail", "oncall@example.com"),
        ("FailureEmail", "first.last+sms@mail.example.co.uk"),
        ("OutcomeBusName", ""),
        ("OutcomeBusName", "default"),
        ("OutcomeBusName", "team/orders.v2"),
        ("CanaryTo", "+15558675310"),
        ("CanaryFrom", "+15005550006"),
        ("CanaryFrom", "72000"),
        ("CanaryFrom", "Acme Bank 2"),
        ("CanaryMessagingServiceSid", "MG0123456789abcdef0123456789abcdef"),
        ("PublicBaseUrl", ""),
        ("PublicBaseUrl", "https://messages.example.com"),
        ("PublicBaseUrl", "https://example.com/hooks/twilio"),
        ("PublicBaseUrl", "https://example.com:8443"),
        ("PublicBaseUrl", "http://127.0.0.1:8080"),  # the sandbox's gateway
        ("TwilioApiBaseUrl", "https://api.dublin.ie1.twilio.com"),
        ("TwilioApiBaseUrl", "http://127.0.0.1:8081"),  # the simulator
        ("TwilioSecretName", "delivery/twilio"),
        ("TwilioSecretName", "prod_Twilio+1=a.b@c-d"),
        ("MutedCategories", ""),
        ("MutedCategories", "opt_out,recipient_unreachable"),
        ("MutedCategories", "opt_out, recipient_unreachable"),
    ],
)
def test_a_parameter_takes(name: str, value: str) -> None:
    assert accepts(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FailureEmail", "oncall"),
        ("FailureEmail", "@example.com"),
        ("FailureEmail", "oncall@"),
        ("FailureEmail", "a@example.com, b@example.com"),
        ("FailureEmail", " "),
        ("OutcomeBusName", "arn:aws:events:us-east-1:123456789012:event-bus/default"),
        ("OutcomeBusName", "*"),
        ("CanaryTo", "5558675310"),
        ("CanaryTo", '+1555", "body": "x'),
        ("CanaryMessagingServiceSid", "MG"),
        ("CanaryFrom", 'A", "b": "c'),
        ("CanaryFrom", "a name too long"),
        ("PublicBaseUrl", "messages.example.com"),
        ("PublicBaseUrl", "ftp://example.com"),
        ("PublicBaseUrl", "https://"),
        ("PublicBaseUrl", "https:///"),
        ("PublicBaseUrl", "https://example.com/"),
        ("PublicBaseUrl", "https://example.com/hooks/"),
        ("PublicBaseUrl", "https://example.com?a=b"),
        ("PublicBaseUrl", "https://example.com/#fragment"),
        ("PublicBaseUrl", "https://exam ple.com"),
        ("PublicBaseUrl", "https://example.com\n"),
        ("PublicBaseUrl", "see https://example.com"),
        ("MutedCategories", "optout"),
        ("MutedCategories", "opt_out,"),
        ("MutedCategories", "opt_out recipient_unreachable"),
        ("TwilioApiBaseUrl", ""),
        ("TwilioApiBaseUrl", "api.twilio.com"),
        ("TwilioApiBaseUrl", "https://api.twilio.com/"),
        ("TwilioSecretName", ""),
        ("TwilioSecretName", "delivery/*"),
        ("TwilioSecretName", "delivery/twili?"),
        ("TwilioSecretName", "delivery twilio"),
        ("TwilioSecretName", "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio-abcdef"),
    ],
)
def test_a_parameter_refuses(name: str, value: str) -> None:
    assert not accepts(name, value)


def test_exactly_the_categories_that_there_are_can_be_muted() -> None:
    named = set(re.findall(r"[a-z_]+", PATTERNS["MutedCategories"]))

    assert named == set(Category)


# --- the outputs, and the names ------------------------------------------------------------------


def test_the_outputs_are_the_designs(template: Template) -> None:
    assert set(template["Outputs"]) == {
        "StatusCallbackUrl",
        "MessagesApiUrl",
        "MessagesTableName",
        "SendQueueUrl",
        "FailureTopicArn",
        "DashboardUrl",
    }
    assert all(output["Description"] for output in template["Outputs"].values())


def test_an_output_is_what_its_name_says(template: Template) -> None:
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    sender = template["Resources"]["SendMessageFunction"]["Properties"]
    notifier = template["Resources"]["NotifyFailureFunction"]["Properties"]

    assert outputs["MessagesTableName"] == {"Ref": "MessagesTable"}
    assert outputs["SendQueueUrl"] == {"Ref": "SendQueue"}
    assert outputs["FailureTopicArn"] == {"Ref": "FailureTopic"}
    told = sender["Environment"]["Variables"] | notifier["Environment"]["Variables"]
    assert outputs["StatusCallbackUrl"] == told["STATUS_CALLBACK_URL"]
    assert outputs["MessagesApiUrl"] == told["MESSAGES_API_URL"]
    assert outputs["DashboardUrl"] == told["DASHBOARD_URL"]


def test_twilio_is_sent_to_the_public_base_or_else_to_the_api_itself(template: Template) -> None:
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


def test_only_the_dashboard_has_a_physical_name(template: Template) -> None:
    named = {
        name: value
        for name, resource in template["Resources"].items()
        for given, value in resource.get("Properties", {}).items()
        if given in {"Name", "LayerName", f"{resource['Type'].rpartition('::')[2]}Name"}
    }

    assert named == {"Dashboard": {"Ref": "AWS::StackName"}}


@pytest.mark.parametrize(
    ("topic", "address"), [("FailureTopic", "FailureEmail"), ("AlarmTopic", "AlarmEmail")]
)
def test_somebody_is_told_by_email_if_an_address_is_given(
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
