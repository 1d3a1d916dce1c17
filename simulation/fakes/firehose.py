"""Firehose, as far as the project uses it: one delivery stream, which may reject some records."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from simulation.fakes.errors import client_error

_MAX_RECORDS: Final = 500
_MAX_RECORD_BYTES: Final = 1000 * 1024
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024


class Firehose:
    """A delivery stream, and the rows of all records that it accepted.

    Args:
        name: the name of the delivery stream.
        rejects: draws whether a record is rejected.
    """

    def __init__(self, name: str, rejects: Callable[[], bool]) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self._name = name
        self._rejects = rejects

    def perform(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Perform a request.

        Source: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
        """
        if operation != "put_record_batch" or set(arguments) != {"DeliveryStreamName", "Records"}:
            raise NotImplementedError(f"the fake has no {operation} with {sorted(arguments)}")
        if arguments["DeliveryStreamName"] != self._name:
            raise client_error("ResourceNotFoundException", "PutRecordBatch")
        sizes = [len(record["Data"]) for record in arguments["Records"]]
        if not 0 < len(sizes) <= _MAX_RECORDS or sum(sizes) > _MAX_REQUEST_BYTES:
            raise client_error("InvalidArgumentException", "PutRecordBatch")
        if max(sizes) > _MAX_RECORD_BYTES:
            raise client_error("InvalidArgumentException", "PutRecordBatch")
        results = [self._put(record) for record in arguments["Records"]]
        failed = sum("ErrorCode" in result for result in results)
        return {"FailedPutCount": failed, "Encrypted": True, "RequestResponses": results}

    def _put(self, record: Mapping[str, Any]) -> dict[str, str]:
        if self._rejects():
            return {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "slow down"}
        self.rows += map(json.loads, record["Data"].splitlines())
        return {"RecordId": str(len(self.rows))}
