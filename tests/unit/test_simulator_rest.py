"""The simulator's REST API: credentials, routes, JSON and XML, and what each request does."""

import json
from xml.etree import ElementTree as ET

import pytest

from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    API_KEY_SECRET,
    API_KEY_SID,
    AUTH_TOKEN,
    MESSAGES,
    SENDER,
    SERVICE_SID,
    SUBACCOUNT_SID,
    VirtualTwilio,
    a_form,
    basic,
    error_of,
)

UNKNOWN_SID = "SM" + "e" * 32


def test_a_new_message_has_the_shape_of_twilios_resource() -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("POST", MESSAGES + ".json", form=a_form())

    document = json.loads(answer.body)
    sid = document["sid"]
    assert answer.status == 201
    assert document == {
        "sid": sid,
        "date_created": "Mon, 23 Nov 2026 12:00:00 +0000",
        "date_updated": "Mon, 23 Nov 2026 12:00:00 +0000",
        "date_sent": None,
        "account_sid": ACCOUNT_SID,
        "to": "+15558675310",
        "from": SENDER,
        "messaging_service_sid": None,
        "body": "Hello",
        "status": "queued",
        "num_segments": "1",
        "num_media": "0",
        "direction": "outbound-api",
        "api_version": "2010-04-01",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "uri": f"{MESSAGES}/{sid}.json",
        "subresource_uris": {
            "media": f"{MESSAGES}/{sid}/Media.json",
            "feedback": f"{MESSAGES}/{sid}/Feedback.json",
        },
    }
    assert answer.header("Content-Type") == "application/json"
    assert answer.header("Twilio-Request-Id") == "RQ" + sid[2:]
    assert answer.header("X-Powered-By") == "AT-5000"


def test_a_sent_message_has_a_date_and_some_time_after_its_last_status_a_price() -> None:
    twilio = VirtualTwilio(price_delay_seconds=60.0)
    sid = twilio.send(Body="a" * 161)["sid"]

    twilio.run(seconds=61)
    unpriced = twilio.fetch(sid)
    twilio.run(seconds=1)

    message = twilio.fetch(sid)
    assert (unpriced["status"], unpriced["price"]) == ("delivered", None)
    assert message["price"] == "-0.01500"
    assert message["date_sent"] == "Mon, 23 Nov 2026 12:00:01 +0000"
    assert message["num_segments"] == "2"


# --- credentials and routes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "Authentication Error - No credentials provided"),
        ("Basic", "Authentication Error - No credentials provided"),
        ("Basic \u00fc", "Authentication Error - invalid username"),
        (basic("AC" + "9" * 32, AUTH_TOKEN), "Authentication Error - invalid username"),
        (basic(SUBACCOUNT_SID, "the-subaccount-token"), "Authentication Error - invalid username"),
        (basic(ACCOUNT_SID, "Überraschung"), "Authenticate"),
        (basic(API_KEY_SID, AUTH_TOKEN), "Authenticate"),
    ],
)
def test_invalid_credentials_are_rejected(authorization: str | None, message: str) -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("GET", MESSAGES + ".json", authorization=authorization)

    assert error_of(answer) == (401, 20003)
    assert json.loads(answer.body)["message"] == message
    assert str(answer.header("WWW-Authenticate")).startswith("Basic")


@pytest.mark.parametrize(
    ("account_sid", "user", "password"),
    [
        (ACCOUNT_SID, ACCOUNT_SID, AUTH_TOKEN),
        (ACCOUNT_SID, API_KEY_SID, API_KEY_SECRET),
        (SUBACCOUNT_SID, SUBACCOUNT_SID, "the-subaccount-token"),
        (SUBACCOUNT_SID, ACCOUNT_SID, AUTH_TOKEN),
        (SUBACCOUNT_SID, API_KEY_SID, API_KEY_SECRET),
    ],
)
def test_an_account_accepts_its_own_credentials_and_its_parents(
    account_sid: str, user: str, password: str
) -> None:
    twilio = VirtualTwilio()
    path = f"/2010-04-01/Accounts/{account_sid}/Messages.json"

    answer = twilio.answer("POST", path, form=a_form(), authorization=basic(user, password))

    assert answer.status == 201
    assert json.loads(answer.body)["account_sid"] == account_sid


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{MESSAGES}/{UNKNOWN_SID}.json", (404, 20404)),
        ("GET", f"{MESSAGES}/{UNKNOWN_SID}/Media.json", (404, 20404)),
        ("GET", MESSAGES + ".csv.json", (404, 20404)),
        ("DELETE", MESSAGES + ".json", (405, 20004)),
    ],
)
def test_unknown_resources_and_methods_are_rejected(
    method: str, path: str, expected: tuple[int, int]
) -> None:
    twilio = VirtualTwilio()

    assert error_of(twilio.request(method, path)) == expected


def test_the_message_of_another_account_is_not_found() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]

    answer = twilio.request("GET", f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages/{sid}.json")

    assert error_of(answer) == (404, 20404)


def test_requests_above_the_concurrency_limit_are_throttled() -> None:
    twilio = VirtualTwilio(concurrency_limit=2)

    within, above = (
        twilio.answer("POST", MESSAGES + ".json", form=a_form(), concurrent=concurrent)
        for concurrent in (2, 3)
    )

    assert within.status == 201
    assert error_of(above) == (429, 20429)
    assert above.header("Twilio-Concurrent-Requests") == "3"
    assert len(twilio.simulator.messages()) == 1


def test_a_setting_throttles_the_next_requests() -> None:
    twilio = VirtualTwilio(throttle_next=2)

    statuses = [twilio.answer("GET", MESSAGES + ".json").status for _ in range(3)]

    assert statuses == [429, 429, 200]


# --- messages ------------------------------------------------------------------------------------


def schedule_message(twilio: VirtualTwilio) -> str:
    scheduled = twilio.send(
        From=None,
        MessagingServiceSid=SERVICE_SID,
        ScheduleType="fixed",
        SendAt="2026-11-23T13:00:00Z",
    )
    assert scheduled["status"] == "scheduled"
    return str(scheduled["sid"])


def test_a_scheduled_message_is_sent_when_it_is_due() -> None:
    twilio = VirtualTwilio()
    schedule_message(twilio)

    assert twilio.statuses(seconds=3599) == []
    assert twilio.statuses() == ["queued", "sent", "delivered"]


def test_a_canceled_message_is_reported_and_never_sent() -> None:
    twilio = VirtualTwilio()
    sid = schedule_message(twilio)

    canceled = twilio.json("POST", f"{MESSAGES}/{sid}.json", form={"Status": "canceled"})

    assert canceled["status"] == "canceled"
    assert twilio.statuses(seconds=7200) == ["canceled"]
    assert twilio.fetch(sid)["status"] == "canceled"


def test_only_a_scheduled_message_can_be_canceled() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]

    answer = twilio.request("POST", f"{MESSAGES}/{sid}.json", form={"Status": "canceled"})

    assert error_of(answer) == (409, 30409)


@pytest.mark.parametrize("form", [{"Status": "sent"}, {"Body": "new"}])
def test_other_changes_of_a_message_are_rejected(form: dict[str, str]) -> None:
    twilio = VirtualTwilio()
    sid = schedule_message(twilio)

    answer = twilio.request("POST", f"{MESSAGES}/{sid}.json", form=form)

    assert error_of(answer) == (400, 20422)
    assert twilio.fetch(sid)["body"] == "Hello"


def test_a_message_can_be_deleted_once_it_is_complete() -> None:
    twilio = VirtualTwilio()
    path = f"{MESSAGES}/{twilio.send()['sid']}.json"

    early = twilio.request("DELETE", path)
    twilio.run()
    deleted = twilio.answer("DELETE", path)

    assert error_of(early) == (409, 20009)
    assert (deleted.status, deleted.body) == (204, b"")
    assert error_of(twilio.request("GET", path)) == (404, 20404)
    assert twilio.json("GET", MESSAGES + ".json")["messages"] == []


# --- XML -----------------------------------------------------------------------------------------


def xml(body: bytes, element: str) -> ET.Element:
    found = ET.fromstring(body).find(element)  # noqa: S314 -- our own answer
    assert found is not None
    return found


def test_without_json_in_the_path_the_answer_is_xml() -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("POST", MESSAGES, form=a_form(Body="<Hello> & \u00e9"))

    message = xml(answer.body, "Message")
    sid = message.findtext("Sid", "")
    assert answer.header("Content-Type") == "application/xml"
    assert message.findtext("Body") == "<Hello> & \u00e9"
    assert message.findtext("NumSegments") == "1"
    assert message.findtext("ErrorCode") == ""
    assert message.findtext("Uri") == f"{MESSAGES}/{sid}"
    assert message.findtext("SubresourceUris/Media") == f"{MESSAGES}/{sid}/Media"


def test_the_links_of_an_xml_page_are_attributes_and_stay_xml() -> None:
    twilio = VirtualTwilio()
    for _ in range(2):
        twilio.send()

    page = xml(twilio.answer("GET", MESSAGES, query="PageSize=1").body, "Messages")

    assert len(page.findall("Message")) == 1
    assert page.get("pagesize") == "1"
    assert page.get("previouspageuri") == ""
    assert str(page.get("nextpageuri")).startswith(MESSAGES + "?PageSize=1&Page=1")


def test_an_error_is_xml_too() -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("GET", f"{MESSAGES}/{UNKNOWN_SID}")

    error = xml(answer.body, "RestException")
    assert answer.status == 404
    assert error.findtext("Code") == "20404"
    assert error.findtext("Status") == "404"
    assert error.findtext("MoreInfo") == "https://www.twilio.com/docs/errors/20404"
