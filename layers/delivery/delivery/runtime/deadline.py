"""The time that remains of an invocation, for what must not begin when too little is left."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

type TimeLeft = Callable[[], float]
"""The seconds that remain of the invocation."""


def time_left_of(context: "LambdaContext") -> TimeLeft:
    """From what Lambda says about the invocation."""
    return lambda: context.get_remaining_time_in_millis() / 1000
