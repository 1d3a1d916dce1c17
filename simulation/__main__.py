"""`python -m simulation`."""

import signal
import site
import sys
from pathlib import Path

# The layer's own package, which Lambda would put there.
site.addsitedir(str(Path(__file__).resolve().parents[1] / "layers" / "delivery"))

from simulation.command import main

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who looks at its head only has seen enough
    sys.exit(main())
