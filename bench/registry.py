"""Every benchmark, in the order in which `make bench` runs them.

A new one is a module beside this with a `Benchmark`, a line here, and a place in
docs/performance.md: `<!-- bench: its_name -->` and `<!-- /bench -->`, between which its tables go.
"""

from typing import Final

from bench.batch import BATCH
from bench.benchmark import Benchmark
from bench.campaign import CAMPAIGN
from bench.cold_start import COLD_START
from bench.cost import COST
from bench.growth import GROWTH
from bench.life import LIFE
from bench.reconcile import RECONCILE
from bench.size import SIZE
from bench.warm_path import WARM_PATH

BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    COLD_START,
    WARM_PATH,
    SIZE,
    LIFE,
    COST,
    GROWTH,
    RECONCILE,
    BATCH,
    CAMPAIGN,
)
