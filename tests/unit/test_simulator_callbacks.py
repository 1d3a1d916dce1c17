"""The simulator's callbacks: parameters, signatures and retries."""

import pytest
from twilio.request_validator import RequestValidator

from sandbox.twilio.callbacks import CallbackResult, CallbackState, Failure
from sandbox.twilio.overrides import ConnectionOverrides, RetryPolicy, split_overrides
from tests.support.virtual_twilio import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    CALLBACK_URL,
    SENDER,
    SERVICE_SID,
    VirtualTwilio,
    always,
    parameters_of,
)

EVERY_FAILURE = frozenset(RetryPolicy)
CONNECT = frozenset({RetryPolicy.CONNECT})


@pytest.mark.parametrize(
    "form",
    [
        {"To": "+15558675310"},
        {"To": "+15555530003"},
        {"To": "+15555550113"},
        {"To": "whatsapp:+15555550112", "From": "whatsapp:+15557654321"},
        {"From": None, "MessagingServiceSid": SERVICE_SID},
        {"StatusCallback": "http://127.0.0.1:8080/a%20b/?x=1&x=2&empty=#rc=5&rp=all"},
    ],
)
def test_twilios_own_validator_accepts_every_signature(form: dict[str, str | None]) -> None:
    twilio = VirtualTwilio()
    twilio.send(**form)

    twilio.run()

    assert len(twilio.received) >= 2
    for attempt in twilio.received:
        signature = attempt.headers["X-Twilio-Signature"]
        parameters = parameters_of(attempt)
        assert RequestValidator(AUTH_TOKEN).validate(attempt.url, parameters, signature)
        assert not RequestValidator("another").validate(attempt.url, parameters, signature)


def test_a_callback_has_twilios_parameters_and_headers() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send()["sid"]

    sent, delivered = twilio.run()

    assert sent == {
        "SmsSid": sid,
        "SmsStatus": "sent",
        "MessageStatus": "sent",
        "To": "+15558675310",
        "MessageSid": sid,
        "AccountSid": ACCOUNT_SID,
        "From": SENDER,
        "ApiVersion": "2010-04-01",
    }
    assert delivered["RawDlrDoneDate"] == "2611231200"
    assert next(iter(delivered)) == "RawDlrDoneDate"
    headers = twilio.received[0].headers
    assert headers["User-Agent"] == "TwilioProxy/1.1"
    assert headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert headers["I-Twilio-Idempotency-Token"]


@pytest.mark.parametrize(
    ("to", "has_receipt"),
    [
        ("+15555530003", True),  # undelivered
        ("+15555530007", True),  # failed, because the carrier filtered it
        ("+15555530001", False),  # failed before any carrier had it
        ("+15555550105", False),  # sent
    ],
)
def test_a_carriers_time_is_sent_when_the_carrier_decided(to: str, *, has_receipt: bool) -> None:
    twilio = VirtualTwilio()
    twilio.send(To=to)

    *_, last = twilio.run()

    assert ("RawDlrDoneDate" in last) is has_receipt


def test_the_fragment_of_the_url_is_not_requested() -> None:
    twilio = VirtualTwilio()
    twilio.send(StatusCallback=CALLBACK_URL + "#rc=5&rp=all&ct=2000&rt=5000")

    twilio.run()

    attempt = twilio.received[0]
    assert attempt.url == CALLBACK_URL
    assert (attempt.connect_timeout, attempt.read_timeout, attempt.total_timeout) == (2, 5, 15)


@pytest.mark.parametrize(
    ("fragment", "overrides"),
    [
        ("", ConnectionOverrides()),
        ("#", ConnectionOverrides()),
        ("#rc=5&rp=all", ConnectionOverrides(retries=5, policy=EVERY_FAILURE)),
        ("#rc=0", ConnectionOverrides(retries=0)),
        ("#rc=6", ConnectionOverrides()),
        ("#rc=-1", ConnectionOverrides()),
        ("#rc=many", ConnectionOverrides()),
        ("#rc=", ConnectionOverrides()),
        (
            "#ct=100&rt=100&tt=100",
            ConnectionOverrides(connect_timeout=0.1, read_timeout=0.1, total_timeout=0.1),
        ),
        ("#ct=99&rt=99&tt=99", ConnectionOverrides()),
        ("#ct=10000&rt=15000&tt=15000", ConnectionOverrides(connect_timeout=10)),
        ("#ct=10001&rt=15001&tt=15001", ConnectionOverrides()),
        ("#rp=4xx", ConnectionOverrides(policy=frozenset({RetryPolicy.CLIENT_ERROR}))),
        ("#rp=5xx,ct,rt", ConnectionOverrides(policy=EVERY_FAILURE - {RetryPolicy.CLIENT_ERROR})),
        ("#rp=ct,sometimes", ConnectionOverrides(policy=CONNECT, problems=(11243,))),
        ("#rp=", ConnectionOverrides(policy=CONNECT, problems=(11243,))),
        ("#e=ashburn,dublin&sni=n", ConnectionOverrides()),
        ("#e=Ashburn!", ConnectionOverrides(problems=(11240,))),
        ("#e=atlantis", ConnectionOverrides(problems=(11241,))),
        ("#e=ashburn-ix", ConnectionOverrides(problems=(11242,))),
        ("#rp=x&e=atlantis", ConnectionOverrides(problems=(11243, 11241))),
    ],
)
def test_connection_overrides_are_read_from_the_fragment(
    fragment: str, overrides: ConnectionOverrides
) -> None:
    url, read = split_overrides("https://example.com/cb?a=1" + fragment)

    assert url == "https://example.com/cb?a=1"
    assert read == overrides


@pytest.mark.parametrize(
    ("fragment", "result", "attempts"),
    [
        ("", CallbackResult(failure=Failure.CONNECTION_FAILED), 2),
        ("", CallbackResult(failure=Failure.NO_RESPONSE), 1),
        ("", CallbackResult(status=503), 1),
        ("#rc=5&rp=all", CallbackResult(status=302), 1),
        ("#rc=0&rp=all", CallbackResult(status=503), 1),
        ("#rc=5&rp=all", CallbackResult(status=503), 6),
        ("#rc=5&rp=all", CallbackResult(failure=Failure.NO_RESPONSE), 6),
        ("#rc=5&rp=all", CallbackResult(failure=Failure.BROKEN_RESPONSE), 1),
        ("#rc=3&rp=5xx", CallbackResult(status=500), 4),
        ("#rc=3&rp=5xx", CallbackResult(status=400), 1),
        ("#rc=3&rp=4xx", CallbackResult(status=400), 4),
        ("#rc=3&rp=rt", CallbackResult(failure=Failure.NO_RESPONSE), 4),
        ("#rc=3&rp=rt", CallbackResult(failure=Failure.CONNECTION_FAILED), 1),
        ("#rc=5&rp=all", CallbackResult(status=200), 1),
    ],
)
def test_a_failed_callback_is_retried_as_its_overrides_demand(
    fragment: str, result: CallbackResult, attempts: int
) -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550105", StatusCallback=CALLBACK_URL + fragment)

    assert twilio.statuses(always(result)) == ["sent"] * attempts


def test_retries_repeat_the_request_until_the_first_success() -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555550105", StatusCallback=CALLBACK_URL + "#rc=5&rp=all")["sid"]
    results = iter([503, 500, 204])

    twilio.run(lambda _: CallbackResult(status=next(results)))

    assert len({(attempt.body, *attempt.headers.items()) for attempt in twilio.received}) == 1
    (callback,) = twilio.simulator.callbacks(sid)
    assert callback.state is CallbackState.ANSWERED
    assert twilio.simulator.debugger == []


def test_retries_share_the_total_time() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550105", StatusCallback=CALLBACK_URL + "#rc=5&rp=all&rt=6000")

    twilio.run(always(CallbackResult(failure=Failure.NO_RESPONSE)), each_takes=6)

    assert [attempt.total_timeout for attempt in twilio.received] == [15, 9, 3]
    assert [attempt.read_timeout for attempt in twilio.received] == [6, 6, 3]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (CallbackResult(status=500), 11200),
        (CallbackResult(failure=Failure.NO_RESPONSE), 11200),
        (CallbackResult(failure=Failure.CONNECTION_FAILED), 11205),
        (CallbackResult(failure=Failure.BROKEN_RESPONSE), 11206),
        (CallbackResult(failure=Failure.NAME_NOT_RESOLVED), 11210),
        (CallbackResult(failure=Failure.TLS_FAILED), 11220),
        (CallbackResult(failure=Failure.CERTIFICATE_NAME_MISMATCH), 11235),
        (CallbackResult(failure=Failure.CERTIFICATE_EXPIRED), 11236),
        (CallbackResult(failure=Failure.CERTIFICATE_UNTRUSTED), 11237),
    ],
)
def test_a_callback_without_retries_left_is_in_the_debugger_once(
    result: CallbackResult, code: int
) -> None:
    twilio = VirtualTwilio()
    sid = twilio.send(To="+15555550105")["sid"]

    twilio.run(always(result))

    (entry,) = twilio.simulator.debugger
    assert (entry.error_code, entry.message_sid) == (code, sid)
    assert twilio.fetch(sid)["error_code"] is None


def test_an_invalid_override_is_in_the_debugger_and_the_callback_is_sent() -> None:
    twilio = VirtualTwilio()
    twilio.send(To="+15555550105", StatusCallback=CALLBACK_URL + "#rp=never")

    assert twilio.statuses() == ["sent"]
    assert [entry.error_code for entry in twilio.simulator.debugger] == [11243]


def test_a_rotated_token_signs_from_the_next_attempt_on() -> None:
    twilio = VirtualTwilio()
    twilio.send()
    twilio.run(seconds=1)

    twilio.simulator.rotate_auth_token(ACCOUNT_SID, "the-next-token")
    twilio.run()

    before, after = twilio.received
    for attempt, token in ((before, AUTH_TOKEN), (after, "the-next-token")):
        signature = attempt.headers["X-Twilio-Signature"]
        assert RequestValidator(token).validate(attempt.url, parameters_of(attempt), signature)
