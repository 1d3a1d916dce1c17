import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from delivery.domain.messages import Message
from delivery.text.formatting import mask_number
from delivery.twilio.error_codes import Category
from functions.notify_failure.episode import Episode, EpisodeKey, Example, Telling, episode_begun
from functions.notify_failure.episode_notice import compose_range
from functions.notify_failure.notice import FailureNotice, Places
from functions.notify_failure.wording import HOW_BAD, HOW_BAD_TOGETHER, WHAT_TO_DO_TOGETHER
from tests.builders import ACCOUNT_SID, NOON, a_message, an_update

QUIET = timedelta(minutes=15)
PLACES = Places(
    messages_api_url="https://messages.example.com",
    dashboard_url="https://console.example.com/dashboard",
)


def a_failure(number: int = 0, *, minutes: float = 0, **facts: Any) -> Message:
    return a_message(
        an_update(
            "undelivered",
            after=minutes * 60,
            **{"message_sid": f"SM{number:032x}", "error_code": 30007} | facts,
        )
    )


def a_storm(by_minute: Mapping[float, int], **facts: Any) -> Episode:
    """An episode that began at noon, and so many failures in these minutes after it."""
    episode = episode_begun(a_failure(**facts), NOON, QUIET, previous=None, muted=False)
    return going_on(episode, by_minute, **facts)


def going_on(episode: Episode, by_minute: Mapping[float, int], **facts: Any) -> Episode:
    for minutes, failures in by_minute.items():
        at = NOON + timedelta(minutes=minutes)
        messages = [
            a_failure(episode.counted + number, minutes=minutes, **facts)
            for number in range(failures)
        ]
        episode = episode.with_more(messages, at, partial(mask_number, whole=False))
    return episode


def told_at(minutes: float, episode: Episode, *, muted: bool = False) -> Episode:
    """The episode when the notifier looks at it, its examples named."""
    looked_at = episode.looked_at(NOON + timedelta(minutes=minutes), QUIET, muted=muted)
    assert looked_at.telling is not None
    sids = looked_at.telling.tally.examples
    return looked_at.with_examples(
        [Example(message_sid=sid, to="…4567", reference="order-1") for sid in sids]
    )


def after_telling(minutes: float, episode: Episode) -> Episode:
    telling = told_at(minutes, episode).telling
    assert telling is not None
    at = NOON + timedelta(minutes=minutes)
    return told_at(minutes, episode).after_telling(telling.notice_id, at, QUIET)


def a_notice(minutes: float, episode: Episode, *, muted: bool = False) -> FailureNotice:
    told = told_at(minutes, episode, muted=muted)
    assert told.telling is not None
    return compose_range(told.key, told.telling, PLACES, quiet=QUIET)


def facts_of(notice: FailureNotice) -> dict[str, str]:
    facts: dict[str, str] = json.loads(notice.default)["metadata"]["additionalContext"]
    return facts


def test_a_summary_tells_the_whole_story_without_looking_anything_up() -> None:
    storm = a_storm({1: 60, 4: 30, 8: 20, 14.5: 10})
    storm = going_on(storm, {14.8: 5}, from_="+15005550009").with_recovered(3)

    email = a_notice(15, storm).email

    assert (
        re.sub(r"inc_[0-9a-f]{32}", "inc_1", email)
        == f"""\
125 more messages were not delivered in the last 15 min: Filtered by Twilio or the carrier, \
error 30007. That makes 126 since 12:00 UTC; 3 of them arrived after all.

  More:    125 (numbers 2 to 126 of this episode)
  In all:  126
  Arrived: 3 after all
  Account: {ACCOUNT_SID}
  Began:   2026-11-23 12:00:00 UTC
  First:   2026-11-23 12:01:00 UTC
  Last:    2026-11-23 12:14:48 UTC
  Episode: inc_1

What went wrong
  Filtered by Twilio or the carrier, error 30007.
  Carriers take the content or the sender for unwanted. It rarely ends by itself, and each further \
message makes the sender's standing worse.

What to do
  Stop sending this content from these senders until you know what is being filtered.
  Review content, consent and sender registration; do not resend the same text.

Top senders
  …0006 120, …0009 5

Examples
  SM{1:032x} to …4567, reference order-1
  SM{2:032x} to …4567, reference order-1
  SM{3:032x} to …4567, reference order-1
  SM{4:032x} to …4567, reference order-1
  SM{5:032x} to …4567, reference order-1

Where to look
  What failed: GET https://messages.example.com/messages?failed_on=2026-11-23 (with IAM credentials)
  This error:  https://www.twilio.com/docs/api/errors/30007
  Dashboard:   https://console.example.com/dashboard

The next summary comes in 15 min, or a last line when nothing more fails for that long.

Notice inc_1:2-126. Should it arrive twice, it carries the same id and numbers.
"""
    )


def test_a_last_line_is_short_and_asks_for_nothing() -> None:
    notice = a_notice(31, after_telling(15, a_storm({1: 50, 14: 9})))

    assert notice.subject == (
        "It has stopped: Filtered by Twilio or the carrier, error 30007, 60 messages in all"
    )
    assert notice.email.startswith(
        "It has stopped: for 17 min nothing has failed with Filtered by Twilio or the carrier, "
        "error 30007. In all, 60 messages were not delivered since 12:00 UTC.\n"
    )
    assert "What to do" not in notice.email
    assert "is told at once again" in notice.email


def test_a_last_line_tells_what_no_summary_has_told() -> None:
    notice = a_notice(20, a_storm({1: 50, 2: 9}))

    assert notice.subject.startswith("It has stopped. 59 more messages not delivered: ")
    assert "for 18 min nothing has failed like this. 59 more messages were" in notice.email
    assert "…0006 59" in notice.email


def test_one_or_two_failures_make_no_storm() -> None:
    notice = a_notice(15, a_storm({14: 1}))

    assert notice.subject.startswith("1 more message not delivered: ")
    assert "number 2 of this episode" in notice.email
    assert HOW_BAD[Category.CARRIER_FILTERING] in notice.email


def test_many_senders_are_summed_up() -> None:
    storm = a_storm({1: 10})
    for sender in range(1, 8):
        storm = going_on(storm, {14: 1}, from_=f"+1500555100{sender}")

    email = a_notice(15, storm).email

    assert "…0006 10, …1001 1, …1002 1, …1003 1, …1004 1, others 3" in email


def test_no_notice_of_an_episode_shows_a_number() -> None:
    notice = a_notice(15, a_storm({14: 50}))

    said = notice.subject + notice.email + notice.default
    assert "8675310" not in said
    assert "5550006" not in said


def test_a_program_finds_every_fact_of_a_summary_by_name() -> None:
    storm = a_storm({14: 50}).with_recovered(2)

    facts = facts_of(a_notice(15, storm))

    assert {
        "event": "failure",
        "kind": "summary",
        "episode_id": storm.episode_id,
        "range_from": "2",
        "range_to": "51",
        "failures": "50",
        "counted": "51",
        "recovered": "2",
        "account_sid": ACCOUNT_SID,
        "error_code": "30007",
        "category": "carrier_filtering",
        "senders": "…0006 50",
        "first_at": "2026-11-23T12:14:00.000Z",
        "last_at": "2026-11-23T12:14:00.000Z",
        "notice_id": f"{storm.episode_id}:2-51",
        "opened_at": "2026-11-23T12:00:00.000Z",
        "until": "2026-11-23T12:15:00.000Z",
    }.items() <= facts.items()
    assert all(facts.values())


def test_a_chat_channel_gets_the_notices_of_an_episode_in_one_thread() -> None:
    storm = a_storm({14: 50})

    notification = json.loads(a_notice(15, storm).default)

    assert notification["metadata"]["threadId"] == storm.episode_id
    assert notification["id"] == f"{storm.episode_id}:2-51"
    assert "Top senders: …0006 50" in notification["content"]["description"]
    assert WHAT_TO_DO_TOGETHER[Category.CARRIER_FILTERING] in notification["content"]["nextSteps"]


def test_subscribers_can_filter_summaries_by_attributes() -> None:
    assert a_notice(15, a_storm({14: 50})).attributes == {
        "status": "failed",
        "category": "carrier_filtering",
        "account_sid": ACCOUNT_SID,
        "retryable": "false",
        "error_code": 30007,
    }


def test_requests_that_were_not_found_are_told_in_their_own_words() -> None:
    storm = a_storm({14: 50}, error_code=None)
    key = EpisodeKey(account_sid=ACCOUNT_SID, cause="presumed_unsent")
    telling = told_at(15, storm).telling
    assert telling is not None

    notice = compose_range(key, telling, PLACES, quiet=QUIET)

    assert notice.subject == "50 more messages probably not sent: No trace of it at Twilio"
    assert "never sent again" in notice.email
    assert notice.attributes["status"] == "presumed_unsent"
    assert "error_code" not in notice.attributes


def test_a_category_that_was_muted_says_that_this_is_its_last_notice() -> None:
    notice = a_notice(15, a_storm({14: 50}), muted=True)

    assert "muted by now: this is the last notice" in notice.email
    assert not notice.subject.startswith("It has stopped")
    assert "told at once again" not in notice.email


def test_an_odd_reference_forges_no_line() -> None:
    telling = told_at(15, a_storm({14: 50})).telling
    assert telling is not None
    odd = replace(telling, examples=(Example(message_sid="SM1", reference="x\nIn all:  0"),))

    notice = compose_range(EpisodeKey.of(a_failure()), odd, PLACES, quiet=QUIET)

    assert "reference x In all:" in notice.email


@pytest.mark.parametrize("code", [30003, 30007, 21610, 99999, None])
def test_the_subject_of_a_storm_of_thousands_is_what_sns_takes(code: int | None) -> None:
    episode = told_at(15, a_storm({14: 5}, error_code=code))
    assert episode.telling is not None
    telling = replace(episode.telling, range_to=10_000)

    subject = compose_range(episode.key, telling, PLACES, quiet=QUIET).subject

    assert subject.startswith("9,999 more messages not delivered: ")
    assert re.fullmatch(r"[ -~]{1,99}", subject)


@pytest.mark.parametrize("category", Category)
def test_every_category_says_how_bad_many_are_and_what_to_do(category: Category) -> None:
    for words in (HOW_BAD_TOGETHER[category], WHAT_TO_DO_TOGETHER[category]):
        assert words.endswith(".")


def test_an_interval_of_seconds_is_shown_in_seconds() -> None:
    quick = timedelta(seconds=6)
    episode = episode_begun(a_failure(), NOON, quick, previous=None, muted=False)
    episode = going_on(episode, {2 / 60: 20, 5 / 60: 20})
    telling: Telling | None = episode.looked_at(NOON + quick, quick, muted=False).telling
    assert telling is not None

    notice = compose_range(episode.key, telling, PLACES, quiet=quick)

    assert "in the last 6 s" in notice.email
