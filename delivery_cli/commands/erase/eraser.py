"""Erasing one person's data in the tables and at Twilio; repeatable until nothing is left.

A message is erased at Twilio first and then in the table: what the table still lists is what is
still to do, so a later run completes an interrupted one. A message that only Twilio knows gets its
tombstone first: once it is deleted there, no list would name it any more. The tombstone of a
message keeps a late callback from restoring it; a request keeps its key, so that it is never sent
again.

Data that is still in use is left, and reported with the reason: a message that Twilio is still
processing, or a request in doubt.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from delivery.domain.audits import MAX_CATCH_UP
from delivery.domain.messages import Message
from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.message_lists import MessageList
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import ItemUnreadable
from delivery.text.addresses import addresses_of
from delivery.text.identifiers import is_request_id
from delivery.twilio.client import (
    NEEDED_SECONDS,
    NOT_COMPLETE,
    MessageResource,
    RequestRejected,
    TwilioClient,
    TwilioError,
)
from delivery.twilio.credentials import ApiCredentials, TwilioSecret, UnknownAccount

# As long as an audit may import a message. A callback or a redriven dead letter is not delayed for
# so long: queues keep messages for 14 days.
_TOMBSTONE_LIFETIME: Final = MAX_CATCH_UP
_MAX_PAUSE_SECONDS: Final = 60.0
"""The erasure waits for a shorter Retry-After only; after a longer one, it has to be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A message, request or account that was processed; `reason` is why it is left, if it is."""

    id: str
    reason: str = ""

    @property
    def is_left(self) -> bool:
        """Whether it was not erased."""
        return bool(self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Counts of the person's data; a message in the table and at Twilio counts in both."""

    messages: int
    requests: int
    at_twilio: int


class TwilioAccounts:
    """The person's messages in every Twilio account of the secret.

    After a failed request, an account gets no more deletions, so that an outage ends soon.
    """

    def __init__(self, client: TwilioClient, secret: TwilioSecret) -> None:
        self._client = client
        self._secret = secret
        self._failures: dict[str, str] = {}

    def messages_to(self, addresses: Iterable[str]) -> Iterator[MessageResource | Step]:
        """Yield the messages in Twilio's lists, and a step for each list that cannot be read."""
        for account_sid in self._secret.account_sids:
            try:
                credentials = self._secret.for_account(account_sid)
                for address in addresses:
                    yield from self._listed(credentials, address)
            except TwilioError as error:
                yield Step(id=account_sid, reason=f"Twilio's list of messages failed: {error}")

    def _listed(self, credentials: ApiCredentials, address: str) -> Iterator[MessageResource]:
        """Yield the messages to an address, without their text, once all of them are read.

        The path of a page names a message of the page before, and fails once that is deleted.
        """
        listed: list[MessageResource] = []
        failure: TwilioError | None = None
        try:
            for page in self._client.list_messages(credentials, to=address, time_left=_time_left):
                listed += (replace(it, body=None) for it in page if it.to in {None, address})
        except TwilioError as error:
            failure = error
        yield from listed
        # Twilio rejects the list of a channel that it does not support, which has no messages.
        is_unknown_channel = (
            isinstance(failure, RequestRejected)
            and failure.status == HTTPStatus.BAD_REQUEST
            and ":" in address
            and not listed
        )
        if failure is not None and not is_unknown_channel:
            raise failure

    def delete(self, message_sid: str, account_sid: str | None) -> str:
        """Delete a message with its text and media; returns the reason if it is left, else ""."""
        account_sid = account_sid or self._secret.main.account_sid
        if account_sid in self._failures:
            return self._failures[account_sid]
        try:
            credentials = self._secret.for_account(account_sid)
            self._client.delete(credentials, message_sid, time_left=_time_left)
        except UnknownAccount:
            return f"the secret does not contain its account {account_sid}"
        except RequestRejected as error:
            if error.code == NOT_COMPLETE:
                return self._redact(message_sid, account_sid)
            return f"Twilio rejected the deletion: {error}"
        except TwilioError as error:
            self._failures[account_sid] = f"the deletion at Twilio failed: {error}"
            return self._failures[account_sid]
        return ""

    def _redact(self, message_sid: str, account_sid: str) -> str:
        """Remove at least the text of a message that Twilio cannot delete yet."""
        reason = "Twilio is still processing it; cancel it if it is scheduled"
        try:
            credentials = self._secret.for_account(account_sid)
            self._client.redact(credentials, message_sid, time_left=_time_left)
        except TwilioError:
            return reason
        return f"{reason}; its text was redacted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erases all data of one recipient.

    Args:
        messages: MessagesTable.
        requests: SendRequestsTable.
        twilio: None to erase nothing at Twilio, as when the account is closed.
        key_retention: how long an erased request keeps its idempotency key.
        now: returns the current time.
        unreadable: the keys of the items that the two stores skipped up to now.
    """

    messages: MessageStore
    requests: SendRequestStore
    twilio: TwilioAccounts | None
    key_retention: timedelta
    now: Callable[[], datetime]
    unreadable: Iterable[str] = ()

    def find(self, address: str) -> Found:
        """Count the recipient's data; changes nothing.

        Raises:
            StoreUnavailable: a table cannot be read.
        """
        addresses = addresses_of(address)
        listed = self.twilio.messages_to(addresses) if self.twilio else iter(())
        return Found(
            messages=sum(1 for _ in self._stored(addresses)),
            requests=sum(1 for _ in self.requests.every_to(addresses)),
            at_twilio=sum(1 for it in listed if isinstance(it, MessageResource)),
        )

    def erase(self, address: str) -> Iterator[Step]:
        """Erase the recipient's data; yields each step when it is done or left.

        Raises:
            StoreUnavailable: a table cannot be read or written; it is safe to repeat the erasure.
        """
        addresses = addresses_of(address)
        processed: set[str] = set()
        for message in self._stored(addresses):
            processed.add(message.message_sid)
            yield self._erase_message(message.message_sid, message.account_sid, message.expires_at)
        for listed in self.twilio.messages_to(addresses) if self.twilio else ():
            if isinstance(listed, Step):
                yield listed
            elif listed.sid not in processed:
                processed.add(listed.sid)
                with suppress(ItemUnreadable):  # there is an item: it is overwritten below
                    if self.messages.get(listed.sid) is None:
                        self._write_tombstone(listed.sid)
                yield self._erase_message(listed.sid, listed.account_sid)
        for request in self.requests.every_to(addresses):
            yield self._erase_request(request, processed)
        for key in sorted(set(self.unreadable) - processed):
            yield Step(id=key, reason="this version of the command cannot read it; update it")

    def _stored(self, addresses: Sequence[str]) -> Iterator[Message]:
        return self.messages.lists.every(MessageList.to(*addresses, with_superseded=True))

    def _erase_message(
        self, message_sid: str, account_sid: str | None, expires_at: int | None = None
    ) -> Step:
        if self.twilio and not is_request_id(message_sid):
            reason = self.twilio.delete(message_sid, account_sid)
            if reason:
                return Step(id=message_sid, reason=reason)
        self._write_tombstone(message_sid, expires_at)
        return Step(id=message_sid)

    def _write_tombstone(self, message_sid: str, expires_at: int | None = None) -> None:
        at = self.now()
        until = int((at + _TOMBSTONE_LIFETIME).timestamp())
        self.messages.erase(message_sid, at=at, expires_at=max(until, expires_at or 0))

    def _erase_request(self, request: SendRequest, processed: set[str]) -> Step:
        """Erase a request, and its message if no list named that."""
        reason = self._reason_to_keep(request)
        message_sid = request.message_sid
        if not reason and message_sid and message_sid not in processed:
            processed.add(message_sid)
            step = self._erase_message(message_sid, request.account_sid)
            reason = step.reason and f"its message {message_sid} is left: {step.reason}"
        if reason:
            return Step(id=request.request_id, reason=reason)
        # A concurrent run may be about to store and notify a request that is presumed unsent.
        if request.state is RequestState.PRESUMED_UNSENT:
            self._write_tombstone(request.request_id)
        without = request.erased(at=self.now(), kept_for=self.key_retention)
        if self.requests.complete(request, without).to:
            return Step(id=request.request_id, reason="it changed during the erasure")
        return Step(id=request.request_id)

    def _reason_to_keep(self, request: SendRequest) -> str:
        match request.state_at(self.now()):
            case RequestState.IN_PROGRESS:
                return "it is in progress"
            case RequestState.IN_DOUBT if request.is_unresolved:
                return "it is in doubt; its data is needed to resolve it"
            case _:
                return ""


def _time_left() -> float:
    """Return a constant: the erasure has no deadline, but the pauses in it are limited."""
    return NEEDED_SECONDS + _MAX_PAUSE_SECONDS
