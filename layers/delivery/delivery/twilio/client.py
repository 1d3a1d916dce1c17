"""Calls Twilio's Messages API: create, cancel, redact, delete, fetch and list.

Creating a message is not idempotent at Twilio. A POST is retried only if Twilio provably did not
process it: after 429 (https://www.twilio.com/docs/api/errors/20429), and if no connection was made.
The class of an error says what the caller may do next:

    TwilioError
    ├── RequestRejected      Twilio declined it: do not retry
    ├── CredentialsRefused   nothing was sent: correct the credentials, then retry
    ├── Unavailable          nothing was sent: retry later
    │   └── Throttled        nothing was sent: retry later, and less often
    └── OutcomeUnknown       it may have been sent: resolve it first, never send it again blindly
"""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Self, override
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
)

from delivery.domain.messages import Source, StatusUpdate
from delivery.domain.statuses import MessageStatus
from delivery.runtime.deadline import TimeLeft
from delivery.twilio.credentials import ApiCredentials
from delivery.twilio.error_codes import can_answer_create
from delivery.twilio.error_detail import clean_error_detail

# urllib3 logs URLs in its warnings, and the URL of a list holds a recipient's number.
logging.getLogger("urllib3").setLevel(logging.ERROR)

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0
# The caller needs this time after Twilio's response, to record and report the result.
RESERVED_SECONDS: Final = 5.0
NEEDED_SECONDS: Final = CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS + RESERVED_SECONDS
"""A request starts only if more than this is left of the invocation."""

IDLE_SECONDS: Final = 5.0
"""A connection that was idle for longer may be closed by Twilio; a send on it would be in doubt."""

BACKOFF_SECONDS: Final = (0.1, 0.2, 0.4, 0.8)
"""The delay before each retry (exponential backoff), varied by `JITTER`."""
JITTER: Final = 0.1

PAGE_SIZE: Final = 1000
"""Messages on a page of the list: Twilio's maximum."""

PAGES_REPEAT: Final = "a page of Twilio's list leads back to an earlier one"

NOT_COMPLETE: Final = 20009
"""Twilio's error code for deleting a message that has no final status yet."""
ALREADY_FINAL: Final = 30409
"""Twilio's error code for canceling a message that has a final status."""

_VERSION: Final = "2010-04-01"
_AUTHENTICATION_FAILED: Final = 20003
_NO_TIME: Final = "too little time is left for a request to Twilio"


class TwilioError(Exception):
    """Twilio did not do what was requested, or it is unknown whether it did."""


class RequestRejected(TwilioError):
    """Twilio declined the request (4xx). Twilio's own text holds phone numbers and is left out."""

    def __init__(self, status: int, code: int | None) -> None:
        super().__init__(f"Twilio rejected the request with HTTP {status}, error code {code}")
        self.status = status
        self.code = code


class CredentialsRefused(TwilioError):
    """Nothing was sent: the token or key is unknown to Twilio or lacks permission."""


class Unavailable(TwilioError):
    """Nothing was sent: retry later, after `retry_after` seconds if Twilio named a time."""

    def __init__(self, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Throttled(Unavailable):
    """Twilio answered 429: more requests arrive than it allows."""


class OutcomeUnknown(TwilioError):
    """The request left, and Twilio's decision is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageResource:
    """A message as Twilio's API returns it; None for what it leaves out.

    Source: https://www.twilio.com/docs/messaging/api/message-resource
    """

    sid: str
    status: str
    account_sid: str | None = None
    to: str | None = field(default=None, repr=False)
    from_: str | None = field(default=None, repr=False)
    messaging_service_sid: str | None = None
    body: str | None = field(default=None, repr=False)
    num_segments: str | None = None
    price: str | None = None
    price_unit: str | None = None
    error_code: int | None = None
    error_message: str | None = field(default=None, repr=False)
    direction: str | None = None
    date_created: datetime | None = None

    @property
    def may_be_rejected_creation(self) -> bool:
        """Whether it may be a request that Twilio answered with HTTP 400, not a message.

        Twilio lists such requests as failed messages since 2024. A message that the table knows is
        not such a request: https://support.twilio.com/hc/en-us/articles/21923437804315
        """
        return (
            self.status == MessageStatus.FAILED
            and self.price is None
            and can_answer_create(self.error_code)
        )

    @classmethod
    def parse(cls, content: object) -> Self | None:
        """Parse the JSON of a response; None if it is not a message."""
        if not isinstance(content, dict):
            return None
        sid, status = _text(content, "sid"), _text(content, "status")
        if sid is None or status is None:
            return None
        return cls(
            sid=sid,
            status=status,
            account_sid=_text(content, "account_sid"),
            to=_text(content, "to"),
            from_=_text(content, "from"),
            messaging_service_sid=_text(content, "messaging_service_sid"),
            body=_text(content, "body"),
            num_segments=_text(content, "num_segments"),
            price=_text(content, "price"),
            price_unit=_text(content, "price_unit"),
            error_code=_code(content, "error_code"),
            error_message=_text(content, "error_message"),
            direction=_text(content, "direction"),
            date_created=_date(content, "date_created"),
        )

    def as_update(self, *, at: datetime, source: Source, with_body: bool) -> StatusUpdate:
        """Return the resource as an update of the message."""
        return StatusUpdate(
            message_sid=self.sid,
            status=self.status,
            at=at,
            source=source,
            error_code=self.error_code,
            error_detail=clean_error_detail(self.error_message),
            account_sid=self.account_sid,
            to=self.to,
            from_=self.from_,
            messaging_service_sid=self.messaging_service_sid,
            body=self.body if with_body else None,
            num_segments=self.num_segments,
            price=self.price,
            price_unit=self.price_unit,
            # The answer to a send arrives when the message is created, and Twilio omits fractions.
            created_at=None if source is Source.SEND else self.date_created,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """A page of the list; `next_path` leads to the next one, relative to the API's host."""

    messages: tuple[MessageResource, ...]
    next_path: str | None


class TwilioClient:
    """Twilio's Messages API over one session. Its methods raise the errors of the module's table.

    The session gets a transport for `base_url` that retries nothing by itself. `time_left` of a
    call returns the seconds that are left of the invocation.
    """

    def __init__(
        self,
        session: requests.Session,
        base_url: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._transport = _Transport()
        self._last_used_at = float("-inf")
        session.mount(f"{self._base_url}/", self._transport)

    def new_invocation(self) -> None:
        """Close old connections: a frozen process cannot see Twilio close them."""
        self._transport.close()

    def send(
        self,
        credentials: ApiCredentials,
        parameters: list[tuple[str, str]],
        *,
        time_left: TimeLeft,
    ) -> MessageResource:
        """Create a message from Twilio's parameters; one with several values is repeated."""
        return self._post(credentials, "Messages.json", parameters, time_left)

    def cancel(
        self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft
    ) -> MessageResource:
        """Cancel a scheduled message, and return it; also one that was canceled before.

        Raises:
            RequestRejected: with `ALREADY_FINAL`, the message has another final status; with status
                404, Twilio does not have it.
        """
        path = _path_of(message_sid)
        try:
            return self._post(credentials, path, [("Status", "canceled")], time_left)
        except RequestRejected as rejected:
            if rejected.code == ALREADY_FINAL:
                message = self.fetch(credentials, message_sid, time_left=time_left)
                if message.status == MessageStatus.CANCELED:
                    return message
            raise

    def redact(
        self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft
    ) -> MessageResource:
        """Remove a message's text at Twilio; repeating it is harmless."""
        return self._post(credentials, _path_of(message_sid), [("Body", "")], time_left)

    def delete(self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft) -> None:
        """Delete a message and its media at Twilio; one that does not exist counts as deleted.

        Raises:
            RequestRejected: with `NOT_COMPLETE`, the message has no final status yet.
        """
        url = self._url(credentials, _path_of(message_sid))

        def delete() -> None:
            try:
                self._request("DELETE", url, credentials)
            except RequestRejected as rejection:
                if rejection.status != HTTPStatus.NOT_FOUND:
                    raise

        # Deleting is idempotent, so it is also repeated if its outcome is unknown.
        self._retried(delete, (Unavailable, OutcomeUnknown), time_left)

    def fetch(
        self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft
    ) -> MessageResource:
        """Return the message as Twilio has it now.

        Raises:
            RequestRejected: with status 404, Twilio does not have the message.
            OutcomeUnknown: no response, or 5xx.
        """
        url = self._url(credentials, _path_of(message_sid))
        return _message(self._get(url, credentials, [], time_left))

    def list_messages(
        self,
        credentials: ApiCredentials,
        *,
        to: str | None = None,
        sent_on: date | None = None,
        page_size: int | None = None,
        time_left: TimeLeft,
    ) -> Iterator[tuple[MessageResource, ...]]:
        """Yield the account's messages page by page, each page requested when it is needed.

        The list lags by minutes, and with `sent_on` (a day in UTC) it may lack queued messages. The
        default page size is Twilio's maximum.

        Raises:
            OutcomeUnknown: no response, or a page leads back to an earlier one.
        """
        path = None
        paths = set[str]()
        while True:
            page = self.list_page(
                credentials,
                to=to,
                sent_on=sent_on,
                page_size=page_size,
                path=path,
                time_left=time_left,
            )
            yield page.messages
            path = page.next_path
            if path is None:
                return
            if path in paths:
                raise OutcomeUnknown(PAGES_REPEAT)
            paths.add(path)

    def list_page(  # noqa: PLR0913 -- the filters of the list
        self,
        credentials: ApiCredentials,
        *,
        to: str | None = None,
        sent_on: date | None = None,
        page_size: int | None = None,
        path: str | None = None,
        time_left: TimeLeft,
    ) -> MessagePage:
        """Return one page of `list_messages`: the first one, or that of an earlier `next_path`.

        Raises:
            OutcomeUnknown: no response, or the page does not say where this account's list
                continues.
            ValueError: `path` is not a page of this account's list.
        """
        first = f"/{_VERSION}/Accounts/{credentials.account_sid}/Messages.json"
        if path is not None and not path.startswith(f"{first}?"):
            raise ValueError("the path of a page must be one of this account's messages")
        filters = {"To": to, "DateSent": sent_on.isoformat() if sent_on else None}
        query = [(name, value) for name, value in filters.items() if value is not None]
        query.append(("PageSize", str(page_size or PAGE_SIZE)))
        # Twilio's documentation says to follow the path of the next page, not to build it.
        url = f"{self._base_url}{path or first}"
        page = _page(self._get(url, credentials, [] if path else query, time_left))
        resources = (MessageResource.parse(entry) for entry in page["messages"])
        following = page.get("next_page_uri") or None
        is_ours = isinstance(following, str) and following.startswith(f"{first}?")
        if following is not None and not is_ours:
            # The credentials go nowhere else, and without its other pages the list is not complete.
            raise OutcomeUnknown("the next page of Twilio's list is not one of this account's")
        return MessagePage(
            messages=tuple(resource for resource in resources if resource is not None),
            next_path=following,
        )

    def _get(
        self,
        url: str,
        credentials: ApiCredentials,
        query: list[tuple[str, str]],
        time_left: TimeLeft,
    ) -> object:
        """Return the JSON of a GET.

        It is retried once after `OutcomeUnknown`. It is not retried when Twilio throttles, so that
        reads give way to sends.
        """
        if time_left() <= NEEDED_SECONDS:
            raise Unavailable(_NO_TIME)
        try:
            return self._request("GET", url, credentials, query=query)
        except OutcomeUnknown:
            if time_left() <= NEEDED_SECONDS:
                raise
        return self._request("GET", url, credentials, query=query)

    def _post(
        self,
        credentials: ApiCredentials,
        path: str,
        parameters: list[tuple[str, str]],
        time_left: TimeLeft,
    ) -> MessageResource:
        """Send a POST, and retry it while Twilio provably did not process it."""
        url = self._url(credentials, path)

        def post() -> MessageResource:
            return _message(self._request("POST", url, credentials, form=parameters))

        return self._retried(post, (Unavailable,), time_left)

    def _retried[T](
        self, call: Callable[[], T], errors: tuple[type[TwilioError], ...], time_left: TimeLeft
    ) -> T:
        """Call, and retry after these errors with backoff, while enough time is left."""
        delays = iter(BACKOFF_SECONDS)
        while True:
            if time_left() <= NEEDED_SECONDS:
                raise Unavailable(_NO_TIME)
            try:
                return call()
            except errors as error:
                delay = next(delays, None)
                if delay is None:
                    raise
                pause = delay * self._jitter(1 - JITTER, 1 + JITTER)
                if isinstance(error, Unavailable):
                    pause = max(pause, error.retry_after or 0)
                if time_left() - pause <= NEEDED_SECONDS:
                    raise
            self._sleep(pause)

    def _url(self, credentials: ApiCredentials, path: str) -> str:
        return f"{self._base_url}/{_VERSION}/Accounts/{credentials.account_sid}/{path}"

    def _request(
        self,
        method: str,
        url: str,
        credentials: ApiCredentials,
        *,
        query: list[tuple[str, str]] | None = None,
        form: list[tuple[str, str]] | None = None,
    ) -> object:
        if self._clock() - self._last_used_at >= IDLE_SECONDS:
            self._transport.close()
        try:
            response = self._session.request(
                method,
                url,
                params=query,
                data=form,
                auth=(credentials.username, credentials.password),
                timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                # Following a redirect would repeat the POST elsewhere, or turn it into a GET.
                allow_redirects=False,
            )
        except (requests.RequestException, HTTPError) as error:
            if _never_connected(error):
                raise Unavailable("no connection to Twilio was made") from error
            name = type(error).__name__
            raise OutcomeUnknown(f"the request left and no response came: {name}") from error
        self._last_used_at = self._clock()
        return _read(response)


def _path_of(message_sid: str) -> str:
    return f"Messages/{quote(message_sid, safe='')}.json"


class _HTTPSConnection(HTTPSConnection):
    @override
    def connect(self) -> None:
        with _never_connected_errors(self):
            super().connect()


class _HTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOL_CLASSES: Final = {"http": HTTPConnectionPool, "https": _HTTPSConnectionPool}


class _Transport(HTTPAdapter):
    """A transport that retries nothing and recognizes a connection that was never made.

    urllib3 raises the same errors for a rejected certificate or a handshake timeout as for a
    connection that breaks after the request left. Only a failure before `connect` returns proves
    that nothing was sent, so that is where this transport distinguishes them.
    """

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOL_CLASSES

    @override
    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOL_CLASSES
        return manager


@contextmanager
def _never_connected_errors(connection: HTTPConnection) -> Iterator[None]:
    try:
        yield
    except ConnectTimeoutError:  # urllib3's error for it; NewConnectionError is a subclass
        raise
    except (OSError, HTTPError) as error:
        name = type(error).__name__
        raise NewConnectionError(connection, f"the handshake failed: {name}") from error


def _never_connected(error: Exception) -> bool:
    """Return whether the connection was never made, to Twilio or to the proxy on the way."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else None
    if isinstance(reason, ProxyError):
        reason = reason.original_error
    return isinstance(reason, ConnectTimeoutError)


def _read(response: requests.Response) -> object:
    """Return the JSON of the response, or raise the error that its status means for a send.

    Every uncertain case is `OutcomeUnknown`: 5xx; 408, which a proxy may return after it forwarded
    the request; a redirect, because a server answers a processed POST with 303.
    """
    content = _json(response)
    code = _code(content, "code") if isinstance(content, dict) else None
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled("Twilio answered HTTP 429", retry_after=_retry_after(response))
    if status == HTTPStatus.UNAUTHORIZED or code == _AUTHENTICATION_FAILED:
        raise CredentialsRefused(f"Twilio refused the credentials with HTTP {status}")
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return content
    if (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status != HTTPStatus.REQUEST_TIMEOUT
    ):
        raise RequestRejected(status, code)
    raise OutcomeUnknown(f"Twilio answered HTTP {status} without a message")


def _message(content: object) -> MessageResource:
    resource = MessageResource.parse(content)
    if resource is None:
        raise OutcomeUnknown("Twilio's response holds no message")
    return resource


def _page(content: object) -> dict[str, Any]:
    if not isinstance(content, dict) or not isinstance(content.get("messages"), list):
        raise OutcomeUnknown("Twilio's response holds no list")
    return content


def _json(response: requests.Response) -> object:
    """Return the response's JSON; None if it has none, as when a proxy answers."""
    try:
        content: object = response.json()
    except (ValueError, RecursionError):
        return None
    return content


def _retry_after(response: requests.Response) -> int | None:
    """Return Retry-After in whole seconds; other values are left to the backoff."""
    value = response.headers.get("retry-after", "")
    return int(value) if re.fullmatch(r"[0-9]{1,6}", value) else None


def _text(content: dict[str, Any], name: str) -> str | None:
    """Return a property as text; Twilio writes segments and prices as text. Blank is absent."""
    value = content.get(name)
    return str(value) if isinstance(value, str | int | float) and value != "" else None


def _code(content: dict[str, Any], name: str) -> int | None:
    value = content.get(name)
    return value if isinstance(value, int) and value is not True and value > 0 else None


def _date(content: dict[str, Any], name: str) -> datetime | None:
    """Parse a time in RFC 2822, e.g. Thu, 24 Aug 2023 05:01:45 +0000."""
    text = _text(content, name)
    try:
        date = parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC) if date else None
