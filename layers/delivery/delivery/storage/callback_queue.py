"""Where a status update waits while the table cannot be written.

Errors:

    QueueUnavailable    nothing is known to be queued
    UpdateUnreadable    a message of the queue is no status update, and never will be
"""

import json
from typing import TYPE_CHECKING

from delivery.domain.messages import StatusUpdate
from delivery.runtime.aws_errors import AWS_ERRORS, reason

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class QueueUnavailable(Exception):
    """SQS did not confirm; the update may still be in the queue, where it does no harm."""


class UpdateUnreadable(Exception):
    """The body of a message is not what `put` writes."""


class CallbackQueue:
    """The updates of one queue: of messages that Twilio accepted, in no order, perhaps repeated.

    Args:
        client: an SQS client, its time-outs and retries set.
        url: the CallbackQueue's.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def put(self, update: StatusUpdate) -> None:
        """Keep the update, its time of arrival included; it is durable when this returns.

        Raises:
            QueueUnavailable: it is not known to be kept; putting it again is safe.
        """
        # ASCII, because SQS takes no control characters; an update is far below its size limit.
        body = json.dumps(update.as_record(), ensure_ascii=True)
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=body)
        except AWS_ERRORS as error:
            raise QueueUnavailable(f"SQS did not confirm: {reason(error)}") from error

    @staticmethod
    def read(body: str) -> StatusUpdate:
        """The update in a message's body.

        Raises:
            UpdateUnreadable: there is none; the reason quotes nothing of it.
        """
        try:
            update = StatusUpdate.from_record(json.loads(body))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise UpdateUnreadable(f"no status update: {type(error).__name__}") from None
        if not (_is_text(update.message_sid) and _is_text(update.status) and update.at.tzinfo):
            raise UpdateUnreadable("no status update: what every update has is missing")
        return update


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
