"""`delivery doctor`: reports each problem with its fix, and no problem of a healthy stack."""

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
from boto3.session import Session
from botocore.client import BaseClient
from moto import mock_aws
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from sandbox.http_server import HttpServer, Request, Response, forward
from sandbox.twilio.accounts import Account
from sandbox.twilio.simulator import TwilioSimulator
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN
from tests.support.cloudformation import create_table
from tests.support.command_line import (
    REGION,
    CommandResult,
    Json,
    ScriptedApi,
    StackDescription,
    reply,
    run,
    signed_in,
)
from tests.support.scripted_twilio import Reply, ScriptedTwilio, rejected
from tests.support.shared_clients import shared_client as client

FUNCTIONS = ("SendMessageFunction", "NotifyFailureFunction")
QUEUES = ("SendQueue", "SendDeadLetterQueue", "SendInvocationFailuresQueue")
UNUSED_REQUEST = "/api/requests/rq_" + "0" * 32
EMPTY_LIST = Reply(status=200, body=b'{"messages": [], "next_page_uri": null}')
API_KEY = {"api_key_sid": "SK" + "0" * 32, "api_key_secret": "the-key-s-own-secret"}
SECRET = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
SUBACCOUNT_SID = "AC" + "1" * 32
AUDIT = "AuditMessagesFunctionAudit"
SECRETS = (AUTH_TOKEN, API_KEY["api_key_secret"])
PROBLEM_JSON = [("Content-Type", "application/problem+json")]
FORBIDDEN = Response(
    status=403, headers=PROBLEM_JSON, body=b'{"title": "Forbidden", "detail": "Unsigned."}'
)


@dataclass
class WebhooksApi:
    """Answers calls of Twilio's webhooks API, and passes all others on."""

    others: int
    """The port of the rest of Twilio."""
    answer: Response | None = None
    """Replaces the simulator's answer."""
    simulator: TwilioSimulator = field(
        default_factory=lambda: TwilioSimulator(
            [Account(sid=ACCOUNT_SID, auth_token=AUTH_TOKEN)], ids=random.SystemRandom()
        )
    )

    def __call__(self, request: Request) -> Response | None:
        if not request.path.startswith("/v1/Webhooks/"):
            return forward(request, port=self.others, timeout=5)
        return self.answer or self.simulator.handle(request, datetime.now(UTC))


@dataclass
class DoctorRig:
    """A healthy stack in moto, its two scripted APIs and a scripted Twilio."""

    stack: StackDescription
    api: ScriptedApi
    callbacks: ScriptedApi
    twilio: ScriptedTwilio
    webhooks: WebhooksApi
    environment: dict[str, str] = field(default_factory=dict)
    concurrency_quota: int = 1000
    log_pages: list[Json] = field(default_factory=list)
    """Answers to FilterLogEvents; the last one is repeated. Without any, moto answers."""

    def physical_id(self, logical_id: str) -> str:
        return self.stack.resources[logical_id][1]

    def put_secret(self, content: Json) -> None:
        client("secretsmanager").put_secret_value(
            SecretId="delivery/twilio",
            SecretString=content if isinstance(content, str) else json.dumps(content),
        )

    def doctor(self, *arguments: str, **options: Any) -> CommandResult:
        with (
            mock.patch("botocore.client.BaseClient._make_api_call", self._make_api_call()),
            mock.patch("boto3.session.Session.client", _client_of_session),
        ):
            return run("doctor", *arguments, environment=self.environment, **options)

    def _make_api_call(self) -> Callable[..., Json]:
        """Return botocore's call of an operation, with what moto lacks."""
        make_api_call: Callable[..., Json] = vars(BaseClient)["_make_api_call"]

        def make(client: BaseClient, operation: str, parameters: Json) -> Json:
            if operation == "GetAccountSettings":
                return {"AccountLimit": {"ConcurrentExecutions": self.concurrency_quota}}
            if operation == "FilterLogEvents" and self.log_pages:
                page, *rest = self.log_pages
                self.log_pages = rest or [page]
                return page
            return make_api_call(client, operation, parameters)

        return make

    def problems(self) -> list[Json]:
        """Run the doctor, check its exit code, and return the findings that are not ok."""
        ran = self.doctor("--json")
        problems = [it for it in ran.json["findings"] if it["state"] not in {"ok", "advice"}]
        assert ran.code == (1 if problems else 0)
        assert ran.json["ok"] is not bool(problems)
        assert all(it["fix"] for it in problems)
        assert not [word for word in SECRETS if word in ran.out + ran.err]
        return problems

    def advice(self) -> list[Json]:
        """Run the doctor on a stack without problems, and return its advice."""
        ran = self.doctor("--json")
        assert ran.code == 0
        assert ran.json["ok"] is True
        return [it for it in ran.json["findings"] if it["state"] == "advice"]


type Break = Callable[[DoctorRig], object]
"""Breaks something in the healthy stack."""

_new_client: Any = Session.client


def _client_of_session(session: Session, service: str, **options: Any) -> Any:
    """A client that is shared with other tests, unless this test has an endpoint of its own."""
    if f"AWS_ENDPOINT_URL_{service.replace('manager', '_manager').upper()}" in os.environ:
        return _new_client(session, service, **options)
    return client(service)


@pytest.fixture
def rig() -> Iterator[DoctorRig]:
    with ExitStack() as stack:
        stack.enter_context(mock_aws(config={"lambda": {"use_docker": False}}))
        api, callbacks = ScriptedApi(), ScriptedApi()
        callbacks.respond("POST /twilio/status", FORBIDDEN)
        api_url, callback_url = (
            stack.enter_context(HttpServer(port=0, answer=it)).url for it in (api, callbacks)
        )
        twilio = stack.enter_context(ScriptedTwilio(EMPTY_LIST))
        webhooks = WebhooksApi(others=urlsplit(twilio.url).port or 0)
        twilio_url = stack.enter_context(HttpServer(port=0, answer=webhooks)).url
        deployed = _deploy(api_url, callback_url, twilio_url)
        environment = stack.enter_context(signed_in(deployed))
        yield DoctorRig(
            stack=deployed,
            api=api,
            callbacks=callbacks,
            twilio=twilio,
            webhooks=webhooks,
            environment=environment | {"AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled"},
        )


def _deploy(api_url: str, callback_url: str, twilio_url: str) -> StackDescription:
    """Create every resource that the doctor checks, as the template defines it."""
    resources: dict[str, tuple[str, str]] = {}
    dynamodb = client("dynamodb")
    table = create_table(dynamodb, "MessagesTable")
    resources["MessagesTable"] = ("AWS::DynamoDB::Table", table)
    dynamodb.update_table(TableName=table, DeletionProtectionEnabled=True)
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
        version = functions.publish_version(FunctionName=name)["Version"]
        functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
        resources[name] = ("AWS::Lambda::Function", name)
        logs.create_log_group(logGroupName=f"{name}Logs")
        logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
    mapping = functions.create_event_source_mapping(
        EventSourceArn=stream,
        FunctionName="NotifyFailureFunction:live",
        StartingPosition="TRIM_HORIZON",
    )
    resources["NoticeDue"] = ("AWS::Lambda::EventSourceMapping", mapping["UUID"])
    client("scheduler").create_schedule(
        Name="Sweep",
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:lambda:us-east-1:123456789012:function:x", "RoleArn": role},
    )
    resources["Sweep"] = ("AWS::Scheduler::Schedule", "Sweep")
    client("secretsmanager").create_secret(Name="delivery/twilio", SecretString=json.dumps(SECRET))
    return StackDescription(
        outputs={
            "StatusCallbackUrl": f"{callback_url}/twilio/status",
            "MessagesApiUrl": f"{api_url}/api",
            "MessagesTableName": table,
            "SendQueueUrl": resources["SendQueue"][1],
            "SendMessageFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:x:live",
            "FailureTopicArn": topic,
            "AlarmTopicArn": topic,
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


# --- a healthy stack -----------------------------------------------------------------------------


def test_a_healthy_stack_has_no_problems(rig: DoctorRig) -> None:
    ran = rig.doctor()

    assert ran.code == 0, ran.out
    assert {line.split()[0] for line in ran.out.splitlines()[:-2]} == {"ok"}
    assert rig.problems() == []


def test_each_credential_requests_one_message_from_twilio(rig: DoctorRig) -> None:
    rig.put_secret(SECRET | API_KEY)

    assert rig.problems() == []

    assert {it.method for it in rig.twilio.requests} == {"GET"}
    assert {it.path.partition("?")[2] for it in rig.twilio.requests} == {"PageSize=1"}
    assert len(rig.twilio.requests) == 2  # the token, which signs, and the key, which sends


# --- each problem --------------------------------------------------------------------------------


def deployed_as(status: str) -> Break:
    return lambda rig: setattr(rig.stack, "status", status)


def rename_secret(rig: DoctorRig) -> None:
    rig.stack.parameters["TwilioSecretName"] = "delivery/twillio"


def deny_api(rig: DoctorRig) -> None:
    rig.api.respond(f"GET {UNUSED_REQUEST}", reply(403, {"message": "Forbidden"}))


def put_in(queue: str) -> Break:
    return lambda rig: client("sqs").send_message(QueueUrl=rig.physical_id(queue), MessageBody="x")


def answer_callbacks(answer: Response | None) -> Break:
    return lambda rig: rig.callbacks.respond("POST /twilio/status", answer)


def reject(*before: Reply, **secret: Json) -> Break:
    """Let Twilio reject a credential of the secret: the one after those that it accepts."""

    def break_(rig: DoctorRig) -> None:
        rig.put_secret(SECRET | secret)
        rig.twilio.will(*before, rejected(401, 20003))

    return break_


def allow(quota: int, concurrency: int) -> Break:
    def break_(rig: DoctorRig) -> None:
        rig.concurrency_quota = quota
        rig.stack.parameters["SendConcurrency"] = str(concurrency)

    return break_


def disable_stream(_rig: DoctorRig) -> None:
    client("dynamodb").update_table(
        TableName="MessagesTable", StreamSpecification={"StreamEnabled": False}
    )


def remove_reader(rig: DoctorRig) -> None:
    client("lambda").delete_event_source_mapping(UUID=rig.physical_id("NoticeDue"))
    del rig.stack.resources["NoticeDue"]


def disable_reader(rig: DoctorRig) -> None:
    uuid = rig.physical_id("NoticeDue")
    client("lambda").update_event_source_mapping(UUID=uuid, Enabled=False)


def disable_schedule(logical_id: str) -> Break:
    def break_(rig: DoctorRig) -> None:
        schedules = client("scheduler")
        schedule = schedules.get_schedule(Name="Sweep")
        names = ("ScheduleExpression", "FlexibleTimeWindow", "Target")
        settings = {name: schedule[name] for name in names}
        schedules.create_schedule(Name="disabled", **settings, State="DISABLED")
        rig.stack.resources[logical_id] = ("AWS::Scheduler::Schedule", "disabled")

    return break_


def unsubscribe(_rig: DoctorRig) -> None:
    topics = client("sns")
    for subscription in topics.list_subscriptions()["Subscriptions"]:
        topics.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])


def unconfirm(_rig: DoctorRig) -> None:
    topics = get_backend("sns")[DEFAULT_ACCOUNT_ID][REGION]
    for subscription in topics.subscriptions.values():
        subscription.arn = "PendingConfirmation"  # moto confirms each one at once


def fire_alarm(rig: DoctorRig) -> None:
    client("cloudwatch").set_alarm_state(
        AlarmName=rig.physical_id("CanaryAlarm"), StateValue="ALARM", StateReason="No canary"
    )


def log(*lines: Json, ago: timedelta = timedelta(minutes=5)) -> Break:
    def break_(_rig: DoctorRig) -> None:
        logs, where = client("logs"), {"logGroupName": "/aws/lambda/SendMessageFunction"}
        where["logStreamName"] = "stream"
        logs.create_log_stream(**where)
        at = int((datetime.now(UTC) - ago).timestamp() * 1000)
        texts = [it if isinstance(it, str) else json.dumps(it) for it in lines]
        logs.put_log_events(**where, logEvents=[{"timestamp": at, "message": it} for it in texts])

    return break_


def change_function(_rig: DoctorRig) -> None:
    client("lambda").update_function_configuration(
        FunctionName="SendMessageFunction", Environment={"Variables": {"NAME": "new"}}
    )


WITH_SUBACCOUNT = {"subaccounts": {SUBACCOUNT_SID: {"auth_token": "another"}}}
A_LINE = {"level": "INFO", "message": "Sent"}
NOT_STORED = {"level": "ERROR", "message": "Not stored", "reason": "odd"}


@pytest.mark.parametrize(
    ("break_", "check", "facts"),
    [
        (deployed_as("UPDATE_ROLLBACK_COMPLETE"), "stack", ["UPDATE_ROLLBACK_COMPLETE"]),
        (deployed_as("CREATE_IN_PROGRESS"), "stack", ["CREATE_IN_PROGRESS"]),
        (lambda rig: rig.stack.outputs.pop("DashboardUrl"), "stack", ["DashboardUrl"]),
        (rename_secret, "secret", ["delivery/twillio"]),
        (lambda rig: rig.put_secret("not JSON"), "secret", ["not JSON"]),
        (lambda rig: rig.put_secret({"account_sid": ACCOUNT_SID}), "secret", ["auth_token"]),
        (reject(), "credentials", [f"auth token of {ACCOUNT_SID}", "403"]),
        (reject(EMPTY_LIST, **API_KEY), "credentials", [API_KEY["api_key_sid"]]),
        (reject(EMPTY_LIST, **WITH_SUBACCOUNT), "credentials", [SUBACCOUNT_SID]),
        (deny_api, "api", ["execute-api:Invoke"]),
        (answer_callbacks(None), "callback", ["no connection"]),
        (answer_callbacks(Response(status=204)), "callback", ["204"]),
        (answer_callbacks(Response(status=301)), "callback", ["301"]),
        (answer_callbacks(reply(404, {"message": "Not Found"})), "callback", ["404"]),
        (answer_callbacks(reply(503, {"message": "Busy"})), "callback", ["503"]),
        (answer_callbacks(reply(403, {})), "callback", ["not from this stack"]),
        (disable_stream, "stream", ["MessagesTable"]),
        (remove_reader, "stream", ["NotifyFailureFunction"]),
        (disable_reader, "sources", ["NoticeDue is Disabled", "--uuid"]),
        (disable_schedule("Sweep"), "schedules", ["Sweep is DISABLED"]),
        (disable_schedule(AUDIT), "schedules", [f"{AUDIT} is DISABLED"]),
        (unsubscribe, "topics", ["FailureTopic"]),
        (unconfirm, "topics", ["on-call@example.com"]),
        (fire_alarm, "alarms", ["CanaryAlarm", "No canary", "docs/operations.md"]),
        (put_in("SendDeadLetterQueue"), "queues", ["DeadLetterQueue: 1", "delivery redrive send"]),
        (put_in("SendInvocationFailuresQueue"), "queues", ["SendInvocationFailuresQueue: 1"]),
        (allow(10, concurrency=6), "concurrency", ["10", "SendConcurrency"]),
        (allow(50, concurrency=1000), "concurrency", ["50", "SendConcurrency"]),
        (log("START", A_LINE, NOT_STORED), "functions", ["SendMessage", "Not stored (odd)"]),
        (change_function, "functions", ["runs version 1", "Environment", "update-alias"]),
    ],
    ids=lambda it: ", ".join(it) if isinstance(it, list) else None,
)
def test_a_problem_is_found(rig: DoctorRig, break_: Break, check: str, facts: list[str]) -> None:
    break_(rig)

    (problem,) = rig.problems()

    assert (problem["check"], problem["state"]) == (check, "wrong")
    assert all(fact in problem["what"] + problem["fix"] for fact in facts)
    assert ("delivery redrive" in problem["fix"]) is ("delivery redrive send" in facts)


def test_what_is_normal_is_no_problem(rig: DoctorRig) -> None:
    put_in("SendQueue")(rig)
    log(NOT_STORED, ago=timedelta(days=1))(rig)
    disable_schedule(AUDIT)(rig)
    rig.stack.parameters["AuditMode"] = "off"

    assert rig.problems() == []


def test_a_missing_stack_is_the_only_finding(rig: DoctorRig) -> None:
    ran = rig.doctor("--stack-name", "nowhere", "--json")

    (finding,) = ran.json["findings"]
    assert (ran.code, finding["check"], finding["state"]) == (1, "stack", "wrong")
    assert "delivery" in finding["fix"]


def test_a_twilio_that_does_not_answer_is_unknown_not_wrong(rig: DoctorRig) -> None:
    rig.stack.parameters["TwilioApiBaseUrl"] = "http://127.0.0.1:9"

    problems = rig.problems()

    assert [(it["check"], it["state"]) for it in problems] == [
        ("credentials", "unknown"),
        ("webhooks", "unknown"),
    ]


def test_without_the_beta_of_webhook_rules_the_check_is_unknown_and_no_failure(
    rig: DoctorRig,
) -> None:
    rig.webhooks.answer = reply(404, {"code": 20404})

    ran = rig.doctor("--json")

    (finding,) = [it for it in ran.json["findings"] if it["state"] != "ok"]
    assert (finding["check"], finding["state"]) == ("webhooks", "unknown")
    assert "404" in finding["what"]
    assert (ran.code, ran.json["ok"]) == (0, True)


def test_deletion_protection_is_advised(rig: DoctorRig) -> None:
    client("dynamodb").update_table(TableName="MessagesTable", DeletionProtectionEnabled=False)

    (advice,) = rig.advice()

    assert advice["check"] == "tables"
    assert "MessagesTable" in advice["what"]
    assert "TableDeletionProtection=true" in advice["fix"]


def test_the_quota_of_a_new_account_is_enough_but_an_increase_is_advised(rig: DoctorRig) -> None:
    rig.concurrency_quota = 10

    (advice,) = rig.advice()

    assert advice["check"] == "concurrency"
    assert "10" in advice["what"]
    assert "L-B99A9384" in advice["fix"]
    assert "No problems found." in rig.doctor().out


def test_an_error_after_empty_pages_of_the_log_is_found(rig: DoctorRig) -> None:
    empty = [{"events": [], "nextToken": str(number)} for number in range(5)]
    event = {"message": json.dumps(NOT_STORED), "timestamp": datetime.now(UTC).timestamp() * 1000}
    rig.log_pages = [*empty, {"events": [event]}]

    problems = rig.problems()

    assert len(problems) == len(FUNCTIONS)
    assert all("Not stored" in it["what"] for it in problems)


def test_a_log_that_is_too_large_to_search_is_unknown(rig: DoctorRig) -> None:
    rig.log_pages = [{"events": [], "nextToken": str(number)} for number in range(1000)]

    problems = rig.problems()

    assert {(it["check"], it["state"]) for it in problems} == {("functions", "unknown")}
    assert len(rig.log_pages) > 900
    assert "aws logs tail" in problems[0]["fix"]


def test_a_check_without_permission_is_unknown_not_wrong(rig: DoctorRig) -> None:
    denied = ScriptedApi()
    error = {"__type": "AccessDeniedException", "message": "ada lacks a permission"}
    denied.respond("POST /", reply(400, error))
    with HttpServer(port=0, answer=denied) as server:
        for service in ("SECRETS_MANAGER", "DYNAMODB"):
            rig.environment[f"AWS_ENDPOINT_URL_{service}"] = server.url

        problems = rig.problems()
        ran = rig.doctor()

    assert [(it["check"], it["state"]) for it in problems] == [
        ("secret", "unknown"),
        ("tables", "unknown"),
        ("stream", "unknown"),
    ]
    assert "ada lacks a permission" in ran.out
    assert "3 not checked" in ran.out.splitlines()[-1]
