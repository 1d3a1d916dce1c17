"""A send request: claimed once, posted at most once, resolved by evidence.

Pure. A claim is never taken over: a claim without a result, once its lease is over, is in doubt and
stays so until evidence resolves it. A request that may have left is never posted again. Without
evidence in time it is presumed unsent (presumed abort).
https://en.wikipedia.org/wiki/Two-phase_commit_protocol#Presumed_abort_and_presumed_commit
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from delivery.domain.messages import Message
from delivery.domain.records import Record, plain

_CLOCK_SKEW: Final = timedelta(minutes=5)
_TIMES: Final = frozenset({"send_at", "claimed_at", "lease_until"})


class RequestState(StrEnum):
    """The state of a send request."""

    IN_PROGRESS = "in_progress"
    SENT = "sent"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"
    PRESUMED_UNSENT = "presumed_unsent"
    """No evidence says that it was sent; there is no proof that it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """One send request, with what resolving it needs.

    `claim_id` is random for each attempt to claim it, so that an invocation knows its own claim
    when its client repeated the write. `content_digest` detects other content under the same key;
    `body_digest` is set only where Twilio shows the body as the caller gave it. `is_unresolved`
    puts it on the reconciler's worklist.
    """

    request_id: str
    claim_id: str
    content_digest: str = ""
    """Blank for invalid input."""
    account_sid: str = ""
    """Blank for invalid input while the main account is not known."""
    to: str = field(default="", repr=False)
    """Blank once its recipient's data was erased."""
    from_: str | None = field(default=None, repr=False)
    messaging_service_sid: str | None = None
    body_digest: str | None = None
    send_at: datetime | None = None
    reference: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    state: RequestState = RequestState.IN_PROGRESS
    claimed_at: datetime
    lease_until: datetime
    message_sid: str | None = None
    error_code: int | None = None
    """Twilio's error code of a rejected request; of a claim, that of the rejected one before it."""
    is_unresolved: bool = False
    expires_at: int | None = None
    rejected_claim_id: str | None = None
    """The claim before this one, if it was rejected: its failure may be recorded and notified."""

    def state_at(self, now: datetime) -> RequestState:
        """Return the state at `now`: a claim without a result is in doubt after its lease."""
        if self.state is RequestState.IN_PROGRESS and now >= self.lease_until:
            return RequestState.IN_DOUBT
        return self.state

    @property
    def recorded_between(self) -> tuple[datetime, datetime]:
        """When its function can have recorded its message, given clock skew."""
        return self.claimed_at - _CLOCK_SKEW, self.lease_until + _CLOCK_SKEW

    def is_sent_as(self, message: Message) -> bool:
        """Return whether the message carries the request's id, and is of the request's account.

        A callback of another account that carries the id proves nothing.
        """
        return (
            message.request_id == self.request_id
            and not message.is_request
            and message.account_sid in {None, self.account_sid}
        )

    def claimed(self, *, after: "SendRequest | None" = None) -> Self:
        """Return the request as it is stored when it is claimed: on the worklist.

        `after` is the rejected request whose key it uses again. It keeps that one's error code, for
        the case that it becomes rejected again without a response from Twilio.
        """
        claimed = replace(self, is_unresolved=True)
        if after is None:
            return claimed
        return replace(claimed, rejected_claim_id=after.claim_id, error_code=after.error_code)

    def completed(
        self,
        state: RequestState,
        *,
        at: datetime,
        kept_for: timedelta,
        message_sid: str | None = None,
        error_code: int | None = None,
    ) -> Self:
        """Return the request with its result.

        One that is presumed unsent stays on the worklist: a late callback still turns it into sent.
        """
        final = state in {RequestState.SENT, RequestState.REJECTED}
        return replace(
            self,
            state=state,
            message_sid=message_sid,
            error_code=error_code,
            is_unresolved=self.is_unresolved and not final,
            expires_at=None if state is RequestState.IN_DOUBT else int((at + kept_for).timestamp()),
        )

    def awaiting_message(self) -> Self:
        """Return a sent request on the worklist, where it stays until the table has its message.

        The message is not in the table, or not in full, and no callback may ever complete it.
        """
        return replace(self, is_unresolved=True)

    def closed(self) -> Self:
        """Return the request off the worklist: no more evidence is expected."""
        return replace(self, is_unresolved=False)

    def erased(self, *, at: datetime, kept_for: timedelta) -> Self:
        """Return the request without its recipient's data; its key stays used.

        Its claim id changes, so that an invocation that read the request before cannot complete it
        and thereby write the erased data again.
        """
        return replace(
            self,
            claim_id="erased",
            to="",
            from_=None,
            messaging_service_sid=None,
            body_digest=None,
            send_at=None,
            reference=None,
            context={},
            is_unresolved=False,
            expires_at=self.expires_at or int((at + kept_for).timestamp()),
        )

    def as_record(self) -> Record:
        """Return the request as plain data: unknown facts left out, times as ISO 8601."""
        record: Record = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "is_unresolved" and value not in (None, "", {}):
                record[item.name.rstrip("_")] = plain(value)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, is_unresolved: bool = False) -> Self:
        """Read what `as_record` returned; unknown attributes are ignored."""
        values: dict[str, Any] = {
            item.name: record[item.name.rstrip("_")]
            for item in fields(cls)
            if item.name.rstrip("_") in record
        }
        values |= {name: datetime.fromisoformat(values[name]) for name in _TIMES & values.keys()}
        values["state"] = RequestState(values["state"])
        return cls(**values, is_unresolved=is_unresolved)


def content_digest(
    parameters: Iterable[tuple[str, str]], reference: str | None, context: Mapping[str, str]
) -> str:
    """Return the SHA-256 of everything that the caller requested, to detect other content."""
    content = [list(parameters), reference, sorted(context.items())]
    return _sha256(json.dumps(content, ensure_ascii=True))


def body_digest(body: str) -> str:
    """Return the SHA-256 of a body: enough to recognize it without keeping it."""
    return _sha256(body)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
