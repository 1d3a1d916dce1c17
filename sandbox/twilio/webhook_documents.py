"""What the webhooks configuration API reads and shows: the fields of its JSON documents."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from delivery.twilio.signature import Algorithm
from sandbox.twilio.errors import ApiError
from sandbox.twilio.overrides import ConnectionOverrides, RetryPolicy
from sandbox.twilio.resource import Document
from sandbox.twilio.webhook_rules import (
    MatchType,
    Rule,
    Setting,
    Share,
    SharedKey,
    Signing,
    WebhookRules,
)

_MAX_URL: Final = 2048
_MAX_SHARES: Final = 2
_ALL_TRAFFIC: Final = 100
INVALID: Final = 20422
"""Twilio's code of an invalid value, for all of this API."""

_RETRY_POLICIES: Final[Mapping[str, frozenset[RetryPolicy]]] = {
    "HTTP_4XX": frozenset({RetryPolicy.CLIENT_ERROR}),
    "HTTP_5XX": frozenset({RetryPolicy.SERVER_ERROR}),
    "CONNECTION_TIMEOUT": frozenset({RetryPolicy.CONNECT}),
    "READ_TIMEOUT": frozenset({RetryPolicy.READ}),
    "ALL": frozenset(RetryPolicy),
}
# Name, default, minimum and maximum of the timeouts of a setting's connection, in milliseconds.
_TIMEOUTS: Final = (
    ("connectTimeoutMs", 5_000, 100, 15_000),
    ("readTimeoutMs", 15_000, 100, 15_000),
    ("totalTimeoutMs", 15_000, 100, 60_000),
)
_MAX_RETRIES: Final = 5
PATTERN_FIELDS: Final = {"value": MatchType.EXACT_MATCH, "prefix": MatchType.PREFIX_MATCH}


def check_auth(auth: Any) -> None:
    """Refuse credentials, so that the simulator does not seem to send them.

    Twilio requires `auth`: it may name a source and a scheme.
    """
    value = auth.get("value") or {} if isinstance(auth, dict) else None
    if not isinstance(value, dict):
        raise ApiError(INVALID, "auth must be an object.")
    credentials = [it for name, it in value.items() if name != "scheme"]
    if any(it is not None for it in (auth.get("authProfileId"), *credentials)):
        raise ApiError(INVALID, "auth: the simulator does not authenticate to your endpoint.")


def parse_signing(signature: Any, rules: WebhookRules) -> Signing | None:
    """Return the shared key that signs; None: the auth token, which signs by SHA-1."""
    if signature is None:
        return None
    if not isinstance(signature, dict) or signature.get("algorithm") not in list(Algorithm):
        expected = ", ".join(Algorithm)
        raise ApiError(INVALID, f"signature must have an algorithm: {expected}.")
    algorithm, key_id = Algorithm(signature["algorithm"]), signature.get("sharedKeyId")
    if key_id is None:
        if algorithm is not Algorithm.HMAC_SHA1:
            raise ApiError(INVALID, "signature: the auth token signs with HMAC_SHA1 only.")
        return None
    if key_id not in rules.shared_keys:
        raise ApiError(INVALID, "signature: the account has no SharedKey of this sharedKeyId.")
    return Signing(key_id=key_id, algorithm=algorithm)


def parse_connection(connection: Any) -> ConnectionOverrides | None:
    """Return timeouts and retries; None if the URL decides."""
    if connection is None:
        return None
    if not isinstance(connection, dict):
        raise ApiError(INVALID, "connection must be an object.")
    connect, read, total = (
        _number(connection, name, default, least, most) / 1000
        for name, default, least, most in _TIMEOUTS
    )
    retries = connection.get("retryPolicy") or {}
    if not isinstance(retries, dict):
        raise ApiError(INVALID, "retryPolicy must be an object.")
    conditions = retries.get("retryOn") or []
    if not isinstance(conditions, list) or not set(conditions) <= _RETRY_POLICIES.keys():
        raise ApiError(INVALID, f"retryOn must be a list of {', '.join(_RETRY_POLICIES)}.")
    return ConnectionOverrides(
        connect_timeout=connect,
        read_timeout=read,
        total_timeout=total,
        retries=_number(retries, "retryCount", 0, 0, _MAX_RETRIES),
        policy=frozenset().union(*(_RETRY_POLICIES[it] for it in conditions)),
    )


def _number(fields: Document, name: str, default: int, least: int, most: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ApiError(INVALID, f"{name} must be a number from {least} to {most}.")
    return value


def parse_match_type(value: Any) -> MatchType:
    """Return how a rule matches."""
    if value not in list(MatchType):
        raise ApiError(INVALID, f"matchType must be one of {', '.join(MatchType)}.")
    return MatchType(value)


def parse_pattern(match_type: MatchType, fields: Document) -> str:
    """Return the URL or prefix of a rule: `value` has no slash at its end, `prefix` has one."""
    for name, kind in PATTERN_FIELDS.items():
        if kind is not match_type and name in fields:
            raise ApiError(INVALID, f"{name} is for {kind} only.")
        if kind is match_type:
            url: str = fields.get(name, "")
            if not is_pattern(match_type, url):
                ending = "not end" if match_type is MatchType.EXACT_MATCH else "end"
                raise ApiError(
                    INVALID,
                    f"{name} must be an http(s) URL of at most {_MAX_URL} characters and {ending} "
                    "with /.",
                )
            return url
    return ""


def is_pattern(match_type: MatchType, url: object) -> bool:
    """Whether a rule of this type can have this URL."""
    if not isinstance(url, str) or len(url) > _MAX_URL:
        return False
    if url.endswith("/") is not (match_type is MatchType.PREFIX_MATCH):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def parse_shares(value: Any, rules: WebhookRules) -> tuple[Share, ...]:
    """Return the settings of a rule with their percentages."""
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_SHARES:
        raise ApiError(INVALID, f"settings must be a list of 1 to {_MAX_SHARES} settings.")
    shares = []
    for entry in value:
        if not isinstance(entry, dict) or entry.get("settingId") not in rules.settings:
            raise ApiError(INVALID, "settings: the account has no Setting of this settingId.")
        percentage = _number(entry, "percentage", _ALL_TRAFFIC, 1, _ALL_TRAFFIC)
        shares.append(Share(setting_id=entry["settingId"], percentage=percentage))
    if sum(share.percentage for share in shares) != _ALL_TRAFFIC:
        raise ApiError(INVALID, f"settings: the percentages must sum to {_ALL_TRAFFIC}.")
    return tuple(shares)


def key_document(key: SharedKey) -> Document:
    """Return the document of a shared key, without its secret."""
    return {
        "id": key.id,
        "createdAt": format_time(key.created),
        "updatedAt": format_time(key.created),
    }


def setting_document(setting: Setting) -> Document:
    """Return the document of a setting."""
    signature: Document = {"type": "ACCOUNT_AUTH_TOKEN", "algorithm": Algorithm.HMAC_SHA1}
    if signing := setting.signing:
        signature = {
            "type": "SHARED_KEY",
            "sharedKeyId": signing.key_id,
            "algorithm": signing.algorithm,
        }
    return {
        "id": setting.id,
        "type": "CUSTOMER",
        "signature": signature,
        **_connection_document(setting.connection),
        "createdAt": format_time(setting.created),
        "updatedAt": format_time(setting.created),
    }


def _connection_document(connection: ConnectionOverrides | None) -> Document:
    if connection is None:
        return {}
    timeouts = (connection.connect_timeout, connection.read_timeout, connection.total_timeout)
    names = (name for name, *_ in _TIMEOUTS)
    retry_on = [name for name, policies in _RETRY_POLICIES.items() if policies <= connection.policy]
    return {
        "connection": {
            **{name: round(it * 1000) for name, it in zip(names, timeouts, strict=True)},
            "retryPolicy": {"retryCount": connection.retries, "retryOn": retry_on},
        }
    }


def rule_document(rule: Rule) -> Document:
    """Return the document of a rule."""
    pattern = {
        name: rule.pattern for name, kind in PATTERN_FIELDS.items() if kind is rule.match_type
    }
    shares = [{"settingId": it.setting_id, "percentage": it.percentage} for it in rule.shares]
    return {
        "id": rule.id,
        "matchType": rule.match_type,
        **pattern,
        "settings": shares,
        "createdAt": format_time(rule.created),
        "updatedAt": format_time(rule.updated),
    }


def format_time(at: datetime) -> str:
    """Return a time as this API shows it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
