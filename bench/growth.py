"""What grows with what, and which quota is met first on the way to a billion messages a month."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.benchmark import Benchmark, Known, Results, Run, Table
from bench.cost import (
    Assumed,
    Figures,
    Workload,
    callback_time,
    memory_of,
    ours,
    prices_in,
    send_time,
)
from delivery.domain.messages import NOTICE_DUE_KEYS, PENDING_KEYS
from simulation.deployment import parameter, resources

_SECONDS_OF_A_MONTH: Final = 30 * 24 * 60 * 60
_MS: Final = 1000
_MILLION: Final = 1_000_000
_BILLION: Final = 1_000_000_000
_LOAD: Final = Workload()
_ASSUMED: Final = Assumed()
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A limit, and how much of it one message a second uses."""

    name: str
    most: float
    used: float
    grows_with: str
    then: str
    """What to do before it is met."""

    @property
    def met_at(self) -> float:
        """The messages of a month whose busiest minutes meet it."""
        return self.most / self.used / _ASSUMED.peak * _SECONDS_OF_A_MONTH


def quotas(known: Known) -> Sequence[Quota]:
    """Every quota that grows with messages, the one that is met first before the others.

    Defaults of new accounts in us-east-1. Sources:
    https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
    https://docs.aws.amazon.com/general/latest/gr/sns.html
    """
    figures = Figures.of(known)
    callback_s = callback_time(figures, _ASSUMED, memory_of("status_callback")) / _MS
    send_s = send_time(figures, _ASSUMED, memory_of("send_message")) / _MS
    delivered, failed = known["life"].values()
    table_units = sum(
        write["table_units"] for write in delivered["writes"] if write["table"] == "MessagesTable"
    )
    watch = _index_units(delivered, "by_list") / len(PENDING_KEYS)
    due = _LOAD.failed * _index_units(failed, "by_notice_due") / len(NOTICE_DUE_KEYS)
    found = [
        Quota(
            name="requests of CallbackApi a second (CallbackRateLimit)",
            most=float(parameter("CallbackRateLimit")),
            used=_LOAD.callbacks,
            grows_with="callbacks",
            then="raise the parameter; until then Twilio gets 429 and comes again",
        ),
        Quota(
            name="sends from SendQueue a second (MaximumConcurrency)",
            most=_queue_concurrency() / send_s,
            used=1,
            grows_with="messages sent through the queue",
            then="raise MaximumConcurrency; until then messages wait in the queue",
        ),
        Quota(
            name="requests of all APIs of an account a second",
            most=10_000,
            used=1 + _LOAD.callbacks,
            grows_with="messages, callbacks",
            then="ask AWS for more",
        ),
        Quota(
            name="functions of an account at once",
            most=1_000,
            used=send_s + _LOAD.callbacks * callback_s,
            grows_with="messages, callbacks",
            then="ask AWS for more",
        ),
        Quota(
            name="write units of a table a second",
            most=40_000,
            used=table_units,
            grows_with="messages, callbacks",
            then="ask AWS for more; warm the table up before a campaign",
        ),
        Quota(
            name="write units of one key of by_list a second",
            most=1_000,
            used=watch,
            grows_with="messages",
            then="more keys than 16: a change of the code",
        ),
        Quota(
            name="write units of one key of by_notice_due a second",
            most=1_000,
            used=due,
            grows_with="failures",
            then="more keys than 16: a change of the code",
        ),
        Quota(
            name="notices of SNS a second",
            most=30_000,
            used=_LOAD.failed,
            grows_with="failures of different kinds",
            then="ask AWS for more; one kind of failure is one episode, however many fail",
        ),
    ]
    return sorted(found, key=lambda quota: quota.met_at)


def _index_units(life: Results, index: str) -> int:
    return sum(write["index_units"].get(index, 0) for write in life["writes"])


def _queue_concurrency() -> int:
    events = resources("AWS::Serverless::Function")["SendMessageFunction"]["Events"]
    return int(events["SendFromQueue"]["Properties"]["ScalingConfig"]["MaximumConcurrency"])


def measure(run: Run) -> Results:
    """Nothing is measured here: all of it follows from the other results."""
    figures, prices = Figures.of(run.known), prices_in(REGION)

    def dollars(**changed: Any) -> float:
        return sum(ours(Workload(**changed), figures, prices).values())

    base = dollars()
    nothing = dollars(messages=0)
    return {
        "quotas": [
            {
                "name": it.name,
                "most": it.most,
                "grows_with": it.grows_with,
                "met_at": it.met_at,
                "then": it.then,
            }
            for it in quotas(run.known)
        ],
        "dollars": {
            "fixed": round(nothing, 2),
            "million_messages": round(base - nothing, 2),
            "million_more_callbacks": round(dollars(callbacks=_LOAD.callbacks + 1) - base, 2),
            "hundred_thousand_failures": round(dollars(failed=_LOAD.failed + 0.1) - base, 2),
            "hundred_thousand_quiet": round(dollars(quiet=_LOAD.quiet + 0.1) - base, 2),
            "billion_messages": round(dollars(messages=_BILLION), 2),
        },
    }


def tables(known: Known) -> Sequence[Table]:
    """What one more of each costs, and the quotas in the order in which they are met."""
    found = known[GROWTH.name]
    names = {
        "fixed": "nothing is sent: metrics, alarms, schedules, idle queues",
        "million_messages": "a million messages",
        "million_more_callbacks": "one more callback for each of a million messages",
        "hundred_thousand_failures": "100,000 failures, each of its own kind",
        "hundred_thousand_quiet": "100,000 quiet messages, asked about once",
        "billion_messages": "a month of a billion messages, without discounts for volume",
    }
    costs = [(name, f"${found['dollars'][key]:,.2f}") for key, name in names.items()]
    met = [
        (
            quota["name"],
            quota["grows_with"],
            quota["then"],
            f"{quota['most']:,.0f}",
            _in_millions(quota["met_at"]),
        )
        for quota in found["quotas"]
    ]
    return [
        Table(header=("what a month costs more with", "dollars"), rows=costs),
        Table(
            header=("quota", "grows with", "then", "most", "met at so many messages a month"),
            rows=met,
            words=3,
        ),
    ]


def _in_millions(messages: float) -> str:
    return f"{messages / _MILLION:,.0f} million"


GROWTH: Final = Benchmark(
    name="growth",
    title="What grows with what",
    question="What costs more with what, and which quota is met first? Reckoned from the others.",
    measure=measure,
    tables=tables,
)
