"""API Gateway: a request becomes an event, the function's answer becomes a response."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from simulation.deployment import FunctionResource, resolved
from simulation.faults import Faults, Mishap
from simulation.lambda_service import Lambda
from simulation.virtual_time import Ended, Loop

_LONGEST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What a client sends; `api` is the API's logical id."""

    api: str
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What the client gets; the function's own answers are told from the gateway's."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    by_function: bool = False


type Respond = Callable[[HttpResponse | None], object]
"""None: the connection broke."""


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
        self,
        functions: Mapping[str, FunctionResource],
        *,
        service: Lambda,
        loop: Loop,
        faults: Faults,
    ) -> None:
        self._lambda = service
        self._loop = loop
        self._faults = faults
        self._routes = [
            _Route(
                api=resolved(trigger.properties["ApiId"]),
                method=trigger.properties["Method"],
                path=trigger.properties["Path"],
                timeout=trigger.properties.get("TimeoutInMillis", _LONGEST_SECONDS * 1000) / 1000,
                function=function,
            )
            for function in functions.values()
            for trigger in function.triggers
            if trigger.kind == "HttpApi"
        ]

    def request(self, request: HttpRequest, respond: Respond) -> None:
        """Hand a request to its function, and answer in time whatever becomes of it."""
        loop, faults, where = self._loop, self._faults, request.api
        if faults.happens(Mishap.REQUEST_LOST, where, loop.seconds, share=0.5):
            loop.after(faults.uniform(0.01, 3), lambda: respond(None))
            return
        for mishap, status in ((Mishap.GATEWAY_ERROR, 503), (Mishap.THROTTLED, 429)):
            if faults.happens(mishap, where, loop.seconds, share=0.3):
                refusal = partial(respond, HttpResponse(status=status))
                loop.after(faults.uniform(0.01, 0.5), refusal)
                return
        route, parameters = self._route(request)
        answered: list[HttpResponse | None] = []

        def answer(response: HttpResponse | None) -> None:
            if not answered:
                answered.append(response)
                respond(response)

        def ended(result: Ended) -> None:
            lost = faults.happens(Mishap.ANSWER_LOST, where, loop.seconds, share=0.5)
            answer(None if lost else _response(result))

        loop.after(route.timeout, lambda: answer(HttpResponse(status=503)))
        self._lambda.invoke(route.function, _event(request, route, parameters), ended)

    def _route(self, request: HttpRequest) -> tuple[_Route, dict[str, str]]:
        for route in self._routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            match = re.fullmatch(pattern, request.path)
            same_api = route.api.lower() == request.api.lower()  # a host name has no case
            if match and same_api and route.method == request.method:
                return route, match.groupdict()
        raise LookupError(f"{request.api} has no {request.method} {request.path}")


def _event(request: HttpRequest, route: _Route, parameters: Mapping[str, str]) -> dict[str, Any]:
    """As of payload format 2.0; every body arrives in base64."""
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


def _response(result: Ended) -> HttpResponse:
    if result.error is not None or result.died:
        return HttpResponse(status=500)
    return HttpResponse(
        status=result.value["statusCode"],
        body=result.value.get("body", ""),
        headers=result.value.get("headers", {}),
        by_function=True,
    )
