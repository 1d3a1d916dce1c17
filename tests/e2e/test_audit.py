"""The audit of today, by hand, makes the table agree with Twilio's list."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import requests

from sandbox.aws.gateway import Fault, FaultKind, Gateway
from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import ExternalClient, Json
from tests.e2e.test_scenarios import SCENARIOS
from tests.support.command_line import run

CALLBACKS = "/twilio/status"
LATE_DELIVERY = "+15555550114"
RECIPIENTS = 10 * (LATE_DELIVERY, *(to for to in SCENARIOS if to != "+15555550109"))


def facts_of_item(item: Json) -> tuple[Json, ...]:
    return tuple(item.get(name) for name in ("status", "error_code", "num_segments", "price"))


def facts_of_listed(message: Json) -> tuple[Json, ...]:
    return tuple(message[name] for name in ("status", "error_code", "num_segments", "price"))


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


def is_settled(message: Json) -> bool:
    """Whether Twilio changes a listed message no more: it is priced, or stays `sent` for ever."""
    return bool(message["price"]) or message["status"] not in {"queued", "delivered", "undelivered"}


def test_the_audit_of_today_makes_the_table_equal_to_twilio_s_list(
    client: ExternalClient, sandbox: Sandbox, gateway: Gateway, endpoints_path: Path
) -> None:
    gateway.add_fault(Fault(kind=FaultKind.DROP, path=CALLBACKS, times=None, chance=0.4))
    with ThreadPoolExecutor(6) as clients:
        sids = list(clients.map(client.send_accepted, RECIPIENTS))
    day = datetime.now(UTC).date().isoformat()

    def audited() -> tuple[dict[str, Json], Json] | None:
        """Audit; return the list and the result, None while the list still changes."""
        listed = listed_on(day, client)
        if not all(map(is_settled, listed.values())):
            return None
        (result,) = audit(day, client, sandbox)
        return (listed, result) if listed == listed_on(day, client) else None

    listed, result = wait_for(audited, timeout=120, what="The audit of a list at rest")

    different = {sid for sids in result["difference_sids"].values() for sid in sids}
    items = sandbox.account.scan(sandbox.stack.resources["MessagesTable"])
    stored = {it["message_sid"]: facts_of_item(it) for it in items if "status" in it}
    known = listed.keys() & stored.keys()
    assert set(sids) <= known - different
    assert {sid: stored[sid] for sid in known - different} == {
        sid: facts_of_listed(listed[sid]) for sid in known - different
    }
    assert (result["state"], result["messages"]) == ("partial", len(listed))
    spend = sum(-Decimal(it["price"]) for it in listed.values() if it["price"])
    assert result["spend"] == {"USD": f"{spend:f}"}
    ran = run(
        *("audit", "--on", "today", "--json"),
        environment={"DELIVERY_SANDBOX": str(endpoints_path)},
    )
    assert ran.json["audits"] == [result]
