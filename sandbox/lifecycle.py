"""The running sandbox: everything started in its order, and ended in the reverse one.

emulator    AWS: MiniStack, with the functions in its workers
simulator   Twilio
gateway     API Gateway's public endpoints, on a port known before the deploy
mailbox     the email inbox of whoever subscribed to failure notices
stack       the real template.yaml, built and deployed by the real SAM CLI
schedule    EventBridge Scheduler's part, every other second
dashboard   CloudWatch's part: a page with the widget, numbers and graphs
"""

import fcntl
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, Self

from rich.console import Console

from sandbox.aws.account import STACK_NAME, AwsAccount, Stack
from sandbox.aws.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator
from sandbox.aws.gateway import MESSAGES_API_PREFIX, Gateway
from sandbox.aws.mailbox import Email, Mailbox
from sandbox.aws.permissions import allow_batches, close_topic
from sandbox.aws.readiness import wait_until_all_answer
from sandbox.aws.routes import create_routes, routes_of
from sandbox.aws.sam import BUCKET, Sam
from sandbox.aws.schedule import Schedule, ScheduledRun, scheduled_runs
from sandbox.aws.time_scale import PARAMETERS, QUEUES_REDELIVER_AFTER
from sandbox.console import step
from sandbox.dashboard.page import DashboardPage, read_measures
from sandbox.endpoints import Endpoints, EndpointsFile
from sandbox.errors import SandboxError
from sandbox.http_server import choose_ports
from sandbox.polling import TimedOut
from sandbox.twilio.accounts import Account as TwilioAccount
from sandbox.twilio.server import SimulatorServer

PROJECT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = PROJECT / ".sandbox"

TWILIO_ACCOUNT_SID: Final = "AC" + "0" * 32
TWILIO_AUTH_TOKEN: Final = "sandbox-auth-token"  # noqa: S105 -- opens nothing but the simulator
FAILURE_EMAIL: Final = "on-call@example.com"
ALARM_EMAIL: Final = "operators@example.com"

_SECRET_NAME: Final = "delivery/twilio"  # noqa: S105 -- its name, not its value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What can be chosen; a port that is None is a free one."""

    gateway_port: int | None = None
    aws_port: int | None = None
    twilio_port: int | None = None
    dashboard_port: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Of the stack, beside those that the sandbox sets."""
    endpoints_file: EndpointsFile | None = None
    """Where outside programs read the endpoints, if they are to be told at all."""

    def without_endpoints_file(self) -> Self:
        """The same, but no outside program is told."""
        return replace(self, endpoints_file=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A running sandbox."""

    endpoints: Endpoints
    stack: Stack
    account: AwsAccount
    emulator: Emulator
    simulator: SimulatorServer
    gateway: Gateway
    schedule: Schedule


@contextmanager
def running_sandbox(
    console: Console, settings: Settings, *, emailed: Callable[[Email], None]
) -> Iterator[Sandbox]:
    """A sandbox in which everything answers, until the context ends.

    Args:
        console: shows each step and its time.
        settings: what was chosen.
        emailed: told of each failure notice as a subscriber gets it, in some thread.

    Raises:
        SandboxError: it cannot start; nothing is left running.
    """
    ports = _claimed(settings)
    with ExitStack() as ending:
        if settings.endpoints_file:
            ending.enter_context(settings.endpoints_file.held())
        around = ending.enter_context(_surroundings(ports, emailed))
        stack = _deploy(console, around, settings.parameters)
        template = around.account.template()
        with step(console, "Waiting until everything answers"):
            _complete(around.account, stack, template)
            around.gateway.open(
                callback_host=stack.host("CallbackApi"), messages_host=stack.host("MessagesApi")
            )
            page = ending.enter_context(_dashboard(ports.dashboard, around.account, stack))
            endpoints = _endpoints(around, stack, page)
            _wait_until_all_answer(endpoints, stack, around)
        runs = scheduled_runs(template, stack.resources)
        schedule = ending.enter_context(_running_schedule(console, runs, stack, around.account))
        if settings.endpoints_file:
            settings.endpoints_file.write(endpoints)
        yield Sandbox(
            endpoints=endpoints,
            stack=stack,
            account=around.account,
            emulator=around.emulator,
            simulator=around.simulator,
            gateway=around.gateway,
            schedule=schedule,
        )


@dataclass(frozen=True, slots=True)
class _Ports:
    gateway: int
    aws: int
    twilio: int
    dashboard: int


def _claimed(settings: Settings) -> _Ports:
    wanted = {
        "--gateway-port": settings.gateway_port,
        "--aws-port": settings.aws_port,
        "--twilio-port": settings.twilio_port,
        "--dashboard-port": settings.dashboard_port,
    }
    return _Ports(*choose_ports(wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """All that the stack is deployed into."""

    folder: Path
    account: AwsAccount
    emulator: Emulator
    simulator: SimulatorServer
    gateway: Gateway


@contextmanager
def _surroundings(ports: _Ports, emailed: Callable[[Email], None]) -> Iterator[_Surroundings]:
    twilio_account = TwilioAccount(sid=TWILIO_ACCOUNT_SID, auth_token=TWILIO_AUTH_TOKEN)
    with (
        _private_folder() as folder,
        Mailbox(upstream_port=ports.aws, arrived=emailed) as mailbox,
        Emulator(port=ports.aws, folder=folder, mailbox_url=mailbox.url) as emulator,
        SimulatorServer([twilio_account], port=ports.twilio) as simulator,
        Gateway(port=ports.gateway, upstream_port=ports.aws) as gateway,
    ):
        yield _Surroundings(
            folder=folder,
            account=AwsAccount(emulator.url),
            emulator=emulator,
            simulator=simulator,
            gateway=gateway,
        )


def _complete(account: AwsAccount, stack: Stack, template: Mapping[str, Any]) -> None:
    """Make up for what the emulator leaves out of a deploy, and set its queues to seconds."""
    routes = routes_of(template)
    if not routes:
        raise SandboxError("The deployed template has no routes.")
    create_routes(
        account.apis,
        routes,
        api_ids=stack.resources,
        function_arns={
            route.function: account.function_arn(stack.resources[route.function])
            for route in routes
        },
    )
    close_topic(account.topics, stack.outputs["FailureTopicArn"])
    allow_batches(account.roles, stack.of_type("AWS::IAM::Role", template))
    for queue, seconds in QUEUES_REDELIVER_AFTER.items():
        account.set_redelivery(stack.resources[queue], seconds)


def _dashboard(port: int, account: AwsAccount, stack: Stack) -> DashboardPage:
    return DashboardPage(
        port=port,
        functions=account.functions,
        function_arn=account.function_arn(stack.resources["DashboardWidgetFunction"]),
        read_measures=partial(read_measures, account, stack),
    )


def _wait_until_all_answer(endpoints: Endpoints, stack: Stack, around: _Surroundings) -> None:
    try:
        wait_until_all_answer(endpoints, stack, around.account)
    except TimedOut as error:
        raise SandboxError(
            f"{error}\nThe log of the emulated AWS: {around.emulator.log}"
        ) from error


@contextmanager
def _running_schedule(
    console: Console, runs: Sequence[ScheduledRun], stack: Stack, account: AwsAccount
) -> Iterator[Schedule]:
    """The schedule; what fails is told when it first happens, and counted at the end."""

    def tell(what: str) -> None:
        console.print(f"A scheduled run failed. {what}", style="red")

    schedule = Schedule(account.functions, runs, names=stack.resources, failed=tell)
    try:
        with schedule:
            yield schedule
    finally:
        if schedule.failures:
            console.print(schedule.summary, style="red")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for one run; of a run that failed the logs stay, because the error names them."""
    folder = Path(mkdtemp(prefix="delivery-sandbox-"))
    try:
        yield folder
    except SandboxError:
        for inner in folder.iterdir():
            if inner.is_dir():
                shutil.rmtree(inner, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _deploy(console: Console, around: _Surroundings, chosen: Mapping[str, str]) -> Stack:
    """Build and deploy the real template, with these of its parameters chosen."""
    FOLDER.mkdir(exist_ok=True)
    parameters = {**_parameters(around), **chosen}
    account, emulator = around.account, around.emulator
    sam = Sam(
        project=PROJECT,
        cache=FOLDER,
        folder=around.folder,
        aws_environment=emulator.client_environment,
    )
    with (FOLDER / "build.lock").open("w") as lock:
        # Sandboxes share what is built, one at a time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with step(console, "Building the functions and the layer (sam build)"):
            sam.build(parameters)
        with step(console, "Starting the emulated AWS (MiniStack)"):
            emulator.wait_until_ready()
            account.create_bucket(BUCKET)
            account.create_secret(
                _SECRET_NAME, {"account_sid": TWILIO_ACCOUNT_SID, "auth_token": TWILIO_AUTH_TOKEN}
            )
        with step(console, "Deploying the stack (sam deploy)"):
            sam.deploy(stack_name=STACK_NAME, parameters=parameters)
            return account.stack()


def _parameters(around: _Surroundings) -> dict[str, str]:
    return {
        "Architecture": _architecture(),
        "TwilioSecretName": _SECRET_NAME,
        "TwilioApiBaseUrl": around.simulator.url,
        "PublicBaseUrl": around.gateway.url,
        "FailureEmail": FAILURE_EMAIL,
        "AlarmEmail": ALARM_EMAIL,
        **PARAMETERS,
    }


def _architecture() -> str:
    """Lambda's name for this machine, because the functions run on it."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def _endpoints(around: _Surroundings, stack: Stack, page: DashboardPage) -> Endpoints:
    topic_arn = stack.outputs["FailureTopicArn"]
    return Endpoints(
        aws_endpoint_url=around.account.url,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        region=REGION,
        stack_name=STACK_NAME,
        status_callback_url=stack.outputs["StatusCallbackUrl"],
        messages_api_url=f"{around.gateway.url}{MESSAGES_API_PREFIX}",
        twilio_api_base_url=around.simulator.url,
        twilio_account_sid=TWILIO_ACCOUNT_SID,
        twilio_auth_token=TWILIO_AUTH_TOKEN,
        messages_table=stack.outputs["MessagesTableName"],
        send_queue_url=stack.outputs["SendQueueUrl"],
        failure_topic_arn=topic_arn,
        notices_queue_url=around.account.subscribe_queue(topic_arn, "notices"),
        dashboard_url=f"{page.url}/",
    )
