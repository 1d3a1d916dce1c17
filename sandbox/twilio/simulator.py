"""The simulator without a clock, a thread or a socket.

Its owner passes in the time and performs the callbacks: `server.py` in real time, a simulation in
virtual time. The same calls with the same times and the same `ids` give the same results.

    response = simulator.handle(request, now)
    while (due := simulator.next_due()) is not None:
        for attempt in simulator.run_due(due):
            simulator.record_attempt(attempt, perform(attempt), due)
"""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime

from sandbox.http_server import Request, Response
from sandbox.twilio.accounts import Account, Accounts
from sandbox.twilio.admin_api import PREFIX, AdminApi
from sandbox.twilio.callbacks import Callback, CallbackAttempt, CallbackResult, DebuggerEntry
from sandbox.twilio.engine import Engine
from sandbox.twilio.resource import Message
from sandbox.twilio.rest import RestApi
from sandbox.twilio.settings import Settings
from sandbox.twilio.webhook_rules import WebhookRules
from sandbox.twilio.webhooks_api import PREFIX as WEBHOOKS_PREFIX
from sandbox.twilio.webhooks_api import WebhooksApi


class TwilioSimulator:
    """Twilio's Messages API for some accounts; `now` is always an aware time in UTC."""

    def __init__(
        self, accounts: Iterable[Account], *, ids: random.Random, settings: Settings | None = None
    ) -> None:
        self._accounts = Accounts(accounts)
        self._engine = Engine(self._accounts, ids, settings or Settings())
        self._rest = RestApi(self._accounts, self._engine, ids)
        self._webhooks_api = WebhooksApi(self._accounts, ids)
        self._admin_api = AdminApi(self._accounts, self._engine)

    def handle(self, request: Request, now: datetime) -> Response | None:
        """Answer a request to one of Twilio's APIs or to the admin API.

        Returns:
            The response; a `HeldResponse` may leave only once `is_finished` is true for its
            callback. None: the connection is to be closed without a response.
        """
        if request.path == "/":
            return Response(status=302, headers=[("Location", PREFIX)])
        if request.path.startswith(PREFIX):
            return self._admin_api.handle(request)
        if request.path.startswith(WEBHOOKS_PREFIX):
            return self._webhooks_api.handle(request, now)
        return self._rest.handle(request, now)

    def next_due(self) -> datetime | None:
        """Return when `run_due` has something to do next; None while nothing is due."""
        return self._engine.next_due()

    def run_due(self, now: datetime) -> list[CallbackAttempt]:
        """Advance the messages whose next status is due, and return the callbacks to send."""
        return self._engine.run_due(now)

    def record_attempt(
        self, attempt: CallbackAttempt, result: CallbackResult, now: datetime
    ) -> None:
        """Record the result of an attempt; a retry is due at once."""
        self._engine.record_attempt(attempt, result, now)

    def is_finished(self, callback_id: int) -> bool:
        """Whether this callback was answered, has failed for good or is lost."""
        return self._engine.callbacks[callback_id].state.is_finished

    @property
    def settings(self) -> Settings:
        """How this Twilio behaves now."""
        return self._engine.settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._engine.settings = settings

    @property
    def debugger(self) -> Sequence[DebuggerEntry]:
        """The errors that Twilio's debugger shows, oldest first."""
        return self._engine.debugger

    def messages(self) -> list[Message]:
        """Every message of every account, oldest first."""
        return self._engine.messages()

    def callbacks(self, message_sid: str) -> list[Callback]:
        """The callbacks of a message, lost ones included, in the order of its statuses."""
        return [c for c in self._engine.callbacks.values() if c.message_sid == message_sid]

    def rotate_auth_token(self, account_sid: str, auth_token: str) -> None:
        """Replace an account's auth token; its API keys stay as they are."""
        self._accounts.rotate(account_sid, auth_token)

    def webhook_rules(self, account_sid: str) -> WebhookRules:
        """The account's webhook rules, with their settings and shared keys."""
        return self._accounts.webhook_rules(account_sid)
