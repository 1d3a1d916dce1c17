"""`delivery report`, against an Athena whose queries DuckDB executes, and a scripted API."""

import csv
import io
import json
import math
import random
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from delivery.domain.audits import AuditResult, AuditState
from delivery_cli.commands.report.measures import Measures, Report, plain_amount
from delivery_cli.commands.report.table import render_report
from sandbox.http_server import HttpServer, Request, Response
from tests.support.archive import Row, archived, insert, on_day, open_archive
from tests.support.athena import Athena
from tests.support.builders import ACCOUNT_SID, NOON
from tests.support.command_line import (
    REGION,
    CloudFormation,
    CommandResult,
    ScriptedApi,
    StackDescription,
    header,
    reply,
    run,
)

type Json = Any

MEASURES: Final = (
    *("messages", "delivered", "failed", "unconfirmed", "canceled", "pending", "delivery_rate"),
    *("median_seconds", "p95_seconds", "segments"),
)
DAY: Final = "2026-09-14"
"""A day whose audits are long done."""
CREATED: Final = datetime(2026, 9, 14, 12, tzinfo=UTC)
SPAN: Final = ("--from", DAY, "--to", DAY)
"""The day's options."""


@dataclass
class Reports:
    """Runs the command against a stack whose archive has the given rows."""

    athena: Athena
    api: ScriptedApi
    stack: StackDescription
    url: str = ""

    def add(self, *rows: Row) -> None:
        insert(self.athena.database, rows)

    def __call__(self, *arguments: str) -> CommandResult:
        variables = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        variables |= {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": self.url}
        return run("report", *arguments, environment=variables)

    def json(self, *arguments: str) -> Json:
        result = self(*SPAN, *arguments, "--json")
        assert result.code == 0, result.err
        return result.json

    def answer(self, request: Request) -> Response | None:
        """Answer a request to the stack's API or to AWS."""
        if request.target.startswith("/api/"):
            return self.api(request)
        is_athena = (header(request, "X-Amz-Target") or "").startswith("AmazonAthena.")
        return (self.athena if is_athena else CloudFormation({"delivery": self.stack}))(request)


@pytest.fixture
def report() -> Iterator[Reports]:
    stack = StackDescription(
        outputs={"ReportsWorkGroup": "delivery-reports", "ReportsDatabase": "delivery"},
        parameters={
            "ArchiveOutcomes": "true",
            "AuditMode": "tracked",
            "ReportDimensions": "campaign, o'hara",
        },
    )
    with open_archive(()) as database:
        reports = Reports(Athena(database), ScriptedApi(), stack)
        with HttpServer(port=0, answer=reports.answer) as server:
            reports.url = server.url
            stack.outputs["MessagesApiUrl"] = f"{server.url}/api"
            yield reports


def message(number: int = 1, **changes: Any) -> Row:
    return archived(number, **({"created_at": CREATED} | changes))


def audit_of(state: AuditState) -> Json:
    result = AuditResult(account_sid=ACCOUNT_SID, day=NOON.date(), state=state, updated_at=NOON)
    return result.as_record()


# --- totals --------------------------------------------------------------------------------------


def test_a_message_counts_on_the_day_on_which_it_was_created_however_late_its_row_arrived(
    report: Reports,
) -> None:
    a_millisecond = timedelta(milliseconds=1)
    midnight = datetime(2026, 9, 14, tzinfo=UTC)
    next_midnight = midnight + timedelta(days=1)
    report.add(
        message(1, created_at=midnight - a_millisecond, recorded_at=CREATED),
        message(2, created_at=midnight),
        message(3, created_at=next_midnight - a_millisecond, recorded_at=NOON),
        message(4, created_at=next_midnight),
    )

    # A row of the first minutes of a day can be in the partition of the day before.
    report.add(message(5, created_at=midnight, day="2026-09-13"))

    assert report.json()["total"]["messages"] == 3
    everything = report("--from", "2026-09-13", "--to", "2026-09-15", "--json").json
    assert everything["total"]["messages"] == 5


@pytest.mark.parametrize("seed", range(3))
def test_the_groups_and_the_total_agree_with_a_count_of_the_latest_rows(
    report: Reports, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 -- reproducible test data
    outcomes = ["delivered"] * 6 + ["failed", "unconfirmed", "canceled", "pending", "superseded"]
    latest = [
        message(
            number,
            sequence=f"{10:040}",
            outcome=chance.choice(outcomes),
            country=chance.choice(["DE", "FR", None]),
            seconds_to_final=chance.choice([None, round(chance.uniform(0, 99), 2)]),
            num_segments=chance.choice([None, 1, 2]),
            price=chance.choice([None, "-0.0075", "-0.1", "0.05"]),
            price_unit=chance.choice(["USD", "EUR"]),
        )
        for number in range(300)
    ]
    earlier = [it | {"recorded_at": it["created_at"], "outcome": "pending"} for it in latest]
    same_moment = [it | {"sequence": f"{9:040}", "outcome": "pending"} for it in latest]
    rows = [*latest, *chance.choices(latest, k=40), *earlier, *same_moment]
    chance.shuffle(rows)
    report.add(*rows)

    found = report.json("--by", "country")

    assert found["total"] == counted(latest)
    assert {it["group"]["country"]: it["messages"] for it in found["groups"]} == Counter(
        it["country"] for it in latest if it["outcome"] != "superseded"
    )
    for group in found["groups"]:
        measures = {name: group[name] for name in found["total"]}
        country = group["group"]["country"]
        assert measures == counted([it for it in latest if it["country"] == country])


def counted(latest: list[Row]) -> Json:
    """The measures of messages, from the latest row of each."""
    rows = [it for it in latest if it["outcome"] != "superseded"]
    outcomes = Counter(it["outcome"] for it in rows)
    ended = outcomes["delivered"] + outcomes["failed"] + outcomes["unconfirmed"]
    seconds = sorted(
        it["seconds_to_final"]
        for it in rows
        if it["outcome"] == "delivered" and it["seconds_to_final"] is not None
    )
    spend: dict[str, Decimal] = {}
    for row in rows:
        if row["price"]:
            unit = row["price_unit"]
            spend[unit] = spend.get(unit, Decimal(0)) - Decimal(row["price"])
    return {
        "messages": len(rows),
        **{name: outcomes[name] for name in MEASURES[1:6]},
        "delivery_rate": round(outcomes["delivered"] / ended, 4),
        "median_seconds": seconds[math.ceil(0.50 * len(seconds)) - 1],
        "p95_seconds": seconds[math.ceil(Decimal("0.95") * len(seconds)) - 1],
        "segments": sum(it["num_segments"] or 0 for it in rows),
        "spend": {unit: plain_amount(it) for unit, it in sorted(spend.items())},
    }


def test_spend_is_exact_and_positive_for_each_currency(report: Reports) -> None:
    report.add(
        *(message(number, price="-0.00750", price_unit="USD") for number in range(100)),
        message(2000, price="-0.1", price_unit="eur"),
        message(2001, price="0.02", price_unit="EUR"),
        message(2002, price="-0", price_unit="GBP"),
        message(2003, price="-0.5", price_unit=None),
        message(2004, price="free", price_unit="USD"),
        message(2005, price=None, price_unit="USD"),
    )

    assert report.json()["total"]["spend"] == {
        "EUR": "0.08",
        "GBP": "0",
        "UNKNOWN": "0.5",
        "USD": "0.75",
    }


# --- groups --------------------------------------------------------------------------------------


def test_messages_are_grouped_by_columns_and_dimensions(report: Reports) -> None:
    spring = {"dimensions": {"campaign": "spring", "team": "shop"}}
    report.add(
        message(1, **spring),
        message(2, **spring, country="FR", outcome="failed"),
        message(3, **spring),
        message(4, country=None),
    )

    found = report.json("--by", "campaign,country")

    assert found["by"] == ["campaign", "country"]
    assert [(it["group"], it["messages"], it["delivery_rate"]) for it in found["groups"]] == [
        ({"campaign": "spring", "country": "DE"}, 2, 1.0),
        ({"campaign": None, "country": None}, 1, 1.0),
        ({"campaign": "spring", "country": "FR"}, 1, 0.0),
    ]
    assert found["total"]["messages"] == 4


def test_days_are_in_their_order(report: Reports) -> None:
    report.add(
        message(1),
        message(2, created_at=on_day(date(2026, 9, 13))),
        message(3),
    )

    found = report("--from", "2026-09-12", "--to", DAY, "--by", "country,day", "--json").json

    assert [it["group"]["day"] for it in found["groups"]] == ["2026-09-13", "2026-09-14"]


def test_a_messaging_service_is_the_sender_until_the_number_is_known(report: Reports) -> None:
    report.add(message(1, sender=None, messaging_service_sid="MG1"), message(2, sender="Shop"))

    found = report.json("--by", "sender")

    assert {it["group"]["sender"] for it in found["groups"]} == {"MG1", "Shop"}


def test_every_page_of_the_result_of_a_long_query_is_read(report: Reports) -> None:
    report.athena.page_size = 2
    report.athena.polls_until_done = 2
    report.add(*(message(number, country=f"{chr(65 + number)}X") for number in range(7)))

    assert len(report.json("--by", "country")["groups"]) == 7


# --- what reaches SQL ----------------------------------------------------------------------------


def test_a_dimension_reaches_the_query_as_a_quoted_literal(report: Reports) -> None:
    report.add(message(1, dimensions={"o'hara": "yes"}))

    (group,) = report.json("--by", "o'hara")["groups"]

    assert group["group"] == {"o'hara": "yes"}
    assert "try(dimensions['o''hara'])" in report.athena.query


@pytest.mark.parametrize("name", ["team", "x') FROM outcomes --", "COUNTRY"])
def test_a_name_that_is_not_a_dimension_of_the_stack_is_an_error_and_no_query_runs(
    report: Reports, name: str
) -> None:
    result = report(*SPAN, "--by", name)

    assert result.code == 1
    assert name in result.err
    assert all(it in result.err for it in ("country", "campaign", "o'hara", "ReportDimensions"))
    assert report.athena.started == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", "2026-13-01"),
        ("--from", "2026-09-01' OR '1'='1"),
        ("--to", "soon"),
        ("--from", "0001-01-01"),
        ("--to", "9999-12-31"),
        ("--from", "2026-09-02", "--to", "2026-09-01"),
        ("--by", ""),
        ("--by", "country,"),
        ("--by", "country,country"),
        ("--json", "--csv"),
        ("--html", "missing/report.html"),
    ],
)
def test_invalid_options_are_usage_errors(report: Reports, arguments: tuple[str, ...]) -> None:
    assert report(*arguments).code == 2
    assert report.athena.started == []


def test_the_query_runs_in_the_workgroup_of_the_stack_and_reads_from_the_day_before_the_first(
    report: Reports,
) -> None:
    report.json()

    (started,) = report.athena.started
    assert started["WorkGroup"] == "delivery-reports"
    assert started["QueryExecutionContext"] == {"Database": "delivery"}
    assert re.findall(r"\bday [<>=]+ '(.*?)'", report.athena.query) == ["2026-09-13"]


def test_the_report_is_about_the_last_seven_days_by_default(report: Reports) -> None:
    today = datetime.now(UTC).date()

    found = report("--json").json

    assert found["from"] in {f"{today - timedelta(days=n)}" for n in (6, 5)}
    assert date.fromisoformat(found["to"]) - date.fromisoformat(found["from"]) == timedelta(days=6)
    assert report("--to", DAY, "--json").json["from"] == "2026-09-08"


# --- formats -------------------------------------------------------------------------------------


def test_the_csv_has_a_row_for_each_group_and_no_formulas(report: Reports) -> None:
    spring = {"dimensions": {"campaign": "=spring, early\n\x1b[2J"}}
    report.add(
        message(1, **spring, price="-0.0075", price_unit="USD"),
        message(2, **spring, price="-0.1", price_unit="EUR"),
        message(3, country=None, outcome="pending"),
    )

    result = report(*SPAN, "--by", "campaign,country", "--csv")

    assert result.code == 0, result.err
    assert list(csv.reader(io.StringIO(result.out))) == [
        ["campaign", "country", *MEASURES, "spend_EUR", "spend_USD"],
        [
            "'=spring, early\\n\\x1b[2J",
            "DE",
            "2",
            "2",
            *"000",
            "0",
            "1.0",
            "2.0",
            "2.0",
            "2",
            "0.1",
            "0.0075",
        ],
        ["", "", "1", "0", *"000", "1", "", "", "", "1", "", ""],
    ]
    names, total = csv.reader(io.StringIO(report(*SPAN, "--csv").out))
    assert dict(zip(names, total, strict=True))["messages"] == "3"
    assert "\x1b" not in report(*SPAN, "--by", "campaign").out


def test_the_table_has_the_total_last(report: Reports) -> None:
    report.add(
        message(1, price="-0.0075", price_unit="USD"),
        message(2, outcome="failed", country="FR"),
        message(3, seconds_to_final=90000.0),
    )

    result = report(*SPAN, "--by", "country")

    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines() if line]
    table = [line for line in lines if line[0] in {"country", "DE", "FR", "total"}]
    assert [line[0] for line in table] == ["country", "DE", "FR", "total"]
    assert table[-1][1:4] == ["3", "2", "66.7%"]
    assert table[-1][-2:] == ["0.0075", "USD"]
    assert {"25.0", "h"} <= set(table[-1])
    assert {"unconfirmed", "canceled", "pending"}.isdisjoint(table[0])


@pytest.mark.parametrize("width", [24, 60, 80, 140])
def test_no_number_of_the_table_is_cut_off(width: int) -> None:
    measures = Measures(
        messages=1234567,
        delivered=1,
        failed=1234566,
        median_seconds=12.3,
        p95_seconds=123456.0,
        segments=2345678,
        spend={"USD": Decimal("12.3456")},
    )
    report = Report(by=["day"], groups={(DAY,): measures}, total=measures)
    console = Console(width=width, file=io.StringIO())

    with console.capture() as captured:
        console.print(*render_report(report, console), sep="\n")

    text = captured.get()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    if width >= 80:
        assert {"1,234,567", "1,234,566", "12.3456"} <= set(text.split())


@pytest.mark.thorough
def test_a_page_is_written_beside_the_result(report: Reports, tmp_path: Path) -> None:
    report.add(
        message(1, outcome="failed", category="opt_out"),
        message(2, created_at=on_day(date(2026, 9, 13))),
    )
    path = tmp_path / "report.html"

    result = report("--from", "2026-09-13", "--to", DAY, "--by", "country", "--html", str(path))

    assert result.code == 0, result.err
    assert "50.0%" in result.out
    page = path.read_text("utf-8")
    assert all(it in page for it in ("opt_out", "Sep 13", "Sep 14", "<td>DE</td>"))


def test_without_the_package_for_charts_the_error_names_it_and_no_query_runs(
    report: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)

    result = report(*SPAN, "--html", str(tmp_path / "report.html"))

    assert result.code == 1
    assert "vl-convert-python" in result.err
    assert report.athena.started == []
    assert report(*SPAN).code == 0


def test_a_page_that_cannot_be_written_is_an_error_that_names_it(
    report: Reports, tmp_path: Path
) -> None:
    result = report(*SPAN, "--html", str(tmp_path))

    assert result.code == 1
    assert str(tmp_path) in result.err


def test_an_archive_without_messages_is_a_report_of_zero(report: Reports) -> None:
    result = report(*SPAN, "--by", "country")

    assert result.code == 0
    assert "backfill" in result.out
    document = report.json("--by", "country")
    assert (document["groups"], document["total"]["messages"]) == ([], 0)
    assert document["total"]["delivery_rate"] is None


# --- audits --------------------------------------------------------------------------------------


def days_ago(count: int) -> str:
    return f"{datetime.now(UTC).date() - timedelta(days=count)}"


def respond_with_audits(report: Reports, *states: AuditState) -> None:
    body = {"on": DAY, "audits": [audit_of(state) for state in states]}
    report.api.respond("GET /api/audits", reply(200, body))


def test_days_before_their_final_audit_may_change(report: Reports) -> None:
    respond_with_audits(report, AuditState.FINAL)

    found = report("--from", days_ago(8), "--json").json
    assert report.json()["days_not_final"] == []  # no audit reaches the day any more

    assert found["days_not_final"] == [days_ago(n) for n in range(4, -1, -1)]
    days = [query["on"] for query in report.api.queries]
    assert days == [days_ago(n) for n in range(8, 4, -1)]


@pytest.mark.parametrize("states", [(), (AuditState.FIRST,), (AuditState.FINAL, AuditState.FAILED)])
def test_a_day_is_final_when_every_account_has_its_final_audit(
    report: Reports, states: tuple[AuditState, ...]
) -> None:
    respond_with_audits(report, *states)
    day = days_ago(8)

    assert report("--from", day, "--to", day, "--json").json["days_not_final"] == [day]


def test_no_day_changes_when_audits_are_off(report: Reports) -> None:
    report.stack.parameters["AuditMode"] = "off"
    report.add(message(1, created_at=datetime.now(UTC)))

    assert report("--json").json["days_not_final"] == []
    assert "AuditMode" in report().out


def test_without_permission_for_the_api_the_report_says_that_days_may_change(
    report: Reports,
) -> None:
    report.api.respond("GET /api/audits", reply(403, {"message": "Forbidden"}))

    result = report("--from", days_ago(9), "--json")

    assert result.code == 0
    assert result.json["days_not_final"] is None


# --- errors --------------------------------------------------------------------------------------


def test_a_stack_without_archive_is_an_error_that_names_the_parameter(report: Reports) -> None:
    report.stack.parameters["ArchiveOutcomes"] = "false"
    del report.stack.outputs["ReportsWorkGroup"]

    is_off = report()
    del report.stack.parameters["ArchiveOutcomes"]
    too_old = report()

    assert (is_off.code, too_old.code) == (1, 1)
    assert "ArchiveOutcomes" in is_off.err
    assert "older" in too_old.err


@pytest.mark.parametrize(
    ("status", "named"),
    [
        ({"State": "FAILED", "StateChangeReason": "SYNTAX_ERROR: line 1:8"}, "SYNTAX_ERROR"),
        ({"State": "FAILED"}, "query-1"),
        (
            {"State": "CANCELLED", "StateChangeReason": "Bytes scanned limit was exceeded"},
            "fewer or more recent days",
        ),
        ({"State": "CANCELLED"}, "canceled"),
        (
            {"State": "FAILED", "StateChangeReason": "Access denied when writing output to url"},
            "permissions",
        ),
        (
            {"State": "FAILED", "StateChangeReason": "a is not authorized to perform: glue:x"},
            "permissions",
        ),
        (
            {"State": "FAILED", "StateChangeReason": "Insufficient Lake Formation permission(s)"},
            "permissions",
        ),
    ],
)
def test_a_query_that_did_not_succeed_is_explained(
    report: Reports, status: Json, named: str
) -> None:
    report.athena.ends_as = status

    result = report(*SPAN)

    assert result.code == 1
    assert named in result.err
    assert result.out == ""


def test_without_permission_to_start_a_query_the_error_says_so(report: Reports) -> None:
    report.athena.rejects_with = {
        "__type": "AccessDeniedException",
        "Message": "not authorized to perform: athena:StartQueryExecution",
    }

    result = report(*SPAN, "--json")

    assert result.code == 1
    error = json.loads(result.err)
    assert "athena:StartQueryExecution" in error["error"]
    assert "StartQueryExecution" in error["fix"]


def test_an_interrupted_command_stops_its_query(report: Reports) -> None:
    report.athena.polls_until_done = 10**9
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    report.athena.on_poll = partial(signal.pthread_kill, main_thread, signal.SIGINT)

    result = report(*SPAN)

    assert result.code == 130
    assert report.athena.stopped == ["query-1"]
