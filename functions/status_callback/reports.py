"""What the function logs and counts: a report for each request and each replayed update.

Pure. The fields hold ids, statuses and reasons, never a phone number or a text.
"""

import re
from collections.abc import Iterator
from typing import Final

from delivery.domain.messages import Effect, StatusUpdate
from delivery.runtime.reports import Level, Report
from delivery.storage.messages import Recorded
from delivery.twilio.callback import Callback
from delivery.twilio.credentials import SecretInvalid
from delivery.twilio.signature import SignatureInvalid

# Twilio always signs, so a request without a signature comes from someone else and is not news.
SIGNATURE_MISSING: Final = Report(metric="SignatureMissing", level=Level.DEBUG)
SHARED_KEY_UNKNOWN: Final = Report(metric="SharedKeyUnknown", level=Level.DEBUG)
REJECTED: Final = Report(metric="CallbackRejected", level=Level.DEBUG)
INBOUND: Final = Report(metric="InboundIgnored", level=Level.DEBUG)
REPLAYED: Final = Report(metric="CallbackReplayed", level=Level.DEBUG)

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_EFFECTS: Final = {
    Effect.OUT_OF_ORDER: Report(metric="OutOfOrderStatusRecorded", level=Level.DEBUG),
    Effect.ENRICHED: Report(metric="MessageEnriched", level=Level.DEBUG),
    Effect.DUPLICATE: Report(metric="DuplicateReceived", level=Level.DEBUG),
    Effect.ERASED: Report(metric="ErasedIgnored", level=Level.DEBUG),
}


def signature_invalid(error: SignatureInvalid) -> Report:
    """Report that the signature does not fit the account's keys and the function's URLs."""
    fields = {"cause": str(error.cause)}
    if error.key_id and has_key_id(error):
        fields["key_id"] = error.key_id
    return Report(metric="SignatureInvalid", level=Level.WARNING, fields=fields)


def has_key_id(error: SignatureInvalid) -> bool:
    """Return whether the error names a shared key by an id that can be logged."""
    return _KEY_ID.fullmatch(error.key_id or "") is not None


def secret_invalid(error: SecretInvalid) -> Report:
    """Report that the secret is invalid now; this environment continues with the cached one."""
    return Report(metric="SecretInvalid", level=Level.ERROR, fields={"reason": str(error)})


def malformed(cause: str) -> Report:
    """Report that the request is not a status callback."""
    return Report(metric="CallbackMalformed", level=Level.WARNING, fields={"cause": cause})


def context_truncated(callback: Callback) -> Report:
    """Report that the callback URL has more parameters than a context holds."""
    fields = {
        "message_sid": callback.update.message_sid,
        "dropped_names": callback.dropped_names,
    }
    return Report(metric="ContextTruncated", level=Level.WARNING, fields=fields)


def queued(update: StatusUpdate, reason: Exception) -> Report:
    """Report that the table cannot be written, and the update waits in CallbackQueue."""
    fields = {
        "message_sid": update.message_sid,
        "status": update.status,
        "reason": str(reason),
    }
    return Report(metric="CallbackQueued", level=Level.WARNING, fields=fields)


def not_stored(error: Exception) -> Report:
    """Report that the update is neither in the table nor in CallbackQueue, or was not verified."""
    fields = {"reason": str(error), "caused_by": type(error.__cause__).__name__}
    return Report(metric="CallbackNotStored", level=Level.ERROR, fields=fields)


def replay_failed(queue_message_id: str, error: Exception) -> Report:
    """Report that an update stays in CallbackQueue."""
    fields = {"queue_message_id": queue_message_id, "reason": str(error)}
    return Report(metric="ReplayFailed", level=Level.ERROR, fields=fields)


def of_recorded(recorded: Recorded) -> Iterator[Report]:
    """Report what an update did, in addition to what the layer counts in every function."""
    if report := _EFFECTS.get(recorded.effect):
        yield report
    if recorded.error_code_conflict:
        fields = {
            "message_sid": recorded.message.message_sid,
            "status": recorded.update.status,
            "error_code": recorded.update.error_code,
        }
        yield Report(metric="ErrorCodeConflict", level=Level.WARNING, fields=fields)
