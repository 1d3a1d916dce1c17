"""The operators' command line against the deployed stack."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox.endpoints import PROJECT
from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import (
    SENDER,
    TIMEOUT_SECONDS,
    Delivery,
    ExternalClient,
    a_body,
    a_key,
)
from tests.support.command_line import CommandResult

DELIVERED = "+15551234567"
UNREACHABLE = "+15555530003"
FAST = ("--every", "0.2", "--timeout", str(TIMEOUT_SECONDS))


def a_send(to: str, *more: str) -> tuple[str, ...]:
    return ("send", "--to", to, "--from", SENDER, "--body", a_body(), *more)


def sent(delivery: Delivery, to: str, *more: str) -> str:
    ran = delivery(*a_send(to, *more), "--json")
    assert ran.code == 0, ran.out + ran.err
    message_sid: str = ran.json["message_sid"]
    return message_sid


# --- one message ---------------------------------------------------------------------------------


def test_a_message_is_sent_and_watched_until_it_is_delivered(delivery: Delivery) -> None:
    ran = delivery(*a_send(DELIVERED, "--watch", *FAST))

    assert ran.code == 0, ran.out + ran.err
    assert ran.out.splitlines()[-1].endswith("delivered")


def test_a_failed_message_is_watched_shown_and_found(
    delivery: Delivery, client: ExternalClient
) -> None:
    reference = a_key()
    message_sid = sent(delivery, UNREACHABLE, "--reference", reference)

    watched = delivery("watch", "--reference", reference, *FAST, "--json")
    shown = delivery("show", message_sid)
    found = delivery("find", "--reference", reference, "--json")
    failed = delivery("failures", "--category", "recipient_unreachable", "--json")
    summary = delivery("summary", "--json")

    assert watched.code == 1
    assert watched.json_lines[-1]["outcome"] == "failed"
    assert "undelivered (error 30003)" in shown.out
    assert [it["message_sid"] for it in found.json["messages"]] == [message_sid]
    assert message_sid in {it["message_sid"] for it in failed.json["messages"]}
    assert summary.json["failed"]["by_category"]["recipient_unreachable"] >= 1
    in_json = delivery("show", message_sid, "--json").json
    assert in_json["transitions"] == client.message(message_sid)["transitions"]


def scheduled(delivery: Delivery) -> str:
    """A message that is not due for an hour."""
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    service = ("--messaging-service-sid", "MG" + "0" * 32, "--send-at", at)
    ran = delivery("send", "--to", DELIVERED, "--body", "Later", *service, "--json")
    message_sid: str = ran.json["message_sid"]
    return message_sid


def test_a_scheduled_message_is_canceled(delivery: Delivery) -> None:
    canceled = delivery("cancel", scheduled(delivery))
    again = delivery("cancel", sent(delivery, DELIVERED))

    assert canceled.code == 0, canceled.err
    assert "outcome canceled" in canceled.out
    assert again.code == 1


@contextmanager
def the_command(*arguments: str, endpoints: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the installed command in its own process."""
    paths = os.pathsep.join((str(PROJECT), str(PROJECT / "layers" / "delivery")))
    process = subprocess.Popen(  # noqa: S603 -- no shell, fixed arguments
        [sys.executable, "-m", "delivery_cli", *arguments],
        cwd=PROJECT,
        env={"PATH": os.defpath, "PYTHONPATH": paths, "DELIVERY_SANDBOX": str(endpoints)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_a_signal_ends_a_watch_without_a_traceback(
    delivery: Delivery, endpoints_path: Path
) -> None:
    message_sid = scheduled(delivery)

    with the_command("watch", message_sid, endpoints=endpoints_path) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=TIMEOUT_SECONDS)

    assert message_sid in first
    assert process.returncode == 130
    assert errors.splitlines() == ["Interrupted."]


# --- many messages -------------------------------------------------------------------------------


def test_a_csv_file_is_sent_once_however_often_the_command_is_repeated(
    delivery: Delivery, client: ExternalClient, tmp_path: Path
) -> None:
    file, body = tmp_path / "list.csv", a_body()
    rows = [f"+1555123{number:04},r-{number}" for number in range(5)]
    file.write_text("\n".join(["to,reference", *rows, "not-a-number,r-x"]) + "\n")
    send = ("send", "--csv", str(file), "--from", SENDER, "--body", body, "--json")

    first, again = delivery(*send), delivery(*send)
    wait_for(
        lambda: len(client.sent_with_body(body)) >= 5 and client.send_queue_is_empty(),
        timeout=TIMEOUT_SECONDS,
        what="Five messages at Twilio, and an empty queue",
    )

    assert (first.code, again.code) == (1, 1)
    assert (first.json["queued"], again.json["queued"]) == (5, 5)
    assert "not-a-number" in (tmp_path / "list.problems.csv").read_text()
    assert len(client.sent_with_body(body)) == 5


# --- dead letters --------------------------------------------------------------------------------


def test_a_redriven_request_is_sent_with_its_old_id_as_key(
    delivery: Delivery, client: ExternalClient, sandbox: Sandbox
) -> None:
    queues, reference = client.aws("sqs"), a_key()
    document = {"to": DELIVERED, "from": SENDER, "body": a_body(), "reference": reference}
    dead = sandbox.stack.resources["SendDeadLetterQueue"]
    old_id = queues.send_message(QueueUrl=dead, MessageBody=json.dumps(document))["MessageId"]

    preview = delivery("redrive", "--dry-run", "--json")
    ran = delivery("redrive", "send", "--yes")
    (item,) = client.wait_for_items(lambda it: it.get("reference") == reference, "The redriven one")
    same_key = delivery(
        *("send", "--to", DELIVERED, "--from", SENDER, "--body", document["body"]),
        *("--reference", reference, "--idempotency-key", old_id, "--json"),
    )

    assert preview.json["queues"][0]["messages"][0]["message_id"] == old_id
    assert ran.code == 0, ran.out + ran.err
    assert same_key.json["request_id"] == item["request_id"]
    assert len(client.sent_with_body(document["body"])) == 1


# --- the whole stack -----------------------------------------------------------------------------


def problems_in(ran: CommandResult) -> dict[str, str]:
    fine = {"ok", "advice"}
    return {it["check"]: it["what"] for it in ran.json["findings"] if it["state"] not in fine}


def test_the_doctor_finds_nothing_in_a_healthy_stack_but_logged_errors(delivery: Delivery) -> None:
    ran = delivery("doctor", "--json")

    assert problems_in(ran).keys() <= {"functions"}
    assert {it["check"] for it in ran.json["findings"]} >= {
        *("stack", "secret", "credentials", "api", "callback"),
        *("stream", "sources", "schedules", "topics", "queues"),
    }


def test_the_doctor_finds_a_disabled_event_source_and_dead_letters(
    delivery: Delivery, client: ExternalClient, sandbox: Sandbox
) -> None:
    functions, queues = client.aws("lambda"), client.aws("sqs")
    uuid = sandbox.stack.resources["StatusCallbackFunctionReplay"]
    dead = sandbox.stack.resources["NotifyFailureDeadLetterQueue"]
    queues.send_message(QueueUrl=dead, MessageBody="a place in the stream")
    functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    try:
        ran = delivery("doctor", "--json")
    finally:
        functions.update_event_source_mapping(UUID=uuid, Enabled=True)
        queues.purge_queue(QueueUrl=dead)

    assert "StatusCallbackFunctionReplay is Disab" in problems_in(ran)["sources"]
    assert "NotifyFailureDeadLetterQueue: 1" in problems_in(ran)["queues"]
