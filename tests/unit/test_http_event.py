"""Reading the event of an HTTP API."""

import base64

import pytest

from delivery.runtime.http_event import HttpEvent, body_of, header_of

FORM = b"Body=caf%C3%A9&To=%2B15558675310"


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ({"body": "{}", "isBase64Encoded": False}, b"{}"),
        ({"body": "é"}, "é".encode()),
        ({"body": base64.b64encode(FORM).decode(), "isBase64Encoded": True}, FORM),
        ({"body": "x", "isBase64Encoded": True}, b"x"),
        ({"body": "", "isBase64Encoded": True}, b""),
        ({"body": None}, b""),
        ({}, b""),
    ],
)
def test_the_body_is_decoded(event: HttpEvent, body: bytes) -> None:
    assert body_of(event) == body


def test_a_body_with_a_lone_surrogate_does_not_raise() -> None:
    assert body_of({"body": "\ud800"}) == b"?"


@pytest.mark.parametrize("name", ["x-twilio-signature", "X-Twilio-Signature"])
def test_a_header_is_found_in_either_case(name: str) -> None:
    assert header_of({"headers": {"accept": "*/*", name: "given"}}, "x-twilio-signature") == "given"


@pytest.mark.parametrize("event", [{}, {"headers": None}, {"headers": {"accept": "*/*"}}])
def test_an_absent_header_is_empty(event: HttpEvent) -> None:
    assert not header_of(event, "x-twilio-signature")
