"""Finding the stack: in AWS, whose errors are told in words, or in the sandbox on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from requests import PreparedRequest, Request

from delivery_cli.aws_errors import in_words
from delivery_cli.messages_api import SignedWithAws
from sandbox.http_server import HttpServer
from tests.builders import MESSAGE_SID, a_message
from tests.support.command_line import (
    AStack,
    CloudFormation,
    ScriptedApi,
    run,
    said,
    write_endpoints,
)

REGION = "eu-west-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-so-secret"}
SHOW = ("show", MESSAGE_SID)
SECRET_WORDS = ("not-so-secret", "Traceback")


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def server(api: ScriptedApi) -> Iterator[HttpServer]:
    with HttpServer(port=0, answer=api) as server:
        yield server


@pytest.fixture
def stacks(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stack whose MessagesApi is the scripted one, and one of another project."""
    ours = AStack(outputs={"MessagesApiUrl": f"{server.url}/api"})
    told = CloudFormation({"delivery": ours, "shop": AStack(outputs={"Url": "https://x"})})
    with HttpServer(port=0, answer=told) as cloudformation:
        monkeypatch.setitem(CREDENTIALS, "AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation.url)
        yield


# --- a stack in AWS ------------------------------------------------------------------------------


@pytest.mark.usefixtures("stacks")
def test_a_stack_is_found_by_its_name_and_asked_with_a_signature(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, a_message("sent").as_record()))

    ran = run(*SHOW, "--region", REGION, environment=CREDENTIALS)

    headers = dict(api.requests[0].headers)
    assert ran.code == 0, ran.err
    assert f"/{REGION}/execute-api/aws4_request" in headers["Authorization"]


@pytest.mark.usefixtures("stacks")
@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_can_be_said_by_the_environment(api: ScriptedApi, variable: str) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, a_message("sent").as_record()))

    ran = run(*SHOW, environment=CREDENTIALS | {variable: REGION})

    assert ran.code == 0, ran.err


@pytest.mark.usefixtures("stacks")
def test_a_stack_that_is_not_there_is_told_with_those_that_are() -> None:
    ran = run(*SHOW, "--region", REGION, "--stack-name", "delivry", environment=CREDENTIALS)

    assert ran.code == 1
    assert f"no stack named delivry in {REGION}" in ran.err
    assert "This region has: delivery." in ran.err


@pytest.mark.usefixtures("stacks")
def test_a_stack_of_another_project_is_not_taken_for_one_of_ours() -> None:
    ran = run(*SHOW, "--region", REGION, "--stack-name", "shop", environment=CREDENTIALS)

    assert ran.code == 1
    assert "another project's" in ran.err


@pytest.mark.usefixtures("stacks")
def test_iam_s_refusal_names_the_permission(api: ScriptedApi) -> None:
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(403, {"message": "Forbidden"}))

    ran = run(*SHOW, "--region", REGION, environment=CREDENTIALS)

    assert ran.code == 1
    assert "execute-api:Invoke" in ran.err


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("--region", REGION), {}, "aws sso login"),
        ((), CREDENTIALS, "--region"),
        (("--region", REGION, "--profile", "nobody"), {}, "list-profiles"),
        (("--region", REGION), {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, "aws sso login"),
        (("--region", "not a region"), CREDENTIALS, "--region"),
    ],
)
def test_what_is_missing_around_the_command_is_named(
    arguments: tuple[str, ...], environment: dict[str, str], told: str
) -> None:
    ran = run(*SHOW, *arguments, environment=environment)

    assert ran.code == 1
    assert told in ran.err
    assert not [word for word in SECRET_WORDS if word in ran.err]


def refused(code: str, text: str = "It says so") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refused("ExpiredToken"), "expired"),
        (refused("ExpiredTokenException"), "expired"),
        (refused("InvalidClientTokenId"), "does not know these credentials"),
        (refused("UnrecognizedClientException"), "does not know these credentials"),
        (refused("AccessDenied", "ada may not do it"), "ada may not do it"),
        (refused("AccessDeniedException"), "DescribeStacks"),
        (refused("Throttling"), "Try again"),
        (refused("InternalFailure"), "InternalFailure"),
        (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), "--region"),
        (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "online"),
        (exceptions.DataNotFoundError(data_path="x"), "could not be asked"),
    ],
)
def test_an_error_of_aws_is_told_in_words(error: BotoCoreError | ClientError, told: str) -> None:
    explained = in_words(error)

    assert told in f"{explained} {explained.fix}"


def signed(method: str, url: str, document: Any = None) -> PreparedRequest:
    credentials = Credentials("AKIDEXAMPLE", "not-so-secret", "session-token")
    request = Request(method, url, json=document, headers={"Idempotency-Key": "key-1"})
    return SignedWithAws(credentials, REGION)(request.prepare())


def test_what_is_signed_is_what_is_sent() -> None:
    request = signed("POST", "https://api.example.com/messages", {"to": "+15558675310"})

    assert request.body == b'{"to": "+15558675310"}'
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["X-Amz-Security-Token"] == "session-token"
    assert (
        "SignedHeaders=content-type;host;idempotency-key;x-amz-date;x-amz-security-token"
        in request.headers["Authorization"]
    )


def test_another_query_has_another_signature() -> None:
    signatures = {
        str(
            signed("GET", f"https://api.example.com/messages?to=%2B{number}").headers[
                "Authorization"
            ]
        )
        for number in ("15558675310", "15558675311")
    }

    assert len(signatures) == 2


# --- the sandbox ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "the file"])
def test_the_environment_can_say_that_the_sandbox_is_meant(
    value: str,
    tmp_path: Path,
    api: ScriptedApi,
    server: HttpServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write_endpoints(tmp_path, server)
    api.will(f"GET /api/messages/{MESSAGE_SID}", said(200, a_message("sent").as_record()))
    monkeypatch.chdir(tmp_path if value == "1" else "/")

    ran = run(*SHOW, environment={"DELIVERY_SANDBOX": value if value == "1" else str(file)})

    assert ran.code == 0, ran.err
    assert "Authorization" not in dict(api.requests[0].headers)


def test_who_names_a_stack_in_aws_does_not_get_the_sandbox(
    tmp_path: Path, server: HttpServer, api: ScriptedApi
) -> None:
    file = write_endpoints(tmp_path, server)

    ran = run(*SHOW, "--region", REGION, environment={"DELIVERY_SANDBOX": str(file)})

    assert (ran.code, api.requests) == (1, [])
    assert "credentials" in ran.err


@pytest.mark.parametrize("content", [None, "no json", "[]", "{}"])
def test_a_sandbox_that_is_not_up_is_told_with_how_to_start_it(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "endpoints.json"
    if content is not None:
        file.write_text(content)

    ran = run(*SHOW, "--sandbox", environment={"DELIVERY_SANDBOX": str(file)})

    assert ran.code == 1
    assert "make sandbox" in ran.err


def test_a_sandbox_that_ended_is_told(tmp_path: Path) -> None:
    with HttpServer(port=0, answer=ScriptedApi()) as server:
        file = write_endpoints(tmp_path, server)

    ran = run("show", MESSAGE_SID, environment={"DELIVERY_SANDBOX": str(file)})

    assert ran.code == 1
    assert "gave no answer" in ran.err
