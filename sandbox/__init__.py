"""The whole system on one machine: emulated AWS, simulated Twilio, and the real stack between them.

cli          `python -m sandbox`
demo, up     its commands
lifecycle    starts all components, and stops them in reverse order
endpoints    the file in which other programs read where everything is
aws          the emulated AWS
twilio       the simulated Twilio
dashboard    a page that stands in for the CloudWatch dashboard
http_server  the HTTP server of all of these
"""

import sys

if sys.version_info[:2] != (3, 13):
    sys.exit(
        "The sandbox runs the functions on its own interpreter, so it needs Python 3.13 like the "
        f"functions; this is {sys.version.split()[0]}. `make demo` finds or explains the right one."
    )
