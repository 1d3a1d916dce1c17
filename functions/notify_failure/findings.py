"""What a notifier does, for those who log and count."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class What(StrEnum):
    """The kinds of what is done, or left undone."""

    PUBLISHED = "published"
    """People were told of a failed message: the first one of an episode."""
    WITHDRAWN = "withdrawn"
    """A message became well before anybody was told."""
    RECOVERY_OWED = "recovery_owed"
    """A message became well while people were told that it failed."""
    RECOVERY_PUBLISHED = "recovery_published"
    OPENED = "opened"
    COUNTED = "counted"
    """Failed messages are in the count of an episode."""
    MUTED = "muted"
    """The same, and nobody will be told: their category is muted."""
    RECOVERY_COUNTED = "recovery_counted"
    SUMMARY_PUBLISHED = "summary_published"
    """People were told what an episode had counted."""
    CLOSED = "closed"
    """An episode is over, and people were told so, if they had heard more than its beginning."""
    ALREADY_SETTLED = "already_settled"
    """Somebody else took the step, or there is none to take."""
    LEFT = "left"
    """Too little time was left; whatever brought it brings it again."""
    DELAYED = "delayed"
    """AWS did not do its part; whatever brought it brings it again, or the sweep does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One of them, for `count` messages or episodes; the facts hold ids, never a number."""

    what: What
    count: int = 1
    message_sids: tuple[str, ...] = ()
    """The messages that it is about, where it is about some."""
    facts: Mapping[str, object] = field(default_factory=dict)
