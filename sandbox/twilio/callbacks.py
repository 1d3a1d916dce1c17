"""Status callbacks: what they say, how they are signed, and when one is tried again."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

from delivery.twilio.callback import signature
from sandbox.twilio.overrides import ConnectionOverrides, RetryPolicy
from sandbox.twilio.resource import API_VERSION, Message
from sandbox.twilio.stories import Step

_MOST_REDIRECTS = 10
_SHORTEST_LIMIT = 0.001
_FILTERED = 30007
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Failure(StrEnum):
    """How an attempt failed without a whole HTTP answer."""

    NO_NAME = "no_name"
    NO_CONNECTION = "no_connection"
    NO_TLS = "no_tls"
    ANOTHER_S_CERTIFICATE = "another_s_certificate"
    EXPIRED_CERTIFICATE = "expired_certificate"
    UNTRUSTED_CERTIFICATE = "untrusted_certificate"
    NO_ANSWER = "no_answer"
    """Nothing came in time, or the connection closed without a byte."""
    BROKEN_ANSWER = "broken_answer"
    """An answer began, and was none or did not end."""


_DEBUGGER_CODES = {
    Failure.NO_NAME: 11210,
    Failure.NO_CONNECTION: 11205,
    Failure.NO_TLS: 11220,
    Failure.ANOTHER_S_CERTIFICATE: 11235,
    Failure.EXPIRED_CERTIFICATE: 11236,
    Failure.UNTRUSTED_CERTIFICATE: 11237,
    Failure.NO_ANSWER: 11200,
    Failure.BROKEN_ANSWER: 11206,
}

_AFTER_CONNECTING = {Failure.NO_ANSWER: RetryPolicy.READ, Failure.BROKEN_ANSWER: None}
"""What retries these; a broken answer nothing does, because a part of it had come."""


class CallbackState(StrEnum):
    """How far a callback has got."""

    HELD = "held"
    DUE = "due"
    IN_FLIGHT = "in_flight"
    ANSWERED = "answered"
    FAILED = "failed"
    LOST = "lost"
    """Never sent: its story loses it."""

    @property
    def is_settled(self) -> bool:
        """Nothing more will happen to it."""
        return self in {CallbackState.ANSWERED, CallbackState.FAILED, CallbackState.LOST}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAttempt:
    """One request that the caller of the simulator performs; limits are in seconds.

    `read_timeout` limits the wait for each packet, `total_timeout` the attempt as a whole.
    """

    callback_id: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_timeout: float
    read_timeout: float
    total_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackResult:
    """What came of an attempt: an HTTP status, or a failure; `location` of a redirect."""

    status: int | None = None
    failure: Failure | None = None
    location: str | None = None

    @property
    def succeeded(self) -> bool:
        """Twilio was told that its news arrived."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 -- any 2xx

    @property
    def redirects(self) -> bool:
        """Twilio would go on to another URL."""
        return self.status in _REDIRECTS and bool(self.location)

    @property
    def debugger_code(self) -> int:
        """The entry that this failure leaves in Twilio's debugger."""
        return 11200 if self.failure is None else _DEBUGGER_CODES[self.failure]

    def is_retried_by(self, policy: frozenset[RetryPolicy]) -> bool:
        """Whether the connection overrides ask for another attempt after this one."""
        if self.failure is not None:
            return _AFTER_CONNECTING.get(self.failure, RetryPolicy.CONNECT) in policy
        status = self.status or 0
        kinds = {4: RetryPolicy.CLIENT_ERROR, 5: RetryPolicy.SERVER_ERROR}
        return kinds.get(status // 100) in policy


@dataclass(frozen=True, slots=True, kw_only=True)
class DebuggerEntry:
    """An error that Twilio's debugger shows to the account's owner."""

    at: datetime
    error_code: int
    account_sid: str
    message_sid: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAttempt:
    """A request that was made, and what came of it."""

    at: datetime
    method: str
    url: str
    result: CallbackResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """The news of one status on its way to the account's server, with its history.

    `url` is what is requested next; a redirect changes it, and makes the method GET.
    """

    callback_id: int
    message_sid: str
    account_sid: str
    url: str
    overrides: ConnectionOverrides
    parameters: tuple[tuple[str, str], ...]
    token: str
    state: CallbackState
    started: datetime | None = None
    redirects: int = 0
    attempts: tuple[PastAttempt, ...] = field(default=())

    def begun(self, now: datetime) -> Self:
        """In flight; its total time runs from the first attempt."""
        return replace(self, state=CallbackState.IN_FLIGHT, started=self.started or now)

    def attempt(self, auth_token: str, now: datetime) -> CallbackAttempt:
        """The request to make now, signed.

        Headers as in public captures; the fragment of the URL is neither sent nor signed.
        Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
        """
        form = () if self.redirects else self.parameters
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": signature(auth_token, self.url, form),
            "I-Twilio-Idempotency-Token": self.token,
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "X-Home-Region": "us1",
            "Connection": "close",
        }
        if self.redirects:
            del headers["Content-Type"]
        left = max(_SHORTEST_LIMIT, self.seconds_left(now))
        return CallbackAttempt(
            callback_id=self.callback_id,
            method=self._method,
            url=self.url,
            headers=headers,
            body=urlencode(form).encode(),
            connect_timeout=min(self.overrides.connect_timeout, left),
            read_timeout=min(self.overrides.read_timeout, left),
            total_timeout=left,
        )

    def seconds_left(self, now: datetime) -> float:
        """Of the total time, retries and redirects included."""
        limit = timedelta(seconds=self.overrides.total_timeout)
        return ((self.started or now) + limit - now).total_seconds()

    def answered(self, result: CallbackResult, now: datetime) -> Self:
        """What follows from an attempt's result: DUE again (at once), ANSWERED or FAILED.

        A redirect is followed by GET, which loses the parameters: whatever it ends with, the
        callback has failed (https://www.twilio.com/docs/usage/twilios-response).
        """
        past = PastAttempt(at=now, method=self._method, url=self.url, result=result)
        known = replace(self, attempts=(*self.attempts, past))
        in_time = self.seconds_left(now) > 0
        url = _redirect_target(self.url, result)
        if url and in_time and self.redirects < _MOST_REDIRECTS:
            return replace(known, state=CallbackState.DUE, url=url, redirects=self.redirects + 1)
        if self.redirects == 0 and result.succeeded:
            return replace(known, state=CallbackState.ANSWERED)
        retries_left = self.overrides.retries - len(self.attempts)
        retried = self.redirects == 0 and result.is_retried_by(self.overrides.policy)
        if retried and retries_left > 0 and in_time:
            return replace(known, state=CallbackState.DUE)
        return replace(known, state=CallbackState.FAILED)

    def debugger_entry(self, now: datetime) -> DebuggerEntry:
        """The entry of a callback that has failed for good."""
        result = self.attempts[-1].result
        lost_in_redirects = result.redirects and self.redirects == _MOST_REDIRECTS
        return DebuggerEntry(
            at=now,
            error_code=11215 if lost_in_redirects else result.debugger_code,
            account_sid=self.account_sid,
            message_sid=self.message_sid,
            url=self.url,
        )

    @property
    def _method(self) -> str:
        return "GET" if self.redirects else "POST"


def _redirect_target(url: str, result: CallbackResult) -> str | None:
    if not result.redirects:
        return None
    try:
        target = urljoin(url, result.location)
    except ValueError:
        return None
    return target if is_callback_url(target) else None


def callback_parameters(
    message: Message, step: Step, at: datetime, *, rich_channel: str | None
) -> tuple[tuple[str, str], ...]:
    """What Twilio sends about this status, in the order of public captures."""
    channel = message.channel or rich_channel
    is_channel_receipt = channel is not None and step.status in {"delivered", "read"}
    # An install id says nothing about the simulator's world, but it has to stay the same.
    install_sid = "XE" + message.account_sid.removeprefix("AC")
    is_installed = channel is not None and step.status != "read"
    channel_failed = channel is not None and step.error_code is not None
    pairs: tuple[tuple[str, str | None], ...] = (
        ("RawDlrDoneDate", f"{at:%y%m%d%H%M}" if _has_carrier_receipt(channel, step) else None),
        ("EventType", step.status.upper() if is_channel_receipt else None),
        ("ErrorCode", str(step.error_code) if step.error_code else None),
        ("SmsSid", message.sid),
        ("SmsStatus", step.status),
        ("MessageStatus", step.status),
        ("ChannelToAddress", message.to.rpartition(":")[2] if channel else None),
        ("To", message.to),
        ("ChannelPrefix", channel),
        ("ChannelInstallSid", install_sid if is_installed else None),
        ("ChannelStatusMessage", "Simulated channel failure" if channel_failed else None),
        ("MessagingServiceSid", message.messaging_service_sid),
        ("MessageSid", message.sid),
        ("AccountSid", message.account_sid),
        ("From", message.sender or ""),
        ("ApiVersion", API_VERSION),
        *step.parameters,
    )
    return tuple((name, value) for name, value in pairs if value is not None)


def _has_carrier_receipt(channel: str | None, step: Step) -> bool:
    """Whether the carrier said when; `failed` has it in captures where the carrier filtered."""
    decided = step.status in {"delivered", "undelivered"} or step.error_code == _FILTERED
    return channel is None and decided


def is_callback_url(url: str) -> bool:
    """Whether Twilio takes this as a StatusCallback: http(s), a host name without underscores."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    printable = url.isascii() and url.isprintable() and " " not in url
    return printable and parts.scheme in {"http", "https"} and bool(host) and "_" not in str(host)
