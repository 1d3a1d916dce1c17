"""The design's promises about what a message costs at DynamoDB, counted write by write."""

from bench import life
from bench.life import Counting


def message_writes(counting: Counting) -> list[int]:
    return [write.units.all for write in counting.writes if write.table == "MessagesTable"]


def test_a_delivered_message_costs_seven_write_units() -> None:
    whole = life.delivered(("queued", "sent", "delivered"))

    assert message_writes(whole) == [4, 1, 2]


def test_a_status_that_is_neither_first_nor_final_costs_one_write_unit() -> None:
    first, *between, last = message_writes(life.delivered())

    assert (first, between, last) == (4, [1, 1], 2)


def test_a_message_without_a_reference_costs_a_unit_less() -> None:
    assert message_writes(life.delivered(reference=None))[0] == 3


def test_an_sms_through_four_transitions_fits_in_a_kibibyte() -> None:
    shown = sum(len(f"{name}{value}".encode()) for name, value in life.CONTEXT.items())
    shown += len(life.REFERENCE.encode())

    last = life.delivered().writes[-1]

    assert 170 <= shown <= 180
    assert last.bytes_after <= 1024


def test_a_send_that_succeeds_reads_nothing_from_the_tables() -> None:
    assert life.delivered().reads == 0


def test_a_failure_that_is_told_alone_costs_sixteen_write_units() -> None:
    failed = life.failed()

    # Heard of: by_list and by_to. Failed: on the lists of failures and of notices due. Claimed
    # together with the episode that it opens, each of the two written twice, and still on its list
    # under a newer time. Told: off that list.
    assert message_writes(failed) == [3, 4, 4, 2]
    assert sum(write.units.all for write in failed.writes) == 16
