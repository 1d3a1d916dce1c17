"""What every function needs of AWS, HTTP and logging; it knows nothing of messages."""

import gc

# A start creates about 100,000 objects that live as long as the environment. By default, the
# garbage collector looks through all of them several times: a twentieth of a cold start. After it,
# an invocation leaves fewer than ten objects for the collector, a few hundred bytes.
# https://docs.python.org/3/library/gc.html#gc.set_threshold
gc.set_threshold(200_000)
