"""Returns every address under which one person can be known: channels, and variants of a number.

Pure. The lists of messages, the dashboard and the erasure all look for a person by this rule.

Ids that a channel gives instead of a number, such as WhatsApp's business-scoped ids and
Messenger's, are not connected to a number: only the channel knows whose they are.

WhatsApp knows some accounts under a form of their number that was replaced or is not dialled. Each
such number has one subscriber, so the variant is the same person:

- Brazil put a ninth digit, 9, before all mobile numbers between 2012 and 2016. WhatsApp omits it
  for many. Numbers that began with 2 to 5 were landlines and have none.
- Argentina has a 9 after +54 for calls to mobile phones from abroad.
- Mexico had a 1 after +52 for calls to mobile phones from abroad, until 2019.

Sources: https://www.zoko.io/learning-article/whatsapp-id-brazil-mexico and
https://support.whapi.cloud/help-desk/specifics-of-sending-messages-to-numbers-of-different-countries
"""

import re
from typing import Final

from delivery.text.identifiers import normalize_recipient

_CHANNEL_PREFIXES: Final = ("", "whatsapp:", "rcs:", "viber:")

# The digits before and after the optional one, which is the first of each pair.
_OPTIONAL_DIGITS: Final = (
    ("9", re.compile(r"(\+55[1-9][1-9])9?([6-9][0-9]{7})")),
    ("9", re.compile(r"(\+54)9?([1-3][0-9]{9})")),
    ("1", re.compile(r"(\+52)1?([2-9][0-9]{9})")),
)


def addresses_of(address: str) -> tuple[str, ...]:
    """Return every address of the person who has this one, as `to` of a message has them.

    The first is the same for every address of a person. An address without a number is returned
    alone.

    Raises:
        InvalidAddress: it is not a number with a country code, or an address of a channel.
    """
    channel, colon, number = normalize_recipient(address).rpartition(":")
    if not number.startswith("+"):
        return (f"{channel}{colon}{number}",)
    prefixes = dict.fromkeys((*_CHANNEL_PREFIXES, f"{channel}{colon}"))
    return tuple(f"{prefix}{it}" for it in _variants(number) for prefix in prefixes)


def _variants(number: str) -> tuple[str, ...]:
    for digit, pattern in _OPTIONAL_DIGITS:
        if found := pattern.fullmatch(number):
            return (f"{found[1]}{digit}{found[2]}", f"{found[1]}{found[2]}")
    return (number,)
