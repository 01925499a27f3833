"""Locks of the engine in the hands of a test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.environments.locks import acquire

_PATIENCE = 60.0


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock at `path`. A build that has just ended lets go of it a moment after it has said so."""
    end = time.monotonic() + _PATIENCE
    with acquire(path, lambda: time.monotonic() > end, 0.02) as held:
        assert held, f"{path} did not become free"
        yield
