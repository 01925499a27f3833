"""What holds for every test."""

import os

from hypothesis import settings

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("envdeck", deadline=None)
settings.load_profile("envdeck")


def pytest_xdist_auto_num_workers() -> int:
    """How many workers ``-n auto`` starts: more than there are cores, because most tests wait for processes."""
    return 2 * len(os.sched_getaffinity(0))
