"""The model of a campaign, with few messages."""

import pytest

from bench.campaign import Campaign

MESSAGES = 3000


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return Campaign(MESSAGES, 1).run()


def test_every_message_is_sent_although_invocations_are_killed(campaign: Campaign) -> None:
    assert campaign.killed > 0
    assert set(campaign.sent_at) == set(range(MESSAGES))


def test_waiting_takes_few_of_the_480_receives_of_a_message(campaign: Campaign) -> None:
    assert campaign.dead_letters == 0
    assert max(campaign.receives.values()) < 20


def test_the_rate_is_kept_and_used(campaign: Campaign) -> None:
    seconds = [int(at) for at in campaign.sent_at.values()]

    assert max(seconds.count(it) for it in set(seconds)) <= 2
    assert MESSAGES / (max(seconds) - 600) > 0.95


def test_a_message_waits_little_in_a_function(campaign: Campaign) -> None:
    assert campaign.lambda_seconds / MESSAGES < 3
