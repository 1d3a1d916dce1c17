"""A message and its updates, by example. test_status_rules.py has the rules for all orders."""

from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.messages import (
    Effect,
    Message,
    Source,
    StatusUpdate,
    Timings,
    within_context_limits,
)
from delivery.domain.notices import NoticeState
from delivery.domain.records import iso
from delivery.domain.statuses import Outcome
from delivery.storage.index_keys import list_key_of, notice_due_key_of
from delivery.storage.messages import record_of
from tests.support.builders import MESSAGE_SID, NOON, a_message, an_update

TIMINGS = Timings()
FUTURE = "paused_by_carrier"


def by_status(message: Message) -> dict[str, int | None]:
    return {entry.status: entry.error_code for entry in message.transitions}


# --- the order of versions ------------------------------------------------------------------------


@pytest.mark.parametrize("after", [-3600, 0, 1])
@pytest.mark.parametrize("status", ["sent", "delivered"])
def test_a_later_version_of_a_message_has_a_later_updated_at(status: str, after: float) -> None:
    before = a_message("queued", an_update("undelivered", error_code=30003))

    changed = before.apply(an_update(status, after=after), TIMINGS)

    assert iso(changed.updated_at) > iso(before.updated_at)


def test_an_unconfirmed_or_superseded_message_has_a_later_updated_at() -> None:
    pending = a_message("sent")
    unsent = Message.from_unsent_request(an_update("presumed_unsent"), TIMINGS)
    earlier = NOON - timedelta(hours=1)

    assert pending.as_unconfirmed(earlier).updated_at > pending.updated_at
    assert unsent.as_superseded(earlier).updated_at > unsent.updated_at


# --- I2: statuses ---------------------------------------------------------------------------------


def test_late_sent_does_not_undo_delivered() -> None:
    message = a_message("queued", "delivered", "sent")

    assert (message.status, message.outcome) == ("delivered", Outcome.DELIVERED)
    assert [entry.status for entry in message.transitions] == ["queued", "delivered", "sent"]


@pytest.mark.parametrize("known", ["queued", "failed"])
def test_an_unknown_status_is_recorded_and_changes_nothing_else(known: str) -> None:
    before = a_message(known)

    after = before.apply(an_update(FUTURE, after=9), TIMINGS)

    assert by_status(after) == {known: None, FUTURE: None}
    untouched = {"transitions", "updated_at"}
    assert {k: v for k, v in after.as_record().items() if k not in untouched} == {
        k: v for k, v in before.as_record().items() if k not in untouched
    }


@pytest.mark.parametrize("status", ["rejected", "unknown"])
def test_a_status_of_ours_is_an_unknown_word_when_twilio_reports_it(status: str) -> None:
    message = a_message("sent", status)

    assert (message.status, message.outcome, message.notice) == ("sent", "pending", None)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("accepted", "pending"),
        ("scheduled", "pending"),
        ("queued", "pending"),
        ("sending", "pending"),
        ("sent", "pending"),
        ("canceled", "canceled"),
        ("failed", "failed"),
        ("undelivered", "failed"),
        ("partially_delivered", "failed"),
        ("delivered", "delivered"),
        ("read", "delivered"),
    ],
)
def test_each_status_has_its_outcome_from_the_first_write(status: str, outcome: str) -> None:
    assert a_message(status).outcome == outcome


@pytest.mark.parametrize("status", ["sent", FUTURE])
def test_a_pending_status_does_not_replace_unconfirmed(status: str) -> None:
    message = Message.from_record(record_of(a_message("sending")) | {"outcome": "unconfirmed"})

    assert message.apply(an_update(status), TIMINGS).outcome == Outcome.UNCONFIRMED


@pytest.mark.parametrize("status", ["delivered", "undelivered"])
def test_a_final_status_replaces_unconfirmed(status: str) -> None:
    message = Message.from_record(record_of(a_message("sent")) | {"outcome": "unconfirmed"})

    assert message.apply(an_update(status), TIMINGS).outcome == a_message(status).outcome


# --- I3: error codes ------------------------------------------------------------------------------


def test_a_repeat_with_a_code_enriches_the_transition() -> None:
    message = a_message("sent", "undelivered")

    filled = message.apply(an_update("undelivered", error_code=30005, after=9), TIMINGS)

    assert filled.error_code == 30005
    assert by_status(filled) == {"sent": None, "undelivered": 30005}
    assert filled.transitions[1].at == message.transitions[1].at


def test_the_first_code_of_a_status_stays_and_a_different_one_is_a_conflict() -> None:
    message = a_message(an_update("undelivered", error_code=30003))
    other = an_update("undelivered", error_code=30005, after=9)

    assert message.apply(other, TIMINGS).error_code == 30003
    assert message.conflicts_with(other)
    assert not message.conflicts_with(an_update("undelivered"))
    assert not message.conflicts_with(an_update("failed", error_code=30005))


# --- the words of a failure -----------------------------------------------------------------------

WORDS_A = an_update("failed", error_detail="A")
WORDS_B = an_update("undelivered", error_detail="B")


@pytest.mark.parametrize(
    ("updates", "detail"),
    [
        ([WORDS_A], "A"),
        ([WORDS_A, WORDS_B], "B"),
        ([WORDS_B, WORDS_A], "B"),
        ([an_update("undelivered"), WORDS_A], "A"),
        ([WORDS_A, an_update("undelivered")], "A"),
        ([an_update("undelivered"), WORDS_B], "B"),
        ([WORDS_B, an_update("undelivered", error_detail="C")], "B"),
        ([an_update("sent", error_detail="no failure")], None),
        ([an_update("sent", error_detail="no failure"), an_update("failed")], None),
        ([WORDS_B, an_update("delivered")], None),
        ([an_update("delivered"), WORDS_B], None),
        ([WORDS_B, an_update("queued", error_detail="no failure")], "B"),
    ],
)
def test_a_failed_message_has_the_words_of_its_highest_failure_and_no_other_message_has_any(
    updates: list[StatusUpdate], detail: str | None
) -> None:
    assert a_message(*updates).error_detail == detail


# --- I4: notices ----------------------------------------------------------------------------------


def test_the_update_that_fails_a_message_makes_its_notice_due() -> None:
    message = a_message("sent", "undelivered")

    assert message.notice is NoticeState.DUE
    assert message.notice_id == f"{MESSAGE_SID}:failure"
    assert notice_due_key_of(message) == "due#f"
    assert message.notice_at == message.final_at


@pytest.mark.parametrize(
    ("steps", "states"),
    [
        (0, [NoticeState.DUE, NoticeState.WITHDRAWN]),
        (
            1,
            [
                NoticeState.PUBLISHING,
                NoticeState.RECOVERY_DUE,
                NoticeState.PUBLISHING,
                NoticeState.RECOVERED,
            ],
        ),
        (
            2,
            [NoticeState.RECOVERY_DUE, NoticeState.PUBLISHING, NoticeState.RECOVERED],
        ),
    ],
)
def test_a_late_delivery_ends_the_notice_by_how_far_it_had_come(
    steps: int, states: list[NoticeState]
) -> None:
    message = a_message("undelivered")
    for _ in range(steps):
        message = message.with_next_notice_state(NOON)

    passed = [message.apply(an_update("delivered"), TIMINGS)]
    while passed[-1].with_next_notice_state(NOON) != passed[-1]:
        passed.append(passed[-1].with_next_notice_state(NOON))

    assert [it.notice for it in passed] == states
    assert notice_due_key_of(passed[-1]) is None


def test_a_recovery_notice_keeps_an_id_of_its_own() -> None:
    message = a_message("failed").with_next_notice_state(NOON).with_next_notice_state(NOON)

    due = message.apply(an_update("delivered"), TIMINGS)
    publishing = due.with_next_notice_state(NOON)
    read_meanwhile = publishing.apply(an_update("read"), TIMINGS)

    assert message.notice_id == f"{MESSAGE_SID}:failure"
    assert not message.is_recovery_notice
    for recovered in (due, publishing, read_meanwhile, read_meanwhile.with_next_notice_state(NOON)):
        assert recovered.notice_id == f"{MESSAGE_SID}:recovery"
        assert recovered.is_recovery_notice
    assert read_meanwhile.with_next_notice_state(NOON).notice is NoticeState.RECOVERED


def test_a_status_update_does_not_touch_the_lease_of_a_claim() -> None:
    claimed = a_message("failed").with_next_notice_state(NOON + timedelta(hours=2))

    updated = claimed.apply(an_update("undelivered", after=60), TIMINGS)

    assert updated.notice_at == claimed.notice_at == NOON + timedelta(hours=2)
    assert updated.transitions[-1].at == NOON + timedelta(seconds=60)


@pytest.mark.parametrize(
    "notice", [NoticeState.MUTED, NoticeState.WITHDRAWN, NoticeState.RECOVERED]
)
def test_a_failure_that_was_not_published_gets_no_recovery_notice(notice: NoticeState) -> None:
    message = Message.from_record(record_of(a_message("failed")) | {"notice": notice})

    assert message.apply(an_update("delivered"), TIMINGS).notice is notice


# --- lists, times, expiry -------------------------------------------------------------------------


def test_a_pending_message_is_listed_for_its_reconciliation() -> None:
    message = a_message("queued", "sent", timings=Timings(reconcile_after=timedelta(hours=1)))

    assert list_key_of(message) == "pending#f"
    assert message.list_at == NOON + timedelta(hours=1)


def test_a_scheduled_message_counts_from_its_send_time() -> None:
    send_at = NOON + timedelta(days=3)

    message = a_message(an_update("scheduled", send_at=send_at))

    assert message.list_at == send_at + timedelta(minutes=60)
    assert message.expires_at == int((send_at + timedelta(days=400)).timestamp())


def test_a_callback_before_the_stored_send_does_not_change_the_times_of_a_scheduled_message() -> (
    None
):
    send_at = NOON + timedelta(days=3)

    message = a_message("canceled", an_update("scheduled", send_at=send_at))
    pending = a_message(FUTURE, an_update("scheduled", send_at=send_at))

    assert message.expires_at == int((send_at + timedelta(days=400)).timestamp())
    assert pending.list_at == send_at + timedelta(minutes=60)


def test_a_failed_message_is_on_the_list_of_the_day_on_which_it_failed() -> None:
    message = a_message(
        "sent", an_update("failed", after=86400), an_update("undelivered", after=9e5)
    )

    assert list_key_of(message) == "failed#2026-11-24#f"
    assert message.list_at == message.final_at == NOON + timedelta(days=1)


@pytest.mark.parametrize("status", ["delivered", "canceled"])
def test_a_delivered_or_canceled_message_is_on_no_list(status: str) -> None:
    message = a_message("sent", status)

    assert (list_key_of(message), message.list_at) == (None, None)


def test_final_at_is_of_the_transition_that_set_the_outcome() -> None:
    read = a_message("sent", an_update("delivered", after=10), an_update("read", after=500))
    recovered = a_message(an_update("failed", after=1), an_update("delivered", after=50))

    assert read.final_at == NOON + timedelta(seconds=10)
    assert recovered.final_at == NOON + timedelta(seconds=50)
    assert a_message("sent").final_at is None


def test_created_at_is_set_once_and_updated_at_moves() -> None:
    message = a_message(an_update("sent", after=1), an_update("queued", after=5))

    assert message.created_at == NOON + timedelta(seconds=1)
    assert message.updated_at == NOON + timedelta(seconds=5)


# --- both writers merge ---------------------------------------------------------------------------

SEND = an_update(
    "queued",
    source=Source.SEND,
    from_=None,
    request_id="rq_" + "0" * 32,
    reference="order-1",
    context={"campaign": "november"},
    num_segments="1",
)
CALLBACK = an_update("delivered", request_id="rq_" + "0" * 32, context={"shop": "berlin"})


@pytest.mark.parametrize("order", [(SEND, CALLBACK), (CALLBACK, SEND)])
def test_send_and_callback_keep_each_others_facts(order: tuple[StatusUpdate, ...]) -> None:
    message = a_message(*order)

    assert message.reference == "order-1"
    assert message.from_ == "+15005550006"
    assert message.context == {"campaign": "november", "shop": "berlin"}
    assert message.num_segments == "1"


def test_the_last_price_stays() -> None:
    message = a_message(SEND, an_update("sent", price="-0.00750", price_unit="USD"), CALLBACK)

    assert (message.price, message.price_unit) == ("-0.00750", "USD")
    other = message.apply(an_update("sent", price="-0.00700", price_unit="EUR"), TIMINGS)
    assert (other.price, other.price_unit) == ("-0.00700", "EUR")


def test_a_context_keeps_first_values_twenty_names_and_a_kilobyte() -> None:
    many = within_context_limits((f"n{number}", "") for number in range(30))
    large = within_context_limits([("a", "x" * 1000), ("b", "y" * 100), ("c", "z")])

    assert list(many) == [f"n{number}" for number in range(20)]
    assert list(large) == ["a", "c"]
    assert within_context_limits([("a", "1"), ("a", "2"), ("", "no name")]) == {"a": "1"}


# --- effects, records -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "effect"),
    [
        (an_update("delivered"), Effect.ADVANCED),
        (an_update("queued"), Effect.OUT_OF_ORDER),
        (an_update("sent"), Effect.DUPLICATE),
        (an_update("sent", error_code=1), Effect.ENRICHED),
        (an_update("sent", reference="order-1"), Effect.ENRICHED),
        (an_update("sent", error_detail="no failure"), Effect.DUPLICATE),
        (an_update(FUTURE), Effect.UNKNOWN),
    ],
)
def test_the_effect_of_an_update(update: StatusUpdate, effect: Effect) -> None:
    sent = a_message("sent")

    assert sent.effect_of(update, sent.apply(update, TIMINGS)) is effect


def test_an_update_of_a_later_version_is_read() -> None:
    record = SEND.as_record() | {"of_a_later_version": 1}

    assert StatusUpdate.from_record(record) == SEND


@pytest.mark.parametrize(
    "damage",
    [
        {"from": 15005550006},
        {"error_code": "30003"},
        {"context": ["campaign"]},
        {"transitions": "sent"},
        {"transitions": [{"status": 1, "at": iso(NOON), "source": "send"}]},
        {"transitions": [{"status": "sent", "at": 1, "source": "send"}]},
    ],
    ids=str,
)
def test_a_record_with_a_value_of_another_type_is_not_a_message(damage: dict[str, object]) -> None:
    record = record_of(a_message("sent"))

    with pytest.raises(TypeError):
        Message.from_record(record | damage)
    assert None not in record.values()


def test_a_rejected_request_is_a_failed_message() -> None:
    update = an_update(
        "rejected", message_sid="rq_" + "a" * 32, error_code=21211, source=Source.SEND
    )

    message = Message.from_unsent_request(update, TIMINGS)

    assert (message.status, message.outcome, message.error_code) == ("rejected", "failed", 21211)
    assert (message.notice, list_key_of(message)) == (NoticeState.DUE, "failed#2026-11-23#a")
    assert [entry.status for entry in message.transitions] == ["rejected"]


def rejected(*, after: float = 0, **facts: Any) -> StatusUpdate:
    """A request that was rejected `after` seconds past noon."""
    request_id = "rq_" + "a" * 32
    defaults: dict[str, Any] = {
        "status": "rejected",
        "message_sid": request_id,
        "request_id": request_id,
        "source": Source.SEND,
        "error_code": 21211,
    }
    return an_update(after=after, **(defaults | facts))


@pytest.mark.parametrize(
    ("again", "requested", "is_new"),
    [
        ({}, None, False),
        ({}, 0, False),  # requested before the failure was recorded: the same attempt
        ({}, 1, True),
        ({"error_code": 21610}, 0, True),
        ({"error_code": 21610}, None, True),
        ({"status": "presumed_unsent"}, 0, True),
    ],
)
def test_a_later_failure_of_a_request_has_its_own_facts_and_notice(
    again: dict[str, Any], requested: float | None, *, is_new: bool
) -> None:
    first = Message.from_unsent_request(rejected(to="+15558675310"), TIMINGS)
    later = rejected(after=60, to="+15558675311", **again)
    requested_at = None if requested is None else NOON + timedelta(seconds=requested)

    failed = first.as_failed_again(later, TIMINGS, requested_at=requested_at)

    if not is_new:
        assert failed is first
        return
    assert (failed.to, failed.error_code) == ("+15558675311", later.error_code)
    assert (failed.created_at, failed.final_at) == (NOON, later.at)
    assert failed.notice is NoticeState.DUE
    milliseconds = int(later.at.timestamp() * 1000)
    assert failed.notice_id == f"{first.message_sid}:failure:{milliseconds}"


def test_a_superseded_request_fails_again_only_for_a_later_attempt() -> None:
    first = Message.from_unsent_request(rejected(), TIMINGS)
    superseded = first.as_superseded(NOON + timedelta(seconds=10))
    repeated = rejected(after=60, error_code=21610)

    before, after = NOON + timedelta(seconds=10), NOON + timedelta(seconds=11)
    assert superseded.as_failed_again(repeated, TIMINGS, requested_at=before) is superseded
    failed = superseded.as_failed_again(repeated, TIMINGS, requested_at=after)
    assert (failed.outcome, failed.error_code) == (Outcome.FAILED, 21610)


# --- reconciliation and unconfirmed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "interval"),
    [(0, 1), (1.5, 1.5), (16, 16), (30, 24), (71, 1), (72, 24)],
)
def test_the_reconciliation_interval_is_the_messages_age_and_at_most_a_day(
    age: float, interval: float
) -> None:
    now = NOON + timedelta(hours=age)

    next_check_at = a_message("sent").next_check_at(now, Timings())

    assert next_check_at == now + timedelta(hours=interval)


def test_a_scheduled_message_is_not_reconciled_before_its_send_time() -> None:
    send_at = NOON + timedelta(days=7)
    scheduled = a_message(an_update("scheduled", send_at=send_at))

    assert scheduled.next_check_at(NOON, Timings()) == send_at + timedelta(hours=1)
    assert not scheduled.is_overdue(send_at + timedelta(hours=71), Timings())


@pytest.mark.parametrize("status", ["delivered", "undelivered"])
def test_a_final_message_never_becomes_unconfirmed(status: str) -> None:
    message = a_message(status)

    assert message.as_unconfirmed(NOON) is message


@pytest.mark.parametrize("status", ["sent", "undelivered"])
def test_a_message_under_its_own_sid_is_never_superseded(status: str) -> None:
    message = a_message(status)

    assert message.as_superseded(NOON) is message
