"""Status callbacks: their parameters, their signature, and when one is retried."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from urllib.parse import urlencode, urlsplit

from delivery.twilio.signature import Algorithm, signature
from sandbox.twilio.overrides import ConnectionOverrides, RetryPolicy
from sandbox.twilio.resource import API_VERSION, Message
from sandbox.twilio.scenarios import Step
from sandbox.twilio.webhook_rules import Signing

_MIN_TIMEOUT = 0.001
_FILTERED_BY_CARRIER = 30007


class Failure(StrEnum):
    """Why an attempt got no complete HTTP response."""

    NAME_NOT_RESOLVED = "name_not_resolved"
    CONNECTION_FAILED = "connection_failed"
    TLS_FAILED = "tls_failed"
    CERTIFICATE_NAME_MISMATCH = "certificate_name_mismatch"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    NO_RESPONSE = "no_response"
    """No byte came in time, or the connection closed before one."""
    BROKEN_RESPONSE = "broken_response"
    """The response was not HTTP, or did not end."""


_DEBUGGER_CODES = {
    Failure.NAME_NOT_RESOLVED: 11210,
    Failure.CONNECTION_FAILED: 11205,
    Failure.TLS_FAILED: 11220,
    Failure.CERTIFICATE_NAME_MISMATCH: 11235,
    Failure.CERTIFICATE_EXPIRED: 11236,
    Failure.CERTIFICATE_UNTRUSTED: 11237,
    Failure.NO_RESPONSE: 11200,
    Failure.BROKEN_RESPONSE: 11206,
}

_AFTER_CONNECTING = {Failure.NO_RESPONSE: RetryPolicy.READ, Failure.BROKEN_RESPONSE: None}
"""The policy that retries these failures; nothing retries a broken response."""


class CallbackState(StrEnum):
    """The state of a callback."""

    HELD = "held"
    DUE = "due"
    IN_FLIGHT = "in_flight"
    ANSWERED = "answered"
    FAILED = "failed"
    LOST = "lost"
    """Never sent, because the scenario loses it."""

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self in {CallbackState.ANSWERED, CallbackState.FAILED, CallbackState.LOST}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackAttempt:
    """A request that the simulator's owner sends; timeouts are in seconds.

    `read_timeout` limits the wait for each packet, `total_timeout` the attempt as a whole.
    """

    callback_id: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_timeout: float
    read_timeout: float
    total_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackResult:
    """The result of an attempt: an HTTP status, or a failure."""

    status: int | None = None
    failure: Failure | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the receiver acknowledged the callback."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 -- any 2xx

    @property
    def debugger_code(self) -> int:
        """The error code of this failure in Twilio's debugger."""
        return 11200 if self.failure is None else _DEBUGGER_CODES[self.failure]

    def is_retried_by(self, policy: frozenset[RetryPolicy]) -> bool:
        """Whether this retry policy covers the result."""
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
class AttemptRecord:
    """A request that was sent, and its result."""

    at: datetime
    result: CallbackResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """The report of one status to the account's server, with the attempts to deliver it.

    `signing` is the shared key of the webhook rule that applies; None: the auth token signs.
    """

    callback_id: int
    message_sid: str
    account_sid: str
    url: str
    overrides: ConnectionOverrides
    parameters: tuple[tuple[str, str], ...]
    token: str
    state: CallbackState
    signing: Signing | None = None
    started: datetime | None = None
    attempts: tuple[AttemptRecord, ...] = field(default=())

    def in_flight(self, now: datetime) -> Self:
        """Return the callback as in flight; its total time runs from the first attempt."""
        return replace(self, state=CallbackState.IN_FLIGHT, started=self.started or now)

    def attempt(self, key: str, now: datetime) -> CallbackAttempt:
        """Return the request to send now, signed with a key: that of `signing`, or an auth token.

        Headers as in public captures; the fragment of the URL is neither sent nor signed.
        Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security
        """
        algorithm = self.signing.algorithm if self.signing else Algorithm.HMAC_SHA1
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": signature(key, self.url, self.parameters, algorithm),
            "I-Twilio-Idempotency-Token": self.token,
            "User-Agent": "TwilioProxy/1.1",
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "X-Home-Region": "us1",
            "Connection": "close",
        }
        if self.signing:
            headers["X-Twilio-Webhooks-Signature-Settings"] = self.signing.header
        left = max(_MIN_TIMEOUT, self.seconds_left(now))
        return CallbackAttempt(
            callback_id=self.callback_id,
            url=self.url,
            headers=headers,
            body=urlencode(self.parameters).encode(),
            connect_timeout=min(self.overrides.connect_timeout, left),
            read_timeout=min(self.overrides.read_timeout, left),
            total_timeout=left,
        )

    def seconds_left(self, now: datetime) -> float:
        """Return what is left of the total time, which covers retries."""
        limit = timedelta(seconds=self.overrides.total_timeout)
        return ((self.started or now) + limit - now).total_seconds()

    def with_result(self, result: CallbackResult, now: datetime) -> Self:
        """Return the callback after an attempt: DUE again (at once), ANSWERED or FAILED.

        A redirect fails at once. Twilio follows it with a GET request without parameters, so the
        status is lost too (https://www.twilio.com/docs/usage/twilios-response).
        """
        after = replace(self, attempts=(*self.attempts, AttemptRecord(at=now, result=result)))
        if result.succeeded:
            return replace(after, state=CallbackState.ANSWERED)
        has_retries = self.overrides.retries > len(self.attempts) and self.seconds_left(now) > 0
        if has_retries and result.is_retried_by(self.overrides.policy):
            return replace(after, state=CallbackState.DUE)
        return replace(after, state=CallbackState.FAILED)

    def debugger_entry(self, now: datetime) -> DebuggerEntry:
        """Return the debugger entry of a callback that has failed for good."""
        return DebuggerEntry(
            at=now,
            error_code=self.attempts[-1].result.debugger_code,
            account_sid=self.account_sid,
            message_sid=self.message_sid,
            url=self.url,
        )


def callback_parameters(
    message: Message, step: Step, at: datetime, *, rich_channel: str | None
) -> tuple[tuple[str, str], ...]:
    """Return the parameters that report a status, in the order of public captures."""
    channel = message.channel or rich_channel
    is_channel_receipt = channel is not None and step.status in {"delivered", "read"}
    # The simulator has no channel installs; an account's id only has to stay the same.
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
    """Whether the carrier reported a time; captures show one with `failed` only for a filter."""
    decided = step.status in {"delivered", "undelivered"} or step.error_code == _FILTERED_BY_CARRIER
    return channel is None and decided


def is_callback_url(url: str) -> bool:
    """Whether Twilio accepts this StatusCallback: http(s), a host name without underscores."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    printable = url.isascii() and url.isprintable() and " " not in url
    return printable and parts.scheme in {"http", "https"} and bool(host) and "_" not in str(host)
