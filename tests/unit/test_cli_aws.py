"""Selecting the target: a stack in AWS, whose errors are explained, or the sandbox."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from requests import PreparedRequest, Request
from urllib3 import Retry

from delivery_cli.aws_errors import explain_aws_error
from delivery_cli.messages_api import SignedWithAws
from sandbox.http_server import HttpServer
from tests.support.builders import MESSAGE_SID, a_message
from tests.support.command_line import (
    CloudFormation,
    ScriptedApi,
    StackDescription,
    reply,
    run,
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
    """A stack whose MessagesApi is the scripted one, and a stack of another project."""
    ours = StackDescription(outputs={"MessagesApiUrl": f"{server.url}/api"})
    other = StackDescription(outputs={"Url": "https://x"})
    described = CloudFormation({"delivery": ours, "shop": other})
    with HttpServer(port=0, answer=described) as cloudformation:
        monkeypatch.setitem(CREDENTIALS, "AWS_ENDPOINT_URL_CLOUDFORMATION", cloudformation.url)
        yield


# --- a stack in AWS ------------------------------------------------------------------------------


@pytest.mark.usefixtures("stacks")
@pytest.mark.parametrize(
    ("options", "variables"),
    [
        (("--region", REGION), {}),
        ((), {"AWS_REGION": REGION}),
        ((), {"AWS_DEFAULT_REGION": REGION}),
    ],
)
def test_requests_to_a_stack_in_aws_are_signed_for_its_region(
    api: ScriptedApi, options: tuple[str, ...], variables: dict[str, str]
) -> None:
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, a_message("sent").as_record()))

    ran = run(*SHOW, *options, environment=CREDENTIALS | variables)

    headers = dict(api.requests[0].headers)
    assert ran.code == 0, ran.err
    assert f"/{REGION}/execute-api/aws4_request" in headers["Authorization"]


@pytest.mark.usefixtures("stacks")
@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("delivry", ("delivry", REGION, ": delivery.")),
        ("shop", ("MessagesApiUrl", "docs/troubleshooting.md", "--stack-name")),
    ],
)
def test_a_stack_that_is_unknown_or_of_another_project_is_reported_with_ours(
    name: str, facts: tuple[str, ...]
) -> None:
    ran = run(*SHOW, "--region", REGION, "--stack-name", name, environment=CREDENTIALS)

    assert ran.code == 1
    assert all(fact in ran.err for fact in facts)


@pytest.mark.usefixtures("stacks")
def test_access_denied_names_the_missing_permission(api: ScriptedApi) -> None:
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(403, {"message": "Forbidden"}))

    ran = run(*SHOW, "--region", REGION, environment=CREDENTIALS)

    assert ran.code == 1
    assert "execute-api:Invoke" in ran.err


@pytest.mark.parametrize(
    ("arguments", "environment", "fix"),
    [
        (("--region", REGION), {}, "aws sso login"),
        ((), CREDENTIALS, "--region"),
        (("--region", REGION, "--profile", "missing-profile"), {}, "list-profiles"),
        (("--region", REGION), {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}, "aws sso login"),
        (("--region", "not a region"), CREDENTIALS, "--region"),
    ],
)
def test_a_missing_aws_setting_is_reported_with_its_fix(
    arguments: tuple[str, ...], environment: dict[str, str], fix: str
) -> None:
    ran = run(*SHOW, *arguments, environment=environment)

    assert ran.code == 1
    assert fix in ran.err
    assert not [word for word in SECRET_WORDS if word in ran.err]


def client_error(code: str, text: str = "Reason") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": text}}, "DescribeStacks")


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (client_error("ExpiredTokenException"), "aws sso login"),
        (client_error("InvalidClientTokenId"), "aws sso login"),
        (client_error("AccessDenied", "ada lacks a permission"), "ada lacks a permission"),
        (client_error("AccessDeniedException"), "DescribeStacks"),
        (client_error("Throttling"), "Retry"),
        (client_error("InternalFailure"), "InternalFailure"),
        (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
        (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "--region"),
        (exceptions.DataNotFoundError(data_path="some-path"), "some-path"),
    ],
)
def test_an_aws_error_is_explained(error: BotoCoreError | ClientError, fact: str) -> None:
    explained = explain_aws_error(error)

    assert fact in f"{explained} {explained.fix}"


def signed(method: str, url: str, document: Any = None) -> PreparedRequest:
    credentials = Credentials("AKIDEXAMPLE", "not-so-secret", "session-token")
    request = Request(method, url, json=document, headers={"Idempotency-Key": "key-1"})
    return SignedWithAws(credentials, REGION)(request.prepare())


def test_signing_keeps_the_request_and_covers_its_headers() -> None:
    request = signed("POST", "https://api.example.com/messages", {"to": "+15558675310"})

    assert request.body == b'{"to": "+15558675310"}'
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["X-Amz-Security-Token"] == "session-token"
    assert (
        "SignedHeaders=content-type;host;idempotency-key;x-amz-date;x-amz-security-token"
        in request.headers["Authorization"]
    )


def test_the_signature_covers_the_query() -> None:
    signatures = {
        signed("GET", f"https://api.example.com/messages?to=%2B{number}").headers["Authorization"]
        for number in ("15558675310", "15558675311")
    }

    assert len(signatures) == 2


# --- the sandbox ---------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["1", "the file"])
def test_delivery_sandbox_selects_the_sandbox(
    setting: str,
    tmp_path: Path,
    api: ScriptedApi,
    server: HttpServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = write_endpoints(tmp_path, server)
    api.respond(f"GET /api/messages/{MESSAGE_SID}", reply(200, a_message("sent").as_record()))
    monkeypatch.chdir(tmp_path if setting == "1" else "/")

    ran = run(*SHOW, environment={"DELIVERY_SANDBOX": setting if setting == "1" else str(file)})

    assert ran.code == 0, ran.err
    assert "Authorization" not in dict(api.requests[0].headers)


def test_an_aws_option_overrides_delivery_sandbox(
    tmp_path: Path, server: HttpServer, api: ScriptedApi
) -> None:
    file = write_endpoints(tmp_path, server)

    ran = run(*SHOW, "--region", REGION, environment={"DELIVERY_SANDBOX": str(file)})

    assert (ran.code, api.requests) == (1, [])
    assert "credentials" in ran.err


@pytest.mark.parametrize("content", [None, "no json", "{}"])
def test_an_unusable_endpoints_file_is_reported_with_how_to_start_the_sandbox(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "endpoints.json"
    if content is not None:
        file.write_text(content)

    ran = run(*SHOW, "--sandbox", environment={"DELIVERY_SANDBOX": str(file)})

    assert ran.code == 1
    assert "make sandbox" in ran.err


def test_a_sandbox_that_has_stopped_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retry, "sleep", lambda *_: None)  # the command repeats a GET three times
    with HttpServer(port=0, answer=ScriptedApi()) as server:
        file = write_endpoints(tmp_path, server)

    ran = run("show", MESSAGE_SID, environment={"DELIVERY_SANDBOX": str(file)})

    assert ran.code == 1
    assert server.url.removeprefix("http://") in ran.err
