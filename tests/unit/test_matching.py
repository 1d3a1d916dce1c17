"""The evidence for a request in doubt: one unclaimed match for one request, and nothing less."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from delivery.domain.send_requests import SendRequest, body_digest
from delivery.twilio.client import MessageResource
from functions.reconcile_messages.matching import (
    Ambiguous,
    Candidates,
    Evidence,
    evidence_for,
    matches,
)
from tests.support.builders import ACCOUNT_SID, NOON, a_message, an_update

REQUEST = SendRequest(
    request_id="rq_" + "a" * 32,
    claim_id="c1",
    content_digest="d1",
    account_sid=ACCOUNT_SID,
    to="+15558675310",
    from_="+15005550006",
    body_digest=body_digest("Hello"),
    claimed_at=NOON,
    lease_until=NOON + timedelta(seconds=29),
)
OTHER = replace(REQUEST, request_id="rq_" + "b" * 32)


def a_resource(number: int = 1, **changes: Any) -> MessageResource:
    facts: dict[str, Any] = {
        "sid": f"SM{number:032x}",
        "status": "sent",
        "to": REQUEST.to,
        "from_": REQUEST.from_,
        "body": "Hello",
        "direction": "outbound-api",
        "date_created": NOON,
    }
    return MessageResource(**(facts | changes))


def evidence(
    *unclaimed: MessageResource, competing: SendRequest = REQUEST, is_too_old: bool = False
) -> Evidence:
    candidates = Candidates(unclaimed=unclaimed, message_by_request={})
    return evidence_for(REQUEST, candidates, [REQUEST, competing], is_too_old=is_too_old)


def test_a_message_with_the_request_id_is_evidence_whatever_else_matches() -> None:
    message = a_message(an_update("sent", request_id=REQUEST.request_id))
    candidates = Candidates(
        unclaimed=(a_resource(1), a_resource(2)), message_by_request={REQUEST.request_id: message}
    )

    found = evidence_for(REQUEST, candidates, [REQUEST, OTHER], is_too_old=True)

    assert found == message


def test_a_message_of_another_account_with_the_request_id_is_no_evidence() -> None:
    update = an_update("sent", request_id=REQUEST.request_id, account_sid="AC" + "9" * 32)
    candidates = Candidates(
        unclaimed=(), message_by_request={REQUEST.request_id: a_message(update)}
    )

    assert evidence_for(REQUEST, candidates, [REQUEST], is_too_old=False) is None


def test_the_only_match_of_the_only_request_is_evidence() -> None:
    other = a_resource(2, body="Good bye")

    assert evidence(other, a_resource(1)) == a_resource(1)


def test_without_a_match_there_is_no_evidence() -> None:
    assert evidence() is None
    assert evidence(a_resource(body="Good bye")) is None


@pytest.mark.parametrize(
    ("numbers", "more"),
    [((1, 2), {}), ((1,), {"competing": OTHER}), ((1,), {"is_too_old": True})],
    ids=["two matches", "two requests", "too old"],
)
def test_a_match_that_may_be_another_requests_is_ambiguous(
    numbers: tuple[int, ...], more: dict[str, Any]
) -> None:
    resources = tuple(a_resource(number) for number in numbers)

    assert evidence(*resources, **more) == Ambiguous(resources=resources)


def test_a_request_with_other_content_does_not_compete() -> None:
    other = replace(OTHER, body_digest=body_digest("Good bye"))

    assert evidence(a_resource(), competing=other) == a_resource()


@pytest.mark.parametrize(
    ("changes", "is_match"),
    [
        ({}, True),
        ({"date_created": NOON - timedelta(seconds=30)}, True),
        ({"date_created": NOON - timedelta(seconds=31)}, False),
        ({"date_created": NOON + timedelta(seconds=59)}, True),
        ({"date_created": NOON + timedelta(seconds=60)}, False),
        ({"date_created": None}, False),
        ({"direction": None}, True),
        ({"direction": "inbound"}, False),
        ({"from_": "+15005550007"}, False),
        ({"messaging_service_sid": "MG1"}, True),
        ({"body": "Sent from your Twilio trial account - Hello"}, True),
        ({"body": None}, False),
    ],
)
def test_a_match_has_the_requests_time_sender_and_text(
    changes: dict[str, Any], *, is_match: bool
) -> None:
    assert matches(a_resource(**changes), REQUEST) is is_match


def test_a_match_ignores_what_the_request_did_not_name() -> None:
    request = replace(REQUEST, from_=None, body_digest=None)

    assert matches(a_resource(from_="+15005550007", body="made from a template"), request)


@pytest.mark.parametrize(("service", "is_match"), [("MG1", True), ("MG2", False), (None, False)])
@pytest.mark.parametrize("from_", [None, REQUEST.from_])
def test_a_match_has_the_messaging_service_that_the_request_names(
    service: str | None, from_: str | None, *, is_match: bool
) -> None:
    request = replace(REQUEST, messaging_service_sid="MG1", from_=from_)

    assert matches(a_resource(messaging_service_sid=service), request) is is_match
