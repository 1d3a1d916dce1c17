"""The mailbox: the emails that SNS would send."""

import json
from http import HTTPStatus
from typing import override
from urllib.parse import urlencode

import pytest

from sandbox.aws.mailbox import Email, Mailbox, parse_email
from sandbox.http_server import HttpServer, Request, Response, forward


def a_call(**parameters: str) -> bytes:
    return urlencode({"Action": "Publish", "TopicArn": "arn:x", **parameters}).encode()


@pytest.mark.parametrize(
    ("parameters", "email"),
    [
        (
            {
                "Subject": "It failed",
                "MessageStructure": "json",
                "Message": json.dumps({"default": "{}", "email": "In words: nö"}),
            },
            Email(subject="It failed", text="In words: nö"),
        ),
        (
            {"Subject": "S", "MessageStructure": "json", "Message": '{"default": "for all"}'},
            Email(subject="S", text="for all"),
        ),
        (
            {"Message": '{"email": "x"}'},
            Email(subject="AWS Notification Message", text='{"email": "x"}'),
        ),
    ],
    ids=["text for email", "default text", "no message structure"],
)
def test_an_email_has_the_text_that_sns_would_send(
    parameters: dict[str, str], email: Email
) -> None:
    assert parse_email(a_call(**parameters)) == email


@pytest.mark.parametrize("body", [b"", b"Action=Subscribe&TopicArn=arn%3Ax"])
def test_a_call_that_publishes_nothing_is_not_an_email(body: bytes) -> None:
    assert parse_email(body) is None


@pytest.mark.parametrize(
    ("status", "texts"), [(HTTPStatus.OK, ["Hello"]), (HTTPStatus.FORBIDDEN, [])]
)
def test_an_email_is_sent_only_if_sns_accepts_the_call_which_is_passed_on_unchanged(
    status: HTTPStatus, texts: list[str]
) -> None:
    calls: list[Request] = []
    emails: list[Email] = []

    def sns(request: Request) -> Response:
        calls.append(request)
        return Response(status=status, body=b"<PublishResponse/>")

    class Sns(HttpServer):
        """Gets requests that were signed for the mailbox."""

        @override
        def refuse(self, request: Request) -> None:
            """Refuse nothing."""

    body = a_call(Message="Hello")
    with (
        Sns(port=0, answer=sns) as server,
        Mailbox(upstream_port=server.port, on_email=emails.append) as mailbox,
    ):
        host = ("Host", f"127.0.0.1:{mailbox.port}")
        headers = [host, ("Content-Length", str(len(body)))]
        response = forward(
            Request(method="POST", target="/", headers=headers, body=body),
            port=mailbox.port,
            timeout=5,
        )

    assert (response.status, response.body) == (status, b"<PublishResponse/>")
    assert [email.text for email in emails] == texts
    assert (calls[0].body, host in calls[0].headers) == (body, True)
