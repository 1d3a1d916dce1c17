"""What people and their chat channels read when more of the same kind has failed.

Pure: what an episode has to tell goes in, the texts come out. Everything in them is fixed when the
telling begins, so that a notice that comes twice says the same.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from delivery.episode import EpisodeKey, Example, Kind, Pace, Telling, Timing
from delivery.error_codes import NOT_FOUND, Explanation, explain
from delivery.message import MessageStatus, iso

from .notice import FailureNotice, Places, as_subject, on_one_line, section, span, utc
from .wording import HOW_BAD_TOGETHER, WHAT_TO_DO_TOGETHER

_MOST_NAMES: Final = 5
_BAR: Final = 30  # letters of the longest one
_MUCH: Final = 2.0  # times as fast, or as slow, is worth a word
_MINUTE: Final = 60
_ALMOST_ALL: Final = 0.9
_MOST: Final = 0.5
_OUR_WORDS: Final = frozenset({MessageStatus.REFUSED, MessageStatus.NOT_FOUND})


def compose_range(
    key: EpisodeKey, telling: Telling, places: Places, *, quiet: timedelta
) -> FailureNotice:
    """The summary of what an episode has counted, or its last line."""
    it = _Range(key=key, telling=telling, quiet=quiet)
    facts = {name: on_one_line(fact) for name, fact in _facts(it, places).items() if fact}
    return FailureNotice(
        subject=as_subject(facts["headline"]),
        email=_email(it, facts),
        default=json.dumps(_custom_notification(it, facts)),
        attributes=_attributes(it),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """What is told, and what its words hang on."""

    key: EpisodeKey
    telling: Telling
    quiet: timedelta

    @property
    def explained(self) -> Explanation:
        if self.key.cause == MessageStatus.NOT_FOUND:
            return NOT_FOUND
        return explain(self.key.error_code)

    @property
    def kind_of_failure(self) -> str:
        """The title with its code, as in: Handset unreachable (30003)."""
        code = f" ({self.key.error_code})" if self.key.error_code else ""
        return f"{self.explained.title}{code}"

    @property
    def is_closing(self) -> bool:
        return self.telling.kind is Kind.CLOSING

    @property
    def not_delivered(self) -> str:
        match self.key.cause:
            case MessageStatus.REFUSED:
                return "not sent"
            case MessageStatus.NOT_FOUND:
                return "probably not sent"
            case _:
                return "not delivered"


def _facts(it: _Range, places: Places) -> dict[str, str | None]:
    """Every fact of the notice by its name; what is not known is left out."""
    telling, code = it.telling, it.key.error_code
    failures = telling.failures
    return {
        "event": "failure",
        "kind": str(telling.kind),
        "headline": _headline(it),
        "episode_id": telling.episode_id,
        "range_from": str(telling.range_from) if failures else None,
        "range_to": str(telling.range_to) if failures else None,
        "failures": str(failures),
        "counted": str(telling.range_to),
        "recovered": str(telling.recovered),
        "account_sid": it.key.account_sid,
        "cause": it.key.cause,
        "error_code": str(code) if code else None,
        "title": it.explained.title,
        "category": str(it.explained.category),
        "how_bad": HOW_BAD_TOGETHER[it.explained.category],
        "retryable": "true" if it.explained.retryable else "false",
        "action": it.explained.action,
        "opened_at": iso(telling.opened_at),
        "since": iso(telling.since),
        "until": iso(telling.until),
        "last_failure_at": iso(telling.last_failure_at),
        "trend": _trend(it),
        "countries": _names(telling.tally.countries, failures) if failures else None,
        "senders": _names(telling.tally.senders, failures) if failures else None,
        "examples": "; ".join(map(_example, telling.examples)),
        "notice_id": telling.notice_id,
        "error_url": f"https://www.twilio.com/docs/api/errors/{code}" if code else None,
        "list_url": f"{places.messages_api_url.rstrip('/')}/messages"
        f"?failed_on={telling.until:%Y-%m-%d}",
        "dashboard_url": places.dashboard_url,
    }


def _headline(it: _Range) -> str:
    telling = it.telling
    if not telling.failures:
        return f"No more failures: {it.kind_of_failure}, {_number(telling.range_to)} in all"
    more = _messages(telling.failures, "more message")
    headline = f"{more} {it.not_delivered}: {it.kind_of_failure}"
    return f"It has stopped. {headline}" if it.is_closing and not telling.is_muted else headline


def _email(it: _Range, facts: Mapping[str, str]) -> str:
    telling = it.telling
    parts = [_what_happened(it), _about(it, facts)]
    if telling.failures:
        tally = telling.tally
        parts += [
            section("Is it getting better", facts["trend"], *_chart(tally.timing)),
            section("Where it happens", *_places_of_failures(it)),
            section("For example", *map(_example, telling.examples)),
        ]
    if not it.is_closing:
        parts += [
            section("What went wrong", f"{it.kind_of_failure}.", facts["how_bad"]),
            section("What to do", *_what_to_do(it)),
        ]
    parts += [
        section("Where to look", *_where_to_look(facts)),
        _what_follows(it),
        f"Notice {telling.notice_id}. Should it arrive twice, it carries the same id and numbers.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what_happened(it: _Range) -> str:
    telling = it.telling
    if not telling.failures:
        return (
            f"It has stopped: for {span(telling.until - telling.last_failure_at)} no message has "
            f"failed with: {it.kind_of_failure}. {_in_all(it)}"
        )
    since = span(telling.until - telling.since)
    more, were = _messages(telling.failures, "more message"), _was(telling.failures)
    happened = f"{more} {were} {it.not_delivered} in the last {since}: {it.kind_of_failure}."
    if telling.is_muted:
        muted = "Its category is muted by now, so this is the last notice of it."
        return f"{happened} {_in_all(it)} {muted}"
    if it.is_closing:
        for_long = span(telling.until - telling.last_failure_at)
        happened = f"It has stopped: for {for_long} nothing has failed like this. {happened}"
    return f"{happened} {_in_all(it)}"


def _in_all(it: _Range) -> str:
    telling = it.telling
    opened = span(telling.until - telling.opened_at)
    text = f"In all it is {_messages(telling.range_to, 'message')} since it began {opened} ago"
    if telling.recovered:
        return f"{text}; {_number(telling.recovered)} of them arrived after all."
    return f"{text}."


def _about(it: _Range, facts: Mapping[str, str]) -> str:
    telling = it.telling
    rows = {
        "Failures": f"{facts['range_from']} to {facts['range_to']} of this episode"
        if telling.failures
        else "",
        "In all": _number(telling.range_to),
        "Arrived": f"{_number(telling.recovered)} after all" if telling.recovered else "",
        "Account": it.key.account_sid,
        "Began": utc(telling.opened_at),
        "Last one": utc(telling.tally.last_at or telling.last_failure_at),
        "Episode": telling.episode_id,
    }
    return "\n".join(f"  {name + ':':<11}{row}" for name, row in rows.items() if row)


def _trend(it: _Range) -> str | None:
    """Whether it gets better, in a sentence: against the time before, or within this one."""
    telling = it.telling
    if not telling.failures:
        return None
    rate, before = _rate(telling.pace), telling.before
    if it.is_closing and not telling.is_muted:
        return f"Yes: the last one was {_ago(it)}."
    if before is not None and before.failures:
        compared = _compared(_per_minute(telling.pace), _per_minute(before))
        return f"{compared}: {rate}, {_rate(before)} before that."
    counts = telling.tally.timing.counts
    half = len(counts) // 2
    if half and sum(counts) > 1:
        early, late = sum(counts[:half]) / half, sum(counts[half:]) / (len(counts) - half)
        return f"{_compared(late, early)}: {rate}; the last one was {_ago(it)}."
    return f"Nobody can say yet: {rate}; the last one was {_ago(it)}."


def _compared(late: float, early: float) -> str:
    if late * _MUCH <= early:
        return "Yes, it is slowing down"
    if late >= early * _MUCH:
        return "No, it is getting worse"
    return "No, it goes on at about the same pace"


def _ago(it: _Range) -> str:
    last = it.telling.tally.last_at or it.telling.last_failure_at
    return f"{span(it.telling.until - last)} ago"


def _per_minute(pace: Pace) -> float:
    return pace.failures * _MINUTE / max(pace.seconds, 1)


def _rate(pace: Pace) -> str:
    """As a person says it: 23 a minute, or 4 an hour where it is less than one a minute."""
    a_minute = _per_minute(pace)
    if pace.seconds < _MINUTE:
        return f"{_number(pace.failures)} in {span(timedelta(seconds=pace.seconds))}"
    if a_minute >= 1:
        return f"{_number(round(a_minute))} a minute"
    return f"{_number(max(1, round(a_minute * _MINUTE)))} an hour"


def _chart(timing: Timing) -> Iterator[str]:
    """A bar for each slot of time, as long as its failures are many."""
    most = max(timing.counts, default=0)
    slot = timedelta(seconds=timing.seconds)
    clock = "%H:%M" if timing.seconds >= _MINUTE else "%H:%M:%S"
    for place, count in enumerate(timing.counts if len(timing.counts) > 1 else ()):
        begins: datetime = timing.since + place * slot
        bar = "#" * max(round(count * _BAR / most), 1 if count else 0)
        yield f"{begins:{clock}}  {bar} {_number(count)}".rstrip()


def _places_of_failures(it: _Range) -> Iterator[str]:
    tally, failures = it.telling.tally, it.telling.failures
    yield f"Recipients in: {_names(tally.countries, failures)}"
    yield f"Sent from:     {_names(tally.senders, failures)}"
    for what, counts in (("country", tally.countries), ("sender", tally.senders)):
        if found := _what_stands_out(what, counts, failures):
            yield found


def _what_stands_out(what: str, counts: Mapping[str, int], failures: int) -> str:
    """Said where there are several, and one of them has most of it."""
    name, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    if len(counts) > 1 and count >= _MOST * failures:
        share = "Almost all" if count >= _ALMOST_ALL * failures else "Most"
        return f"{share} of it is one {what}: {name}."
    return ""


def _names(counts: Mapping[str, int], failures: int) -> str:
    """The largest first, each with its count; what is left in one number."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_NAMES]
    rest = failures - sum(count for _, count in largest)
    named = [f"{name} {_number(count)}" for name, count in largest]
    return ", ".join([*named, f"others {_number(rest)}"] if rest > 0 else named)


def _example(example: Example) -> str:
    to = f" to {example.to}" if example.to else ""
    reference = f", reference {example.reference}" if example.reference else ""
    return on_one_line(f"{example.message_sid}{to}{reference}")


def _what_to_do(it: _Range) -> list[str]:
    return [WHAT_TO_DO_TOGETHER[it.explained.category], it.explained.action]


def _where_to_look(facts: Mapping[str, str]) -> list[str]:
    rows = {
        "What failed": f"GET {facts['list_url']} (with IAM credentials)",
        "This error": facts.get("error_url"),
        "Dashboard": facts.get("dashboard_url"),
    }
    return [f"{name + ':':<13}{row}" for name, row in rows.items() if row]


def _what_follows(it: _Range) -> str:
    if it.is_closing:
        return "" if it.telling.is_muted else "The next failure of this kind is told at once again."
    return (
        f"The next summary comes in {span(it.quiet)}, or a last line when nothing more fails for "
        "that long."
    )


def _custom_notification(it: _Range, facts: Mapping[str, str]) -> dict[str, object]:
    description = [_what_happened(it)]
    if it.telling.failures:
        description += [
            f"*Is it getting better?* {facts['trend']}",
            *_places_of_failures(it),
        ]
    steps = [] if it.is_closing else _what_to_do(it)
    return {
        "version": "1.0",
        "source": "custom",
        "id": it.telling.notice_id,
        "content": {
            "textType": "client-markdown",
            "title": facts["headline"],
            "description": "\n".join(description),
            "nextSteps": [*steps, f"Look at what failed: {facts['list_url']}"],
            "keywords": [facts["kind"], facts["category"], facts.get("error_code", "no code")],
        },
        "metadata": {
            "threadId": it.telling.episode_id,
            "summary": facts["headline"],
            "eventType": facts["event"],
            "relatedResources": [example.message_sid for example in it.telling.examples],
            "additionalContext": dict(facts),
        },
    }


def _attributes(it: _Range) -> dict[str, str | int]:
    """As those of a message's notice; `status` is what the messages of an episode share."""
    attributes: dict[str, str | int | None] = {
        "status": it.key.cause if it.key.cause in _OUR_WORDS else "failed",
        "category": str(it.explained.category),
        "account_sid": it.key.account_sid,
        "retryable": "true" if it.explained.retryable else "false",
        "error_code": it.key.error_code,
    }
    return {name: value for name, value in attributes.items() if value}


def _messages(count: int, what: str) -> str:
    return f"{_number(count)} {what}{'' if count == 1 else 's'}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _number(count: int) -> str:
    return f"{count:,}"
