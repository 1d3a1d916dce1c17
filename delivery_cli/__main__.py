"""`python -m delivery_cli`: the same as the command `delivery`."""

import sys

from delivery_cli.command import main

sys.exit(main())
