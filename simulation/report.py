"""One life, told to the person who looks into it: what it was like, what it broke, and how."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from simulation.callers import Wish
from simulation.checks import violations
from simulation.faults import Outage, Weather
from simulation.mutants import Mutant
from simulation.program import Program
from simulation.words import shortened
from simulation.world import START, World


class Life:
    """The life of a seed, lived again: with a mutant, while that is in the project's code."""

    def __init__(self, seed: int, mutant: Mutant | None = None) -> None:
        self._seed = seed
        self._mutant = mutant
        self._world = World(seed, Program(*mutant.edits) if mutant else None).run()
        self.violations = violations(self._world)

    def told(self, about: Sequence[str] | None = None) -> Iterator[str]:
        """What it was like, what it broke, and what happened to that.

        `about`: words to look for in what happened, instead of what the broken promises are about;
        without a word everything is told.
        """
        yield f"The life of seed {self._seed}, in which"
        yield from _indented(self._circumstances())
        yield ""
        yield "It broke these promises:" if self.violations else "It broke no promise."
        for it in self.violations:
            yield f"  {it.promise}  {it.subject}: {shortened(it.text)}"
        words = sorted({it.subject for it in self.violations}) if about is None else about
        if words or about is not None:
            yield ""
            yield f"What happened{' to ' if words else ''}{', '.join(words)}:"
            yield from _indented(self._world.trace.lines(*words))

    def _circumstances(self) -> Iterator[str]:
        if self._mutant:
            yield f"{self._mutant.name} (a mutant)"
        yield from _weather(self._world.weather)
        yield from map(_wish, self._world.callers.wishes)


def _weather(weather: Weather) -> Iterator[str]:
    yield (
        f"until {_clock(weather.calm_at)} {weather.faults:.0%} of all calls fail"
        f"{f' (many more of {weather.worst})' if weather.worst else ''}, "
        f"{weather.slow:.0%} are slow, and mishaps befall {weather.mishaps:.0%} of what is sent"
    )
    yield from map(_outage, weather.outages)


def _outage(outage: Outage) -> str:
    span = f"from {_clock(outage.begins)} to {_clock(outage.ends)}"
    return f"{outage.service} is out {span}: {outage.fault}"


def _wish(wish: Wish) -> str:
    key = f" key={wish.effective_key}" if wish.effective_key else ""
    heard = ", ".join(str(reply.status or "nothing") for reply in wish.replies)
    end = f"and hears {heard}" if heard else "and waits for no answer"
    return (
        f"caller {wish.number} wants a message to {wish.document['to']} at {_clock(wish.begins)} "
        f"({wish.entry}{key}), {end}"
    )


def _clock(seconds: float) -> str:
    return f"{START + timedelta(seconds=seconds):%H:%M:%S}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
