"""What all parts of a run share."""

from dataclasses import dataclass

from simulation.faults import FaultInjector
from simulation.trace import Trace
from simulation.virtual_time import EventLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The event loop, the fault injector and the trace of one run."""

    loop: EventLoop
    faults: FaultInjector
    trace: Trace
