"""The mailbox: what SNS would mail."""

import json
from http import HTTPStatus
from urllib.parse import urlencode

import pytest

from sandbox.aws.mailbox import Email, Mailbox, email_of
from sandbox.http_server import HttpServer, Request, Response, forward


def a_call(**parameters: str) -> bytes:
    return urlencode({"Action": "Publish", "TopicArn": "arn:x", **parameters}).encode()


def test_an_email_has_its_own_text_if_the_publisher_wrote_one() -> None:
    forms = json.dumps({"default": "{}", "email": "In words: nö"})

    email = email_of(a_call(Subject="It failed", MessageStructure="json", Message=forms))

    assert email == Email(subject="It failed", text="In words: nö")


def test_an_email_is_the_default_text_otherwise() -> None:
    forms = json.dumps({"default": "for all", "sqs": "for queues"})

    email = email_of(a_call(Subject="S", MessageStructure="json", Message=forms))

    assert email == Email(subject="S", text="for all")


def test_without_a_structure_the_message_is_the_text() -> None:
    assert email_of(a_call(Message='{"email": "x"}')) == Email(
        subject="AWS Notification Message", text='{"email": "x"}'
    )


@pytest.mark.parametrize("body", [b"", b"Action=Subscribe&TopicArn=arn%3Ax"])
def test_other_calls_are_mailed_to_nobody(body: bytes) -> None:
    assert email_of(body) is None


@pytest.mark.parametrize(
    ("status", "mailed"), [(HTTPStatus.OK, ["Hello"]), (HTTPStatus.FORBIDDEN, [])]
)
def test_only_what_sns_took_is_mailed_and_the_call_is_passed_on_as_it_was_signed(
    status: HTTPStatus, mailed: list[str]
) -> None:
    calls: list[Request] = []
    emails: list[Email] = []

    def sns(request: Request) -> Response:
        calls.append(request)
        return Response(status=status, body=b"<PublishResponse/>")

    body = a_call(Message="Hello")
    headers = [("Host", "127.0.0.1:1"), ("Content-Length", str(len(body)))]
    with (
        HttpServer(port=0, answer=sns) as server,
        Mailbox(upstream_port=server.port, arrived=emails.append) as mailbox,
    ):
        answer = forward(
            Request(method="POST", target="/", headers=headers, body=body),
            port=mailbox.port,
            timeout=5,
        )

    assert (answer.status, answer.body) == (status, b"<PublishResponse/>")
    assert [email.text for email in emails] == mailed
    assert (calls[0].body, ("Host", "127.0.0.1:1") in calls[0].headers) == (body, True)
