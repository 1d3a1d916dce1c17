"""What `sam local` needs to run the functions against this sandbox: `.sandbox/sam-local.json`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.http_server import LOOPBACK

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

type Variables = dict[str, dict[str, str]]
"""By the function's logical id, as `sam local --env-vars` reads them."""

# By which a container knows the machine it runs on, where Docker Desktop or
# `--add-host host.docker.internal:host-gateway` says so.
_THIS_MACHINE: Final = "host.docker.internal"
# What a function itself connects to; other URLs are for others, or signed.
_CONNECTED_TO: Final = frozenset({"AWS_ENDPOINT_URL", "TWILIO_API_BASE_URL"})


def variables_of(
    functions: "LambdaClient", resources: Mapping[str, str], *, aws_endpoint_url: str
) -> Variables:
    """The environment of every deployed function as it is in a container, and where its AWS is.

    Args:
        functions: Lambda.
        resources: physical ids by logical id, of all resources.
        aws_endpoint_url: what the AWS SDK is to ask instead of AWS.
    """
    logical_ids = {name: logical_id for logical_id, name in resources.items()}
    pages = functions.get_paginator("list_functions").paginate()
    return {
        logical_ids[function["FunctionName"]]: _in_a_container(
            {
                **function.get("Environment", {}).get("Variables", {}),
                "AWS_ENDPOINT_URL": aws_endpoint_url,
            }
        )
        for page in pages
        for function in page["Functions"]
        if function["FunctionName"] in logical_ids
    }


def _in_a_container(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value.replace(LOOPBACK, _THIS_MACHINE) if name in _CONNECTED_TO else value
        for name, value in variables.items()
    }


@contextmanager
def written(path: Path, variables: Variables) -> Iterator[None]:
    """The file, there for as long as it is true."""
    path.write_text(json.dumps(variables, indent=2) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
