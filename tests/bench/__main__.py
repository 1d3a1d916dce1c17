"""`python -m tests.bench`."""

import site
import sys
from pathlib import Path

# The layer's own package, which Lambda would put there.
site.addsitedir(str(Path(__file__).resolve().parents[2] / "layers" / "delivery"))

from tests.bench.command import main

if __name__ == "__main__":
    sys.exit(main())
