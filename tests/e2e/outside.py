"""Programs outside the project: they know its contract and the endpoints file, and use AWS's and
Twilio's own libraries."""

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

type Json = Any

SENDER: Final = "+15005550006"
NEVER_ENDING: Final = ("+15555550105", "+15555550113")
"""Recipients of whose messages Twilio never learns the end."""
WITHIN_SECONDS: Final = 45  # what nobody confirms takes 20 of them


def a_body() -> str:
    """A text that no other message has."""
    return f"Hello {secrets.token_hex(8)}"


def a_key() -> str:
    return f"key-{secrets.token_hex(8)}"


def a_message_sid() -> str:
    return f"SM{secrets.token_hex(16)}"


class OutsideProgram:
    """Sends, signs callbacks as Twilio does, and reads back."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self.endpoints = endpoints
        self._table = self.client("dynamodb")
        self._queues = self.client("sqs")
        self._validator = RequestValidator(endpoints["twilio_auth_token"])
        self.never_ending: dict[str, str] = {}
        """By recipient, the SIDs of what was sent first."""

    def client(self, service: Any) -> Any:
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

    def send_what_never_ends(self) -> None:
        """Send it before all else: it is waited for long, which others may do meanwhile."""
        self.never_ending = {to: self.sent(to, reference=f"to {to}") for to in NEVER_ENDING}

    def sent(self, to: str, **more: Json) -> str:
        """Send, and return the SID of the message that Twilio accepted."""
        answer = self.send(to, **more)
        assert answer.status_code == 201, answer.text
        message_sid: str = answer.json()["message_sid"]
        return message_sid

    def request(self, request_id: str) -> Json:
        """What the API says of a request to send; None for one that it does not know."""
        url = f"{self.endpoints['messages_api_url']}/requests/{request_id}"
        answer = requests.get(url, timeout=35)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()

    def request_when(self, request_id: str, state: str) -> Json:
        """The request as soon as it is in that state."""

        def look() -> Json:
            request = self.request(request_id)
            return request if request and request["state"] == state else None

        return wait_for(look, timeout=WITHIN_SECONDS, what=f"{request_id} {state}")

    def cancel(self, message_sid: str) -> requests.Response:
        url = f"{self.endpoints['messages_api_url']}/messages/{message_sid}/cancel"
        return requests.post(url, timeout=35)

    def enqueue(self, document: Json) -> None:
        self._queues.send_message(
            QueueUrl=self.endpoints["send_queue_url"], MessageBody=json.dumps(document)
        )

    def send_queue_is_empty(self) -> bool:
        """Nothing waits there, and nobody works on anything of it."""
        counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        attributes = self._queues.get_queue_attributes(
            QueueUrl=self.endpoints["send_queue_url"], AttributeNames=counts
        )["Attributes"]
        return all(attributes[name] == "0" for name in counts)

    def call_back(
        self, message_sid: str, status: str, *, query: str = "", **more: str
    ) -> requests.Response:
        """A status callback, signed by Twilio's own library."""
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
        """What the API says; None for a message that it does not know."""
        url = f"{self.endpoints['messages_api_url']}/messages/{message_sid}"
        answer = requests.get(url, timeout=35)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()

    def asked(self, path: str, **query: str | int) -> Json:
        """What the API answers to a question."""
        url = f"{self.endpoints['messages_api_url']}/{path}"
        answer = requests.get(url, params=query, timeout=35)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def item(self, message_sid: str) -> Json:
        """What the table says."""
        found = self._table.get_item(
            TableName=self.endpoints["messages_table"],
            Key={"message_sid": {"S": message_sid}},
            ConsistentRead=True,
        )
        read = TypeDeserializer().deserialize
        return {name: read(value) for name, value in found.get("Item", {}).items()} or None

    def message_when(self, message_sid: str, holds: Callable[[Json], bool], what: str) -> Json:
        """The message as soon as something holds of it."""

        def look() -> Json:
            message = self.message(message_sid)
            return message if message and holds(message) else None

        return wait_for(look, timeout=WITHIN_SECONDS, what=f"{message_sid} {what}")

    def items_when(self, holds: Callable[[Json], bool], what: str) -> Json:
        """Every item of the table of which something holds, as soon as there is one."""
        read = TypeDeserializer().deserialize

        def look() -> list[Json]:
            page = self._table.scan(TableName=self.endpoints["messages_table"], ConsistentRead=True)
            items = [{n: read(v) for n, v in item.items()} for item in page["Items"]]
            return [item for item in items if holds(item)]

        return wait_for(look, timeout=WITHIN_SECONDS, what=what)

    def quiet(self, message_sid: str) -> Json:
        """The message when its story at Twilio is over and every callback is settled."""

        def settled() -> bool:
            callbacks = self.at_twilio(message_sid)["callbacks"]
            return all(it["state"] in {"answered", "failed", "lost"} for it in callbacks)

        wait_for(settled, timeout=WITHIN_SECONDS, what=f"The end of {message_sid}'s callbacks")
        return self.message(message_sid)

    def at_twilio(self, message_sid: str) -> Json:
        """Everything that the simulator knows of a message."""
        return self._simulator("GET", f"messages/{message_sid}")

    def all_at_twilio(self, body: str) -> Sequence[Json]:
        """Every message with this text."""
        return [message for message in self.everything_at_twilio() if message["body"] == body]

    def everything_at_twilio(self) -> Sequence[Json]:
        """Every message of the simulator with its callbacks."""
        messages: Sequence[Json] = self._simulator("GET", "messages")["messages"]
        return messages

    @contextmanager
    def twilios_list_lagging(self, seconds: float) -> Iterator[None]:
        """Meanwhile Twilio's list shows a message only so much later."""
        self.change_twilio(list_lag_seconds=seconds)
        try:
            yield
        finally:
            self.change_twilio(list_lag_seconds=0)

    def change_twilio(self, **settings: float) -> None:
        self._simulator("POST", "settings", settings)

    def take_notices(self) -> list[Json]:
        """The notices that wait in the queue, taken out of it."""
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
        answer = requests.request(method, url, json=content, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Inbox:
    """Every notice of the queue that was read so far, whoever waited for it."""

    def __init__(self, program: OutsideProgram) -> None:
        self._program = program
        self._notices: list[Json] = []

    def about(self, message_sid: str) -> list[Json]:
        """The notices about a message that have arrived until now."""
        return [notice for notice in self.all() if _subject_of(notice) == message_sid]

    def of_cause(self, error_code: str) -> list[Json]:
        """The notices about failures with this code, those of their counts among them."""
        return [it for it in self.all() if facts_of(it).get("error_code") == error_code]

    def wait_for(self, message_sid: str, *, count: int = 1) -> list[Json]:
        """The notices about a message, as soon as there are so many."""

        def look() -> list[Json] | None:
            notices = self.about(message_sid)
            return notices if len(notices) >= count else None

        return wait_for(look, timeout=WITHIN_SECONDS, what=f"{count} notices about {message_sid}")

    def all(self) -> list[Json]:
        """Every notice that has arrived until now."""
        self._notices += self._program.take_notices()
        return self._notices


def request_id_of(callback_url: str) -> str:
    """The request_id that the sender put on its callback URL."""
    return parse_qs(callback_url.partition("?")[2])["request_id"][0]


def facts_of(notice: Json) -> Json:
    """Every fact of a notice by its name."""
    return notice["content"]["metadata"]["additionalContext"]


def _subject_of(notice: Json) -> Json:
    return facts_of(notice).get("message_sid")
