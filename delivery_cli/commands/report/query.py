"""The SQL of a report. Pure.

Athena (Trino) and DuckDB, which stands for it in the sandbox, both know everything that it uses. So
percentiles come from window functions: approx_percentile does not exist in DuckDB. A dimension is
read with try(dimensions['name']): a name that a map lacks is an error in Trino, and null in DuckDB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from delivery.domain.prices import UNKNOWN_CURRENCY

COLUMNS: Final[Mapping[str, str]] = {
    "country": "country",
    "sender": "coalesce(sender, messaging_service_sid)",
    "channel": "channel",
    "category": "category",
    "day": "substr(created_at, 1, 10)",
}
"""What messages can be grouped by besides dimensions: the expression of each name."""

_ONE_DAY: Final = timedelta(days=1)
_OUTCOMES: Final = ("delivered", "failed", "unconfirmed", "canceled", "pending")
_SUMS: Final = ("segments", "spend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The days, in UTC, in which the messages were created; both are included."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"

    @property
    def days(self) -> Sequence[date]:
        """Every day, in order."""
        return [self.first + _ONE_DAY * n for n in range((self.last - self.first).days + 1)]


def report_query(span: Span, by: Sequence[str]) -> str:
    """Return the query whose rows are the measures of each group and currency.

    Columns: group_1 to group_n; currency (null for messages without a price); messages; one for
    each outcome; segments; spend; and the seconds at the median and the 95th percentile, of the
    group (median_seconds, p95_seconds) and of all messages (total_…).

    The p-th percentile of n values is the k-th lowest, where k is p * n / 100 rounded up (nearest
    rank). Each row has the lowest of its own values from the k-th on, so the percentile is the
    minimum over the rows. Messages are counted by their seconds before they are ranked: to rank
    millions of messages, one node of Athena would have to hold them all.

    The latest row of a message counts, so no newer partition can be left out. Rows of the first
    minutes of a day can be in the partition of the day before: Firehose names an object after its
    oldest row.

    Args:
        span: its days cannot carry SQL: they are dates.
        by: names of `COLUMNS`, else of dimensions; a dimension becomes a quoted literal.
    """
    names = [f"group_{number}" for number in range(1, len(by) + 1)]
    groups = "".join(f"{_expression(it)} AS {name}, " for it, name in zip(by, names, strict=True))
    keys = "".join(f"{name}, " for name in names) + "currency"
    partition = f"PARTITION BY {', '.join(names)}" if names else ""
    counted = ",\n".join(
        f"    count(*) FILTER (WHERE outcome = '{outcome}') AS {outcome}" for outcome in _OUTCOMES
    )
    summed = ",\n".join(f"  sum({it}) AS {it}" for it in ("messages", *_OUTCOMES, *_SUMS))
    before, after = span.first - _ONE_DAY, span.last + _ONE_DAY
    return f"""\
WITH latest AS (
  SELECT *, ROW_NUMBER() OVER (
    PARTITION BY message_sid ORDER BY recorded_at DESC, sequence DESC
  ) AS recency
  FROM outcomes
  WHERE day >= '{before}'
),
created AS (
  SELECT {groups}outcome, num_segments,
    CASE WHEN price IS NOT NULL
      THEN upper(coalesce(price_unit, '{UNKNOWN_CURRENCY}')) END AS currency,
    -TRY_CAST(price AS DECIMAL(38, 12)) AS amount,
    CASE WHEN outcome = 'delivered' THEN seconds_to_final END AS seconds
  FROM latest
  WHERE recency = 1
    AND outcome <> 'superseded'
    AND created_at >= '{span.first}' AND created_at < '{after}'
),
counted AS (
  SELECT {keys}, seconds,
    count(*) AS messages,
{counted},
    sum(num_segments) AS segments,
    sum(amount) AS spend,
    count(seconds) AS timed
  FROM created
  GROUP BY {keys}, seconds
),
ranked AS (
  SELECT *,
    sum(timed) OVER ({partition} ORDER BY seconds) AS place,
    sum(timed) OVER ({partition}) AS group_timed,
    sum(timed) OVER (ORDER BY seconds) AS total_place,
    sum(timed) OVER () AS total_timed
  FROM counted
)
SELECT {keys},
{summed},
  min(CASE WHEN 100 * place >= 50 * group_timed THEN seconds END) AS median_seconds,
  min(CASE WHEN 100 * place >= 95 * group_timed THEN seconds END) AS p95_seconds,
  min(CASE WHEN 100 * total_place >= 50 * total_timed THEN seconds END) AS total_median_seconds,
  min(CASE WHEN 100 * total_place >= 95 * total_timed THEN seconds END) AS total_p95_seconds
FROM ranked
GROUP BY {keys}"""  # noqa: S608 -- from outside come only dates and quoted literals


def _expression(name: str) -> str:
    if name in COLUMNS:
        return COLUMNS[name]
    quoted = name.replace("'", "''")
    return f"try(dimensions['{quoted}'])"
