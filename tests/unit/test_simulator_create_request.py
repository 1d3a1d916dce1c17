"""The simulator's checks of a request to create a message."""

import json
from typing import Any

import pytest

from sandbox.twilio.accounts import Account
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    SENDER,
    SERVICE_SID,
    SUBACCOUNT_SID,
    TEST_ACCOUNT_SID,
    VirtualTwilio,
    a_form,
    basic,
    error_of,
)

CONTENT_SID = "HX" + "6" * 32
TEST_ACCOUNT: dict[str, Any] = {
    "path": f"/2010-04-01/Accounts/{TEST_ACCOUNT_SID}/Messages.json",
    "authorization": basic(TEST_ACCOUNT_SID, "the-test-token"),
}


def schedule(send_at: str) -> dict[str, str | None]:
    return {
        "From": None,
        "MessagingServiceSid": SERVICE_SID,
        "ScheduleType": "fixed",
        "SendAt": send_at,
    }


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "+1555867531012345"}, 21211),
        ({"To": "whatsapp:hello"}, 21211),
        ({"To": "messenger:"}, 21211),
        ({"To": "12345"}, 21265),
        ({"From": None}, 21603),
        ({"From": "TwelveLetter"}, 21212),
        ({"From": "+15558675310"}, 21266),
        ({"From": "whatsapp:+15557654321"}, 21910),
        ({"From": None, "MessagingServiceSid": "MG1"}, 21705),
        ({"Body": ""}, 21602),
        ({"Body": "😀" * 801}, 21617),
        ({"MediaUrl": ["https://example.com/a.png"] * 11}, 21623),
        ({"MediaUrl": "example.com/a.png"}, 21620),
        ({"MediaUrl": "http://["}, 21620),
        ({"StatusCallback": "https://my_host.example.com/cb"}, 21609),
        ({"StatusCallback": "https://example.com:port/cb"}, 21609),
        ({"StatusCallback": "https://example.com/a b"}, 21609),
        ({"StatusCallback": "ftp://example.com/cb"}, 21609),
        ({"ContentSid": "HX1"}, 21655),
        ({"ContentVariables": "{}"}, 21654),
        ({"ContentSid": CONTENT_SID, "ContentVariables": "{"}, 21656),
        (
            {
                "ContentSid": CONTENT_SID,
                "ContentVariables": json.dumps({str(i): "x" for i in range(101)}),
            },
            92002,
        ),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "soon"}, 21624),
        ({"ContentRetention": "burn"}, 30029),
        ({"AddressRetention": "burn"}, 30030),
        ({"FallbackFrom": "+15557654322"}, 21664),
        ({"ScheduleType": "fixed", "SendAt": "2026-11-23T13:00:00Z"}, 35118),
        ({"MessagingServiceSid": SERVICE_SID, "SendAt": "2026-11-23T13:00:00Z"}, 35126),
        ({"MessagingServiceSid": SERVICE_SID, "ScheduleType": "fixed"}, 35111),
        (schedule("9999-12-31T23:59:59-14:00"), 35114),
        (schedule("2026-11-23T12:04:59Z"), 35115),
        (schedule("2026-12-28T12:00:01Z"), 35117),
    ],
)
def test_invalid_input_is_rejected_with_twilios_code(changes: dict[str, Any], code: int) -> None:
    twilio = VirtualTwilio()

    answer = twilio.post(**changes)

    assert error_of(answer) == (400, code)
    assert twilio.simulator.messages() == []


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        ({"Body": "a" * 1600}, "SM"),
        ({"From": "MyCompany"}, "SM"),
        ({"From": SENDER, "MessagingServiceSid": SERVICE_SID}, "SM"),
        ({"Body": None, "ContentSid": CONTENT_SID, "ContentVariables": '{"1": "x"}'}, "SM"),
        ({"ValidityPeriod": "36000", "ContentRetention": "discard"}, "SM"),
        ({"To": "messenger:1234", "From": "messenger:5678"}, "SM"),
        ({"SomethingNew": "1", "SmartEncoded": "true", "ProvideFeedback": "true"}, "SM"),
        (schedule("2026-11-23T12:05:00Z"), "SM"),
        (schedule("2026-12-28T12:00:00"), "SM"),
        ({"SendAsMms": "true"}, "MM"),
        ({"Body": None, "MediaUrl": "https://example.com/a.png"}, "MM"),
    ],
)
def test_valid_input_is_accepted_and_unknown_parameters_are_ignored(
    changes: dict[str, Any], prefix: str
) -> None:
    twilio = VirtualTwilio()

    assert twilio.send(**changes)["sid"].startswith(prefix)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"From": "+15005550001"}, 21212),
        ({"From": "+15005550007"}, 21606),
        ({"From": "+15005550008"}, 21611),
        ({"To": "+15005550001"}, 21211),
        ({"To": "+15005550002"}, 21612),
        ({"To": "+15005550003"}, 21408),
        ({"To": "+15005550004"}, 21610),
        ({"To": "+15005550009"}, 21614),
    ],
)
def test_magic_numbers_are_rejected_on_every_account(changes: dict[str, str], code: int) -> None:
    twilio = VirtualTwilio()
    form = a_form(**{"From": "+15005550006", **changes})

    answers = twilio.post(**changes), twilio.request("POST", form=form, **TEST_ACCOUNT)

    assert [error_of(it) for it in answers] == [(400, code)] * 2


def test_a_test_account_sends_from_the_magic_number_only() -> None:
    twilio = VirtualTwilio()

    answer = twilio.request("POST", form=a_form(From=SENDER), **TEST_ACCOUNT)

    assert error_of(answer) == (400, 21606)


def test_a_test_account_sends_and_stores_nothing() -> None:
    twilio = VirtualTwilio()

    created = twilio.answer("POST", form=a_form(From="+15005550006"), **TEST_ACCOUNT)
    listed = twilio.request("GET", **TEST_ACCOUNT)

    assert created.status == 201
    assert error_of(listed) == (403, 20008)
    assert twilio.simulator.messages() == []
    assert twilio.simulator.next_due() is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"From": "+15550000001"}, None),
        ({"From": "+15550000002"}, 21660),
        ({"From": "+15550000003"}, 21606),
        ({"From": None, "MessagingServiceSid": SERVICE_SID}, 21704),
    ],
)
def test_an_account_with_listed_senders_sends_from_these_only(
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

    if code is None:
        assert answer is not None
        assert answer.status == 201
    else:
        assert error_of(answer) == (400, code)


def test_a_trial_account_prefixes_every_body() -> None:
    twilio = VirtualTwilio(trial=True)

    assert twilio.send()["body"] == "Sent from your Twilio trial account - Hello"


def test_smart_encoding_changes_the_body() -> None:
    twilio = VirtualTwilio()

    message = twilio.send(Body="\u201chi\u201d" + "a" * 100, SmartEncoded="true")

    assert message["body"] == '"hi"' + "a" * 100
    assert message["num_segments"] == "1"
