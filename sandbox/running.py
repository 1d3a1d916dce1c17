"""The running sandbox: everything started in its order, and ended in the reverse one.

emulator    AWS: MiniStack, with the functions in its workers
simulator   Twilio
gateway     API Gateway's public endpoints, on a port known before the deploy
mailbox     the email inbox of whoever subscribed to failure notices
stack       the real template.yaml, built and deployed by the real SAM CLI
schedule    EventBridge Scheduler's part, every other second
dashboard   CloudWatch's part: a page with the widget and some graphs
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
from typing import Final, Self

from sandbox.console import Console, Style
from sandbox.dashboard.page import DashboardPage, drawn
from sandbox.deployment import STACK_NAME, Account, Stack
from sandbox.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator
from sandbox.endpoints import Endpoints, EndpointsFile
from sandbox.errors import SandboxError
from sandbox.gateway import MESSAGES_API_PREFIX, Gateway
from sandbox.loopback import claim_ports
from sandbox.mailbox import Email, Mailbox
from sandbox.readiness import wait_until_all_answer
from sandbox.sam import BUCKET, Sam
from sandbox.schedule import Schedule, ScheduledRun, scheduled_runs
from sandbox.seconds import PARAMETERS, QUEUES_REDELIVER_AFTER
from sandbox.simulator.accounts import Account as TwilioAccount
from sandbox.simulator.server import SimulatorServer
from sandbox.waiting import WaitedInVain

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
    account: Account
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
    gateway_port, aws_port, twilio_port, dashboard_port = claim_ports(
        {
            "--gateway-port": settings.gateway_port,
            "--aws-port": settings.aws_port,
            "--twilio-port": settings.twilio_port,
            "--dashboard-port": settings.dashboard_port,
        }
    )
    with ExitStack() as ending:
        if settings.endpoints_file:
            ending.enter_context(settings.endpoints_file.held())
        folder = ending.enter_context(_private_folder())
        mailbox = ending.enter_context(Mailbox(upstream_port=aws_port, arrived=emailed))
        emulator = ending.enter_context(
            Emulator(port=aws_port, folder=folder, mailbox_url=mailbox.url)
        )
        simulator = ending.enter_context(
            SimulatorServer(
                [TwilioAccount(sid=TWILIO_ACCOUNT_SID, auth_token=TWILIO_AUTH_TOKEN)],
                port=twilio_port,
            )
        )
        gateway = ending.enter_context(Gateway(port=gateway_port, upstream_port=aws_port))
        account = Account(emulator.url)
        stack = _deploy(
            console,
            emulator=emulator,
            account=account,
            folder=folder,
            parameters={
                "Architecture": _architecture(),
                "TwilioSecretName": _SECRET_NAME,
                "TwilioApiBaseUrl": simulator.base_url,
                "PublicBaseUrl": gateway.url,
                "FailureEmail": FAILURE_EMAIL,
                "AlarmEmail": ALARM_EMAIL,
                **PARAMETERS,
                **settings.parameters,
            },
        )
        with console.step("Waiting until everything answers"):
            template = account.template()
            account.route(stack, template)
            for queue, seconds in QUEUES_REDELIVER_AFTER.items():
                account.set_redelivery(stack.resources[queue], seconds)
            account.close_topic(stack.outputs["FailureTopicArn"])
            account.allow_batches(stack, template)
            gateway.open(
                callback_host=stack.host("CallbackApi"), messages_host=stack.host("MessagesApi")
            )
            page = ending.enter_context(
                DashboardPage(
                    port=dashboard_port,
                    functions=account.functions,
                    function_arn=account.function_arn(stack.resources["DashboardWidgetFunction"]),
                    drawn=partial(drawn, account, stack),
                )
            )
            endpoints = _endpoints(simulator, gateway, account, stack, page)
            try:
                wait_until_all_answer(endpoints, stack, account)
            except WaitedInVain as error:
                raise SandboxError(
                    f"{error}\nThe log of the emulated AWS: {emulator.log}"
                ) from error
        schedule = ending.enter_context(
            _running_schedule(console, scheduled_runs(template, stack.resources), stack, account)
        )
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


@contextmanager
def _running_schedule(
    console: Console, runs: Sequence[ScheduledRun], stack: Stack, account: Account
) -> Iterator[Schedule]:
    """The schedule; what fails is told when it first happens, and counted at the end."""

    def tell(what: str) -> None:
        console.line(f"A scheduled run failed. {what}", Style.BAD)

    schedule = Schedule(account.functions, runs, names=stack.resources, failed=tell)
    try:
        with schedule:
            yield schedule
    finally:
        if schedule.failures:
            console.line(schedule.summary, Style.BAD)


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


def _deploy(
    console: Console,
    *,
    emulator: Emulator,
    account: Account,
    folder: Path,
    parameters: Mapping[str, str],
) -> Stack:
    FOLDER.mkdir(exist_ok=True)
    sam = Sam(
        project=PROJECT, cache=FOLDER, folder=folder, aws_environment=emulator.client_environment
    )
    with (FOLDER / "build.lock").open("w") as lock:
        # Sandboxes share what is built, one at a time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with console.step("Building the functions and the layer (sam build)"):
            sam.build(parameters)
        with console.step("Starting the emulated AWS (MiniStack)"):
            emulator.wait_until_ready()
            account.create_bucket(BUCKET)
            account.create_secret(
                _SECRET_NAME, {"account_sid": TWILIO_ACCOUNT_SID, "auth_token": TWILIO_AUTH_TOKEN}
            )
        with console.step("Deploying the stack (sam deploy)"):
            sam.deploy(stack_name=STACK_NAME, parameters=parameters)
            return account.stack()


def _architecture() -> str:
    """Lambda's name for this machine, because the functions run on it."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def _endpoints(
    simulator: SimulatorServer,
    gateway: Gateway,
    account: Account,
    stack: Stack,
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
        twilio_api_base_url=simulator.base_url,
        twilio_account_sid=TWILIO_ACCOUNT_SID,
        twilio_auth_token=TWILIO_AUTH_TOKEN,
        messages_table=stack.outputs["MessagesTableName"],
        send_queue_url=stack.outputs["SendQueueUrl"],
        failure_topic_arn=topic_arn,
        notices_queue_url=account.subscribe_queue(topic_arn, "notices"),
        dashboard_url=f"{page.url}/",
    )
