"""The first look at a large data directory in a process of its own: ``python -m engine.indexing DIR INDEX INDEX``.

Reading ten thousand records takes seconds, in which a terminal UI in the same process stutters, and four times the
memory of what is kept of them, most of which does not come back to the system. So a process that stays for hours has
another one read them, and takes them from the index that this one leaves. Where that fails, it reads them itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from engine.content.store import ContentStore
from engine.environments.store import EnvironmentStore

__all__ = ["index_elsewhere"]

_MANY = 2000
"""Entries that take half a second to read: for fewer no other process is started."""
_TICK = 0.05
"""Seconds between two looks at whether it has ended."""


def index_elsewhere(data_dir: Path, environments: Path | None, content: Path | None, stop: threading.Event) -> None:
    """Have the indexes at `environments` and `content` written, where they are not there and there is much to read.

    Returns when that is done, has failed, or `stop` is set.
    """
    if not environments or not content:
        return
    sizes = (
        (
            environments,
            sum(
                _size(python) for installer in _inside(EnvironmentStore(data_dir).root) for python in _inside(installer)
            ),
        ),
        (content, _size(ContentStore(data_dir).root)),
    )
    if all(index.exists() or size < _MANY for index, size in sizes):
        return
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(data_dir), str(environments), str(content)],
        cwd="/",
        # It must import the same engine as this process, also from a checkout that is not installed.
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl+C in the terminal is none of its business.
        start_new_session=True,
    )
    while process.poll() is None:
        if stop.wait(_TICK):
            process.kill()
            process.wait()


def _inside(path: Path) -> Sequence[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return ()


def _size(path: Path) -> int:
    try:
        return len(os.listdir(path))  # noqa: PTH208 - nothing but their number is wanted
    except OSError:
        return 0


def main(data_dir: str, environments: str, content: str) -> None:
    """A first look leaves an index by itself."""
    EnvironmentStore(Path(data_dir), Path(environments)).environments()
    ContentStore(Path(data_dir), Path(content)).contents()


if __name__ == "__main__":
    main(*sys.argv[1:])
