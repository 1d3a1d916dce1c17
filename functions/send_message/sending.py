"""Sending and cancelling a message, and everything that may come of it."""

import hashlib
import re
import secrets as randomness
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from delivery.credentials import ApiCredentials, SecretError, TwilioSecrets, UnknownAccount
from delivery.message import Lifetimes, Message, MessageStatus, Source, StatusUpdate
from delivery.store import MessageStore, StoreUnavailable
from delivery.twilio import (
    CredentialsRefused,
    MessageResource,
    OutcomeUnknown,
    Refused,
    TwilioClient,
    Unavailable,
)

from .request import InvalidRequest, Problem, SendRequest, parse, read_json, sane_facts

type TimeLeft = Callable[[], float]
"""The seconds that remain of the invocation."""

# So that Twilio repeats a callback that is lost. `all`: API Gateway throttles with 429. Without
# `rt` one stall would use up the 15 seconds that Twilio gives to all tries together.
# Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
_CALLBACK_RETRIES: Final = "#rc=5&rp=all&ct=2000&rt=5000"

_RETRY_AFTER_SECONDS: Final = 5
# Somebody must put the secret right first.
_RETRY_AFTER_REPAIR_SECONDS: Final = 60

_MESSAGE_SID: Final = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Twilio took it."""

    message: Message
    stored: bool = True
    """False: the store did not answer. The status callbacks, with the request's id, bring it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """The request cannot be sent as it is; nothing left."""

    problems: tuple[Problem, ...]
    document: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Twilio will not do it, whenever it is asked."""

    code: int | None
    request_id: str | None = None
    document: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotFound:
    """Twilio has no such message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """The message may have been sent: it must not be sent again."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """No message was sent, and it may be tried again."""

    reason: str
    retry_after: int = _RETRY_AFTER_SECONDS
    credentials_refused: bool = False


type SendResult = Accepted | Invalid | Rejected | InDoubt | NotDone
type CancelResult = Accepted | Rejected | NotFound | NotDone


class MessageSender:
    """Sends requests through Twilio, and records what Twilio accepted.

    Args:
        lifetimes: of a message that the store could not be told of.
        status_callback_url: where Twilio reports to, without query and fragment.
        stores_body: whether the text is stored with the message.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        secrets: TwilioSecrets,
        twilio: TwilioClient,
        store: MessageStore,
        lifetimes: Lifetimes,
        status_callback_url: str,
        stores_body: bool,
    ) -> None:
        self._secrets = secrets
        self._twilio = twilio
        self._store = store
        self._lifetimes = lifetimes
        self._status_callback_url = status_callback_url
        self._stores_body = stores_body

    def send_json(self, text: str | bytes, *, key: str | None, time_left: TimeLeft) -> SendResult:
        """As `send`, from JSON text."""
        try:
            document = read_json(text)
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems)
        return self.send(document, key=key, time_left=time_left)

    def send(self, document: object, *, key: str | None, time_left: TimeLeft) -> SendResult:
        """Send what the document asks for.

        `key` is the idempotency key of a document that names none. For now a key only makes the
        `request_id` the same each time; it does not yet keep a repeated request from being sent.
        """
        try:
            request = parse(document, now=datetime.now(UTC))
            credentials = self._credentials(request)
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems, document=document)
        except SecretError as error:
            return NotDone(reason=str(error), retry_after=_RETRY_AFTER_REPAIR_SECONDS)
        request_id = request_id_of(credentials.account_sid, request.idempotency_key or key)
        try:
            update = self._send_once(request, request_id, credentials, time_left)
        except Refused as refused:
            return Rejected(code=refused.code, request_id=request_id, document=document)
        except OutcomeUnknown as error:
            return InDoubt(request_id=request_id, reason=str(error))
        except (CredentialsRefused, Unavailable) as error:
            return _not_done(error)
        return self._record(update)

    def cancel(self, message_sid: str, *, time_left: TimeLeft) -> CancelResult:
        """Cancel a scheduled message; doing so again is harmless."""
        if not _MESSAGE_SID.fullmatch(message_sid):
            return NotFound()
        try:
            known = self._store.get(message_sid)
            account_sid = known.account_sid if known else None
            credentials = self._secrets.current().for_account(account_sid)
            resource = self._with_credentials(
                credentials,
                lambda valid: self._twilio.cancel(valid, message_sid, time_left=time_left),
            )
        except Refused as refused:
            gone = refused.status == HTTPStatus.NOT_FOUND
            return NotFound() if gone else Rejected(code=refused.code)
        except SecretError as error:
            return NotDone(reason=str(error), retry_after=_RETRY_AFTER_REPAIR_SECONDS)
        except (CredentialsRefused, Unavailable) as error:
            return _not_done(error)
        except (OutcomeUnknown, StoreUnavailable) as error:
            return NotDone(reason=str(error))
        return self._record(_said(resource), known)

    def record_never_sent(self, result: Invalid | Rejected, *, key: str) -> Message:
        """Keep a request for which nobody waits as a failed message, so that people are told.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        facts = sane_facts(result.document)
        if not self._stores_body:
            facts.pop("body", None)
        request_id, code = None, None
        if isinstance(result, Rejected):
            request_id, code = result.request_id, result.code
        request_id = request_id or request_id_of(facts.get("account_sid", ""), key)
        update = StatusUpdate(
            message_sid=request_id,
            request_id=request_id,
            status=MessageStatus.REFUSED,
            at=datetime.now(UTC),
            source=Source.SEND,
            error_code=code,
            **facts,
        )
        return self._store.record_never_sent(update)

    def _credentials(self, request: SendRequest) -> ApiCredentials:
        secret = self._secrets.current()
        try:
            return secret.for_account(request.account_sid)
        except UnknownAccount as unknown:
            problem = Problem(field="account_sid", problem=f"cannot be used: {unknown}")
            raise InvalidRequest(problem) from unknown

    def _send_once(
        self,
        request: SendRequest,
        request_id: str,
        credentials: ApiCredentials,
        time_left: TimeLeft,
    ) -> StatusUpdate:
        """Send the request of this id, of which there is one, and say what Twilio said."""
        callback = f"{self._status_callback_url}?request_id={request_id}{_CALLBACK_RETRIES}"
        parameters = [*request.parameters, ("StatusCallback", callback)]
        resource = self._with_credentials(
            credentials, lambda valid: self._twilio.send(valid, parameters, time_left=time_left)
        )
        said = _said(resource)
        return replace(
            said,
            account_sid=said.account_sid or credentials.account_sid,
            to=said.to or request.to,
            from_=said.from_ or request.from_,
            messaging_service_sid=said.messaging_service_sid or request.messaging_service_sid,
            request_id=request_id,
            reference=request.reference,
            context=request.context,
            body=(resource.body or request.body) if self._stores_body else None,
            send_at=request.send_at,
        )

    def _with_credentials(
        self, credentials: ApiCredentials, ask: Callable[[ApiCredentials], MessageResource]
    ) -> MessageResource:
        """Ask Twilio; if it refuses the credentials, once more with newer ones if there are any."""
        try:
            return ask(credentials)
        except CredentialsRefused as refused:
            try:
                newer = self._secrets.read_again().for_account(credentials.account_sid)
            except UnknownAccount:
                raise refused from None
            if newer == credentials:
                raise
        return ask(newer)

    def _record(self, update: StatusUpdate, known: Message | None = None) -> Accepted:
        """Twilio has done it, whatever the store says: from here on nothing may fail."""
        try:
            return Accepted(message=self._store.record(update).message)
        except StoreUnavailable:
            if known:
                return Accepted(message=known.learn(update, self._lifetimes), stored=False)
            message = Message.first_heard_of(update, self._lifetimes)
            return Accepted(message=message, stored=False)


def request_id_of(account_sid: str, key: str | None) -> str:
    """Our id of a request: the same for the same key of an account, random without a key."""
    if key is None:
        return f"rq_{randomness.token_hex(16)}"
    named = f"{account_sid} {key}".encode("utf-8", "backslashreplace")
    return f"rq_{hashlib.sha256(named).hexdigest()[:32]}"


def _said(resource: MessageResource) -> StatusUpdate:
    return StatusUpdate(
        message_sid=resource.sid,
        status=resource.status,
        at=datetime.now(UTC),
        source=Source.SEND,
        error_code=resource.error_code,
        account_sid=resource.account_sid,
        to=resource.to,
        from_=resource.from_,
        messaging_service_sid=resource.messaging_service_sid,
        num_segments=resource.num_segments,
        price=resource.price,
        price_unit=resource.price_unit,
    )


def _not_done(error: CredentialsRefused | Unavailable) -> NotDone:
    if isinstance(error, CredentialsRefused):
        return NotDone(
            reason=str(error), retry_after=_RETRY_AFTER_REPAIR_SECONDS, credentials_refused=True
        )
    return NotDone(reason=str(error), retry_after=error.retry_after or _RETRY_AFTER_SECONDS)
