"""A client outside the project: it knows only the contract and the endpoints file, and uses the
libraries of AWS and Twilio."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import boto3
import requests
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from twilio.request_validator import RequestValidator

from sandbox.polling import wait_for
from tests.support.command_line import CommandResult

type Json = Any

type Delivery = Callable[..., CommandResult]
"""Runs a command of the command line against the sandbox."""

SENDER: Final = "+15005550006"
NEVER_FINAL: Final = ("+15555550105", "+15555550113")
"""Recipients whose messages never get a final status from Twilio."""
TIMEOUT_SECONDS: Final = 45  # of these, 20 until a message is unconfirmed


def a_body() -> str:
    """A unique text."""
    return f"Hello {secrets.token_hex(8)}"


def a_key() -> str:
    return f"key-{secrets.token_hex(8)}"


def a_message_sid() -> str:
    return f"SM{secrets.token_hex(16)}"


class ExternalClient:
    """Sends messages, posts callbacks signed as by Twilio, and reads messages."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self.endpoints = endpoints
        self._table = self.aws("dynamodb")
        self._queues = self.aws("sqs")
        self._validator = RequestValidator(endpoints["twilio_auth_token"])
        self.never_final: dict[str, str] = {}
        """The SIDs of `send_never_final`, by recipient."""

    def aws(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoints["aws_endpoint_url"],
            aws_access_key_id=self.endpoints["aws_access_key_id"],
            aws_secret_access_key=self.endpoints["aws_secret_access_key"],
            region_name=self.endpoints["region"],
            config=Config(proxies={}),
        )

    def send(self, to: str, *, key: str | None = None, **more: Json) -> requests.Response:
        document = {"to": to, "from": SENDER, "body": a_body(), **more}
        return requests.post(
            f"{self.endpoints['messages_api_url']}/messages",
            json=document,
            headers={"Idempotency-Key": key} if key else {},
            timeout=35,
        )

    def send_never_final(self) -> None:
        """Send the messages that become unconfirmed: first, so that other tests run meanwhile."""
        self.never_final = {to: self.send_accepted(to, reference=f"to {to}") for to in NEVER_FINAL}

    def send_accepted(self, to: str, **more: Json) -> str:
        """Send a message that Twilio accepts, and return its SID."""
        response = self.send(to, **more)
        assert response.status_code == 201, response.text
        message_sid: str = response.json()["message_sid"]
        return message_sid

    def request(self, request_id: str) -> Json:
        """Get a send request; None if it is not found."""
        url = f"{self.endpoints['messages_api_url']}/requests/{request_id}"
        response = requests.get(url, timeout=35)
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        return response.json()

    def wait_for_request_state(self, request_id: str, state: str) -> Json:
        """Wait until the request is in a state, and return it."""

        def poll() -> Json:
            request = self.request(request_id)
            return request if request and request["state"] == state else None

        return wait_for(poll, timeout=TIMEOUT_SECONDS, what=f"{request_id} {state}")

    def cancel(self, message_sid: str) -> requests.Response:
        url = f"{self.endpoints['messages_api_url']}/messages/{message_sid}/cancel"
        return requests.post(url, timeout=35)

    def enqueue(self, document: Json) -> None:
        self._queues.send_message(
            QueueUrl=self.endpoints["send_queue_url"], MessageBody=json.dumps(document)
        )

    def send_queue_is_empty(self) -> bool:
        """Whether the queue has no messages, also none in flight."""
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        attributes = self._queues.get_queue_attributes(
            QueueUrl=self.endpoints["send_queue_url"], AttributeNames=counts
        )["Attributes"]
        return all(attributes[name] == "0" for name in counts)

    def post_callback(
        self, message_sid: str, status: str, *, query: str = "", **more: str
    ) -> requests.Response:
        """Post a status callback, signed by Twilio's library."""
        url = self.endpoints["status_callback_url"] + query
        parameters = self.parameters(message_sid, status, **more)
        return self.post(url, parameters, self._validator.compute_signature(url, parameters))

    def parameters(self, message_sid: str, status: str, **more: str) -> dict[str, str]:
        return {
            "MessageSid": message_sid,
            "MessageStatus": status,
            "AccountSid": self.endpoints["twilio_account_sid"],
            "To": "+15551234567",
            "From": SENDER,
            **more,
        }

    def post(
        self, url: str, parameters: Mapping[str, str], signature: str | None
    ) -> requests.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
        if signature is not None:
            headers["X-Twilio-Signature"] = signature
        return requests.post(url, data=urlencode(parameters), headers=headers, timeout=35)

    def message(self, message_sid: str) -> Json:
        """Get a message; None if it is not found."""
        url = f"{self.endpoints['messages_api_url']}/messages/{message_sid}"
        response = requests.get(url, timeout=35)
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        return response.json()

    def get(self, path: str, **query: str | int) -> Json:
        """Send a GET request to the messages API, and return the JSON of its response."""
        url = f"{self.endpoints['messages_api_url']}/{path}"
        response = requests.get(url, params=query, timeout=35)
        assert response.status_code == 200, response.text
        return response.json()

    def item(self, message_sid: str) -> Json:
        """Read an item of MessagesTable."""
        found = self._table.get_item(
            TableName=self.endpoints["messages_table"],
            Key={"message_sid": {"S": message_sid}},
            ConsistentRead=True,
        )
        read = TypeDeserializer().deserialize
        return {name: read(value) for name, value in found.get("Item", {}).items()} or None

    def wait_for_message(
        self, message_sid: str, condition: Callable[[Json], bool], what: str
    ) -> Json:
        """Wait until a condition is true for the message, and return it."""

        def poll() -> Json:
            message = self.message(message_sid)
            return message if message and condition(message) else None

        return wait_for(poll, timeout=TIMEOUT_SECONDS, what=f"{message_sid} {what}")

    def wait_for_items(self, condition: Callable[[Json], bool], what: str) -> Json:
        """Wait until a condition is true for any item of MessagesTable, and return these items."""
        read = TypeDeserializer().deserialize

        def poll() -> list[Json]:
            page = self._table.scan(TableName=self.endpoints["messages_table"], ConsistentRead=True)
            items = [{n: read(v) for n, v in item.items()} for item in page["Items"]]
            return [item for item in items if condition(item)]

        return wait_for(poll, timeout=TIMEOUT_SECONDS, what=what)

    def wait_for_callbacks(self, message_sid: str) -> Json:
        """Wait until no callback of a message is under way, and return the message."""

        def is_done() -> bool:
            callbacks = self.simulator_message(message_sid)["callbacks"]
            return all(it["state"] in {"answered", "failed", "lost"} for it in callbacks)

        wait_for(is_done, timeout=TIMEOUT_SECONDS, what=f"The last callback of {message_sid}")
        return self.message(message_sid)

    def simulator_message(self, message_sid: str) -> Json:
        """Get a message with its callbacks from the simulator."""
        return self._simulator("GET", f"messages/{message_sid}")

    def sent_with_body(self, body: str) -> Sequence[Json]:
        """Get all messages with this text from the simulator."""
        return [message for message in self.simulator_messages() if message["body"] == body]

    def simulator_messages(self) -> Sequence[Json]:
        """Get all messages with their callbacks from the simulator."""
        messages: Sequence[Json] = self._simulator("GET", "messages")["messages"]
        return messages

    @contextmanager
    def list_lag(self, seconds: float) -> Iterator[None]:
        """Delay new messages in Twilio's list while the context lasts."""
        self.configure_twilio(list_lag_seconds=seconds)
        try:
            yield
        finally:
            self.configure_twilio(list_lag_seconds=0)

    def configure_twilio(self, **settings: float) -> None:
        self._simulator("POST", "settings", settings)

    def receive_notices(self) -> list[Json]:
        """Receive and delete up to ten notices of the queue."""
        url = self.endpoints["notices_queue_url"]
        received = self._queues.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in received.get("Messages", []):
            self._queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [
            {
                "content": json.loads(message["Body"]),
                "attributes": {
                    name: value["StringValue"]
                    for name, value in message.get("MessageAttributes", {}).items()
                },
            }
            for message in received.get("Messages", [])
        ]

    def _simulator(self, method: str, page: str, content: Json = None) -> Json:
        url = f"{self.endpoints['twilio_api_base_url']}/_simulator/{page}"
        response = requests.request(method, url, json=content, timeout=10)
        assert response.status_code == 200, response.text
        return response.json()


class Inbox:
    """All notices that were received from the queue, for all tests."""

    def __init__(self, client: ExternalClient) -> None:
        self._client = client
        self._notices: list[Json] = []

    def about(self, message_sid: str) -> list[Json]:
        """Return the notices about a message."""
        return [notice for notice in self.all() if _subject_of(notice) == message_sid]

    def with_error_code(self, error_code: str) -> list[Json]:
        """Return the notices about failures with this code, summaries included."""
        return [it for it in self.all() if facts_of(it).get("error_code") == error_code]

    def wait_for(self, message_sid: str, *, count: int = 1) -> list[Json]:
        """Wait for a number of notices about a message, and return them."""

        def poll() -> list[Json] | None:
            notices = self.about(message_sid)
            return notices if len(notices) >= count else None

        return wait_for(poll, timeout=TIMEOUT_SECONDS, what=f"{count} notices about {message_sid}")

    def all(self) -> list[Json]:
        """Receive the latest notices, and return all."""
        while notices := self._client.receive_notices():
            self._notices += notices
        return self._notices


def request_id_of(callback_url: str) -> str:
    """Return the request_id in a callback URL."""
    return parse_qs(callback_url.partition("?")[2])["request_id"][0]


def facts_of(notice: Json) -> Json:
    """Return the fields of a notice."""
    return notice["content"]["metadata"]["additionalContext"]


def _subject_of(notice: Json) -> Json:
    return facts_of(notice).get("message_sid")
