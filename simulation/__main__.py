"""`python -m simulation`."""

import signal
import site
import sys
from pathlib import Path

# The layer's own package, which Lambda would put there.
site.addsitedir(str(Path(__file__).resolve().parents[1] / "layers" / "delivery"))

from simulation.cli import main

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the command without an error
    sys.exit(main())
