"""The promises I1 to I7 under every fault that can happen between Twilio, AWS and the project."""

import pytest

from tests.simulation.checks import violations
from tests.simulation.command import main
from tests.simulation.faults import Weather
from tests.simulation.runs import Broken, run_seeds
from tests.simulation.world import World

_SEEDS_OF_A_PART = 25
_PARTS = 12
FINE = Weather(
    faults=0,
    worst=None,
    mishaps=0,
    slow=0,
    invoked_every=1800,
    sending=60,
    calm_at=60,
)


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(_PARTS))
def test_whatever_goes_wrong_every_promise_is_kept(part: int) -> None:
    seeds = range(part * _SEEDS_OF_A_PART, (part + 1) * _SEEDS_OF_A_PART)

    totals = run_seeds(seeds)

    assert not totals.broken, "\n".join(line for it in totals.broken for line in it.lines())
    assert totals.faults.total() > _SEEDS_OF_A_PART


def test_a_few_lives_tell_at_once_that_a_change_breaks_the_simulation() -> None:
    totals = run_seeds(range(3))

    assert not totals.broken, "\n".join(line for it in totals.broken for line in it.lines())


def test_the_command_prints_its_tables_as_the_document_has_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["--from", "7", "--seeds", "2", "--jobs", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0] == "    python -m tests.simulation --from 7 --seeds 2"
    assert {"| runs | 2 |", "| violations | 0 |"} <= set(lines)
    assert any(line.startswith("| dynamodb |") for line in lines)


def test_the_same_seed_is_the_same_run() -> None:
    first, second = World(5).run(), World(5).run()

    assert list(first.trace.lines()) == list(second.trace.lines())
    assert first.tables["MessagesTable"].items() == second.tables["MessagesTable"].items()


def test_nothing_goes_wrong_in_fine_weather() -> None:
    world = World(3, weather=FINE).run()

    assert violations(world) == []
    assert world.faults.counts.total() == 0
    assert world.disturbed == set()


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [2, 8, 9])
def test_a_campaign_of_hundreds_keeps_every_promise(seed: int) -> None:
    world = World(seed, campaign=300).run()

    assert violations(world) == []
    assert len(world.twilio.simulator.messages()) > 100
    assert world.disturbed


def test_a_broken_promise_is_told_with_its_seed_and_its_trace() -> None:
    world = World(3).run()
    (sid, *_) = (message.sid for message in world.twilio.simulator.messages())
    for table in world.tables.values():
        for item in table.items():
            table.put({name: item[name] for name in table.key_names}, None)

    found = violations(world)

    assert sid in {violation.subject for violation in found}
    lines = list(Broken(seed=3, violations=tuple(found)).lines())
    assert any(line.startswith("seed 3: I1") and sid in line for line in lines)
    assert any("Twilio" in line and sid in line for line in lines[len(found) :])
