"""ReconcileMessagesFunction reconciles stale messages until each has an outcome: I7."""

import json
from datetime import timedelta

import pytest

from delivery.domain.messages import Source
from delivery.domain.notices import NoticeState
from delivery.domain.statuses import Outcome
from delivery.storage.index_keys import list_key_of
from delivery.twilio import client as delivery_twilio
from tests.functions.reconciler import (
    OTHER_ACCOUNT_SID,
    UNDELIVERED,
    ReconcilerRig,
    always,
)
from tests.functions.tracked_account import BODY, STAYS_SENT
from tests.support.embedded_metrics import total
from tests.support.faults import make_unreadable
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    RECIPIENT,
    SENDER,
    SERVICE_SID,
    SUBACCOUNT_SID,
    a_response,
    basic,
)

# --- stale messages ------------------------------------------------------------------------------


def test_a_message_whose_callbacks_were_lost_gets_the_status_that_twilio_knows(
    reconciler: ReconcilerRig,
) -> None:
    sid = reconciler.send(To=UNDELIVERED)

    reconciler.run_after(minutes=60)

    message = reconciler.message(sid)
    assert (message.status, message.outcome, message.error_code) == (
        "undelivered",
        Outcome.FAILED,
        30003,
    )
    assert message.num_segments == "1"
    assert message.transitions[-1].source is Source.RECONCILE
    assert message.final_at == message.transitions[-1].at == reconciler.twilio.now
    assert message.notice is NoticeState.DUE
    assert reconciler.counted() == {"MessageReconciled": 1}


def test_a_message_is_not_reconciled_before_it_is_stale(reconciler: ReconcilerRig) -> None:
    sid = reconciler.send(To=STAYS_SENT)

    reconciler.run_after(minutes=59.9)
    early_requests = reconciler.twilio_requests()
    reconciler.run_after(minutes=0.1)

    assert early_requests == []
    assert reconciler.twilio_requests() == [f"{sid}.json"]


def test_a_message_is_reconciled_with_backoff_until_it_is_unconfirmed(
    reconciler: ReconcilerRig,
) -> None:
    sid = reconciler.send(To=STAYS_SENT)
    created_at = reconciler.message(sid).created_at
    ages = []

    while reconciler.message(sid).outcome is Outcome.PENDING:
        due = reconciler.message(sid).list_at or created_at
        reconciler.advance(seconds=(due - reconciler.twilio.now).total_seconds())
        reconciler.run()
        assert reconciler.twilio_requests() == [f"{sid}.json"]
        ages.append((reconciler.twilio.now - created_at) / timedelta(hours=1))

    message = reconciler.message(sid)
    assert ages == [1, 2, 4, 8, 16, 32, 56, 72]
    assert (message.outcome, message.status) == (Outcome.UNCONFIRMED, "sent")
    assert list_key_of(message) == f"unconfirmed#{reconciler.twilio.now:%Y-%m-%d}#{sid[-1]}"
    assert message.list_at == reconciler.twilio.now
    assert (message.final_at, message.notice) == (None, None)
    assert reconciler.counted()["MessageUnconfirmed"] == 1


def test_an_overdue_message_is_reconciled_before_it_becomes_unconfirmed(
    reconciler: ReconcilerRig,
) -> None:
    sid = reconciler.send()
    reconciler.advance(days=10)  # without a run in all that time

    reconciler.run()

    assert reconciler.message(sid).outcome is Outcome.DELIVERED
    assert reconciler.counted() == {"MessageReconciled": 1}


def test_a_scheduled_message_is_reconciled_after_its_send_time(reconciler: ReconcilerRig) -> None:
    send_at = reconciler.twilio.now + timedelta(days=7)
    scheduled = {"ScheduleType": "fixed", "SendAt": send_at.isoformat(), "From": None}
    document = reconciler.twilio.send(MessagingServiceSid=SERVICE_SID, **scheduled)
    reconciler.apply(document["sid"], "scheduled", source=Source.SEND, send_at=send_at)

    reconciler.run_after(days=7, minutes=59)
    early_requests = reconciler.twilio_requests()
    reconciler.run_after(minutes=1)

    assert early_requests == []
    assert reconciler.message(document["sid"]).outcome is Outcome.DELIVERED


@pytest.mark.parametrize("account_sid", [ACCOUNT_SID, OTHER_ACCOUNT_SID], ids=["known", "unknown"])
def test_a_message_that_twilio_or_the_secret_does_not_know_becomes_unconfirmed(
    reconciler: ReconcilerRig, account_sid: str
) -> None:
    sid = reconciler.send()
    unknown = "SM" + "e" * 32
    reconciler.apply(unknown, "sent", account_sid=account_sid)

    reconciler.run_after(hours=1)
    first = reconciler.message(unknown)
    assert reconciler.message(sid).outcome is Outcome.DELIVERED
    reconciler.run_after(hours=71)

    next_check_at = first.created_at + timedelta(hours=2)
    assert (first.outcome, first.list_at) == (Outcome.PENDING, next_check_at)
    assert reconciler.message(unknown).outcome is Outcome.UNCONFIRMED


# --- requests to Twilio --------------------------------------------------------------------------


def test_a_message_whose_account_is_not_known_is_looked_for_in_the_main_account(
    reconciler: ReconcilerRig,
) -> None:
    document = reconciler.twilio.send()
    reconciler.apply(document["sid"], "queued", account_sid=None)
    for _ in range(2):
        reconciler.send()

    reconciler.run_after(minutes=61)

    message = reconciler.message(document["sid"])
    assert (message.outcome, message.account_sid) == (Outcome.DELIVERED, ACCOUNT_SID)
    assert len(reconciler.twilio_requests()) == 1  # the list of the day has all of them


def test_messages_that_the_list_lacks_are_fetched(reconciler: ReconcilerRig) -> None:
    sids = [reconciler.send() for _ in range(2)]
    reconciler.delay_list()

    reconciler.run_after(minutes=60)

    assert sorted(reconciler.twilio_requests()) == sorted(
        ["Messages.json?DateSent=2026-11-23&PageSize=1000", *(f"{sid}.json" for sid in sids)]
    )
    assert {reconciler.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


@pytest.mark.parametrize(
    ("stale", "others", "pages", "fetches"),
    [(4, 50, 3, 4), (8, 40, 3, 8), (20, 0, 4, 0)],
    ids=["as many pages as messages", "pages without result", "pages with results"],
)
def test_pages_are_read_while_they_show_enough_messages(
    reconciler: ReconcilerRig,
    monkeypatch: pytest.MonkeyPatch,
    stale: int,
    others: int,
    pages: int,
    fetches: int,
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 5)
    sids = [reconciler.send() for _ in range(stale)]
    reconciler.advance(seconds=10)
    for _ in range(others):  # of other programs, and newer: they fill the first pages
        reconciler.twilio.send()

    reconciler.run_after(minutes=60)

    is_page = [it.startswith("Messages.json") for it in reconciler.twilio_requests()]
    assert is_page == [True] * pages + [False] * fetches
    assert {reconciler.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_each_day_and_account_has_its_own_list(reconciler: ReconcilerRig) -> None:
    mine = [reconciler.send() for _ in range(2)]
    reconciler.advance(hours=13)
    mine += [reconciler.send() for _ in range(2)]
    reconciler.apply("SM" + "d" * 32, "sent", account_sid=SUBACCOUNT_SID)

    reconciler.run_after(minutes=60)

    assert sorted(reconciler.twilio_requests()) == [
        "Messages.json?DateSent=2026-11-23&PageSize=1000",
        "Messages.json?DateSent=2026-11-24&PageSize=1000",
        "SM" + "d" * 32 + ".json",
    ]
    assert {reconciler.message(sid).outcome for sid in mine} == {Outcome.DELIVERED}


# --- errors --------------------------------------------------------------------------------------


def test_a_throttled_run_stops_and_leaves_the_rest_due(reconciler: ReconcilerRig) -> None:
    first = reconciler.send()
    reconciler.advance(days=1)
    second = reconciler.send()
    reconciler.advance(minutes=60)
    before = [reconciler.message(sid) for sid in (first, second)]
    reconciler.wire.fault = always(429)

    reconciler.run()

    assert len(reconciler.twilio_requests()) == 1
    assert [reconciler.message(sid) for sid in (first, second)] == before
    assert reconciler.counted() == {"ReconcileInterrupted": 1}


def test_refused_credentials_stop_one_account_and_not_the_others(reconciler: ReconcilerRig) -> None:
    sids = [reconciler.send(), reconciler.send()]
    reconciler.advance(days=1)
    theirs = reconciler.twilio.json(
        "POST",
        f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages.json",
        form={"To": RECIPIENT, "From": SENDER, "Body": BODY},
        authorization=basic(SUBACCOUNT_SID, "the-subaccount-token"),
    )["sid"]
    reconciler.apply(theirs, "queued", account_sid=SUBACCOUNT_SID)
    reconciler.advance(hours=2)
    reconciler.twilio.simulator.rotate_auth_token(ACCOUNT_SID, "promoted")

    reconciler.run()

    assert {reconciler.message(sid).outcome for sid in sids} == {Outcome.PENDING}
    assert reconciler.message(theirs).outcome is Outcome.DELIVERED
    assert reconciler.counted() == {"CredentialsRefused": 1, "MessageReconciled": 1}
    (line,) = reconciler.lines("CredentialsRefused")
    assert (line["level"], line["account_sid"]) == ("ERROR", ACCOUNT_SID)


def test_a_new_token_is_used_by_the_next_run(reconciler: ReconcilerRig) -> None:
    sid = reconciler.send()
    reconciler.advance(minutes=60)
    reconciler.twilio.simulator.rotate_auth_token(ACCOUNT_SID, "promoted")
    reconciler.run()
    secret = json.dumps({"account_sid": ACCOUNT_SID, "auth_token": "promoted"})
    reconciler.secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString=secret)

    reconciler.run()

    assert reconciler.message(sid).outcome is Outcome.DELIVERED


def test_a_run_without_a_secret_does_nothing_and_reports_it(reconciler: ReconcilerRig) -> None:
    reconciler.send()
    reconciler.advance(days=9)
    reconciler.secrets_manager.delete_secret(
        SecretId="delivery/twilio", ForceDeleteWithoutRecovery=True
    )

    reconciler.run()

    assert reconciler.twilio_requests() == []
    assert reconciler.counted() == {"CredentialsRefused": 1}


def test_a_secret_that_became_invalid_is_reported_and_the_last_valid_one_is_used(
    reconciler: ReconcilerRig,
) -> None:
    reconciler.run()
    reconciler.secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString="{}")
    sid = reconciler.send()

    reconciler.run_after(minutes=61)

    assert reconciler.message(sid).outcome is Outcome.DELIVERED
    assert reconciler.counted()["SecretInvalid"] == 1


def test_a_run_without_enough_time_sends_no_request(reconciler: ReconcilerRig) -> None:
    sid = reconciler.send()
    reconciler.advance(minutes=60)
    reconciler.seconds_left = 18

    reconciler.run()

    assert reconciler.twilio_requests() == []
    assert reconciler.message(sid).outcome is Outcome.PENDING
    assert reconciler.counted() == {"ReconcileInterrupted": 1, "WorkLeftOver": 1}


def test_an_error_of_one_message_does_not_stop_the_others(reconciler: ReconcilerRig) -> None:
    days = []
    for _ in range(3):
        days.append(reconciler.send())
        reconciler.advance(days=0.9)
    reconciler.wire.fault = lambda request: (
        a_response(500) if days[0] in str(request.url) else None  # the one due longest
    )

    reconciler.run()

    troubled, *others = (reconciler.message(sid) for sid in days)
    assert {message.outcome for message in others} == {Outcome.DELIVERED}
    assert troubled.outcome is Outcome.PENDING
    assert troubled.list_at is not None
    assert troubled.list_at > reconciler.twilio.now
    assert reconciler.counted() == {"MessageReconciled": 2, "ReconcileError": 1}


def test_a_run_stops_after_three_errors_in_a_row(reconciler: ReconcilerRig) -> None:
    for _ in range(6):
        reconciler.send()
        reconciler.advance(days=1)
    reconciler.wire.fault = always(500)

    reconciler.run()

    assert len(reconciler.twilio_requests()) == 3 * 2  # each is fetched once more
    assert reconciler.counted() == {"ReconcileError": 3, "ReconcileInterrupted": 1}
    assert all(it["message_sid"].startswith("SM") for it in reconciler.lines("ReconcileError"))


def test_an_outage_of_twilio_never_makes_a_message_unconfirmed(reconciler: ReconcilerRig) -> None:
    sid = reconciler.send()
    reconciler.advance(days=9)
    reconciler.wire.fault = always(503)

    for _ in range(3):
        reconciler.run()
        reconciler.advance(days=1)

    assert reconciler.message(sid).outcome is Outcome.PENDING


def test_a_table_that_cannot_be_read_interrupts_the_run(reconciler: ReconcilerRig) -> None:
    reconciler.dynamodb.delete_table(TableName="MessagesTable")

    reconciler.run()

    assert reconciler.counted() == {"ReconcileInterrupted": 1}


def test_an_unreadable_message_does_not_stop_the_others(reconciler: ReconcilerRig) -> None:
    first, second = reconciler.send(), reconciler.send()
    make_unreadable(reconciler.dynamodb, "MessagesTable", message_sid=first)

    reconciler.run_after(minutes=60)

    assert reconciler.message(second).outcome is Outcome.DELIVERED
    assert reconciler.counted() == {"ItemUnreadable": 1, "MessageReconciled": 1}
    assert [line["key"] for line in reconciler.lines("ItemUnreadable")] == [first]


# --- what is counted -----------------------------------------------------------------------------


def test_a_failure_found_by_reconciling_is_counted_by_its_category(
    reconciler: ReconcilerRig,
) -> None:
    sids = [reconciler.send(To=UNDELIVERED) for _ in range(2)]

    reconciler.run_after(minutes=60)
    reconciler.run()

    points = reconciler.data_points()
    assert total(points, "MessageFailed", category="recipient_unreachable") == 2
    assert total(points, "TransitionRecorded", service="tested") == 2
    assert total(points, "TimeToDelivered") is None
    assert {line["message_sid"] for line in reconciler.lines()} == set(sids)
