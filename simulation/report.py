"""A report of one run: its circumstances, the promises that it broke, and the trace of them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from simulation.callers import CallerRequest
from simulation.checks.violations import violations
from simulation.faults import FaultProfile, Outage
from simulation.mutants import Mutant
from simulation.program import Program
from simulation.trace_format import shorten_ids
from simulation.world import World


class RunReport:
    """Runs a seed, with a mutant in the project's code if one is given."""

    def __init__(self, seed: int, mutant: Mutant | None = None) -> None:
        self._seed = seed
        self._mutant = mutant
        self._world = World(seed, Program(*mutant.edits) if mutant else None).run()
        self.violations = violations(self._world)

    def lines(self, about: Sequence[str] | None = None) -> Iterator[str]:
        """Yield the report.

        `about`: words to search the trace for, instead of the subjects of the violations; an empty
        list yields the whole trace.
        """
        yield f"Seed {self._seed}:"
        yield from _indented(self._circumstances())
        yield ""
        yield "Broken promises:" if self.violations else "No promise was broken."
        for it in self.violations:
            yield f"  {it.promise}  {it.subject}: {shorten_ids(it.text)}"
        words = sorted({it.subject for it in self.violations}) if about is None else about
        if words or about is not None:
            yield ""
            yield f"Trace{' of ' if words else ''}{', '.join(words)}:"
            yield from _indented(self._world.trace.lines(*words))

    def _circumstances(self) -> Iterator[str]:
        if self._mutant:
            yield f"mutant: {self._mutant.name}"
        yield from self._profile(self._world.profile)
        yield from map(self._request, self._world.callers.requests)

    def _profile(self, profile: FaultProfile) -> Iterator[str]:
        worst = f" (more of {profile.worst_service})" if profile.worst_service else ""
        yield (
            f"until {self._clock(profile.ends_at)} {profile.call_faults:.0%} of the calls "
            f"fail{worst}, {profile.slow_calls:.0%} are slow, "
            f"{profile.transport_faults:.0%} transport faults; audit mode {self._world.audit_mode}"
        )
        yield from map(self._outage, profile.outages)

    def _outage(self, outage: Outage) -> str:
        period = f"from {self._clock(outage.begins)} to {self._clock(outage.ends)}"
        return f"outage of {outage.target} {period}: {outage.fault}"

    def _request(self, request: CallerRequest) -> str:
        key = f" key={request.key}" if request.key else ""
        replies = ", ".join(str(reply.status or "no response") for reply in request.replies)
        return (
            f"{request.caller} sends to {request.document['to']} at {self._clock(request.begins)} "
            f"({request.entry}{key}); replies: {replies or 'none'}"
        )

    def _clock(self, seconds: float) -> str:
        return f"{self._world.start + timedelta(seconds=seconds):%H:%M:%S}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
