"""What a category of failures means for other messages, and what to do about many of them.

Pure. What to do about a single failure depends on its error code: see the catalogue of error codes.
"""

from collections.abc import Mapping
from typing import Final

from delivery.domain.statuses import MessageStatus
from delivery.twilio.error_codes import Category

IMPACT: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "This usually affects one recipient only. Other messages are not affected."
    ),
    Category.OPT_OUT: "This recipient has opted out. Other recipients are not affected.",
    Category.CARRIER_FILTERING: (
        "A carrier treats the content or the sender as unwanted. Similar messages are likely to "
        "fail as well, and each one lowers the sender's reputation."
    ),
    Category.REGISTRATION_COMPLIANCE: (
        "The sender lacks a registration or breaks a rule of the destination. Every message from "
        "this sender to that destination is likely to fail until that is fixed."
    ),
    Category.ACCOUNT_CONFIG: (
        "The Twilio account or its configuration is at fault. All messages that are sent the same "
        "way are likely to fail until it is fixed."
    ),
    Category.CONTENT: "Messages with the same content are likely to fail as well.",
    Category.RATE_LIMIT: (
        "More was sent than the sender, the carrier or the account may send. Further messages may "
        "fail until the rate is lower."
    ),
    Category.TWILIO_INTERNAL: (
        "The fault is at Twilio or at the channel's provider. Other messages may be affected for a "
        "while."
    ),
    Category.UNKNOWN: (
        "The cause is unknown, and so is whether other messages are affected. Check for further "
        "failures like this one."
    ),
}
"""Which messages a failure affects."""

IMPACT_OF_MANY: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "A single failure like this affects one recipient. Many at once suggest an outage of a "
        "carrier or a country, or an outdated list of recipients."
    ),
    Category.OPT_OUT: (
        "These recipients have opted out, and Twilio blocks messages to them. Many at once suggest "
        "a list that still contains people who have opted out."
    ),
    Category.UNKNOWN: (
        "The cause is unknown. Compare the failures below: what they share is the best clue."
    ),
}
"""The same for many failures at once, where it differs."""

_IMPACT_OF_UNSENT: Final[Mapping[str, str]] = {
    MessageStatus.REJECTED: "Further requests from the same caller are likely to be rejected.",
    MessageStatus.PRESUMED_UNSENT: (
        "Twilio did not answer when the message was sent. Other messages that were sent at that "
        "moment may be missing as well."
    ),
}
"""The same for a request that never became a message and has no error code, by its status."""

FIRST_STEP_FOR_MANY: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "Compare the examples. If they share a country or a carrier, check Twilio's status page "
        "for an outage and wait. Otherwise stop the campaign and check the source of its list."
    ),
    Category.OPT_OUT: "Remove these recipients from the list that is being sent to.",
    Category.CARRIER_FILTERING: (
        "Stop sending this content from these senders until you know what is being filtered."
    ),
    Category.REGISTRATION_COMPLIANCE: (
        "Stop sending to these destinations from the senders below, and check their registration."
    ),
    Category.ACCOUNT_CONFIG: "Fix it now: no message arrives until then.",
    Category.CONTENT: "Stop the program that sends it, and correct the content.",
    Category.RATE_LIMIT: "Send more slowly, or spread the messages over more senders.",
    Category.TWILIO_INTERNAL: "Check Twilio's status page, and postpone what can wait.",
    Category.UNKNOWN: (
        "Look up the examples in Twilio's Console, and contact Twilio's support with their SIDs."
    ),
}
"""What to do first about many failures at once."""


def impact_of(cause: str, category: Category, *, many: bool = False) -> str:
    """Return which messages failures affect. `cause`: their error code as text, or their status."""
    if cause in _IMPACT_OF_UNSENT:
        return _IMPACT_OF_UNSENT[cause]
    return IMPACT_OF_MANY.get(category, IMPACT[category]) if many else IMPACT[category]
