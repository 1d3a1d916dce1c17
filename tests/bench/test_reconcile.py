"""The requests of a reconciliation."""

from collections import Counter

from bench.reconcile import deployed_seconds, reconcile


def test_a_listed_backlog_takes_one_page_of_twilios_list_and_no_fetch() -> None:
    counts = reconcile(150, listed=True)

    # 16 queries of the pending list, 2 batches of at most 100 reads, and a write for each message.
    assert counts == Counter(list=1, fetch=0, dynamodb=16 + 2 + 150)


def test_each_message_that_the_list_lacks_is_fetched() -> None:
    assert reconcile(20, listed=False)["fetch"] == 20


def test_the_time_of_a_run_is_estimated_from_its_requests() -> None:
    assert deployed_seconds(Counter(list=2, fetch=10, dynamodb=100)) == 2 * 1.5 + 10 * 0.15 + 0.6
