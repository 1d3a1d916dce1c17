"""The write units that the data model promises for a message."""

from bench import write_units
from bench.counting import CountingDynamoDb


def message_writes(counting: CountingDynamoDb) -> list[int]:
    return [write.units.all for write in counting.writes if write.table == "MessagesTable"]


def test_a_delivered_message_costs_seven_write_units() -> None:
    counting = write_units.delivered(("queued", "sent", "delivered"))

    assert message_writes(counting) == [4, 1, 2]


def test_a_status_that_is_neither_first_nor_final_costs_one_write_unit() -> None:
    first, *between, last = message_writes(write_units.delivered())

    assert (first, between, last) == (4, [1, 1], 2)


def test_a_message_without_a_reference_costs_a_unit_less() -> None:
    assert message_writes(write_units.delivered(reference=None))[0] == 3


def test_an_sms_through_four_transitions_fits_in_a_kibibyte() -> None:
    own = [*write_units.CONTEXT, *write_units.CONTEXT.values(), write_units.REFERENCE]
    own_bytes = sum(len(text.encode()) for text in own)

    last = write_units.delivered().writes[-1]

    assert 170 <= own_bytes <= 180
    assert last.bytes_after <= 1024


def test_a_successful_send_reads_nothing_from_the_tables() -> None:
    operations = write_units.delivered().requests

    assert set(operations) == {"put_item", "update_item"}


def test_a_failure_that_opens_an_incident_costs_sixteen_write_units() -> None:
    failed = write_units.failed()

    # First write: by_list and by_to. Failure: the lists of failures and of due notices. Claim, in
    # one transaction with the incident: each item twice, and a new sort key in by_notice_due.
    # Publication: removed from by_notice_due.
    assert message_writes(failed) == [3, 4, 4, 2]
    assert sum(write.units.all for write in failed.writes) == 16
