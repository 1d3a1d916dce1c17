"""Cancels scheduled messages."""

import re
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Final

from delivery.domain.messages import Source
from delivery.runtime.deadline import TimeLeft
from delivery.storage.messages import MessageStore
from delivery.storage.table import StoreUnavailable
from delivery.twilio.client import (
    CredentialsRefused,
    OutcomeUnknown,
    RequestRejected,
    TwilioClient,
    Unavailable,
)
from delivery.twilio.credentials import SecretError, TwilioSecrets

from .recorder import MessageRecorder
from .results import CancelResult, MessageNotFound, Rejected, ServiceUnavailable
from .twilio_calls import call_with_credentials, secret_unavailable, service_unavailable

_MESSAGE_SID: Final = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")


class MessageCanceler:
    """Cancels scheduled messages at Twilio, and records the result.

    Args:
        store: names the account of a message.
        now: returns the time.
    """

    def __init__(
        self,
        *,
        secrets: TwilioSecrets,
        twilio: TwilioClient,
        store: MessageStore,
        recorder: MessageRecorder,
        now: Callable[[], datetime],
    ) -> None:
        self._secrets = secrets
        self._twilio = twilio
        self._store = store
        self._recorder = recorder
        self._now = now

    def cancel(self, message_sid: str, *, time_left: TimeLeft) -> CancelResult:
        """Cancel a scheduled message; canceling it twice is safe."""
        if not _MESSAGE_SID.fullmatch(message_sid):
            return MessageNotFound()
        try:
            known = self._store.get(message_sid)
            account_sid = known.account_sid if known else None
            credentials = self._secrets.current().for_account(account_sid)
            resource = call_with_credentials(
                self._secrets,
                credentials,
                lambda valid: self._twilio.cancel(valid, message_sid, time_left=time_left),
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
            at=self._now(), source=Source.SEND, with_body=self._recorder.stores_body
        )
        return self._recorder.record(update, known)
