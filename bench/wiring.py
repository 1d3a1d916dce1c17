"""Parts of the functions that benchmarks run by themselves, built on stand-ins for their clients.

The only module of the benchmarks that knows how the functions are built.
"""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter

from delivery.domain.audits import AuditResult
from delivery.domain.messages import Timings
from delivery.storage.audits import AuditStore
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.twilio.client import TwilioClient
from delivery.twilio.credentials import TwilioSecret
from functions.audit_messages.auditor import AuditMode, Auditor
from functions.notify_failure.incident_store import IncidentStore
from functions.notify_failure.notice import Links
from functions.notify_failure.notifier import Limits, Notifier
from functions.notify_failure.policy import NoticePolicy
from functions.notify_failure.publisher import NoticePublisher
from functions.reconcile_messages.context import ReconcileContext
from functions.reconcile_messages.in_doubt import InDoubtResolver
from functions.reconcile_messages.reconcile import Reconciler
from functions.send_message.rate_limit_store import RateLimitStore
from functions.send_message.rate_limiter import SenderRateLimiter
from functions.send_message.send_queue import SendQueue
from tests.support.virtual_twilio import ACCOUNT_SID, AUTH_TOKEN

_TWILIO: Final = "http://twilio.invalid"
TIMINGS: Final = Timings()
SECRET: Final = TwilioSecret.parse(
    json.dumps({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN})
)


class _Secrets:
    """Stands in for the cached secret."""

    def current(self) -> TwilioSecret:
        return SECRET


class _Topic:
    """Stands in for SNS, and counts what is published."""

    def __init__(self) -> None:
        self.published = 0

    def publish(self, **_: Any) -> None:
        self.published += 1


def message_store(client: Any) -> MessageStore:
    """Return the store of the MessagesTable."""
    return MessageStore(client, "MessagesTable", TIMINGS)


def request_store(client: Any) -> SendRequestStore:
    """Return the store of the SendRequestsTable."""
    return SendRequestStore(client, "SendRequestsTable")


def notify(client: Any, message_sids: Sequence[str], *, now: datetime) -> None:
    """Publish the notices of failed messages, as NotifyFailureFunction does."""
    topic = _Topic()
    list(_notifier(client, topic, now).notify(message_sids, _limits(now)))
    assert topic.published == len(message_sids)


def sweep(client: Any, now: datetime) -> None:
    """Look for due notices and incidents, as each sweep of NotifyFailureFunction does."""
    due = list(message_store(client).notices_due(now))
    reports = list(_notifier(client, _Topic(), now).advance_incidents(_limits(now)))
    assert (due, reports) == ([], [])


def _notifier(client: Any, topic: Any, now: datetime) -> Notifier:
    policy = NoticePolicy(
        interval=timedelta(minutes=15), muted=frozenset(), shows_full_numbers=False
    )
    links = Links(messages_api_url="https://messages.invalid", dashboard_url="")
    return Notifier(
        messages=message_store(client),
        incidents=IncidentStore(client, "IncidentsTable", "MessagesTable"),
        publisher=NoticePublisher(topic, "arn", links=links, policy=policy),
        policy=policy,
        now=lambda: now,
    )


def _limits(now: datetime) -> Limits:
    return Limits(abandoned_before=now, time_left=lambda: 60)


def reconcile(client: Any, twilio: BaseAdapter, now: datetime) -> None:
    """Reconcile stale messages, as one run of ReconcileMessagesFunction does without a deadline."""
    with requests.Session() as session:
        context = _reconcile_context(client, session, now)
        session.mount(f"{_TWILIO}/", twilio)  # after the client, which mounts its own
        for _ in Reconciler(context).reconcile_stale_messages(SECRET, lambda: 1e9):
            pass


def reconcile_nothing(client: Any, now: datetime) -> None:
    """Run all tasks of ReconcileMessagesFunction on empty tables."""
    with requests.Session() as session:
        context = _reconcile_context(client, session, now)
        resolver = InDoubtResolver(
            context,
            request_store(client),
            timeout=timedelta(minutes=15),
            key_retention=timedelta(days=30),
        )
        tasks = (
            resolver.resolve_requests,
            Reconciler(context).reconcile_stale_messages,
            resolver.recheck_presumed_unsent,
        )
        assert [report for task in tasks for report in task(SECRET, lambda: 240)] == []


def _reconcile_context(client: Any, session: requests.Session, now: datetime) -> ReconcileContext:
    return ReconcileContext(
        twilio=TwilioClient(session, _TWILIO),
        messages=message_store(client),
        timings=TIMINGS,
        stores_body=False,
        now=lambda: now,
    )


def audit(client: Any, twilio: BaseAdapter, day: date, *, now: datetime) -> AuditResult:
    """Audit a day, as AuditMessagesFunction does without a deadline."""
    audits = AuditStore(client, "ControlTable")
    with requests.Session() as session:
        auditor = Auditor(
            twilio=TwilioClient(session, _TWILIO),
            messages=message_store(client),
            audits=audits,
            mode=AuditMode.TRACKED,
            retention=TIMINGS.retention,
            stores_body=False,
            now=lambda: now,
        )
        session.mount(f"{_TWILIO}/", twilio)  # after the client, which mounts its own
        for _ in auditor.audit_day(SECRET, day, lambda: 1e9):
            pass
    result = audits.result(ACCOUNT_SID, day)
    assert result is not None
    return result


def rate_limiter(
    client: Any,
    *,
    per_second: float,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    jitter: Callable[[], float],
) -> SenderRateLimiter:
    """Return the rate limiter of SendMessageFunction; `client` is both DynamoDB's and SQS's."""
    secrets: Any = _Secrets()
    return SenderRateLimiter(
        store=RateLimitStore(client, "ControlTable"),
        queue=SendQueue(client, "url"),
        secrets=secrets,
        per_second=per_second,
        now=now,
        sleep=sleep,
        jitter=jitter,
    )
