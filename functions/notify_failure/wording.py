"""What a category of failures means to whoever is told of one, or of many that failed alike."""

from collections.abc import Mapping
from typing import Final

from delivery.domain.messages import MessageStatus
from delivery.twilio.error_codes import Category

HOW_BAD: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "This usually concerns one recipient only. Other messages are not affected."
    ),
    Category.OPT_OUT: "This recipient asked for no more messages. Others are not affected.",
    Category.CARRIER_FILTERING: (
        "The content or the sender looks unwanted to a carrier. Similar messages are likely to "
        "fail as well."
    ),
    Category.REGISTRATION_COMPLIANCE: (
        "The sender lacks a registration or breaks a rule at the destination. Expect every "
        "message from this sender to that destination to fail until it is settled."
    ),
    Category.ACCOUNT_CONFIG: (
        "The Twilio account or its set-up is at fault. Expect all messages sent the same way to "
        "fail until it is fixed."
    ),
    Category.CONTENT: "Messages with the same content are likely to fail as well.",
    Category.RATE_LIMIT: (
        "More was sent than the sender, the carrier or the account may send. Further messages may "
        "fail until it slows down."
    ),
    Category.TWILIO_INTERNAL: (
        "The fault is on the side of Twilio or the channel's provider. Other messages may be "
        "affected for a while."
    ),
    Category.UNKNOWN: (
        "Nobody said why, so nobody can say whether others are affected. Look for more failures "
        "like this one."
    ),
}
"""Of a single failure: whom it concerns."""

HOW_BAD_HERE: Final[Mapping[str, str]] = {
    MessageStatus.REJECTED: "What sent it is likely to make the next ones wrong, too.",
    MessageStatus.PRESUMED_UNSENT: (
        "Twilio gave no answer when it was asked to send it. Whatever was sent in that moment may "
        "be missing as well."
    ),
}
"""Of a failure that Twilio did not bring about: its cause is our word."""

HOW_BAD_TOGETHER: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "One such failure is one recipient's. Many at once are not: a carrier or a country may be "
        "unreachable, or a list of recipients is old."
    ),
    Category.OPT_OUT: (
        "These recipients asked for no more messages, and Twilio keeps to that. Many at once mean "
        "that a list still holds people who have left it."
    ),
    Category.CARRIER_FILTERING: (
        "Carriers take the content or the sender for unwanted. It rarely ends by itself, and each "
        "further message makes the sender's standing worse."
    ),
    Category.REGISTRATION_COMPLIANCE: (
        "The sender lacks a registration or breaks a rule at the destination. All that it sends "
        "there fails until that is settled."
    ),
    Category.ACCOUNT_CONFIG: (
        "The Twilio account or its set-up is at fault. All that is sent in the same way fails "
        "until it is fixed."
    ),
    Category.CONTENT: (
        "Twilio or the carriers do not take the content as it is. The same template or program "
        "makes the next ones fail, too."
    ),
    Category.RATE_LIMIT: (
        "More is sent than the sender, the carrier or the account may send. It goes on for as long "
        "as the sending does."
    ),
    Category.TWILIO_INTERNAL: (
        "The fault is on the side of Twilio or the channel's provider. It usually passes, and "
        "nothing here is broken."
    ),
    Category.UNKNOWN: (
        "Nobody said why. What these failures have in common, below, is the best trace there is."
    ),
}
"""Of many at once."""

WHAT_TO_DO_TOGETHER: Final[Mapping[Category, str]] = {
    Category.RECIPIENT_UNREACHABLE: (
        "Compare the examples: if they share a country or a carrier, look at Twilio's status page "
        "for an outage and wait. If not, stop the campaign and check where its list comes from."
    ),
    Category.OPT_OUT: "Take these recipients off the list that is being sent to.",
    Category.CARRIER_FILTERING: (
        "Stop sending this content from these senders until you know what is being filtered."
    ),
    Category.REGISTRATION_COMPLIANCE: (
        "Stop sending to these destinations from the senders below, and check their registration."
    ),
    Category.ACCOUNT_CONFIG: "Fix it now; until then nothing arrives.",
    Category.CONTENT: "Stop what sends it, and correct the content.",
    Category.RATE_LIMIT: "Slow down what sends, or spread it over more senders.",
    Category.TWILIO_INTERNAL: "Look at Twilio's status page; hold back what can wait.",
    Category.UNKNOWN: (
        "Look at the examples in Twilio's Console, and ask its support with their SIDs."
    ),
}
"""About all of them, before what is to be done about each."""


def how_bad(cause: str, category: Category) -> str:
    """Whom a failure concerns; `cause` is its error code as text, or our word."""
    return HOW_BAD_HERE.get(cause) or HOW_BAD[category]
