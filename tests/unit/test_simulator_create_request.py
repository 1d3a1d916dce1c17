"""The simulator's checks of a request to create a message."""

import json
from typing import Any

import pytest

from tests.support.virtual_twilio import (
    SENDER,
    SERVICE_SID,
    VirtualTwilio,
    error_of,
)

CONTENT_SID = "HX" + "6" * 32


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
def test_magic_numbers_are_rejected(changes: dict[str, str], code: int) -> None:
    twilio = VirtualTwilio()

    assert error_of(twilio.post(**changes)) == (400, code)


def test_a_trial_account_prefixes_every_body() -> None:
    twilio = VirtualTwilio(trial=True)

    assert twilio.send()["body"] == "Sent from your Twilio trial account - Hello"


def test_smart_encoding_changes_the_body() -> None:
    twilio = VirtualTwilio()

    message = twilio.send(Body="\u201chi\u201d" + "a" * 100, SmartEncoded="true")

    assert message["body"] == '"hi"' + "a" * 100
    assert message["num_segments"] == "1"
