"""The archive: rows that Firehose stores in S3 as Parquet, in a partition for each day.

Rows are delivered at least once and in any order.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from delivery.domain.records import Record
from delivery.runtime.aws_errors import AWS_ERRORS, error_name

if TYPE_CHECKING:
    from mypy_boto3_firehose import FirehoseClient
    from mypy_boto3_firehose.type_defs import PutRecordBatchOutputTypeDef

# https://docs.aws.amazon.com/firehose/latest/dev/limits.html
_MAX_RECORD_BYTES: Final = 1000 * 1024
_MAX_CALL_BYTES: Final = 4 * 1024 * 1024
_MAX_CALL_RECORDS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What became of some rows: how many were accepted before the first that was not.

    `reason` is why that one was not; empty if all were accepted.
    """

    accepted: int
    reason: str = ""


class Archive:
    """The delivery stream that leads to the archive.

    The client's retries are safe, because rows may be repeated.
    """

    def __init__(self, client: "FirehoseClient", stream_name: str) -> None:
        self._client = client
        self._stream_name = stream_name

    def write(self, rows: Sequence[Record]) -> Archived:
        """Write the rows in their order, until Firehose rejects some or does not answer.

        Rows after the first rejected one may be written as well: writing them again is harmless.
        """
        accepted = 0
        for records in _calls(_packed(rows)):
            try:
                answer = self._put(records)
            except AWS_ERRORS as error:
                return Archived(accepted=accepted, reason=error_name(error))
            for record, result in zip(records, answer["RequestResponses"], strict=True):
                if "ErrorCode" in result:
                    return Archived(accepted=accepted, reason=result["ErrorCode"])
                accepted += record.rows
        return Archived(accepted=accepted)

    def _put(self, records: Sequence["_Packed"]) -> "PutRecordBatchOutputTypeDef":
        return self._client.put_record_batch(
            DeliveryStreamName=self._stream_name,
            Records=[{"Data": record.data} for record in records],
        )


@dataclass(frozen=True, slots=True)
class _Packed:
    """Rows in one record of Firehose, each on its own line."""

    data: bytes
    rows: int


def _packed(rows: Sequence[Record]) -> Iterator[_Packed]:
    """Pack as many rows into a record as it can hold: AWS bills each record as at least 5 KB."""
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = json.dumps(row).encode() + b"\n"
        if lines and size + len(line) > _MAX_RECORD_BYTES:
            yield _Packed(b"".join(lines), len(lines))
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield _Packed(b"".join(lines), len(lines))


def _calls(records: Iterator[_Packed]) -> Iterator[list[_Packed]]:
    """Group records as one call can hold them."""
    call: list[_Packed] = []
    size = 0
    for record in records:
        if call and (size + len(record.data) > _MAX_CALL_BYTES or len(call) == _MAX_CALL_RECORDS):
            yield call
            call, size = [], 0
        call.append(record)
        size += len(record.data)
    if call:
        yield call
