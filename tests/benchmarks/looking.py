"""What `tests.benchmarks.scale` times inside of a process of its own: ``python -m tests.benchmarks.looking WHAT DIR``.

Prints one JSON object of what took how long, in seconds.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """Times by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = work()
        self.seconds[name] = time.perf_counter() - began
        return result


def environments(clock: Clock, data_dir: Path) -> None:
    """A look at the cache as a process that has just started takes it, and the next ones."""
    from engine.environments.store import EnvironmentStore

    index = data_dir / "environments.index"
    store = EnvironmentStore(data_dir, index)
    there = clock.time("indexed" if index.exists() else "unindexed", store.environments)
    again = clock.time("unchanged", store.environments)
    assert there is again
    store.keep_index()
    store.mark_damaged(there[0].key_dir, there[0].attempt, "for the benchmark", {})
    clock.time("one changed", store.environments)
    store.clear_mark(there[0].key_dir)
    # For the next process, which is to find everything as it has been for long.
    for path in (there[0].key_dir, there[0].key_dir.parent):
        os.utime(path, (1, 1))
    clock.seconds["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def contents(clock: Clock, data_dir: Path) -> None:
    """The same of the content, and who uses which environment."""
    from engine.world import World

    config = data_dir / "benchmark.gcfg"
    config.write_text(f"[Server]\nDataDir = {data_dir}\n")
    world = World([config], {"HOME": str(data_dir), "PATH": ""}, read_only=False)
    indexed = any((data_dir / ".cache/envdeck").glob("content-*"))
    clock.time("content indexed" if indexed else "content unindexed", world.contents)
    clock.time("content unchanged", world.contents)
    clock.time("who uses what", world.used_by)
    clock.time("find by a part of the name", lambda: world.content_store.find("content-77"))
    world.data_dir.keep_indexes()
    clock.seconds["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def probing(clock: Clock, scratch: Path) -> None:
    """Every interpreter of this machine, run and recalled."""
    from packaging.version import Version

    import engine.installations.probe  # noqa: F401 - loading it is start-up, not probing
    from engine.config.model import Executable
    from engine.installations.discovery import discover
    from engine.installations.inventory import probe_all

    found = [Executable(path, "benchmark") for path in discover(os.environ, ()) if ".pyenv" in path][:9]
    cache = scratch / "probes.json"
    cache.unlink(missing_ok=True)
    for name in ("probed", "recalled"):
        clock.time(name, lambda: probe_all(found, minimum_version=Version("3"), timeout=30, cache_path=cache))
    clock.seconds["interpreters"] = len(found)


def main() -> None:
    clock = Clock()
    what = {"environments": environments, "contents": contents, "probing": probing}
    what[sys.argv[1]](clock, Path(sys.argv[2]))
    print(json.dumps(clock.seconds))


if __name__ == "__main__":
    main()
