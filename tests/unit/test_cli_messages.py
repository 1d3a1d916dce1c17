"""`delivery send, show, find, failures, watch, cancel`, against a server that answers as told."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from delivery.twilio.error_codes import explain
from sandbox.http_server import HttpServer, Request
from tests.builders import MESSAGE_SID, a_message, an_update
from tests.support.command_line import (
    Json,
    Ran,
    ScriptedApi,
    header,
    page,
    run,
    said,
    write_endpoints,
)

REQUEST_ID = "rq_" + "0123456789abcdef" * 2
PLAIN = {"NO_COLOR": "1"}
NARROW = {**PLAIN, "COLUMNS": "60"}
SEND = ("send", "--to", "+15558675310", "--from", "+15005550006", "--body", "Hello")


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture(autouse=True)
def in_its_folder(
    tmp_path: Path, api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A folder in which a sandbox is up, whose MessagesApi is the scripted one."""
    with HttpServer(port=0, answer=api) as server:
        write_endpoints(tmp_path, server)
        inner = tmp_path / "deep" / "inside"
        inner.mkdir(parents=True)
        monkeypatch.chdir(inner)
        yield


def delivery(*arguments: str, **options: Any) -> Ran:
    return run(*arguments, "--sandbox", **options)


def the_message(*statuses: Any, **more: Json) -> Json:
    return a_message(*statuses).as_record() | more


def failed_message(code: int = 30003, **more: Json) -> Json:
    message = the_message("queued", an_update("undelivered", after=1, error_code=code))
    return message | {"explanation": explain(code).as_record()} | more


# --- send ----------------------------------------------------------------------------------------


def test_a_message_is_sent_with_all_that_the_command_line_says(api: ScriptedApi) -> None:
    api.will("POST /api/messages", said(201, the_message("queued")))

    ran = delivery(
        *SEND,
        *("--reference", "order-1", "--context", "shop=7", "--context", "till=a=b"),
        *("--media-url", "https://example.com/a.png", "--media-url", "https://example.com/b.png"),
        *("--set", "smart_encoded=true", "--set", "validity_period=60"),
        *("--idempotency-key", "key-1"),
    )

    assert ran.code == 0
    assert MESSAGE_SID in ran.out
    assert api.documents == [
        {
            "to": "+15558675310",
            "from": "+15005550006",
            "body": "Hello",
            "reference": "order-1",
            "context": {"shop": "7", "till": "a=b"},
            "media_url": ["https://example.com/a.png", "https://example.com/b.png"],
            "smart_encoded": True,
            "validity_period": 60,
        }
    ]
    assert header(api.requests[0], "Idempotency-Key") == "key-1"


def test_the_text_can_come_from_a_file_or_from_standard_input(
    api: ScriptedApi, tmp_path: Path
) -> None:
    api.will("POST /api/messages", said(201, the_message("queued")))
    file = tmp_path / "text"
    file.write_text("Grüße\n", "utf-8")

    delivery("send", "--to", "+1", "--body-file", str(file))
    delivery("send", "--to", "+1", "--body-file", "-", stdin="From a pipe")

    assert [it["body"] for it in api.documents] == ["Grüße\n", "From a pipe"]


def test_a_text_that_cannot_be_read_is_named(api: ScriptedApi, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes("Grüße".encode("latin-1"))

    missing = delivery("send", "--to", "+1", "--body-file", "nowhere.txt")
    unread = delivery("send", "--to", "+1", "--body-file", str(latin))

    assert (missing.code, unread.code, api.requests) == (1, 1, [])
    assert "nowhere.txt cannot be read: No such file" in missing.err
    assert "latin.txt is not UTF-8" in unread.err


def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key(api: ScriptedApi) -> None:
    api.will("POST /api/messages", None, said(201, the_message("queued")))

    ran = delivery(*SEND)

    keys = {header(request, "Idempotency-Key") for request in api.requests}
    assert ran.code == 0
    assert len(api.requests) == 2
    assert len(keys) == 1


@pytest.mark.parametrize("answer", [None, said(503, {"message": "Service Unavailable"})])
def test_what_nobody_knows_is_told_with_the_key_to_repeat_it(api: ScriptedApi, answer: Any) -> None:
    api.will("POST /api/messages", answer)

    ran = delivery(*SEND)

    (key,) = {header(request, "Idempotency-Key") for request in api.requests}
    assert ran.code == 1
    assert "is not known" in ran.err
    assert f"--idempotency-key {key}" in ran.err


def test_whoever_stops_a_send_is_told_the_key_to_repeat_it(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(request: Request) -> None:
        api.requests.append(request)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr(ScriptedApi, "__call__", lambda _, request: ctrl_c(request))

    ran = delivery(*SEND)

    key = header(api.requests[0], "Idempotency-Key")
    assert ran.code == 130
    assert f"--idempotency-key {key}" in ran.err


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            said(400, {"detail": "x", "problems": [{"field": "to", "problem": "is missing"}]}),
            "to is missing",
        ),
        (said(409, {"detail": "The key was used.", "request_id": REQUEST_ID}), REQUEST_ID),
        (said(422, {"detail": "Twilio refused it: no such number."}), "no such number"),
        (said(503, {"detail": "No message was sent: throttled."}), "delivery doctor"),
        (said(202, {"request_id": REQUEST_ID, "state": "in_doubt"}), "may have been sent"),
        (said(202, {"request_id": REQUEST_ID, "state": "in_progress"}), f"watch {REQUEST_ID}"),
    ],
)
def test_what_was_not_sent_is_told_and_not_asked_again(
    api: ScriptedApi, answer: Any, told: str
) -> None:
    api.will("POST /api/messages", answer)

    ran, as_json = delivery(*SEND), delivery(*SEND, "--json")

    assert (ran.code, as_json.code, len(api.requests)) == (1, 1, 2)
    assert told in ran.out
    assert as_json.json == json.loads(answer.body)


def test_a_repeated_key_shows_the_message_that_was_sent_before(api: ScriptedApi) -> None:
    api.will("POST /api/messages", said(200, the_message("queued", "delivered")))

    ran = delivery(*SEND, "--idempotency-key", "key-1")

    assert ran.code == 0
    assert "nothing was sent now" in ran.out


def test_a_message_can_be_watched_as_soon_as_it_is_sent(api: ScriptedApi) -> None:
    api.will("POST /api/messages", said(201, the_message("queued")))
    api.will(
        f"GET /api/messages/{MESSAGE_SID}",
        said(200, the_message("queued")),
        said(200, the_message("queued", "delivered")),
    )

    ran = delivery(*SEND, "--watch", "--every", "0.01")

    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("delivered")


def test_what_may_have_been_sent_can_be_watched_too(api: ScriptedApi) -> None:
    in_doubt = {"request_id": REQUEST_ID, "state": "in_doubt"}
    sent = {"request_id": REQUEST_ID, "state": "sent", "message_sid": MESSAGE_SID}
    api.will("POST /api/messages", said(202, in_doubt))
    api.will(f"GET /api/requests/{REQUEST_ID}", said(200, in_doubt), said(200, sent))
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("delivered")))

    ran = delivery(*SEND, "--watch", "--every", "0.01")

    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("delivered")


# --- show ----------------------------------------------------------------------------------------


def test_a_failed_message_is_shown_with_its_timeline_and_what_to_do(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, failed_message()))

    ran = delivery("show", MESSAGE_SID)

    assert ran.code == 0
    for told in (MESSAGE_SID, "undelivered (error 30003)", "+1.00 s", explain(30003).action):
        assert told in ran.out
    assert not any(line.endswith(" ") for line in ran.out.splitlines())


def test_json_is_the_message_as_the_api_gives_it(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, failed_message()))

    assert delivery("show", MESSAGE_SID, "--json").json == failed_message()


def test_a_request_is_shown_with_its_message(api: ScriptedApi) -> None:
    request = {"request_id": REQUEST_ID, "state": "sent", "message_sid": MESSAGE_SID}
    api.will(f"GET /api/requests/{REQUEST_ID}", said(200, request))
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("sent")))

    ran, as_json = delivery("show", REQUEST_ID), delivery("show", REQUEST_ID, "--json")

    assert "It was sent." in ran.out
    assert MESSAGE_SID in ran.out
    assert as_json.json == request | {"message": the_message("sent")}


def test_a_request_that_was_refused_says_why(api: ScriptedApi) -> None:
    problem = {"error_code": 21211, "explanation": explain(21211).as_record()}
    request = {"request_id": REQUEST_ID, "state": "rejected", "problem": problem}
    api.will(f"GET /api/requests/{REQUEST_ID}", said(200, request))

    ran, as_json = delivery("show", REQUEST_ID), delivery("show", REQUEST_ID, "--json")

    assert "nothing was sent" in ran.out
    assert explain(21211).action in ran.out
    assert as_json.json == request | {"message": None}


@pytest.mark.parametrize("named", [MESSAGE_SID, REQUEST_ID, f" {REQUEST_ID}"])
def test_what_is_not_known_is_told_with_where_to_look(named: str) -> None:
    ran, as_json = delivery("show", named), delivery("show", named, "--json")

    assert (ran.code, as_json.code, ran.out, as_json.out) == (1, 1, "", "")
    assert named in ran.err
    assert ("no request" in ran.err) is ("rq_" in named)
    assert json.loads(as_json.err).keys() == {"error", "fix"}


def test_a_text_cannot_steer_the_terminal(api: ScriptedApi) -> None:
    evil = the_message("sent", reference="\x1b[2Jgone\r\nx", context={"[red]": "[/nothing]"})
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, evil))

    ran = delivery("show", MESSAGE_SID, terminal=True, environment={**PLAIN, "COLUMNS": "120"})

    assert "\x1b[2J" not in ran.out
    assert r"\x1b[2Jgone\r\nx" in ran.out
    assert "[red] = [/nothing]" in ran.out


def test_a_terminal_gets_colours_and_no_color_takes_them_away(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, failed_message()))

    coloured = delivery("show", MESSAGE_SID, terminal=True)
    plain = delivery("show", MESSAGE_SID, terminal=True, environment=PLAIN)
    piped = delivery("show", MESSAGE_SID)

    assert "\x1b[31m" in coloured.out
    assert "\x1b" not in plain.out + piped.out


def test_each_step_of_a_timeline_is_one_line_in_a_narrow_terminal(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, failed_message()))

    ran = delivery("show", MESSAGE_SID, terminal=True, environment=NARROW)

    steps = [line for line in ran.out.splitlines() if line.startswith("2026-")]
    assert "\n".join(steps) in ran.out
    assert "undelivered (error 30003)" in steps[-1]


# --- find, failures ------------------------------------------------------------------------------


def test_messages_are_found_by_recipient_over_several_pages(api: ScriptedApi) -> None:
    first, second = the_message("sent"), the_message("delivered", message_sid="SM" + "9" * 32)
    api.will("GET /api/messages", page(first, next_token="next"), page(second))

    ran = delivery("find", "--to", "+15558675310")

    assert ran.code == 0
    assert MESSAGE_SID in ran.out
    assert "SM" + "9" * 32 in ran.out
    assert [it.get("to") for it in api.queries] == ["+15558675310"] * 2
    assert [it.get("next_token") for it in api.queries] == [None, "next"]


def test_a_limit_says_that_there_are_more(api: ScriptedApi) -> None:
    api.will("GET /api/messages", page(the_message("sent"), the_message("sent"), next_token="next"))

    ran = delivery("find", "--reference", "order-1", "--limit", "1")
    as_json = delivery("find", "--reference", "order-1", "--limit", "1", "--json")

    assert "--limit shows more" in ran.out
    assert as_json.json == {"messages": [the_message("sent")], "more": True}


def test_nothing_found_is_not_as_wished_but_no_failures_are(api: ScriptedApi) -> None:
    api.will("GET /api/messages", page())

    found, failed = delivery("find", "--pending"), delivery("failures")

    assert (found.code, failed.code) == (1, 0)
    assert "No such message" in found.out
    assert "Nothing failed" in failed.out


def test_the_failures_of_a_day_are_listed_by_category(api: ScriptedApi) -> None:
    other = failed_message(21610, message_sid="SM" + "9" * 32)
    del other["explanation"]
    api.will("GET /api/messages", page(failed_message(), other))

    ran = delivery("failures", "--on", "2026-11-23", "--category", "opt_out")

    assert api.queries[0]["failed_on"] == "2026-11-23"
    assert "SM" + "9" * 32 in ran.out
    assert MESSAGE_SID not in ran.out


@pytest.mark.parametrize("columns", ["60", "80", "130", "200"])
def test_nothing_is_cut_in_a_list(api: ScriptedApi, columns: str) -> None:
    api.will("GET /api/messages", page(failed_message(reference="order-1")))

    ran = delivery("find", "--pending", terminal=True, environment={**PLAIN, "COLUMNS": columns})

    told = " ".join(ran.out.split())
    for part in (MESSAGE_SID, "order-1", f"30003 {explain(30003).title}"):
        assert part in told


def test_an_older_stack_is_told_apart_from_an_unknown_message(api: ScriptedApi) -> None:
    api.will("GET /api/messages", said(404, {"message": "Not Found"}))

    ran = delivery("find", "--pending")

    assert ran.code == 1
    assert "older" in ran.err


def test_a_list_that_is_refused_says_why(api: ScriptedApi) -> None:
    api.will("GET /api/messages", said(400, {"title": "Bad Request", "detail": "No such number."}))

    ran = delivery("find", "--to", "me")

    assert ran.code == 1
    assert "No such number." in ran.err


def test_a_question_is_asked_again_when_the_stack_is_busy(api: ScriptedApi) -> None:
    api.will("GET /api/messages", said(503, {"message": "Busy"}), page(the_message("sent")))

    assert delivery("find", "--pending").code == 0


SUMMARY = {
    "date": "2026-11-23",
    "at": "2026-11-23T12:00:00.000Z",
    "complete": False,
    "failed": {
        "count": 3,
        "complete": True,
        "by_category": {"opt_out": 3},
        "by_error_code": [
            {"error_code": 21610, "count": 3, "category": "opt_out", "title": "Opted out"}
        ],
        "by_sender": {"+15005550006": 3},
    },
    "unconfirmed": {"count": 0, "complete": True, "by_sender": {}},
    "pending": {
        "count": 5000,
        "complete": False,
        "by_age": {"scheduled": 0, "under_1_hour": 5000, "1_to_24_hours": 0, "over_24_hours": 0},
    },
    "in_doubt": {"count": 1, "complete": True, "oldest_at": "2026-11-23T11:00:00.000Z"},
}


def test_a_day_is_summed_up(api: ScriptedApi) -> None:
    api.will("GET /api/summary", said(200, SUMMARY))

    ran, as_json = delivery("summary", "--on", "2026-11-23"), delivery("summary", "--json")

    assert ran.code == 0
    assert api.queries[0] == {"date": "2026-11-23"}
    for told in ("3 failed", "21610 Opted out", "5000+ pending", "1 in doubt", "more than"):
        assert told in ran.out
    assert "   5000  under an hour\n" in ran.out
    assert as_json.json == SUMMARY


# --- watch ---------------------------------------------------------------------------------------


def test_each_change_is_a_line_until_the_message_is_delivered(api: ScriptedApi) -> None:
    api.will(
        f"GET /api/messages/{MESSAGE_SID}",
        said(404, {"title": "Not Found", "detail": "Unknown."}),
        said(200, the_message("queued")),
        said(200, the_message("queued")),
        said(200, the_message("queued", "sent", "delivered")),
    )

    ran = delivery("watch", MESSAGE_SID, "--every", "0.01")

    assert ran.code == 0
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["queued", "sent", "delivered"]


def test_watching_what_fails_is_not_as_wished(api: ScriptedApi) -> None:
    api.will("GET /api/messages", page(the_message("queued")), page(failed_message()))

    ran = delivery("watch", "--reference", "order-1", "--every", "0.01", "--json")

    assert ran.code == 1
    assert ran.json_lines == [the_message("queued"), failed_message()]
    assert ran.err == ""


def test_a_watch_ends_with_what_became_of_all(api: ScriptedApi) -> None:
    given_up = the_message("sent") | {"outcome": "unconfirmed"}
    other = the_message("delivered", message_sid="SM" + "9" * 32)
    api.will("GET /api/messages", page(given_up, other))

    ran = delivery("watch", "--reference", "order-1")

    assert ran.code == 1
    assert "1 delivered, 1 unconfirmed" in ran.err


def test_whoever_watches_what_is_not_known_is_told_that_nothing_was_seen() -> None:
    ran = delivery("watch", MESSAGE_SID, "--every", "0.01", "--timeout", "0.05")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "No message yet; Ctrl-C ends the watch.",
        "Not over after 0.05 s: no message.",
    ]


def test_a_terminal_on_which_nothing_moves_gets_lines(api: ScriptedApi) -> None:
    api.will("GET /api/messages", page(the_message("queued")), page(the_message("delivered")))

    dumb = {"TERM": "dumb"}
    ran = delivery("watch", "--to", "+1", "--every", "0.01", terminal=True, environment=dumb)

    assert [line.split()[-1] for line in ran.out.splitlines()] == ["queued", "delivered"]


def test_a_request_is_watched_until_its_message_is_final(api: ScriptedApi) -> None:
    waiting = {"request_id": REQUEST_ID, "state": "in_progress"}
    sent = {"request_id": REQUEST_ID, "state": "sent", "message_sid": MESSAGE_SID}
    api.will(f"GET /api/requests/{REQUEST_ID}", said(200, waiting), said(200, sent))
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("delivered")))

    assert delivery("watch", REQUEST_ID, "--every", "0.01").code == 0


def test_a_request_that_was_refused_ends_the_watch(api: ScriptedApi) -> None:
    refused = {"request_id": REQUEST_ID, "state": "rejected"}
    api.will(f"GET /api/requests/{REQUEST_ID}", said(200, refused))

    ran = delivery("watch", REQUEST_ID)

    assert ran.code == 1
    assert "It was refused" in ran.err


def test_a_watch_gives_up_in_time(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("sent")))

    ran = delivery("watch", MESSAGE_SID, "--every", "0.01", "--timeout", "0.05")

    assert ran.code == 1
    assert "Not over after 0.05 s: 1 pending." in ran.err


def test_a_watch_looks_once_more_when_its_time_is_up(api: ScriptedApi) -> None:
    api.will(
        f"GET /api/messages/{MESSAGE_SID}",
        said(200, the_message("sent")),
        said(200, the_message("delivered")),
    )

    assert delivery("watch", MESSAGE_SID, "--every", "60", "--timeout", "0.05").code == 0


def test_a_terminal_sees_the_timeline_grow(api: ScriptedApi) -> None:
    api.will(
        f"GET /api/messages/{MESSAGE_SID}",
        said(200, the_message("queued")),
        said(200, the_message("queued", "delivered")),
    )

    ran = delivery("watch", MESSAGE_SID, "--every", "0.01", terminal=True)

    assert ran.code == 0
    assert "Ctrl-C" in ran.out
    assert "delivered" in ran.out.rpartition("Ctrl-C")[2]


# --- cancel --------------------------------------------------------------------------------------


def test_a_scheduled_message_is_canceled(api: ScriptedApi) -> None:
    canceled = the_message("scheduled", "canceled")
    api.will(f"POST /api/messages/{MESSAGE_SID}/cancel", said(200, canceled))

    ran = delivery("cancel", MESSAGE_SID)

    assert ran.code == 0
    assert "outcome canceled" in ran.out


TOO_LATE = said(422, {"detail": "Twilio refused it: too late.", "error_code": 30409})


def test_what_cannot_be_canceled_says_why_and_where_it_stands(api: ScriptedApi) -> None:
    api.will(f"POST /api/messages/{MESSAGE_SID}/cancel", TOO_LATE)
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("scheduled", "sent")))

    ran = delivery("cancel", MESSAGE_SID)

    assert ran.code == 1
    assert "too late" in ran.err
    assert "Its status is sent" in ran.err


def test_what_could_not_be_canceled_now_can_be_later(api: ScriptedApi) -> None:
    unavailable = said(503, {"detail": "Twilio gave no answer."})
    api.will(f"POST /api/messages/{MESSAGE_SID}/cancel", unavailable)
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("scheduled")))

    ran = delivery("cancel", MESSAGE_SID)

    assert ran.code == 1
    assert "Try again" in ran.err


def test_what_was_canceled_before_is_as_wished(api: ScriptedApi) -> None:
    api.will(f"POST /api/messages/{MESSAGE_SID}/cancel", TOO_LATE)
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, the_message("scheduled", "canceled")))

    ran = delivery("cancel", MESSAGE_SID)

    assert ran.code == 0
    assert "outcome canceled" in ran.out


# --- the command line itself ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "COMMAND"),
        (("dance",), "dance"),
        (("show",), "SID"),
        (("show", ""), "SID: it is empty"),
        (("find",), "--pending"),
        (("find", "--to", " "), "--to: it is empty"),
        (("find", "--to", "+1", "--reference", "x"), "not allowed with"),
        (("find", "--pending", "--limit", "0"), "--limit: 0 is no number of messages"),
        (("find", "--pending", "--limit", "many"), "--limit: many is no number of messages"),
        (("failures", "--on", "someday"), "write YYYY-MM-DD, today or yesterday"),
        (("failures", "--category", "bad_luck"), "opt_out"),
        (("watch",), "SID"),
        (("watch", "SM1", "--every", "0"), "--every: 0 is no time to wait"),
        (("watch", "SM1", "--timeout", "soon"), "--timeout: soon is no time to wait"),
        (("send",), "--csv"),
        (("send", "--to", "+1", "--body", "x", "--body-file", "y"), "not allowed with"),
        (("send", "--to", "+1", "--context", "shop"), "--context: shop is no pair"),
        (("send", "--to", "+1", "--set", "=true"), "--set: =true is no pair"),
        (("send", "--to", "+1", "--idempotency-key", ""), "--idempotency-key: it is empty"),
        (("send", "--to", "+1", "--timeout", "5"), "--timeout is for --watch"),
        (("summary", "--sandbox", "--region", "eu-west-1"), "--region is for AWS"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_asks_for_nothing(
    api: ScriptedApi, arguments: tuple[str, ...], told: str
) -> None:
    ran = run(*arguments, environment={"DELIVERY_SANDBOX": "1"})

    assert (ran.code, api.requests) == (2, [])
    assert "usage: delivery" in ran.err
    assert told in ran.err


def test_an_answer_that_is_no_json_is_no_messages_api(api: ScriptedApi) -> None:
    api.will("GET /api/messages", said(200, ["a list"]))

    ran = delivery("find", "--pending")

    assert ran.code == 1
    assert "no MessagesApi" in ran.err


@pytest.mark.parametrize(
    ("into", "told"),
    [("/dev/full", "cannot be written: No space left"), ("a pipe that nobody reads", "")],
)
def test_a_result_that_cannot_be_written_ends_the_command_in_words(
    api: ScriptedApi, into: str, told: str
) -> None:
    api.will("GET /api/messages", page(the_message("sent")))
    if into == "/dev/full":
        out = os.open(into, os.O_WRONLY)
    else:
        read, out = os.pipe()
        os.close(read)

    ran = subprocess.run(
        [sys.executable, "-m", "delivery_cli", "find", "--pending", "--sandbox"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(out)

    assert ran.returncode == 1
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr
