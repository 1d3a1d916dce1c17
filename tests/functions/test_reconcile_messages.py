"""ReconcileMessagesFunction asks about quiet messages until each of them ends: the promise I7."""

import io
import json
from datetime import timedelta

import pytest
from mypy_boto3_secretsmanager import SecretsManagerClient

from delivery.domain.messages import Source
from delivery.domain.notices import NoticeState
from delivery.domain.statuses import Outcome
from delivery.storage.index_keys import list_key_of
from delivery.twilio import client as delivery_twilio
from tests.embedded_metrics import data_points, total
from tests.functions.reconciler import (
    BODY,
    STAYS_SENT,
    UNDELIVERED,
    Counted,
    World,
    always,
)
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    RECIPIENT,
    SENDER,
    SERVICE_SID,
    SUBACCOUNT_SID,
    a_response,
    basic,
)

# --- quiet messages ------------------------------------------------------------------------------


def test_a_message_whose_callbacks_were_lost_ends_with_what_twilio_knows(
    world: World, counted: Counted
) -> None:
    sid = world.send(To=UNDELIVERED)
    world.pass_by(minutes=60)

    world.run()

    message = world.message(sid)
    assert (message.status, message.outcome, message.error_code) == (
        "undelivered",
        Outcome.FAILED,
        30003,
    )
    assert message.num_segments == "1"
    assert message.transitions[-1].source is Source.RECONCILE
    assert message.final_at == message.transitions[-1].at == world.twilio.now
    assert message.notice is NoticeState.DUE
    assert counted() == {"MessageReconciled": 1}


def test_a_message_that_ended_is_never_asked_about(world: World) -> None:
    sid = world.send()
    world.pass_by(minutes=1)
    world.apply(sid, "delivered")
    world.pass_by(days=5)

    world.run()

    assert world.asked == []


def test_a_message_is_left_alone_until_it_has_been_quiet_for_long(world: World) -> None:
    sid = world.send(To=STAYS_SENT)

    world.pass_by(minutes=59.9)
    world.run()
    asked_early = world.asked
    world.pass_by(minutes=0.1)
    world.run()

    assert asked_early == []
    assert world.asked == [f"{sid}.json"]


def test_a_message_that_stays_quiet_is_asked_about_less_and_less_and_becomes_unconfirmed(
    world: World, counted: Counted
) -> None:
    sid = world.send(To=STAYS_SENT)
    created_at = world.message(sid).created_at
    ages = []

    while world.message(sid).outcome is Outcome.PENDING:
        due = world.message(sid).list_at or created_at
        world.pass_by(seconds=(due - world.twilio.now).total_seconds())
        world.run()
        assert world.asked == [f"{sid}.json"]
        ages.append((world.twilio.now - created_at) / timedelta(hours=1))

    message = world.message(sid)
    assert ages == [1, 2, 4, 8, 16, 32, 56, 72]
    assert (message.outcome, message.status) == (Outcome.UNCONFIRMED, "sent")
    assert list_key_of(message) == f"unconfirmed#{world.twilio.now:%Y-%m-%d}#{sid[-1]}"
    assert message.list_at == world.twilio.now
    assert (message.final_at, message.notice) == (None, None)
    assert counted()["MessageUnconfirmed"] == 1


@pytest.mark.parametrize("status", ["delivered", "undelivered", "read", "canceled"])
def test_a_final_status_still_replaces_unconfirmed(world: World, status: str) -> None:
    sid = world.send(To=STAYS_SENT)
    world.pass_by(days=3)
    world.run()
    assert world.message(sid).outcome is Outcome.UNCONFIRMED

    message = world.apply(sid, status)

    assert message.outcome not in {Outcome.UNCONFIRMED, Outcome.PENDING}
    assert message.final_at == world.twilio.now
    assert (list_key_of(message) or "failed").startswith("failed")


def test_whatever_twilio_learned_last_is_asked_for_before_a_message_is_given_up(
    world: World, counted: Counted
) -> None:
    sid = world.send()
    world.pass_by(days=10)  # nobody ran all that time

    world.run()

    assert world.message(sid).outcome is Outcome.DELIVERED
    assert counted() == {"MessageReconciled": 1}


def test_a_scheduled_message_is_first_asked_about_after_its_time(world: World) -> None:
    send_at = world.twilio.now + timedelta(days=7)
    scheduled = {"ScheduleType": "fixed", "SendAt": send_at.isoformat(), "From": None}
    document = world.twilio.send(MessagingServiceSid=SERVICE_SID, **scheduled)
    world.apply(document["sid"], "scheduled", source=Source.SEND, send_at=send_at)

    world.pass_by(days=7, minutes=59)
    world.run()
    asked_early = world.asked
    world.pass_by(minutes=1)
    world.run()

    assert asked_early == []
    assert world.message(document["sid"]).outcome is Outcome.DELIVERED


def test_a_message_that_twilio_does_not_know_is_waited_for_like_any_other(
    world: World, counted: Counted
) -> None:
    sid = "SM" + "f" * 32
    world.apply(sid, "sent")

    world.pass_by(hours=1)
    world.run()
    first = world.message(sid)
    world.pass_by(hours=71)
    world.run()

    assert (first.outcome, first.list_at) == (
        Outcome.PENDING,
        first.created_at + timedelta(hours=2),
    )
    assert world.message(sid).outcome is Outcome.UNCONFIRMED
    assert counted() == {"MessageUnconfirmed": 1}


def test_a_message_whose_account_is_gone_from_the_secret_ends_as_well(world: World) -> None:
    sid = world.send()
    gone = world.apply("SM" + "e" * 32, "sent", account_sid="AC" + "9" * 32)

    world.pass_by(hours=1)
    world.run()
    assert world.message(gone.message_sid).outcome is Outcome.PENDING
    assert world.message(sid).outcome is Outcome.DELIVERED
    world.pass_by(hours=71)
    world.run()

    assert world.message(gone.message_sid).outcome is Outcome.UNCONFIRMED


# --- how Twilio is asked -------------------------------------------------------------------------


def test_many_messages_of_a_day_cost_one_page_of_the_list(world: World) -> None:
    sids = [world.send() for _ in range(12)]
    world.pass_by(minutes=60)

    world.run()

    assert world.asked == ["Messages.json?DateSent=2026-11-23&PageSize=1000"]
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_one_message_is_asked_about_by_its_sid(world: World) -> None:
    sid = world.send()
    world.pass_by(minutes=60)

    world.run()

    assert world.asked == [f"{sid}.json"]


def test_what_the_list_does_not_show_is_asked_about_by_its_sid(world: World) -> None:
    sids = [world.send() for _ in range(2)]
    world.twilio.simulator.settings = world.twilio.simulator.settings.changed(
        {"list_lag_seconds": 9000.0}
    )
    world.pass_by(minutes=60)

    world.run()

    assert sorted(world.asked) == sorted(
        ["Messages.json?DateSent=2026-11-23&PageSize=1000", *(f"{sid}.json" for sid in sids)]
    )
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_pages_are_read_only_while_they_are_fewer_than_the_messages_to_ask_about(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 5)
    sids = [world.send() for _ in range(4)]
    world.pass_by(seconds=10)
    for _ in range(50):  # of other programs, and newer: they fill the first pages
        world.twilio.send()
    world.pass_by(minutes=60)

    world.run()

    asked = world.asked
    assert [it.startswith("Messages.json") for it in asked] == [True] * 3 + [False] * 4
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_pages_that_find_nothing_are_soon_given_up_for_single_questions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 5)
    sids = [world.send() for _ in range(20)]
    world.pass_by(seconds=10)
    for _ in range(100):  # an account that sends much else
        world.twilio.send()
    world.pass_by(minutes=60)

    world.run()

    asked = world.asked
    assert [it.startswith("Messages.json") for it in asked] == [True] * 3 + [False] * 20
    assert {world.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def test_pages_are_read_on_while_they_find_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_twilio, "PAGE_SIZE", 10)
    for _ in range(60):
        world.send()
    world.pass_by(minutes=60)

    world.run()

    assert [it.startswith("Messages.json") for it in world.asked] == [True] * 6


def test_messages_of_different_days_and_accounts_are_listed_apart(world: World) -> None:
    mine = [world.send() for _ in range(2)]
    world.pass_by(hours=13)
    mine += [world.send() for _ in range(2)]
    world.apply("SM" + "d" * 32, "sent", account_sid=SUBACCOUNT_SID)
    world.pass_by(minutes=60)

    world.run()

    assert sorted(world.asked) == [
        "Messages.json?DateSent=2026-11-23&PageSize=1000",
        "Messages.json?DateSent=2026-11-24&PageSize=1000",
        "SM" + "d" * 32 + ".json",
    ]
    assert {world.message(sid).outcome for sid in mine} == {Outcome.DELIVERED}


# --- when it cannot go on ------------------------------------------------------------------------


def test_a_throttled_run_stops_at_once_and_leaves_the_rest_on_the_list(
    world: World, counted: Counted
) -> None:
    first = world.send()
    world.pass_by(days=1)
    second = world.send()
    world.pass_by(minutes=60)
    before = [world.message(sid) for sid in (first, second)]
    world.wire.fault = always(429)

    world.run()

    assert len(world.asked) == 1
    assert [world.message(sid) for sid in (first, second)] == before
    assert counted() == {"ReconcileInterrupted": 1}


def test_refused_credentials_stop_one_account_and_not_the_others(
    world: World, counted: Counted, log_output: io.StringIO
) -> None:
    sids = [world.send(), world.send()]
    world.pass_by(days=1)
    theirs = world.twilio.json(
        "POST",
        f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages.json",
        form={"To": RECIPIENT, "From": SENDER, "Body": BODY},
        authorization=basic(SUBACCOUNT_SID, "the-subaccount-token"),
    )["sid"]
    world.apply(theirs, "queued", account_sid=SUBACCOUNT_SID)
    world.pass_by(hours=2)
    world.twilio.simulator.rotate_auth_token(ACCOUNT_SID, "promoted")

    world.run()

    assert {world.message(sid).outcome for sid in sids} == {Outcome.PENDING}
    assert world.message(theirs).outcome is Outcome.DELIVERED
    assert counted() == {"CredentialsRefused": 1, "MessageReconciled": 1}
    (line,) = (it for it in log_output.getvalue().splitlines() if "CredentialsRefused" in it)
    assert json.loads(line)["level"] == "ERROR"
    assert ACCOUNT_SID in line


def test_a_new_token_is_used_by_the_next_run(
    world: World, secrets_manager: SecretsManagerClient
) -> None:
    sid = world.send()
    world.pass_by(minutes=60)
    world.twilio.simulator.rotate_auth_token(ACCOUNT_SID, "promoted")
    world.run()
    secret = json.dumps({"account_sid": ACCOUNT_SID, "auth_token": "promoted"})
    secrets_manager.put_secret_value(SecretId="delivery/twilio", SecretString=secret)

    world.run()

    assert world.message(sid).outcome is Outcome.DELIVERED


def test_without_a_secret_nothing_happens_and_an_operator_is_told(
    world: World, secrets_manager: SecretsManagerClient, counted: Counted
) -> None:
    world.send()
    world.pass_by(days=9)
    secrets_manager.delete_secret(SecretId="delivery/twilio", ForceDeleteWithoutRecovery=True)

    world.run()

    assert world.asked == []
    assert counted() == {"CredentialsRefused": 1}


def test_a_run_whose_time_is_up_asks_nothing_more(world: World, counted: Counted) -> None:
    sid = world.send()
    world.pass_by(minutes=60)
    world.seconds_left = 18

    world.run()

    assert world.asked == []
    assert world.message(sid).outcome is Outcome.PENDING
    assert counted() == {"ReconcileInterrupted": 1}


def test_trouble_with_one_message_does_not_stop_the_others(world: World, counted: Counted) -> None:
    days = []
    for _ in range(3):
        days.append(world.send())
        world.pass_by(days=0.9)
    world.wire.fault = lambda request: (
        a_response(500) if days[0] in str(request.url) else None  # the one due longest
    )

    world.run()

    troubled, *others = (world.message(sid) for sid in days)
    assert {message.outcome for message in others} == {Outcome.DELIVERED}
    assert troubled.outcome is Outcome.PENDING
    assert troubled.list_at is not None
    assert troubled.list_at > world.twilio.now
    assert counted() == {"MessageReconciled": 2, "ReconcileError": 1}


def test_a_twilio_that_answers_nothing_is_left_alone_after_three_messages(
    world: World, counted: Counted
) -> None:
    for _ in range(6):
        world.send()
        world.pass_by(days=1)
    world.wire.fault = always(500)

    world.run()

    assert len(world.asked) == 3 * 2  # each is asked about once more
    assert counted() == {"ReconcileError": 3, "ReconcileInterrupted": 1}


def test_an_outage_of_twilio_never_makes_a_message_unconfirmed(world: World) -> None:
    sid = world.send()
    world.pass_by(days=9)
    world.wire.fault = always(503)

    for _ in range(3):
        world.run()
        world.pass_by(days=1)

    assert world.message(sid).outcome is Outcome.PENDING


def test_a_table_that_cannot_be_read_is_the_next_runs_business(
    world: World, counted: Counted
) -> None:
    world.dynamodb.delete_table(TableName="MessagesTable")

    world.run()

    assert counted() == {"ReconcileInterrupted": 1}


# --- messages of other programs ------------------------------------------------------------------


def test_messages_of_other_programs_are_nobodys_business_by_default(world: World) -> None:
    sid = world.twilio.send()["sid"]
    world.pass_by(days=2)

    world.run()

    assert world.asked == []
    assert world.store.get(sid) is None


@pytest.fixture
def discovering(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(world.app, "RECONCILE_UNKNOWN_MESSAGES", True)
    return world


def test_messages_of_other_programs_are_recorded_when_their_day_is_over(
    discovering: World, counted: Counted
) -> None:
    world = discovering
    theirs = world.twilio.send(To=UNDELIVERED)["sid"]
    ours = world.send()
    world.pass_by(minutes=5)
    world.apply(ours, "delivered")
    before = world.message(ours)

    world.pass_by(hours=12.5)  # the day is over, but the list lags
    world.run()
    too_early = world.store.get(theirs)
    world.pass_by(hours=1)
    world.run()

    message = world.message(theirs)
    assert too_early is None
    assert (message.outcome, message.error_code, message.to) == (
        Outcome.FAILED,
        30003,
        UNDELIVERED,
    )
    assert message.transitions[0].source is Source.RECONCILE
    assert world.message(ours) == before
    assert counted()["MessageImported"] == 1


def test_each_day_is_read_once_and_none_is_left_out(discovering: World) -> None:
    world = discovering
    world.pass_by(days=1)
    world.run()
    assert "Messages.json?DateSent=2026-11-23&PageSize=1000" in world.asked

    world.run()
    read_again = world.asked
    world.pass_by(days=3)
    world.run()

    days = [f"Messages.json?DateSent=2026-11-{day}&PageSize=1000" for day in (24, 25, 26)]
    assert read_again == []
    assert world.asked == days * 2  # for each account


def test_a_day_that_could_not_be_read_in_full_is_read_again(
    discovering: World, counted: Counted
) -> None:
    world = discovering
    sid = world.twilio.send()["sid"]
    world.pass_by(days=1)
    world.wire.fault = always(429)
    world.run()
    assert counted() == {"ReconcileInterrupted": 2}
    world.wire.fault = lambda _: None

    world.run()

    assert world.message(sid).outcome is Outcome.DELIVERED


def test_what_others_send_to_us_is_no_message_of_ours(discovering: World) -> None:
    world = discovering
    page = {"messages": [{"sid": "SM" + "1" * 32, "status": "received", "direction": "inbound"}]}
    world.pass_by(days=1)
    world.wire.fault = lambda _: a_response(200, json.dumps(page).encode())

    world.run()

    assert world.store.get("SM" + "1" * 32) is None


# --- what becomes of messages is counted as if a callback had told it ----------------------------


def test_a_failure_that_no_callback_told_is_counted_by_its_category(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    sids = [world.send(To=UNDELIVERED) for _ in range(2)]
    world.pass_by(minutes=60)

    world.run()
    world.run()

    output = capsys.readouterr().out
    points = data_points(output)
    assert total(points, "MessageFailed", category="recipient_unreachable") == 2
    assert total(points, "TransitionRecorded", status="undelivered") == 2
    assert total(points, "TimeToDelivered") is None
    assert {json.loads(line).get("message_sid") for line in output.splitlines()} == {None, *sids}
