"""The stack's own HTTP API, as a program outside uses it."""

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
from delivery_cli.http_session import cause_of

if TYPE_CHECKING:
    from botocore.credentials import Credentials

type Json = dict[str, Any]
"""What the API answers; its shapes are the stack's contract."""

_TIMEOUT_SECONDS: Final = (5, 35)  # an HTTP API answers within 30
_SIGNED: Final = ("Content-Type", "Idempotency-Key")
"""Of the headers that a proxy may change none is signed."""
_PAGE: Final = 100
# Only questions: whether a request to send is asked again is for its caller to decide.
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
        signed = AWSRequest(
            method=request.method,
            url=request.url,
            data=request.body,
            headers={name: request.headers[name] for name in _SIGNED if name in request.headers},
        )
        SigV4Auth(self._credentials, "execute-api", self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    content: Json

    @property
    def detail(self) -> str:
        """What an error answer says in words, with every problem that it lists."""
        problems = [f"{it['field']} {it['problem']}" for it in self.content.get("problems", [])]
        if problems:
            return "; ".join(problems)
        said = self.content.get("detail") or self.content.get("message") or ""
        return str(said) or f"HTTP {self.status}"

    @property
    def is_the_functions(self) -> bool:
        """Whether a function answered, and not API Gateway because the function did not."""
        return "message" not in self.content


class MessagesApi:
    """Questions and orders to one stack.

    Args:
        session: with what signs its requests, where the API asks for signatures.
        base_url: the output `MessagesApiUrl`.
    """

    def __init__(self, session: requests.Session, base_url: str) -> None:
        self._session = session
        self.base_url = base_url.rstrip("/")
        session.mount(f"{self.base_url}/", HTTPAdapter(max_retries=_RETRIES))

    def message(self, message_sid: str) -> Json | None:
        """The message as it is now; None where it is not known."""
        return self._known(f"/messages/{quote(message_sid, safe='')}")

    def request(self, request_id: str) -> Json | None:
        """Where a request to send stands; None where it is not known."""
        return self._known(f"/requests/{quote(request_id, safe='')}")

    def summary(self, day: str) -> Json:
        """What happened on a day (YYYY-MM-DD, in UTC)."""
        return _good(self._ask("GET", "/summary", query={"date": day}))

    def messages(self, **query: str) -> Iterator[Json]:
        """Every message of a list, page by page: each page is asked for when it is wanted."""
        token: dict[str, str] = {}
        while True:
            asked = {**query, "limit": str(_PAGE), **token}
            page = _good(self._ask("GET", "/messages", query=asked))
            yield from page["messages"]
            if not page.get("next_token"):
                return
            token = {"next_token": page["next_token"]}

    def send(self, document: Json, *, key: str) -> Answer:
        """Ask for a message; with the same key again it is never sent twice.

        Raises:
            NoAnswer: it may have been sent.
        """
        return self._ask("POST", "/messages", document, headers={"Idempotency-Key": key})

    def send_batch(self, documents: Sequence[Json]) -> Answer:
        """Ask for up to 1,000 messages; each has to have an idempotency key.

        Raises:
            NoAnswer: they may wait to be sent, or not.
        """
        return self._ask("POST", "/messages/batch", {"messages": list(documents)})

    def cancel(self, message_sid: str) -> Answer:
        """Cancel a scheduled message; doing so again is harmless."""
        return self._ask("POST", f"/messages/{quote(message_sid, safe='')}/cancel")

    def _known(self, path: str) -> Json | None:
        answer = self._ask("GET", path)
        return None if answer.status == HTTPStatus.NOT_FOUND else _good(answer)

    def _ask(
        self,
        method: str,
        path: str,
        document: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        host = urlsplit(self.base_url).netloc
        # A space as %20: what is signed must not be read in two ways.
        asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
        try:
            response = self._session.request(
                method,
                f"{self.base_url}{path}{asked}",
                json=document,
                headers=dict(headers or {}),
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise NoAnswer(
                f"{host} gave no answer ({cause_of(error)}).",
                "Is this machine online, and is the stack (or the sandbox) still there?",
            ) from error
        return _answer_of(response, host)


def _answer_of(response: requests.Response, host: str) -> Answer:
    """What the API said.

    Raises:
        CommandError: something else said it, or the API has or allows no such thing.
    """
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise CommandError(
            f"{host} answered HTTP {response.status_code} without JSON: it is no MessagesApi, or "
            "something stands between.",
            "Compare it with the stack's output MessagesApiUrl.",
        )
    if response.status_code == HTTPStatus.FORBIDDEN:
        raise _forbidden(host, content)
    if response.status_code == HTTPStatus.NOT_FOUND and "message" in content:
        raise StackTooOld("The stack does not have this route")
    return Answer(status=response.status_code, content=content)


def _good(answer: Answer) -> Json:
    """The content of an answer without error.

    Raises:
        CommandError: it is one.
    """
    if answer.status == HTTPStatus.OK:
        return answer.content
    fix = "Try again in a minute; `delivery doctor` looks for the cause."
    refused = answer.status == HTTPStatus.BAD_REQUEST
    raise CommandError(f"The stack answered: {answer.detail}", "" if refused else fix)


def _forbidden(host: str, content: Json) -> CommandError:
    """API Gateway says little about the cause, so all of them are named."""
    said = content.get("message") or content.get("Message") or "Forbidden"
    known = re.match(r"(\w+)\.execute-api\.([\w-]+)\.", host)
    api = f"arn:aws:execute-api:{known[2]}:*:{known[1]}/*" if known else "it"
    return CommandError(
        f"{host} refuses these AWS credentials: {said}.",
        f"They need execute-api:Invoke on {api}, and must be of the stack's account and not "
        "expired; this machine's clock must be right.",
    )
