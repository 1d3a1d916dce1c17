"""What an HTTP API hands on of a request."""

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
def test_the_body_is_what_was_sent(event: HttpEvent, body: bytes) -> None:
    assert body_of(event) == body


def test_a_body_that_is_no_unicode_does_not_raise() -> None:
    assert body_of({"body": "\ud800"}) == b"?"


@pytest.mark.parametrize("name", ["x-twilio-signature", "X-Twilio-Signature"])
def test_a_header_is_found_in_whatever_case_it_came(name: str) -> None:
    assert header_of({"headers": {"accept": "*/*", name: "given"}}, "x-twilio-signature") == "given"


@pytest.mark.parametrize("event", [{}, {"headers": None}, {"headers": {"accept": "*/*"}}])
def test_a_header_that_did_not_come_is_empty(event: HttpEvent) -> None:
    assert not header_of(event, "x-twilio-signature")
