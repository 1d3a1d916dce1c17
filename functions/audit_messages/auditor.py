"""Audits a day of an account: compares Twilio's list of the day with the table, page by page.

A page is compared with one batch of reads, and only what differs is written, through the same
conditional write as a callback. The progress is saved after each page: what a run does not reach,
for whatever reason, the next one continues.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from delivery.domain.audits import (
    FINAL_AFTER,
    FIRST_AFTER,
    MAX_CATCH_UP,
    AuditResult,
    AuditState,
    Comparison,
    Difference,
    compare,
    end_of,
)
from delivery.domain.messages import Effect, Message, Source, StatusUpdate
from delivery.runtime.deadline import TimeLeft
from delivery.storage.audits import AuditStore
from delivery.storage.messages import Found, MessageStore
from delivery.storage.table import ItemUnreadable, StoreUnavailable
from delivery.twilio.client import (
    NEEDED_SECONDS,
    PAGES_REPEAT,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    TwilioClient,
    TwilioError,
    Unavailable,
)
from delivery.twilio.credentials import ApiCredentials, TwilioSecret

from . import reports
from .reports import AuditReport

# A page of a thousand messages, each of which may need a write.
_PAGE_SECONDS: Final = 30.0
_MAX_WRITERS: Final = 16
_PAGE_TOKEN_INVALID: Final = 21481
"""Source: https://www.twilio.com/docs/api/errors/21481"""


class AuditMode(StrEnum):
    """Which messages of Twilio's list an audit may write."""

    OFF = "off"
    TRACKED = "tracked"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """An update to write, with the message that it corrects; None for an import."""

    update: StatusUpdate
    message: Message | None = None
    comparison: Comparison = field(default_factory=Comparison)


class _AuditRestarts(OutcomeUnknown):
    """The list cannot be read to its end, and the next run starts the audit again."""

    def __init__(self, reason: str, restarted: AuditResult) -> None:
        super().__init__(reason)
        self.restarted = restarted


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """Audits the days that are due, or one day on request; `executor` makes the pool of writers."""

    twilio: TwilioClient
    messages: MessageStore
    audits: AuditStore
    mode: AuditMode
    retention: timedelta
    stores_body: bool
    now: Callable[[], datetime]
    executor: Callable[[int], ThreadPoolExecutor] = ThreadPoolExecutor

    def audit_due_days(self, secret: TwilioSecret, time_left: TimeLeft) -> Iterator[AuditReport]:
        """Audit every day that is due, account by account, the oldest day first.

        Each hour another account is the first, so that no backlog of one starves the others.
        Then continue the requested audits that have not ended. An account that is missing from the
        secret waits until the secret has it again.

        Raises:
            StoreUnavailable: the progress cannot be read or saved.
        """
        self.audits.add_accounts(secret.account_sids)
        first = self.now().hour % len(secret.account_sids)
        for account_sid in (*secret.account_sids[first:], *secret.account_sids[:first]):
            yesterday = (self.now() - timedelta(days=1)).date()
            progress = self.audits.progress(account_sid, first_day=yesterday)
            for day, target in progress.due(self.now(), retention=self.retention):
                result = yield from self._audit(
                    secret, account_sid, day, target, time_left, again=False
                )
                if result is None or result.state is not target:
                    break  # in order: a later day waits for this one
                progress = progress.audited(day, target)
                self.audits.save_progress(progress)
            if progress.first_until is None:  # the first day must stay the same in later runs
                self.audits.save_progress(progress)
        for day, account_sid in self.audits.requested():
            if secret.has_account(account_sid):
                yield from self._audit_requested(secret, account_sid, day, time_left)

    def audit_day(
        self, secret: TwilioSecret, day: date, time_left: TimeLeft
    ) -> Iterator[AuditReport]:
        """Audit one day of every account now, whatever its age.

        Each account's audit is kept until it is done or Twilio rejects its list: the next scheduled
        run continues an audit that ended early, also of a day that had been audited before.

        Raises:
            StoreUnavailable: the progress cannot be read or saved.
        """
        self.audits.add_accounts(secret.account_sids)
        self.audits.add_requested(day, secret.account_sids)
        for account_sid in secret.account_sids:
            yield from self._audit_requested(secret, account_sid, day, time_left)

    def _audit_requested(
        self, secret: TwilioSecret, account_sid: str, day: date, time_left: TimeLeft
    ) -> Iterator[AuditReport]:
        age = self.now() - end_of(day)
        target = AuditState.PARTIAL
        if age >= FIRST_AFTER:
            target = AuditState.FINAL if age >= FINAL_AFTER else AuditState.FIRST
        result = yield from self._audit(secret, account_sid, day, target, time_left)
        if result is not None and result.state is target:
            self.audits.remove_requested(result)

    def _audit(  # noqa: PLR0913 -- which day to audit, with what, and for how long
        self,
        secret: TwilioSecret,
        account_sid: str,
        day: date,
        target: AuditState,
        time_left: TimeLeft,
        *,
        again: bool = True,
    ) -> Generator[AuditReport, None, AuditResult | None]:
        """Audit a day of an account; returns its result, None if the run cannot go on.

        Without `again`, a day that another run has audited meanwhile is left as it is.
        """
        try:
            result = self.audits.claim(account_sid, day, target, self.now(), again=again)
        except ItemUnreadable as error:  # the other accounts go on
            yield reports.unreadable(error, account_sid, day)
            return None
        if result is None or result.state is target:
            return result
        claimed = result
        try:
            credentials = secret.for_account(account_sid)
            while result.state is AuditState.RUNNING:
                saved = self._audit_page(credentials, result, time_left, is_first=result is claimed)
                if saved is None:
                    return None  # another run took it over
                result = saved
        except TwilioError as error:
            state = AuditState.FAILED if isinstance(error, RequestRejected) else result.state
            reached = error.restarted if isinstance(error, _AuditRestarts) else result
            released = replace(reached, state=state, lease_until=None, updated_at=self.now())
            saved = self.audits.save(released)
            if again and saved and saved.state is AuditState.FAILED:
                self.audits.remove_requested(saved)  # Twilio would reject it every hour
            yield reports.interrupted(error, result)
            return None
        yield from reports.audited(result)
        return result

    def _audit_page(
        self,
        credentials: ApiCredentials,
        result: AuditResult,
        time_left: TimeLeft,
        *,
        is_first: bool,
    ) -> AuditResult | None:
        """Audit the next page; returns the saved result, None if another run took it over.

        `is_first`: whether it is the first page that this run reads.

        Raises:
            TwilioError: the page cannot be read, and nothing of it was written; or the audit has to
                start again.
            StoreUnavailable: the table cannot be read, or the result is not known to be saved.
        """
        if time_left() <= NEEDED_SECONDS + _PAGE_SECONDS:
            raise Unavailable("too little time is left for another page")
        try:
            page = self.twilio.list_page(
                credentials, sent_on=result.day, path=result.next_page, time_left=time_left
            )
        except RequestRejected as rejected:
            if rejected.code != _PAGE_TOKEN_INVALID or result.next_page is None:
                raise
            # The token of a page expires: the day starts again, and what is written stays.
            restarted = result.restarted(self.now())
            if not is_first:  # this run got the token just now: the next one may expire as fast
                raise _AuditRestarts(str(rejected), restarted) from rejected
            return self.audits.save(restarted)
        after = self._compare_page(result, page.messages)
        now = self.now()
        if page.next_path is None:
            done = replace(after, next_page=None, marked_page=None, lease_until=None)
            return self.audits.save(replace(done, state=result.target, updated_at=now))
        if result.leads_back(page.next_path):
            raise _AuditRestarts(PAGES_REPEAT, after.restarted(now))
        return self.audits.save(replace(after.continued(page.next_path), updated_at=now))

    def _compare_page(self, result: AuditResult, listed: Sequence[MessageResource]) -> AuditResult:
        """Compare a page with the table and write what differs; returns the result with it."""
        outbound = {it.sid: it for it in listed if (it.direction or "").startswith("outbound")}
        found = self.messages.find(outbound)
        result = replace(
            result,
            messages=result.messages + len(outbound),
            known=result.known + len(found.messages),
        )
        writes: list[_Write] = []
        for resource in outbound.values():
            message = found.messages.get(resource.sid)
            known_unit = message.price_unit if message else None  # it stays where the list has none
            result = result.with_price(resource.price, resource.price_unit or known_unit)
            if message:
                write, result = self._compare_known(resource, message, result)
            else:
                write, result = self._classify_unknown(resource, found, result)
            if write is not None:
                writes.append(write)
        for write, written in self._write_all(writes):
            if not written:
                result = result.with_difference(Difference.NOT_WRITTEN, write.update.message_sid)
            elif write.message is None:
                result = replace(result, imported=result.imported + 1)
            else:
                result = result.corrected_by(write.comparison)
        return result

    def _compare_known(
        self, resource: MessageResource, message: Message, result: AuditResult
    ) -> tuple[_Write | None, AuditResult]:
        comparison = compare(message, self._update_from(resource, result))
        for reason in sorted(comparison.differences):
            result = result.with_difference(reason, resource.sid)
        if comparison.update is None:
            return None, result
        return _Write(update=comparison.update, message=message, comparison=comparison), result

    def _classify_unknown(
        self, resource: MessageResource, found: Found, result: AuditResult
    ) -> tuple[_Write | None, AuditResult]:
        if resource.sid in found.erased:
            return None, result.with_difference(Difference.ERASED, resource.sid)
        if resource.sid in found.unreadable:
            return None, result.with_difference(Difference.NOT_WRITTEN, resource.sid)
        if resource.may_be_rejected_creation:
            return None, replace(result, rejected_creations=result.rejected_creations + 1)
        if self.mode is AuditMode.ALL and self._may_import(resource, result.day):
            return _Write(update=self._update_from(resource, result)), result
        return None, replace(result, unknown=result.unknown + 1)

    def _write_all(self, writes: Sequence[_Write]) -> Iterator[tuple[_Write, bool]]:
        """Write in parallel; yield each write with whether it is stored."""
        if not writes:
            return
        with self.executor(min(_MAX_WRITERS, len(writes))) as pool:
            yield from zip(writes, pool.map(self._write, writes), strict=True)

    def _write(self, write: _Write) -> bool:
        try:
            if write.message is None:
                return self.messages.record(write.update).effect is not Effect.ERASED
            return self.messages.record_existing(write.message, write.update) is not None
        except StoreUnavailable:
            return False

    def _update_from(self, resource: MessageResource, result: AuditResult) -> StatusUpdate:
        update = resource.as_update(at=self.now(), source=Source.AUDIT, with_body=self.stores_body)
        account_sid = update.account_sid or result.account_sid
        return replace(update, account_sid=account_sid, sent_on=result.day)

    def _may_import(self, resource: MessageResource, day: date) -> bool:
        """Return whether the table would still have the message, and a tombstone if it was erased.

        Otherwise the import could bring back what the stack has deleted.
        """
        now = self.now()
        created_at = resource.date_created or end_of(day)
        is_kept = now < created_at + self.retention
        return is_kept and now - end_of(day) < MAX_CATCH_UP
