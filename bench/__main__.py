"""`python -m bench`."""

import site
import sys
from pathlib import Path

# The layer's package, which Lambda would add to the path.
site.addsitedir(str(Path(__file__).resolve().parents[1] / "layers" / "delivery"))

from bench.command import main

if __name__ == "__main__":
    sys.exit(main())
