"""The guarantees I1 to I7, under all faults that can occur between Twilio, AWS and the project."""

import re
from collections.abc import Callable

import pytest

from simulation.checks.violations import violations
from simulation.cli import main
from simulation.fakes.expressions import parse_condition, parse_update
from simulation.faults import NO_FAULTS
from simulation.mutants import mutant_named
from simulation.report import RunReport
from simulation.runs import Totals, run_seeds, seeds_until_caught
from simulation.world import World

_SEEDS_PER_PART = 25
_PARTS = 12
_EXERCISED = {
    *("CallbackQueued", "CallbackReplayed", "OutOfOrderStatusRecorded", "MessageReconciled"),
    *("NoticePublished", "NoticeGrouped", "SummaryPublished", "IncidentOpened", "IncidentClosed"),
    *("SendInDoubt", "InDoubtResolved", "InDoubtPresumedUnsent", "SendDeduplicated"),
    *("RequestQueued", "OutcomePublished", "DayAudited", "AuditCorrected"),
}
"""Metrics that occur several times in each part: without them a run would prove little."""


def reports(totals: Totals) -> str:
    return "\n".join(line for run in totals.broken for line in RunReport(run.seed).lines())


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(_PARTS))
def test_no_run_breaks_a_promise(part: int) -> None:
    seeds = range(part * _SEEDS_PER_PART, (part + 1) * _SEEDS_PER_PART)

    totals = run_seeds(seeds)

    assert not totals.broken, reports(totals)
    assert totals.faults.total() > _SEEDS_PER_PART
    assert totals.metrics.keys() >= _EXERCISED


def test_the_first_three_runs_break_no_promise() -> None:
    totals = run_seeds(range(3))

    assert not totals.broken, reports(totals)


@pytest.mark.thorough
def test_the_command_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--from", "7", "--seeds", "2", "--jobs", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0] == "    python -m simulation --from 7 --seeds 2"
    assert {"| runs | 2 |", "| violations | 0 |"} <= set(lines)
    assert any(line.startswith("| dynamodb |") for line in lines)


@pytest.mark.thorough
def test_the_same_seed_repeats_the_same_run() -> None:
    first, second = World(5).run(), World(5).run()

    assert list(first.trace.lines()) == list(second.trace.lines())
    assert first.aws.tables["MessagesTable"].items() == second.aws.tables["MessagesTable"].items()


def test_a_run_without_faults_has_none() -> None:
    world = World(3, profile=NO_FAULTS).run()

    assert violations(world) == []
    assert world.faults.counts.total() == 0
    assert world.disturbed == set()


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [2, 8, 9])
def test_a_campaign_of_hundreds_breaks_no_promise(seed: int) -> None:
    world = World(seed, campaign=200).run()

    assert violations(world) == []
    assert len(world.twilio.simulator.messages()) > 100
    assert world.disturbed


@pytest.mark.thorough
def test_the_report_of_a_broken_run_has_the_trace_of_the_violation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutant = mutant_named("a failure sets no notice")
    seed = seeds_until_caught(mutant, range(100)) - 1

    code = main(["--seed", str(seed), "--mutant", "a failure sets no"])

    circumstances, _, rest = capsys.readouterr().out.partition("Broken promises:\n")
    broken, _, trace = rest.partition("Trace of ")
    assert code == 1
    assert f"mutant: {mutant.name}" in circumstances
    assert "caller 0 sends to " in circumstances
    subject = re.match(r"  I4  (SM\w{32}): notice None", broken)
    assert subject
    assert subject[1] in trace.partition(":\n")[0]
    for event in ("Twilio", "invoked", f"message_sid={subject[1][:8]}…", "ended"):
        assert event in trace


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mutant", "while its lease holds"],
        ["--about", "SM5ed33e"],
        ["--seed", "17", "--mutant", "no mutant has this name"],
        ["--seed", "17", "--mutant", "sent again"],  # several mutants
    ],
    ids=" ".join,
)
def test_a_usage_error_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "--seed" in capsys.readouterr().err


@pytest.mark.thorough
def test_about_selects_the_trace_of_a_run_that_broke_no_promise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["--seed", "17"])
    report = capsys.readouterr().out
    main(["--seed", "17", "--about"])
    whole = capsys.readouterr().out
    main(["--seed", "17", "--about", "caller 1", "a word that is in no event"])
    selected = capsys.readouterr().out

    assert code == 0
    assert report.splitlines()[-1] == "No promise was broken."
    assert whole.startswith(report)
    assert selected.startswith(report)
    trace = selected.removeprefix(report).splitlines()[2:]
    assert trace
    assert set(trace) < set(whole.splitlines())


@pytest.mark.parametrize(
    ("parse", "expression"),
    [
        *((parse_update, it) for it in ("ADD n :v", "SET n = n * :v", "SET a.b = :v")),
        *((parse_condition, it) for it in ("NOT n = :v", "size(s) > :v", "a[0] = :v", "n = :v )")),
    ],
)
def test_an_expression_that_the_fake_does_not_support_ends_the_run(
    parse: Callable[[str], object], expression: str
) -> None:
    with pytest.raises(NotImplementedError):
        parse(expression)
