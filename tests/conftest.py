"""Settings of all test processes."""

import gc

from hypothesis import settings

from tests.support.moto_shortcuts import install_shortcuts

install_shortcuts()

# Examples of each property; `make thorough` repeats the fast tests' properties with its profile.
settings.register_profile("fast", settings.default, max_examples=50)
settings.register_profile("thorough", settings.default, max_examples=500, deadline=None)
settings.load_profile("fast")

# Test processes keep many objects of botocore, moto and parsed templates. With Python's own
# thresholds, a tenth of the time would go to looking for garbage among them.
gc.set_threshold(200_000, 50, 100)


def pytest_collection_finish() -> None:
    """Keep what collecting made out of the collections to come: it stays until the end."""
    gc.collect()
    gc.freeze()
