"""The time that is left of an invocation: a step starts only if it can end in time."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type TimeLeft = Callable[[], float]
"""Returns the seconds that are left of the invocation."""


def time_left_of(context: "LambdaContext") -> TimeLeft:
    """Return the function that reads the invocation's remaining seconds from Lambda's context."""
    return lambda: context.get_remaining_time_in_millis() / 1000
