"""`python -m delivery_cli`: the same as the command `delivery`."""

import sys

from delivery_cli.main import main

sys.exit(main())
