"""The AWS account of one run: fakes of everything that the template declares, and their clients."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.config import Config

from simulation.calls import Calls, Client, Operate, Response, Watcher
from simulation.deployment import functions, parameter, queue_url, resources
from simulation.engine import Engine
from simulation.fakes.dynamodb import Change, Clock, DynamoDb, Table
from simulation.fakes.events import EventBridge
from simulation.fakes.firehose import Firehose
from simulation.fakes.notifications import SecretsManager, Sns
from simulation.fakes.queues import Queue, Sqs
from simulation.faults import TransportFault
from simulation.twilio import ACCOUNT_SID, AUTH_TOKEN

PAGE_SIZE: Final = 3
"""The number of items on a page of DynamoDB: small, so that there are several pages."""


def empty_tables(clock: Clock = lambda: 0.0, *, lag: Clock = lambda: 0.0) -> dict[str, Table]:
    """Return every table that the template declares; by default no time passes in them."""
    return {
        name: Table(name, properties, clock=clock, lag=lag)
        for name, properties in resources("AWS::DynamoDB::Table").items()
    }


class Account:
    """The tables, queues, topic, bus and archive of a run.

    `immediate`: indexes do not lag, and transactions take no time.
    `max_transaction`: the seconds for which a transaction may block other writes of its items.
    """

    def __init__(
        self,
        draws: random.Random,
        *,
        calls: Calls,
        engine: Engine,
        ids: Callable[[], str],
        immediate: bool,
        max_transaction: float,
    ) -> None:
        self.watchers: list[Watcher] = []
        self.dropped: defaultdict[str, list[Change]] = defaultdict(list)
        """The stream records that Lambda dropped, by function."""
        self.secret: dict[str, Any] = {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}
        """The content of the Twilio secret; an operator may change it."""
        self._calls = calls
        self._engine = engine
        self._ids = ids
        clock = engine.loop.clock
        max_lag = draws.choice((0.0, 0.5, 20.0)) * (not immediate)
        self.tables = empty_tables(clock, lag=lambda: draws.uniform(0, max_lag))
        self.queues = self._make_queues()
        self.topic = Sns(clock)
        self.bus = EventBridge(
            parameter("OutcomeEventBusName"),
            lambda: engine.faults.occurs(TransportFault.PARTIAL, "events"),
        )
        self.archive = Firehose(
            functions()["publish_outcomes"].environment["ARCHIVE_STREAM_NAME"],
            lambda: engine.faults.occurs(TransportFault.PARTIAL, "firehose"),
        )
        max_work = max_transaction * (not immediate)
        self._operations = self._make_operations(lambda: draws.uniform(0, max_work))

    def client(self, service: str, config: Config | None) -> Client:
        """Return a client of an AWS service, as boto3 would make it."""
        return Client(
            service,
            self._operations[service],
            config,
            calls=self._calls,
            engine=self._engine,
            watch=self._watch,
            token=self._ids,
        )

    def _make_queues(self) -> dict[str, Queue]:
        """Return the template's queues by URL."""
        declared = resources("AWS::SQS::Queue")
        queues: dict[str, Queue] = {}
        # Those without a redrive policy first: they may be dead-letter queues of the others.
        for name in sorted(declared, key=lambda name: "RedrivePolicy" in declared[name]):
            properties = declared[name]
            redrive = properties.get("RedrivePolicy")
            dead = redrive and queues[queue_url(redrive["deadLetterTargetArn"]["Fn::GetAtt"][0])]
            queues[queue_url(name)] = Queue(
                queue_url(name),
                visibility=properties.get("VisibilityTimeout", 30),
                max_receives=redrive and redrive["maxReceiveCount"],
                dead_letters=dead or None,
                clock=self._engine.loop.clock,
                ids=self._ids,
            )
        return queues

    def _make_operations(self, work: Callable[[], float]) -> Mapping[str, Operate]:
        clock = self._engine.loop.clock
        dynamodb = DynamoDb(self.tables, page_size=PAGE_SIZE, clock=clock, work=work)
        sqs = Sqs(self.queues)
        secrets = SecretsManager(parameter("TwilioSecretName"), self.secret)
        return {
            "dynamodb": lambda operation, arguments, _: dynamodb.perform(operation, arguments),
            "sqs": lambda operation, arguments, _: sqs.perform(operation, arguments),
            "sns": self.topic.perform,
            "secretsmanager": lambda operation, arguments, _: secrets.perform(operation, arguments),
            "events": lambda operation, arguments, _: self.bus.perform(operation, arguments),
            "firehose": lambda operation, arguments, _: self.archive.perform(operation, arguments),
        }

    def _watch(
        self,
        service: str,
        operation: str,
        arguments: Mapping[str, Any],
        response: Response,
    ) -> None:
        for watcher in tuple(self.watchers):  # one may remove itself
            watcher(service, operation, arguments, response)
