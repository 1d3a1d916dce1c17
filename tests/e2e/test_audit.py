"""The audit of today, by hand, makes the table agree with Twilio's list."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import requests

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import TIMEOUT_SECONDS, ExternalClient, Json
from tests.support.command_line import run

LATE_DELIVERY = "+15555550114"
RECIPIENTS = (LATE_DELIVERY, LATE_DELIVERY, "+15551234567", "+15555550102", "+15555530005")


def has_outcome(outcome: str, message: Json) -> bool:
    return bool(message["outcome"] == outcome)


def listed_on(day: str, client: ExternalClient) -> dict[str, Json]:
    """Return Twilio's list of a day, by SID."""
    endpoints = client.endpoints
    account_sid = endpoints["twilio_account_sid"]
    url = f"{endpoints['twilio_api_base_url']}/2010-04-01/Accounts/{account_sid}/Messages.json"
    answer = requests.get(
        url,
        params={"DateSent": day, "PageSize": "1000"},
        auth=(account_sid, endpoints["twilio_auth_token"]),
        timeout=30,
    )
    return {it["sid"]: it for it in answer.json()["messages"]}


def audit(day: str, client: ExternalClient, sandbox: Sandbox) -> Json:
    """Audit a day by hand, and return the results."""
    response = client.aws("lambda").invoke(
        FunctionName=sandbox.stack.resources["AuditMessagesFunction"],
        Qualifier="live",
        Payload=json.dumps({"on": day}),
    )
    assert "FunctionError" not in response, response["Payload"].read()
    url = f"{client.endpoints['messages_api_url']}/audits"
    answer = requests.get(url, params={"on": day}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["audits"]


def test_the_audit_of_today_corrects_what_no_callback_reported(
    client: ExternalClient, sandbox: Sandbox, no_open_incident: Callable[[str], None]
) -> None:
    no_open_incident("30003")
    sids = [client.send_accepted(to) for to in RECIPIENTS]
    day = datetime.now(UTC).date().isoformat()
    for sid, to in zip(sids, RECIPIENTS, strict=True):
        outcome = "failed" if to in {LATE_DELIVERY, "+15555530005"} else "delivered"
        client.wait_for_message(sid, partial(has_outcome, outcome), outcome)

    def all_priced() -> bool:
        listed = listed_on(day, client)
        return all(sid in listed and listed[sid]["price"] for sid in sids)

    wait_for(all_priced, timeout=TIMEOUT_SECONDS, what="Prices")

    (result,) = audit(day, client, sandbox)

    listed = listed_on(day, client)
    messages = {sid: client.message(sid) for sid in sids}
    assert [messages[sid]["status"] for sid in sids[:2]] == ["delivered"] * 2
    assert messages[sids[0]]["transitions"][-1]["source"] == "audit"
    for sid, message in messages.items():
        it = listed[sid]
        assert (message["status"], message.get("error_code")) == (it["status"], it["error_code"])
        assert (message["price"], message["num_segments"]) == (it["price"], it["num_segments"])
    assert result["state"] == "partial"
    assert result["corrected"]["status"] >= 2
    assert Decimal(result["spend"]["USD"]) >= sum(-Decimal(listed[sid]["price"]) for sid in sids)
    audit(day, client, sandbox)
    for sid, message in messages.items():
        assert client.message(sid)["transitions"] == message["transitions"]


def test_the_command_line_shows_the_audit(
    client: ExternalClient, sandbox: Sandbox, endpoints_path: Json
) -> None:
    day = datetime.now(UTC).date().isoformat()
    audit(day, client, sandbox)

    ran = run(
        "audit",
        *("--on", "today", "--json"),
        environment={"DELIVERY_SANDBOX": str(endpoints_path)},
    )

    assert ran.json["audits"][0]["state"] == "partial"
    assert ran.json["audits"][0]["messages"] > 0
