"""One run of the simulation: what a seed draws, put together and run to its end.

README.md says how a run is composed.
"""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final
from unittest.mock import patch

from sandbox.twilio.settings import Settings
from simulation.account import Account
from simulation.audit_phase import AuditPhase
from simulation.callers import Callers
from simulation.calls import Calls
from simulation.deployment import functions, parameter, queue_url
from simulation.engine import Engine
from simulation.event_sources import connect_event_sources
from simulation.existing_sender import ExistingSender
from simulation.faults import (
    FaultInjector,
    FaultProfile,
    draw_fault_profile,
    with_lost_sns_responses,
    without_callbacks,
)
from simulation.first_items import (
    RECONCILER_SECONDS,
    SLOWNESS,
    add_backlog,
    add_unreadable_items,
)
from simulation.gateway import Gateway
from simulation.lambda_service import LambdaService
from simulation.operator import Operator
from simulation.program import Program, unchanged_program
from simulation.trace import Trace
from simulation.twilio import SUBACCOUNT_SID, SUBACCOUNT_TOKEN, Twilio, TwilioSession
from simulation.virtual_time import EventLoop

_STARTS: Final = (
    datetime(2026, 11, 23, 12, tzinfo=UTC),
    datetime(2026, 11, 23, 12, tzinfo=UTC),
    datetime(2026, 11, 23, 23, 45, tzinfo=UTC),
)
"""Runs begin in the middle of a day, or send on two days."""
_AUDITED_BY_HAND_RATE: Final = 0.1
_SLOW_STEP: Final = 1000.0
_CAMPAIGN_RATE: Final = 0.3
_ERASURE_RATE: Final = 0.1
_SLOW_BURST_RATE: Final = 0.03
_ROLLBACK_RATE: Final = 0.1
_BACKLOG_RATE: Final = 0.03
_HISTORY_RATE: Final = 0.08
_SHORT_PAGE, _FULL_PAGE = 2, 1000
_SUBACCOUNT_RATE: Final = 0.2
_LEAVING_RATE: Final = 0.7
_HOUR: Final = 3600.0


class World:
    """The system, its surroundings, and the faults of one run.

    `profile`: replaces the profile that the seed draws.
    `immediate`: indexes do not lag, transactions take no time, and only requests change a table.
    `campaign`: the number of requests, all of them through the queue.
    """

    def __init__(
        self,
        seed: int,
        program: Program | None = None,
        *,
        profile: FaultProfile | None = None,
        immediate: bool = False,
        campaign: int | None = None,
    ) -> None:
        draws = random.Random(seed)  # noqa: S311 -- repeatable, no secrets
        self._draws = draws
        # Draws of their own, so that all other draws of a seed do not depend on them.
        self._rates = rates = random.Random(f"rates of {seed}")  # noqa: S311 -- the same
        self.segments_per_second = rates.choice(("0", "0", "0.002", "0.02", "1"))
        is_campaign = rates.random() < _CAMPAIGN_RATE and self.segments_per_second != "0"
        self._slow_burst = profile is None and rates.random() < _SLOW_BURST_RATE
        self._campaign = campaign
        self.is_rolled_back = profile is None and not immediate and rates.random() < _ROLLBACK_RATE
        self._backfills = random.Random(f"backfills of {seed}")  # noqa: S311 -- the same
        poll_interval = rates.choice((0.0, 1.0))
        max_transaction = rates.choice((0.001, 0.05))
        self.start = rates.choice(_STARTS)
        self.audit_mode = rates.choice(("tracked", "all", "off"))
        self._has_backlog = profile is None and not immediate and rates.random() < _BACKLOG_RATE
        self._history = random.Random(f"history of {seed}")  # noqa: S311 -- the same
        is_long = self._history.random() < _HISTORY_RATE
        self._has_history = profile is None and not immediate and is_long
        self.has_subaccount = rates.random() < _SUBACCOUNT_RATE
        self.subaccount_leaves = self.has_subaccount and rates.random() < _LEAVING_RATE

        self.profile = profile or draw_fault_profile(draws)
        if self._slow_burst:
            self.profile = with_lost_sns_responses(self.profile)
        if self._has_history:
            self.profile = without_callbacks(self.profile)
        self.loop = EventLoop(self.start)
        self.trace = Trace(self.start, self.loop.clock)
        self.faults = FaultInjector(self.profile, draws, self.loop.clock)
        engine = Engine(loop=self.loop, faults=self.faults, trace=self.trace)

        self._calls = Calls(engine)
        self.aws = Account(
            draws,
            calls=self._calls,
            engine=engine,
            ids=self._draw_id,
            immediate=immediate,
            max_transaction=max_transaction,
        )
        self.lambda_service = LambdaService(
            program or unchanged_program(),
            engine=engine,
            make_client=self.aws.client,
            make_session=self._make_session,
            ids=self._draw_id,
            variables={
                "SENDER_SEGMENTS_PER_SECOND": self.segments_per_second,
                "AUDIT_MODE": self.audit_mode,
            },
        )
        gateway = Gateway(functions().values(), service=self.lambda_service, engine=engine)
        settings = _draw_settings(draws, rates)
        if self._has_history:  # all of it is listed when a search reads the list
            settings = replace(settings, list_lag_seconds=0.0)
        self.twilio = Twilio(
            settings=settings,
            page_size=rates.choice((1, 2, 5, _FULL_PAGE)),
            search_page_size=_SHORT_PAGE if self._has_history else _FULL_PAGE,
            gateway=gateway,
            calls=self._calls,
            engine=engine,
            draws=draws,
        )
        self._schedules = connect_event_sources(
            self.aws,
            draws,
            service=self.lambda_service,
            engine=engine,
            poll_interval=poll_interval,
        )

        self.callers = Callers(
            draws,
            gateway=gateway,
            queue=self.aws.queues[queue_url("SendQueue")],
            failed_invocations=self.aws.queues[queue_url("SendInvocationFailuresQueue")],
            subaccount_sid=SUBACCOUNT_SID if self.has_subaccount else None,
            campaign=bool(campaign) or is_campaign,
            service=self.lambda_service,
            engine=engine,
        )
        self._existing_sender = ExistingSender(draws, twilio=self.twilio, engine=engine)
        self.operator = Operator(service=self.lambda_service, engine=engine)
        self.audits = AuditPhase(
            draws=rates,
            aws=self.aws,
            twilio=self.twilio,
            operator=self.operator,
            service=self.lambda_service,
            engine=engine,
            schedules=self._schedules,
            items_expire=not immediate,
        )

    def run(self) -> "World":
        """Run until nothing is left to be done, and all days are audited if any is."""
        window = self.profile.sending_window
        self.callers.start(self._campaign or self._draws.randint(2, 8), within=window)
        self._existing_sender.start(within=window, slow_burst=self._slow_burst)
        self._existing_sender.start_untracked(self._rates, within=window)
        if self._has_history:
            self._existing_sender.start_history(self._history, self.callers.requests)
        if self.has_subaccount:
            self._existing_sender.start_impostor(self._rates, self.callers.requests, within=window)
            self._change_secret()
        if self._draws.random() < _ERASURE_RATE:
            self._erase_a_recipient()
        if self._has_backlog:
            add_backlog(self.aws.tables, self.start)
            self.faults.slowness["reconcile_messages"] = SLOWNESS
            self.lambda_service.timeouts["reconcile_messages"] = RECONCILER_SECONDS
        if self.is_rolled_back:
            add_unreadable_items(self.aws.tables, self.start)
        # An audit corrects what another fault left: without audits, that stays to be seen.
        if self.audit_mode != "off" and self._rates.random() < _AUDITED_BY_HAND_RATE:
            self.audits.audit_by_hand(self.start.date(), at=self._rates.uniform(0, window))
        unconfirmed_after = float(parameter("UnconfirmedAfterHours")) * _HOUR
        end = self.profile.ends_at + unconfirmed_after + 4 * _HOUR
        for schedule in self._schedules:
            if self.audit_mode != "off" or schedule.function.name != "audit_messages":
                schedule.start(until=end)
        self._backfill_while_messages_change()
        with patch("secrets.token_bytes", self._draws.randbytes):  # which token_hex calls
            self.loop.run_until(end + 2 * _HOUR)
            if self.audit_mode != "off":
                self.audits.run(self.callers.requests)
                self.loop.run_until(self.loop.seconds + _HOUR)  # the stream shows what they wrote
                self._wait_for_outcomes()
            self._backfill_what_the_stream_lost()
        return self

    @property
    def disturbed(self) -> set[str]:
        """The names of the invocations that met a call fault, crashed or timed out."""
        return self._calls.faulted | self.lambda_service.killed

    def summary(self) -> Counter[str]:
        """Count what the run consisted of."""
        return Counter(
            {
                "runs": 1,
                "messages": len(self.twilio.simulator.messages()),
                "requests": sum(request.attempts for request in self.callers.requests),
                "invocations": sum(self.lambda_service.invocations.values()),
                "callbacks": self.twilio.callbacks,
                "notices": len(self.aws.topic.published),
                "events": len(self.aws.bus.published),
                "rows": len(self.aws.archive.rows),
                "backfills": self.operator.backfills,
            }
        )

    def _make_session(self) -> TwilioSession:
        return self.twilio.session()

    def _change_secret(self) -> None:
        """Put the subaccount into the secret; in some runs it is missing there for a while."""
        subaccounts = {SUBACCOUNT_SID: {"auth_token": SUBACCOUNT_TOKEN}}
        self.aws.secret["subaccounts"] = subaccounts
        if self.subaccount_leaves:
            ends_at = self.profile.ends_at
            leaves, returns = sorted(self._rates.uniform(0, ends_at) for _ in range(2))
            self.loop.at(leaves, lambda: self.aws.secret.pop("subaccounts", None))
            self.loop.at(returns, lambda: self.aws.secret.update(subaccounts=subaccounts))

    def _erase_a_recipient(self) -> None:
        address = self._draws.choice(self.callers.requests).document["to"]
        if address.startswith("+"):
            self.operator.erase(address, at=self._draws.uniform(0, self.profile.ends_at))

    def _wait_for_outcomes(self) -> None:
        """Go on until the messages that late callbacks stored are old enough to be unconfirmed."""
        pending = [
            max(item[name]["S"] for name in ("created_at", "send_at") if name in item)
            for item in self.aws.tables["MessagesTable"].items()
            if item.get("outcome") == {"S": "pending"}
        ]
        if not pending:
            return
        begins = self.loop.seconds_at(datetime.fromisoformat(max(pending)))
        overdue_at = begins + float(parameter("UnconfirmedAfterHours")) * _HOUR
        self.loop.run_until(overdue_at)
        for schedule in self._schedules:
            if schedule.function.name == "reconcile_messages":
                schedule.start(until=self.loop.seconds + 4 * _HOUR)
        self.loop.run_until(self.loop.seconds + 6 * _HOUR)

    def _backfill_while_messages_change(self) -> None:
        draws = self._backfills
        for _ in range(draws.choice((0, 1, 2))):
            self.operator.backfill(at=draws.uniform(0, self.profile.ends_at))

    def _backfill_what_the_stream_lost(self) -> None:
        if self.aws.dropped["publish_outcomes"]:
            self.operator.backfill(at=self.loop.seconds)
            self.loop.run_until(self.loop.seconds + _HOUR)

    def _draw_id(self) -> str:
        digits = self._draws.randbytes(16).hex()
        ends = (0, 8, 12, 16, 20, 32)
        return "-".join(digits[begin:end] for begin, end in pairwise(ends))


def _draw_settings(draws: random.Random, rates: random.Random) -> Settings:
    """Draw how fast scenarios go, how far Twilio's list lags, and when prices are known."""
    step_seconds = draws.choice((0.05, 1.0, 1.0, 30.0, 200.0, 1500.0))
    # With late callbacks and a long lag, requests are presumed unsent and were sent after all.
    slow = step_seconds > _SLOW_STEP
    lags = (600.0, 3000.0, 3000.0) if slow else (0.0, 60.0, 600.0, 600.0, 3000.0)
    return Settings(
        step_seconds=step_seconds,
        list_lag_seconds=draws.choice(lags),
        price_delay_seconds=rates.choice((2.0, 8 * _HOUR, 30 * _HOUR, 60 * _HOUR)),
        report_sending=draws.random() < 0.2,
        trial=draws.random() < 0.1,
    )
