"""The only module that calls Twilio: sends a message, cancels it, looks at it, lists many.

A POST of a message is not idempotent at Twilio, so everything here turns on one question: may it
have been sent? Only what provably was not is tried again: 429, of which Twilio says that it never
processed the request (https://www.twilio.com/docs/api/errors/20429), and a connection that was
never made. Errors say what the caller may do next:

    TwilioError
    ├── RequestRejected              Twilio said no: do not try again
    ├── CredentialsRefused   nothing was sent: put the credentials right first
    ├── Unavailable          nothing was sent: try again later
    │   └── Throttled        the same, and not so often
    └── OutcomeUnknown       it may have been sent: find out, never just send again
"""

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
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError

from delivery.domain.messages import Source, StatusUpdate
from delivery.runtime.deadline import TimeLeft
from delivery.twilio.credentials import ApiCredentials

CONNECT_TIMEOUT_SECONDS: Final = 3.0
READ_TIMEOUT_SECONDS: Final = 10.0
# What the caller needs after Twilio's answer, to store and to tell what came of it.
RESERVED_SECONDS: Final = 5.0
NEEDED_SECONDS: Final = CONNECT_TIMEOUT_SECONDS + READ_TIMEOUT_SECONDS + RESERVED_SECONDS
"""A request starts only if the invocation has more than this left."""

IDLE_SECONDS: Final = 5.0
"""A connection unused for longer may be dead at the other end, and a send on it ambiguous."""

DELAYS_SECONDS: Final = (0.1, 0.2, 0.4, 0.8)
"""What is waited, give or take a tenth, before each further try."""
JITTER: Final = 0.1

PAGE_SIZE: Final = 1000
"""Messages on a page of the list: the most that Twilio gives."""

NOT_COMPLETE: Final = 20009
"""Twilio's code for a message that is not over yet, and so cannot be deleted."""

_VERSION: Final = "2010-04-01"
_AUTHENTICATION_FAILED: Final = 20003
_NO_TIME: Final = "too little time is left to ask Twilio"


class TwilioError(Exception):
    """Twilio did not do what was asked, or it is not known whether it did."""


class RequestRejected(TwilioError):
    """Twilio will not do it, whenever it is asked. Its own text holds numbers and stays out."""

    def __init__(self, status: int, code: int | None) -> None:
        super().__init__(f"Twilio refused with HTTP {status}, error code {code}")
        self.status = status
        self.code = code


class CredentialsRefused(TwilioError):
    """Nothing was sent: Twilio does not know the token or the key, or lets it do nothing."""


class Unavailable(TwilioError):
    """Nothing was sent: try again later, after `retry_after` seconds if Twilio named a time."""

    def __init__(self, reason: str, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Throttled(Unavailable):
    """Twilio is asked more often than it allows."""


class OutcomeUnknown(TwilioError):
    """The request left, and what became of it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageResource:
    """What Twilio's API says about a message; None where it says nothing.

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
    direction: str | None = None
    date_created: datetime | None = None

    @classmethod
    def parse(cls, content: object) -> Self | None:
        """Read an answer's JSON; None where it is not a message."""
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
            direction=_text(content, "direction"),
            date_created=_date(content, "date_created"),
        )

    def as_update(self, *, at: datetime, source: Source, with_body: bool) -> StatusUpdate:
        """What it says, as something learned about the message."""
        return StatusUpdate(
            message_sid=self.sid,
            status=self.status,
            at=at,
            source=source,
            error_code=self.error_code,
            account_sid=self.account_sid,
            to=self.to,
            from_=self.from_,
            messaging_service_sid=self.messaging_service_sid,
            body=self.body if with_body else None,
            num_segments=self.num_segments,
            price=self.price,
            price_unit=self.price_unit,
        )


class TwilioClient:
    """Twilio's Messages API over one session.

    Args:
        session: it gets a transport of ours for `base_url`, which retries nothing by itself.
        base_url: https://api.twilio.com, or another region's, or the simulator's.
        clock: seconds that only go forward.
        sleep, jitter: `time.sleep` and `random.uniform`.
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
        """Forget the connections of an earlier invocation: a frozen process cannot see them die."""
        self._transport.close()

    def send(
        self,
        credentials: ApiCredentials,
        parameters: list[tuple[str, str]],
        *,
        time_left: TimeLeft,
    ) -> MessageResource:
        """Create a message from Twilio's own parameters; lists repeat their name.

        `time_left` tells the seconds that remain of the invocation.

        Raises:
            TwilioError: as drawn above.
        """
        return self._post(credentials, "Messages.json", parameters, time_left)

    def cancel(
        self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft
    ) -> MessageResource:
        """Cancel a scheduled message; asking twice is harmless.

        Raises:
            TwilioError: as drawn above; 404 is `RequestRejected`.
        """
        path = f"Messages/{quote(message_sid, safe='')}.json"
        return self._post(credentials, path, [("Status", "canceled")], time_left)

    def redact(
        self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft
    ) -> MessageResource:
        """Remove a message's text at Twilio; doing so again is harmless.

        Raises:
            TwilioError: as drawn above; 404 is `RequestRejected`.
        """
        path = f"Messages/{quote(message_sid, safe='')}.json"
        return self._post(credentials, path, [("Body", "")], time_left)

    def delete(self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft) -> None:
        """Delete a message at Twilio, with its media; one that is not there counts as deleted.

        Raises:
            TwilioError: as above. `RequestRejected` with `NOT_COMPLETE`: Twilio still works on it.
        """
        url = self._url(credentials, f"Messages/{quote(message_sid, safe='')}.json")
        delays = iter(DELAYS_SECONDS)
        while True:
            if time_left() <= NEEDED_SECONDS:
                raise Unavailable(_NO_TIME)
            try:
                self._ask_once("DELETE", url, credentials)
            except RequestRejected as refused:
                if refused.status != HTTPStatus.NOT_FOUND:
                    raise
            except (Unavailable, OutcomeUnknown):  # to delete again what may be deleted is harmless
                delay = next(delays, None)
                if delay is None:
                    raise
                self._sleep(delay * self._jitter(1 - JITTER, 1 + JITTER))
                continue
            return

    def fetch(
        self, credentials: ApiCredentials, message_sid: str, *, time_left: TimeLeft
    ) -> MessageResource:
        """The message as Twilio has it now.

        Raises:
            TwilioError: as drawn above; 404 is `RequestRejected`, no answer `OutcomeUnknown`.
        """
        url = self._url(credentials, f"Messages/{quote(message_sid, safe='')}.json")
        return _message(self._look(url, credentials, [], time_left))

    def list_messages(
        self,
        credentials: ApiCredentials,
        *,
        to: str | None = None,
        sent_on: date | None = None,
        page_size: int | None = None,
        time_left: TimeLeft,
    ) -> Iterator[tuple[MessageResource, ...]]:
        """The account's messages, page by page: each page is asked for when it is wanted.

        The list lags behind what was sent by minutes, and with `sent_on` (a day in UTC) it need not
        show what is still queued. A page has as many as Twilio allows unless `page_size` is said.

        Raises:
            TwilioError: as drawn above; no answer is `OutcomeUnknown`.
        """
        url = self._url(credentials, "Messages.json")
        filters = {"To": to, "DateSent": sent_on.isoformat() if sent_on else None}
        query = [(name, value) for name, value in filters.items() if value is not None]
        query.append(("PageSize", str(page_size or PAGE_SIZE)))
        while True:
            page = _page(self._look(url, credentials, query, time_left))
            resources = (MessageResource.parse(entry) for entry in page["messages"])
            yield tuple(resource for resource in resources if resource is not None)
            next_page = page.get("next_page_uri")
            if not isinstance(next_page, str) or not next_page.startswith("/"):
                return
            # Relative to the API's host: Twilio wants it followed, not built.
            url, query = f"{self._base_url}{next_page}", []

    def _look(
        self,
        url: str,
        credentials: ApiCredentials,
        query: list[tuple[str, str]],
        time_left: TimeLeft,
    ) -> object:
        """The JSON of a GET.

        Nobody waits for it, so it gives way where Twilio throttles; only a question that got no
        answer is asked once more.
        """
        if time_left() <= NEEDED_SECONDS:
            raise Unavailable(_NO_TIME)
        try:
            return self._ask_once("GET", url, credentials, query=query)
        except OutcomeUnknown:
            if time_left() <= NEEDED_SECONDS:
                raise
        return self._ask_once("GET", url, credentials, query=query)

    def _post(
        self,
        credentials: ApiCredentials,
        path: str,
        parameters: list[tuple[str, str]],
        time_left: TimeLeft,
    ) -> MessageResource:
        """Ask until Twilio takes the request, as long as it provably did not."""
        url = self._url(credentials, path)
        delays = iter(DELAYS_SECONDS)
        while True:
            if time_left() <= NEEDED_SECONDS:
                raise Unavailable(_NO_TIME)
            try:
                return _message(self._ask_once("POST", url, credentials, form=parameters))
            except Unavailable as unavailable:
                delay = next(delays, None)
                if delay is None:
                    raise
                pause = delay * self._jitter(1 - JITTER, 1 + JITTER)
                pause = max(pause, unavailable.retry_after or 0)
                if time_left() - pause <= NEEDED_SECONDS:
                    raise
            self._sleep(pause)

    def _url(self, credentials: ApiCredentials, path: str) -> str:
        return f"{self._base_url}/{_VERSION}/Accounts/{credentials.account_sid}/{path}"

    def _ask_once(
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
                # A redirect would repeat the request elsewhere, or turn it into a GET.
                allow_redirects=False,
            )
        except (requests.RequestException, HTTPError) as error:
            if _never_connected(error):
                raise Unavailable("no connection to Twilio could be made") from error
            name = type(error).__name__
            raise OutcomeUnknown(f"the request left and no answer came: {name}") from error
        self._last_used_at = self._clock()
        return _read(response)


class _HTTPSConnection(HTTPSConnection):
    @override
    def connect(self) -> None:
        with _nothing_left(self):
            super().connect()


class _HTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Transport(HTTPAdapter):
    """Retries nothing (requests' default), and knows a connection that was never made.

    urllib3 reports a certificate that is refused, or a handshake that times out, with the same
    errors as a connection that breaks when the request has left. What fails before `connect`
    returns is told apart here, where it is certain.
    """

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": HTTPConnectionPool,
            "https": _HTTPSConnectionPool,
        }


@contextmanager
def _nothing_left(connection: HTTPConnection) -> Iterator[None]:
    try:
        yield
    except ConnectTimeoutError:  # urllib3's own word for it, as is NewConnectionError below it
        raise
    except (OSError, HTTPError) as error:
        name = type(error).__name__
        raise NewConnectionError(connection, f"the handshake failed: {name}") from error


def _never_connected(error: Exception) -> bool:
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, ConnectTimeoutError)


def _read(response: requests.Response) -> object:
    """The answer's JSON, or the error that says what the answer means for a request that sends.

    Whatever is not certain counts as unknown: 5xx; 408, which a proxy may give after it has passed
    the request on; a redirect, since 303 is how a server answers a POST that it has processed.
    """
    content = _json(response)
    code = _code(content, "code") if isinstance(content, dict) else None
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise Throttled("Twilio throttles us", retry_after=_retry_after(response))
    if status == HTTPStatus.UNAUTHORIZED or code == _AUTHENTICATION_FAILED:
        raise CredentialsRefused(f"Twilio refused our credentials with HTTP {status}")
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return content
    if (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status != HTTPStatus.REQUEST_TIMEOUT
    ):
        raise RequestRejected(status, code)
    raise OutcomeUnknown(f"Twilio answered HTTP {status} and no message")


def _message(content: object) -> MessageResource:
    resource = MessageResource.parse(content)
    if resource is None:
        raise OutcomeUnknown("Twilio's answer shows no message")
    return resource


def _page(content: object) -> dict[str, Any]:
    if not isinstance(content, dict) or not isinstance(content.get("messages"), list):
        raise OutcomeUnknown("Twilio's answer shows no list")
    return content


def _json(response: requests.Response) -> object:
    """The answer's JSON; None where it has none, as when a proxy answers in Twilio's place."""
    try:
        content: object = response.json()
    except (ValueError, RecursionError):
        return None
    return content


def _retry_after(response: requests.Response) -> int | None:
    """Whole seconds, the one form that an API gives; the other, a date, is left to our back-off."""
    value = response.headers.get("retry-after", "")
    return int(value) if re.fullmatch(r"[0-9]{1,6}", value) else None


def _text(content: dict[str, Any], name: str) -> str | None:
    """Twilio's numbers of segments and prices are text; blank is as good as absent."""
    value = content.get(name)
    return str(value) if isinstance(value, str | int | float) and value != "" else None


def _code(content: dict[str, Any], name: str) -> int | None:
    value = content.get(name)
    return value if isinstance(value, int) and value is not True and value > 0 else None


def _date(content: dict[str, Any], name: str) -> datetime | None:
    """RFC 2822 in GMT, e.g. Thu, 24 Aug 2023 05:01:45 +0000."""
    text = _text(content, name)
    try:
        date = parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC) if date else None
