"""The canary: the message that the stack sends to itself on a schedule. Pure."""

from typing import Final

CANARY_REFERENCE: Final = "canary"
"""The `reference` of every canary."""
