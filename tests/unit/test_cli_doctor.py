"""`delivery doctor`: finds each broken thing, says what to do, and nothing about a sound stack."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto import mock_aws
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from sandbox.http_server import HttpServer, Response
from tests.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.cloudformation import create_table
from tests.made_once import shared_client as client
from tests.support.command_line import REGION, AStack, Json, Ran, ScriptedApi, run, said, signed_in
from tests.support.scripted_twilio import Reply, ScriptedTwilio, refused

FUNCTIONS = ("SendMessageFunction", "NotifyFailureFunction")
QUEUES = ("SendQueue", "SendDeadLetterQueue", "SendInvocationFailuresQueue")
NOBODY = "/api/requests/rq_" + "0" * 32
EMPTY_LIST = Reply(status=200, body=b'{"messages": [], "next_page_uri": null}')
API_KEY = {"api_key_sid": "SK" + "0" * 32, "api_key_secret": "the-key-s-own-secret"}
SECRETS = (AUTH_TOKEN, API_KEY["api_key_secret"])
OURS = [("Content-Type", "application/problem+json")]
REFUSED = Response(status=403, headers=OURS, body=b'{"title": "Forbidden", "detail": "Unsigned."}')


@dataclass
class World:
    """A sound stack in moto, its two APIs and Twilio on this machine."""

    stack: AStack
    api: ScriptedApi
    callbacks: ScriptedApi
    twilio: ScriptedTwilio
    environment: dict[str, str] = field(default_factory=dict)

    def physical_id(self, logical_id: str) -> str:
        return self.stack.resources[logical_id][1]

    def put_secret(self, content: Json) -> None:
        client("secretsmanager").put_secret_value(
            SecretId="delivery/twilio",
            SecretString=content if isinstance(content, str) else json.dumps(content),
        )

    def examine(self, *arguments: str, **options: Any) -> Ran:
        return run("doctor", *arguments, environment=self.environment, **options)

    def troubles(self) -> list[Json]:
        """What is not ok, of a run that has to say so."""
        ran = self.examine("--json")
        troubles = [it for it in ran.json["findings"] if it["state"] != "ok"]
        assert ran.code == (1 if troubles else 0)
        assert ran.json["ok"] is not bool(troubles)
        assert all(it["fix"] for it in troubles)
        assert not [word for word in SECRETS if word in ran.out + ran.err]
        return troubles


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        stack.enter_context(mock_aws(config={"lambda": {"use_docker": False}}))
        api, callbacks = ScriptedApi(), ScriptedApi()
        api.will(f"GET {NOBODY}", said(404, {"title": "Not Found", "detail": "Unknown."}))
        callbacks.will("POST /twilio/status", REFUSED)
        api_url, callback_url = (
            stack.enter_context(HttpServer(port=0, answer=it)).url for it in (api, callbacks)
        )
        twilio = stack.enter_context(ScriptedTwilio(EMPTY_LIST))
        deployed = _deploy(api_url, callback_url, twilio.url)
        environment = stack.enter_context(signed_in(deployed))
        yield World(
            stack=deployed,
            api=api,
            callbacks=callbacks,
            twilio=twilio,
            environment=environment | {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"},
        )


def _deploy(api_url: str, callback_url: str, twilio_url: str) -> AStack:
    """Everything that is looked at, as the template would make it."""
    resources: dict[str, tuple[str, str]] = {}
    dynamodb = client("dynamodb")
    table = create_table(dynamodb, "MessagesTable")
    stream = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    queues = client("sqs")
    for name in QUEUES:
        url = queues.create_queue(QueueName=name)["QueueUrl"]
        resources[name] = ("AWS::SQS::Queue", url)
    topics = client("sns")
    topic = topics.create_topic(Name="FailureTopic")["TopicArn"]
    topics.subscribe(TopicArn=topic, Protocol="email", Endpoint="on-call@example.com")
    resources["FailureTopic"] = ("AWS::SNS::Topic", topic)
    client("cloudwatch").put_metric_alarm(
        AlarmName="stack-CanaryAlarm-1",
        Namespace="Delivery",
        MetricName="CanaryDelivered",
        ComparisonOperator="LessThanThreshold",
        Threshold=1,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
    )
    resources["CanaryAlarm"] = ("AWS::CloudWatch::Alarm", "stack-CanaryAlarm-1")
    role = client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    functions, logs = client("lambda"), client("logs")
    for name in FUNCTIONS:
        functions.create_function(
            FunctionName=name,
            Role=role,
            Runtime="python3.13",
            Handler="app.lambda_handler",
            Code={"ZipFile": _an_archive()},
            LoggingConfig={"LogGroup": f"{name}Logs"},
        )
        resources[name] = ("AWS::Lambda::Function", name)
        logs.create_log_group(logGroupName=f"{name}Logs")
        logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
    mapping = functions.create_event_source_mapping(
        EventSourceArn=stream, FunctionName="NotifyFailureFunction", StartingPosition="TRIM_HORIZON"
    )
    resources["NoticeDue"] = ("AWS::Lambda::EventSourceMapping", mapping["UUID"])
    client("scheduler").create_schedule(
        Name="Sweep",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:lambda:us-east-1:123456789012:function:x", "RoleArn": role},
    )
    resources["Sweep"] = ("AWS::Scheduler::Schedule", "Sweep")
    secret = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
    client("secretsmanager").create_secret(Name="delivery/twilio", SecretString=json.dumps(secret))
    return AStack(
        outputs={
            "StatusCallbackUrl": f"{callback_url}/twilio/status",
            "MessagesApiUrl": f"{api_url}/api",
            "MessagesTableName": table,
            "SendQueueUrl": resources["SendQueue"][1],
            "FailureTopicArn": topic,
            "DashboardUrl": "https://console.example.com",
        },
        parameters={"TwilioSecretName": "delivery/twilio", "TwilioApiBaseUrl": twilio_url},
        resources=resources,
    )


def _an_archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", "")
    return content.getvalue()


# --- a sound stack -------------------------------------------------------------------------------


def test_a_sound_stack_has_nothing_to_put_right(world: World) -> None:
    ran = world.examine()

    assert ran.code == 0, ran.out
    assert ran.out.splitlines()[-1] == "All is well."
    assert world.troubles() == []


def test_twilio_is_only_asked_for_a_short_list(world: World) -> None:
    world.put_secret({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | API_KEY)

    assert world.troubles() == []

    assert {it.method for it in world.twilio.requests} == {"GET"}
    assert {it.path.partition("?")[2] for it in world.twilio.requests} == {"PageSize=1"}
    assert len(world.twilio.requests) == 2  # the token, which signs, and the key, which sends


# --- each thing that can be broken ---------------------------------------------------------------


def test_a_stack_that_is_not_there_is_all_that_is_told(world: World) -> None:
    ran = world.examine("--stack-name", "nowhere", "--json")

    (finding,) = ran.json["findings"]
    assert (ran.code, finding["check"], finding["state"]) == (1, "stack", "wrong")
    assert "delivery" in finding["fix"]


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "CREATE_IN_PROGRESS"])
def test_a_deploy_that_did_not_end_well_is_found(world: World, status: str) -> None:
    world.stack.status = status

    (trouble,) = world.troubles()

    assert status in trouble["what"]


def test_an_older_stack_is_found(world: World) -> None:
    del world.stack.outputs["DashboardUrl"]

    (trouble,) = world.troubles()

    assert "DashboardUrl" in trouble["what"]


def test_a_secret_that_is_missing_is_found(world: World) -> None:
    world.stack.parameters["TwilioSecretName"] = "delivery/twillio"

    (trouble,) = world.troubles()

    assert "no secret named delivery/twillio" in trouble["what"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("not JSON", "not JSON"),
        ({"account_sid": ACCOUNT_SID}, "auth_token"),
        ({"account_sid": "SK123", "auth_token": AUTH_TOKEN}, "account_sid"),
    ],
)
def test_a_secret_that_is_malformed_is_found(world: World, content: Json, told: str) -> None:
    world.put_secret(content)

    (trouble,) = world.troubles()

    assert trouble["check"] == "secret"
    assert told in trouble["what"]


def test_a_token_that_twilio_refuses_is_found(world: World) -> None:
    world.twilio.will(refused(401, 20003))

    (trouble,) = world.troubles()

    assert "refuses the auth token" in trouble["what"]
    assert "403" in trouble["fix"]


def test_an_api_key_that_twilio_refuses_is_found(world: World) -> None:
    world.put_secret({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN} | API_KEY)
    world.twilio.will(EMPTY_LIST, refused(401, 20003))

    (trouble,) = world.troubles()

    assert "refuses the API key" in trouble["what"]


def test_a_subaccount_that_twilio_refuses_is_found(world: World) -> None:
    subaccount = "AC" + "1" * 32
    content = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
    world.put_secret(content | {"subaccounts": {subaccount: {"auth_token": "another"}}})
    world.twilio.will(EMPTY_LIST, refused(401, 20003))

    (trouble,) = world.troubles()

    assert subaccount in trouble["what"]


def test_a_twilio_that_cannot_be_asked_is_not_taken_for_a_refusal(world: World) -> None:
    world.stack.parameters["TwilioApiBaseUrl"] = "http://127.0.0.1:9"

    (trouble,) = world.troubles()

    assert (trouble["check"], trouble["state"]) == ("credentials", "unknown")


def test_an_api_that_does_not_let_you_in_is_found(world: World) -> None:
    world.api.will(f"GET {NOBODY}", said(403, {"message": "Forbidden"}))

    (trouble,) = world.troubles()

    assert "execute-api:Invoke" in trouble["fix"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "cannot be reached"),
        (Response(status=204), "answered 204"),
        (Response(status=301, headers=[("Location", "https://example.com/")]), "answered 301"),
        (said(404, {"message": "Not Found"}), "answered 404"),
        (said(503, {"message": "Service Unavailable"}), "answered 503"),
        (said(403, {"message": "Forbidden"}), "not this stack"),
    ],
)
def test_a_callback_url_that_does_not_refuse_an_unsigned_request_is_found(
    world: World, answer: Response | None, told: str
) -> None:
    world.callbacks.will("POST /twilio/status", answer)

    (trouble,) = world.troubles()

    assert trouble["check"] == "callback"
    assert told in trouble["what"]


def test_a_stream_that_is_off_is_found(world: World) -> None:
    client("dynamodb").update_table(
        TableName="MessagesTable", StreamSpecification={"StreamEnabled": False}
    )

    (trouble,) = world.troubles()

    assert "stream of MessagesTable is off" in trouble["what"]


def test_a_stream_that_nobody_reads_is_found(world: World) -> None:
    (mapping,) = client("lambda").list_event_source_mappings()["EventSourceMappings"]
    client("lambda").delete_event_source_mapping(UUID=mapping["UUID"])
    del world.stack.resources["NoticeDue"]

    (trouble,) = world.troubles()

    assert "reads another stream" in trouble["what"]


def test_an_event_source_mapping_that_is_disabled_is_found(world: World) -> None:
    uuid = world.physical_id("NoticeDue")
    client("lambda").update_event_source_mapping(UUID=uuid, Enabled=False)

    (trouble,) = world.troubles()

    assert "NoticeDue is Disabled" in trouble["what"]
    assert uuid in trouble["fix"]


def test_a_schedule_that_is_disabled_is_found(world: World) -> None:
    schedules = client("scheduler")
    schedule = schedules.get_schedule(Name="Sweep")
    names = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    schedules.update_schedule(**{name: schedule[name] for name in names}, State="DISABLED")

    (trouble,) = world.troubles()

    assert "Sweep is DISABLED" in trouble["what"]


def test_a_topic_that_nobody_hears_is_found(world: World) -> None:
    topics = client("sns")
    for subscription in topics.list_subscriptions()["Subscriptions"]:
        topics.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])

    (trouble,) = world.troubles()

    assert "Nobody is subscribed to FailureTopic" in trouble["what"]


def test_a_subscription_that_is_not_confirmed_is_found(world: World) -> None:
    topics = get_backend("sns")[DEFAULT_ACCOUNT_ID][REGION]
    for subscription in topics.subscriptions.values():
        subscription.arn = "PendingConfirmation"  # moto itself confirms every one at once

    (trouble,) = world.troubles()

    assert "on-call@example.com has not confirmed" in trouble["what"]


def test_an_alarm_that_rings_is_found(world: World) -> None:
    client("cloudwatch").set_alarm_state(
        AlarmName=world.physical_id("CanaryAlarm"), StateValue="ALARM", StateReason="No canary came"
    )

    (trouble,) = world.troubles()

    assert "CanaryAlarm rings since" in trouble["what"]
    assert "No canary came" in trouble["what"]
    assert "docs/operations.md" in trouble["fix"]


@pytest.mark.parametrize(
    ("queue", "redriven"), [("SendDeadLetterQueue", True), ("SendInvocationFailuresQueue", False)]
)
def test_a_dead_letter_is_found(world: World, queue: str, *, redriven: bool) -> None:
    client("sqs").send_message(QueueUrl=world.physical_id(queue), MessageBody="x")

    (trouble,) = world.troubles()

    assert f"{queue} holds 1" in trouble["what"]
    assert ("delivery redrive send" in trouble["fix"]) is redriven


def test_what_waits_to_be_sent_is_no_trouble(world: World) -> None:
    client("sqs").send_message(QueueUrl=world.physical_id("SendQueue"), MessageBody="x")

    assert world.troubles() == []


def log(*lines: Json, ago: timedelta = timedelta(minutes=5)) -> None:
    logs, group = client("logs"), "/aws/lambda/SendMessageFunction"
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    at = int((datetime.now(UTC) - ago).timestamp() * 1000)
    texts = [it if isinstance(it, str) else json.dumps(it) for it in lines]
    logs.put_log_events(
        logGroupName=group,
        logStreamName="stream",
        logEvents=[{"timestamp": at, "message": it} for it in texts],
    )


def test_the_last_error_of_a_function_is_found(world: World) -> None:
    log(
        "START RequestId: 1",
        {"level": "INFO", "message": "Sent"},
        {"level": "ERROR", "message": "Not stored", "reason": "Throttled"},
    )

    (trouble,) = world.troubles()

    assert "SendMessageFunction logged an error" in trouble["what"]
    assert "Not stored (Throttled)" in trouble["what"]


def test_an_error_of_yesterday_is_no_trouble(world: World) -> None:
    log({"level": "ERROR", "message": "Not stored"}, ago=timedelta(days=1))

    assert world.troubles() == []


def test_what_may_not_be_looked_at_is_told_apart_from_what_is_wrong(world: World) -> None:
    denied = ScriptedApi()
    error = {"__type": "AccessDeniedException", "message": "ada may not do it"}
    denied.will("POST /", said(400, error))
    with HttpServer(port=0, answer=denied) as server:
        for service in ("SECRETS_MANAGER", "DYNAMODB"):
            world.environment[f"AWS_ENDPOINT_URL_{service}"] = server.url

        troubles = world.troubles()
        ran = world.examine()

    assert [(it["check"], it["state"]) for it in troubles] == [
        ("secret", "unknown"),
        ("stream", "unknown"),
    ]
    assert "ada may not do it" in ran.out
    assert "2 not checked" in ran.out
