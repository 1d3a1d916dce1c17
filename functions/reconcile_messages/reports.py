"""What a run of reconciling comes upon, for those who count; and how Twilio's word is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from delivery.domain.messages import Source, StatusUpdate
from delivery.storage.messages import Recorded
from delivery.twilio.client import CredentialsRefused, MessageResource, TwilioError


class What(StrEnum):
    """The kinds of what is found."""

    RECONCILED = "reconciled"
    """Twilio knew something about a message that no callback had told."""
    DISCOVERED = "discovered"
    """Another program sent a message, of which nobody had told us."""
    UNCONFIRMED = "unconfirmed"
    """A message was waited for in vain."""
    SETTLED = "settled"
    """A request in doubt was sent after all."""
    NOT_FOUND = "not_found"
    """A request in doubt was probably not sent."""
    AMBIGUOUS = "ambiguous"
    """Several messages, or several requests, look alike: an operator has to look."""
    TROUBLE = "trouble"
    """One message or request could not be dealt with; the next run tries it again."""
    STOPPED = "stopped"
    """The run goes no further, or not for one account: the next one takes it up."""
    BLOCKED = "blocked"
    """The same, and so will the next one, until somebody puts the secret right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One of them, with ids and reasons as facts; never a number or a text of a message."""

    what: What
    facts: Mapping[str, object] = field(default_factory=dict)
    recorded: Recorded | None = None
    """What was stored, where it was the status of a message."""


def stopped_by(error: TwilioError, account_sid: str) -> Finding:
    """That Twilio has something against going on with the account."""
    what = What.BLOCKED if isinstance(error, CredentialsRefused) else What.STOPPED
    return Finding(what=what, facts={"account_sid": account_sid, "reason": str(error)})


def said(
    resource: MessageResource, *, account_sid: str, at: datetime, with_body: bool
) -> StatusUpdate:
    """What Twilio's API says about a message of this account, as something learned by asking."""
    update = resource.as_update(at=at, source=Source.RECONCILE, with_body=with_body)
    return replace(update, account_sid=update.account_sid or account_sid)
