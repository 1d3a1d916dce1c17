"""The storm's judge: it must find every kind of lie, or its `none` is worth nothing."""

from dataclasses import replace
from typing import Any

import pytest

from sandbox.chaos.asking import Answer
from sandbox.chaos.comparing import differences, wrong_notices
from sandbox.chaos.plan import RECIPIENTS, Accepts, Order, Way, draw_orders, in_turn
from sandbox.chaos.seeing import AtTwilio, Range, Seen

type Json = Any

SID, REQUEST_ID = "SM1", "rq_1"
ARRIVES = RECIPIENTS[0]
NEVER_ACCEPTED = next(it for it in RECIPIENTS if it.accepts is Accepts.NOTHING)


def an_order(**facts: Any) -> Order:
    defaults: dict[str, Any] = {
        "number": 1,
        "recipient": ARRIVES,
        "way": Way.API,
        "key": "order-1",
        "asks": 2,
        "content": {"body": "Message 1 of the storm", "reference": "chaos-1"},
    }
    return Order(**(defaults | facts))


def at_twilio(**facts: Any) -> AtTwilio:
    status = facts.get("status", "delivered")
    defaults: dict[str, Any] = {
        "sid": SID,
        "body": an_order().body,
        "status": "delivered",
        "error_codes": {},
        "request_id": REQUEST_ID,
        "statuses": frozenset({"queued", "sent", status}),
        "confirmed": frozenset({"sent", status}),
        "callbacks": 2,
        "attempts": 2,
        "given_up": 0,
    }
    return AtTwilio(**(defaults | facts))


def an_item(*statuses: str, **facts: Json) -> Json:
    """The message's item, delivered unless told otherwise; a fact that is None is absent."""
    transitions = [{"status": it} for it in statuses or ("queued", "sent", "delivered")]
    item = {
        "message_sid": SID,
        "request_id": REQUEST_ID,
        "status": transitions[-1]["status"],
        "outcome": "delivered",
        "transitions": transitions,
        **facts,
    }
    return {name: value for name, value in item.items() if value is not None}


def a_request(state: str = "sent", message_sid: str | None = SID) -> Json:
    request = {"request_id": REQUEST_ID, "state": state, "reference": an_order().reference}
    return request | ({"message_sid": message_sid} if message_sid else {})


def seen(**facts: Any) -> Seen:
    """All as it should be: sent, delivered, and the caller told so; unless told otherwise."""
    defaults: dict[str, Any] = {
        "answers": [Answer(number=1, status=201, message_sid=SID)],
        "at_twilio": [at_twilio()],
        "messages": [an_item()],
        "requests": [a_request()],
        "notices": {},
        "ranges": {},
    }
    return Seen(**(defaults | facts))


UNDELIVERED = at_twilio(status="undelivered", error_codes={"undelivered": 30003})
RECOVERED_UNTOLD = at_twilio(
    statuses=frozenset({"queued", "sent", "undelivered", "delivered"}),
    confirmed=frozenset({"sent", "undelivered"}),
    error_codes={"undelivered": 30003},
)
FAILED = an_item(
    *("queued", "sent", "undelivered"), outcome="failed", error_code=30003, notice="sent"
)
COUNTED = [{**FAILED, "message_sid": f"SM{number}", "notice_id": "ep_1"} for number in range(2, 5)]
STORM = seen(
    at_twilio=[UNDELIVERED],
    messages=[FAILED, *COUNTED],
    notices={"SM1:failure": 1, "ep_1:2-3": 2, "ep_1:4-4": 1},
    ranges={
        "SM1:failure": frozenset({Range(episode_id="ep_1", first=1, last=1)}),
        "ep_1:2-3": {Range(episode_id="ep_1", first=2, last=3)},
        "ep_1:4-4": {Range(episode_id="ep_1", first=4, last=4)},
    },
)
NOT_FOUND = an_item(
    "not_found",
    message_sid=REQUEST_ID,
    outcome="failed",
    notice="sent",
    reference=an_order().reference,
)
IN_DOUBT = Answer(number=1, status=202, state="in_doubt")

RIGHT: dict[str, tuple[Order, Seen]] = {
    "delivered": (an_order(), seen()),
    "failed, and told of": (
        an_order(),
        seen(at_twilio=[UNDELIVERED], messages=[FAILED], notices={"SM1:failure": 1}),
    ),
    "failed, and told of twice under one id": (
        an_order(),
        seen(at_twilio=[UNDELIVERED], messages=[FAILED], notices={"SM1:failure": 2}),
    ),
    "failed and recovered": (
        an_order(),
        seen(
            messages=[an_item(notice="recovered")],
            notices={"SM1:failure": 1, "SM1:recovery": 1},
        ),
    ),
    "failed, and the callback of its recovery lost": (
        an_order(),
        seen(at_twilio=[RECOVERED_UNTOLD], messages=[FAILED], notices={"SM1:failure": 1}),
    ),
    "a status of the future": (
        an_order(),
        seen(
            at_twilio=[at_twilio(status="teleported")],
            messages=[
                an_item("queued", "sent", "teleported", status="sent", outcome="unconfirmed")
            ],
        ),
    ),
    "never accepted": (
        an_order(recipient=NEVER_ACCEPTED),
        seen(
            answers=[IN_DOUBT],
            at_twilio=[],
            messages=[NOT_FOUND],
            requests=[a_request("not_found", None)],
            notices={"rq_1:failure": 1},
        ),
    ),
    "refused, while another asked": (
        an_order(recipient=NEVER_ACCEPTED),
        seen(
            answers=[
                Answer(number=1, status=202, state="in_progress"),
                Answer(number=1, status=422),
            ],
            at_twilio=[],
            messages=[],
            requests=[a_request("refused", None)],
        ),
    ),
    "no key, and no answer": (
        an_order(key=None),
        seen(answers=[Answer(number=1, status=None)], at_twilio=[], messages=[], requests=[]),
    ),
}

LIES: dict[str, tuple[Seen, str]] = {
    "a message is missing": (seen(messages=[]), "SM1 is not in the table"),
    "a message is marked as merely sent": (
        seen(messages=[an_item("queued", "sent", "delivered", status="sent", outcome="pending")]),
        "status is sent, not delivered",
    ),
    "an error code is missing": (
        seen(
            at_twilio=[UNDELIVERED],
            messages=[{**FAILED, "error_code": None}],
            notices={"SM1:failure": 1},
        ),
        "error_code is None, not 30003",
    ),
    "a recovery that got its 2xx is missing": (
        seen(
            at_twilio=[
                replace(RECOVERED_UNTOLD, confirmed=frozenset({"sent", "undelivered", "delivered"}))
            ],
            messages=[FAILED],
            notices={"SM1:failure": 1},
        ),
        "outcome is failed, not delivered",
    ),
    "a message belongs to no request": (
        seen(messages=[an_item(request_id=None)]),
        "request_id is None",
    ),
    "a 2xx was given for nothing": (
        seen(messages=[an_item("queued", "delivered")]),
        "['sent'] got a 2xx, and was not recorded",
    ),
    "a status is made up": (
        seen(messages=[an_item("queued", "sent", "undelivered", "delivered")]),
        "['undelivered'] was recorded, and never was",
    ),
    "a status is there twice": (
        seen(messages=[an_item("queued", "sent", "sent", "delivered")]),
        "recorded twice",
    ),
    "a text goes out twice": (
        seen(
            at_twilio=[at_twilio(), at_twilio(sid="SM2", request_id="rq_2")],
            messages=[an_item(), an_item(message_sid="SM2", request_id="rq_2")],
            requests=[a_request(), {**a_request(message_sid="SM2"), "request_id": "rq_2"}],
        ),
        "sent 2 times",
    ),
    "a text never goes out": (
        seen(answers=[], at_twilio=[], messages=[], requests=[]),
        "sent 0 times",
    ),
    "the caller is told of another message": (
        seen(answers=[Answer(number=1, status=200, message_sid="SM9")]),
        "answered SM9",
    ),
    "a request stays in doubt": (seen(requests=[a_request("in_doubt", None)]), "is in_doubt"),
    "a request that was sent counts as not found": (
        seen(requests=[a_request("not_found", None)]),
        "is not_found",
    ),
    "a request is forgotten": (seen(requests=[]), "is not remembered"),
    "nobody is told of a failure": (
        seen(at_twilio=[UNDELIVERED], messages=[FAILED]),
        "nobody was told of SM1:failure",
    ),
    "a notice gets stuck": (
        seen(
            at_twilio=[UNDELIVERED],
            messages=[{**FAILED, "notice": "telling"}],
            notices={"SM1:failure": 1},
        ),
        "its notice is telling",
    ),
    "people are told of what arrived": (
        seen(notices={"SM1:failure": 1}),
        "people were told of SM1:failure",
    ),
    "people are not told that it is well again": (
        seen(messages=[an_item(notice="recovered")], notices={"SM1:failure": 1}),
        "nobody was told of SM1:recovery",
    ),
    "a message is made up": (
        seen(messages=[an_item(), an_item(message_sid="SM9")]),
        "SM9 is no message of Twilio's",
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_what_is_right_makes_no_difference(case: str) -> None:
    order, everything = RIGHT[case]

    assert differences([order], everything) == []


@pytest.mark.parametrize("case", LIES)
def test_every_lie_is_found(case: str) -> None:
    everything, expected = LIES[case]

    found = differences([an_order()], everything)

    assert any(expected in difference for difference in found), found


def without_range(notice_id: str) -> Seen:
    ranges = {name: it for name, it in STORM.ranges.items() if name != notice_id}
    return replace(STORM, ranges=ranges)


def test_failures_that_the_notices_of_an_episode_add_up_to_are_told_of() -> None:
    assert list(wrong_notices(STORM)) == []


@pytest.mark.parametrize(
    "lie",
    [
        without_range("ep_1:2-3"),
        without_range("SM1:failure"),
        replace(STORM, messages=STORM.messages[:-1]),
        replace(STORM, messages=[*STORM.messages, {**COUNTED[0], "message_sid": "SM9"}]),
        replace(
            STORM,
            ranges={
                **STORM.ranges,
                "ep_1:3-3": frozenset({Range(episode_id="ep_1", first=3, last=3)}),
            },
        ),
        replace(
            STORM,
            ranges={
                **STORM.ranges,
                "ep_1:4-4": frozenset(
                    {
                        Range(episode_id="ep_1", first=4, last=4),
                        Range(episode_id="ep_1", first=4, last=5),
                    }
                ),
            },
        ),
        replace(STORM, messages=[*STORM.messages, {**COUNTED[0], "notice_id": "ep_2"}]),
    ],
    ids=[
        "a range is missing",
        "the beginning is missing",
        "one is told of that did not fail",
        "one is not told of",
        "one is told of twice",
        "a repetition says something else",
        "an episode is kept quiet",
    ],
)
def test_a_count_that_does_not_add_up_is_found(lie: Seen) -> None:
    assert list(wrong_notices(lie)) != []


def test_what_is_muted_is_told_to_nobody() -> None:
    muted = {**COUNTED[0], "notice": "muted"}

    assert list(wrong_notices(seen(messages=[muted]))) == []
    assert list(wrong_notices(replace(STORM, messages=[FAILED, *COUNTED, muted]))) == []


def test_who_never_got_through_must_be_told_of_once() -> None:
    order, everything = RIGHT["never accepted"]

    found = differences([order], replace(everything, messages=[], notices={}))

    assert found == ["chaos-1 was never sent, and 0 items say so"]


def test_the_same_seed_draws_the_same_storm_and_another_one_another() -> None:
    storm = draw_orders(7, 50)

    assert storm == draw_orders(7, 50)
    assert storm != draw_orders(8, 50)
    assert in_turn(storm, 7) == in_turn(storm, 7)


def test_everything_is_asked_for_as_often_as_it_should_be_and_nobody_repeats_without_a_key() -> (
    None
):
    storm = draw_orders(3, 200)

    asks = in_turn(storm, 3)

    assert all(asks.count(order) == order.asks for order in storm)
    assert {order.asks for order in storm if order.key is None} == {1}


def test_a_storm_of_some_hundred_messages_has_every_story_and_both_ways_in() -> None:
    storm = draw_orders(1, 300)

    assert {order.recipient.to for order in storm} == {recipient.to for recipient in RECIPIENTS}
    assert {order.way for order in storm} == set(Way)
