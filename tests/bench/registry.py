"""Every benchmark, in the order in which `make bench` runs them.

A new one is a module beside this with a `Benchmark`, a line here, and a place in
docs/performance.md: `<!-- bench: its_name -->` and `<!-- /bench -->`, between which its tables go.
"""

from typing import Final

from tests.bench.batch import BATCH
from tests.bench.benchmark import Benchmark
from tests.bench.campaign import CAMPAIGN
from tests.bench.cold_start import COLD_START
from tests.bench.cost import COST
from tests.bench.growth import GROWTH
from tests.bench.heat import HEAT
from tests.bench.life import LIFE
from tests.bench.load import LOAD
from tests.bench.reconcile import RECONCILE
from tests.bench.sandbox_latency import SANDBOX
from tests.bench.size import SIZE
from tests.bench.warm_path import WARM_PATH

BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    COLD_START,
    WARM_PATH,
    SIZE,
    LIFE,
    LOAD,
    SANDBOX,
    COST,
    GROWTH,
    HEAT,
    RECONCILE,
    BATCH,
    CAMPAIGN,
)
