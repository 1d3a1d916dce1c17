"""The results and the progress of audits, in the ControlTable.

An audit claims its day with a lease, so that two runs do not count a page twice; a run that dies
loses its lease, and the next one goes on from the last page that was saved.

Errors:

    StoreUnavailable    a read failed, or a write is not known to be stored: retry later
    ItemUnreadable      this version cannot read a result
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from delivery.domain.audits import RESULT_RETENTION, AuditProgress, AuditResult, AuditState
from delivery.storage.expressions import Conditions
from delivery.storage.items import Item, as_record
from delivery.storage.table import StoreUnavailable, Table, parse_item, readable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ACCOUNTS_NAME: Final = "audit-accounts"
_REQUESTED_NAME: Final = "audits-requested"
_DAYS: Final = ("first_day", "first_until", "final_until")  # of an account's progress
_MAX_ATTEMPTS: Final = 5

LEASE: Final = timedelta(minutes=15)
"""How long a claim holds: the function's timeout."""


class RequestedAudit(NamedTuple):
    """The audit of a day of an account that was requested by hand."""

    day: date
    account_sid: str


type RequestedVersions = dict[RequestedAudit, int]
"""The requested audits, each with the version of its result at its last claim."""


class AuditStore:
    """The audits of one table.

    Args:
        client: a low-level DynamoDB client with timeouts and retries set.
        table_name: the ControlTable.
        unreadable: called with the name of each result that a list skips because this version
            cannot read it; without it, such a result raises ItemUnreadable.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        *,
        unreadable: Callable[[str], object] | None = None,
    ) -> None:
        self._table = Table(client, table_name)
        self._unreadable = unreadable

    def progress(self, account_sid: str, *, first_day: date) -> AuditProgress:
        """Return the progress of an account; one without any begins with `first_day`."""
        item = self._table.get(name=_progress_name(account_sid))
        if item is None:
            return AuditProgress(account_sid=account_sid, first_day=first_day)
        record = as_record(item)
        days = {name: date.fromisoformat(record[name]) for name in _DAYS if name in record}
        return AuditProgress(account_sid=account_sid, **days)

    def save_progress(self, progress: AuditProgress) -> None:
        """Store the progress of an account.

        Raises:
            StoreUnavailable: it is not known to be stored; a day may be audited again.
        """
        days = {name: getattr(progress, name) for name in _DAYS}
        record = {name: day.isoformat() for name, day in days.items() if day is not None}
        name = _progress_name(progress.account_sid)
        self._table.put({"name": name, "account_sid": progress.account_sid} | record, Conditions())

    def add_accounts(self, account_sids: Iterable[str]) -> None:
        """Remember the accounts that are audited, so that results can be listed without the secret.

        Raises:
            StoreUnavailable: it is not known to be stored; the next run stores it.
        """
        known = set(self.accounts())
        if known.issuperset(wanted := set(account_sids)):
            return
        record = {"name": _ACCOUNTS_NAME, "account_sids": sorted(known | wanted)}
        self._table.put(record, Conditions())

    def accounts(self) -> tuple[str, ...]:
        """Return the accounts that were audited."""
        item = self._table.get(name=_ACCOUNTS_NAME)
        return tuple(as_record(item)["account_sids"]) if item else ()

    def requested(self) -> tuple[RequestedAudit, ...]:
        """Return the audits that were requested and have not ended, by day and account."""
        return tuple(_versions_in(self._table.get(name=_REQUESTED_NAME)))

    def add_requested(self, day: date, account_sids: Iterable[str]) -> None:
        """Keep the audits of a requested day until they are done: the schedule continues them.

        Raises:
            StoreUnavailable: it is not known to be kept; request the audit again.
        """
        added = {RequestedAudit(day, account_sid): 0 for account_sid in account_sids}
        self._change_requested(lambda kept: added | kept)

    def remove_requested(self, done: AuditResult) -> None:
        """Remove a requested audit that is done, unless another run has claimed it again since.

        Raises:
            StoreUnavailable: it is not known to be removed; the day may be audited again.
        """
        audit = RequestedAudit(done.day, done.account_sid)
        self._change_requested(
            lambda kept: {
                it: version for it, version in kept.items() if it != audit or version > done.version
            }
        )

    def _change_requested(self, change: Callable[[RequestedVersions], RequestedVersions]) -> None:
        item = self._table.get(name=_REQUESTED_NAME)
        for _ in range(_MAX_ATTEMPTS):
            kept = _versions_in(item)
            changed = change(kept)
            if changed == kept:
                return
            unchanged = Conditions()
            if item:
                unchanged.require("#audits = :seen", seen=_texts(kept))
            else:
                unchanged.require("attribute_not_exists(#audits)")
            record = {"name": _REQUESTED_NAME, "audits": _texts(dict(sorted(changed.items())))}
            written, item = self._table.put(record, unchanged)
            if written:
                return
        raise StoreUnavailable("other runs kept changing the requested audits")

    def claim(
        self, account_sid: str, day: date, target: AuditState, now: datetime, *, again: bool = True
    ) -> AuditResult | None:
        """Claim a day's audit; None while another run holds it.

        An audit of the same kind that was interrupted goes on from its last saved page.

        Without `again`, a day that has the target's state is not claimed: its result is returned.
        With it, the audit is a requested one, and kept as such until it is done: another run may
        have finished and removed the same one since this run began.

        Raises:
            StoreUnavailable: it is not known to be claimed; do not audit.
            ItemUnreadable: this version cannot read what another run saved.
        """
        known = self.result(account_sid, day)
        if known and known.lease_until and now < known.lease_until:
            return None
        if known and known.state is target and not again:
            return known
        goes_on = known and known.state is AuditState.RUNNING and known.target is target
        claimed = AuditResult(
            account_sid=account_sid,
            day=day,
            state=AuditState.RUNNING,
            target=target,
            updated_at=now,
        )
        if known:
            claimed = replace(known if goes_on else claimed, version=known.version)
        if again:
            claims = {RequestedAudit(day, account_sid): claimed.version + 1}
            self._change_requested(lambda kept: kept | claims)
        claimed = replace(claimed, lease_until=now + LEASE, updated_at=now)
        return self.save(claimed)

    def save(self, result: AuditResult) -> AuditResult | None:
        """Store the result of an audit; None where another run took it over.

        Raises:
            StoreUnavailable: it is not known to be stored; the page is audited again.
        """
        stored = replace(result, version=result.version + 1)
        expires_at = int((result.updated_at + RESULT_RETENTION).timestamp())
        record = stored.as_item_record() | {
            "name": _result_name(result.account_sid, result.day),
            "expires_at": expires_at,
        }
        unchanged = Conditions()
        if result.version:
            unchanged.require("#version = :seen", seen=result.version)
        else:
            unchanged.require("attribute_not_exists(#version)")
        written, item = self._table.put(record, unchanged)
        if written:
            return stored
        if not item:
            raise StoreUnavailable("the result of an audit is gone")
        return None

    def result(self, account_sid: str, day: date) -> AuditResult | None:
        """Return the result of a day for an account; None where there is none.

        Raises:
            ItemUnreadable: this version cannot read it.
        """
        item = self._table.get(name=_result_name(account_sid, day))
        return _result(item) if item else None

    def results(self, days: Iterable[date]) -> Iterator[AuditResult]:
        """Return the results of these days, day by day, for every account that has one."""
        accounts = self.accounts()
        names = [_result_name(account_sid, day) for day in days for account_sid in accounts]
        return readable(self._table.get_many("name", names), _result, "name", self._unreadable)


def _result(item: Item) -> AuditResult:
    return parse_item(item, AuditResult.from_record, "a result")


def _versions_in(item: Item | None) -> RequestedVersions:
    texts = [text.split("#") for text in as_record(item)["audits"]] if item else []
    return {
        RequestedAudit(date.fromisoformat(day), account_sid): int(version)
        for day, account_sid, version in texts
    }


def _texts(requested: RequestedVersions) -> list[str]:
    return [f"{it.day.isoformat()}#{it.account_sid}#{version}" for it, version in requested.items()]


def _progress_name(account_sid: str) -> str:
    return f"audit#{account_sid}"


def _result_name(account_sid: str, day: date) -> str:
    return f"audit#{account_sid}#{day.isoformat()}"
