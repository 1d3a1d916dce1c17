import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from delivery.twilio.callback import (
    ParameterMissing,
    account_of,
    error_code,
    parse_form,
    status_update,
)
from delivery.twilio.signature import (
    Parameters,
    SignatureFault,
    SignatureInvalid,
    SignatureMissing,
    signature,
    verify,
)
from tests.builders import ACCOUNT_SID, AUTH_TOKEN, MESSAGE_SID, NOON

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
    given_signature: str | None,
    parameters: Parameters,
    *,
    url: str = URL,
    auth_tokens: tuple[str, ...] = (AUTH_TOKEN,),
) -> bool:
    try:
        verify(given_signature, auth_tokens=auth_tokens, urls=[url], parameters=parameters)
    except (SignatureMissing, SignatureInvalid):
        return False
    return True


# --- the signature -------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_twilios_own_test_vectors_hold(vector: dict[str, Any]) -> None:
    parameters = [(name, value) for name, value in vector["parameters"]]

    accepted = accepts(
        vector["signature"],
        parameters,
        url=vector["url"],
        auth_tokens=(vector["auth_token"],),
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


@given(form, query)
def test_we_compute_the_signature_that_twilios_own_validator_computes(
    parameters: Parameters, raw_query: str
) -> None:
    url = f"{URL}?{raw_query}"

    theirs = RequestValidator(AUTH_TOKEN).compute_signature(url, as_twilio_takes_them(parameters))

    assert signature(AUTH_TOKEN, url, parameters) == theirs


@given(form, form)
def test_we_refuse_what_twilios_own_validator_refuses(
    signed: Parameters, received: Parameters
) -> None:
    given_signature = signature(AUTH_TOKEN, URL, signed)

    theirs = RequestValidator(AUTH_TOKEN).validate(
        URL, as_twilio_takes_them(received), given_signature
    )

    assert accepts(given_signature, received) == theirs


@given(form)
def test_a_form_is_read_as_it_was_written(parameters: Parameters) -> None:
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
        a_callback(ErrorCode=""),
        a_callback(Extra=""),
        a_callback()[:-1],
        [*a_callback(), ("MessageStatus", "delivered")],
        [*a_callback(), ("To", " +15558675310")],
        [],
    ],
)
def test_a_signature_covers_every_parameter_pair(changed: Parameters) -> None:
    given_signature = signature(AUTH_TOKEN, URL, a_callback())

    assert not accepts(given_signature, changed)


@pytest.mark.parametrize(
    "url",
    [
        URL + "/",
        URL + "?",
        URL + "?a=1",
        URL.replace("https", "http"),
        URL.replace("callbacks", "Callbacks"),
        URL.replace("/twilio", "//twilio"),
    ],
)
def test_a_signature_covers_the_url_to_the_letter(url: str) -> None:
    given_signature = signature(AUTH_TOKEN, URL, a_callback())

    assert not accepts(given_signature, a_callback(), url=url)


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


def test_any_of_several_tokens_is_accepted_while_one_replaces_the_other() -> None:
    signed_by_new = signature("new-token", URL, a_callback())

    assert accepts(signed_by_new, a_callback(), auth_tokens=("old-token", "new-token"))
    assert not accepts(signed_by_new, a_callback(), auth_tokens=("old-token",))


def test_each_of_our_urls_is_tried() -> None:
    given_signature = signature(AUTH_TOKEN, URL, a_callback())

    verify(
        given_signature,
        auth_tokens=[AUTH_TOKEN],
        urls=["https://abc.execute-api.us-east-1.amazonaws.com/twilio/status", URL],
        parameters=a_callback(),
    )


def test_an_empty_token_signs_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        signature("", URL, a_callback())


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_signature_says_so(missing: str | None) -> None:
    with pytest.raises(SignatureMissing, match="X-Twilio-Signature"):
        verify(missing, auth_tokens=[AUTH_TOKEN], urls=[URL], parameters=a_callback())


@pytest.mark.parametrize("odd", ["\N{GRINNING FACE}", "\ud800", "=" * 9999, "\0"])
def test_an_odd_signature_is_wrong_and_no_accident(odd: str) -> None:
    assert not accepts(odd, a_callback())


@pytest.mark.parametrize(
    ("signed_for", "auth_tokens", "cause"),
    [
        (URL, (), SignatureFault.UNKNOWN_ACCOUNT),
        (URL, ("other-token",), SignatureFault.WRONG_TOKEN),
        (URL.replace("https", "http"), (AUTH_TOKEN,), SignatureFault.URL_DIFFERS),
        (URL + "/", (AUTH_TOKEN,), SignatureFault.URL_DIFFERS),
        ("https://elsewhere.example.com/x", (AUTH_TOKEN,), SignatureFault.WRONG_TOKEN),
    ],
)
def test_a_refusal_names_its_likely_cause(
    signed_for: str, auth_tokens: tuple[str, ...], cause: SignatureFault
) -> None:
    given_signature = signature(AUTH_TOKEN, signed_for, a_callback())

    with pytest.raises(SignatureInvalid) as refused:
        verify(given_signature, auth_tokens=auth_tokens, urls=[URL], parameters=a_callback())

    assert refused.value.cause is cause


def test_a_query_that_was_lost_on_the_way_is_named_as_the_cause() -> None:
    given_signature = signature(AUTH_TOKEN, URL, a_callback())

    with pytest.raises(SignatureInvalid) as refused:
        verify(
            given_signature,
            auth_tokens=[AUTH_TOKEN],
            urls=[URL + "?added=1"],
            parameters=a_callback(),
        )

    assert refused.value.cause is SignatureFault.URL_DIFFERS


# --- the content ---------------------------------------------------------------------------------


def test_a_callback_is_read_into_what_it_says() -> None:
    update = status_update(a_callback(MessagingServiceSid="MG1"), raw_query="", at=NOON)

    assert (update.message_sid, update.status, update.at) == (MESSAGE_SID, "undelivered", NOON)
    assert (update.error_code, update.carrier_time) == (30003, "2611231200")
    assert (update.to, update.from_) == ("+15558675310", "+15005550006")
    assert (update.account_sid, update.messaging_service_sid) == (ACCOUNT_SID, "MG1")
    assert (update.source, update.request_id, update.context) == ("callback", None, {})


@pytest.mark.parametrize("parameter", ["MessageSid", "MessageStatus"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_every_callback_has_must_be_there(parameter: str, value: str | None) -> None:
    parameters = [(name, text) for name, text in a_callback() if name != parameter]
    if value is not None:
        parameters.append((parameter, value))

    with pytest.raises(ParameterMissing, match=parameter) as missing:
        status_update(parameters, raw_query="", at=NOON)

    assert missing.value.parameter == parameter


def test_blank_values_are_no_values() -> None:
    update = status_update(
        a_callback(To="", From=" ", ErrorCode="", RawDlrDoneDate="", AccountSid=""),
        raw_query="",
        at=NOON,
    )

    assert (update.to, update.from_, update.error_code, update.carrier_time) == (None,) * 4
    assert account_of(a_callback(AccountSid="")) is None


def test_a_status_that_does_not_exist_today_is_kept_as_twilio_said_it() -> None:
    update = status_update(a_callback(MessageStatus="Paused_by-carrier"), raw_query="", at=NOON)

    assert update.status == "Paused_by-carrier"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("30003", 30003),
        (" 30003 ", 30003),
        ("030003", 30003),
        ("99999", 99999),
        ("-1", None),
        ("3e4", None),
        ("30003.0", None),
        ("\N{ARABIC-INDIC DIGIT THREE}0003", None),
        ("9" * 40, None),
        ("carrier says no", None),
    ],
)
def test_an_error_code_is_a_number_or_none(text: str | None, code: int | None) -> None:
    assert error_code(text) == code


def test_values_that_no_key_of_dynamodb_could_hold_are_shortened() -> None:
    update = status_update(
        a_callback(To="9" * 5000, MessageStatus="x" * 5000), raw_query="", at=NOON
    )

    assert len(update.to or "") < 2048
    assert len(update.status) < 100
    with pytest.raises(ParameterMissing):
        status_update(a_callback(MessageSid="S" * 3000), raw_query="", at=NOON)


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
def test_a_senders_own_query_parameters_become_the_context(
    raw_query: str, request_id: str | None, context: dict[str, str]
) -> None:
    update = status_update(a_callback(), raw_query=raw_query, at=NOON)

    assert (update.request_id, update.context) == (request_id, context)


@given(st.binary(max_size=300))
def test_no_body_can_make_the_parser_stumble(body: bytes) -> None:
    parameters = parse_form(body)

    assert signature(AUTH_TOKEN, URL, parameters)
    with pytest.raises(ParameterMissing):
        status_update(parameters, raw_query="", at=NOON)
