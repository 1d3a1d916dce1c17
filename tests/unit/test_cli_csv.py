"""`delivery send --csv`: a file of messages, each at most once, however often it is repeated."""

import csv
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from delivery_cli.fields import NAMES
from functions.send_message import request
from sandbox.http_server import HttpServer, Request, Response
from tests.support.command_line import Json, Ran, ScriptedApi, run, said, write_endpoints

NUMBERS = [f"+1555867{number:04}" for number in range(2500)]


class QueueingApi(ScriptedApi):
    """Queues each message under its key, and refuses those to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: dict[str, Json] = {}
        self.calls: list[int] = []
        self.before: list[Response | None] = []
        """Answered before anything is queued; None drops the connection."""
        self.unconfirmed = 0
        """How many of the next call are not known to be queued."""
        self.interrupted_at: int | None = None
        """The number of the call during which the person at the keyboard presses Ctrl-C."""

    def __call__(self, request: Request) -> Response | None:
        if self.before:
            return self.before.pop(0)
        messages = json.loads(request.body)["messages"]
        self.calls.append(len(messages))
        if len(self.calls) == self.interrupted_at:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return None
        results = [self._result(message) for message in messages]
        if any(it.get("queued") is False for it in results):
            self.unconfirmed = 0
            return said(503, {"detail": "Some may not wait.", "results": results})
        return said(202, {"results": results})

    def _result(self, message: Json) -> Json:
        if message["to"] == "nobody":
            return {"problems": [{"field": "to", "problem": "must be a number"}]}
        if self.unconfirmed:
            self.unconfirmed -= 1
            return {"request_id": "rq_1", "queued": False, "idempotency_key": "k"}
        self.queued[message["idempotency_key"]] = message
        return {"request_id": f"rq_{message['idempotency_key']}", "queued": True}


@pytest.fixture
def api() -> QueueingApi:
    return QueueingApi()


@pytest.fixture(autouse=True)
def in_its_folder(
    tmp_path: Path, api: QueueingApi, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr("delivery_cli.commands.campaign.submission._PAUSE_SECONDS", 0)
    monkeypatch.chdir(tmp_path)
    with HttpServer(port=0, answer=api) as server:
        write_endpoints(tmp_path, server)
        yield


def write(rows: Sequence[Sequence[str]], name: str = "list.csv", **options: Any) -> None:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **options).writerows(rows)


def send_csv(*arguments: str, name: str = "list.csv", **options: Any) -> Ran:
    return run("send", "--sandbox", "--csv", name, *arguments, **options)


SENDER = ("--from", "+15005550006", "--body", "Hello")


# --- what the columns mean -----------------------------------------------------------------------


def test_each_row_is_a_message(api: QueueingApi) -> None:
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
    known = request._FIELDS  # noqa: SLF001 -- what is known is told to nobody but by refusing

    assert {*NAMES, "context"} == known.keys()


def test_columns_of_other_names_are_said_on_the_command_line(api: QueueingApi) -> None:
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
def test_the_delimiter_and_a_byte_order_mark_are_understood(
    api: QueueingApi, delimiter: str
) -> None:
    write([("\ufeffto", "body"), (NUMBERS[0], "One; two, three")], delimiter=delimiter)

    send_csv("--from", "+15005550006")

    assert [it["body"] for it in api.queued.values()] == ["One; two, three"]


def test_a_cell_says_more_than_the_command_line(api: QueueingApi) -> None:
    write([("to", "from"), (NUMBERS[0], "+15005550001"), (NUMBERS[1], "")])

    send_csv(*SENDER)

    assert [it["from"] for it in api.queued.values()] == ["+15005550001", "+15005550006"]


@pytest.mark.parametrize(
    ("rows", "arguments", "told"),
    [
        ([("to", "name"), ("+1", "x")], SENDER, "columns name"),
        ([("phone",), ("+1",)], SENDER, "--column to="),
        ([("to",), ("+1",)], (*SENDER, "--column", "reference=id"), "no column id"),
        ([("to",), ("+1",)], (*SENDER, "--column", "referance=to"), "field referance"),
        ([("to",), ("+1",)], ("--from", "+1", "--body", "Hello {name}"), "no column name"),
        ([("to",), ("+1",)], (*SENDER, "--key-column", "id"), "no column id"),
        ([("to", "to"), ("+1", "+2")], SENDER, "several columns named to"),
        ([("to", "", "name"), ("+1", "+2", "")], SENDER, "columns (without a name), name"),
        ([("to",), ("+1",)], ("--from", "+1", "--body", "Hello {name"), "a brace"),
        ([("to",)], SENDER, "no rows"),
        ([], SENDER, "no rows"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_before_anything_is_sent(
    api: QueueingApi, rows: Sequence[Sequence[str]], arguments: Sequence[str], told: str
) -> None:
    write(rows)

    ran = send_csv(*arguments)

    assert ran.code == 1
    assert told in ran.err
    assert api.calls == []


def test_a_file_that_cannot_be_read_is_named() -> None:
    Path("latin.csv").write_bytes("to,body\n+1,Grüße\n".encode("latin-1"))
    Path("quoted.csv").write_text('to,body\n+1,Hello\n+2,"Hello\n+3,Hello\n')

    missing, latin = send_csv(name="nowhere.csv"), send_csv(name="latin.csv")
    quoted = send_csv(name="quoted.csv")

    assert "nowhere.csv cannot be read" in missing.err
    assert "not UTF-8" in latin.err
    assert "quoted.csv, line 3" in quoted.err


def test_other_columns_can_be_ignored(api: QueueingApi) -> None:
    write([("to", "name"), (NUMBERS[0], "Ada")])

    ran = send_csv(*SENDER, "--ignore-other-columns")

    assert (ran.code, len(api.queued)) == (0, 1)


# --- at most once --------------------------------------------------------------------------------


def test_a_thousand_are_asked_for_at_a_time(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS)])

    ran = send_csv(*SENDER, "--json")

    assert api.calls == [1000, 1000, 500]
    assert ran.json["queued"] == 2500
    assert [it["row"] for it in ran.json["results"]] == list(range(1, 2501))


def test_large_messages_are_asked_for_in_smaller_batches(api: QueueingApi) -> None:
    write([("to", "body"), *((number, "x" * 60_000) for number in NUMBERS[:100])])

    send_csv("--from", "+15005550006")

    assert sum(api.calls) == 100
    assert max(api.calls) * 60_000 < 4 * 1024 * 1024


def test_the_same_file_again_has_the_same_keys(api: QueueingApi) -> None:
    write([("to",), (NUMBERS[0],), (NUMBERS[0],)])

    send_csv(*SENDER)
    keys = set(api.queued)
    send_csv(*SENDER)

    assert len(keys) == 2
    assert set(api.queued) == keys


@pytest.mark.parametrize("change", ["another file", "another campaign"])
def test_another_file_or_campaign_has_other_keys(api: QueueingApi, change: str) -> None:
    write([("to",), (NUMBERS[0],)])

    send_csv(*SENDER)
    if change == "another file":
        write([("to",), (NUMBERS[0],), (NUMBERS[1],)])
        send_csv(*SENDER)
    else:
        send_csv(*SENDER, "--campaign", "spring")

    assert len(api.queued) == sum(api.calls)


def test_a_key_column_makes_the_key_whatever_else_the_file_says(api: QueueingApi) -> None:
    write([("to", "id"), (NUMBERS[0], "c-1"), (NUMBERS[1], "")])
    send_csv(*SENDER, "--key-column", "id")
    write([("to", "id"), (NUMBERS[2], "c-2"), (NUMBERS[0], "c-1")])

    ran = send_csv(*SENDER, "--key-column", "id")

    assert ran.code == 0
    assert set(api.queued) == {"c-1", "c-2"}


def test_a_column_of_idempotency_keys_is_a_key_column(api: QueueingApi) -> None:
    write([("to", "idempotency_key"), (NUMBERS[0], "k-1")])

    send_csv(*SENDER, "--campaign", "spring")

    assert set(api.queued) == {"spring:k-1"}


def test_what_is_not_known_to_be_queued_is_asked_for_again_under_its_key(
    api: QueueingApi,
) -> None:
    write([("to",), *((number,) for number in NUMBERS[:5])])
    api.unconfirmed = 2

    ran = send_csv(*SENDER)

    assert ran.code == 0
    assert api.calls == [5, 2]
    assert len(api.queued) == 5


@pytest.mark.parametrize(
    "trouble",
    [None, said(503, {"message": "Service Unavailable"}), said(429, {"message": "Too Many"})],
)
def test_a_batch_whose_answer_is_lost_is_asked_for_again(
    api: QueueingApi, trouble: Response | None
) -> None:
    write([("to",), (NUMBERS[0],)])
    api.before = [trouble, trouble]

    assert send_csv(*SENDER).code == 0


def test_a_run_that_cannot_go_on_says_that_it_can_be_repeated(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS[:1500])])
    api.before = [said(503, {"detail": "No message was sent: no secret."})] * 5

    failed = send_csv(*SENDER, "--json")
    again = send_csv(*SENDER)

    assert failed.code == 1
    assert "no secret" in failed.err
    assert "not sent twice" in failed.err
    assert (failed.json["queued"], failed.json["open"]) == (0, 1500)
    assert (again.code, len(api.queued)) == (0, 1500)


def test_ctrl_c_tells_how_far_it_came(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS[:1500])])
    api.interrupted_at = 2

    ran = send_csv(*SENDER)

    assert ran.code == 130
    assert "Waiting in SendQueue to be sent: 1000 of 1500 rows." in ran.out
    assert "500 rows open" in ran.out


# --- rows with problems --------------------------------------------------------------------------


def test_rows_with_problems_are_written_out_with_the_reason(api: QueueingApi) -> None:
    write([("to", "name"), (NUMBERS[0], "Ada"), ("nobody", "Bob"), (NUMBERS[1], "")], delimiter=";")

    ran = send_csv("--from", "+15005550006", "--body", "Hello {name}")

    written = Path("list.problems.csv").read_text("utf-8").splitlines()
    assert ran.code == 1
    assert len(api.queued) == 1
    assert "list.problems.csv" in ran.out
    assert written == [
        "to;name;problem_row;problem",
        "nobody;Bob;2;to must be a number",
        f"{NUMBERS[1]};;3;name is empty, and the text needs it",
    ]


def test_the_file_of_problems_can_be_put_right_and_sent(api: QueueingApi) -> None:
    write([("to",), ("nobody",)])
    send_csv(*SENDER)
    problems = Path("list.problems.csv")
    problems.write_text(problems.read_text("utf-8").replace("nobody", NUMBERS[0]), "utf-8")

    ran = send_csv(*SENDER, name="list.problems.csv")

    assert ran.code == 0
    assert [it["to"] for it in api.queued.values()] == [NUMBERS[0]]


def test_corrections_in_an_earlier_file_of_problems_are_not_overwritten(api: QueueingApi) -> None:
    write([("to",), ("nobody",)])
    Path("list.problems.csv").write_text("mine")

    send_csv(*SENDER)

    assert Path("list.problems.csv").read_text() == "mine"
    assert Path("list.problems-2.csv").exists()
    assert api.queued == {}


def test_a_row_is_named_by_its_line_in_the_file_too() -> None:
    Path("list.csv").write_text(f'to,body\n\n{NUMBERS[0]},"On two\nlines"\nnobody,x\n')

    ran = send_csv("--from", "+15005550006")

    assert "row 2 (line 5): to must be a number" in ran.out


def test_delimiters_at_the_end_of_each_line_are_no_column() -> None:
    Path("list.csv").write_text(f"to,,\n{NUMBERS[0]},,,\n")

    assert send_csv(*SENDER).code == 0


def test_a_row_with_too_many_cells_is_a_problem(api: QueueingApi) -> None:
    Path("list.csv").write_text(f"to,reference\n{NUMBERS[0]},a,b\n{NUMBERS[1]}\n")

    ran = send_csv(*SENDER)

    assert ran.code == 1
    assert "more cells" in Path("list.problems.csv").read_text()
    assert [it["to"] for it in api.queued.values()] == [NUMBERS[1]]


# --- looking first -------------------------------------------------------------------------------


def test_a_dry_run_shows_the_messages_and_asks_for_nothing(api: QueueingApi) -> None:
    write([("to", "name"), (NUMBERS[0], "Ada"), (NUMBERS[1], "")])
    arguments = ("--from", "+15005550006", "--body", "Hello {name}", "--dry-run")

    ran, as_json = send_csv(*arguments), send_csv(*arguments, "--json")

    assert (ran.code, as_json.code, api.calls) == (1, 1, [])
    assert "Hello Ada" in ran.out
    assert [it["body"] for it in as_json.json["messages"]] == ["Hello Ada"]
    assert [it["row"] for it in as_json.json["problems"]] == [2]


def test_a_person_sees_a_bar(api: QueueingApi) -> None:
    write([("to",), *((number,) for number in NUMBERS[:10])])

    ran = send_csv(*SENDER, terminal=True)

    assert len(api.queued) == 10
    assert "Queueing list.csv" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--csv", "list.csv", "--to", "+1"),
        ("--csv", "list.csv", "--watch"),
        ("--csv", "list.csv", "--idempotency-key", "k"),
        ("--csv", "list.csv", "--column", "to"),
        ("--to", "+1", "--campaign", "spring"),
        ("--to", "+1", "--dry-run"),
    ],
)
def test_options_for_one_message_and_for_a_file_are_told_apart(arguments: Sequence[str]) -> None:
    assert run("send", *arguments).code == 2
