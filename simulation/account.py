"""The AWS account of one life: what the template declares, made of fakes, and clients of it."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.config import Config

from simulation.calls import Calls, Client, Operate, Watcher
from simulation.deployment import parameter, queue_url, resources
from simulation.fakes.dynamodb import Change, Clock, DynamoDb, Table
from simulation.fakes.events import EventBridge
from simulation.fakes.notifications import SecretsManager, Sns
from simulation.fakes.queues import Queue, Sqs
from simulation.faults import Faults, Mishap
from simulation.twilio_side import ACCOUNT_SID, AUTH_TOKEN
from simulation.virtual_time import Loop

PAGE_SIZE: Final = 3
"""The items that DynamoDB reads at once: few, so that there are several pages."""
_LONGEST_TRANSACTION: Final = 0.05


def empty_tables(clock: Clock = lambda: 0.0, *, lag: Clock = lambda: 0.0) -> dict[str, Table]:
    """The template's tables; unless told otherwise, no time passes in them."""
    return {
        name: Table(name, properties, clock=clock, lag=lag)
        for name, properties in resources("AWS::DynamoDB::Table").items()
    }


class Account:
    """Every table, queue, topic and bus, as it is at the moment.

    `at_once`: neither is an index behind its table, nor does a transaction take time.
    """

    def __init__(
        self,
        draws: random.Random,
        *,
        calls: Calls,
        loop: Loop,
        faults: Faults,
        ids: Callable[[], str],
        at_once: bool,
    ) -> None:
        self.watchers: list[Watcher] = []
        self.given_up: defaultdict[str, list[Change]] = defaultdict(list)
        """What Lambda gave up of a stream, by the function that it was for."""
        self._calls = calls
        self._loop = loop
        self._faults = faults
        self._ids = ids
        longest_lag = draws.choice((0.0, 0.5, 20.0)) * (not at_once)
        self.tables = empty_tables(self._clock, lag=lambda: draws.uniform(0, longest_lag))
        self.queues = self._make_queues()
        self.topic = Sns(self._clock)
        self.bus = EventBridge(
            parameter("OutcomeEventBusName"),
            lambda: faults.happens(Mishap.IN_PART, "events", loop.seconds),
        )
        longest = _LONGEST_TRANSACTION * (not at_once)
        self._operations = self._make_operations(lambda: draws.uniform(0, longest))

    def client(self, service: str, config: Config | None) -> Client:
        """A client of one of AWS's services, as boto3 would make it."""
        return Client(
            service,
            self._operations[service],
            config,
            calls=self._calls,
            loop=self._loop,
            faults=self._faults,
            watch=self._watch,
            token=self._ids,
        )

    def _make_queues(self) -> dict[str, Queue]:
        """By URL."""
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
                ids=self._ids,
            )
        return queues

    def _make_operations(self, work: Callable[[], float]) -> Mapping[str, Operate]:
        dynamodb = DynamoDb(self.tables, page_size=PAGE_SIZE, clock=self._clock, work=work)
        sqs = Sqs(self.queues)
        twilio_secret = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
        secrets = SecretsManager(parameter("TwilioSecretName"), twilio_secret)
        return {
            "dynamodb": lambda operation, given, _: dynamodb.perform(operation, given),
            "sqs": lambda operation, given, _: sqs.perform(operation, given),
            "sns": self.topic.perform,
            "secretsmanager": lambda operation, given, _: secrets.perform(operation, given),
            "events": lambda operation, given, _: self.bus.perform(operation, given),
        }

    def _clock(self) -> float:
        return self._loop.seconds

    def _watch(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        answer: Mapping[str, Any] | Exception,
    ) -> None:
        for watcher in self.watchers:
            watcher(service, operation, arguments, answer)
