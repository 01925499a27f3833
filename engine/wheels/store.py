"""The wheel store on disk. Whoever is not the service can read it and change nothing of it.

DataDir/wheels/
  <sha256>/<tag>/          one wheel, unpacked for one kind of interpreter; published by one rename, never changed
      entry.json           what it takes to link it (`engine.wheels.model.Entry`)
      digests.json         the digest and size of every file, in the order of entry.json
      site/ data/ …        its files, by where they belong
  pins/<index>/<name>.json which digests an index configuration serves for each version
  commands/<pip>.txt       the text that a version of pip makes a command of
  .filling-<random>/       what is being made; left behind only by a process that was killed
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.wheels.model import Pin, StoredWheel

__all__ = ["WheelStore"]


class WheelStore:
    """The wheels below one data directory. Reading creates nothing."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.root = data_dir / "wheels"

    @property
    def fill_lock(self) -> Path:
        """The lock that whoever fills the store holds."""
        return self.data_dir / "locks" / "wheels-fill.lock"

    def path(self, sha256: str, tag: str) -> Path:
        """Where a wheel is, or would be."""
        return self.root / sha256 / tag

    def find(self, sha256: str, tag: str) -> StoredWheel | None:
        """The wheel with the digest `sha256` (hexadecimal) for interpreters of the kind `tag`; None if not there."""
        raise NotImplementedError

    def known(self, index: str, pin: Pin, tag: str) -> tuple[str, ...]:
        """The digests of the wheels that interpreters of the kind `tag` get for `pin`, the latest first.

        `index` is `index_digest` of the configuration.
        """
        raise NotImplementedError

    def stored(self) -> Iterator[tuple[str, str]]:
        """Digest and tag of everything that is stored, without reading it."""
        raise NotImplementedError

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing that is stored goes away for the length of the block."""
        raise NotImplementedError
        yield
