"""Connection overrides: timeouts and retries, set in the fragment of a callback's URL.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class RetryPolicy(StrEnum):
    """The failures that Twilio retries if the URL requests it."""

    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"
    CONNECT = "ct"
    READ = "rt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOverrides:
    """Limits in seconds; `problems` are the debugger codes of invalid overrides."""

    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    total_timeout: float = 15.0
    retries: int = 1
    policy: frozenset[RetryPolicy] = frozenset({RetryPolicy.CONNECT})
    problems: tuple[int, ...] = ()


_EDGES = frozenset(
    "ashburn dublin frankfurt sao-paulo singapore sydney tokyo umatilla".split()  # noqa: SIM905 -- reads as the list it is
)


def split_overrides(url: str) -> tuple[str, ConnectionOverrides]:
    """Split a callback URL into the URL that is requested and signed, and its overrides.

    A number that is out of range or cannot be parsed counts as not given.
    """
    bare, _, fragment = url.partition("#")
    given = dict(pair.partition("=")[::2] for pair in fragment.split("&"))
    policy, policy_problems = _parse_policy(given.get("rp"))
    return bare, ConnectionOverrides(
        connect_timeout=_parse_number(given.get("ct"), 100, 10_000, 5_000) / 1000,
        read_timeout=_parse_number(given.get("rt"), 100, 15_000, 15_000) / 1000,
        total_timeout=_parse_number(given.get("tt"), 100, 15_000, 15_000) / 1000,
        retries=_parse_number(given.get("rc"), 0, 5, 1),
        policy=policy,
        problems=policy_problems + _edge_problems(given.get("e")),
    )


def _parse_number(text: str | None, minimum: int, maximum: int, default: int) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,6}", text):
        return default
    return int(text) if minimum <= int(text) <= maximum else default


def _parse_policy(text: str | None) -> tuple[frozenset[RetryPolicy], tuple[int, ...]]:
    if text is None:
        return frozenset({RetryPolicy.CONNECT}), ()
    words = set(text.split(","))
    if not words <= {*RetryPolicy, "all"}:
        return frozenset({RetryPolicy.CONNECT}), (11243,)
    if "all" in words:
        return frozenset(RetryPolicy), ()
    return frozenset(RetryPolicy(word) for word in words), ()


def _edge_problems(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    edges = text.split(",")
    if not all(re.fullmatch(r"[a-z]+(-[a-z]+)*", edge) for edge in edges):
        return (11240,)
    if any(edge.removesuffix("-ix") not in _EDGES for edge in edges):
        return (11241,)
    # Edges of Twilio Interconnect need a private connection, which no account here has.
    return (11242,) if any(edge.endswith("-ix") for edge in edges) else ()
