"""`delivery send, show, find, failures, summary, watch, cancel`, against a scripted API."""

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

from delivery.domain.messages import Transition
from delivery.text.formatting import source_label
from delivery.twilio.error_codes import explain
from sandbox.http_server import Request
from tests.support.builders import MESSAGE_SID, a_message, an_update
from tests.support.command_line import (
    CommandResult,
    Json,
    ScriptedApi,
    header,
    page,
    reply,
    run,
    sandbox_in,
)

REQUEST_ID = "rq_" + "0123456789abcdef" * 2
PLAIN = {"NO_COLOR": "1"}
NARROW = {**PLAIN, "COLUMNS": "60"}
SEND = ("send", "--to", "+15558675310", "--from", "+15005550006", "--body", "Hello")


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture(autouse=True)
def sandbox(tmp_path: Path, api: ScriptedApi) -> Iterator[None]:
    with sandbox_in(tmp_path, api):
        yield


def delivery(*arguments: str, **options: Any) -> CommandResult:
    return run(*arguments, "--sandbox", **options)


def the_message(*statuses: Any, **more: Json) -> Json:
    return a_message(*statuses).as_record() | more


def failed_message(code: int = 30003, **more: Json) -> Json:
    message = the_message("queued", an_update("undelivered", after=1, error_code=code))
    return message | {"explanation": explain(code).as_record()} | more


# --- send ----------------------------------------------------------------------------------------


def test_every_option_becomes_a_field_of_the_request(api: ScriptedApi) -> None:
    api.respond("POST /api/messages", reply(201, the_message("queued")))

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


def test_the_text_comes_from_a_file_or_from_standard_input(
    api: ScriptedApi, tmp_path: Path
) -> None:
    api.respond("POST /api/messages", reply(201, the_message("queued")))
    file = tmp_path / "text"
    file.write_text("Grüße\n", "utf-8")

    delivery("send", "--to", "+1", "--body-file", str(file))
    delivery("send", "--to", "+1", "--body-file", "-", stdin="From a pipe")
    file.write_bytes("Grüße".encode("latin-1"))
    latin = delivery("send", "--to", "+1", "--body-file", str(file))
    missing = delivery("send", "--to", "+1", "--body-file", "nowhere.txt")

    assert [it["body"] for it in api.documents] == ["Grüße\n", "From a pipe"]
    assert (latin.code, missing.code) == (1, 1)
    assert "UTF-8" in latin.err
    assert "nowhere.txt" in missing.err


def test_a_send_whose_answer_is_lost_is_repeated_with_the_same_key(api: ScriptedApi) -> None:
    api.respond("POST /api/messages", None, reply(201, the_message("queued")))

    ran = delivery(*SEND)

    keys = {header(request, "Idempotency-Key") for request in api.requests}
    assert ran.code == 0
    assert len(api.requests) == 2
    assert len(keys) == 1


@pytest.mark.parametrize("answer", [None, reply(503, {"message": "Service Unavailable"})])
def test_an_unknown_outcome_is_reported_with_the_key(api: ScriptedApi, answer: Any) -> None:
    api.respond("POST /api/messages", answer)

    ran = delivery(*SEND)

    (key,) = {header(request, "Idempotency-Key") for request in api.requests}
    assert ran.code == 1
    assert f"--idempotency-key {key}" in ran.err


def test_an_interrupted_send_reports_the_key(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(request: Request) -> None:
        api.requests.append(request)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr(ScriptedApi, "__call__", lambda _, request: interrupt(request))

    ran = delivery(*SEND)

    key = header(api.requests[0], "Idempotency-Key")
    assert ran.code == 130
    assert f"--idempotency-key {key}" in ran.err


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        (
            reply(400, {"detail": "x", "problems": [{"field": "to", "problem": "is missing"}]}),
            "to is missing",
        ),
        (reply(409, {"detail": "The key was used.", "request_id": REQUEST_ID}), REQUEST_ID),
        (reply(422, {"detail": "Twilio rejected it: no such number."}), "no such number"),
        (reply(503, {"detail": "No message was sent: throttled."}), "delivery doctor"),
        (reply(202, {"request_id": REQUEST_ID, "state": "in_doubt"}), f"watch {REQUEST_ID}"),
    ],
)
def test_a_message_that_was_not_sent_is_reported_and_not_repeated(
    api: ScriptedApi, answer: Any, fact: str
) -> None:
    api.respond("POST /api/messages", answer)

    ran, as_json = delivery(*SEND), delivery(*SEND, "--json")

    assert (ran.code, as_json.code, len(api.requests)) == (1, 1, 2)
    assert fact in ran.out
    assert as_json.json == json.loads(answer.body)


def test_a_duplicate_send_shows_the_existing_message(api: ScriptedApi) -> None:
    api.respond("POST /api/messages", reply(200, the_message("queued", "delivered")))

    ran = delivery(*SEND, "--idempotency-key", "key-1")

    assert (ran.code, len(api.requests)) == (0, 1)
    assert MESSAGE_SID in ran.out


def test_send_watches_a_message_that_was_sent(api: ScriptedApi) -> None:
    api.respond("POST /api/messages", reply(201, the_message("queued")))
    api.respond(
        f"GET /api/messages/{MESSAGE_SID}",
        reply(200, the_message("queued")),
        reply(200, the_message("queued", "delivered")),
    )

    ran = delivery(*SEND, "--watch", "--every", "0.01")

    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("delivered")


def test_send_watches_a_request_in_doubt(api: ScriptedApi) -> None:
    in_doubt = {"request_id": REQUEST_ID, "state": "in_doubt"}
    sent = {"request_id": REQUEST_ID, "state": "sent", "message_sid": MESSAGE_SID}
    api.respond("POST /api/messages", reply(202, in_doubt))
    api.respond(f"GET /api/requests/{REQUEST_ID}", reply(200, in_doubt), reply(200, sent))
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, the_message("delivered")))

    ran = delivery(*SEND, "--watch", "--every", "0.01")

    assert ran.code == 0
    assert ran.out.splitlines()[-1].endswith("delivered")


# --- show ----------------------------------------------------------------------------------------


def test_show_labels_the_source_of_each_status_as_notices_do(api: ScriptedApi) -> None:
    message = the_message("presumed_unsent")
    of_a_newer_stack = message["transitions"][0] | {"status": "sent", "source": "oracle\x1b"}
    message["transitions"][0]["source"] = "reconcile"
    message["transitions"].append(of_a_newer_stack)
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, message))

    ran = delivery("show", MESSAGE_SID)

    label = source_label(Transition.from_record(message["transitions"][0]))
    assert label in ran.out
    assert r"oracle\x1b" in ran.out


def test_show_has_the_timeline_of_a_failed_message_and_its_explanation(api: ScriptedApi) -> None:
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, failed_message()))

    ran, as_json = delivery("show", MESSAGE_SID), delivery("show", MESSAGE_SID, "--json")

    assert ran.code == 0
    assert as_json.json == failed_message()
    for fact in (MESSAGE_SID, "undelivered (error 30003)", "+1.00 s", explain(30003).action):
        assert fact in ran.out
    assert not any(line.endswith(" ") for line in ran.out.splitlines())


def test_show_has_the_message_of_a_request(api: ScriptedApi) -> None:
    request = {"request_id": REQUEST_ID, "state": "sent", "message_sid": MESSAGE_SID}
    api.respond(f"GET /api/requests/{REQUEST_ID}", reply(200, request))
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, the_message("sent")))

    ran, as_json = delivery("show", REQUEST_ID), delivery("show", REQUEST_ID, "--json")

    assert REQUEST_ID in ran.out
    assert MESSAGE_SID in ran.out
    assert as_json.json == request | {"message": the_message("sent")}


def test_show_explains_why_a_request_was_rejected(api: ScriptedApi) -> None:
    problem = {"error_code": 21211, "explanation": explain(21211).as_record()}
    request = {"request_id": REQUEST_ID, "state": "rejected", "problem": problem}
    api.respond(f"GET /api/requests/{REQUEST_ID}", reply(200, request))

    ran, as_json = delivery("show", REQUEST_ID), delivery("show", REQUEST_ID, "--json")

    assert "rejected" in ran.out
    assert f"error       21211 {explain(21211).title}" in ran.out
    assert explain(21211).action in ran.out
    assert as_json.json == request | {"message": None}


@pytest.mark.parametrize("named", [MESSAGE_SID, f" {REQUEST_ID}"])
def test_show_reports_an_unknown_message_or_request(named: str) -> None:
    ran, as_json = delivery("show", named), delivery("show", named, "--json")

    assert (ran.code, as_json.code, ran.out, as_json.out) == (1, 1, "", "")
    assert named in ran.err
    assert ("IdempotencyKeyRetentionDays" in ran.err) is ("rq_" in named)
    assert json.loads(as_json.err).keys() == {"error", "fix"}


def test_control_characters_of_a_message_are_escaped(api: ScriptedApi) -> None:
    evil = the_message("sent", reference="\x1b[2Jgone\r\nx", context={"[red]": "[/nothing]"})
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, evil))

    ran = delivery("show", MESSAGE_SID, terminal=True, environment={**PLAIN, "COLUMNS": "120"})

    assert "\x1b[2J" not in ran.out
    assert r"\x1b[2Jgone\r\nx" in ran.out
    assert "[red] = [/nothing]" in ran.out


def test_only_a_terminal_without_no_color_gets_colours(api: ScriptedApi) -> None:
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, failed_message()))

    coloured = delivery("show", MESSAGE_SID, terminal=True)
    plain = delivery("show", MESSAGE_SID, terminal=True, environment=PLAIN)
    piped = delivery("show", MESSAGE_SID)

    assert "\x1b[31m" in coloured.out
    assert "\x1b" not in plain.out + piped.out


def test_a_transition_stays_on_one_line_in_a_narrow_terminal(api: ScriptedApi) -> None:
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, failed_message()))

    ran = delivery("show", MESSAGE_SID, terminal=True, environment=NARROW)

    steps = [line for line in ran.out.splitlines() if line.startswith("2026-")]
    assert "\n".join(steps) in ran.out
    assert "undelivered (error 30003)" in steps[-1]


# --- find, failures ------------------------------------------------------------------------------


def test_find_reads_all_pages_of_a_recipient_s_messages_and_retries(api: ScriptedApi) -> None:
    first, second = the_message("sent"), the_message("delivered", message_sid="SM" + "9" * 32)
    busy = reply(503, {"message": "Busy"})
    api.respond("GET /api/messages", busy, page(first, next_token="next"), page(second))

    ran = delivery("find", "--to", "+15558675310")

    assert ran.code == 0
    assert MESSAGE_SID in ran.out
    assert "SM" + "9" * 32 in ran.out
    assert [it.get("to") for it in api.queries] == ["+15558675310"] * 3
    assert [it.get("next_token") for it in api.queries] == [None, None, "next"]
    assert "whatsapp:US." in ran.err  # which is not connected to the number


def test_an_empty_list_is_a_failure_of_find(api: ScriptedApi) -> None:
    api.respond("GET /api/messages", page())

    assert delivery("find", "--pending").code == 1
    assert api.queries[0]["pending"] == "true"


def test_find_says_that_there_are_more_messages_than_the_limit(api: ScriptedApi) -> None:
    api.respond(
        "GET /api/messages", page(the_message("sent"), the_message("sent"), next_token="next")
    )

    ran = delivery("find", "--reference", "order-1", "--limit", "1")
    as_json = delivery("find", "--reference", "order-1", "--limit", "1", "--json")

    assert "--limit" in ran.out
    assert as_json.json == {"messages": [the_message("sent")], "more": True}


@pytest.mark.parametrize("columns", ["60", "129", "130"])
def test_find_truncates_nothing_at_any_width(api: ScriptedApi, columns: str) -> None:
    api.respond("GET /api/messages", page(failed_message(reference="order-1")))

    ran = delivery("find", "--pending", terminal=True, environment={**PLAIN, "COLUMNS": columns})

    text = " ".join(ran.out.split())
    for fact in (MESSAGE_SID, "order-1", f"30003 {explain(30003).title}"):
        assert fact in text


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        (reply(404, {"message": "Not Found"}), "older"),
        (reply(400, {"title": "Bad Request", "detail": "No such number."}), "No such number."),
        (reply(200, ["a list"]), "MessagesApiUrl"),
    ],
)
def test_an_error_of_the_api_is_explained(api: ScriptedApi, answer: Any, fact: str) -> None:
    api.respond("GET /api/messages", answer)

    ran = delivery("find", "--pending")

    assert ran.code == 1
    assert fact in ran.err


def test_failures_filters_by_day_and_category(api: ScriptedApi) -> None:
    other = failed_message(21610, message_sid="SM" + "9" * 32)
    del other["explanation"]
    api.respond("GET /api/messages", page(failed_message(), other))

    ran = delivery("failures", "--on", "2026-11-23", "--category", "opt_out")
    none = delivery("failures", "--category", "content")

    assert (ran.code, none.code) == (0, 0)
    assert api.queries[0]["failed_on"] == "2026-11-23"
    assert "SM" + "9" * 32 in ran.out
    assert MESSAGE_SID not in ran.out


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


def test_summary_counts_the_day_and_the_present(api: ScriptedApi) -> None:
    api.respond("GET /api/summary", reply(200, SUMMARY))

    ran, as_json = delivery("summary", "--on", "2026-11-23"), delivery("summary", "--json")

    assert ran.code == 0
    assert api.queries[0] == {"date": "2026-11-23"}
    for fact in ("3 failed", "21610 Opted out", "5000+ pending", "1 in doubt"):
        assert fact in ran.out
    assert "   5000  under 1 hour\n" in ran.out
    assert as_json.json == SUMMARY


# --- watch ---------------------------------------------------------------------------------------


def test_watch_prints_a_line_for_each_transition(api: ScriptedApi) -> None:
    api.respond(
        f"GET /api/messages/{MESSAGE_SID}",
        reply(404, {"title": "Not Found", "detail": "Unknown."}),
        reply(200, the_message("queued")),
        reply(200, the_message("queued")),
        reply(200, the_message("queued", "sent", "delivered")),
    )

    ran = delivery("watch", MESSAGE_SID, "--every", "0.01")

    assert ran.code == 0
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["queued", "sent", "delivered"]


def test_watch_fails_unless_all_messages_are_delivered(api: ScriptedApi) -> None:
    unconfirmed = the_message("sent") | {"outcome": "unconfirmed"}
    other = the_message("delivered", message_sid="SM" + "9" * 32)
    api.respond("GET /api/messages", page(the_message("queued")), page(unconfirmed, other))

    as_json = delivery("watch", "--reference", "order-1", "--every", "0.01", "--json")
    ran = delivery("watch", "--reference", "order-1")

    assert (as_json.code, ran.code) == (1, 1)
    assert as_json.json_lines == [the_message("queued"), other, unconfirmed]
    assert as_json.err == ""
    assert "1 delivered, 1 unconfirmed" in ran.err


def test_watch_times_out_on_an_unknown_message() -> None:
    ran = delivery("watch", MESSAGE_SID, "--every", "0.01", "--timeout", "0.05")

    assert (ran.code, ran.out) == (1, "")
    first, last = ran.err.splitlines()
    assert "Ctrl-C" in first
    assert "0.05 s: no message" in last


def test_watch_prints_lines_on_a_dumb_terminal(api: ScriptedApi) -> None:
    api.respond("GET /api/messages", page(the_message("queued")), page(the_message("delivered")))

    dumb = {"TERM": "dumb"}
    ran = delivery(
        "watch", "--to", "+15558675310", "--every", "0.01", terminal=True, environment=dumb
    )

    assert [line.split()[-1] for line in ran.out.splitlines()] == ["queued", "delivered"]


@pytest.mark.parametrize("state", ["rejected", "presumed_unsent"])
def test_watch_ends_when_its_request_is_not_sent(api: ScriptedApi, state: str) -> None:
    unsent = {"request_id": REQUEST_ID, "state": state}
    api.respond(f"GET /api/requests/{REQUEST_ID}", reply(200, unsent))

    ran = delivery("watch", REQUEST_ID)

    assert ran.code == 1
    assert f"show {REQUEST_ID}" in ran.err


def test_watch_polls_once_more_at_its_timeout(api: ScriptedApi) -> None:
    api.respond(
        f"GET /api/messages/{MESSAGE_SID}",
        reply(200, the_message("sent")),
        reply(200, the_message("delivered")),
    )

    assert delivery("watch", MESSAGE_SID, "--every", "60", "--timeout", "0.05").code == 0


def test_watch_redraws_the_timeline_on_a_terminal(api: ScriptedApi) -> None:
    api.respond(
        f"GET /api/messages/{MESSAGE_SID}",
        reply(200, the_message("queued")),
        reply(200, the_message("queued", "delivered")),
    )

    ran = delivery("watch", MESSAGE_SID, "--every", "0.01", terminal=True)

    assert ran.code == 0
    assert "Ctrl-C" in ran.out
    assert "delivered" in ran.out.rpartition("Ctrl-C")[2]


# --- cancel --------------------------------------------------------------------------------------


def test_cancel_succeeds_if_twilio_does_not_answer_for_a_message_that_was_canceled(
    api: ScriptedApi,
) -> None:
    api.respond(f"POST /api/messages/{MESSAGE_SID}/cancel", reply(503, {"detail": "No answer."}))
    canceled = the_message("scheduled", "canceled")
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, canceled))

    ran = delivery("cancel", MESSAGE_SID)

    assert ran.code == 0
    assert "outcome canceled" in ran.out


@pytest.mark.parametrize(
    ("status", "message", "fact"),
    [
        (422, the_message("scheduled", "sent"), "is sent"),
        (503, the_message("scheduled"), "Retry"),
    ],
)
def test_cancel_shows_the_canceled_message_or_explains_why_it_is_not(
    api: ScriptedApi, status: int, message: Json, fact: str
) -> None:
    canceled = reply(200, the_message("scheduled", "canceled"))
    failed = reply(status, {"detail": "Twilio did not cancel it."})
    api.respond(f"POST /api/messages/{MESSAGE_SID}/cancel", failed, canceled)
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, message))

    ran, again = delivery("cancel", MESSAGE_SID), delivery("cancel", MESSAGE_SID)

    assert (ran.code, again.code) == (1, 0)
    assert "Twilio did not cancel it." in ran.err
    assert fact in ran.err
    assert "outcome canceled" in again.out


# --- usage errors and output ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "COMMAND"),
        (("show", ""), "argument SID: expected a value"),
        (("show", "order-1"), "argument SID: invalid id 'order-1'"),
        (("find",), "--pending"),
        (("find", "--to", "0151 23"), "argument --to: invalid number '0151 23'"),
        (("find", "--to", "+15558675310", "--reference", "x"), "not allowed with"),
        (("find", "--pending", "--limit", "0"), "argument --limit: invalid number '0'"),
        (("failures", "--on", "someday"), "argument --on: invalid date 'someday'"),
        (("failures", "--category", "bad_luck"), "opt_out"),
        (("watch",), "SID"),
        (("watch", MESSAGE_SID, "--every", "0"), "argument --every: invalid duration '0'"),
        (("watch", MESSAGE_SID, "--timeout", "soon"), "argument --timeout: invalid duration"),
        (("cancel", MESSAGE_SID[:-1]), "argument SID: invalid SID"),
        (("cancel", REQUEST_ID), "argument SID: invalid SID"),
        (("send",), "--csv"),
        (("send", "--csv", "x.csv", "--to", "+1"), "argument --to: not allowed with"),
        (("send", "--csv", "x.csv", "--watch"), "argument --watch: not allowed with --csv"),
        (("send", "--csv", "x.csv", "--idempotency-key", "k"), "--idempotency-key: not allowed"),
        (("send", "--csv", "x.csv", "--column", "to"), "argument --column: invalid pair 'to'"),
        (("send", "--to", "+1", "--campaign", "spring"), "--campaign: only allowed with --csv"),
        (("send", "--to", "+1", "--dry-run"), "argument --dry-run: only allowed with --csv"),
        (("send", "--to", "+1", "--body", "x", "--body-file", "y"), "not allowed with"),
        (("send", "--to", "+1", "--context", "shop"), "argument --context: invalid pair 'shop'"),
        (("send", "--to", "+1", "--set", "=true"), "argument --set: invalid pair '=true'"),
        (("send", "--to", "+1", "--set", "smart=true"), "argument --set: invalid field 'smart'"),
        (("send", "--csv", "list.csv", "--set", "context=x"), "--set: invalid field 'context'"),
        (
            ("send", "--to", "+1", "--idempotency-key", ""),
            "argument --idempotency-key: expected a value",
        ),
        (("send", "--to", "+1", "--timeout", "5"), "argument --timeout: only allowed with --watch"),
        (
            ("summary", "--sandbox", "--region", "eu-west-1"),
            "argument --region: not allowed with --sandbox",
        ),
    ],
)
def test_a_usage_error_exits_with_2_and_sends_no_request(
    api: ScriptedApi, arguments: tuple[str, ...], expected: str
) -> None:
    ran = run(*arguments, environment={"DELIVERY_SANDBOX": "1"})

    assert (ran.code, api.requests) == (2, [])
    assert "usage: delivery" in ran.err
    assert expected in ran.err


@pytest.mark.parametrize(
    ("into", "reason"),
    [("/dev/full", "No space left"), ("a closed pipe", "")],
)
def test_output_that_cannot_be_written_ends_the_command_without_a_traceback(
    api: ScriptedApi, into: str, reason: str
) -> None:
    api.respond("GET /api/messages", page(the_message("sent")))
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
    assert reason in ran.stderr
    assert "Traceback" not in ran.stderr
