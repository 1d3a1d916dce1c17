"""API Gateway: a request becomes an event, the function's result becomes a response."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from simulation.deployment import FunctionResource, resolved
from simulation.engine import Engine
from simulation.faults import TransportFault
from simulation.lambda_service import LambdaService
from simulation.virtual_time import TaskResult

_DEFAULT_TIMEOUT_MILLIS: Final = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A client's request; `api` is the API's logical id."""

    api: str
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """The response that the client gets, from the function or from the gateway itself."""

    status: int
    body: str = ""
    by_function: bool = False


type Respond = Callable[[HttpResponse | None], object]
"""Takes the response, or None where the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    api: str
    method: str
    path: str
    timeout: float
    function: FunctionResource


class Gateway:
    """The HTTP APIs of the template."""

    def __init__(
        self, functions: Iterable[FunctionResource], *, service: LambdaService, engine: Engine
    ) -> None:
        self._service = service
        self._engine = engine
        self._routes = [
            _Route(
                api=resolved(trigger.properties["ApiId"]),
                method=trigger.properties["Method"],
                path=trigger.properties["Path"],
                timeout=trigger.properties.get("TimeoutInMillis", _DEFAULT_TIMEOUT_MILLIS) / 1000,
                function=function,
            )
            for function in functions
            for trigger in function.triggers
            if trigger.kind == "HttpApi"
        ]

    def request(self, request: HttpRequest, respond: Respond) -> None:
        """Invoke the function of a request, and respond within the route's timeout."""
        loop, faults, where = self._engine.loop, self._engine.faults, request.api
        if faults.occurs(TransportFault.REQUEST_LOST, where, share=0.5):
            loop.after(faults.uniform(0.01, 3), lambda: respond(None))
            return
        for fault, status in (
            (TransportFault.GATEWAY_ERROR, 503),
            (TransportFault.THROTTLED, 429),
        ):
            if faults.occurs(fault, where, share=0.3):
                error = partial(respond, HttpResponse(status=status))
                loop.after(faults.uniform(0.01, 0.5), error)
                return
        route, parameters = self._route(request)
        responses: list[HttpResponse | None] = []

        def answer(response: HttpResponse | None) -> None:
            if not responses:
                responses.append(response)
                respond(response)

        def ended(result: TaskResult) -> None:
            lost = faults.occurs(TransportFault.RESPONSE_LOST, where, share=0.5)
            answer(None if lost else _response(result))

        loop.after(route.timeout, lambda: answer(HttpResponse(status=503)))
        self._service.invoke(route.function, _event(request, route, parameters), ended)

    def _route(self, request: HttpRequest) -> tuple[_Route, dict[str, str]]:
        for route in self._routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            match = re.fullmatch(pattern, request.path)
            same_api = route.api.lower() == request.api.lower()  # host names ignore the case
            if match and same_api and route.method == request.method:
                return route, match.groupdict()
        raise LookupError(f"{request.api} has no {request.method} {request.path}")


def _event(request: HttpRequest, route: _Route, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return an event of payload format 2.0; the body is always base64."""
    return {
        "version": "2.0",
        "routeKey": f"{route.method} {route.path}",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {
            "domainName": f"{route.api}.execute-api.us-east-1.amazonaws.com",
            "http": {"method": request.method, "path": request.path},
            "stage": "$default",
        },
        **({"pathParameters": dict(parameters)} if parameters else {}),
        "isBase64Encoded": True,
        "body": base64.b64encode(request.body).decode(),
    }


def _response(result: TaskResult) -> HttpResponse:
    if result.error is not None or result.killed:
        return HttpResponse(status=500)
    return HttpResponse(
        status=result.value["statusCode"],
        body=result.value.get("body", ""),
        by_function=True,
    )
