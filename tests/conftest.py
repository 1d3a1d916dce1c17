"""Settings of all test processes."""

import gc

# Test processes keep many objects of botocore, moto and parsed templates. With Python's own
# thresholds, a tenth of the time would go to looking for garbage among them.
gc.set_threshold(200_000, 50, 100)
