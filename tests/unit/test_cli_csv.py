"""`delivery send --csv`: a message for each row, at most once, however often it is repeated."""

import csv
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from delivery.domain.send_fields import SEND_FIELDS
from delivery_cli.fields import NAMES, parse_field
from sandbox.http_server import Request, Response
from tests.support.command_line import CommandResult, Json, ScriptedApi, reply, run, sandbox_in

INVALID = "not-a-number"
NUMBERS = [f"+1555867{number:04}" for number in range(2500)]


class QueueingApi(ScriptedApi):
    """Queues each message under its key; a message to INVALID has a problem."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: dict[str, Json] = {}
        self.calls: list[int] = []
        self.failures: list[Response | None] = []
        """Responses to the next calls, which queue nothing; None drops the connection."""
        self.not_queued = 0
        """How many messages of the next call are not queued."""
        self.interrupted_at: int | None = None
        """The number of the call that Ctrl-C interrupts."""

    def __call__(self, request: Request) -> Response | None:
        if self.failures:
            return self.failures.pop(0)
        messages = json.loads(request.body)["messages"]
        self.calls.append(len(messages))
        if len(self.calls) == self.interrupted_at:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return None
        results = [self._result(message) for message in messages]
        if any(it.get("queued") is False for it in results):
            self.not_queued = 0
            return reply(503, {"detail": "Some were not queued.", "results": results})
        return reply(202, {"results": results})

    def _result(self, message: Json) -> Json:
        if message["to"] == INVALID:
            return {"problems": [{"field": "to", "problem": "must be a number"}]}
        if self.not_queued:
            self.not_queued -= 1
            return {"request_id": "rq_1", "queued": False, "idempotency_key": "k"}
        self.queued[message["idempotency_key"]] = message
        return {"request_id": f"rq_{message['idempotency_key']}", "queued": True}


@pytest.fixture
def api() -> QueueingApi:
    return QueueingApi()


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, api: QueueingApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("delivery_cli.commands.campaign.submission._BACKOFF_SECONDS", 0)
    with sandbox_in(tmp_path, api):
        yield


def write(rows: Sequence[Sequence[str]], name: str = "list.csv", **options: Any) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **options).writerows(rows)


def send_csv(*arguments: str, name: str = "list.csv", **options: Any) -> CommandResult:
    return run("send", "--sandbox", "--csv", name, *arguments, **options)


SENDER = ("--from", "+15005550006", "--body", "Hello")


# --- columns -------------------------------------------------------------------------------------


def test_a_column_with_the_name_of_a_field_is_that_field(api: QueueingApi) -> None:
    write(
        [
            ("to", "body", "reference", "media_url", "validity_period", "context.shop", "send_at"),
            (NUMBERS[0], "true", "4711", "https://a https://b", "60", "7", ""),
        ]
    )

    ran = send_csv("--from", "+15005550006")

    (message,) = api.queued.values()
    del message["idempotency_key"]
    assert ran.code == 0
    assert message == {
        "to": NUMBERS[0],
        "from": "+15005550006",
        "body": "true",
        "reference": "4711",
        "media_url": ["https://a", "https://b"],
        "validity_period": 60,
        "context": {"shop": "7"},
    }


def test_every_field_of_the_api_can_be_a_column() -> None:
    assert {*NAMES, "context"} == SEND_FIELDS.keys()
    assert parse_field("attempt", "9" * 5000) == "9" * 5000  # the API reports it


def test_columns_with_other_names_are_mapped_by_options(api: QueueingApi) -> None:
    write([("Phone", "Name", "Id", "Till"), (NUMBERS[0], "Ada", "c-1", "3")])

    send_csv(
        *("--column", "to=Phone", "--column", "reference=Id", "--column", "context.till=Till"),
        *("--from", "+15005550006", "--body", "Hello {Name}, {{braces}}"),
    )

    (message,) = api.queued.values()
    assert (message["to"], message["reference"]) == (NUMBERS[0], "c-1")
    assert message["body"] == "Hello Ada, {braces}"
    assert message["context"] == {"till": "3"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_and_a_byte_order_mark_are_detected(api: QueueingApi, delimiter: str) -> None:
    write([("\ufeffto", "body"), (NUMBERS[0], "One; two, three")], delimiter=delimiter)

    send_csv("--from", "+15005550006")

    assert [it["body"] for it in api.queued.values()] == ["One; two, three"]


@pytest.mark.parametrize("first_line", ["SEP=;\r", '"sep=;"', "\ufeffsep=|"])
def test_a_first_line_can_name_the_delimiter(api: QueueingApi, first_line: str) -> None:
    delimiter = first_line.strip('\r"')[-1]
    rows = (("to", "body,,,,"), (NUMBERS[0], "One"), (INVALID, "Two"))
    lines = [first_line, *(delimiter.join(row) for row in rows)]
    Path("list.csv").write_text("\n".join(lines), "utf-8")

    ran = send_csv("--from", "+15005550006", "--column", "body=body,,,,")
    problems = Path("list.problems.csv")
    problems.write_text(problems.read_text("utf-8").replace(INVALID, NUMBERS[1]), "utf-8")
    again = send_csv("--from", "+1", "--column", "body=body,,,,", name=problems.name)

    assert "row 2 (line 4)" in ran.out
    assert again.code == 0
    assert [it["body"] for it in api.queued.values()] == ["One", "Two"]


def test_a_cell_overrides_the_default_of_the_command_line(api: QueueingApi) -> None:
    write([("to", "from"), (NUMBERS[0], "+15005550001"), (NUMBERS[1], "")])

    send_csv(*SENDER)

    assert [it["from"] for it in api.queued.values()] == ["+15005550001", "+15005550006"]


@pytest.mark.parametrize(
    ("rows", "arguments", "fact"),
    [
        ([("to", "name"), ("+1", "x")], SENDER, ": name."),
        ([("phone",), ("+1",)], SENDER, "--column to="),
        ([("to",), ("+1",)], (*SENDER, "--column", "reference=id"), "column: id."),
        ([("to",), ("+1",)], (*SENDER, "--column", "referance=to"), "referance"),
        ([("to",), ("+1",)], ("--from", "+1", "--body", "Hello {name}"), "column: name."),
        ([("to",), ("+1",)], (*SENDER, "--key-column", "id"), "column: id."),
        ([("to", "to"), ("+1", "+2")], SENDER, "list.csv: to."),
        ([("to", "", "name"), ("+1", "+2", "")], SENDER, "(unnamed), name"),
        ([("to",), ("+1",)], ("--from", "+1", "--body", "Hello {name"), "{{"),
        ([("to",)], SENDER, "list.csv has no rows after its header: to."),
        ([], SENDER, "list.csv is empty"),
    ],
)
def test_an_invalid_file_is_rejected_before_anything_is_queued(
    api: QueueingApi, rows: Sequence[Sequence[str]], arguments: Sequence[str], fact: str
) -> None:
    write(rows)

    ran = send_csv(*arguments)

    assert ran.code == 1
    assert fact in ran.err
    assert api.calls == []


def test_an_unreadable_file_is_an_error() -> None:
    Path("latin.csv").write_bytes("to,body\n+1,Grüße\n".encode("latin-1"))
    Path("quoted.csv").write_text('to,body\n+1,Hello\n+2,"Hello\n+3,Hello\n')

    missing, latin = send_csv(name="nowhere.csv"), send_csv(name="latin.csv")
    quoted = send_csv(name="quoted.csv")

    assert "nowhere.csv" in missing.err
    assert "latin.csv is not UTF-8" in latin.err
    assert "quoted.csv, line 3" in quoted.err


# --- at most once --------------------------------------------------------------------------------


def test_a_batch_stays_below_the_api_s_limits_of_messages_and_bytes(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS)])

    ran = send_csv(*SENDER, "--json")

    assert api.calls == [1000, 1000, 500]
    assert (ran.json["queued"], ran.json["invalid"], ran.json["undetermined"]) == (2500, 0, 0)
    assert [it["row"] for it in ran.json["results"]] == list(range(1, 2501))

    api.calls.clear()
    write([("to", "body"), *((number, "x" * 60_000) for number in NUMBERS[:100])])
    send_csv("--from", "+15005550006")
    assert sum(api.calls) == 100
    assert max(api.calls) * 60_000 < 4 * 1024 * 1024


def test_the_same_file_has_the_same_keys(api: QueueingApi) -> None:
    write([("to",), (NUMBERS[0],), (NUMBERS[0],)])

    send_csv(*SENDER)
    keys = set(api.queued)
    send_csv(*SENDER)

    assert len(keys) == 2
    assert set(api.queued) == keys


def test_another_file_or_campaign_has_different_keys(api: QueueingApi) -> None:
    write([("to",), (NUMBERS[0],)])
    send_csv(*SENDER)
    send_csv(*SENDER, "--campaign", "spring")
    write([("to",), (NUMBERS[0],), (NUMBERS[1],)])
    send_csv(*SENDER)

    assert len(api.queued) == sum(api.calls) == 4


def test_a_key_column_alone_determines_the_key(api: QueueingApi) -> None:
    write([("to", "id"), (NUMBERS[0], "c-1"), (NUMBERS[1], "")])
    send_csv(*SENDER, "--key-column", "id")
    write([("to", "idempotency_key", "name"), (NUMBERS[2], "c-2", "x"), (NUMBERS[0], "c-1", "y")])

    ran = send_csv(*SENDER, "--ignore-other-columns")
    send_csv(*SENDER, "--ignore-other-columns", "--campaign", "spring")

    assert ran.code == 0
    assert set(api.queued) == {"c-1", "c-2", "spring:c-1", "spring:c-2"}


def test_a_key_of_two_rows_is_a_problem_of_the_second(api: QueueingApi) -> None:
    rows = [(number, str(index)) for index, number in enumerate(NUMBERS[:1500])]
    write([("to", "id"), *rows, (NUMBERS[1500], "7")])

    ran = send_csv(*SENDER, "--key-column", "id", "--json")

    assert (ran.code, len(api.queued), ran.json["invalid"]) == (1, 1500, 1)
    assert api.queued["7"]["to"] == NUMBERS[7]
    assert "row 8 (line 9)" in ran.json["results"][1500]["problem"]


@pytest.mark.parametrize(
    "failure",
    [
        None,
        reply(503, {"message": "Service Unavailable"}),
        reply(429, {"message": "Too Many"}),
    ],
)
def test_a_failed_batch_and_what_was_not_queued_are_repeated(
    api: QueueingApi, failure: Response | None
) -> None:
    write([("to",), *((number,) for number in NUMBERS[:5])])
    api.failures = [failure, failure]
    api.not_queued = 2

    ran = send_csv(*SENDER, terminal=True)

    assert ran.code == 0
    assert api.calls == [5, 2]
    assert len(api.queued) == 5
    assert "Queueing list.csv" in ran.err  # the progress bar


def test_a_run_that_failed_can_be_repeated(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS[:1500])])
    api.failures = [reply(503, {"detail": "No message was sent: no secret."})] * 5

    failed = send_csv(*SENDER, "--json")
    again = send_csv(*SENDER)

    assert failed.code == 1
    assert "no secret" in failed.err
    assert (failed.json["queued"], failed.json["undetermined"]) == (0, 1500)
    assert (again.code, len(api.queued)) == (0, 1500)


def test_an_interrupted_run_reports_its_progress(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS[:1500])])
    api.interrupted_at = 2

    ran = send_csv(*SENDER, "--json")

    assert ran.code == 130
    assert (ran.json["queued"], ran.json["undetermined"]) == (1000, 500)


# --- invalid rows --------------------------------------------------------------------------------


def test_invalid_rows_are_written_to_a_file_with_their_problems(api: QueueingApi) -> None:
    write([("to", "name"), (NUMBERS[0], "Ada"), (INVALID, "Bob"), (NUMBERS[1], "")], delimiter=";")

    ran = send_csv("--from", "+15005550006", "--body", "Hello {name}")

    written = Path("list.problems.csv").read_text("utf-8").splitlines()
    assert ran.code == 1
    assert len(api.queued) == 1
    assert "list.problems.csv" in ran.out
    assert written[:2] == ["to;name;problem_row;problem", f"{INVALID};Bob;2;to must be a number"]
    assert written[2].startswith(f"{NUMBERS[1]};;3;name is empty")


def test_an_earlier_file_of_invalid_rows_is_not_overwritten(api: QueueingApi) -> None:
    write([("to",), (INVALID,)])
    Path("list.problems.csv").write_text("mine")

    send_csv(*SENDER)

    assert Path("list.problems.csv").read_text() == "mine"
    assert Path("list.problems-2.csv").exists()
    assert api.queued == {}


def test_a_row_with_too_many_cells_is_invalid_and_named_with_its_line(api: QueueingApi) -> None:
    Path("list.csv").write_text(
        f'to,body,,\n\n{NUMBERS[0]},"On two\nlines",,,\n{NUMBERS[1]},a,b\n{NUMBERS[2]},x'
    )

    ran = send_csv("--from", "+15005550006")

    assert ran.code == 1
    assert "row 2 (line 5): it has more cells" in ran.out
    assert [it["to"] for it in api.queued.values()] == [NUMBERS[0], NUMBERS[2]]


# --- previewing and progress ---------------------------------------------------------------------


def test_a_dry_run_shows_the_messages_and_queues_nothing(api: QueueingApi) -> None:
    write([("to", "name"), (NUMBERS[0], "Ada"), (NUMBERS[1], "")])
    arguments = ("--from", "+15005550006", "--body", "Hello {name}", "--dry-run")

    ran, as_json = send_csv(*arguments), send_csv(*arguments, "--json")

    assert (ran.code, as_json.code, api.calls) == (1, 1, [])
    assert "Hello Ada" in ran.out
    assert ran.out.index("1 invalid row:") < ran.out.index("row 2 (line 3): name is empty")
    assert [it["body"] for it in as_json.json["messages"]] == ["Hello Ada"]
    assert [it["row"] for it in as_json.json["problems"]] == [2]


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("to", INVALID, "to must be a number in E.164 form"),
        ("to", "", "to is missing"),
        ("validity_period", "soon", "validity_period must be a whole number"),
        ("send_at", "2020-01-01T00:00:00Z", "send_at is in the past"),
        ("idempotency_key", "k" * 257, "idempotency_key is longer than 256 characters"),
        ("media_url", " ".join(f"https://{'x' * 2000}" for _ in range(11)), "media_url must be"),
    ],
)
def test_a_dry_run_checks_a_row_like_the_api(
    api: QueueingApi, column: str, cell: str, problem: str
) -> None:
    row = {"to": NUMBERS[0], "body": "Hello"} | {column: cell}
    write([tuple(row), tuple(row.values())])

    ran = send_csv("--from", "+15005550006", "--dry-run", "--json")

    assert (ran.code, api.calls, ran.json["messages"]) == (1, [], [])
    assert problem in ran.json["problems"][0]["problem"]


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["queued", "dry run"])
def test_recipients_of_several_rows_are_named(api: QueueingApi, options: tuple[str, ...]) -> None:
    recipients = (
        NUMBERS[0],
        NUMBERS[1],
        f"whatsapp:{NUMBERS[0]}",
        NUMBERS[2],
        NUMBERS[0],
        "x",
        "x",
    )
    write([("to",), *((to,) for to in recipients)])

    ran, as_json = send_csv(*SENDER, *options), send_csv(*SENDER, *options, "--json")

    assert f"{NUMBERS[0]}: rows 1, 3, 5" in ran.out
    assert as_json.json["duplicate_recipients"] == [{"to": NUMBERS[0], "rows": [1, 3, 5]}]
    assert bool(api.queued) != bool(options)
