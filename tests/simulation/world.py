"""One run: everything that a seed draws, put together and run until nothing moves any more."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from unittest.mock import patch

from botocore.config import Config

from sandbox.simulator.settings import Settings
from tests.simulation.callers import SENDER, Callers
from tests.simulation.calls import Calls, Client, Operate, Watcher
from tests.simulation.deployment import functions, parameter, queue_url, resources
from tests.simulation.fakes.dynamodb import Change, DynamoDb, Table
from tests.simulation.fakes.events import EventBridge
from tests.simulation.fakes.notifications import SecretsManager, Sns
from tests.simulation.fakes.queues import Queue, Sqs
from tests.simulation.faults import Faults, Mishap, Weather, draw_weather
from tests.simulation.gateway import Gateway
from tests.simulation.lambda_service import Lambda
from tests.simulation.operator import Operator
from tests.simulation.pollers import QueuePoller, Schedule, StreamPoller
from tests.simulation.program import Program, unchanged_program
from tests.simulation.trace import Trace
from tests.simulation.twilio_side import ACCOUNT_SID, AUTH_TOKEN, Twilio, TwilioSession
from tests.simulation.virtual_time import Loop

START: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
PAGE_SIZE: Final = 3
"""The items that DynamoDB reads at once: few, so that there are several pages."""
_SLOW: Final = 1000.0
_SHARE_OF_CAMPAIGNS: Final = 0.3
_LONGEST_TRANSACTION: Final = 0.05
_STORMS: Final = 0.08
_ERASURES: Final = 0.1
_MORE_THAN_A_TRANSACTION_TAKES: Final = 110
_HOUR: Final = 3600.0


class World:
    """The system, its surroundings, and what goes wrong with them.

    `at_once`: neither is an index behind its table, nor does a transaction take time.
    `campaign`: so many messages are wanted, all through the queue.
    """

    def __init__(
        self,
        seed: int,
        program: Program | None = None,
        *,
        weather: Weather | None = None,
        at_once: bool = False,
        campaign: int | None = None,
    ) -> None:
        self.seed = seed
        draws = random.Random(seed)  # noqa: S311 -- repeatable, no secrets
        self._draws = draws
        # Of its own, so that what else a seed draws does not depend on it.
        paces = random.Random(f"pace of {seed}")  # noqa: S311 -- the same
        self.sends_per_second = paces.choice(("0", "0", "0.002", "0.02", "1"))
        in_campaign = paces.random() < _SHARE_OF_CAMPAIGNS
        self._campaign = campaign
        self.trace = Trace()
        self.loop = Loop(START)
        self.weather = weather or draw_weather(draws)
        self.faults = Faults(self.weather, draws)
        self.watchers: list[Watcher] = []
        self._calls = Calls(self.loop, self.faults, self.trace)
        self.tables = self._make_tables(lag=draws.choice((0.0, 0.5, 20.0)) * (not at_once))
        self.dynamodb = DynamoDb(
            self.tables,
            page_size=PAGE_SIZE,
            clock=self._clock,
            work=lambda: self._draws.uniform(0, _LONGEST_TRANSACTION * (not at_once)),
        )
        self.queues = self._make_queues()
        self.sqs = Sqs(self.queues)
        self.topic = Sns(self._clock)
        self.bus = EventBridge(
            parameter("OutcomeBusName"),
            lambda: self.faults.happens(Mishap.IN_PART, "events", self.loop.seconds),
        )
        self.given_up: defaultdict[str, list[Change]] = defaultdict(list)
        """What Lambda gave up of a stream, by the function that it was for."""
        secret = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
        self.secrets = SecretsManager(parameter("TwilioSecretName"), secret)
        self.lambda_service = Lambda(
            program or unchanged_program(),
            loop=self.loop,
            faults=self.faults,
            trace=self.trace,
            make_client=self._make_client,
            make_session=self._make_session,
            ids=self._id,
            parameters={"MAX_SENDS_PER_SECOND": self.sends_per_second},
        )
        around: dict[str, Any] = {
            "service": self.lambda_service,
            "loop": self.loop,
            "faults": self.faults,
        }
        gateway = Gateway(functions(), **around)
        self.twilio = Twilio(
            settings=_draw_settings(draws),
            gateway=gateway,
            calls=self._calls,
            loop=self.loop,
            faults=self.faults,
            trace=self.trace,
            draws=draws,
        )
        self._schedules = self._connect(around)
        self.operator = Operator(trace=self.trace, **around)
        self.callers = Callers(
            draws,
            function=functions()["send_message"],
            gateway=gateway,
            queue=self.queues[queue_url("SendQueue")],
            campaign=bool(campaign or (in_campaign and self.sends_per_second != "0")),
            trace=self.trace,
            **around,
        )

    def run(self) -> "World":
        """Let everything happen: first while things go wrong, then until nothing moves."""
        sending = self.weather.sending
        self.callers.start(self._campaign or self._draws.randint(2, 8), within=sending)
        for number in range(self._draws.choice((0, 0, 1))):
            to = self._draws.choice((f"+1555999{number:04d}", "+15555530003"))
            self.loop.at(self._draws.uniform(0, sending), partial(self._others_send, number, to))
        self._let_it_storm()
        if self._draws.random() < _ERASURES:
            address = self._draws.choice(self.callers.wishes).document["to"]
            if address.startswith("+"):
                self.operator.erase(address, at=self._draws.uniform(0, self.weather.calm_at))
        unconfirmed_after = float(parameter("UnconfirmedAfterHours")) * _HOUR
        rest = self.weather.calm_at + unconfirmed_after + 4 * _HOUR
        for schedule in self._schedules:
            schedule.start(until=rest)
        with patch("secrets.token_hex", lambda size=16: self._draws.randbytes(size).hex()):
            self.loop.run_until(rest + 2 * _HOUR)
        return self

    def _make_session(self) -> TwilioSession:
        return self.twilio.session()

    @property
    def disturbed(self) -> set[str]:
        """The invocations that met a fault or died."""
        return self._calls.disturbed | self.lambda_service.disturbed

    def summary(self) -> Counter[str]:
        """What the run consisted of."""
        return Counter(
            {
                "runs": 1,
                "messages": len(self.twilio.simulator.messages()),
                "requests": sum(wish.tries for wish in self.callers.wishes),
                "invocations": sum(self.lambda_service.invocations.values()),
                "callbacks": self.twilio.callbacks,
                "notices": len(self.topic.published),
                "events": len(self.bus.published),
            }
        )

    def _clock(self) -> float:
        return self.loop.seconds

    def _id(self) -> str:
        hexed = self._draws.randbytes(16).hex()
        return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"

    def _let_it_storm(self) -> None:
        """Now and then very many messages of another program fail within minutes, all alike."""
        if self._draws.random() >= _STORMS:
            return
        size = self._draws.choice((8, 12, 20, 40, _MORE_THAN_A_TRANSACTION_TAKES))
        to = self._draws.choice(("+15555530003", "+15555530007", "+15555521610", "+15555550110"))
        begins = self._draws.uniform(0, self.weather.sending)
        within = self._draws.choice((1.0, 60.0, 600.0, 3600.0))
        for number in range(size):
            at = begins + self._draws.uniform(0, within)
            self.loop.at(at, partial(self._others_send, number, to))

    def _others_send(self, number: int, to: str) -> None:
        url = functions()["send_message"].environment["STATUS_CALLBACK_URL"]
        self.twilio.create_for_others(
            {
                "To": to,
                "From": SENDER,
                "Body": f"From another program {number}",
                "StatusCallback": f"{url}?order={number}#rc=5&rp=all&rt=5000",
            }
        )

    def _make_tables(self, *, lag: float) -> dict[str, Table]:
        return {
            name: Table(
                name, properties, clock=self._clock, lag=lambda: self._draws.uniform(0, lag)
            )
            for name, properties in resources("AWS::DynamoDB::Table").items()
        }

    def _make_queues(self) -> dict[str, Queue]:
        declared = resources("AWS::SQS::Queue")
        queues: dict[str, Queue] = {}
        # Those without a dead-letter queue first: they may be somebody's.
        for name in sorted(declared, key=lambda name: "RedrivePolicy" in declared[name]):
            properties = declared[name]
            redrive = properties.get("RedrivePolicy")
            dead = redrive and queues[queue_url(redrive["deadLetterTargetArn"]["Fn::GetAtt"][0])]
            queues[queue_url(name)] = Queue(
                queue_url(name),
                visibility=properties.get("VisibilityTimeout", 30),
                most_receives=redrive and redrive["maxReceiveCount"],
                dead_letters=dead or None,
                clock=self._clock,
                ids=self._id,
            )
        return queues

    def _make_client(self, service: str, config: Config | None) -> Client:
        operations: Mapping[str, Operate] = {
            "dynamodb": lambda operation, given, _: self.dynamodb.perform(operation, given),
            "sqs": lambda operation, given, _: self.sqs.perform(operation, given),
            "sns": self.topic.perform,
            "secretsmanager": lambda operation, given, _: self.secrets.perform(operation, given),
            "events": lambda operation, given, _: self.bus.perform(operation, given),
        }
        return Client(
            service,
            operations[service],
            config,
            calls=self._calls,
            loop=self.loop,
            faults=self.faults,
            watch=self._watch,
            token=self._id,
        )

    def _watch(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        answer: Mapping[str, Any] | Exception,
    ) -> None:
        for watcher in self.watchers:
            watcher(service, operation, arguments, answer)

    def _connect(self, around: Mapping[str, Any]) -> list[Schedule]:
        """Let everything that the template names invoke its function; the schedules wait."""
        schedules = []
        for function in functions().values():
            for trigger in function.triggers:
                match trigger.kind:
                    case "SQS":
                        queue = self.queues[queue_url(trigger.source)]
                        QueuePoller(function, trigger, queue, **around)
                    case "DynamoDB":
                        table, shards = self.tables[trigger.source], self._draws.choice((1, 2, 4))
                        StreamPoller(
                            *(function, trigger, table, self.given_up[function.name]),
                            shards=shards,
                            **around,
                        )
                    case "ScheduleV2":
                        schedules.append(Schedule(function, trigger, **around))
        return schedules


def _draw_settings(draws: random.Random) -> Settings:
    """How fast stories go, and how far Twilio's list is behind."""
    pace = draws.choice((0.05, 1.0, 1.0, 30.0, 200.0, 1500.0))
    # What calls back late and is not in the list either is given up, and turns up after all.
    lags = (600.0, 3000.0, 3000.0) if pace > _SLOW else (0.0, 60.0, 600.0, 600.0, 3000.0)
    return Settings(
        pace=pace,
        list_lag=draws.choice(lags),
        sending=draws.random() < 0.2,
        trial=draws.random() < 0.1,
    )
