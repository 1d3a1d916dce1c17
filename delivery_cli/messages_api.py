"""Client of the stack's HTTP API (MessagesApi)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, override
from urllib.parse import quote, urlencode, urlsplit

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util import Retry

from delivery_cli.errors import CommandError, NoAnswer, StackTooOld
from delivery_cli.http_session import describe_failure

if TYPE_CHECKING:
    from botocore.credentials import Credentials

type Json = dict[str, Any]
"""A JSON object; docs/api.md describes those of the API."""

_TIMEOUT_SECONDS: Final = (5, 35)  # an HTTP API answers within 30
_SIGNED_HEADERS: Final = ("Content-Type", "Idempotency-Key")
"""Headers that a proxy may change are not signed."""
_PAGE_SIZE: Final = 100
# Only GET: the caller decides whether a send request is repeated.
_RETRIES: Final = Retry(
    total=3,
    backoff_factor=0.3,
    status_forcelist={429, 500, 502, 503, 504},
    allowed_methods={"GET"},
    respect_retry_after_header=False,
    raise_on_status=False,
)


class SignedWithAws(AuthBase):
    """Signs each request with the operator's AWS credentials (Signature Version 4).

    Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html
    """

    def __init__(self, credentials: "Credentials", region: str) -> None:
        self._credentials = credentials
        self._region = region

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        headers = request.headers
        signed = AWSRequest(
            method=request.method,
            url=request.url,
            data=request.body,
            headers={name: headers[name] for name in _SIGNED_HEADERS if name in headers},
        )
        SigV4Auth(self._credentials, "execute-api", self._region).add_auth(signed)
        headers.update(dict(signed.headers.items()))
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """Status code and JSON content of a response."""

    status: int
    content: Json

    @property
    def detail(self) -> str:
        """The error as text: every listed problem, else the detail."""
        if problems := describe_problems(self.content):
            return "; ".join(problems)
        detail = self.content.get("detail") or self.content.get("message") or ""
        return str(detail) or f"HTTP {self.status}"

    @property
    def is_from_function(self) -> bool:
        """Whether the function answered; if not, API Gateway did in its place."""
        return "message" not in self.content


class MessagesApi:
    """Calls the API of one stack.

    Args:
        session: signs the requests, where the API requires it.
        base_url: the stack's output `MessagesApiUrl`.
    """

    def __init__(self, session: requests.Session, base_url: str) -> None:
        self._session = session
        self.base_url = base_url.rstrip("/")
        session.mount(f"{self.base_url}/", HTTPAdapter(max_retries=_RETRIES))

    def message(self, message_sid: str) -> Json | None:
        """Return the message, or None if the stack does not know it."""
        return self._find(f"/messages/{quote(message_sid, safe='')}")

    def request(self, request_id: str) -> Json | None:
        """Return the send request, or None if the stack does not know it."""
        return self._find(f"/requests/{quote(request_id, safe='')}")

    def summary(self, day: str) -> Json:
        """Return the summary of a day (YYYY-MM-DD, UTC)."""
        return _content_of(self._call("GET", "/summary", query={"date": day}))

    def audits(self, day: str) -> Json:
        """Return the results of the audits of a day (YYYY-MM-DD, UTC)."""
        return _content_of(self._call("GET", "/audits", query={"on": day}))

    def messages(self, **query: str) -> Iterator[Json]:
        """Yield the messages of a list; each page is requested when it is needed."""
        token: dict[str, str] = {}
        while True:
            parameters = {**query, "limit": str(_PAGE_SIZE), **token}
            page = _content_of(self._call("GET", "/messages", query=parameters))
            yield from page["messages"]
            if not page.get("next_token"):
                return
            token = {"next_token": page["next_token"]}

    def send(self, document: Json, *, key: str) -> ApiResponse:
        """Send a message; repeated with the same idempotency key, it is sent once.

        Raises:
            NoAnswer: it may have been sent.
        """
        return self._call("POST", "/messages", document, headers={"Idempotency-Key": key})

    def send_batch(self, documents: Sequence[Json]) -> ApiResponse:
        """Queue up to 1,000 messages, each with an idempotency key.

        Raises:
            NoAnswer: they may have been queued.
        """
        return self._call("POST", "/messages/batch", {"messages": list(documents)})

    def cancel(self, message_sid: str) -> ApiResponse:
        """Cancel a scheduled message; repeating it is harmless."""
        return self._call("POST", f"/messages/{quote(message_sid, safe='')}/cancel")

    def _find(self, path: str) -> Json | None:
        response = self._call("GET", path)
        return None if response.status == HTTPStatus.NOT_FOUND else _content_of(response)

    def _call(
        self,
        method: str,
        path: str,
        document: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        host = urlsplit(self.base_url).netloc
        # A space as %20, not +: the signature depends on the encoding.
        parameters = f"?{urlencode(query, quote_via=quote)}" if query else ""
        try:
            response = self._session.request(
                method,
                f"{self.base_url}{path}{parameters}",
                json=document,
                headers=dict(headers or {}),
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise NoAnswer(
                f"No answer from {host} ({describe_failure(error)}).",
                "Check the network connection, and that the stack (or the sandbox) still exists.",
            ) from error
        return _parse(response, host)


def describe_problems(content: Json) -> list[str]:
    """Return the problems that the API lists for one request, each with its field."""
    return [f"{it['field']} {it['problem']}" for it in content.get("problems", [])]


def _parse(response: requests.Response, host: str) -> ApiResponse:
    """Return the response of the API.

    Raises:
        CommandError: it is not from this API, or the API denied access or lacks the route.
    """
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise CommandError(
            f"Unexpected response from {host}: HTTP {response.status_code} without JSON. It is "
            "not a MessagesApi, or a proxy answered.",
            "Compare the host with the stack's output MessagesApiUrl.",
        )
    if response.status_code == HTTPStatus.FORBIDDEN:
        raise _access_denied(host, content)
    if response.status_code == HTTPStatus.NOT_FOUND and "message" in content:
        raise StackTooOld("The stack does not have this route")
    return ApiResponse(status=response.status_code, content=content)


def _content_of(response: ApiResponse) -> Json:
    """Return the content of a successful response.

    Raises:
        CommandError: the API reported an error.
    """
    if response.status == HTTPStatus.OK:
        return response.content
    is_invalid = response.status == HTTPStatus.BAD_REQUEST
    fix = "" if is_invalid else "Retry in a minute. `delivery doctor` looks for the cause."
    raise CommandError(f"The stack reported an error: {response.detail}", fix)


def _access_denied(host: str, content: Json) -> CommandError:
    """API Gateway does not say why, so the error lists every cause."""
    reason = content.get("message") or content.get("Message") or "Forbidden"
    parts = re.match(r"(\w+)\.execute-api\.([\w-]+)\.", host)
    api = f"arn:aws:execute-api:{parts[2]}:*:{parts[1]}/*" if parts else "the API"
    return CommandError(
        f"Access denied by {host}: {reason}.",
        f"The AWS credentials need execute-api:Invoke on {api}, must belong to the stack's account "
        "and must not be expired. The clock of this machine must be right.",
    )
