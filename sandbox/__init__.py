"""The whole system on one machine: emulated AWS, simulated Twilio, the real stack between them.

command       `python -m sandbox`: up, demo
running       starts everything in its order, and ends it in the reverse one
readiness     knows when all of it answers
endpoints     tells other programs where it is

emulator      AWS: MiniStack, which attached ends with us
aws_account   what the sandbox itself asks of it
sam           builds and deploys the real template; unsupported leaves out what MiniStack refuses
twilio        the Twilio simulator
gateway       API Gateway's public endpoints, and faults on the way

What MiniStack does not do as AWS does:
routes        of HTTP APIs
permissions   of topics and queues
schedule      every other second; seconds has all spans of time
mailbox       notices by email
dashboard     a page that stands for CloudWatch's
"""

import sys

if sys.version_info[:2] != (3, 13):
    sys.exit(
        "The sandbox runs the functions on its own interpreter, so it needs Python 3.13 like the "
        f"functions; this is {sys.version.split()[0]}. `make demo` finds or explains the right one."
    )
