"""A small campaign keeps the promises of a large one."""

import pytest

from bench.campaign import Campaign

MESSAGES = 3000


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    return Campaign(MESSAGES, 1).run()


def test_every_message_goes_once_though_all_that_runs_is_killed_in_the_middle(
    campaign: Campaign,
) -> None:
    assert campaign.killed > 0
    assert set(campaign.sent) == set(range(MESSAGES))
    assert set(campaign.sent.values()) == {1}


def test_waiting_takes_few_of_the_480_times_that_a_message_is_handed_out(
    campaign: Campaign,
) -> None:
    assert campaign.dead_letters == 0
    assert max(campaign.received) < 20


def test_the_rate_is_kept_and_used(campaign: Campaign) -> None:
    without_the_ten_minutes = campaign.seconds - 600

    assert campaign.most_a_second <= 2
    assert MESSAGES / without_the_ten_minutes > 0.95


def test_a_message_waits_little_in_a_function(campaign: Campaign) -> None:
    assert campaign.lambda_seconds / MESSAGES < 3
