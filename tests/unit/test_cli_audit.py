"""`delivery audit`, against a scripted API."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from delivery.domain.audits import AuditResult, AuditState, Correction, Difference
from tests.support.builders import MESSAGE_SID, NOON
from tests.support.command_line import CommandResult, ScriptedApi, reply, run, sandbox_in

ACCOUNT_SID = "AC" + "1" * 32


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, api: ScriptedApi) -> Iterator[None]:
    with sandbox_in(tmp_path, api):
        yield


def audit(*arguments: str) -> CommandResult:
    return run("audit", "--on", "2026-11-23", *arguments, "--sandbox")


def audits(*results: AuditResult) -> Any:
    return reply(200, {"on": "2026-11-23", "audits": [it.as_record() for it in results]})


def a_result(**changes: Any) -> AuditResult:
    facts: dict[str, Any] = {"state": AuditState.FINAL, "messages": 1000, "known": 900}
    return AuditResult(
        account_sid=ACCOUNT_SID, day=NOON.date(), updated_at=NOON, **(facts | changes)
    )


def test_the_result_of_each_account_is_shown(api: ScriptedApi) -> None:
    result = a_result(corrected={Correction.STATUS: 7, Correction.PRICE: 850}, unknown=93)
    result = result.with_price("-0.0075", "USD").with_difference(Difference.ERASED, MESSAGE_SID)
    api.respond("GET /api/audits", audits(result))

    ran, as_json = audit(), audit("--json")

    assert ran.code == 0, ran.err
    assert api.queries[0] == {"on": "2026-11-23"}
    assert as_json.json["audits"] == [result.as_record()]
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert {
        f"account {ACCOUNT_SID}",
        "1000 messages at Twilio",
        "900 known here",
        "7 corrected: status",
        "850 corrected: price",
        "93 unknown here",
        "1 different: erased here",
        "spend 0.0075 USD (1 priced)",
        MESSAGE_SID,
    } <= set(lines)


@pytest.mark.parametrize(("corrected", "code"), [(9, 0), (10, 1)])
def test_the_exit_code_is_1_if_more_than_one_percent_of_the_statuses_were_corrected(
    api: ScriptedApi, corrected: int, code: int
) -> None:
    api.respond("GET /api/audits", audits(a_result(corrected={Correction.STATUS: corrected})))

    assert audit().code == code
    assert audit("--json").code == code
    assert audit("--csv").code == code


@pytest.mark.parametrize(
    ("sid", "cell"),
    [
        ('=HYPERLINK("https://example.com")', '\'=HYPERLINK("https://example.com")'),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("+15005550006", "+15005550006"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("SM1,SM2", "SM1,SM2"),
        ("SM1\nSM2\x1b[31m\u2028", "SM1\\nSM2\\x1b[31m\\u2028"),
    ],
)
def test_the_differences_are_printed_as_csv_whose_cells_are_texts_and_not_formulas(
    api: ScriptedApi, sid: str, cell: str
) -> None:
    api.respond("GET /api/audits", audits(a_result().with_difference(Difference.ERASED, sid)))

    ran = audit("--csv")

    assert list(csv.reader(io.StringIO(ran.out))) == [
        ["account_sid", "day", "reason", "message_sid"],
        [ACCOUNT_SID, "2026-11-23", "erased", cell],
    ]
    assert len(ran.out.splitlines()) == 2


def test_the_exit_code_is_1_for_a_day_without_an_audit(api: ScriptedApi) -> None:
    api.respond("GET /api/audits", audits())

    ran = audit()

    assert ran.code == 1
    assert "6 hours" in ran.out
    assert audit("--json", "--csv").code == 2
