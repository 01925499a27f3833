"""Every bench is opened once, when its first case runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.executors.bench import Bench, Unavailable, open_bench


@pytest.fixture(scope="session")
def bench_of() -> Iterator[Callable[[str], Bench]]:
    """The bench of a name; skips with the reason when it cannot be had."""
    opened: dict[str, Bench | Unavailable] = {}
    # Not under pytest's own directory, which other accounts cannot enter.
    scratch = Path(tempfile.mkdtemp(prefix="envdeck-executors-"))
    scratch.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)

        def bench(name: str) -> Bench:
            if name not in opened:
                directory = scratch / name
                directory.mkdir()
                try:
                    opened[name] = stack.enter_context(open_bench(name, directory))
                except Unavailable as reason:
                    opened[name] = reason
            found = opened[name]
            if isinstance(found, Unavailable):
                pytest.skip(f"{name}: {found}")
            return found

        yield bench
