"""How long a function takes to be ready: `ready.py status_callback.app`."""

import sys
from time import perf_counter

started = perf_counter()
__import__(sys.argv[1])
ready = perf_counter()

sys.stdout.write(f'{{"ready": {(ready - started) * 1000}}}\n')
