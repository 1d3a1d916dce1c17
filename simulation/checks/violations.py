"""All checks of a run that has ended."""

from collections.abc import Callable, Iterator
from typing import Final

from simulation.checks.archive import check_archive
from simulation.checks.audits import check_audits
from simulation.checks.callers import check_callers
from simulation.checks.erasures import check_erasures
from simulation.checks.evidence import Evidence, Violation
from simulation.checks.messages import check_messages
from simulation.checks.notices import check_notices
from simulation.checks.outcome_events import check_outcome_events
from simulation.checks.requests import check_requests
from simulation.world import World

CHECKS: Final[tuple[Callable[[Evidence], Iterator[Violation]], ...]] = (
    check_messages,
    check_notices,
    check_outcome_events,
    check_archive,
    check_requests,
    check_callers,
    check_erasures,
    check_audits,
)


def violations(world: World) -> list[Violation]:
    """Return every violation of a promise in this run."""
    evidence = Evidence(world)
    return [violation for check in CHECKS for violation in check(evidence)]
