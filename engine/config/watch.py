"""Seeing that a configuration file was saved, replaced, removed or created."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from engine.config.load import MAX_BYTES
from engine.digest import sha256

__all__ = ["ConfigWatcher"]

# A burst of writes is over when the content has stayed the same for this long,
_SETTLED = 0.15
# but is reported after this long at the latest, counted from the change, not from when it was noticed.
_LATEST = 0.8
_STEP = 0.05
# A second write within the file system's clock tick leaves the same times behind, so a file whose times have just
# changed is read again on each look. Two seconds is the coarsest tick in use.
_TICK = 2.0


class _Seen(Struct):
    """What the last look at a file found: its state as told by `stat`, since when, and its content's digest."""

    signature: tuple[int, ...] | None
    since: float
    digest: bytes


class ConfigWatcher:
    """Calls back, from a thread of its own, when the content of any of some files has changed.

    It polls on purpose: that also works over NFS, where a change made on another host raises no event; it needs no
    dependency; and a file can be watched before it, or even its directory, exists. Content decides: touching a file
    or replacing it by an equal one is no change; removing and creating one is. A save is reported within a second (as
    soon as the file system shows it), a burst of saves once, endless saving about once a second.
    """

    def __init__(self, paths: Sequence[Path], callback: Callable[[], None], interval: float = 0.25) -> None:
        """Watch `paths` for changes from now on, to be reported once started; look every `interval` seconds.

        Create the watcher before the first load, so that no save falls between the two. `callback` must not raise.
        """
        self._paths = tuple(paths)
        self._callback = callback
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="config-watcher", daemon=True)
        self._seen: dict[Path, _Seen] = {}
        self._known = self._look()

    def start(self) -> None:
        """Begin to report changes."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; when this returns the callback is not called again. Can be called from the callback."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            # A look at a dead network mount may hang; the thread then ends by itself without calling back.
            self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            digests = self._look()
            if digests == self._known:
                continue
            digests = self._settle(digests)
            if digests != self._known and not self._stopped.is_set():
                self._known = digests
                self._callback()

    def _settle(self, digests: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Wait until the content stays the same, but not for ever; returns its digests then."""
        stable_since = noticed = time.monotonic()
        latest = noticed + max(_LATEST - self._interval, _SETTLED)
        while time.monotonic() < min(stable_since + _SETTLED, latest):
            if self._stopped.wait(_STEP):
                break
            newer = self._look()
            if newer != digests:
                digests, stable_since = newer, time.monotonic()
        return digests

    def _look(self) -> tuple[bytes, ...]:
        """The digest of each file's content now."""
        return tuple(self._digest(path) for path in self._paths)

    def _digest(self, path: Path) -> bytes:
        """The digest of the file's content, or a mark for the reason why it has none."""
        now = time.monotonic()
        seen = self._seen.get(path)
        try:
            status = path.stat()
            signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if seen and seen.signature == signature and now - seen.since > _TICK:
                return seen.digest
            # Opening a pipe would wait for a writer.
            digest = self._read(path) if stat.S_ISREG(status.st_mode) else b"not a file"
        except OSError as error:
            signature, digest = None, b"errno %d" % (error.errno or 0)
        since = seen.since if seen and seen.signature == signature else now
        self._seen[path] = _Seen(signature, since, digest)
        return digest

    @staticmethod
    def _read(path: Path) -> bytes:
        with path.open("rb") as file:
            return sha256(file.read(MAX_BYTES + 1))
