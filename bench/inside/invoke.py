"""Import a function's module and invoke its handler: `invoke.py status_callback.app < events`.

Standard input holds one event per line. The last line of the output is JSON: `ready`, the
milliseconds until the module is imported and its clients exist; `invocations`, the wall-clock and
processor milliseconds of each; `answer`, the last one; `memory`, the MiB that the process holds
after every 1,000 invocations.
"""

import sys
from time import perf_counter, process_time

started = perf_counter()
app = __import__(sys.argv[1], fromlist=["app"])
ready = perf_counter()

import json  # noqa: E402 -- not part of the measured start
from pathlib import Path  # noqa: E402 -- not part of the measured start
from types import SimpleNamespace  # noqa: E402 -- not part of the measured start

CONTEXT = SimpleNamespace(
    function_name="Function",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 29_000,
)
MEMORY_EVERY = 1000


def resident_mib() -> float:
    """Return the resident memory; ru_maxrss would include what the process had before exec."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Invoke the handler with each event."""
    invocations, memory = [], []
    answer = None
    for number, line in enumerate(sys.stdin, 1):
        event = json.loads(line)
        begun, cpu_begun = perf_counter(), process_time()
        answer = app.lambda_handler(event, CONTEXT)
        ended, cpu_ended = perf_counter(), process_time()
        invocations.append(((ended - begun) * 1000, (cpu_ended - cpu_begun) * 1000))
        if number % MEMORY_EVERY == 0:
            memory.append(resident_mib())
    found = {
        "ready": (ready - started) * 1000,
        "invocations": invocations,
        "answer": answer,
        "memory": memory,
    }
    sys.stdout.write(f"{json.dumps(found)}\n")


main()
