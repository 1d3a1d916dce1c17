"""Sends a message at most once for each idempotency key.

A request is claimed before it is posted to Twilio. Checks that depend on the time or on the secret
apply only to a key that is free. After the post, only a request that provably did not leave
releases its key.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from secrets import token_hex
from typing import Final

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.send_requests import RequestState, SendRequest, body_digest, content_digest
from delivery.runtime.deadline import TimeLeft
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    NEEDED_SECONDS,
    CredentialsRefused,
    OutcomeUnknown,
    RequestRejected,
    Unavailable,
)
from delivery.twilio.credentials import ApiCredentials, SecretError

from .context import SendContext
from .recorder import MessageRecorder
from .request import InvalidRequest, MessageRequest, check_key, check_send_at, parse, read_json
from .request_ids import request_id_of
from .results import (
    DuplicateRequest,
    IdempotencyConflict,
    Invalid,
    Rejected,
    SendResult,
    ServiceUnavailable,
    Unresolved,
)
from .twilio_calls import (
    call_with_credentials,
    credentials_for,
    secret_unavailable,
    service_unavailable,
)

# Makes Twilio retry a callback; `rp=all` also after HTTP 429, with which API Gateway throttles.
# Without `rt`, one stalled attempt would use up the 15 seconds that Twilio gives to all attempts
# together.
# Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
_CALLBACK_RETRIES: Final = "#rc=5&rp=all&ct=2000&rt=5000"


class MessageSender:
    """Sends requests through Twilio, and records the messages that Twilio accepted.

    `status_callback_url` is the URL of status callbacks, without query and fragment.
    """

    def __init__(
        self, context: SendContext, recorder: MessageRecorder, *, status_callback_url: str
    ) -> None:
        self._context = context
        self._recorder = recorder
        self._status_callback_url = status_callback_url

    def send_json(self, text: str | bytes, *, key: str | None, time_left: TimeLeft) -> SendResult:
        """Send the message that a JSON text describes, like `send`."""
        try:
            check_key(key)
            document = read_json(text)
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems)
        return self.send(document, key=key, time_left=time_left)

    def send(self, document: object, *, key: str | None, time_left: TimeLeft) -> SendResult:
        """Send the message that a JSON document describes, at most once for each idempotency key.

        `key` is the key of a document that names none. Without a key, every call is a new request.
        """
        try:
            request = parse(document, now=self._context.now())
        except InvalidRequest as invalid:
            return Invalid(problems=invalid.problems)
        request_id = request_id_of(request.account_sid, request.idempotency_key or key)
        credentials: ApiCredentials | Invalid
        try:
            credentials = credentials_for(request, self._context.secrets.current())
        except InvalidRequest as invalid:
            credentials = Invalid(problems=invalid.problems)
        except SecretError as error:
            return self._look_up(request, request_id) or secret_unavailable(error)
        if time_left() <= NEEDED_SECONDS:
            too_late = ServiceUnavailable(reason="too little time is left to call Twilio")
            return self._look_up(request, request_id) or too_late
        return self._send_under_key(request, request_id, credentials, time_left)

    def _look_up(self, request: MessageRequest, request_id: str) -> SendResult | None:
        """Return the result of the request that holds the key; None if the key is free."""
        try:
            held = self._context.requests.get(request_id)
            if held is None or held.state is RequestState.REJECTED:
                return None
            return self._result_of(held, request)
        except StoreUnavailable as error:
            return ServiceUnavailable(reason=str(error))

    def _send_under_key(
        self,
        request: MessageRequest,
        request_id: str,
        credentials: ApiCredentials | Invalid,
        time_left: TimeLeft,
    ) -> SendResult:
        """Claim the key, which is also the look-up; then check what applies to a free key only.

        Because the claim precedes the checks, two calls never both find the key free.
        """
        account_sid = request.account_sid or ""
        if isinstance(credentials, ApiCredentials):
            account_sid = credentials.account_sid
        claim = self._claim_for(request, request_id, account_sid, time_left)
        try:
            held = self._context.requests.claim(claim)
            if held.claim_id != claim.claim_id:
                return self._result_of(held, request)
        except StoreUnavailable as error:
            self._release(claim)  # the claim may be stored, if only its answer was lost
            return ServiceUnavailable(reason=str(error))
        if isinstance(credentials, Invalid):
            return self._reject(held, credentials)
        try:
            check_send_at(request, now=self._context.now())
        except InvalidRequest as invalid:
            return self._reject(held, Invalid(problems=invalid.problems))
        return self._post_once(request, held, credentials, time_left)

    def _reject(self, claim: SendRequest, invalid: Invalid) -> SendResult:
        """Complete the claim of an invalid request.

        Without a stored result the request is in doubt after its lease, and not rejected.
        """
        rejected = claim.completed(
            RequestState.REJECTED, at=self._context.now(), kept_for=self._context.requests_kept_for
        )
        try:
            self._context.requests.complete(claim, rejected)
        except StoreUnavailable as error:
            return ServiceUnavailable(reason=str(error))
        return invalid

    def _claim_for(
        self, request: MessageRequest, request_id: str, account_sid: str, time_left: TimeLeft
    ) -> SendRequest:
        """Return what is stored of a request: enough to find its message at Twilio."""
        now = self._context.now()
        has_comparable_body = request.body and not request.alters_body
        return SendRequest(
            request_id=request_id,
            claim_id=token_hex(8),
            content_digest=_digest(request),
            account_sid=account_sid,
            to=request.to,
            from_=request.from_,
            messaging_service_sid=request.messaging_service_sid,
            body_digest=body_digest(request.body or "") if has_comparable_body else None,
            send_at=request.send_at,
            reference=request.reference,
            context=request.context,
            claimed_at=now,
            # This invocation cannot outlive the lease, so no post is under way afterwards.
            lease_until=now + timedelta(seconds=time_left()),
        )

    def _result_of(self, held: SendRequest, request: MessageRequest) -> SendResult:
        """Return the result of the request that holds the key; nothing is sent.

        Raises:
            StoreUnavailable: it is not known.
        """
        if held.content_digest != _digest(request):
            return IdempotencyConflict(request_id=held.request_id)
        state = held.state_at(self._context.now())
        if state in {RequestState.IN_DOUBT, RequestState.PRESUMED_UNSENT}:
            message = self._context.messages.sent_under(held)
            if message is not None:
                if state is RequestState.IN_DOUBT:
                    # The reconciler resolves a request that is presumed unsent: its failure may
                    # have been notified. It also adds the facts that only the request has.
                    self._complete(
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
                message=self._context.messages.get(held.message_sid),
            )
        return Unresolved(request_id=held.request_id, state=state)

    def _post_once(
        self,
        request: MessageRequest,
        claim: SendRequest,
        credentials: ApiCredentials,
        time_left: TimeLeft,
    ) -> SendResult:
        """Post a claimed request, and complete the claim."""
        try:
            update = self._post(request, claim.request_id, credentials, time_left)
        except RequestRejected as rejected:
            self._complete(claim, RequestState.REJECTED, error_code=rejected.code)
            return Rejected(code=rejected.code, request_id=claim.request_id)
        except OutcomeUnknown as error:
            self._complete(claim, RequestState.IN_DOUBT)
            return Unresolved(
                request_id=claim.request_id, state=RequestState.IN_DOUBT, reason=str(error)
            )
        except (CredentialsRefused, Unavailable) as error:
            self._release(claim)
            return service_unavailable(error)
        accepted = self._recorder.record(update)
        follows_rejection = claim.rejected_claim_id is not None
        self._complete(
            claim,
            RequestState.SENT,
            message_sid=update.message_sid,
            message_stored=accepted.stored and not follows_rejection,
        )
        if follows_rejection:  # after the result is stored: see MessageRecorder
            self._recorder.supersede(claim.request_id)
        return accepted

    def _post(
        self,
        request: MessageRequest,
        request_id: str,
        credentials: ApiCredentials,
        time_left: TimeLeft,
    ) -> StatusUpdate:
        callback = f"{self._status_callback_url}?request_id={request_id}{_CALLBACK_RETRIES}"
        parameters = [*request.parameters, ("StatusCallback", callback)]
        resource = call_with_credentials(
            self._context.secrets,
            credentials,
            lambda valid: self._context.twilio.send(valid, parameters, time_left=time_left),
        )
        with_body = self._context.stores_body
        update = resource.as_update(at=self._context.now(), source=Source.SEND, with_body=with_body)
        return replace(
            update,
            account_sid=update.account_sid or credentials.account_sid,
            to=update.to or request.to,
            from_=update.from_ or request.from_,
            messaging_service_sid=update.messaging_service_sid or request.messaging_service_sid,
            request_id=request_id,
            reference=request.reference,
            context=request.context,
            body=(update.body or request.body) if with_body else None,
            send_at=request.send_at,
        )

    def _complete(
        self,
        request: SendRequest,
        state: RequestState,
        *,
        message_sid: str | None = None,
        error_code: int | None = None,
        message_stored: bool = True,
    ) -> None:
        """Store the result. If that fails, evidence resolves the request after its lease."""
        completed = request.completed(
            state,
            at=self._context.now(),
            kept_for=self._context.requests_kept_for,
            message_sid=message_sid,
            error_code=error_code,
        )
        if not message_stored:
            completed = completed.awaiting_message()
        with suppress(StoreUnavailable):
            self._context.requests.complete(request, completed)

    def _release(self, claim: SendRequest) -> None:
        """Release the key. If that fails, the request is in doubt after its lease.

        A claim that followed a rejection becomes rejected again: an acceptance must still find out
        that it supersedes that rejection.
        """
        with suppress(StoreUnavailable):
            stored = self._context.requests.get(claim.request_id)
            if stored is None or stored.claim_id != claim.claim_id:
                return
            if stored.rejected_claim_id is not None:
                self._complete(stored, RequestState.REJECTED, error_code=stored.error_code)
            else:
                self._context.requests.release(stored)


def _digest(request: MessageRequest) -> str:
    return content_digest(request.parameters, request.reference, request.context)
