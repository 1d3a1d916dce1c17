"""Writes `.sandbox/sam-local.json`, with which `sam local` runs functions in this sandbox."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.http_server import HOST_IN_CONTAINERS, LOOPBACK

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

type Environments = dict[str, dict[str, str]]
"""Environment variables by the function's logical id, in the format of `sam local --env-vars`."""

# URLs to which functions connect. Other URLs are signed, or for other programs.
_CONNECTED_TO: Final = frozenset({"AWS_ENDPOINT_URL", "TWILIO_API_BASE_URL"})


def function_environments(
    functions: "LambdaClient", resources: Mapping[str, str], *, aws_endpoint_url: str
) -> Environments:
    """Return the environment of every deployed function, with URLs that work in a container.

    Args:
        functions: the client of Lambda.
        resources: physical ids of all resources by logical id.
        aws_endpoint_url: the endpoint for the AWS SDK.
    """
    logical_ids = {name: logical_id for logical_id, name in resources.items()}
    pages = functions.get_paginator("list_functions").paginate()
    return {
        logical_ids[function["FunctionName"]]: _in_container(
            {
                **function.get("Environment", {}).get("Variables", {}),
                "AWS_ENDPOINT_URL": aws_endpoint_url,
            }
        )
        for page in pages
        for function in page["Functions"]
        if function["FunctionName"] in logical_ids
    }


def _in_container(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value.replace(LOOPBACK, HOST_IN_CONTAINERS) if name in _CONNECTED_TO else value
        for name, value in variables.items()
    }


@contextmanager
def environments_file(path: Path, environments: Environments) -> Iterator[None]:
    """Write the file, and remove it at the end."""
    path.write_text(json.dumps(environments, indent=2) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
