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
    CancelResult,
    DuplicateRequest,
    IdempotencyConflict,
    Invalid,
    MessageNotFound,
    Queued,
    Rejected,
    SendResult,
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


type Case = tuple[str, Callable[[], Report], dict[str, Any]]
"""The metric, level, and count of a report; how it is made; and the fields that it must have."""

QUEUED = {"queue_message_id": "q"}
OF_REQUEST = {"request_id": REQUEST_ID, "reference": "order-1"}
MATCHED = {**IDS, "evidence": "match", "was": "in_doubt"}
RECONCILED = {"message_sid": MESSAGE_SID, "request_id": REQUEST_ID, "status": "failed"}
CHANGE = {"effect": "advanced", "outcome": "failed", "error_code": 30003}
OF_INCIDENT = {**ACCOUNT, "cause": "30003", "incident_id": "inc_1", "counted": 7, "published": 3}
UNREADABLE = ItemUnreadable("odd")
TWO = ["SM1", "SM2"]


def of_notice(expected: str, state: NoticeState) -> Case:
    message = FAILED.with_notice(state, NOON + timedelta(minutes=1))
    fields = {"notice_id": message.notice_id, "status": "failed", "error_code": 30003}
    return expected, lambda: notify.step_taken(message), {"message_sids": [MESSAGE_SID], **fields}


def of_send(expected: str, result: SendResult, fields: dict[str, Any]) -> Case:
    return expected, lambda: send.of_send(result, **QUEUED)[0], {**fields, **QUEUED}


def of_cancel(expected: str, result: CancelResult, fields: dict[str, Any]) -> Case:
    return expected, lambda: send.of_cancel(result, MESSAGE_SID), fields


RECONCILIATION: list[Case] = [
    ("MessageReconciled INFO 1", lambda: reconcile.reconciled(RECORDED), RECONCILED | CHANGE),
    (
        "MessageReconciled INFO 1",
        lambda: reconcile.backfilled(REQUEST, RESOURCE),
        RECONCILED | {"status": "sent"},
    ),
    (
        "MessageUnconfirmed WARNING 1",
        lambda: reconcile.unconfirmed(a_message("sent")),
        {"message_sid": MESSAGE_SID, "status": "sent"},
    ),
    (
        "InDoubtResolved INFO 1",
        lambda: reconcile.resolved(REQUEST, FAILED, evidence="match", recorded=RECORDED),
        MATCHED,
    ),
    (
        "InDoubtPresumedUnsent WARNING 1",
        lambda: reconcile.presumed_unsent(REQUEST, RECORDED),
        OF_REQUEST,
    ),
    (
        "InDoubtAmbiguous ERROR 1",
        lambda: reconcile.ambiguous(REQUEST, [RESOURCE]),
        {**OF_REQUEST, "message_sids": [MESSAGE_SID]},
    ),
    (
        "ReconcileError WARNING 1",
        lambda: reconcile.failed(UNAVAILABLE, request_ids=TWO),
        {"request_ids": TWO, "reason": "unavailable"},
    ),
    ("ItemUnreadable ERROR 1", lambda: reconcile.unreadable("SM1"), {"key": "SM1"}),
    ("WorkLeftOver WARNING 1", lambda: reconcile.work_left_over("stale"), {"task": "stale"}),
    (
        "CredentialsRefused ERROR 1",
        lambda: reconcile.account_stopped(REFUSED, ACCOUNT_SID),
        {**ACCOUNT, "reason": "refused"},
    ),
    (
        "ReconcileInterrupted WARNING 1",
        lambda: reconcile.account_stopped(UNAVAILABLE, ACCOUNT_SID),
        {**ACCOUNT, "reason": "unavailable"},
    ),
    ("SecretInvalid ERROR 1", lambda: reconcile.secret_invalid(REFUSED), {"reason": "refused"}),
]
AUDITS: list[Case] = [
    (
        "AuditInterrupted WARNING 1",
        lambda: audit.interrupted(UNAVAILABLE, RESULT),
        {**DAY, **AUDITED, "reason": "unavailable"},
    ),
    (
        "AuditInterrupted WARNING 1",
        lambda: audit.interrupted(UNAVAILABLE),
        {"reason": "unavailable"},
    ),
    (
        "CredentialsRefused ERROR 1",
        lambda: audit.interrupted(REFUSED, RESULT),
        {**DAY, "reason": "refused"},
    ),
    (
        "CredentialsRefused ERROR 1",
        lambda: audit.credentials_refused(REFUSED),
        {"reason": "refused"},
    ),
    (
        "ItemUnreadable ERROR 1",
        lambda: audit.unreadable(UNREADABLE, ACCOUNT_SID, NOON.date()),
        {**DAY, "reason": "odd"},
    ),
]
NOTICES: list[Case] = [
    of_notice("NoticePublished INFO 1", NoticeState.PUBLISHED),
    of_notice("NoticeWithdrawn INFO 1", NoticeState.WITHDRAWN),
    of_notice("RecoveryDue INFO 1", NoticeState.RECOVERY_DUE),
    of_notice("RecoveryPublished INFO 1", NoticeState.RECOVERED),
    ("NoticeAlreadyHandled DEBUG 1", lambda: notify.step_taken(None), {}),
    ("NoticeAlreadyHandled DEBUG 3", lambda: notify.already_handled(3), {}),
    (
        "NoticeFailed ERROR 2",
        lambda: notify.failed(TWO, "conflict"),
        {"message_sids": TWO, "reason": "conflict"},
    ),
    (
        "NoticeFailed ERROR 1",
        lambda: notify.failed([], "odd"),
        {"message_sids": [], "reason": "odd"},
    ),
    ("NoticeSkippedNoTime WARNING 2", lambda: notify.skipped(TWO), {"message_sids": TWO}),
    (
        "NoticeSweepInterrupted WARNING 1",
        lambda: notify.sweep_interrupted("odd"),
        {"reason": "odd"},
    ),
    (
        "ItemUnreadable ERROR 1",
        lambda: notify.unreadable("SM1", "odd", cause="30003"),
        {"key": "SM1", "reason": "odd", "cause": "30003"},
    ),
    (
        "NoticeMuted INFO 2",
        lambda: notify.counted(TWO, metric="NoticeMuted", **notify.key_fields(KEY)),
        {"message_sids": TWO, **ACCOUNT, "cause": "30003"},
    ),
    (
        "IncidentOpened INFO 1",
        lambda: notify.of_incident(INCIDENT, metric="IncidentOpened", kind="summary"),
        {**OF_INCIDENT, "kind": "summary"},
    ),
]
SENDING: list[Case] = [
    of_send(
        "SendDeduplicated WARNING 1",
        DuplicateRequest(request_id=REQUEST_ID, message_sid=MESSAGE_SID, message=None),
        {"request_id": REQUEST_ID, "message_sid": MESSAGE_SID},
    ),
    of_send(
        "SendInDoubt WARNING 1",
        Unresolved(request_id=REQUEST_ID, state=RequestState.IN_DOUBT, reason="no answer"),
        {"request_id": REQUEST_ID, "state": "in_doubt", "reason": "no answer"},
    ),
    of_send(
        "SendDeduplicated WARNING 1",
        Unresolved(request_id=REQUEST_ID, state=RequestState.IN_PROGRESS),
        {"request_id": REQUEST_ID, "state": "in_progress", "reason": None},
    ),
    of_send(
        "IdempotencyConflict WARNING 1",
        IdempotencyConflict(request_id=REQUEST_ID),
        {"used_by": REQUEST_ID},
    ),
    of_send(
        "RequestInvalid WARNING 1",
        Invalid(problems=(Problem(field="to", problem="is missing"),)),
        {"fields": ["to"]},
    ),
    of_send(
        "SendRejected WARNING 1",
        Rejected(code=21211, request_id=REQUEST_ID),
        {"request_id": REQUEST_ID, "error_code": 21211},
    ),
    of_send(
        "SendUnavailable WARNING 1",
        ServiceUnavailable(reason="throttled"),
        {"reason": "throttled"},
    ),
    of_send(
        "CredentialsRefused WARNING 1",
        ServiceUnavailable(reason="refused", credentials_refused=True),
        {"reason": "refused"},
    ),
    (
        "SendUnavailable WARNING 6",
        lambda: send.queue_batch_unavailable(6, "no table"),
        {"reason": "no table"},
    ),
    ("SendDeferred DEBUG 1", lambda: send.deferred("q"), QUEUED),
]
CANCELING: list[Case] = [
    of_cancel(
        "MessageCanceled INFO 1",
        Accepted(message=FAILED, stored=False),
        {"message_sid": MESSAGE_SID, "stored": False},
    ),
    of_cancel(
        "MessageCanceled INFO 1",
        Accepted(message=FAILED, stored=False, queued=True),
        {"message_sid": MESSAGE_SID, "stored": True},
    ),
    of_cancel(
        "CancelRejected WARNING 1",
        Rejected(code=30409),
        {"message_sid": MESSAGE_SID, "error_code": 30409},
    ),
    of_cancel("CancelRejected WARNING 1", MessageNotFound(), {}),
    of_cancel(
        "CancelUnavailable WARNING 1",
        ServiceUnavailable(reason="throttled"),
        {"message_sid": MESSAGE_SID, "reason": "throttled"},
    ),
]


@pytest.mark.parametrize(
    ("expected", "build", "fields"), [*RECONCILIATION, *AUDITS, *NOTICES, *SENDING, *CANCELING]
)
def test_a_report_has_its_metric_level_count_and_fields(
    expected: str, build: Callable[[], Report], fields: dict[str, Any]
) -> None:
    report = build()

    assert f"{report.metric} {report.level.name} {report.count}" == expected
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

    reports = send.of_send(Accepted(message=message, stored=is_kept), **QUEUED)

    assert [it.metric for it in reports] == metrics
    assert [it.level for it in reports] == [Level.INFO, Level.ERROR][: len(metrics)]
    assert [it.fields for it in reports] == [{**IDS, **QUEUED}] * len(metrics)


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
