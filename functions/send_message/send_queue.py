"""The SendQueue: puts requests into it, and defers its messages.

An SQS error is part of the result and not raised: the caller needs the result of each request.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from delivery.runtime.aws_errors import AWS_ERRORS, error_name
from delivery.runtime.deadline import TimeLeft

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

# Of one SQS request. SQS allows 1 MiB, but allowed 256 KiB until 2025, as some emulators still do.
# Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_MAX_ENTRIES: Final = 10
_MAX_BYTES: Final = 256 * 1024

_MAX_GROUP_LENGTH: Final = 128
_MAX_THREADS: Final = 8
_MAX_ROUNDS: Final = 2  # SQS may reject single entries of a request
_NEEDED_SECONDS: Final = 5.0
"""For a request, its retry, and the response to the caller."""


class SendQueue:
    """The queue of requests to send.

    Args:
        client: an SQS client with timeouts and retries set.
        url: the URL of SendQueue.
        threads: makes an executor with so many threads.
    """

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        *,
        threads: Callable[[int], Executor] = ThreadPoolExecutor,
    ) -> None:
        self._client = client
        self._url = url
        self._threads = threads

    def put(
        self, entries: Mapping[int, tuple[str, str]], *, time_left: TimeLeft
    ) -> tuple[set[int], str | None]:
        """Put bodies (ASCII), each with its message group, with several SQS requests at a time.

        Returns the numbers of those that are in the queue for certain, and the reason why others
        may not be.
        """
        confirmed: set[int] = set()
        reason = None
        put_group = partial(self._put_group, time_left)
        with self._threads(_MAX_THREADS) as pool:
            for _ in range(_MAX_ROUNDS):
                missing = {it: entries[it] for it in entries if it not in confirmed}
                for numbers, failure in pool.map(put_group, _groups(missing)):
                    confirmed |= numbers
                    reason = failure or reason
        return confirmed, reason

    def defer(self, seconds: Mapping[str, int]) -> None:
        """Set the visibility timeout of messages, by their receipt handles.

        A message for which it fails comes back after the queue's own timeout, which is safe.
        """
        for batch in batched(seconds.items(), _MAX_ENTRIES, strict=False):
            entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": timeout}
                for number, (handle, timeout) in enumerate(batch)
            ]
            try:
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            except AWS_ERRORS:
                continue

    def _put_group(
        self, time_left: TimeLeft, group: "list[SendMessageBatchRequestEntryTypeDef]"
    ) -> tuple[set[int], str | None]:
        if time_left() <= _NEEDED_SECONDS:
            return set(), "too little time is left"
        try:
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=group)
        except AWS_ERRORS as error:
            return set(), f"SQS did not confirm: {error_name(error)}"
        failed = answer.get("Failed", [])
        confirmed = {int(entry["Id"]) for entry in answer.get("Successful", [])}
        return confirmed, f"SQS rejected: {failed[0]['Code']}" if failed else None


def message_group(account_sid: str, sender: str) -> str:
    """Return the message group of a sender, so that a slow sender does not hold up the others.

    SQS allows 128 ASCII letters, digits and punctuation characters. A longer name is shortened, and
    ends in a digest.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    group = quote(f"{account_sid}/{sender}", safe="/")
    if len(group) <= _MAX_GROUP_LENGTH:
        return group
    digest = hashlib.sha256(group.encode()).hexdigest()[:32]
    return f"{group[: _MAX_GROUP_LENGTH - len(digest)]}{digest}"


def _groups(
    entries: Mapping[int, tuple[str, str]],
) -> "Iterator[list[SendMessageBatchRequestEntryTypeDef]]":
    """Yield the entries as SQS expects them, in groups that each fit into one request."""
    group: list[SendMessageBatchRequestEntryTypeDef] = []
    size = 0
    for number, (body, name) in entries.items():
        if group and (len(group) == _MAX_ENTRIES or size + len(body) > _MAX_BYTES):
            yield group
            group, size = [], 0
        group.append({"Id": str(number), "MessageBody": body, "MessageGroupId": name})
        size += len(body)
    if group:
        yield group
