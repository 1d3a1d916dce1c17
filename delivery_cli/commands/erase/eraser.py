"""Erasing one person's data: in the tables and at Twilio, as often as it takes.

At Twilio first, then in the table: what the table still lists is what is still to be done, so an
erasure that was interrupted is finished by the next one. What the table does not know is marked
there first: once Twilio has deleted it, nothing would say any more that it is to be marked. A
message leaves an empty marker, so that a late callback brings nothing back; a request keeps its
key, so that nothing is sent again.

What cannot be erased yet is left as it is, and named with the reason: a message that Twilio still
works on, a request of which nobody knows yet what became of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from delivery.domain.send_requests import RequestState, SendRequest
from delivery.storage.messages import MessageStore
from delivery.storage.send_requests import SendRequestStore
from delivery.text.identifiers import normalize_recipient
from delivery.twilio.client import (
    NOT_COMPLETE,
    MessageResource,
    RequestRejected,
    TwilioClient,
    TwilioError,
)
from delivery.twilio.credentials import TwilioSecret, UnknownAccount

# Longer than a callback, or a redriven dead letter, can be on its way: queues keep what they have
# for 14 days.
_MARKED_FOR: Final = timedelta(days=30)
_CHANNELS: Final = ("whatsapp", "rcs")
_REQUEST_ID: Final = "rq_"


class What(StrEnum):
    """What happened to one thing of the person's."""

    ERASED = "erased"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One message, request or account that was dealt with; `reason` is why something was left."""

    what: What
    id: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How much of the person's is there; what is in the table and at Twilio counts in both."""

    messages: int
    requests: int
    at_twilio: int

    @property
    def anything(self) -> bool:
        """Whether there is anything."""
        return bool(self.messages or self.requests or self.at_twilio)


class AtTwilio:
    """The person's messages at Twilio, in every account of the secret.

    An account that Twilio does not answer for is asked no more, so that an outage ends soon.
    """

    def __init__(self, client: TwilioClient, secret: TwilioSecret) -> None:
        self._client = client
        self._secret = secret
        self._silent: dict[str, str] = {}

    def messages_to(self, addresses: Iterable[str]) -> Iterator[MessageResource | Step]:
        """What Twilio lists, whoever sent it; a step for an account whose list cannot be read."""
        for account_sid in self._secret.account_sids:
            try:
                credentials = self._secret.for_account(account_sid)
                for address in addresses:
                    pages = self._client.list_messages(
                        credentials, to=address, time_left=_as_long_as_it_takes
                    )
                    yield from (it for page in pages for it in page if it.to in {None, address})
            except TwilioError as error:
                reason = f"Twilio's list of its messages cannot be read: {error}"
                yield Step(what=What.LEFT, id=account_sid, reason=reason)

    def delete(self, message_sid: str, account_sid: str | None) -> str:
        """Delete a message with its text and media: empty once it is gone, else why it is not."""
        account_sid = account_sid or self._secret.main.account_sid
        if account_sid in self._silent:
            return self._silent[account_sid]
        try:
            credentials = self._secret.for_account(account_sid)
            self._client.delete(credentials, message_sid, time_left=_as_long_as_it_takes)
        except UnknownAccount:
            return f"the secret does not have its account {account_sid}"
        except RequestRejected as refused:
            if refused.code != NOT_COMPLETE:
                return f"Twilio refuses to delete it: {refused}"
            return self._redact(message_sid, account_sid)
        except TwilioError as error:
            self._silent[account_sid] = f"Twilio does not delete it now: {error}"
            return self._silent[account_sid]
        return ""

    def _redact(self, message_sid: str, account_sid: str) -> str:
        """Of what cannot be deleted yet at least the text."""
        still = "Twilio still works on it; if it is scheduled, cancel it"
        try:
            credentials = self._secret.for_account(account_sid)
            self._client.redact(credentials, message_sid, time_left=_as_long_as_it_takes)
        except TwilioError:
            return still
        return f"{still}; its text is removed there"


class Eraser:
    """Erases everything of one recipient.

    Args:
        twilio: None leaves what Twilio has, as when the account is closed.
        requests_kept_for: how long a settled request keeps its key.
        now: the time.
    """

    def __init__(
        self,
        *,
        messages: MessageStore,
        requests: SendRequestStore,
        twilio: AtTwilio | None,
        requests_kept_for: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._messages = messages
        self._requests = requests
        self._twilio = twilio
        self._requests_kept_for = requests_kept_for
        self._now = now

    def look(self, address: str) -> Found:
        """How much there is; nothing is changed.

        Raises:
            StoreUnavailable: a table cannot be read.
        """
        addresses = addresses_of(address)
        listed = self._twilio.messages_to(addresses) if self._twilio else iter(())
        return Found(
            messages=sum(1 for to in addresses for _ in self._messages.every_to(to)),
            requests=sum(1 for _ in self._requests.every_to(addresses)),
            at_twilio=sum(1 for it in listed if isinstance(it, MessageResource)),
        )

    def erase(self, address: str) -> Iterator[Step]:
        """Erase it all; each thing is told of once it is done, or known to be left.

        Raises:
            StoreUnavailable: a table cannot be read or written; to erase again is safe.
        """
        addresses = addresses_of(address)
        erased: dict[str, bool] = {}
        for to in addresses:
            for message in self._messages.every_to(to):
                step = self._erase_message(
                    message.message_sid, message.account_sid, message.expires_at
                )
                erased[step.id] = step.what is What.ERASED
                yield step
        for listed in self._twilio.messages_to(addresses) if self._twilio else ():
            if isinstance(listed, Step):
                yield listed
            elif listed.sid not in erased:
                if self._messages.get(listed.sid) is None:
                    self._mark(listed.sid)
                step = self._erase_message(listed.sid, listed.account_sid)
                erased[step.id] = step.what is What.ERASED
                yield step
        for request in self._requests.every_to(addresses):
            yield self._erase_request(request, erased)

    def _erase_message(
        self, message_sid: str, account_sid: str | None, expires_at: int | None = None
    ) -> Step:
        if self._twilio and not message_sid.startswith(_REQUEST_ID):
            reason = self._twilio.delete(message_sid, account_sid)
            if reason:
                return Step(what=What.LEFT, id=message_sid, reason=reason)
        self._mark(message_sid, expires_at)
        return Step(what=What.ERASED, id=message_sid)

    def _mark(self, message_sid: str, expires_at: int | None = None) -> None:
        at = self._now()
        until = int((at + _MARKED_FOR).timestamp())
        self._messages.erase(message_sid, at=at, expires_at=max(until, expires_at or 0))

    def _erase_request(self, request: SendRequest, erased: dict[str, bool]) -> Step:
        """Erase a request, and the message of which only it knows."""
        reason = self._in_the_way(request)
        message_sid = request.message_sid
        if not reason and message_sid and message_sid not in erased:
            step = self._erase_message(message_sid, request.account_sid)
            erased[message_sid] = step.what is What.ERASED
            reason = step.reason and f"its message {message_sid} is left: {step.reason}"
        if reason:
            return Step(what=What.LEFT, id=request.request_id, reason=reason)
        if (
            request.state is RequestState.PRESUMED_UNSENT
        ):  # whoever saw it may be about to tell of it
            self._mark(request.request_id)
        without = request.erased(at=self._now(), kept_for=self._requests_kept_for)
        if self._requests.complete(request, without).to:
            reason = "it changed meanwhile"
            return Step(what=What.LEFT, id=request.request_id, reason=reason)
        return Step(what=What.ERASED, id=request.request_id)

    def _in_the_way(self, request: SendRequest) -> str:
        match request.state_at(self._now()):
            case RequestState.IN_PROGRESS:
                return "it is being sent right now"
            case RequestState.IN_DOUBT if request.unresolved:
                return "it is in doubt whether it was sent; what it says is needed to find out"
            case _:
                return ""


def addresses_of(address: str) -> tuple[str, ...]:
    """The address as it is understood, and of a number the same person's on the other channels.

    Raises:
        InvalidAddress: it is no number, or has no country's code.
    """
    known = normalize_recipient(address)
    number = known.rpartition(":")[2]
    if not number.startswith("+"):
        return (known,)
    return (number, *(f"{channel}:{number}" for channel in _CHANNELS))


def _as_long_as_it_takes() -> float:
    return float("inf")
