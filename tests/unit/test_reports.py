"""The reports of the functions: alarms and log queries rely on their metrics, levels and fields."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.audits import AuditResult, AuditState
from delivery.domain.messages import Effect
from delivery.domain.notices import NoticeState
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.runtime.reports import Level, Report
from delivery.runtime.responses import Problem
from delivery.storage.messages import Recorded
from delivery.storage.table import ItemUnreadable
from delivery.twilio.client import CredentialsRefused, MessageResource, Unavailable
from functions.audit_messages import reports as audit
from functions.notify_failure import reports as notify
from functions.notify_failure.incident import Incident, IncidentKey
from functions.notify_failure.tally import Tally
from functions.reconcile_messages import reports as reconcile
from functions.send_message import reports as send
from functions.send_message.results import (
    Accepted,
    Batch,
    DuplicateRequest,
    IdempotencyConflict,
    Invalid,
    MessageNotFound,
    Queued,
    Rejected,
    ServiceUnavailable,
    Unresolved,
)
from tests.support.builders import ACCOUNT_SID, MESSAGE_SID, NOON, a_message, an_update

REQUEST_ID = "rq_" + "a" * 32
REFUSED = CredentialsRefused("refused")
UNAVAILABLE = Unavailable("unavailable")
REQUEST = SendRequest(
    request_id=REQUEST_ID,
    claim_id="1",
    account_sid=ACCOUNT_SID,
    reference="order-1",
    state=RequestState.IN_DOUBT,
    claimed_at=NOON,
    lease_until=NOON,
)
RESOURCE = MessageResource(sid=MESSAGE_SID, status="sent")
UPDATE = an_update("failed", request_id=REQUEST_ID, reference="order-1", error_code=30003)
FAILED = a_message(UPDATE)
RECORDED = Recorded(update=UPDATE, message=FAILED, effect=Effect.ADVANCED)
RESULT = AuditResult(
    account_sid=ACCOUNT_SID,
    day=NOON.date(),
    state=AuditState.FIRST,
    messages=9,
    known=8,
    corrected={"status": 2, "price": 3},
    corrected_messages=4,
    imported=5,
    differences={"lower_status": 1, "erased": 2},
    updated_at=NOON,
)
INCIDENT = Incident(
    account_sid=ACCOUNT_SID,
    cause="30003",
    incident_id="inc_1",
    opened_at=NOON,
    opened_by=MESSAGE_SID,
    counted=7,
    published=3,
    last_failure_at=NOON,
    next_at=NOON,
    since=NOON,
    tally=Tally(),
)
ACCOUNT = {"account_sid": ACCOUNT_SID}
DAY = {**ACCOUNT, "day": "2026-11-23"}
AUDITED = {"state": "first", "messages": 9, "known": 8, "corrected": 4, "differences": 3}
IDS = {"message_sid": MESSAGE_SID, "request_id": REQUEST_ID, "reference": "order-1"}
KEY = IncidentKey(account_sid=ACCOUNT_SID, cause="30003")


type Case = tuple[Callable[[], Report], dict[str, Any]]
"""A report, and the fields that it must have."""


def a_batch() -> Batch:
    problems = (
        Problem(field="to", problem="is missing"),
        Problem(field="body", problem="is empty"),
    )
    return Batch(
        results=(
            Queued(request_id=REQUEST_ID, key="1", confirmed=True),
            Queued(request_id=REQUEST_ID, key="2", confirmed=True),
            Queued(request_id=REQUEST_ID, key="3", confirmed=False),
            Invalid(problems=problems),
            Invalid(problems=problems[:1]),
            Invalid(problems=problems[:1]),
        ),
        reason="SQS did not confirm",
    )


def notice_of(state: NoticeState) -> Case:
    message = FAILED.with_notice(state, NOON + timedelta(minutes=1))
    fields = {
        "message_sids": [MESSAGE_SID],
        "notice_id": message.notice_id,
        "status": "failed",
        "error_code": 30003,
    }
    return lambda: notify.step_taken(message), fields


def unhandled(
    report: Callable[[], Report], reason: str | None, *, sids: tuple[str, ...] = ("SM1", "SM2")
) -> Case:
    reasons = {"reason": reason} if reason else {}
    return report, {"message_sids": list(sids), **reasons}


SEND = {"queue_message_id": "q"}


@pytest.mark.parametrize(
    ("metric", "level", "count", "build", "fields"),
    [
        # reconciliation
        (
            "MessageReconciled",
            Level.INFO,
            1,
            lambda: reconcile.reconciled(RECORDED),
            {
                "message_sid": MESSAGE_SID,
                "request_id": REQUEST_ID,
                "status": "failed",
                "effect": "advanced",
                "outcome": "failed",
                "error_code": 30003,
            },
        ),
        (
            "MessageReconciled",
            Level.INFO,
            1,
            lambda: reconcile.backfilled(REQUEST, RESOURCE),
            {"message_sid": MESSAGE_SID, "request_id": REQUEST_ID, "status": "sent"},
        ),
        (
            "MessageUnconfirmed",
            Level.WARNING,
            1,
            lambda: reconcile.unconfirmed(a_message("sent")),
            {"message_sid": MESSAGE_SID, "status": "sent"},
        ),
        (
            "InDoubtResolved",
            Level.INFO,
            1,
            lambda: reconcile.resolved(REQUEST, FAILED, evidence="match", recorded=RECORDED),
            {**IDS, "evidence": "match", "was": "in_doubt"},
        ),
        (
            "InDoubtPresumedUnsent",
            Level.WARNING,
            1,
            lambda: reconcile.presumed_unsent(REQUEST, RECORDED),
            {"request_id": REQUEST_ID, "reference": "order-1"},
        ),
        (
            "InDoubtAmbiguous",
            Level.ERROR,
            1,
            lambda: reconcile.ambiguous(REQUEST, [RESOURCE]),
            {
                "request_id": REQUEST_ID,
                "reference": "order-1",
                "message_sids": [MESSAGE_SID],
            },
        ),
        (
            "ReconcileError",
            Level.WARNING,
            1,
            lambda: reconcile.failed(UNAVAILABLE, request_ids=[REQUEST_ID]),
            {"request_ids": [REQUEST_ID], "reason": "unavailable"},
        ),
        ("ItemUnreadable", Level.ERROR, 1, lambda: reconcile.unreadable("SM1"), {"key": "SM1"}),
        (
            "WorkLeftOver",
            Level.WARNING,
            1,
            lambda: reconcile.work_left_over("stale"),
            {"task": "stale"},
        ),
        (
            "CredentialsRefused",
            Level.ERROR,
            1,
            lambda: reconcile.account_stopped(REFUSED, ACCOUNT_SID),
            {**ACCOUNT, "reason": "refused"},
        ),
        (
            "ReconcileInterrupted",
            Level.WARNING,
            1,
            lambda: reconcile.account_stopped(UNAVAILABLE, ACCOUNT_SID),
            {**ACCOUNT, "reason": "unavailable"},
        ),
        (
            "SecretInvalid",
            Level.ERROR,
            1,
            lambda: reconcile.secret_invalid(REFUSED),
            {"reason": "refused"},
        ),
        # audits
        (
            "AuditInterrupted",
            Level.WARNING,
            1,
            lambda: audit.interrupted(UNAVAILABLE, RESULT),
            {**DAY, **AUDITED, "reason": "unavailable"},
        ),
        (
            "AuditInterrupted",
            Level.WARNING,
            1,
            lambda: audit.interrupted(UNAVAILABLE),
            {"reason": "unavailable"},
        ),
        (
            "CredentialsRefused",
            Level.ERROR,
            1,
            lambda: audit.interrupted(REFUSED, RESULT),
            {**DAY, "reason": "refused"},
        ),
        (
            "CredentialsRefused",
            Level.ERROR,
            1,
            lambda: audit.credentials_refused(REFUSED),
            {"reason": "refused"},
        ),
        (
            "ItemUnreadable",
            Level.ERROR,
            1,
            lambda: audit.unreadable(ItemUnreadable("odd"), ACCOUNT_SID, NOON.date()),
            {**DAY, "reason": "odd"},
        ),
        # notices
        ("NoticePublished", Level.INFO, 1, *notice_of(NoticeState.PUBLISHED)),
        ("NoticeWithdrawn", Level.INFO, 1, *notice_of(NoticeState.WITHDRAWN)),
        ("RecoveryDue", Level.INFO, 1, *notice_of(NoticeState.RECOVERY_DUE)),
        ("RecoveryPublished", Level.INFO, 1, *notice_of(NoticeState.RECOVERED)),
        ("NoticeAlreadyHandled", Level.DEBUG, 1, lambda: notify.step_taken(None), {}),
        ("NoticeAlreadyHandled", Level.DEBUG, 3, lambda: notify.already_handled(3), {}),
        (
            "NoticeFailed",
            Level.ERROR,
            2,
            *unhandled(lambda: notify.failed(["SM1", "SM2"], "conflict"), "conflict"),
        ),
        (
            "NoticeFailed",
            Level.ERROR,
            1,
            *unhandled(lambda: notify.failed([], "odd"), "odd", sids=()),
        ),
        (
            "NoticeSkippedNoTime",
            Level.WARNING,
            2,
            *unhandled(lambda: notify.skipped(["SM1", "SM2"]), None),
        ),
        (
            "NoticeSweepInterrupted",
            Level.WARNING,
            1,
            lambda: notify.sweep_interrupted("odd"),
            {"reason": "odd"},
        ),
        (
            "ItemUnreadable",
            Level.ERROR,
            1,
            lambda: notify.unreadable("SM1", "odd", cause="30003"),
            {"key": "SM1", "reason": "odd", "cause": "30003"},
        ),
        (
            "NoticeMuted",
            Level.INFO,
            2,
            lambda: notify.counted(["SM1", "SM2"], metric="NoticeMuted", **notify.key_fields(KEY)),
            {"message_sids": ["SM1", "SM2"], **ACCOUNT, "cause": "30003"},
        ),
        (
            "IncidentOpened",
            Level.INFO,
            1,
            lambda: notify.of_incident(INCIDENT, metric="IncidentOpened", kind="summary"),
            {
                **ACCOUNT,
                "cause": "30003",
                "incident_id": "inc_1",
                "counted": 7,
                "published": 3,
                "kind": "summary",
            },
        ),
        # sending
        (
            "SendDeduplicated",
            Level.WARNING,
            1,
            lambda: send.of_send(
                DuplicateRequest(request_id=REQUEST_ID, message_sid=MESSAGE_SID, message=None),
                **SEND,
            )[0],
            {"request_id": REQUEST_ID, "message_sid": MESSAGE_SID, **SEND},
        ),
        (
            "SendInDoubt",
            Level.WARNING,
            1,
            lambda: send.of_send(
                Unresolved(request_id=REQUEST_ID, state=RequestState.IN_DOUBT, reason="no answer"),
                **SEND,
            )[0],
            {
                "request_id": REQUEST_ID,
                "state": "in_doubt",
                "reason": "no answer",
                **SEND,
            },
        ),
        (
            "SendDeduplicated",
            Level.WARNING,
            1,
            lambda: send.of_send(Unresolved(request_id=REQUEST_ID, state=RequestState.IN_PROGRESS))[
                0
            ],
            {"request_id": REQUEST_ID, "state": "in_progress", "reason": None},
        ),
        (
            "IdempotencyConflict",
            Level.WARNING,
            1,
            lambda: send.of_send(IdempotencyConflict(request_id=REQUEST_ID), **SEND)[0],
            {"used_by": REQUEST_ID, **SEND},
        ),
        (
            "RequestInvalid",
            Level.WARNING,
            1,
            lambda: send.of_send(
                Invalid(problems=(Problem(field="to", problem="is missing"),)), **SEND
            )[0],
            {"fields": ["to"], **SEND},
        ),
        (
            "SendRejected",
            Level.WARNING,
            1,
            lambda: send.of_send(Rejected(code=21211, request_id=REQUEST_ID), **SEND)[0],
            {"request_id": REQUEST_ID, "error_code": 21211, **SEND},
        ),
        (
            "SendUnavailable",
            Level.WARNING,
            1,
            lambda: send.of_send(ServiceUnavailable(reason="throttled"), **SEND)[0],
            {"reason": "throttled", **SEND},
        ),
        (
            "CredentialsRefused",
            Level.WARNING,
            1,
            lambda: send.of_send(
                ServiceUnavailable(reason="refused", credentials_refused=True), **SEND
            )[0],
            {"reason": "refused", **SEND},
        ),
        (
            "SendUnavailable",
            Level.WARNING,
            6,
            lambda: send.queue_batch_unavailable(6, "no table"),
            {"reason": "no table"},
        ),
        ("SendDeferred", Level.DEBUG, 1, lambda: send.deferred("q"), SEND),
        # canceling
        (
            "MessageCanceled",
            Level.INFO,
            1,
            lambda: send.of_cancel(Accepted(message=FAILED, stored=False), MESSAGE_SID),
            {"message_sid": MESSAGE_SID, "stored": False},
        ),
        (
            "MessageCanceled",
            Level.INFO,
            1,
            lambda: send.of_cancel(
                Accepted(message=FAILED, stored=False, queued=True), MESSAGE_SID
            ),
            {"message_sid": MESSAGE_SID, "stored": True},
        ),
        (
            "CancelRejected",
            Level.WARNING,
            1,
            lambda: send.of_cancel(Rejected(code=30409), MESSAGE_SID),
            {"message_sid": MESSAGE_SID, "error_code": 30409},
        ),
        (
            "CancelRejected",
            Level.WARNING,
            1,
            lambda: send.of_cancel(MessageNotFound(), "+15558675310"),
            {},
        ),
        (
            "CancelUnavailable",
            Level.WARNING,
            1,
            lambda: send.of_cancel(ServiceUnavailable(reason="throttled"), MESSAGE_SID),
            {"message_sid": MESSAGE_SID, "reason": "throttled"},
        ),
    ],
)
def test_a_report_has_its_metric_level_count_and_fields(
    metric: str,
    level: Level,
    count: int,
    build: Callable[[], Report],
    fields: dict[str, Any],
) -> None:
    report = build()

    assert (report.metric, report.level, report.count) == (metric, level, count)
    assert dict(report.fields) == fields


def test_an_audited_day_is_reported_with_what_was_imported_and_what_stays_different() -> None:
    audited, imported, different = audit.audited(RESULT)

    assert (audited.metric, audited.level, audited.count) == ("DayAudited", Level.INFO, 1)
    by_kind = {"corrected_by_kind": {"status": 2, "price": 3}}
    assert audited.fields == {**DAY, **AUDITED, **by_kind}
    assert audited.corrections == {"status": 2, "price": 3}
    assert audited.status_corrected_percent == 25
    assert (imported.metric, imported.level, imported.count) == ("MessageImported", Level.INFO, 5)
    assert imported.fields == DAY
    assert (different.metric, different.level) == ("AuditDifference", Level.WARNING)
    assert (different.fields, different.count) == ({**DAY, "lower_status": 1, "erased": 2}, 3)


@pytest.mark.parametrize(
    ("send_at", "is_kept", "metrics"),
    [
        (None, True, ["MessageSent"]),
        (NOON + timedelta(days=1), True, ["MessageScheduled"]),
        (None, False, ["MessageSent", "MessageNotStored"]),
    ],
)
def test_an_accepted_message_is_counted_as_sent_or_scheduled_and_an_error_if_nothing_keeps_it(
    send_at: Any, metrics: list[str], *, is_kept: bool
) -> None:
    message = a_message(an_update(request_id=REQUEST_ID, reference="order-1", send_at=send_at))

    reports = send.of_send(Accepted(message=message, stored=is_kept), **SEND)

    assert [it.metric for it in reports] == metrics
    assert [it.level for it in reports] == [Level.INFO, Level.ERROR][: len(metrics)]
    assert [it.fields for it in reports] == [{**IDS, **SEND}] * len(metrics)


def test_a_batch_is_counted_as_queued_invalid_and_not_queued() -> None:
    queued, invalid, not_queued = send.of_batch(a_batch())

    assert (queued.metric, queued.level, queued.count) == ("RequestQueued", Level.INFO, 2)
    assert (invalid.metric, invalid.level, invalid.count) == ("RequestInvalid", Level.WARNING, 3)
    assert invalid.fields == {"fields": ["body", "to"]}
    assert (not_queued.metric, not_queued.level) == ("RequestNotQueued", Level.WARNING)
    assert (not_queued.count, not_queued.fields) == (1, {"reason": "SQS did not confirm"})
    assert send.of_batch(Batch(results=())) == []


def test_what_a_report_says_of_messages_decides_what_is_handled_again() -> None:
    skipped = notify.skipped(["SM1", "SM2"])
    counted = notify.counted(["SM1", "SM2"], metric="NoticeGrouped")

    assert (skipped.unhandled, skipped.steps) == (frozenset({"SM1", "SM2"}), 0)
    assert (counted.unhandled, counted.steps) == (frozenset(), 2)
    assert notify.step_taken(FAILED.with_notice(NoticeState.PUBLISHED, NOON)).steps == 1
    assert reconcile.interrupted("time").is_interruption
    assert not reconcile.failed(UNAVAILABLE).is_interruption
    assert reconcile.reconciled(RECORDED).recorded is RECORDED
    assert reconcile.presumed_unsent(REQUEST, RECORDED).recorded is RECORDED
