"""The archive in S3, read as analysts do: with SQL in Athena, and with `delivery report`."""

import json
import secrets
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from delivery_cli.commands.report.measures import plain_amount
from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import SENDER, TIMEOUT_SECONDS, ExternalClient
from tests.support.command_line import CommandResult, run

MESSAGES = 200
RECIPIENTS = ("+15557770001", "+15555530003", "+15555550101", "+15555550102", "+15555550110")
"""Delivered, failed, out of order, everything twice, and failed before it is delivered."""
CAMPAIGN_SECONDS = 600

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


# --- I12: a report agrees with the table ---------------------------------------------------------


def command(*arguments: str, endpoints: Path) -> CommandResult:
    ran = run(*arguments, "--json", environment={"DELIVERY_SANDBOX": str(endpoints)})
    assert ran.code == 0, ran
    return ran


def send_campaign(campaign: str, client: ExternalClient) -> None:
    """Send messages of every kind in batches; one of ten has media."""
    documents: list[Any] = [
        {
            "to": RECIPIENTS[number % len(RECIPIENTS)],
            "from": SENDER,
            "body": f"{campaign} {number}",
            "context": {"campaign": campaign},
            **({"media_url": ["https://example.com/cat.png"]} if number % 10 == 0 else {}),
        }
        for number in range(MESSAGES)
    ]
    for batch in (documents[: MESSAGES // 2], documents[MESSAGES // 2 :]):
        response = requests.post(
            f"{client.endpoints['messages_api_url']}/messages/batch",
            json={"messages": batch},
            timeout=35,
        )
        assert response.status_code == 202, response.text


def totals_of_table(campaign: str, sandbox: Sandbox) -> dict[str, Any]:
    """Return what a report must say about the messages of a campaign."""
    items = [
        it
        for it in sandbox.account.scan(sandbox.endpoints.messages_table)
        if it.get("context", {}).get("campaign") == campaign and it["outcome"] != "superseded"
    ]
    outcomes = Counter(it["outcome"] for it in items)
    spend = -sum((Decimal(it.get("price", 0)) for it in items), Decimal(0))
    return {
        "messages": len(items),
        **{it: outcomes[it] for it in ("delivered", "failed", "unconfirmed", "canceled")},
        "pending": outcomes["pending"],
        "segments": sum(int(it.get("num_segments", 0)) for it in items),
        "spend": {"USD": plain_amount(spend)} if spend else {},
    }


def totals_of_report(campaign: str, endpoints: Path) -> dict[str, Any]:
    document = command("report", "--by", "campaign", endpoints=endpoints).json
    groups = [it for it in document["groups"] if it["group"] == {"campaign": campaign}]
    return groups[0] if groups else {}


def test_a_report_agrees_with_the_table_also_after_a_backfill(
    client: ExternalClient, sandbox: Sandbox, endpoints_path: Path, tmp_path: Path
) -> None:
    campaign = f"c-{secrets.token_hex(3)}"
    send_campaign(campaign, client)

    def is_final() -> bool:
        totals = totals_of_table(campaign, sandbox)
        return bool(totals["messages"] == MESSAGES and not totals["pending"])

    def report() -> dict[str, Any] | None:
        reported, stored = (
            totals_of_report(campaign, endpoints_path),
            totals_of_table(campaign, sandbox),
        )
        return reported if stored.items() <= reported.items() else None

    wait_for(is_final, timeout=CAMPAIGN_SECONDS, what="The end of the campaign")
    first = wait_for(report, timeout=CAMPAIGN_SECONDS, what="A report that agrees with the table")
    backfilled = command("archive", "--backfill", endpoints=endpoints_path).json
    second = wait_for(report, timeout=CAMPAIGN_SECONDS, what="The same after the backfill")

    assert first["messages"] == MESSAGES
    assert backfilled["rows"] >= MESSAGES
    assert backfilled["unreadable"] == []
    page = tmp_path / "report.html"
    command("report", "--html", str(page), endpoints=endpoints_path)
    assert ">recipient_unreachable<" in page.read_text("utf-8")
    assert {name: first[name] for name in ("messages", "delivered", "failed")} == {
        name: second[name] for name in ("messages", "delivered", "failed")
    }


# --- I8: nothing personal ------------------------------------------------------------------------


def test_nothing_in_the_archive_is_about_a_person(
    client: ExternalClient, athena: Athena, endpoints_path: Path
) -> None:
    number = f"+1558{secrets.randbelow(10**7):07}"
    personal = {"name": "Ada-Lovelace-1815", "campaign": f"for {number}"}
    message_sid = client.send_accepted(
        number, body="words for Ada", reference="order-of-ada", context=personal
    )
    client.wait_for_message(message_sid, lambda it: it["outcome"] == "delivered", "is delivered")

    def rows() -> list[dict[str, str | None]] | None:
        found = athena.query(
            f"SELECT * FROM {athena.table} WHERE message_sid = '{message_sid}'"  # noqa: S608 -- no input
        )
        return found if "delivered" in {it["outcome"] for it in found} else None

    wait_for(rows, timeout=TIMEOUT_SECONDS, what="The row of the delivery")
    command("erase", number, "--yes", endpoints=endpoints_path)
    command("archive", "--backfill", endpoints=endpoints_path)
    archived = json.dumps(rows())

    assert message_sid in archived
    for word in (number[1:], number[-7:], "Ada", "order-of-ada", "words"):
        assert word not in archived
