"""Runs the command line in this process, against a scripted API and CloudFormation."""

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, parse_qsl, urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from delivery_cli.main import main
from sandbox.http_server import HttpServer, Request, Response

type Json = Any

REGION = "us-east-1"


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Json:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Json]:
        return [json.loads(line) for line in self.out.splitlines()]


def run(
    *arguments: str,
    terminal: bool = False,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run a command as a shell would, without AWS credentials unless `environment` has them."""
    out, err = (Terminal(), Terminal()) if terminal else (io.StringIO(), io.StringIO())
    isolated = {
        "PATH": os.defpath,
        "TERM": "xterm",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    variables = {**isolated, **(environment or {})}
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch.dict(os.environ, variables, clear=True),
        mock.patch("sys.stdin", io.StringIO(stdin)),
    ):
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return CommandResult(code=code, out=out.getvalue(), err=err.getvalue())


@dataclass
class ScriptedApi:
    """Answers each route with the responses of the test, in order; the last one repeats."""

    responses: dict[str, list[Response | None]] = field(default_factory=dict)
    """By method and path; None drops the connection."""
    requests: list[Request] = field(default_factory=list)

    def respond(self, route: str, *responses: Response | None) -> None:
        self.responses[route] = list(responses)

    def __call__(self, request: Request) -> Response | None:
        self.requests.append(request)
        route = f"{request.method} {urlsplit(request.target).path}"
        responses = self.responses.get(route, [NOT_FOUND])
        return responses.pop(0) if len(responses) > 1 else responses[0]

    @property
    def documents(self) -> list[Json]:
        """The JSON bodies of the requests."""
        return [json.loads(request.body) for request in self.requests if request.body]

    @property
    def queries(self) -> list[dict[str, str]]:
        return [
            {name: values[0] for name, values in parse_qs(urlsplit(it.target).query).items()}
            for it in self.requests
        ]


def reply(status: int, content: Json) -> Response:
    return Response(
        status=status,
        headers=[("Content-Type", "application/json")],
        body=json.dumps(content).encode(),
    )


NOT_FOUND = reply(404, {"title": "Not Found", "detail": "Unknown."})


@dataclass
class StackDescription:
    """A stack as CloudFormation describes it."""

    outputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    resources: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Type and physical id by logical id."""
    status: str = "CREATE_COMPLETE"


@dataclass
class CloudFormation:
    """Describes stacks over CloudFormation's query protocol."""

    stacks: dict[str, StackDescription]
    """By name."""

    def __call__(self, request: Request) -> Response:
        parameters = dict(parse_qsl(request.body.decode()))
        name = parameters.get("StackName")
        if name is not None and name not in self.stacks:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            return _xml(400, "ErrorResponse", Error=error)
        if parameters["Action"] == "ListStackResources":
            listed = [
                {
                    "LogicalResourceId": logical_id,
                    "ResourceType": kind,
                    "PhysicalResourceId": physical_id,
                }
                for logical_id, (kind, physical_id) in self.stacks[name or ""].resources.items()
            ]
            result = {"StackResourceSummaries": listed}
            return _xml(200, "ListStackResourcesResponse", ListStackResourcesResult=result)
        described = [_described(it, self.stacks[it]) for it in ([name] if name else self.stacks)]
        return _xml(200, "DescribeStacksResponse", DescribeStacksResult={"Stacks": described})


@contextmanager
def signed_in(stack: StackDescription) -> Iterator[dict[str, str]]:
    """Yield the environment of an operator whose account has only this stack."""
    with HttpServer(port=0, answer=CloudFormation({"delivery": stack})) as server:
        yield {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_CLOUDFORMATION": server.url,
        }


def _described(name: str, stack: StackDescription) -> Json:
    return {
        "StackName": name,
        "StackStatus": stack.status,
        "CreationTime": "2026-11-23T12:00:00Z",
        "Outputs": [
            {"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()
        ],
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in stack.parameters.items()
        ],
    }


def _xml(status: int, element: str, **content: Json) -> Response:
    root = Element(element, xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/")
    _fill(root, content)
    return Response(status=status, headers=[("Content-Type", "text/xml")], body=tostring(root))


def _fill(element: Element, content: Json) -> None:
    match content:
        case dict():
            for name, value in content.items():
                _fill(SubElement(element, name), value)
        case list():
            for value in content:
                _fill(SubElement(element, "member"), value)
        case _:
            element.text = content


def page(*messages: Json, next_token: str | None = None) -> Response:
    return reply(200, {"messages": list(messages), "next_token": next_token})


def write_endpoints(folder: Path, server: HttpServer) -> Path:
    """Write the file of a sandbox whose MessagesApi is this server, and whose AWS is down."""
    path = folder / ".sandbox" / "endpoints.json"
    path.parent.mkdir(exist_ok=True)
    endpoints = {
        "aws_endpoint_url": "http://127.0.0.1:9",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "region": "us-east-1",
        "stack_name": "delivery",
        "messages_api_url": f"{server.url}/api",
    }
    path.write_text(json.dumps(endpoints))
    return path


@contextmanager
def sandbox_in(folder: Path, api: ScriptedApi) -> Iterator[None]:
    """Work in a folder below that of a sandbox whose MessagesApi is the scripted one."""
    inner = folder / "deep" / "inside"
    inner.mkdir(parents=True)
    with HttpServer(port=0, answer=api) as server, chdir(inner):
        write_endpoints(folder, server)
        yield


def header(request: Request, name: str) -> str | None:
    return next((it for key, it in request.headers if key.lower() == name.lower()), None)
