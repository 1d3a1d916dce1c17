"""Powertools' Logger and Metrics, which are global to a process, for one run instead."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

type Log = Callable[[str, Mapping[str, Any]], None]


class Logger:
    """Passes every line to `log`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def info(self, message: str, **keys: Any) -> None:
        """Log a line."""
        self._log(message, keys)

    debug = warning = error = info


class Metrics:
    """Counts in the run's counter; handlers stay as they are."""

    def __init__(self, counts: Counter[str], *, provider: object = None) -> None:
        del provider
        self._counts = counts

    def add_metric(self, name: str, unit: object, value: float) -> None:
        """Add to a metric."""
        del unit
        self._counts[name] += int(value)

    def add_metadata(self, key: str, value: object) -> None:
        """Ignore metadata, which are in the log only."""

    def flush_metrics(self) -> None:
        """Ignore the flush: there is no log line."""

    def log_metrics(self, handler: Any = None, **_: Any) -> Any:
        """Decorate a handler, with or without arguments."""
        return handler if handler is not None else lambda decorated: decorated
