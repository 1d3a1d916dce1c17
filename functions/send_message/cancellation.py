"""Cancels scheduled messages."""

import re
from http import HTTPStatus
from typing import Final

from delivery.domain.messages import Source
from delivery.runtime.deadline import TimeLeft
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    CredentialsRefused,
    OutcomeUnknown,
    RequestRejected,
    Unavailable,
)
from delivery.twilio.credentials import SecretError

from .context import SendContext
from .recorder import MessageRecorder
from .results import CancelResult, MessageNotFound, Rejected, ServiceUnavailable
from .twilio_calls import call_with_credentials, secret_unavailable, service_unavailable

_MESSAGE_SID: Final = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")


class MessageCanceler:
    """Cancels scheduled messages at Twilio, and records the result."""

    def __init__(self, context: SendContext, recorder: MessageRecorder) -> None:
        self._context = context
        self._recorder = recorder

    def cancel(self, message_sid: str, *, time_left: TimeLeft) -> CancelResult:
        """Cancel a scheduled message; canceling it twice is safe."""
        if not _MESSAGE_SID.fullmatch(message_sid):
            return MessageNotFound()
        try:
            known = self._context.messages.get(message_sid)
            account_sid = known.account_sid if known else None
            credentials = self._context.secrets.current().for_account(account_sid)
            resource = call_with_credentials(
                self._context.secrets,
                credentials,
                lambda valid: self._context.twilio.cancel(valid, message_sid, time_left=time_left),
            )
        except RequestRejected as rejected:
            is_missing = rejected.status == HTTPStatus.NOT_FOUND
            return MessageNotFound() if is_missing else Rejected(code=rejected.code)
        except SecretError as error:
            return secret_unavailable(error)
        except (CredentialsRefused, Unavailable) as error:
            return service_unavailable(error)
        except (OutcomeUnknown, StoreUnavailable) as error:
            return ServiceUnavailable(reason=str(error))
        update = resource.as_update(
            at=self._context.now(), source=Source.SEND, with_body=self._context.stores_body
        )
        return self._recorder.record(update, known)
