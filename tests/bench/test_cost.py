"""The arithmetic of the cost model, with figures that can be checked by hand."""

from dataclasses import replace

import pytest

from bench import cost, report
from bench.command import main
from bench.cost import Assumed, Figures, Workload, bill, ours, queue_first
from tests.template.counting import counted

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
    audit_cpu_ms=0.2,
    price_units=1,
    item_bytes=900,
    request_bytes=600,
    sweep_reads=1,
    reconcile_reads=24,
    alarm_metrics=20,
    dashboard_metrics=50,
)
NOTHING = Workload(messages=0, audited=False)
ONLY_DELIVERED = Workload(messages=1_000_000, callbacks=3, failed=0, stale=0, audited=False)


def more(load: Workload) -> cost.Dollars:
    """Return the bill of a month beyond that of an idle one."""
    fixed = bill(ours(replace(load, messages=0), FIGURES), PRICES)
    return {name: it - fixed[name] for name, it in bill(ours(load, FIGURES), PRICES).items()}


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
        (1.769, 5, 128, 30),
        (1, 5, 3538, 6),
    ],
)
def test_with_less_memory_an_invocation_takes_longer(
    cpu_ms: float, waiting_ms: float, memory: int, billed: int
) -> None:
    assert cost.billed_ms(cpu_ms, waiting_ms, memory) == billed


def test_the_queue_first_design_pays_for_two_more_services_per_callback() -> None:
    mine, other = (bill(design(ONLY_DELIVERED, FIGURES), PRICES) for design in (ours, queue_first))

    callbacks, batches = 3.0, 3.0 / Assumed().batch  # in millions
    assert other["SNS"] - mine["SNS"] == pytest.approx(callbacks * 0.50)
    assert other["SQS"] - mine["SQS"] == pytest.approx((callbacks + 2 * batches) * 0.40)


def test_an_audit_reads_each_message_twice_and_writes_its_price_once() -> None:
    load = replace(ONLY_DELIVERED, audited=True)

    difference = (
        more(load)["DynamoDB writes and reads"] - more(ONLY_DELIVERED)["DynamoDB writes and reads"]
    )

    assert difference == pytest.approx(2 * 0.5 * 0.125 + 0.625)


def test_the_archive_is_billed_for_records_of_five_kibibytes() -> None:
    archived = ours(replace(ONLY_DELIVERED, archived=True), FIGURES)

    assert archived["firehose_gb"] == pytest.approx(3_000_000 * 5 * 1024 / 1024**3)
    assert "firehose_gb" not in ours(ONLY_DELIVERED, FIGURES)


# --- what does not depend on messages ------------------------------------------------------------


def test_each_metric_of_an_alarm_is_billed() -> None:
    assert bill(ours(NOTHING, FIGURES), PRICES)["CloudWatch alarms"] == pytest.approx(20 * 0.10)
    assert cost.metrics_of_alarm({"MetricName": "A"}) == 1
    assert cost.metrics_of_alarm({"Metrics": [{}, {"MetricStat": 1}, {"MetricStat": 2}]}) == 2


def test_a_metric_is_billed_for_the_hours_in_which_it_has_values() -> None:
    idle, busy = (cost.metric_months(Workload(messages=it)) for it in (0, 1_000_000))

    # ReconcileRun and AuditRun in every hour, AuditCorrectedPercent in two hours of a day.
    assert idle == pytest.approx(2 + 2 / 24)
    assert idle < busy < len(counted()) / 2


def test_every_metric_of_the_model_is_counted() -> None:
    names = {name for name, _ in counted()}

    assert names >= cost.SCHEDULED.keys() | cost.COUNTED


def test_the_free_tier_is_subtracted_from_what_is_billed() -> None:
    usage = {"sqs_million_requests": 1.5, "alarm_metric_month": 8.0, "secret_month": 1.0}

    dollars = bill(usage, PRICES, cost.free_tier())

    assert dollars["SQS"] == pytest.approx(0.5 * 0.40)
    assert dollars["CloudWatch alarms"] == 0
    assert dollars["Secrets Manager"] == pytest.approx(0.40)


def test_a_dashboard_with_too_many_metrics_is_not_free() -> None:
    large = replace(FIGURES, dashboard_metrics=51)

    dollars = [
        bill(ours(NOTHING, it), PRICES, cost.free_tier())["CloudWatch dashboard"]
        for it in (FIGURES, large)
    ]

    assert dollars == [0, 3]


def test_an_idle_stack_costs_at_most_nine_dollars_and_four_with_the_free_tier() -> None:
    figures = Figures.of(report.results_of(report.load()))
    usage = ours(Workload(messages=0), figures)

    assert sum(bill(usage, PRICES).values()) <= 9
    assert sum(bill(usage, PRICES, cost.free_tier()).values()) <= 4


# --- prices --------------------------------------------------------------------------------------


def test_every_region_has_every_price() -> None:
    billed = {name for names in cost.SERVICES.values() for name in names}

    assert {frozenset(prices) for prices in cost.regions().values()} == {frozenset(billed)}
    assert cost.free_tier().keys() <= billed


def test_the_command_line_accepts_volume_and_region(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--messages", "5000000", "--region", "eu-west-1"])

    shown = capsys.readouterr().out
    assert "5,000,000 messages" in shown
    assert "DynamoDB" in shown


def test_an_unknown_region_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--region", "mars-north-1"])

    assert "us-east-1" in capsys.readouterr().err


def test_the_page_explains_the_alarms_and_the_dashboard_of_this_template() -> None:
    page = report.PAGE.read_text("utf-8")
    metrics = sum(map(cost.metrics_of_alarm, cost.alarms_by_default()))

    assert f"| {metrics} alarm metrics at $0.10 | {metrics * 0.10:.2f} |" in page
    assert f"this one has {cost.dashboard_metrics()}." in page
