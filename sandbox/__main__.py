"""`python -m sandbox`, with a clear word when something it needs is not installed."""

import site
import sys
from pathlib import Path

# The simulator signs with the layer's own package, which Lambda would put there.
site.addsitedir(str(Path(__file__).resolve().parents[1] / "layers" / "delivery"))

try:
    from sandbox.cli import main
except ModuleNotFoundError as missing:
    sys.exit(f"The package {missing.name} is not installed here: `make demo` installs all of them.")

sys.exit(main())
