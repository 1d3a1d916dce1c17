"""Creates the routes of HTTP APIs, which MiniStack does not import from OpenAPI bodies."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client

_MAX_TIMEOUT_MS: Final = 30_000  # of an HTTP API, and its default
_ALIAS: Final = re.compile(r"functions/\$\{(\w+)\}/invocations")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of an HTTP API and the alias of its function, by their logical ids."""

    api: str
    key: str
    """API Gateway's route key, e.g. `POST /messages`."""
    alias: str
    payload_format: str
    timeout_ms: int


def find_routes(template: Mapping[str, Any]) -> list[Route]:
    """Find all routes of a template that SAM has transformed.

    Raises:
        SandboxError: a route's target is not an alias of the template.
    """
    return [
        route
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::ApiGatewayV2::Api"
        for route in _routes_of_api(logical_id, resource.get("Properties", {}).get("Body", {}))
    ]


def create_routes(
    client: "ApiGatewayV2Client",
    routes: list[Route],
    *,
    resources: Mapping[str, str],
) -> None:
    """Create the routes without authorization, in APIs that have no routes.

    Args:
        client: the client of `apigatewayv2`.
        routes: the routes to create.
        resources: physical ids by logical id; that of an alias is its ARN.
    """
    for route in routes:
        api_id = resources[route.api]
        integration = client.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=resources[route.alias],
            PayloadFormatVersion=route.payload_format,
            TimeoutInMillis=route.timeout_ms,
        )
        client.create_route(
            ApiId=api_id,
            RouteKey=route.key,
            Target=f"integrations/{integration['IntegrationId']}",
            AuthorizationType="NONE",
        )


def _routes_of_api(api: str, body: Mapping[str, Any]) -> Iterator[Route]:
    for path, operations in body.get("paths", {}).items():
        for method, operation in operations.items():
            integration = operation["x-amazon-apigateway-integration"]
            yield Route(
                api=api,
                key=f"{method.upper()} {path}",
                alias=_alias(integration.get("uri"), at=f"{api} {path}"),
                payload_format=integration["payloadFormatVersion"],
                timeout_ms=integration.get("timeoutInMillis", _MAX_TIMEOUT_MS),
            )


def _alias(uri: Any, *, at: str) -> str:
    found = _ALIAS.search(uri["Fn::Sub"]) if isinstance(uri, dict) and "Fn::Sub" in uri else None
    if found is None:
        raise SandboxError(f"Route {at}: expected an alias as its target, got {uri}")
    return found[1]
