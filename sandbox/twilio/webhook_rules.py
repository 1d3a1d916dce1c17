"""Webhook rules: which key signs a callback, and which timeouts and retries apply to it.

An account's rules match the URL of a callback. The one that matches names one or two settings, and
a setting names a shared key. Source (public beta):
https://www.twilio.com/docs/usage/webhooks/webhook-rules
"""

import random
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from delivery.twilio.signature import Algorithm
from sandbox.twilio.overrides import ConnectionOverrides

# Twilio's ids are 128 bits in this alphabet, after a prefix: https://github.com/jetify-com/typeid
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH = 26


class MatchType(StrEnum):
    """How a rule matches URLs, the first of these that matches first."""

    EXACT_MATCH = "EXACT_MATCH"
    PREFIX_MATCH = "PREFIX_MATCH"
    DEFAULT = "DEFAULT"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """A key that signs instead of the auth token."""

    id: str
    secret: str = field(repr=False)
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """The shared key that signs, by its id, and the algorithm."""

    key_id: str
    algorithm: Algorithm

    @property
    def header(self) -> str:
        """The value of X-Twilio-Webhooks-Signature-Settings."""
        return f"key={self.key_id},algorithm={self.algorithm}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How Twilio sends a webhook: without `signing` with the auth token, as without a rule.

    `connection` overrides the connection overrides in the URL.
    """

    id: str
    signing: Signing | None = None
    connection: ConnectionOverrides | None = None
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The percentage of a rule's webhooks that a setting applies to."""

    setting_id: str
    percentage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule; `pattern` is its URL or the prefix of it, and empty for the DEFAULT rule."""

    id: str
    match_type: MatchType
    pattern: str = ""
    shares: tuple[Share, ...]
    created: datetime
    updated: datetime

    def matches(self, url: str) -> bool:
        """Whether the rule matches a URL, which has no fragment any more."""
        match self.match_type:
            case MatchType.EXACT_MATCH:
                return url == self.pattern
            case MatchType.PREFIX_MATCH:
                return url.startswith(self.pattern)
            case MatchType.DEFAULT:
                return True


class WebhookRules:
    """The shared keys, settings, rules and changes of rules of one account, by id.

    Twilio's names and descriptions of them are not kept.
    """

    def __init__(self) -> None:
        self.shared_keys: dict[str, SharedKey] = {}
        self.settings: dict[str, Setting] = {}
        self.rules: dict[str, Rule] = {}
        self.operations: dict[str, dict[str, str]] = {}

    def find_rule(self, url: str) -> Rule | None:
        """Return the rule that applies: exact, else the longest prefix, else DEFAULT."""
        order = list(MatchType)
        matching = [rule for rule in self.rules.values() if rule.matches(url)]
        return min(
            matching,
            key=lambda rule: (order.index(rule.match_type), -len(rule.pattern)),
            default=None,
        )

    def choose_setting(self, url: str, ids: random.Random) -> Setting | None:
        """Return the setting for one webhook to this URL, at random by percentage."""
        rule = self.find_rule(url)
        if rule is None:
            return None
        if len(rule.shares) == 1:
            return self.settings[rule.shares[0].setting_id]
        weights = [share.percentage for share in rule.shares]
        (share,) = ids.choices(rule.shares, weights)
        return self.settings[share.setting_id]


def new_id(kind: str, ids: random.Random) -> str:
    """Return a new id as Twilio makes them, such as `webhooks_rule_` and 26 characters."""
    number = ids.getrandbits(128)
    digits = (_ID_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_ID_LENGTH)))
    return f"webhooks_{kind}_{''.join(digits)}"


def new_shared_key(rules: WebhookRules, ids: random.Random, now: datetime) -> SharedKey:
    """Create a shared key in an account, with a secret of 256 bits."""
    secret = f"{ids.getrandbits(256):064x}"
    key = SharedKey(id=new_id("sharedkey", ids), secret=secret, created=now)
    rules.shared_keys[key.id] = key
    return key
