"""The simulator's REST API, asked directly: who may ask, what is refused, what is answered."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.http_server import Response
from sandbox.twilio.accounts import Account
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    API_KEY_SECRET,
    API_KEY_SID,
    AUTH_TOKEN,
    MESSAGES,
    SENDER,
    SERVICE_SID,
    SUBACCOUNT_SID,
    TEST_ACCOUNT_SID,
    VirtualTwilio,
    a_form,
    basic,
)

UNKNOWN_SID = "SM" + "e" * 32
CONTENT_SID = "HX" + "6" * 32


def refusal(answer: object) -> tuple[int, int]:
    assert isinstance(answer, Response)
    document = json.loads(answer.body)
    code = document["code"]
    assert document["status"] == answer.status
    assert document["message"]
    assert document["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    return answer.status, code


def test_a_new_message_has_the_shape_of_twilio_s_resource() -> None:
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
    assert answer.header("Twilio-Concurrent-Requests") == "1"
    assert answer.header("X-Powered-By") == "AT-5000"


def test_a_sent_message_has_a_price_and_a_date() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(Body="a" * 161)["sid"]

    twilio.run()

    message = twilio.fetch(sid)
    assert message["price"] == "-0.01500"
    assert message["date_sent"] == "Mon, 23 Nov 2026 12:00:01 +0000"
    assert message["num_segments"] == "2"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "Authentication Error - No credentials provided"),
        ("Bearer abc", "Authentication Error - No credentials provided"),
        ("Basic", "Authentication Error - No credentials provided"),
        ("Basic ///", "Authentication Error - invalid username"),
        ("Basic /w==", "Authentication Error - invalid username"),
        ("Basic \u00fc", "Authentication Error - invalid username"),
        (basic("AC" + "9" * 32, AUTH_TOKEN), "Authentication Error - invalid username"),
        (basic(SUBACCOUNT_SID, "the-subaccount-token"), "Authentication Error - invalid username"),
        (basic(ACCOUNT_SID, "wrong"), "Authenticate"),
        (basic(ACCOUNT_SID, "Überraschung"), "Authenticate"),
        (basic(ACCOUNT_SID, API_KEY_SECRET), "Authenticate"),
        (basic(API_KEY_SID, AUTH_TOKEN), "Authenticate"),
    ],
)
def test_wrong_credentials_are_refused(authorization: str | None, message: str) -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("GET", MESSAGES + ".json", authorization=authorization)

    assert refusal(answer) == (401, 20003)
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
def test_an_account_opens_with_its_token_its_keys_and_its_parent(
    account_sid: str, user: str, password: str
) -> None:
    twilio = VirtualTwilio()
    path = f"/2010-04-01/Accounts/{account_sid}/Messages.json"

    answer = twilio.answer("POST", path, form=a_form(), authorization=basic(user, password))

    assert answer.status == 201
    assert json.loads(answer.body)["account_sid"] == account_sid


def test_after_a_rotation_only_the_new_token_and_the_keys_open_the_account() -> None:
    twilio = VirtualTwilio()

    twilio.simulator.rotate_auth_token(ACCOUNT_SID, "the-next-token")

    answers = [
        twilio.answer("GET", MESSAGES + ".json", authorization=basic(user, password)).status
        for user, password in (
            (ACCOUNT_SID, AUTH_TOKEN),
            (ACCOUNT_SID, "the-next-token"),
            (API_KEY_SID, API_KEY_SECRET),
        )
    ]
    assert answers == [401, 200, 200]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{MESSAGES}/{UNKNOWN_SID}.json", (404, 20404)),
        ("POST", f"{MESSAGES}/{UNKNOWN_SID}.json", (404, 20404)),
        ("DELETE", f"{MESSAGES}/{UNKNOWN_SID}.json", (404, 20404)),
        ("GET", f"{MESSAGES}/{UNKNOWN_SID}/Media.json", (404, 20404)),
        ("GET", f"{MESSAGES}/{UNKNOWN_SID}/Feedback/ME1.json", (404, 20404)),
        ("GET", "/2010-04-01/Accounts.json", (404, 20404)),
        ("GET", "/.json", (404, 20404)),
        ("GET", MESSAGES + ".csv.json", (404, 20404)),
        ("DELETE", MESSAGES + ".json", (405, 20004)),
        ("PUT", f"{MESSAGES}/{UNKNOWN_SID}.json", (405, 20004)),
    ],
)
def test_what_is_not_there_is_not_found(method: str, path: str, expected: tuple[int, int]) -> None:
    twilio = VirtualTwilio()

    assert refusal(twilio.ask(method, path)) == expected


def test_another_account_s_message_is_not_found() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]

    answer = twilio.ask(
        "GET",
        f"/2010-04-01/Accounts/{SUBACCOUNT_SID}/Messages/{sid}.json",
    )

    assert refusal(answer) == (404, 20404)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"To": ""}, 21604),
        ({"To": "123456789"}, 21211),
        ({"To": "+0123456789"}, 21211),
        ({"To": "+1555867531012345"}, 21211),
        ({"To": "whatsapp:hello"}, 21211),
        ({"To": "12345"}, 21265),
        ({"From": None}, 21603),
        ({"From": "+1"}, 21212),
        ({"From": "TwelveLetter"}, 21212),
        ({"From": "+15558675310"}, 21266),
        ({"From": "whatsapp:+15557654321"}, 21910),
        ({"From": None, "MessagingServiceSid": "MG1"}, 21705),
        ({"Body": None}, 21602),
        ({"Body": ""}, 21602),
        ({"Body": "a" * 1601}, 21617),
        ({"Body": "😀" * 801}, 21617),
        ({"MediaUrl": ["https://example.com/a.png"] * 11}, 21623),
        ({"MediaUrl": "example.com/a.png"}, 21620),
        ({"MediaUrl": "http://["}, 21620),
        ({"StatusCallback": "example.com/cb"}, 21609),
        ({"StatusCallback": "https://my_host.example.com/cb"}, 21609),
        ({"StatusCallback": "https://example.com:port/cb"}, 21609),
        ({"StatusCallback": "https://example.com/a b"}, 21609),
        ({"StatusCallback": "ftp://example.com/cb"}, 21609),
        ({"ContentSid": "HX1"}, 21655),
        ({"ContentVariables": "{}"}, 21654),
        ({"ContentSid": CONTENT_SID, "ContentVariables": "{"}, 21656),
        ({"ContentSid": CONTENT_SID, "ContentVariables": "[]"}, 21656),
        (
            {
                "ContentSid": CONTENT_SID,
                "ContentVariables": json.dumps({str(i): "x" for i in range(101)}),
            },
            92002,
        ),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "soon"}, 21624),
        ({"ContentRetention": "burn"}, 30029),
        ({"AddressRetention": "burn"}, 30030),
        ({"FallbackFrom": "+15557654322"}, 21664),
        ({"ScheduleType": "fixed", "SendAt": "2026-11-23T13:00:00Z"}, 35118),
        ({"MessagingServiceSid": SERVICE_SID, "SendAt": "2026-11-23T13:00:00Z"}, 35126),
        ({"MessagingServiceSid": SERVICE_SID, "ScheduleType": "fixed"}, 35111),
    ],
)
def test_bad_input_is_refused_with_twilio_s_code(changes: dict[str, Any], code: int) -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(**changes)

    assert refusal(answer) == (400, code)
    assert twilio.simulator.messages() == []


@pytest.mark.parametrize(
    ("send_at", "code"),
    [
        ("tomorrow", 35114),
        ("9999-12-31T23:59:59-14:00", 35114),
        ("2026-11-23T12:04:59Z", 35115),
        ("2026-11-22T12:00:00Z", 35115),
        ("2026-12-28T12:00:01Z", 35117),
    ],
)
def test_a_schedule_has_to_be_within_its_window(send_at: str, code: int) -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(
        From=None, MessagingServiceSid=SERVICE_SID, ScheduleType="fixed", SendAt=send_at
    )

    assert refusal(answer) == (400, code)


@pytest.mark.parametrize(
    "changes",
    [
        {"Body": "a" * 1600},
        {"From": "12345"},
        {"From": "MyCompany"},
        {"From": SENDER, "MessagingServiceSid": SERVICE_SID},
        {"Body": None, "ContentSid": CONTENT_SID, "ContentVariables": '{"1": "x"}'},
        {"ValidityPeriod": "36000"},
        {"To": "messenger:1234", "From": "messenger:5678"},
        {"SomethingNew": "1", "SmartEncoded": "true", "ProvideFeedback": "true"},
        {"StatusCallback": "http://127.0.0.1:8080/cb"},
    ],
)
def test_good_input_is_accepted_and_unknown_parameters_are_ignored(
    changes: dict[str, Any],
) -> None:
    twilio = VirtualTwilio()

    assert twilio.send(**changes)["sid"].startswith("SM")


MAGIC = [
    ({"From": "+15005550001"}, 21212),
    ({"From": "+15005550007"}, 21606),
    ({"From": "+15005550008"}, 21611),
    ({"To": "+15005550001"}, 21211),
    ({"To": "+15005550002"}, 21612),
    ({"To": "+15005550003"}, 21408),
    ({"To": "+15005550004"}, 21610),
    ({"To": "+15005550009"}, 21614),
]


@pytest.mark.parametrize(("changes", "code"), MAGIC)
def test_magic_numbers_fail_on_an_ordinary_account_too(changes: dict[str, str], code: int) -> None:
    twilio = VirtualTwilio()

    assert refusal(twilio.post(**changes)) == (400, code)


@pytest.mark.parametrize(("changes", "code"), [*MAGIC, ({"From": SENDER}, 21606)])
def test_magic_numbers_fail_with_test_credentials(changes: dict[str, str], code: int) -> None:
    twilio = VirtualTwilio()

    answer = ask_as_test_account(twilio, "POST", form=a_form(**{"From": "+15005550006", **changes}))

    assert refusal(answer) == (400, code)


def test_test_credentials_send_and_store_nothing() -> None:
    twilio = VirtualTwilio()

    created = ask_as_test_account(twilio, "POST", form=a_form(From="+15005550006"))
    listed = ask_as_test_account(twilio, "GET")

    assert created.status == 201
    assert refusal(listed) == (403, 20008)
    assert twilio.simulator.messages() == []
    assert twilio.simulator.next_due() is None


def ask_as_test_account(
    twilio: VirtualTwilio, method: str, *, form: dict[str, Any] | None = None
) -> Response:
    return twilio.answer(
        method,
        f"/2010-04-01/Accounts/{TEST_ACCOUNT_SID}/Messages.json",
        form=form,
        authorization=basic(TEST_ACCOUNT_SID, "the-test-token"),
    )


def a_scheduled(twilio: VirtualTwilio, **changes: Any) -> dict[str, Any]:
    return twilio.send(
        From=None,
        MessagingServiceSid=SERVICE_SID,
        ScheduleType="fixed",
        SendAt="2026-11-23T13:00:00Z",
        **changes,
    )


def test_a_scheduled_message_leaves_when_it_is_due() -> None:
    twilio = VirtualTwilio()

    scheduled = a_scheduled(twilio)

    assert scheduled["status"] == "scheduled"
    assert twilio.statuses(seconds=3599) == []
    assert twilio.statuses() == ["queued", "sent", "delivered"]


def test_a_cancelled_message_is_told_as_canceled_and_never_leaves() -> None:
    twilio = VirtualTwilio()
    sid = a_scheduled(twilio)["sid"]

    canceled = twilio.json("POST", f"{MESSAGES}/{sid}.json", form={"Status": "canceled"})
    told = twilio.statuses(seconds=7200)

    assert canceled["status"] == "canceled"
    assert told == ["canceled"]
    assert twilio.fetch(sid)["status"] == "canceled"


@pytest.mark.parametrize("seconds", [0, 1, 2])
def test_only_a_scheduled_message_can_be_cancelled(seconds: float) -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]
    twilio.run(seconds=seconds)

    answer = twilio.ask("POST", f"{MESSAGES}/{sid}.json", form={"Status": "canceled"})

    assert refusal(answer) == (409, 30409)


def test_an_empty_body_redacts_and_another_one_is_refused() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]

    refused = twilio.ask("POST", f"{MESSAGES}/{sid}.json", form={"Body": "new"})
    redacted = twilio.json("POST", f"{MESSAGES}/{sid}.json", form={"Body": ""})

    assert refusal(refused) == (400, 20422)
    assert redacted["body"] == ""
    assert twilio.statuses() == ["sent", "delivered"]
    assert twilio.fetch(sid)["body"] == ""


def test_a_message_can_be_deleted_once_it_is_complete() -> None:
    twilio = VirtualTwilio()
    path = f"{MESSAGES}/{twilio.send()['sid']}.json"

    early = twilio.ask("DELETE", path)
    twilio.run()
    deleted = twilio.answer("DELETE", path)

    assert refusal(early) == (409, 20009)
    assert (deleted.status, deleted.body) == (204, b"")
    assert refusal(twilio.ask("GET", path)) == (404, 20404)
    assert twilio.json("GET", MESSAGES + ".json")["messages"] == []


def test_media_makes_an_mms_with_its_own_pages() -> None:
    twilio = VirtualTwilio()
    urls = ["https://example.com/a.png", "https://example.com/b"]

    message = twilio.send(Body=None, MediaUrl=urls)

    listed = twilio.json("GET", message["subresource_uris"]["media"])["media_list"]
    first = twilio.json("GET", listed[0]["uri"])
    deleted = twilio.answer("DELETE", listed[0]["uri"])
    assert message["sid"].startswith("MM")
    assert message["num_media"] == "2"
    assert [media["content_type"] for media in listed] == ["image/png", "image/jpeg"]
    assert first == listed[0]
    assert deleted.status == 204
    assert refusal(twilio.ask("GET", listed[0]["uri"])) == (404, 20404)
    assert refusal(twilio.ask("DELETE", listed[0]["uri"])) == (404, 20404)


def test_send_as_mms_needs_no_media() -> None:
    twilio = VirtualTwilio()

    assert twilio.send(SendAsMms="true")["sid"].startswith("MM")


def test_feedback_is_taken() -> None:
    twilio = VirtualTwilio()
    path = twilio.send()["subresource_uris"]["feedback"]

    given = twilio.json("POST", path, form={"Outcome": "unconfirmed"})
    refused = twilio.ask("POST", path, form={"Outcome": "perhaps"})

    assert given["outcome"] == "unconfirmed"
    assert refusal(refused) == (400, 20422)


def test_a_trial_account_says_so_in_every_body() -> None:
    twilio = VirtualTwilio(trial=True)

    assert twilio.send()["body"] == "Sent from your Twilio trial account - Hello"


def test_smart_encoding_changes_the_body() -> None:
    twilio = VirtualTwilio()

    message = twilio.send(Body="\u201chi\u201d" + "a" * 100, SmartEncoded="true")

    assert message["body"] == '"hi"' + "a" * 100
    assert message["num_segments"] == "1"


def pages(twilio: VirtualTwilio, first: str) -> list[dict[str, Any]]:
    found = []
    uri: str | None = first
    while uri is not None:
        path, _, query = uri.partition("?")
        found.append(twilio.json("GET", path, query=query))
        uri = found[-1]["next_page_uri"]
    return found


def test_a_list_is_paged_newest_first_forwards_and_backwards() -> None:
    twilio = VirtualTwilio()
    sids = []
    for _ in range(5):
        sids.append(twilio.send()["sid"])
        twilio.run(seconds=1)

    first, second, third = pages(twilio, MESSAGES + ".json?PageSize=2")
    path, _, query = third["previous_page_uri"].partition("?")
    back = twilio.json("GET", path, query=query)

    listed = [m["sid"] for page in (first, second, third) for m in page["messages"]]
    assert listed == sids[::-1]
    assert [(p["page"], p["start"], p["end"]) for p in (first, second, third)] == [
        (0, 0, 1),
        (1, 2, 3),
        (2, 4, 4),
    ]
    assert first["previous_page_uri"] is None
    assert third["next_page_uri"] is None
    assert (back["page"], back["messages"]) == (1, second["messages"])


def test_a_message_sent_between_two_pages_moves_nothing() -> None:
    twilio = VirtualTwilio()
    old = [twilio.send()["sid"] for _ in range(4)]
    path, _, query = twilio.json("GET", MESSAGES + ".json", query="PageSize=2")[
        "next_page_uri"
    ].partition("?")

    twilio.run(seconds=1)
    twilio.send()

    assert [m["sid"] for m in twilio.json("GET", path, query=query)["messages"]] == old[1::-1]


def test_a_page_keeps_its_filters_and_has_fifty_messages_by_default() -> None:
    twilio = VirtualTwilio()
    for _ in range(51):
        twilio.send()
        twilio.send(To="+15558675311")

    first, second = pages(twilio, MESSAGES + ".json?To=%2B15558675311&Foo=1")

    assert (len(first["messages"]), len(second["messages"])) == (50, 1)
    assert {m["to"] for m in second["messages"]} == {"+15558675311"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("To=%2B15558675310", 2),
        ("To=%2B15550000000", 0),
        ("From=%2B15557654321", 2),
        ("From=%2B15550000000", 0),
        ("DateSent=2026-11-23", 1),
        ("DateSent=2026-11-24", 1),
        ("DateSent=2026-11-25", 0),
        ("DateSent%3C=2026-11-23", 1),
        ("DateSent<=2026-11-24", 2),
        ("DateSent>=2026-11-24", 1),
        ("DateSent%3E=2026-11-23", 2),
        ("DateSent%3E=2026-11-23T12:00:02Z", 1),
        ("DateSent%3E=2026-11-23T12:00:01Z", 2),
        ("DateSent%3E=Mon%2C+23+Nov+2026+12%3A00%3A02+%2B0000", 1),
        ("DateSent%3E=2026-11-23&DateSent%3C=2026-11-23", 1),
    ],
)
def test_a_list_can_be_filtered(query: str, found: int) -> None:
    twilio = VirtualTwilio()
    twilio.send()
    twilio.run(seconds=86_400)
    twilio.send()
    twilio.run()

    assert len(twilio.json("GET", MESSAGES + ".json", query=query)["messages"]) == found


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PageSize=1001", 20007),
        ("PageSize=0", 20422),
        ("PageSize=-1", 20422),
        ("PageSize=all", 20422),
        ("PageToken=x", 21481),
        (f"PageToken=PA{UNKNOWN_SID}", 21481),
        ("PageSize=" + "9" * 5000, 20422),
        ("DateSent=yesterday", 20422),
        ("DateSent=0001-01-01T00:00:00%2B14:00", 20422),
    ],
)
def test_a_bad_question_for_a_list_is_refused(query: str, code: int) -> None:
    twilio = VirtualTwilio()

    assert refusal(twilio.ask("GET", MESSAGES + ".json", query=query)) == (400, code)


def test_a_lagging_list_shows_a_message_later_than_a_fetch_does() -> None:
    twilio = VirtualTwilio(list_lag_seconds=60.0)
    sid = twilio.send()["sid"]

    def listed() -> int:
        return len(twilio.json("GET", MESSAGES + ".json")["messages"])

    assert twilio.fetch(sid)["sid"] == sid
    assert listed() == 0
    twilio.run(seconds=59)
    assert listed() == 0
    twilio.run(seconds=1)
    assert listed() == 1


def test_without_json_in_the_path_the_answer_is_xml() -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("POST", MESSAGES, form=a_form(Body="<Hello> & \u00e9"))

    message = ET.fromstring(answer.body).find("Message")  # noqa: S314 -- our own answer
    assert message is not None
    sid = message.findtext("Sid", "")
    assert answer.header("Content-Type") == "application/xml"
    assert message.findtext("Body") == "<Hello> & \u00e9"
    assert message.findtext("NumSegments") == "1"
    assert message.findtext("ErrorCode") == ""
    assert message.findtext("Uri") == f"{MESSAGES}/{sid}"
    assert message.findtext("SubresourceUris/Media") == f"{MESSAGES}/{sid}/Media"


def test_an_xml_page_has_its_links_as_attributes_that_stay_xml() -> None:
    twilio = VirtualTwilio()
    for _ in range(2):
        twilio.send()

    answer = twilio.answer("GET", MESSAGES, query="PageSize=1")

    page = ET.fromstring(answer.body).find("Messages")  # noqa: S314 -- our own answer
    assert page is not None
    assert len(page.findall("Message")) == 1
    assert page.get("pagesize") == "1"
    assert page.get("previouspageuri") == ""
    assert str(page.get("nextpageuri")).startswith(MESSAGES + "?PageSize=1&Page=1")


def test_an_error_is_xml_too() -> None:
    twilio = VirtualTwilio()

    answer = twilio.answer("GET", f"{MESSAGES}/{UNKNOWN_SID}")

    error = ET.fromstring(answer.body).find("RestException")  # noqa: S314 -- our own answer
    assert error is not None
    assert answer.status == 404
    assert error.findtext("Code") == "20404"
    assert error.findtext("Status") == "404"
    assert error.findtext("MoreInfo") == "https://www.twilio.com/docs/errors/20404"


def test_too_many_requests_at_once_are_refused_and_not_processed() -> None:
    twilio = VirtualTwilio(concurrency_limit=2)

    within = twilio.ask("POST", MESSAGES + ".json", form=a_form(), concurrent=2)
    beyond = twilio.answer("POST", MESSAGES + ".json", form=a_form(), concurrent=3)

    assert isinstance(within, Response)
    assert within.status == 201
    assert refusal(beyond) == (429, 20429)
    assert beyond.header("Twilio-Concurrent-Requests") == "3"
    assert len(twilio.simulator.messages()) == 1


def test_throttling_on_demand_refuses_so_many_requests() -> None:
    twilio = VirtualTwilio(throttle_next=2)

    statuses = [twilio.answer("GET", MESSAGES + ".json").status for _ in range(3)]

    assert statuses == [429, 429, 200]


def test_the_simulator_tells_what_it_knows() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]
    twilio.run()

    (known,) = twilio.json("GET", "/_simulator/messages", authorization=None)["messages"]
    one = twilio.json("GET", f"/_simulator/messages/{sid}", authorization=None)

    assert known == one
    assert [callback["state"] for callback in known["callbacks"]] == ["answered", "answered"]
    assert known["callbacks"][0]["attempts"][0]["result"]["status"] == 204
    assert twilio.json("GET", "/_simulator/debugger") == {"entries": []}


def test_settings_are_changed_over_http() -> None:
    twilio = VirtualTwilio()

    changed = change(
        twilio, "settings", {"step_seconds": 3, "list_lag_seconds": 1.5, "concurrency_limit": None}
    )

    assert changed.status == 200
    assert twilio.simulator.settings.step_seconds == 3
    assert twilio.json("GET", "/_simulator/settings")["list_lag_seconds"] == 1.5


@pytest.mark.parametrize(
    ("page", "document"),
    [
        ("settings", {"speed": 1}),
        ("settings", {"step_seconds": "fast"}),
        ("settings", {"step_seconds": -1}),
        ("settings", {"step_seconds": None}),
        ("settings", {"step_seconds": True}),
        ("settings", {"trial": 1}),
        ("settings", {"throttle_next": 1.5}),
        ("settings", []),
        ("credentials", {"account_sid": "AC1", "auth_token": "x"}),
        ("credentials", {"account_sid": ACCOUNT_SID, "auth_token": ""}),
        ("credentials", {}),
    ],
)
def test_a_mistake_on_the_simulator_s_own_pages_changes_nothing(page: str, document: Any) -> None:
    twilio = VirtualTwilio()
    before = twilio.simulator.settings

    answer = change(twilio, page, document)

    assert answer.status == 400
    assert "error" in json.loads(answer.body)
    assert twilio.simulator.settings == before


def test_credentials_are_changed_over_http() -> None:
    twilio = VirtualTwilio()

    change(twilio, "credentials", {"account_sid": ACCOUNT_SID, "auth_token": "next"})

    assert refusal(twilio.ask("GET", MESSAGES + ".json")) == (401, 20003)


def test_an_unknown_page_of_the_simulator_is_not_found() -> None:
    twilio = VirtualTwilio()

    assert twilio.answer("GET", "/_simulator/weather").status == 404
    assert twilio.answer("GET", f"/_simulator/messages/{UNKNOWN_SID}").status == 404


def change(twilio: VirtualTwilio, page: str, document: Any) -> Response:
    return twilio.answer("POST", f"/_simulator/{page}", body=json.dumps(document).encode())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"From": "+15550000001"}, None),
        ({"From": "+15550000002"}, 21660),
        ({"From": "+15550000003"}, 21606),
        ({"From": None, "MessagingServiceSid": SERVICE_SID}, 21704),
    ],
)
def test_an_account_can_be_held_to_its_own_senders(
    changes: dict[str, Any], code: int | None
) -> None:
    twilio = VirtualTwilio(
        accounts=[
            Account(
                sid=ACCOUNT_SID,
                auth_token=AUTH_TOKEN,
                senders=frozenset({"+15550000001"}),
                pool=(),
            ),
            Account(sid=SUBACCOUNT_SID, auth_token="token", senders=frozenset({"+15550000002"})),
        ]
    )

    answer = twilio.post(**changes)

    assert isinstance(answer, Response)
    if code is None:
        assert answer.status == 201
    else:
        assert refusal(answer) == (400, code)
