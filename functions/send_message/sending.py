"""Sending a message at most once, and cancelling one."""

import hashlib
import re
import secrets as randomness
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from delivery.domain.messages import Message, Source, StatusUpdate, Timings
from delivery.domain.send_requests import RequestState, SendRequest, body_digest, content_digest
from delivery.domain.statuses import MessageStatus
from delivery.runtime.deadline import TimeLeft
from delivery.storage.callback_queue import CallbackQueue, QueueUnavailable
from delivery.storage.messages import MessageStore, Recorded
from delivery.storage.send_requests import SendRequestStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    NEEDED_SECONDS,
    CredentialsRefused,
    MessageResource,
    OutcomeUnknown,
    RequestRejected,
    Throttled,
    TwilioClient,
    Unavailable,
)
from delivery.twilio.credentials import (
    ApiCredentials,
    SecretError,
    TwilioSecret,
    TwilioSecrets,
    UnknownAccount,
)

from .request import InvalidRequest, MessageRequest, key_in, parse, read_json, sane_facts
from .results import (
    RETRY_AFTER_REPAIR_SECONDS,
    RETRY_AFTER_SECONDS,
    Accepted,
    CancelResult,
    DuplicateRequest,
    IdempotencyConflict,
    Invalid,
    MessageNotFound,
    Rejected,
    SendResult,
    ServiceUnavailable,
    Unresolved,
    Unsent,
)

# So that Twilio repeats a callback that is lost. `all`: API Gateway throttles with 429. Without
# `rt` one stall would use up the 15 seconds that Twilio gives to all tries together.
# Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
_CALLBACK_RETRIES: Final = "#rc=5&rp=all&ct=2000&rt=5000"

_MESSAGE_SID: Final = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")

# With one of these Twilio makes the text, or changes it.
_CHANGES_BODY: Final = frozenset({"ContentSid", "SmartEncoded", "ShortenUrls"})


class MessageSender:
    """Sends requests through Twilio, and records what Twilio accepted.

    A request is claimed before it is posted, and whatever fails without Twilio comes before the
    claim. From the post on, only what provably did not leave gives the key free again.

    Args:
        backlog: takes a first status that the store cannot take.
        timings: of a message that neither could be told of.
        requests_kept_for: how long a settled request keeps its key.
        status_callback_url: where Twilio reports to, without query and fragment.
        stores_body: whether the text is stored with the message.
        now: the time.
    """

    def __init__(  # noqa: PLR0913 -- what it works with, named at its one call
        self,
        *,
        secrets: TwilioSecrets,
        twilio: TwilioClient,
        store: MessageStore,
        requests: SendRequestStore,
        backlog: CallbackQueue,
        timings: Timings,
        requests_kept_for: timedelta,
        status_callback_url: str,
        stores_body: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._secrets = secrets
        self._twilio = twilio
        self._store = store
        self._requests = requests
        self._backlog = backlog
        self._timings = timings
        self._requests_kept_for = requests_kept_for
        self._status_callback_url = status_callback_url
        self._stores_body = stores_body
        self._now = now

    def send_json(self, text: str | bytes, *, key: str | None, time_left: TimeLeft) -> SendResult:
        """As `send`, from JSON text."""
        try:
            document = read_json(text)
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems)
        return self.send(document, key=key, time_left=time_left)

    def send(self, document: object, *, key: str | None, time_left: TimeLeft) -> SendResult:
        """Send what the document asks for, at most once for each key.

        `key` is the idempotency key of a document that names none; without one, every call is a
        request of its own.
        """
        try:
            wanted = parse(document, now=self._now())
            credentials = credentials_for(wanted, self._secrets.current())
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems, document=document)
        except SecretError as error:
            return ServiceUnavailable(reason=str(error), retry_after=RETRY_AFTER_REPAIR_SECONDS)
        if time_left() <= NEEDED_SECONDS:
            return ServiceUnavailable(reason="too little time is left to ask Twilio")
        return self._send_under_its_key(wanted, credentials, key, time_left)

    def cancel(self, message_sid: str, *, time_left: TimeLeft) -> CancelResult:
        """Cancel a scheduled message; doing so again is harmless."""
        if not _MESSAGE_SID.fullmatch(message_sid):
            return MessageNotFound()
        try:
            known = self._store.get(message_sid)
            account_sid = known.account_sid if known else None
            credentials = self._secrets.current().for_account(account_sid)
            resource = self._with_credentials(
                credentials,
                lambda valid: self._twilio.cancel(valid, message_sid, time_left=time_left),
            )
        except RequestRejected as refused:
            gone = refused.status == HTTPStatus.NOT_FOUND
            return MessageNotFound() if gone else Rejected(code=refused.code)
        except SecretError as error:
            return ServiceUnavailable(reason=str(error), retry_after=RETRY_AFTER_REPAIR_SECONDS)
        except (CredentialsRefused, Unavailable) as error:
            return _not_done(error)
        except (OutcomeUnknown, StoreUnavailable) as error:
            return ServiceUnavailable(reason=str(error))
        return self._record(self._said(resource), known)

    def record_unsent_request(self, result: Unsent, *, key: str) -> Recorded:
        """Keep a request for which nobody waits as a failed message, so that people are told.

        Raises:
            StoreUnavailable: it is not known to be stored; recording it again is safe.
        """
        facts = sane_facts(result.document)
        if not self._stores_body:
            facts.pop("body", None)
        account_sid = facts.pop("account_sid", None) or self._main_account_sid()
        request_id = unsent_request_id(result, key)
        update = StatusUpdate(
            message_sid=request_id,
            request_id=request_id,
            status=MessageStatus.REJECTED,
            at=self._now(),
            source=Source.SEND,
            error_code=result.code if isinstance(result, Rejected) else None,
            account_sid=account_sid,
            **facts,
        )
        return self._store.record_unsent_request(update)

    def _main_account_sid(self) -> str | None:
        """None while nobody can say it: that must not keep people from being told."""
        try:
            return self._secrets.current().main.account_sid
        except SecretError:
            return None

    def _send_under_its_key(
        self,
        wanted: MessageRequest,
        credentials: ApiCredentials,
        key: str | None,
        time_left: TimeLeft,
    ) -> SendResult:
        request = self._request(wanted, credentials.account_sid, key, time_left)
        try:
            held = self._requests.claim(request)
        except StoreUnavailable as error:
            self._release(request)  # only the answer may have been lost
            return ServiceUnavailable(reason=str(error))
        if held.claim_id == request.claim_id:
            return self._post_once(wanted, held, credentials, time_left)
        if held.content_digest != request.content_digest:
            return IdempotencyConflict(request_id=held.request_id, document=wanted.document)
        try:
            return self._known(held)
        except StoreUnavailable as error:
            return ServiceUnavailable(reason=str(error))

    def _request(
        self, wanted: MessageRequest, account_sid: str, key: str | None, time_left: TimeLeft
    ) -> SendRequest:
        """What is remembered of it: enough to know it again, and to find its message at Twilio."""
        shown_as_given = _CHANGES_BODY.isdisjoint(name for name, _ in wanted.parameters)
        now = self._now()
        return SendRequest(
            request_id=request_id_of(account_sid, wanted.idempotency_key or key),
            claim_id=randomness.token_hex(8),
            content_digest=content_digest(wanted.parameters, wanted.reference, wanted.context),
            account_sid=account_sid,
            to=wanted.to,
            from_=wanted.from_,
            messaging_service_sid=wanted.messaging_service_sid,
            body_digest=body_digest(wanted.body) if wanted.body and shown_as_given else None,
            send_at=wanted.send_at,
            reference=wanted.reference,
            context=wanted.context,
            claimed_at=now,
            # This invocation cannot outlive it, so nobody can still be posting afterwards.
            lease_until=now + timedelta(seconds=time_left()),
        )

    def _known(self, held: SendRequest) -> SendResult:
        """What became of the request that has the key; nothing is sent."""
        state = held.state_at(self._now())
        if state in {RequestState.IN_DOUBT, RequestState.PRESUMED_UNSENT}:
            message = self._store.sent_under(held.request_id, held.to, held.sent_since)
            if message is not None:
                if state is RequestState.IN_DOUBT:
                    # Else people were told, which is taken back first. What only the request knows
                    # may be missing in what callbacks stored.
                    self._settle(
                        held,
                        RequestState.SENT,
                        message_sid=message.message_sid,
                        message_stored=False,
                    )
                return DuplicateRequest(
                    request_id=held.request_id, message_sid=message.message_sid, message=message
                )
        if state is RequestState.SENT and held.message_sid is not None:
            return DuplicateRequest(
                request_id=held.request_id,
                message_sid=held.message_sid,
                message=self._store.get(held.message_sid),
            )
        return Unresolved(request_id=held.request_id, state=state)

    def _post_once(
        self,
        wanted: MessageRequest,
        request: SendRequest,
        credentials: ApiCredentials,
        time_left: TimeLeft,
    ) -> SendResult:
        """Post a request that is claimed, and settle the claim."""
        try:
            update = self._post(wanted, request.request_id, credentials, time_left)
        except RequestRejected as refused:
            self._settle(request, RequestState.REJECTED, error_code=refused.code)
            return Rejected(
                code=refused.code, request_id=request.request_id, document=wanted.document
            )
        except OutcomeUnknown as error:
            self._settle(request, RequestState.IN_DOUBT)
            return Unresolved(
                request_id=request.request_id, state=RequestState.IN_DOUBT, reason=str(error)
            )
        except (CredentialsRefused, Unavailable) as error:
            self._release(request)
            return _not_done(error)
        accepted = self._record(update)
        self._settle(
            request,
            RequestState.SENT,
            message_sid=update.message_sid,
            message_stored=accepted.stored,
        )
        return accepted

    def _post(
        self,
        wanted: MessageRequest,
        request_id: str,
        credentials: ApiCredentials,
        time_left: TimeLeft,
    ) -> StatusUpdate:
        callback = f"{self._status_callback_url}?request_id={request_id}{_CALLBACK_RETRIES}"
        parameters = [*wanted.parameters, ("StatusCallback", callback)]
        resource = self._with_credentials(
            credentials, lambda valid: self._twilio.send(valid, parameters, time_left=time_left)
        )
        said = self._said(resource)
        return replace(
            said,
            account_sid=said.account_sid or credentials.account_sid,
            to=said.to or wanted.to,
            from_=said.from_ or wanted.from_,
            messaging_service_sid=said.messaging_service_sid or wanted.messaging_service_sid,
            request_id=request_id,
            reference=wanted.reference,
            context=wanted.context,
            body=(said.body or wanted.body) if self._stores_body else None,
            send_at=wanted.send_at,
        )

    def _with_credentials(
        self, credentials: ApiCredentials, ask: Callable[[ApiCredentials], MessageResource]
    ) -> MessageResource:
        """Ask Twilio; if it refuses the credentials, once more with newer ones if there are any."""
        try:
            return ask(credentials)
        except CredentialsRefused as refused:
            try:
                newer = self._secrets.refresh().for_account(credentials.account_sid)
            except SecretError:
                raise refused from None
            if newer == credentials:
                raise
        return ask(newer)

    def _record(self, update: StatusUpdate, known: Message | None = None) -> Accepted:
        """Twilio has done it, whatever store and queue say: from here on nothing may fail."""
        try:
            recorded = self._store.record(update)
        except StoreUnavailable:
            message = (
                known.apply(update, self._timings)
                if known
                else Message.from_first_update(update, self._timings)
            )
        else:
            return Accepted(message=recorded.message, recorded=recorded)
        try:
            self._backlog.put(update)
        except QueueUnavailable:
            return Accepted(message=message, stored=False)
        return Accepted(message=message, stored=False, queued=True)

    def _settle(
        self,
        request: SendRequest,
        state: RequestState,
        *,
        message_sid: str | None = None,
        error_code: int | None = None,
        message_stored: bool = True,
    ) -> None:
        """Store the result. Where that fails, the lease runs out and evidence will settle it."""
        settled = request.completed(
            state,
            at=self._now(),
            kept_for=self._requests_kept_for,
            message_sid=message_sid,
            error_code=error_code,
        )
        if not message_stored:
            settled = settled.awaiting_message()
        try:
            self._requests.complete(request, settled)
        except StoreUnavailable:
            return

    def _release(self, request: SendRequest) -> None:
        """Give the key free. Where that fails the request is in doubt, and people will be told."""
        try:
            self._requests.release(request)
        except StoreUnavailable:
            return

    def _said(self, resource: MessageResource) -> StatusUpdate:
        return resource.as_update(at=self._now(), source=Source.SEND, with_body=self._stores_body)


def credentials_for(wanted: MessageRequest, secret: TwilioSecret) -> ApiCredentials:
    """What the request is sent with.

    Raises:
        InvalidRequest: it names an account that the secret does not have.
    """
    try:
        return secret.for_account(wanted.account_sid)
    except UnknownAccount as unknown:
        raise InvalidRequest.of("account_sid", f"cannot be used: {unknown}") from unknown


def request_id_of(account_sid: str, key: str | None) -> str:
    """Our id of a request: the same for the same key of an account, random without a key."""
    if key is None:
        return f"rq_{randomness.token_hex(16)}"
    named = f"{account_sid} {key}".encode("utf-8", "backslashreplace")
    return f"rq_{hashlib.sha256(named).hexdigest()[:32]}"


def unsent_request_id(result: Unsent, key: str) -> str:
    """The id under which a request is kept for which nobody waits; the caller's, where it has one.

    `key` is the idempotency key of one that names none.
    """
    if isinstance(result, Rejected) and result.request_id is not None:
        return result.request_id
    if isinstance(result, Invalid):  # the id that the caller of a batch was told
        key = key_in(result.document) or key
    account_sid = sane_facts(result.document).get("account_sid", "")
    return request_id_of(account_sid, key)


def _not_done(error: CredentialsRefused | Unavailable) -> ServiceUnavailable:
    if isinstance(error, CredentialsRefused):
        return ServiceUnavailable(
            reason=str(error), retry_after=RETRY_AFTER_REPAIR_SECONDS, credentials_refused=True
        )
    return ServiceUnavailable(
        reason=str(error),
        retry_after=error.retry_after or RETRY_AFTER_SECONDS,
        throttled=isinstance(error, Throttled),
    )
