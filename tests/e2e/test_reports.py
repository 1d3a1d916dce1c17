"""`delivery report` against the deployed archive: the totals are those of the table."""

import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from sandbox.lifecycle import Sandbox
from sandbox.polling import wait_for
from tests.e2e.external_client import SENDER, Delivery, ExternalClient, Json, a_key

TIMEOUT_SECONDS = 180
# The recipients of the campaign: how many messages each receives, and its country.
RECIPIENTS = {
    "+4915112345678": (30, "DE"),
    "+33612345678": (15, "FR"),
    "+15555550110": (5, "US"),  # undelivered, and later delivered
    "+15555530003": (4, "US"),  # undelivered
    "+15555550102": (6, "US"),  # each callback arrives twice
}
MESSAGES = sum(count for count, _ in RECIPIENTS.values())
FAILED = RECIPIENTS["+15555530003"][0]


@pytest.fixture(scope="module")
def campaign(client: ExternalClient, sandbox: Sandbox) -> list[Json]:
    """The items of the messages of one campaign, once all are final."""
    name = "".join(secrets.choice("abcdefghij") for _ in range(12))
    documents = [
        {"to": to, "from": SENDER, "body": "Hello", "context": {"campaign": name}}
        for to, (count, _) in RECIPIENTS.items()
        for _ in range(count)
    ]
    response = requests.post(
        f"{client.endpoints['messages_api_url']}/messages/batch",
        json={"messages": documents},
        headers={"Idempotency-Key": a_key()},
        timeout=35,
    )
    assert response.json()["queued"] == MESSAGES
    expected = {"delivered": MESSAGES - FAILED, "failed": FAILED}

    def final() -> list[Json]:
        items = sandbox.account.scan(sandbox.endpoints.messages_table)
        found = [it for it in items if it.get("context", {}).get("campaign") == name]
        return found if Counter(it["outcome"] for it in found) == expected else []

    return wait_for(final, timeout=TIMEOUT_SECONDS, what="A final outcome of every message")


def wait_for_groups(
    delivery: Delivery, campaign: list[Json], by: str, is_complete: Callable[[list[Json]], bool]
) -> list[Json]:
    """The groups of the campaign in a report, once they are complete."""
    name = campaign[0]["context"]["campaign"]

    def found() -> list[Json]:
        ran = delivery("report", "--from", "yesterday", "--by", f"campaign,{by}", "--json")
        assert ran.code == 0, ran.err
        groups = [it for it in ran.json["groups"] if it["group"]["campaign"] == name]
        return groups if is_complete(groups) else []

    return wait_for(found, timeout=TIMEOUT_SECONDS, what="A report of the whole campaign")


def test_a_report_has_the_totals_of_the_table(delivery: Delivery, campaign: list[Json]) -> None:
    def is_complete(groups: list[Json]) -> bool:
        counted = [sum(it[outcome] for it in groups) for outcome in ("delivered", "failed")]
        return counted == [MESSAGES - FAILED, FAILED]

    groups = wait_for_groups(delivery, campaign, "country", is_complete)

    countries = {to: country for to, (_, country) in RECIPIENTS.items()}
    of_country: dict[str, list[Json]] = {}
    for item in campaign:
        of_country.setdefault(countries[item["to"]], []).append(item)
    assert {it["group"]["country"] for it in groups} == set(of_country)
    for group in groups:
        items = of_country[group["group"]["country"]]
        outcomes = Counter(it["outcome"] for it in items)
        names = ("delivered", "failed", "unconfirmed", "canceled", "pending")
        assert group["messages"] == len(items)
        assert {name: group[name] for name in names} == {name: outcomes[name] for name in names}
        assert group["segments"] == sum(int(it["num_segments"]) for it in items)
        assert 0 <= group["median_seconds"] <= group["p95_seconds"]


def test_the_failures_are_in_their_category(delivery: Delivery, campaign: list[Json]) -> None:
    groups = wait_for_groups(
        delivery,
        campaign,
        "category",
        lambda found: sum(it["failed"] for it in found) == FAILED and len(found) == 2,
    )

    failed = {it["group"]["category"]: it["failed"] for it in groups}
    assert failed == {"recipient_unreachable": FAILED, None: 0}


def test_the_page_is_drawn_from_the_archive(
    delivery: Delivery, campaign: list[Json], tmp_path: Path
) -> None:
    assert campaign
    path = tmp_path / "report.html"

    ran = delivery("report", "--html", str(path))

    assert ran.code == 0, ran.err
    assert "recipient_unreachable" in path.read_text("utf-8")
