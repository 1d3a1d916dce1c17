"""The simulator's lists of messages: pages, filters and lag."""

import pytest

from tests.support.virtual_twilio import MESSAGES, VirtualTwilio, error_of

UNKNOWN_SID = "SM" + "e" * 32


def test_pages_go_newest_first_forwards_and_backwards() -> None:
    twilio = VirtualTwilio()
    sids = []
    for _ in range(5):
        sids.append(twilio.send()["sid"])
        twilio.run(seconds=1)

    first = twilio.follow(MESSAGES + ".json?PageSize=2")
    second = twilio.follow(first["next_page_uri"])
    third = twilio.follow(second["next_page_uri"])
    back = twilio.follow(third["previous_page_uri"])

    pages = (first, second, third)
    assert [message["sid"] for page in pages for message in page["messages"]] == sids[::-1]
    assert [(page["page"], page["start"], page["end"]) for page in pages] == [
        (0, 0, 1),
        (1, 2, 3),
        (2, 4, 4),
    ]
    assert first["previous_page_uri"] is None
    assert third["next_page_uri"] is None
    assert (back["page"], back["messages"]) == (1, second["messages"])


def test_a_message_sent_between_two_pages_moves_no_other() -> None:
    twilio = VirtualTwilio()
    old = [twilio.send()["sid"] for _ in range(4)]
    first = twilio.follow(MESSAGES + ".json?PageSize=2")

    twilio.run(seconds=1)
    twilio.send()

    second = twilio.follow(first["next_page_uri"])
    assert [message["sid"] for message in second["messages"]] == old[1::-1]


def test_a_page_keeps_its_filters_and_has_fifty_messages_by_default() -> None:
    twilio = VirtualTwilio()
    for _ in range(51):
        twilio.send()
        twilio.send(To="+15558675311")

    first = twilio.follow(MESSAGES + ".json?To=%2B15558675311&PageSize=&Foo=1")
    second = twilio.follow(first["next_page_uri"])

    assert (len(first["messages"]), len(second["messages"])) == (50, 1)
    assert {message["to"] for message in second["messages"]} == {"+15558675311"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("To=%2B15550000000", 0),
        ("From=%2B15557654321", 2),
        ("From=%2B15550000000", 0),
        ("DateSent=2026-11-24", 1),
        ("DateSent=2026-11-25", 0),
        ("DateSent%3C=2026-11-23", 1),
        ("DateSent<=2026-11-24", 2),
        ("DateSent>=2026-11-24", 1),
        ("DateSent%3E=2026-11-23", 2),
        ("DateSent%3E=2026-11-23T12:00:02Z", 1),
        ("DateSent%3E=2026-11-23T12:00:01Z", 2),
        ("DateSent%3E=2026-11-23&DateSent%3C=2026-11-23", 1),
    ],
)
def test_a_list_can_be_filtered(query: str, found: int) -> None:
    twilio = VirtualTwilio()
    twilio.send()
    twilio.run(seconds=86_400)
    twilio.send()
    twilio.run()

    assert len(twilio.follow(f"{MESSAGES}.json?{query}")["messages"]) == found


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PageSize=1001", 20007),
        ("PageSize=0", 20422),
        ("PageSize=all", 20422),
        ("PageToken=x", 21481),
        (f"PageToken=PA{UNKNOWN_SID}", 21481),
        ("DateSent=yesterday", 20422),
        ("DateSent=0001-01-01T00:00:00%2B14:00", 20422),
    ],
)
def test_an_invalid_query_is_rejected(query: str, code: int) -> None:
    twilio = VirtualTwilio()

    assert error_of(twilio.request("GET", MESSAGES + ".json", query=query)) == (400, code)


def test_a_lagging_list_shows_a_message_later_than_a_fetch() -> None:
    twilio = VirtualTwilio(list_lag_seconds=60.0)
    sid = twilio.send()["sid"]

    listed = []
    for seconds in (0, 59, 1):
        twilio.run(seconds=seconds)
        listed.append(len(twilio.follow(MESSAGES + ".json")["messages"]))

    assert twilio.fetch(sid)["sid"] == sid
    assert listed == [0, 0, 1]


def test_a_rejected_creation_is_listed_as_a_failed_message() -> None:
    twilio = VirtualTwilio()
    rejected = twilio.post(To="+15005550001")

    (listed,) = twilio.json("GET", f"{MESSAGES}.json")["messages"]

    assert error_of(rejected) == (400, 21211)
    assert (listed["status"], listed["error_code"], listed["price"]) == ("failed", 21211, None)
    assert (listed["to"], listed["date_sent"]) == ("+15005550001", None)
    assert twilio.simulator.messages() == []
    assert len(twilio.follow(MESSAGES + ".json?DateSent=2026-11-23")["messages"]) == 1


def test_a_list_by_date_lacks_messages_that_were_not_sent() -> None:
    twilio = VirtualTwilio()
    twilio.send()

    by_date = twilio.follow(MESSAGES + ".json?DateSent=2026-11-23")
    everything = twilio.follow(MESSAGES + ".json")
    twilio.run(seconds=1)
    sent = twilio.follow(MESSAGES + ".json?DateSent=2026-11-23")

    assert (len(by_date["messages"]), len(everything["messages"])) == (0, 1)
    assert len(sent["messages"]) == 1
