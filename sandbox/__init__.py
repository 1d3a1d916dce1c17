"""The whole system on one machine: emulated AWS, simulated Twilio, and the real stack between them.

cli          `python -m sandbox`
demo, up     its commands; twilio/command is the third
lifecycle    starts all components, and stops them in reverse order
endpoints    the file in which other programs read where everything is
aws          the emulated AWS
twilio       the simulated Twilio
dashboard    a page that stands in for the CloudWatch dashboard
http_server  the HTTP server of all of these; page_response has what their pages share
"""

import sys

if sys.version_info[:2] != (3, 13):
    sys.exit(
        "The sandbox runs the Lambda functions on its own interpreter and therefore needs Python "
        f"3.13, like them. This is Python {sys.version.split()[0]}. `make demo` finds the right "
        "one, or explains how to install it."
    )
