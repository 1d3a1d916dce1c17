"""Every benchmark, in the order in which `make bench` runs them."""

from typing import Final

from bench.audit import AUDIT
from bench.benchmark import Benchmark
from bench.campaign import CAMPAIGN
from bench.cold_start import COLD_START
from bench.cost import COST
from bench.scaling import SCALING
from bench.warm_path import WARM_PATH
from bench.write_units import WRITE_UNITS

BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    COLD_START,
    WARM_PATH,
    WRITE_UNITS,
    AUDIT,
    COST,
    SCALING,
    CAMPAIGN,
)
