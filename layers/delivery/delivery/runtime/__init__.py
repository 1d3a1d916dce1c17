"""What every function needs of AWS, HTTP and logging; it knows nothing of messages."""

import gc

# A start creates about 90,000 objects that live as long as the environment. By default the garbage
# collector looks through them again and again, which takes a twentieth of the start. Later, each
# invocation leaves fewer than ten objects to collect: under a kilobyte.
# https://docs.python.org/3/library/gc.html#gc.set_threshold
gc.set_threshold(200_000)
