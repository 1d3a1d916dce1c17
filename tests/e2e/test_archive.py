"""The archive in S3, read as analysts do: with SQL in Athena."""

from typing import Any

import pytest

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import TIMEOUT_SECONDS, ExternalClient, a_message_sid

COLUMNS = (
    *("message_sid", "account_sid", "created_at", "recorded_at", "sequence", "outcome", "status"),
    *("error_code", "category", "channel", "country", "sender", "messaging_service_sid"),
    *("seconds_to_final", "num_segments", "price", "price_unit", "day"),
)


class Athena:
    """Runs SQL in the stack's workgroup."""

    def __init__(self, client: ExternalClient, outputs: dict[str, str]) -> None:
        self._athena = client.aws("athena")
        self._work_group = outputs["ReportsWorkGroup"]
        self.table = f'"{outputs["ReportsDatabase"]}"."outcomes"'

    def query(self, sql: str) -> list[dict[str, str | None]]:
        """Run a query and return its rows, each value as text."""
        started = self._athena.start_query_execution(QueryString=sql, WorkGroup=self._work_group)
        query_id = started["QueryExecutionId"]

        def ended() -> Any:
            found = self._athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            status = found["Status"]
            return None if status["State"] in {"QUEUED", "RUNNING"} else status

        status = wait_for(ended, timeout=TIMEOUT_SECONDS, what="The query")
        assert status["State"] == "SUCCEEDED", status["StateChangeReason"]
        pages = self._athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
        header, *rows = [
            [cell.get("VarCharValue") for cell in row["Data"]]
            for page in pages
            for row in page["ResultSet"]["Rows"]
        ]
        return [dict(zip(map(str, header), row, strict=True)) for row in rows]

    def rows_of(self, message_sid: str) -> list[dict[str, str | None]]:
        """Return the rows of a message in the order of its changes."""
        columns = ", ".join(COLUMNS)
        return self.query(
            f"SELECT {columns}, try(dimensions['campaign']) AS campaign FROM {self.table} "  # noqa: S608 -- no input
            f"WHERE message_sid = '{message_sid}' ORDER BY recorded_at, sequence"
        )


@pytest.fixture(scope="module")
def athena(sandbox: Sandbox, client: ExternalClient) -> Athena:
    return Athena(client, dict(sandbox.stack.outputs))


def test_a_delivered_message_has_a_row_for_its_start_and_one_for_its_delivery(
    client: ExternalClient, athena: Athena
) -> None:
    message_sid = client.send_accepted("+14155550177", context={"campaign": "spring"})
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "delivered", "is delivered")

    def rows() -> list[dict[str, str | None]] | None:
        found = athena.rows_of(message_sid)
        return found if found and found[-1]["outcome"] == "delivered" else None

    first, *_, last = wait_for(rows, timeout=TIMEOUT_SECONDS, what="The row of the delivery")

    assert (first["outcome"], first["campaign"]) == ("pending", "spring")
    assert (last["status"], last["channel"], last["country"]) == ("delivered", "sms", "US")
    assert str(last["sequence"]) > str(first["sequence"])
    assert float(last["seconds_to_final"] or "-1") >= 0


def test_a_failed_message_has_a_row_with_its_error_code_and_category(
    client: ExternalClient, athena: Athena
) -> None:
    message_sid = a_message_sid()

    client.post_callback(message_sid, "undelivered", ErrorCode="30003")

    (row,) = wait_for(
        lambda: athena.rows_of(message_sid), timeout=TIMEOUT_SECONDS, what="The row of the failure"
    )
    assert (row["outcome"], row["error_code"]) == ("failed", "30003")
    assert row["category"] == "recipient_unreachable"
