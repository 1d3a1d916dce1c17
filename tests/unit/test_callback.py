"""Verifying and parsing status callbacks."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator, get_signature_algorithm

from delivery.domain.messages import StatusUpdate
from delivery.twilio.callback import (
    Callback,
    ParameterMissing,
    account_of,
    error_code,
    parse_form,
)
from delivery.twilio.error_detail import MAX_LENGTH, clean_error_detail
from delivery.twilio.signature import (
    Algorithm,
    Parameters,
    SignatureFault,
    SignatureInvalid,
    SignatureSettings,
    SignedForm,
    signature,
)
from tests.support.builders import ACCOUNT_SID, AUTH_TOKEN, MESSAGE_SID, NOON

URL = "https://callbacks.example.com/twilio/status"
CALLBACK = {
    "MessageSid": MESSAGE_SID,
    "MessageStatus": "undelivered",
    "AccountSid": ACCOUNT_SID,
    "To": "+15558675310",
    "From": "+15005550006",
    "ErrorCode": "30003",
    "RawDlrDoneDate": "2611231200",
}
REQUEST_ID = "rq_" + "0123456789abcdef" * 2

VECTORS = json.loads((Path(__file__).parent / "data" / "signatures.json").read_text("utf-8"))


def a_callback(**changes: str) -> Parameters:
    return list((CALLBACK | changes).items())


def accepts(
    given_signature: str,
    parameters: Parameters,
    *,
    url: str = URL,
    keys: tuple[str, ...] = (AUTH_TOKEN,),
    algorithm: Algorithm = Algorithm.HMAC_SHA1,
) -> bool:
    try:
        SignedForm.of(given_signature, parameters, algorithm).verify(keys=keys, urls=[url])
    except SignatureInvalid:
        return False
    return True


# --- the signature -------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_vectors_of_twilios_sdks_hold(vector: dict[str, Any]) -> None:
    parameters = [(name, value) for name, value in vector["parameters"]]

    accepted = accepts(
        vector["signature"] or "", parameters, url=vector["url"], keys=(vector["auth_token"],)
    )

    assert accepted is vector["valid"]


class Repeated(dict[str, list[str]]):
    """Parameters with repetitions as Twilio's validator takes them: as Django's QueryDict."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def as_twilio_takes_them(parameters: Parameters) -> Repeated:
    return Repeated(
        {name: [value for key, value in parameters if key == name] for name, _ in parameters}
    )


form = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=8)
# Bytes of a query as they can stand in a request line.
query = st.text(alphabet="abc123=&%+-_.~", max_size=12)
algorithms = st.sampled_from(Algorithm)


@given(form, query, algorithms)
def test_signatures_equal_those_of_twilios_validator(
    parameters: Parameters, raw_query: str, algorithm: Algorithm
) -> None:
    url = f"{URL}?{raw_query}"

    expected = RequestValidator(AUTH_TOKEN).compute_signature(
        url, as_twilio_takes_them(parameters), algorithm
    )

    assert signature(AUTH_TOKEN, url, parameters, algorithm) == expected


@given(form)
def test_a_form_is_parsed_as_it_was_written(parameters: Parameters) -> None:
    assert parse_form(urlencode(parameters).encode()) == parameters


@pytest.mark.parametrize(
    ("signed_for", "received_at"),
    [
        ("https://example.com/twilio/status", "https://example.com:443/twilio/status"),
        ("https://example.com:443/twilio/status", "https://example.com/twilio/status"),
        ("http://example.com:80/twilio/status", "http://example.com/twilio/status"),
        ("https://example.com/twilio/status", "https://example.com:8443/twilio/status"),
        ("http://127.0.0.1:8443/base/twilio/status", "http://127.0.0.1:8443/base/twilio/status"),
        ("https://example.com:443/s?at=10:30", "https://example.com/s?at=10:30"),
    ],
)
def test_a_port_may_be_signed_or_not(signed_for: str, received_at: str) -> None:
    given_signature = signature(AUTH_TOKEN, signed_for, a_callback())

    assert accepts(given_signature, a_callback(), url=received_at)


@pytest.mark.parametrize(
    "changed",
    [
        a_callback(MessageStatus="delivered"),
        a_callback(Extra=""),
        a_callback()[:-1],
        [*a_callback(), ("MessageStatus", "delivered")],
    ],
)
def test_a_signature_covers_every_parameter_pair(changed: Parameters) -> None:
    given_signature = signature(AUTH_TOKEN, URL, a_callback())

    assert not accepts(given_signature, changed)


def test_blank_repeated_and_unicode_parameters_are_signed_as_they_are() -> None:
    parameters = parse_form(b"B=&A=2&A=1&A=2&%C3%A4=%F0%9F%98%80&Flag&Space=+x+")

    assert parameters == [
        ("B", ""),
        ("A", "2"),
        ("A", "1"),
        ("A", "2"),
        ("ä", "\N{GRINNING FACE}"),
        ("Flag", ""),
        ("Space", " x "),
    ]
    assert accepts(signature(AUTH_TOKEN, URL, parameters), parameters)


def test_each_key_and_each_url_is_tried() -> None:
    form = SignedForm.of(signature("new-token", URL, a_callback()), a_callback())

    form.verify(keys=["old-token", "new-token"], urls=["https://a.example/twilio/status", URL])

    assert not form.fits(keys=["old-token"], urls=[URL])
    assert not form.fits(keys=[], urls=[URL])


def test_an_empty_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        signature("", URL, a_callback())


@pytest.mark.parametrize("malformed", ["", "\N{GRINNING FACE}", "\ud800", "=" * 9999, "\0"])
def test_a_malformed_signature_is_invalid(malformed: str) -> None:
    assert not accepts(malformed, a_callback())


def test_the_parameters_are_joined_once_for_all_keys_and_urls() -> None:
    hashed = []

    class Counting(tuple[str, str]):
        __slots__ = ()

        def __hash__(self) -> int:
            hashed.append(1)
            return super().__hash__()

    parameters = [Counting((f"name{number}", "")) for number in range(100)]

    SignedForm.of("d3Jvbmc=", parameters).fits(keys=["a", "b", "c"], urls=[URL, URL + "?a=1"])

    assert len(hashed) == len(parameters)


# --- signature settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "algorithm"),
    [
        ("key=k1,algorithm=HMAC_SHA256", Algorithm.HMAC_SHA256),
        ("algorithm=HMAC_SHA1, key=k1", Algorithm.HMAC_SHA1),
        (" key = k1 , algorithm = hmac_sha256 ", Algorithm.HMAC_SHA256),
        ("key=k1", Algorithm.HMAC_SHA1),
        ("key=k1,algorithm=", Algorithm.HMAC_SHA1),
        ("key=k1,version=2", Algorithm.HMAC_SHA1),
    ],
)
def test_signature_settings_name_a_key_and_an_algorithm_as_in_twilios_sdk(
    header: str, algorithm: Algorithm
) -> None:
    settings = SignatureSettings.parse(header)

    assert (settings.key_id, settings.algorithm) == ("k1", algorithm)
    assert settings.algorithm == get_signature_algorithm(header).upper()


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("", SignatureFault.UNKNOWN_KEY),
        ("key=", SignatureFault.UNKNOWN_KEY),
        ("algorithm=HMAC_SHA256", SignatureFault.UNKNOWN_KEY),
        ("key=k1,key=k2", SignatureFault.UNKNOWN_KEY),
        ("key=k1,algorithm=HMAC_SHA1,algorithm=HMAC_SHA256", SignatureFault.UNKNOWN_KEY),
        ("key=k1,", SignatureFault.UNKNOWN_KEY),
        ("key=k1,algorithm=HMAC_MD5", SignatureFault.UNKNOWN_ALGORITHM),
    ],
)
def test_malformed_signature_settings_are_invalid(header: str, cause: SignatureFault) -> None:
    with pytest.raises(SignatureInvalid) as raised:
        SignatureSettings.parse(header)

    assert raised.value.cause is cause


# --- the content ---------------------------------------------------------------------------------


def parsed(parameters: Parameters, raw_query: str = "") -> StatusUpdate:
    return Callback.parse(parameters, raw_query=raw_query, at=NOON).update


def test_a_callback_is_parsed_into_an_update() -> None:
    update = parsed(a_callback(MessagingServiceSid="MG1"))

    assert (update.message_sid, update.status, update.at) == (MESSAGE_SID, "undelivered", NOON)
    assert (update.error_code, update.carrier_time) == (30003, "2611231200")
    assert (update.to, update.from_) == ("+15558675310", "+15005550006")
    assert (update.account_sid, update.messaging_service_sid) == (ACCOUNT_SID, "MG1")
    assert (update.source, update.request_id, update.context) == ("callback", None, {})


@pytest.mark.parametrize("parameter", ["MessageSid", "MessageStatus"])
@pytest.mark.parametrize("value", [None, "  "])
def test_a_callback_without_sid_or_status_is_not_parsed(parameter: str, value: str | None) -> None:
    parameters = [(name, text) for name, text in a_callback() if name != parameter]
    if value is not None:
        parameters.append((parameter, value))

    with pytest.raises(ParameterMissing, match=parameter) as missing:
        parsed(parameters)

    assert missing.value.parameter == parameter


def test_blank_values_are_absent() -> None:
    update = parsed(a_callback(To="", From=" ", ErrorCode="", RawDlrDoneDate="", AccountSid=""))

    assert (update.to, update.from_, update.error_code, update.carrier_time) == (None,) * 4
    assert account_of(a_callback(AccountSid="")) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("30003", 30003),
        (" 30003 ", 30003),
        ("030003", 30003),
        ("-1", None),
        ("\N{ARABIC-INDIC DIGIT THREE}0003", None),
        ("9" * 40, None),
        ("carrier says no", None),
    ],
)
def test_an_error_code_is_a_number_or_none(text: str | None, code: int | None) -> None:
    assert error_code(text) == code


def test_values_beyond_dynamodbs_limits_are_shortened() -> None:
    update = parsed(a_callback(To="9" * 5000, MessageStatus="x" * 5000))

    assert len(update.to or "") < 2048
    assert len(update.status) < 100
    with pytest.raises(ParameterMissing):
        parsed(a_callback(MessageSid="S" * 3000))


@pytest.mark.parametrize(
    ("raw_query", "request_id", "context"),
    [
        ("", None, {}),
        (f"request_id={REQUEST_ID}", REQUEST_ID, {}),
        (f"request_id={REQUEST_ID}&order=7", REQUEST_ID, {"order": "7"}),
        ("request_id=theirs&order=7", None, {"request_id": "theirs", "order": "7"}),
        ("request_id=rq_XYZ", None, {"request_id": "rq_XYZ"}),
        ("order=7&order=8&blank=&a%20b=c%2Bd+e", None, {"order": "7", "blank": "", "a b": "c+d e"}),
        ("&&=x&%ff=1", None, {"\N{REPLACEMENT CHARACTER}": "1"}),
    ],
)
def test_the_query_parameters_of_the_sender_become_the_context(
    raw_query: str, request_id: str | None, context: dict[str, str]
) -> None:
    update = parsed(a_callback(), raw_query=raw_query)

    assert (update.request_id, update.context) == (request_id, context)


@given(st.binary(max_size=300))
def test_any_body_can_be_parsed_as_a_form(body: bytes) -> None:
    parameters = parse_form(body)

    assert signature(AUTH_TOKEN, URL, parameters)
    with pytest.raises(ParameterMissing):
        parsed(parameters)


# --- legacy names and inbound messages -----------------------------------------------------------


def test_legacy_names_of_sid_and_status_are_understood() -> None:
    update = parsed([("SmsSid", MESSAGE_SID), ("SmsStatus", "sent")])

    assert (update.message_sid, update.status) == (MESSAGE_SID, "sent")


def test_the_first_value_of_a_repeated_parameter_wins_unless_it_is_blank() -> None:
    repeated = [("ErrorCode", " "), *a_callback(ErrorCode="30003"), ("ErrorCode", "30008")]

    assert parsed(repeated).error_code == 30003


def test_the_newer_names_win_unless_they_are_blank() -> None:
    both = parsed([("SmsSid", "SM1"), ("SmsStatus", "sent"), *a_callback()])
    blank = parsed(
        [("SmsSid", "SM1"), ("SmsStatus", "sent"), ("MessageSid", ""), ("MessageStatus", " ")]
    )

    assert (both.message_sid, both.status) == (MESSAGE_SID, "undelivered")
    assert (blank.message_sid, blank.status) == ("SM1", "sent")


@pytest.mark.parametrize(
    ("status", "is_inbound"),
    [("receiving", True), ("received", True), ("read", False)],
)
def test_the_statuses_of_inbound_messages_are_recognized(status: str, *, is_inbound: bool) -> None:
    callback = Callback.parse(a_callback(MessageStatus=status), raw_query="", at=NOON)

    assert callback.is_inbound is is_inbound


@pytest.mark.parametrize(
    ("raw_query", "dropped"),
    [
        ("", 0),
        ("a=1&a=2&=3", 0),
        (f"request_id={REQUEST_ID}&request_id={REQUEST_ID}", 0),
        ("&".join(f"n{number}=" for number in range(23)), 3),
        ("a=" + "x" * 2000 + "&b=1", 1),
    ],
)
def test_names_that_do_not_fit_in_the_context_are_counted(raw_query: str, dropped: int) -> None:
    callback = Callback.parse(a_callback(), raw_query=raw_query, at=NOON)

    assert callback.dropped_names == dropped


# --- the words of a failure ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (None, None),
        ("", None),
        ("Unknown subscriber", "Unknown subscriber"),
        ("two\r\nlines\tand\0nul", "two lines and nul"),
        ("to +15558675310 failed", "to …5310 failed"),
        ("to (555) 867-5310 or 12345", "to …5310 or …2345"),
        ("1234 is short", "1234 is short"),
        ("ask jane.doe+x@example.co.uk, please", "ask …, please"),
        ("<a href='https://e.example/'>click</a> <!channel> *now*", "click now"),
        ("\u202eevil\u200b", "evil"),
        ("\u0661\u0662\u0663\u0664\u0665\u0666", "…\u0663\u0664\u0665\u0666"),
    ],
)
def test_the_words_of_a_failure_are_on_one_line_without_markup_and_masked(
    text: str | None, detail: str | None
) -> None:
    assert clean_error_detail(text) == detail


def test_the_words_of_twilio_and_the_channel_are_both_kept() -> None:
    update = parsed(a_callback(ErrorMessage="Channel error", ChannelStatusMessage="Not opted in"))

    assert update.error_detail == "Channel error; Not opted in"
    assert parsed(a_callback(ErrorMessage="a", ChannelStatusMessage="a")).error_detail == "a"
    assert parsed(a_callback()).error_detail is None


@given(st.text(max_size=500))
def test_no_words_leave_a_number_an_address_markup_or_a_second_line(text: str) -> None:
    detail = clean_error_detail(text) or ""

    assert len(detail) <= MAX_LENGTH
    assert detail.isprintable()
    assert not re.search(r"\d{5}|[<>@&*`]", detail)
