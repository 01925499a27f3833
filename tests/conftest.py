"""What holds for every test."""

import os

import pytest
from hypothesis import settings

# How long an example takes says more about what else the machine does than about the code. Whoever runs the tests runs
# the same ones; `--hypothesis-profile explore` looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("steady")


def pytest_xdist_auto_num_workers() -> int:
    """How many workers ``-n auto`` starts: more than there are cores, because most tests wait for processes."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="write what the screens look like now into tests/ui/snapshots, instead of comparing",
    )
