"""What people and their chat channels read when more of the same kind has failed.

Pure: what an episode has to tell goes in, the texts come out. Everything in them is fixed when the
telling begins, so that a notice that comes twice says the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from delivery.domain.messages import MessageStatus, iso
from delivery.text.formatting import format_duration
from delivery.twilio.error_codes import Explanation, explain

from .episode import EpisodeKey, Example, Kind, Telling
from .notice import (
    Facts,
    FailureNotice,
    Places,
    as_email,
    as_subject,
    attributes_of,
    custom_notification,
    error_url,
    facts_of,
    on_one_line,
    rows,
    section,
    signed,
    utc,
)
from .wording import HOW_BAD_TOGETHER, WHAT_TO_DO_TOGETHER, how_bad

_MAX_SENDERS: Final = 5
_MINUTE: Final = 60
_FEW: Final = 5  # up to here the advice for a single failure still holds
_OUR_WORDS: Final = frozenset({MessageStatus.REJECTED, MessageStatus.PRESUMED_UNSENT})


def compose_range(
    key: EpisodeKey, telling: Telling, places: Places, *, quiet: timedelta
) -> FailureNotice:
    """The summary of what an episode has counted, or its last line."""
    it = _Range(key=key, telling=telling, quiet=quiet)
    facts = facts_of(_facts(it, places))
    return FailureNotice(
        subject=as_subject(facts["headline"]),
        email=_email(it, facts),
        default=_custom_notification(it, facts),
        attributes=attributes_of(facts, status=_status(it), error_code=it.key.error_code),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """What is told, and what its words hang on."""

    key: EpisodeKey
    telling: Telling
    quiet: timedelta

    @property
    def explained(self) -> Explanation:
        return explain(self.key.error_code, self.key.cause)

    @property
    def reason(self) -> str:
        """As in: Handset unreachable (off, no signal, roaming), error 30003."""
        code = f", error {self.key.error_code}" if self.key.error_code else ""
        return f"{self.explained.title}{code}"

    @property
    def are_few(self) -> bool:
        """Whether what is true of one failure is still true of them."""
        return self.telling.range_to < _FEW

    @property
    def is_closing(self) -> bool:
        return self.telling.kind is Kind.CLOSING

    @property
    def not_delivered(self) -> str:
        match self.key.cause:
            case MessageStatus.REJECTED:
                return "not sent"
            case MessageStatus.PRESUMED_UNSENT:
                return "probably not sent"
            case _:
                return "not delivered"


def _facts(it: _Range, places: Places) -> dict[str, str | None]:
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
        "how_bad": _how_bad(it),
        "retryable": str(it.explained.retryable).lower(),
        "action": it.explained.action,
        "what_to_do": " ".join(_what_to_do(it)),
        "opened_at": iso(telling.opened_at),
        "since": iso(telling.since),
        "until": iso(telling.until),
        "last_failure_at": iso(telling.last_failure_at),
        "first_at": iso(telling.tally.first_at) if telling.tally.first_at else None,
        "last_at": iso(telling.tally.last_at) if telling.tally.last_at else None,
        "senders": _top(telling.tally.senders, failures) if failures else None,
        "examples": "; ".join(map(_example, telling.examples)),
        "notice_id": telling.notice_id,
        "error_url": error_url(code),
        "list_url": places.api(f"messages?failed_on={telling.until:%Y-%m-%d}"),
        "dashboard_url": places.dashboard_url,
    }


def _headline(it: _Range) -> str:
    telling = it.telling
    if not telling.failures:
        return f"It has stopped: {it.reason}, {_messages(telling.range_to)} in all"
    headline = f"{_messages(telling.failures, 'more')} {it.not_delivered}: {it.reason}"
    return f"It has stopped. {headline}" if _has_stopped(it) else headline


def _email(it: _Range, facts: Facts) -> str:
    telling = it.telling
    parts = [_what_happened(it), _about(it)]
    if not it.is_closing:
        parts += [
            section("What went wrong", f"{it.reason}.", facts["how_bad"]),
            section("What to do", *_what_to_do(it)),
        ]
    if telling.failures:
        parts += [
            section("Top senders", facts["senders"]),
            section("Examples", *map(_example, telling.examples)),
        ]
    parts += [
        section("Where to look", *_where_to_look(facts)),
        _what_follows(it),
        f"Notice {telling.notice_id}. Should it arrive twice, it carries the same id and numbers.",
    ]
    return as_email(parts)


def _what_happened(it: _Range) -> str:
    """The first lines, which many read nothing but."""
    telling = it.telling
    sentences = []
    if _has_stopped(it):
        quiet = _roughly(telling.until - telling.last_failure_at)
        like = "like this" if telling.failures else f"with {it.reason}"
        sentences.append(f"It has stopped: for {quiet} nothing has failed {like}.")
    if telling.failures:
        were = "was" if telling.failures == 1 else "were"
        since = _roughly(telling.until - telling.since)
        sentences.append(
            f"{_messages(telling.failures, 'more')} {were} {it.not_delivered} in the last {since}: "
            f"{it.reason}."
        )
        sentences.append(f"That makes {_number(telling.range_to)} since {_beginning(it)}.")
    else:
        were = f"{_messages(telling.range_to)} were {it.not_delivered}"
        sentences.append(f"In all, {were} since {_beginning(it)}.")
    if telling.is_muted:
        sentences.append("Failures of this category are muted by now: this is the last notice.")
    return " ".join(sentences)


def _has_stopped(it: _Range) -> bool:
    return it.is_closing and not it.telling.is_muted


def _beginning(it: _Range) -> str:
    """When the episode began, and how much of it was undone since."""
    opened, recovered = it.telling.opened_at, it.telling.recovered
    same_day = opened.date() == it.telling.until.date()
    began = f"{opened:%H:%M} UTC" if same_day else f"{opened:%Y-%m-%d %H:%M} UTC"
    return f"{began}; {_number(recovered)} of them arrived after all" if recovered else began


def _about(it: _Range) -> str:
    telling = it.telling
    first, last = _number(telling.range_from), _number(telling.range_to)
    numbers = f"number {last}" if telling.failures == 1 else f"numbers {first} to {last}"
    failures, recovered = _number(telling.failures), _number(telling.recovered)
    named = {
        "More": f"{failures} ({numbers} of this episode)" if telling.failures else None,
        "In all": last,
        "Arrived": f"{recovered} after all" if telling.recovered else None,
        "Account": it.key.account_sid,
        "Began": utc(telling.opened_at),
        "First": utc(telling.tally.first_at) if telling.tally.first_at else None,
        "Last": utc(telling.tally.last_at or telling.last_failure_at),
        "Episode": telling.episode_id,
    }
    return "\n".join(f"  {row}" for row in rows(named))


def _top(counts: Mapping[str, int], failures: int) -> str:
    """The largest counts first, each after its name; the rest as one number."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MAX_SENDERS]
    rest = failures - sum(count for _, count in largest)
    named = [f"{name} {_number(count)}" for name, count in largest]
    return ", ".join([*named, f"others {_number(rest)}"] if rest > 0 else named)


def _example(example: Example) -> str:
    to = f" to {example.to}" if example.to else ""
    reference = f", reference {example.reference}" if example.reference else ""
    return on_one_line(f"{example.message_sid}{to}{reference}")


def _how_bad(it: _Range) -> str:
    category = it.explained.category
    return how_bad(it.key.cause, category) if it.are_few else HOW_BAD_TOGETHER[category]


def _what_to_do(it: _Range) -> list[str]:
    if it.key.cause == MessageStatus.PRESUMED_UNSENT:
        return [
            it.explained.action,
            "Under their old keys they are never sent again, so that nobody gets one twice.",
        ]
    if it.are_few:
        return [it.explained.action]
    return [WHAT_TO_DO_TOGETHER[it.explained.category], it.explained.action]


def _where_to_look(facts: Facts) -> list[str]:
    return rows(
        {
            "What failed": signed(facts["list_url"]),
            "This error": facts.get("error_url"),
            "Dashboard": facts.get("dashboard_url"),
        }
    )


def _what_follows(it: _Range) -> str:
    if it.is_closing:
        return "" if it.telling.is_muted else "The next failure of this kind is told at once again."
    return (
        f"The next summary comes in {format_duration(it.quiet)}, or a last line when nothing more "
        "fails for that long."
    )


def _custom_notification(it: _Range, facts: Facts) -> str:
    description = [_what_happened(it)]
    if it.telling.failures:
        description.append(f"Top senders: {facts['senders']}")
    if not it.is_closing:
        description.append(f"*{it.reason}.* {facts['how_bad']}")
    description.append(_what_follows(it))
    steps = [] if it.is_closing else _what_to_do(it)
    return custom_notification(
        facts,
        notice_id=it.telling.notice_id,
        episode_id=it.telling.episode_id,
        description=description,
        next_steps=[*steps, f"Look at what failed: {facts['list_url']}"],
        keywords=[facts["kind"], facts["category"], facts.get("error_code", "no code")],
        message_sids=[example.message_sid for example in it.telling.examples],
    )


def _status(it: _Range) -> str:
    """What the messages of the episode share, for whoever filters notices by `status`."""
    return it.key.cause if it.key.cause in _OUR_WORDS else MessageStatus.FAILED


def _messages(count: int, which: str = "") -> str:
    """As in: 1 more message, 341 more messages, 342 messages."""
    named = f"{which} message" if which else "message"
    return f"{_number(count)} {named}{'' if count == 1 else 's'}"


def _roughly(length: timedelta) -> str:
    """A length of time without the seconds that nobody asks for."""
    minutes = round(length.total_seconds() / _MINUTE)
    return format_duration(timedelta(minutes=minutes) if minutes > 1 else length)


def _number(count: int) -> str:
    return f"{count:,}"
