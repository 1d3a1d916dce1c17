"""Runs a query in Athena, and explains why one did not end well."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from delivery_cli.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_athena.type_defs import QueryExecutionStatusTypeDef

_FIRST_WAIT_SECONDS: Final = 0.1
_MAX_WAIT_SECONDS: Final = 2
_BACKOFF: Final = 1.5
_SCAN_LIMIT: Final = "bytes scanned limit"
_NO_PERMISSION: Final = re.compile(
    r"access ?denied|not authorized|insufficient (\w+ )*permission", re.IGNORECASE
)


def run_query(
    client: "AthenaClient", sql: str, *, work_group: str, database: str
) -> Iterator[dict[str, str | None]]:
    """Run a query, and yield the rows of its result; each page is requested when it is needed.

    A query that is interrupted is stopped, so that it costs no more.

    Raises:
        CommandError: it failed, or was canceled.
    """
    query_id = client.start_query_execution(
        QueryString=sql, WorkGroup=work_group, QueryExecutionContext={"Database": database}
    )["QueryExecutionId"]
    try:
        _wait(client, query_id)
        yield from _rows(client, query_id)
    except BaseException:
        with suppress(ClientError, BotoCoreError):
            client.stop_query_execution(QueryExecutionId=query_id)
        raise


def _wait(client: "AthenaClient", query_id: str) -> None:
    """Wait until the query succeeded, with exponential backoff between the polls."""
    seconds: float = _FIRST_WAIT_SECONDS
    while True:
        execution = client.get_query_execution(QueryExecutionId=query_id)
        status = execution["QueryExecution"]["Status"]
        match status["State"]:
            case "SUCCEEDED":
                return
            case "FAILED" | "CANCELLED":
                raise _explain(status, query_id)
        time.sleep(seconds)  # Athena's API cannot wait for a query: poll it
        seconds = min(seconds * _BACKOFF, _MAX_WAIT_SECONDS)


def _rows(client: "AthenaClient", query_id: str) -> Iterator[dict[str, str | None]]:
    pages = client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
    is_header = True  # the first row of the first page has the names
    for page in pages:
        names = [it["Name"] for it in page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
        for row in page["ResultSet"]["Rows"]:
            if not is_header:
                values = [it.get("VarCharValue") for it in row["Data"]]
                yield dict(zip(names, values, strict=True))
            is_header = False


def _explain(status: "QueryExecutionStatusTypeDef", query_id: str) -> CommandError:
    reason = status.get("StateChangeReason", "") or "no reason given"
    if _SCAN_LIMIT in reason.lower():
        return CommandError(
            "Athena canceled the query: it reads more than the workgroup allows for one query.",
            "Ask for fewer or more recent days: the query reads everything since the first one. Or "
            "raise the limit of the workgroup: docs/reports.md describes it.",
        )
    if _NO_PERMISSION.search(reason):
        return CommandError(
            f"Athena was denied access to what the query reads or writes: {reason}",
            "docs/command-line.md lists the permissions of `report`.",
        )
    if status["State"] == "CANCELLED":
        return CommandError(f"The query was canceled: {reason}", "Repeat the command.")
    return CommandError(
        f"The query failed: {reason}",
        f"Athena lists it as {query_id} under the recent queries of the workgroup.",
    )
