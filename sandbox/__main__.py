"""`python -m sandbox`: explains how to install a package that is missing."""

import site
import sys
from pathlib import Path

# The simulator signs with the layer's package, which only Lambda has on its path.
site.addsitedir(str(Path(__file__).resolve().parents[1] / "layers" / "delivery"))

try:
    from sandbox.cli import main

    sys.exit(main())
except ModuleNotFoundError as missing:
    sys.exit(
        f"The package {missing.name} is not installed in this Python. Run `make install`, then "
        "`.venv/bin/python -m sandbox`."
    )
