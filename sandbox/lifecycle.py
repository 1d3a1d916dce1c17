"""Starts all components of the sandbox, and stops them in reverse order.

emulator    AWS: MiniStack, which runs the functions in worker processes
simulator   Twilio
gateway     the APIs' public endpoints, on a port that is known before the deploy
mailbox     the inbox of the email subscribers of failure notices
stack       the real template.yaml, built and deployed by the real SAM CLI
schedule    EventBridge Scheduler, at an interval of seconds
dashboard   a page with the widget, numbers and graphs of the CloudWatch dashboard
"""

import fcntl
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from sandbox.aws.account import STACK_NAME, AwsAccount, Stack
from sandbox.aws.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator
from sandbox.aws.event_sources import convert_concurrency
from sandbox.aws.gateway import MESSAGES_API_PREFIX, Gateway
from sandbox.aws.mailbox import Email, Mailbox
from sandbox.aws.permissions import allow_batch_sends, restrict_topic
from sandbox.aws.readiness import wait_until_ready
from sandbox.aws.routes import create_routes, find_routes
from sandbox.aws.sam import BUCKET, Sam
from sandbox.aws.schedule import Schedule, read_scheduled_runs
from sandbox.aws.time_scale import PARAMETERS, VISIBILITY_TIMEOUTS
from sandbox.console import step
from sandbox.dashboard.page import DashboardPage, read_measures
from sandbox.endpoints import FOLDER, PROJECT, Endpoints, EndpointsFile
from sandbox.errors import SandboxError
from sandbox.http_server import choose_ports
from sandbox.polling import TimedOut
from sandbox.temporary_folder import temporary_folder
from sandbox.twilio.accounts import DEFAULT_ACCOUNT_SID, DEFAULT_AUTH_TOKEN
from sandbox.twilio.accounts import Account as TwilioAccount
from sandbox.twilio.server import SimulatorServer

FAILURE_EMAIL: Final = "on-call@example.com"
ALARM_EMAIL: Final = "operators@example.com"
REPORT_DIMENSIONS: Final = "campaign"

_SECRET_NAME: Final = "delivery/twilio"  # noqa: S105 -- the secret's name, not its value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of a sandbox; a port that is None is chosen by the system."""

    gateway_port: int | None = None
    aws_port: int | None = None
    twilio_port: int | None = None
    dashboard_port: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Stack parameters that override those of the sandbox."""
    endpoints_file: EndpointsFile | None = None
    """The file that other programs read; None writes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """The components of a running sandbox."""

    endpoints: Endpoints
    stack: Stack
    account: AwsAccount
    emulator: Emulator
    simulator: SimulatorServer
    gateway: Gateway
    schedule: Schedule


@contextmanager
def running_sandbox(
    console: Console, settings: Settings, *, on_email: Callable[[Email], None]
) -> Iterator[Sandbox]:
    """Run a sandbox until the context ends; every component is ready when it begins.

    Args:
        console: shows each step with its duration.
        settings: the options.
        on_email: called with each email to a subscriber, in a thread of the mailbox.

    Raises:
        SandboxError: the sandbox cannot start. Nothing is left running.
    """
    gateway_port, aws_port, twilio_port, dashboard_port = choose_ports(
        {
            "--gateway-port": settings.gateway_port,
            "--aws-port": settings.aws_port,
            "--twilio-port": settings.twilio_port,
            "--dashboard-port": settings.dashboard_port,
        }
    )
    with ExitStack() as resources:
        start = resources.enter_context
        if settings.endpoints_file:
            start(settings.endpoints_file.locked())
        folder = start(temporary_folder())
        mailbox = start(Mailbox(upstream_port=aws_port, on_email=on_email))
        emulator = start(Emulator(port=aws_port, folder=folder, mailbox_url=mailbox.url))
        twilio_account = TwilioAccount(sid=DEFAULT_ACCOUNT_SID, auth_token=DEFAULT_AUTH_TOKEN)
        simulator = start(SimulatorServer([twilio_account], port=twilio_port))
        gateway = start(Gateway(port=gateway_port, upstream_port=aws_port))
        account = AwsAccount(emulator.url)
        parameters = {**_parameters(simulator, gateway), **settings.parameters}
        stack = _build_and_deploy(console, folder, emulator, account, parameters)
        template = account.processed_template()
        with step(console, "Waiting until every function responds"):
            _complete_deployment(account, stack, template)
            gateway.open(
                callback_host=stack.host("CallbackApi"), messages_host=stack.host("MessagesApi")
            )
            page = start(_dashboard(dashboard_port, account, stack))
            endpoints = _endpoints(account, stack, simulator, gateway, page)
            _wait_until_ready(endpoints, stack, account, emulator)
        schedules = stack.ids_of_type("AWS::Scheduler::Schedule", template)
        schedule = start(_running_schedule(console, schedules, account))
        if settings.endpoints_file:
            settings.endpoints_file.write(endpoints)
        yield Sandbox(
            endpoints=endpoints,
            stack=stack,
            account=account,
            emulator=emulator,
            simulator=simulator,
            gateway=gateway,
            schedule=schedule,
        )


def _build_and_deploy(
    console: Console,
    folder: Path,
    emulator: Emulator,
    account: AwsAccount,
    parameters: Mapping[str, str],
) -> Stack:
    FOLDER.mkdir(exist_ok=True)
    sam = Sam(
        project=PROJECT, cache=FOLDER, folder=folder, aws_environment=emulator.client_environment
    )
    with (FOLDER / "build.lock").open("w") as lock:
        # Sandboxes share the build folder: one builds, and several may deploy at the same time.
        fcntl.flock(lock, fcntl.LOCK_SH)
        with step(console, "Building the functions and the layer (sam build)"):
            if not sam.is_built:
                fcntl.flock(lock, fcntl.LOCK_EX)
                sam.build(parameters)
                fcntl.flock(lock, fcntl.LOCK_SH)
        with step(console, "Starting the emulated AWS (MiniStack)"):
            emulator.wait_until_ready()
            account.create_bucket(BUCKET)
            account.create_secret(
                parameters["TwilioSecretName"],
                {"account_sid": DEFAULT_ACCOUNT_SID, "auth_token": DEFAULT_AUTH_TOKEN},
            )
        with step(console, "Deploying the stack (sam deploy)"):
            sam.deploy(stack_name=STACK_NAME, parameters=parameters)
            return account.describe_stack()


def _parameters(simulator: SimulatorServer, gateway: Gateway) -> dict[str, str]:
    return {
        "Architecture": _architecture(),
        "TwilioSecretName": _SECRET_NAME,
        "TwilioApiBaseUrl": simulator.url,
        "PublicBaseUrl": gateway.url,
        "FailureEmail": FAILURE_EMAIL,
        "AlarmEmail": ALARM_EMAIL,
        "ArchiveOutcomes": "true",
        "ReportDimensions": REPORT_DIMENSIONS,
        **PARAMETERS,
    }


def _architecture() -> str:
    """Return Lambda's name of this machine's architecture, on which the functions run."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def _complete_deployment(account: AwsAccount, stack: Stack, template: Mapping[str, Any]) -> None:
    """Create or correct what the emulator's deploy leaves out, and shorten the queues' times."""
    routes = find_routes(template)
    if not routes:
        raise SandboxError("The deployed template has no routes.")
    create_routes(account.apis, routes, resources=stack.resources)
    restrict_topic(account.topics, stack.outputs["FailureTopicArn"])
    allow_batch_sends(account.roles, stack.ids_of_type("AWS::IAM::Role", template))
    mappings = stack.ids_of_type("AWS::Lambda::EventSourceMapping", template)
    convert_concurrency(account.functions, mappings)
    for queue, seconds in VISIBILITY_TIMEOUTS.items():
        account.set_visibility_timeout(stack.resources[queue], seconds)


def _dashboard(port: int, account: AwsAccount, stack: Stack) -> DashboardPage:
    return DashboardPage(
        port=port,
        functions=account.functions,
        function_arn=stack.alias_arn("DashboardWidgetFunction"),
        read_measures=partial(read_measures, account, stack),
    )


def _wait_until_ready(
    endpoints: Endpoints, stack: Stack, account: AwsAccount, emulator: Emulator
) -> None:
    try:
        wait_until_ready(endpoints, stack, account)
    except TimedOut as error:
        raise SandboxError(f"{error}\nLog of the emulated AWS: {emulator.log}") from error


@contextmanager
def _running_schedule(
    console: Console, schedules: Sequence[str], account: AwsAccount
) -> Iterator[Schedule]:
    """Run the schedule; print each failure when it first occurs, and all with counts at the end."""

    def print_failure(failure: str) -> None:
        console.print(f"A scheduled run failed. {failure}", style="red")

    runs = read_scheduled_runs(account.schedules, schedules)
    schedule = Schedule(account.functions, runs, on_failure=print_failure)
    try:
        with schedule:
            yield schedule
    finally:
        if schedule.failures:
            console.print(schedule.summary, style="red")


def _endpoints(
    account: AwsAccount,
    stack: Stack,
    simulator: SimulatorServer,
    gateway: Gateway,
    page: DashboardPage,
) -> Endpoints:
    topic_arn = stack.outputs["FailureTopicArn"]
    return Endpoints(
        aws_endpoint_url=account.url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region=REGION,
        stack_name=STACK_NAME,
        status_callback_url=stack.outputs["StatusCallbackUrl"],
        messages_api_url=f"{gateway.url}{MESSAGES_API_PREFIX}",
        twilio_api_base_url=simulator.url,
        twilio_account_sid=DEFAULT_ACCOUNT_SID,
        twilio_auth_token=DEFAULT_AUTH_TOKEN,
        messages_table=stack.outputs["MessagesTableName"],
        send_queue_url=stack.outputs["SendQueueUrl"],
        failure_topic_arn=topic_arn,
        notices_queue_url=account.subscribe_queue(topic_arn, "notices"),
        dashboard_url=f"{page.url}/",
    )
