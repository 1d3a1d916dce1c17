"""The Message resource, and the documents that show it in JSON and XML."""

import json
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from xml.etree import ElementTree as ET

from delivery.twilio.error_codes import explain

API_VERSION = "2010-04-01"

type Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The state of a message at Twilio; times are aware and in UTC."""

    sid: str
    account_sid: str
    to: str
    sender: str | None
    messaging_service_sid: str | None
    body: str
    status: str
    created: datetime
    updated: datetime
    num_segments: int
    num_media: int = 0
    send_at: datetime | None = None
    sent: datetime | None = None
    price: str | None = None
    error_code: int | None = None
    status_callback: str | None = None

    @property
    def uri(self) -> str:
        """The path of the message, without a format."""
        return f"/{API_VERSION}/Accounts/{self.account_sid}/Messages/{self.sid}"

    @property
    def channel(self) -> str | None:
        """`whatsapp`, `rcs`, ...; None for SMS and MMS."""
        return self.to.partition(":")[0] if ":" in self.to else None


def message_document(message: Message) -> Document:
    """Return the document of a message.

    Source: https://www.twilio.com/docs/messaging/api/message-resource#message-properties
    """
    return {
        "sid": message.sid,
        "date_created": _rfc_2822(message.created),
        "date_updated": _rfc_2822(message.updated),
        "date_sent": _rfc_2822(message.sent),
        "account_sid": message.account_sid,
        "to": message.to,
        "from": message.sender,
        "messaging_service_sid": message.messaging_service_sid,
        "body": message.body,
        "status": message.status,
        "num_segments": str(message.num_segments),
        "num_media": str(message.num_media),
        "direction": "outbound-api",
        "api_version": API_VERSION,
        "price": message.price,
        "price_unit": "USD",
        "error_code": message.error_code,
        "error_message": _error_message(message.error_code),
        "uri": message.uri + ".json",
        "subresource_uris": {
            "media": message.uri + "/Media.json",
            "feedback": message.uri + "/Feedback.json",
        },
    }


def as_json(document: Document) -> bytes:
    """Serialize a document as JSON."""
    return json.dumps(document).encode()


def as_xml(element: str, document: Document) -> bytes:
    """Serialize a document as XML: one element of this name inside TwilioResponse.

    The rows of a page become child elements, and its other properties attributes.
    """
    root = ET.Element("TwilioResponse")
    top = ET.SubElement(root, element)
    if "messages" not in document:
        _fill(top, document)
    else:
        for name, value in document.items():
            if name != "messages":
                top.set(name.replace("_", ""), _text(value))
        for row in document["messages"]:
            _fill(ET.SubElement(top, "Message"), row)
    xml: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return xml


def _fill(parent: ET.Element, document: Document) -> None:
    for name, value in document.items():
        child = ET.SubElement(parent, name.title().replace("_", ""))
        if isinstance(value, dict):
            _fill(child, value)
        else:
            child.text = _text(value)


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    is_uri = text.startswith(f"/{API_VERSION}/")
    return text.replace(".json", "", 1) if is_uri else text


def _error_message(error_code: int | None) -> str | None:
    """Return our own title of the code; nothing should depend on Twilio's words."""
    return None if error_code is None else explain(error_code).title


def _rfc_2822(at: datetime | None) -> str | None:
    return format_datetime(at.replace(microsecond=0)) if at else None
