"""The whole system on one machine: emulated AWS, simulated Twilio, the real stack between them."""

import sys

if sys.version_info[:2] != (3, 13):
    sys.exit(
        "The sandbox runs the functions on its own interpreter, so it needs Python 3.13 like the "
        f"functions; this is {sys.version.split()[0]}. `make demo` finds or explains the right one."
    )
