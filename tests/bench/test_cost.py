"""The arithmetic of the cost model, with figures that can be checked by hand."""

from dataclasses import replace

import pytest

from bench import cost
from bench.command import main
from bench.cost import Assumed, Figures, UnknownRegion, Workload, ours, queue_first

PRICES = cost.prices_in("us-east-1")
FIGURES = Figures(
    callback_cpu_ms=1.0,
    send_cpu_ms=5.0,
    callback_log_bytes=474,  # 500 with CloudWatch's overhead
    send_log_bytes=0,
    send_log_lines=0,
    message_units=8,
    request_units=4,
    send_requests=3,
    failure_units=11,
    item_bytes=900,
    request_bytes=600,
    metrics=10,
    alarms=20,
)
NOTHING = Workload(messages=0)
ONLY_DELIVERED = Workload(messages=1_000_000, callbacks=3, failed=0, stale=0)


def more(load: Workload) -> cost.Dollars:
    """Return the bill of a month beyond that of an idle one."""
    fixed = ours(NOTHING, FIGURES, PRICES)
    return {name: it - fixed[name] for name, it in ours(load, FIGURES, PRICES).items()}


def test_each_api_request_is_billed() -> None:
    assert more(ONLY_DELIVERED)["API Gateway"] == pytest.approx(1 + 3)


def test_write_units_are_billed_by_the_million() -> None:
    assert more(ONLY_DELIVERED)["DynamoDB writes and reads"] == pytest.approx(12 * 0.625)


def test_a_failure_costs_its_units_and_two_reads() -> None:
    failing = replace(ONLY_DELIVERED, failed=0.1)

    difference = {name: it - more(ONLY_DELIVERED)[name] for name, it in more(failing).items() if it}

    assert difference["DynamoDB writes and reads"] == pytest.approx(0.1 * (11 * 0.625 + 2 * 0.125))
    assert difference["SNS"] == pytest.approx(0.1 * 0.50)


def test_logs_are_billed_by_the_gibibyte() -> None:
    gib = 3_000_000 * 500 / 1024**3

    assert more(ONLY_DELIVERED)["CloudWatch logs"] == pytest.approx(gib * 0.53)


@pytest.mark.parametrize(
    ("cpu_ms", "waiting_ms", "memory", "billed"),
    [
        (1.769, 0, 1769, 2),
        (1.769, 0, 1000, 4),
        (1.769, 5, 128, 30),
        (1, 5, 3538, 6),
        (0, 7, 128, 7),
    ],
)
def test_with_less_memory_an_invocation_takes_longer(
    cpu_ms: float, waiting_ms: float, memory: int, billed: int
) -> None:
    assert cost.billed_ms(cpu_ms, waiting_ms, memory) == billed


def test_compute_is_billed_by_memory_and_time() -> None:
    a_gib_for_a_second = cost.compute(1, 1000, 1024, PRICES)

    assert a_gib_for_a_second == PRICES["lambda_gb_second"]


def test_both_designs_cost_the_same_without_callbacks() -> None:
    mine, other = (design(NOTHING, FIGURES, PRICES) for design in (ours, queue_first))

    assert {name: mine.get(name, 0) for name in other} == pytest.approx(other)


def test_the_queue_first_design_pays_for_two_more_services_per_callback() -> None:
    mine, other = (design(ONLY_DELIVERED, FIGURES, PRICES) for design in (ours, queue_first))

    callbacks, batches = 3.0, 3.0 / Assumed().batch  # in millions
    assert other["SNS"] - mine["SNS"] == pytest.approx(callbacks * 0.50)
    assert other["SQS"] - mine["SQS"] == pytest.approx((callbacks + 2 * batches) * 0.40)


def test_metrics_and_alarms_are_billed_by_their_number() -> None:
    fixed = ours(NOTHING, FIGURES, PRICES)

    assert fixed["CloudWatch metrics and alarms"] == pytest.approx(10 * 0.30 + 20 * 0.10 + 3)


def test_an_unknown_region_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UnknownRegion, match="eu-west-1"):
        cost.prices_in("mars-north-1")


def test_every_region_has_every_price() -> None:
    assert len({frozenset(prices) for prices in cost.regions().values()}) == 1


def test_the_command_line_accepts_volume_and_region(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--messages", "5000000", "--region", "eu-west-1"])

    shown = capsys.readouterr().out
    assert "5,000,000 messages" in shown
    assert "DynamoDB" in shown


def test_an_unknown_region_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--region", "mars-north-1"])

    assert "us-east-1" in capsys.readouterr().err
