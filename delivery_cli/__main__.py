"""Runs the command line as `python -m delivery_cli`."""

import sys

from delivery_cli.main import main

sys.exit(main())
