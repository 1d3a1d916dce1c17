"""Parses a request to create a message, with Twilio's checks in the order of Twilio.

Parameters that are not read here are accepted and ignored.

Sources: https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource and
the error dictionary, https://www.twilio.com/docs/api/errors.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sandbox.twilio.callbacks import is_callback_url
from sandbox.twilio.errors import ApiError
from sandbox.twilio.parameters import Parameters, parse_time
from sandbox.twilio.resource import Message
from sandbox.twilio.segments import segment_count, smart_encoded, utf16_length
from sandbox.twilio.settings import Settings

_TRIAL_PREFIX = "Sent from your Twilio trial account - "
_MAX_CHARACTERS = 1600
_MAX_MEDIA = 10
_MAX_VARIABLES = 100
_MAX_VALIDITY_SECONDS = 36_000
_MAX_SCHEDULE = timedelta(days=35)

# Parameters with a fixed set of values, and the error code of any other value.
_CHOICES = {
    "ContentRetention": ({"retain", "discard"}, 30029),
    "AddressRetention": ({"retain", "obfuscate"}, 30030),
}

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,6}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}")
_NUMBERED_CHANNELS = frozenset({"", "whatsapp"})

# The magic numbers of https://www.twilio.com/docs/iam/test-credentials, with their errors.
_MAGIC_SENDERS = {
    "+15005550001": (21212, "The 'From' number +15005550001 is not valid."),
    "+15005550007": (21606, "The 'From' phone number +15005550007 is not message-capable."),
    "+15005550008": (21611, "This 'From' number has exceeded its queue of messages."),
}
_MAGIC_RECIPIENTS = {
    "+15005550001": (21211, "The 'To' number +15005550001 is not a valid phone number."),
    "+15005550002": (21612, "The 'To' number +15005550002 is not reachable."),
    "+15005550003": (21408, "Permission to send to +15005550003 has not been enabled."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "To number: +15005550009, is not a mobile number"),
}


def parse_create_request(
    form: Parameters, *, account_sid: str, settings: Settings, sid_hex: str, now: datetime
) -> Message:
    """Return the new message in its initial status.

    The status is `queued` without a Messaging Service, `scheduled` with a `SendAt`, else
    `accepted`.

    Raises:
        ApiError: the first error that Twilio would return.
    """
    addresses = _parse_addresses(form)
    body = _parse_body(form, settings)
    num_media = _count_media(form)
    _check_options(form)
    send_at = _parse_schedule(form, addresses.service, settings, now)
    _check_magic(addresses)
    return Message(
        sid=("MM" if num_media or form.flag("SendAsMms") else "SM") + sid_hex,
        account_sid=account_sid,
        to=addresses.to,
        sender=addresses.sender,
        messaging_service_sid=addresses.service,
        body=body,
        status=_initial_status(addresses.service, send_at),
        created=now,
        updated=now,
        num_segments=segment_count(body) if addresses.sender else 0,
        num_media=num_media,
        send_at=send_at,
        status_callback=form.one("StatusCallback"),
    )


def _initial_status(service: str | None, send_at: datetime | None) -> str:
    if service is None:
        return "queued"
    return "accepted" if send_at is None else "scheduled"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Addresses:
    to: str
    sender: str | None
    service: str | None


def _parse_addresses(form: Parameters) -> _Addresses:
    to, sender, service = (form.one(name) for name in ("To", "From", "MessagingServiceSid"))
    if to is None:
        raise ApiError(21604, "A 'To' phone number is required.")
    if sender is None and service is None:
        raise ApiError(21603, "A 'From' phone number is required.")
    if service is not None and not re.fullmatch(r"MG[0-9a-fA-F]{32}", service):
        raise ApiError(21705, "The Messaging Service Sid is invalid.")
    _check_recipient(to)
    if sender is not None:
        _check_sender(sender, to)
    return _Addresses(to=to, sender=sender, service=service)


def _check_recipient(to: str) -> None:
    channel, _, address = to.rpartition(":")
    if channel == "" and _SHORT_CODE.fullmatch(address):
        raise ApiError(21265, f"'To' number cannot be a Short Code: {to}")
    if channel in _NUMBERED_CHANNELS and not _E164.fullmatch(address):
        raise ApiError(21211, f"The 'To' number {to} is not a valid phone number.")
    if not address:
        raise ApiError(21211, f"The 'To' address {to} is not valid.")


def _check_sender(sender: str, to: str) -> None:
    channel, _, address = sender.rpartition(":")
    shapes = (_E164, _SHORT_CODE, _ALPHANUMERIC) if channel == "" else (_E164,)
    is_number = channel in _NUMBERED_CHANNELS
    if is_number and not any(shape.fullmatch(address) for shape in shapes):
        raise ApiError(21212, f"The 'From' number {sender} is not a valid phone number.")
    if channel != to.rpartition(":")[0]:
        raise ApiError(21910, "'From' and 'To' are on different channels.")
    if sender == to:
        raise ApiError(21266, f"'To' and 'From' number cannot be the same: {to}")


def _parse_body(form: Parameters, settings: Settings) -> str:
    body, content_sid = form.one("Body"), form.one("ContentSid")
    _check_template(content_sid, form.one("ContentVariables"))
    if body is None and content_sid is None and not form.every("MediaUrl"):
        raise ApiError(21602, "Message body is required.")
    text = (_TRIAL_PREFIX if settings.trial and body else "") + (body or "")
    if form.flag("SmartEncoded"):
        text = smart_encoded(text)
    if utf16_length(text) > _MAX_CHARACTERS:
        raise ApiError(
            21617, f"The concatenated message body exceeds the {_MAX_CHARACTERS} character limit."
        )
    return text


def _count_media(form: Parameters) -> int:
    urls = form.every("MediaUrl")
    if len(urls) > _MAX_MEDIA:
        raise ApiError(21623, f"The number of media files exceeds {_MAX_MEDIA}.")
    if not all(_is_media_url(url) for url in urls):
        raise ApiError(21620, "Invalid media URL(s).")
    return len(urls)


def _check_template(content_sid: str | None, variables: str | None) -> None:
    if content_sid is not None and not re.fullmatch(r"HX[0-9a-fA-F]{32}", content_sid):
        raise ApiError(21655, "The ContentSid is invalid.")
    if variables is None:
        return
    if content_sid is None:
        raise ApiError(21654, "ContentSid is required when ContentVariables are given.")
    try:
        values: Any = json.loads(variables)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ApiError(21656, "The ContentVariables are invalid.")
    if len(values) > _MAX_VARIABLES:
        raise ApiError(92002, f"More than {_MAX_VARIABLES} content variables.")


def _check_options(form: Parameters) -> None:
    callback = form.one("StatusCallback")
    if callback is not None and not is_callback_url(callback):
        raise ApiError(21609, f"The StatusCallback URL {callback} is not a valid URL.")
    validity = form.one("ValidityPeriod")
    if validity is not None and not (
        re.fullmatch(r"[0-9]{1,5}", validity) and 1 <= int(validity) <= _MAX_VALIDITY_SECONDS
    ):
        raise ApiError(21624, f"The ValidityPeriod {validity} is invalid.")
    for name, (allowed, code) in _CHOICES.items():
        if form.one(name) not in {None, *allowed}:
            raise ApiError(code, f"The {name} is invalid.")
    if form.one("FallbackFrom") and form.one("From"):
        raise ApiError(21664, "FallbackFrom cannot be combined with From.")


def _parse_schedule(
    form: Parameters, service: str | None, settings: Settings, now: datetime
) -> datetime | None:
    kind, text = form.one("ScheduleType"), form.one("SendAt")
    if kind is None and text is None:
        return None
    if service is None:
        raise ApiError(35118, "MessagingServiceSid is required to schedule a message.")
    if kind != "fixed":
        raise ApiError(35126, "ScheduleType has to be 'fixed'.")
    if text is None:
        raise ApiError(35111, "SendAt is required to schedule a message.")
    try:
        send_at = parse_time(text)
    except ValueError as error:
        raise ApiError(35114, f"Invalid SendAt {text}.") from error
    if send_at < now + timedelta(seconds=settings.min_schedule_seconds):
        raise ApiError(35115, "SendAt is too near.")
    if send_at > now + _MAX_SCHEDULE:
        raise ApiError(35117, "SendAt is more than 35 days ahead.")
    return send_at


def _check_magic(addresses: _Addresses) -> None:
    to, sender = addresses.to, addresses.sender
    if sender in _MAGIC_SENDERS:
        raise ApiError(*_MAGIC_SENDERS[sender])
    if to in _MAGIC_RECIPIENTS:
        raise ApiError(*_MAGIC_RECIPIENTS[to])


def _is_media_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
