"""CallbackQueue: keeps status updates while the MessagesTable cannot be written.

Errors:

    QueueUnavailable    the update is not known to be queued
    UpdateUnreadable    a message of the queue is not a status update
"""

import json
from typing import TYPE_CHECKING

from delivery.domain.messages import StatusUpdate
from delivery.runtime.aws_errors import AWS_ERRORS, error_name

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class QueueUnavailable(Exception):
    """SQS did not confirm; the update may be in the queue, where a second one does no harm."""


class UpdateUnreadable(Exception):
    """The body of a queue message is not what `put` writes."""


class CallbackQueue:
    """The status updates of one queue, unordered, each delivered at least once."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def put(self, update: StatusUpdate) -> None:
        """Queue the update with its time of arrival; it is durable when this returns.

        Raises:
            QueueUnavailable: it is not known to be queued; queueing it again is safe.
        """
        # ASCII, because SQS accepts no control characters; an update is far below its size limit.
        body = json.dumps(update.as_record(), ensure_ascii=True)
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=body)
        except AWS_ERRORS as error:
            raise QueueUnavailable(f"SQS did not confirm: {error_name(error)}") from error

    @staticmethod
    def read(body: str) -> StatusUpdate:
        """Return the update in the body of a queue message.

        Raises:
            UpdateUnreadable: it holds none; the error quotes nothing of the body.
        """
        try:
            update = StatusUpdate.from_record(json.loads(body))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise UpdateUnreadable(f"not a status update: {type(error).__name__}") from None
        if not (_is_text(update.message_sid) and _is_text(update.status) and update.at.tzinfo):
            raise UpdateUnreadable("not a status update: a required field is missing")
        return update


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
