"""SendQueue, as those see it who put requests into it, and who let them wait there.

Nothing is raised for what SQS does not take: whoever asked must be told of each request.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Final

from delivery.runtime.aws_errors import AWS_ERRORS, error_name
from delivery.runtime.deadline import TimeLeft

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import ChangeMessageVisibilityBatchRequestEntryTypeDef

# Of one SQS request. A MiB would be allowed, but was 256 KiB until 2025, and other implementations
# still say so. Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
_MAX_ENTRIES: Final = 10
_MAX_BYTES: Final = 256 * 1024

_AT_ONCE: Final = 8
_ROUNDS: Final = 2  # SQS may refuse some entries of a request that it answers
_NEEDED_SECONDS: Final = 5.0
"""For a request and its second try, and to tell the caller."""


class SendQueue:
    """The queue of requests to send.

    Args:
        client: an SQS client, its time-outs and retries set.
        url: the SendQueue's.
        threads: makes so many of them.
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

    def put(self, bodies: Sequence[str], *, time_left: TimeLeft) -> tuple[set[int], str | None]:
        """Put the bodies, all ASCII; several requests are under way at a time.

        Returns the places of those that are in the queue for certain, and why others are not: they
        may be in it, too.
        """
        put: set[int] = set()
        reason = None
        put_some = partial(self._put_some, bodies, time_left)
        with self._threads(_AT_ONCE) as pool:
            for _ in range(_ROUNDS):
                missing = [place for place in range(len(bodies)) if place not in put]
                for confirmed, trouble in pool.map(put_some, _groups(missing, bodies)):
                    put |= confirmed
                    reason = trouble or reason
        return put, reason

    def hide(self, seconds: Mapping[str, int]) -> None:
        """Hand these messages, known by their receipt handles, out again after so many seconds.

        Those for which it fails come again as the queue has it, which does no harm.
        """
        for some in batched(seconds.items(), _MAX_ENTRIES, strict=False):
            entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": time}
                for number, (handle, time) in enumerate(some)
            ]
            try:
                self._client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
            except AWS_ERRORS:
                continue

    def _put_some(
        self, bodies: Sequence[str], time_left: TimeLeft, places: Sequence[int]
    ) -> tuple[set[int], str | None]:
        if time_left() <= _NEEDED_SECONDS:
            return set(), "too little time is left"
        try:
            answer = self._client.send_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(place), "MessageBody": bodies[place]} for place in places],
            )
        except AWS_ERRORS as error:
            return set(), f"SQS did not confirm: {error_name(error)}"
        failed = answer.get("Failed", [])
        confirmed = {int(entry["Id"]) for entry in answer.get("Successful", [])}
        return confirmed, f"SQS refused: {failed[0]['Code']}" if failed else None


def _groups(places: Iterable[int], bodies: Sequence[str]) -> Iterator[list[int]]:
    """The places, in groups that each fit into one request."""
    group: list[int] = []
    size = 0
    for place in places:
        if group and (len(group) == _MAX_ENTRIES or size + len(bodies[place]) > _MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(place)
        size += len(bodies[place])
    if group:
        yield group
