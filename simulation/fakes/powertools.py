"""Powertools' Logger and Metrics, which keep state for the whole process, told to one run."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

type Tell = Callable[[str, Mapping[str, Any]], None]


class Logger:
    """Every line goes to the trace."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def info(self, message: str, **facts: Any) -> None:
        """A line."""
        self._tell(message, facts)

    debug = warning = error = info


class Metrics:
    """Every count goes to the run's; the handler stays as it is."""

    def __init__(self, counts: Counter[str], *, provider: object = None) -> None:
        del provider
        self._counts = counts

    def add_metric(self, name: str, unit: object, value: float) -> None:
        """Count something."""
        del unit
        self._counts[name] += int(value)

    def add_metadata(self, key: str, value: object) -> None:
        """Facts beside the counts are for the log only."""

    def flush_metrics(self) -> None:
        """There is no line to be written."""

    def log_metrics(self, handler: Any = None, **_: Any) -> Any:
        """The decorator, with or without arguments."""
        return handler if handler is not None else lambda decorated: decorated
