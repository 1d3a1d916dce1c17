"""The promises I1 to I7 under every fault that can happen between Twilio, AWS and the project."""

import re

import pytest

from simulation.checks import violations
from simulation.command import main
from simulation.faults import FINE
from simulation.mutants import mutant_named
from simulation.report import Life
from simulation.runs import Totals, run_seeds, seeds_until_caught
from simulation.world import World

_SEEDS_OF_A_PART = 25
_PARTS = 12


def all_told(totals: Totals) -> str:
    return "\n".join(line for it in totals.broken for line in Life(it.seed).told())


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(_PARTS))
def test_whatever_goes_wrong_every_promise_is_kept(part: int) -> None:
    seeds = range(part * _SEEDS_OF_A_PART, (part + 1) * _SEEDS_OF_A_PART)

    totals = run_seeds(seeds)

    assert not totals.broken, all_told(totals)
    assert totals.faults.total() > _SEEDS_OF_A_PART


def test_a_few_lives_tell_at_once_that_a_change_breaks_the_simulation() -> None:
    totals = run_seeds(range(3))

    assert not totals.broken, all_told(totals)


def test_the_command_prints_its_tables_as_the_document_has_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["--from", "7", "--seeds", "2", "--jobs", "1"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0] == "    python -m simulation --from 7 --seeds 2"
    assert {"| runs | 2 |", "| violations | 0 |"} <= set(lines)
    assert any(line.startswith("| dynamodb |") for line in lines)


@pytest.mark.thorough
def test_the_same_seed_is_the_same_run() -> None:
    first, second = World(5).run(), World(5).run()

    assert list(first.trace.lines()) == list(second.trace.lines())
    assert first.aws.tables["MessagesTable"].items() == second.aws.tables["MessagesTable"].items()


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


def test_a_life_that_breaks_a_promise_is_told_with_all_that_led_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mutant = mutant_named("a failure sets no notice")
    seed = seeds_until_caught(mutant, range(100)) - 1

    code = main(["--seed", str(seed), "--mutant", "a failure sets no"])

    told = capsys.readouterr().out
    circumstances, _, rest = told.partition("It broke these promises:\n")
    broken, _, happened = rest.partition("What happened to ")
    assert code == 1
    assert f"{mutant.name} (a mutant)" in circumstances
    assert "caller 0 wants a message to " in circumstances
    subject = re.match(r"  I4  (SM\w{32}): notice None", broken)
    assert subject
    assert subject[1] in happened.partition(":\n")[0]
    for what in ("Twilio", "invoked", f"message_sid={subject[1][:8]}…", "ended"):
        assert what in happened


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
def test_what_cannot_be_told_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert "--seed" in capsys.readouterr().err


def test_a_life_without_a_broken_promise_is_told_as_far_as_somebody_asks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["--seed", "17"])
    told = capsys.readouterr().out
    main(["--seed", "17", "--about"])
    about_all = capsys.readouterr().out
    main(["--seed", "17", "--about", "caller 1", "a word that nobody says"])
    about_one = capsys.readouterr().out

    assert code == 0
    assert told.splitlines()[-1] == "It broke no promise."
    assert about_all.startswith(told)
    assert about_one.startswith(told)
    happened = about_one.removeprefix(told).splitlines()[2:]
    assert happened
    assert set(happened) < set(about_all.splitlines())
