import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from delivery.domain.audits import (
    FINAL_AFTER,
    FIRST_AFTER,
    AuditProgress,
    AuditState,
    Correction,
    Difference,
    end_of,
)
from delivery.domain.messages import Source
from delivery.domain.notices import NoticeState
from delivery.domain.statuses import Outcome
from tests.functions.auditor import AuditorRig, listing
from tests.support.embedded_metrics import total
from tests.support.faults import WrappedClient, make_unreadable
from tests.support.virtual_twilio import ACCOUNT_SID, Fault, a_response

UNDELIVERED = "+15555530003"
ONE_SECOND = timedelta(seconds=1)
TOKEN_EXPIRED = a_response(400, b'{"code": 21481}')


def test_a_late_delivery_replaces_a_failure_and_makes_its_recovery_due(auditor: AuditorRig) -> None:
    sid = auditor.send()
    failed = auditor.apply(sid, "undelivered", error_code=30003)
    claimed = auditor.messages.advance_notice(failed, auditor.twilio.now)
    assert claimed is not None
    auditor.messages.advance_notice(claimed, auditor.twilio.now)

    auditor.run_next_day()

    message = auditor.message(sid)
    assert (message.outcome, message.notice) == (Outcome.DELIVERED, NoticeState.RECOVERY_DUE)
    assert message.transitions[-1].source is Source.AUDIT
    assert auditor.result().corrected[Correction.STATUS] == 1


def test_the_notice_of_a_failure_that_the_audit_finds_is_due_and_names_the_day_of_the_send(
    auditor: AuditorRig,
) -> None:
    auditor.advance(hours=11, minutes=59, seconds=59.5)
    sid = auditor.send(To=UNDELIVERED)
    auditor.advance(days=1)

    auditor.run({"on": "2026-11-24"})

    message = auditor.message(sid)
    assert (message.error_code, message.notice) == (30003, NoticeState.DUE)
    assert message.created_at.date() == date(2026, 11, 23)
    assert message.audited_day == date(2026, 11, 24)
    assert "sent_on" not in message.as_record()


def test_a_correction_of_the_price_alone_does_not_store_the_day(auditor: AuditorRig) -> None:
    sid = auditor.send()
    auditor.apply(sid, "delivered")

    auditor.run_next_day()

    message = auditor.message(sid)
    assert (message.price, message.sent_on) == ("-0.00750", None)


def test_what_twilio_has_lower_or_other_is_counted_with_its_sid(auditor: AuditorRig) -> None:
    lower = auditor.send(To="+15555550105")  # stays sent
    auditor.apply(lower, "delivered")
    other = auditor.send(To=UNDELIVERED)
    auditor.apply(other, "undelivered", error_code=30005)
    erased = auditor.send()
    auditor.messages.erase(erased, at=auditor.twilio.now, expires_at=2**40)

    auditor.run_next_day()

    result = auditor.result()
    assert {reason: set(sids) for reason, sids in result.difference_sids.items()} == {
        Difference.LOWER_STATUS: {lower},
        Difference.OTHER_ERROR_CODE: {other},
        Difference.ERASED: {erased},
    }
    assert auditor.message(other).error_code == 30005
    assert auditor.messages.get(erased) is None


def test_a_result_that_cannot_be_read_does_not_stop_the_other_accounts(auditor: AuditorRig) -> None:
    subaccount_sid = auditor.add_subaccount()
    auditor.run_by_hand()
    name = f"audit#{ACCOUNT_SID}#{auditor.day}"
    make_unreadable(auditor.dynamodb, "ControlTable", name=name)
    auditor.advance(days=1)
    auditor.data_points()

    auditor.run_by_hand()

    assert auditor.result(subaccount_sid).state is AuditState.FIRST
    assert total(auditor.data_points(), "ItemUnreadable") == 1


@pytest.mark.parametrize(("stored", "body"), [("true", "Hello"), ("false", None)])
def test_a_message_that_the_table_does_not_know_is_imported_only_in_mode_all(
    auditor: AuditorRig, stored: str, body: str | None
) -> None:
    sid = auditor.send(known=False, Body="Hello")

    auditor.run_next_day()
    tracked = (auditor.messages.get(sid), auditor.result().unknown)
    auditor.run_by_hand(AUDIT_MODE="all", STORE_MESSAGE_BODY=stored)

    assert tracked == (None, 1)
    message = auditor.message(sid)
    assert message.outcome is Outcome.DELIVERED
    assert message.created_at.date() == auditor.day
    assert (message.account_sid, message.body) == (ACCOUNT_SID, body)
    assert auditor.result().imported == 1


def test_a_message_that_the_list_shows_without_its_account_is_of_the_audited_one(
    auditor: AuditorRig,
) -> None:
    sid = "SM" + "d" * 32
    listed = {"sid": sid, "status": "delivered", "direction": "outbound-api", "to": "+15558675310"}
    auditor.wire.fault = listing(listed)

    auditor.run_next_day(AUDIT_MODE="all")

    assert auditor.message(sid).account_sid == ACCOUNT_SID


@pytest.mark.parametrize(("days", "imported"), [(6, 1), (7, 0), (29, 0)])
def test_a_message_whose_retention_is_over_is_not_imported(
    auditor: AuditorRig, days: int, imported: int
) -> None:
    sid = auditor.send(known=False, To=UNDELIVERED)
    auditor.advance(days=days)

    auditor.run_by_hand(AUDIT_MODE="all", MESSAGE_RETENTION_DAYS="7")

    assert (auditor.result().imported, auditor.result().unknown) == (imported, 1 - imported)
    message = auditor.messages.get(sid)
    assert (message is not None) == bool(imported)
    if message is not None:
        assert message.expires_at == int((message.created_at + timedelta(days=7)).timestamp())


def test_a_message_that_is_erased_while_it_is_imported_counts_as_not_written(
    auditor: AuditorRig,
) -> None:
    sid = auditor.send(known=False)
    auditor.advance(days=1)

    def erasing(name: str, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = call(**arguments)
        if name == "batch_get_item":
            auditor.messages.erase(sid, at=auditor.twilio.now, expires_at=2**40)
        return answer

    client = WrappedClient(auditor.dynamodb, erasing)
    function = auditor.build(dynamodb=client, AUDIT_MODE="all")
    function.audit(auditor.day, lambda: auditor.seconds_left)

    assert auditor.result().imported == 0
    assert auditor.result().difference_sids == {Difference.NOT_WRITTEN: (sid,)}
    assert auditor.messages.get(sid) is None


def test_an_item_that_cannot_be_read_is_counted_and_does_not_stop_the_audit(
    auditor: AuditorRig,
) -> None:
    unreadable, other = auditor.send(), auditor.send()
    make_unreadable(auditor.dynamodb, "MessagesTable", message_sid=unreadable)

    auditor.run_next_day(AUDIT_MODE="all")

    assert auditor.message(other).outcome is Outcome.DELIVERED
    assert auditor.result().difference_sids == {Difference.NOT_WRITTEN: (unreadable,)}


def test_a_rejected_creation_is_counted_and_never_imported(auditor: AuditorRig) -> None:
    auditor.twilio.post(To="+15005550001")

    auditor.run_next_day(AUDIT_MODE="all")

    result = auditor.result()
    assert (result.messages, result.rejected_creations, result.imported) == (1, 1, 0)
    assert auditor.dynamodb.scan(TableName="MessagesTable")["Count"] == 0


def test_inbound_messages_are_left_out(auditor: AuditorRig) -> None:
    listed = {"sid": "SM" + "1" * 32, "status": "received", "direction": "inbound"}
    auditor.wire.fault = listing(listed)

    auditor.run_next_day(AUDIT_MODE="all")

    assert auditor.result().messages == 0


def test_corrections_are_counted_by_kind_and_not_as_failures(auditor: AuditorRig) -> None:
    auditor.send(To=UNDELIVERED)
    auditor.send()

    auditor.run_next_day()

    points = auditor.data_points()
    assert total(points, "AuditCorrected", kind="status") == 2
    assert total(points, "AuditCorrectedPercent", service="tested") == 100
    assert total(points, "AuditRun", service="tested") == 1
    for name in ("MessageFailed", "TimeToDelivered", "TransitionRecorded"):
        assert total(points, name) is None


def test_a_second_audit_of_a_day_writes_nothing(auditor: AuditorRig) -> None:
    sids = [auditor.send() for _ in range(3)]
    auditor.run_next_day()
    before = [auditor.message(sid) for sid in sids]

    auditor.run_by_hand()

    assert [auditor.message(sid) for sid in sids] == before
    assert auditor.result().corrected_messages == 0
    assert (auditor.result().messages, auditor.result().known) == (3, 3)


def test_the_first_day_of_an_account_is_audited_although_the_first_run_failed(
    auditor: AuditorRig,
) -> None:
    auditor.send()
    auditor.advance(days=1)
    auditor.wire.fault = lambda _: a_response(500)
    auditor.run()
    auditor.wire.fault = lambda _: None
    auditor.advance(days=2)

    auditor.run()

    assert auditor.result().state is AuditState.FIRST


def test_an_account_begins_with_yesterday_and_each_day_is_audited_twice(
    auditor: AuditorRig,
) -> None:
    auditor.send()
    auditor.advance(hours=12, minutes=30)  # 00:30 of the next day
    states = []
    for hours in (0, 5, 1, 24 * 3 + 17, 1):
        auditor.advance(hours=hours)
        auditor.run()
        found = auditor.audits.result(ACCOUNT_SID, auditor.day)
        states.append(found and found.state)

    assert states == [None, None, AuditState.FIRST, AuditState.FIRST, AuditState.FINAL]


def test_a_run_with_old_progress_does_not_begin_an_audited_day_again(auditor: AuditorRig) -> None:
    auditor.send()
    auditor.advance(days=1)
    auditor.run()
    audited = auditor.result()
    # What a run that started at the same time has read.
    auditor.audits.save_progress(AuditProgress(account_sid=ACCOUNT_SID, first_day=auditor.day))
    auditor.wire.fault = lambda _: a_response(500, b"{}")

    auditor.run()

    assert audited.state is AuditState.FIRST
    assert auditor.result() == audited
    progress = auditor.audits.progress(ACCOUNT_SID, first_day=auditor.day)
    assert progress.first_until == auditor.day


def test_a_day_that_is_not_six_hours_over_is_partial_and_counts_as_neither(
    auditor: AuditorRig,
) -> None:
    auditor.send()
    auditor.advance(hours=13)
    auditor.run_by_hand()
    partial = auditor.result().state

    auditor.advance(hours=6)
    auditor.run()

    assert partial is AuditState.PARTIAL
    assert auditor.result().state is AuditState.FIRST


@pytest.mark.parametrize(
    ("over_for", "state"),
    [
        (FIRST_AFTER - ONE_SECOND, AuditState.PARTIAL),
        (FIRST_AFTER, AuditState.FIRST),
        (FINAL_AFTER - ONE_SECOND, AuditState.FIRST),
        (FINAL_AFTER, AuditState.FINAL),
    ],
)
def test_a_requested_audit_is_as_final_as_the_age_of_its_day(
    auditor: AuditorRig, over_for: timedelta, state: AuditState
) -> None:
    until = end_of(auditor.day) + over_for
    auditor.advance(seconds=(until - auditor.twilio.now).total_seconds())

    auditor.run_by_hand()

    assert auditor.result().state is state


@pytest.mark.parametrize("status", [None, 429], ids=["done", "interrupted"])
def test_a_result_has_the_time_at_which_the_audit_ended(
    auditor: AuditorRig, status: int | None
) -> None:
    auditor.advance(days=1)
    began_at = auditor.twilio.now

    def slow(_: object) -> requests.Response | None:
        auditor.advance(minutes=1)
        return a_response(status) if status else None

    auditor.wire.fault = slow
    auditor.run_by_hand()

    assert auditor.result().updated_at == began_at + timedelta(minutes=1)
    assert auditor.result().lease_until is None


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list has two messages on a page."""
    monkeypatch.setattr("delivery.twilio.client.PAGE_SIZE", 2)


def throttled_after(pages: int) -> Fault:
    """Answer 429 after so many pages."""
    left = iter(range(pages))
    return lambda _: None if next(left, None) is not None else a_response(429, b"{}")


@pytest.mark.usefixtures("small_pages")
def test_a_run_that_ends_at_429_is_continued_from_its_last_page(auditor: AuditorRig) -> None:
    sids = [auditor.send() for _ in range(5)]
    auditor.wire.fault = throttled_after(1)

    auditor.run_next_day()
    interrupted = auditor.result()

    auditor.wire.fault = lambda _: None
    auditor.wire.requests.clear()
    auditor.run_by_hand()

    assert (interrupted.state, interrupted.messages) == (AuditState.RUNNING, 2)
    assert len(auditor.wire.requests) == 2
    assert (auditor.result().state, auditor.result().messages) == (AuditState.FIRST, 5)
    assert {auditor.message(sid).outcome for sid in sids} == {Outcome.DELIVERED}


def refused_for(account_sid: str, status: int = 401) -> Fault:
    """Refuse every request of one account: its credentials, or with another status."""
    return lambda request: a_response(status) if account_sid in str(request.url) else None


def audit_again_without_subaccount(auditor: AuditorRig) -> str:
    """Audit a day twice, the second time by hand while Twilio refuses the returned subaccount."""
    subaccount_sid = auditor.add_subaccount()
    auditor.advance(days=1)
    auditor.run()
    auditor.wire.fault = refused_for(subaccount_sid)
    auditor.run_by_hand()
    return subaccount_sid


def test_only_the_account_whose_requested_audit_is_unfinished_is_audited_again(
    auditor: AuditorRig,
) -> None:
    subaccount_sid = audit_again_without_subaccount(auditor)
    finished = auditor.result()
    auditor.wire.requests.clear()

    auditor.run()
    auditor.wire.fault = lambda _: None
    auditor.run()
    auditor.run()

    assert auditor.result() == finished
    assert len(auditor.wire.requests) == 2  # one was refused
    assert auditor.result(subaccount_sid).state is AuditState.FIRST


def test_a_requested_audit_that_another_run_finished_meanwhile_is_continued_when_it_ends_early(
    auditor: AuditorRig,
) -> None:
    subaccount_sid = auditor.add_subaccount()
    auditor.advance(days=1)
    auditor.run()

    def meanwhile_scheduled(_: requests.PreparedRequest) -> None:
        auditor.wire.fault = lambda _: None
        auditor.run()  # it audits the subaccount, while this run has the account
        auditor.wire.fault = refused_for(subaccount_sid, 429)

    auditor.wire.fault = meanwhile_scheduled
    auditor.run_by_hand()
    interrupted = auditor.result(subaccount_sid)
    auditor.wire.fault = lambda _: None
    auditor.run()

    assert interrupted.state is AuditState.RUNNING
    assert auditor.result(subaccount_sid).state is AuditState.FIRST
    assert auditor.audits.requested() == ()


def test_a_requested_audit_waits_while_its_account_is_not_in_the_secret(
    auditor: AuditorRig,
) -> None:
    subaccount_sid = audit_again_without_subaccount(auditor)
    auditor.wire.fault = lambda _: None
    auditor.put_secret()
    auditor.run()
    waiting = auditor.result(subaccount_sid)
    auditor.add_subaccount()

    auditor.run()

    assert waiting.state is AuditState.RUNNING
    assert auditor.result(subaccount_sid).state is AuditState.FIRST


@pytest.mark.parametrize(
    ("status", "metric"),
    [(429, "AuditInterrupted"), (401, "CredentialsRefused"), (400, "AuditRejected")],
)
def test_an_interruption_is_reported_with_its_account_and_day_and_does_not_stop_the_others(
    auditor: AuditorRig, status: int, metric: str
) -> None:
    subaccount_sid = auditor.add_subaccount()
    auditor.wire.fault = refused_for(ACCOUNT_SID, status)

    auditor.run_next_day()

    (line,) = auditor.lines(metric)
    assert (line["account_sid"], line["day"]) == (ACCOUNT_SID, auditor.day.isoformat())
    (audited,) = auditor.lines("DayAudited")
    assert (audited["account_sid"], audited["day"]) == (subaccount_sid, auditor.day.isoformat())
    assert total(auditor.data_points(), "AuditRun", service="tested") == (status != 400)
    assert bool(auditor.audits.requested()) == (status != 400)


def test_a_run_without_time_begins_no_page(auditor: AuditorRig) -> None:
    auditor.send()
    auditor.advance(days=1)
    auditor.seconds_left = 30.0

    auditor.run_by_hand()

    assert auditor.wire.requests == []
    assert auditor.result().state is AuditState.RUNNING


@pytest.mark.usefixtures("small_pages")
def test_the_backlog_of_an_account_does_not_starve_another(auditor: AuditorRig) -> None:
    subaccount_sid = auditor.add_subaccount()
    for _ in range(20):
        auditor.send()
    auditor.advance(days=1)

    def takes_long(_: requests.PreparedRequest) -> None:
        auditor.seconds_left = 30.0

    auditor.wire.fault = takes_long
    for _ in range(2):
        auditor.seconds_left = 900.0
        auditor.run()
        auditor.advance(hours=1)

    assert auditor.result().state is AuditState.RUNNING
    assert auditor.result(subaccount_sid).state is AuditState.FIRST


@pytest.mark.usefixtures("small_pages")
def test_a_day_whose_page_token_expired_starts_again(auditor: AuditorRig) -> None:
    for _ in range(5):
        auditor.send()
    auditor.wire.fault = throttled_after(2)

    auditor.run_next_day()
    expired = iter([TOKEN_EXPIRED])
    auditor.wire.fault = lambda _: next(expired, None)

    auditor.run_by_hand()

    assert (auditor.result().state, auditor.result().messages) == (AuditState.FIRST, 5)


@pytest.mark.usefixtures("small_pages")
def test_a_day_whose_page_tokens_expire_at_once_starts_again_with_the_next_run(
    auditor: AuditorRig,
) -> None:
    for _ in range(5):
        auditor.send()
    auditor.wire.fault = lambda it: TOKEN_EXPIRED if "PageToken" in str(it.url) else None

    auditor.run_next_day()
    made = len(auditor.wire.requests)
    interrupted = auditor.result()
    auditor.wire.fault = lambda _: None

    auditor.run_by_hand()

    assert made == 2
    assert (interrupted.state, interrupted.messages) == (AuditState.RUNNING, 0)
    assert (auditor.result().state, auditor.result().messages) == (AuditState.FIRST, 5)


def a_list_in_a_loop(
    auditor: AuditorRig, pages: int, back_to: int, *, throttled_each: int
) -> Fault:
    """Answer with pages of one unknown message each; the last one leads back to an earlier one.

    One request after each `throttled_each` pages gets a 429, which ends the run.
    """
    path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?Page="

    def answer(request: requests.PreparedRequest) -> requests.Response:
        number = int(str(request.url).partition("?Page=")[2] or 0)
        following = number + 1 if number + 1 < pages else back_to
        message = {"sid": f"SM{number:032x}", "status": "sent", "direction": "outbound-api"}
        page = {"messages": [message], "next_page_uri": f"{path}{following}"}
        made = len(auditor.wire.requests)
        assert made < 10 * pages, "it reads for ever"
        if made % (throttled_each + 1) == 0:
            return a_response(429)
        return a_response(200, json.dumps(page).encode())

    return answer


@pytest.mark.parametrize(
    ("pages", "back_to", "pages_of_a_run"),
    [(1, 0, 1), (2, 1, 1), (5, 1, 1), (5, 4, 100), (9, 0, 100), (17, 3, 100)],
)
def test_a_day_whose_list_leads_back_to_an_earlier_page_starts_again(
    auditor: AuditorRig, pages: int, back_to: int, pages_of_a_run: int
) -> None:
    auditor.send()
    auditor.advance(days=1)
    auditor.wire.fault = a_list_in_a_loop(auditor, pages, back_to, throttled_each=pages_of_a_run)
    for _ in range(4 * pages):
        auditor.run_by_hand()
        if auditor.result().next_page is None:
            break
    looped = auditor.result()

    auditor.wire.fault = lambda _: None
    auditor.run_by_hand()

    assert (looped.state, looped.messages) == (AuditState.RUNNING, 0)
    assert looped.lease_until is None
    assert (auditor.result().state, auditor.result().messages) == (AuditState.FIRST, 1)


def test_a_price_that_appears_later_is_learned_and_spend_is_counted(auditor: AuditorRig) -> None:
    simulator = auditor.twilio.simulator
    simulator.settings = simulator.settings.changed({"price_delay_seconds": 20 * 3600.0})
    sid, segments = auditor.send(Body="a" * 161), 2
    auditor.advance(hours=18, minutes=30)
    auditor.run()
    first = auditor.result()

    auditor.advance(days=4)
    auditor.run()

    message, final = auditor.message(sid), auditor.result()
    assert (first.state, first.spend) == (AuditState.FIRST, {})
    assert (message.price, message.price_unit) == ("-0.01500", "USD")
    assert message.num_segments == str(segments)
    assert (final.state, final.spend) == (AuditState.FINAL, {"USD": Decimal("0.01500")})
    assert final.corrected == {Correction.PRICE: 1}


def test_a_price_whose_unit_the_list_lacks_counts_in_the_currency_that_is_known(
    auditor: AuditorRig,
) -> None:
    sid = auditor.send()
    auditor.apply(sid, "delivered", price_unit="eur")
    listed = {"sid": sid, "status": "delivered", "direction": "outbound-api", "price": "-0.5"}
    auditor.wire.fault = listing(listed)

    auditor.run_next_day()

    message = auditor.message(sid)
    assert (message.price, message.price_unit) == ("-0.5", "eur")
    assert auditor.result().spend == {"EUR": Decimal("0.5")}


@pytest.mark.parametrize("on", ["2026-13-01", 7, "2026-11-24"])
def test_a_day_that_cannot_be_audited_is_refused(auditor: AuditorRig, on: object) -> None:
    with pytest.raises(ValueError, match="'on'"):
        auditor.run({"on": on})
