"""A request to send, as it is remembered: claimed once, posted at most once, settled by evidence.

Pure. Nobody takes a claim over: a claim without a result, once its lease is over, is in doubt, and
stays so until evidence settles it. What may have left is never posted again.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from delivery.domain.messages import SHARDS, Record, plain

_CLOCKS_DIFFER: Final = timedelta(minutes=5)
_TIMES: Final = frozenset({"send_at", "claimed_at", "lease_until"})

UNRESOLVED_KEYS: Final = tuple(f"unresolved#{shard}" for shard in SHARDS)
"""Every value of `unresolved`: where to look for requests that are to be settled."""


class RequestState(StrEnum):
    """What became of a request."""

    IN_PROGRESS = "in_progress"
    SENT = "sent"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"
    PRESUMED_UNSENT = "presumed_unsent"
    """Nothing speaks for its having been sent, but nothing can prove that it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """One request to send, with what settling it needs.

    `claim_id` is random for each try to claim it, so that an invocation knows its own claim when
    its client repeated the write. `content_digest` tells another content under the same key;
    `body_digest` is there only where Twilio shows the body as it was given. `unresolved` is the key
    of a sparse index, gone once nothing is left to find out.
    """

    request_id: str
    claim_id: str
    content_digest: str
    account_sid: str
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
    """Of a refused request: Twilio's."""
    unresolved: str | None = None
    expires_at: int | None = None

    def state_at(self, now: datetime) -> RequestState:
        """The state, seen at `now`: a claim whose lease is over without a result is in doubt."""
        if self.state is RequestState.IN_PROGRESS and now >= self.lease_until:
            return RequestState.IN_DOUBT
        return self.state

    @property
    def sent_since(self) -> datetime:
        """No message of this request was heard of before; clocks may differ a little."""
        return self.claimed_at - _CLOCKS_DIFFER

    def claimed(self) -> Self:
        """As it is when it is claimed: on the list of what is to be settled."""
        return replace(self, unresolved=f"unresolved#{self.request_id[-1]}")

    def completed(
        self,
        state: RequestState,
        *,
        at: datetime,
        kept_for: timedelta,
        message_sid: str | None = None,
        error_code: int | None = None,
    ) -> Self:
        """As it is when its result is known.

        A request that was not found stays on the list: a callback that comes late still turns it
        into sent.
        """
        final = state in {RequestState.SENT, RequestState.REJECTED}
        return replace(
            self,
            state=state,
            message_sid=message_sid,
            error_code=error_code,
            unresolved=None if final else self.unresolved,
            expires_at=None if state is RequestState.IN_DOUBT else int((at + kept_for).timestamp()),
        )

    def awaiting_message(self) -> Self:
        """Sent, and on the list while its message is not in the table with all that it told of it.

        Perhaps nobody else will ever tell of that message.
        """
        return self.claimed()

    def closed(self) -> Self:
        """Not found, and taken from the list: nothing is expected to come any more."""
        return replace(self, unresolved=None)

    def erased(self, *, at: datetime, kept_for: timedelta) -> Self:
        """Without anything about its recipient: what is left keeps its key used.

        The claim's id is another one, so that nobody who saw the request before can settle it, and
        so write what is erased here.
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
            unresolved=None,
            expires_at=self.expires_at or int((at + kept_for).timestamp()),
        )

    def as_record(self) -> Record:
        """The request as plain data: absent facts left out, times ISO 8601."""
        record: Record = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if value not in (None, "", {}):
                record[item.name.rstrip("_")] = plain(value)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The request that `as_record` described; attributes that it does not know are ignored."""
        values: dict[str, Any] = {
            item.name: record[item.name.rstrip("_")]
            for item in fields(cls)
            if item.name.rstrip("_") in record
        }
        values |= {name: datetime.fromisoformat(values[name]) for name in _TIMES & values.keys()}
        values["state"] = RequestState(values["state"])
        return cls(**values)


def content_digest(
    parameters: Iterable[tuple[str, str]], reference: str | None, context: Mapping[str, str]
) -> str:
    """What tells two requests under the same key apart: SHA-256 of all that the caller said."""
    content = [list(parameters), reference, sorted(context.items())]
    return _sha256(json.dumps(content, ensure_ascii=True))


def body_digest(body: str) -> str:
    """SHA-256 of a body: enough to find it again, without keeping it."""
    return _sha256(body)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
