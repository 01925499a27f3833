"""The wheel store on disk. Whoever is not the service can read it and change nothing of it.

DataDir/wheels/
  <sha256>/<tag>/           one wheel, unpacked for one kind of interpreter; published by one rename, never changed
      entry.json            what it takes to link it (`engine.wheels.model.Entry`)
      digests.json          what is in its files
      sealed.json           what the seal of an environment says of them
      site/ data/ …         its files, by where they belong
  pins/<index>/<name>.json  which digests an index configuration serves for each version
  refused/<sha256>.<tag>    why a wheel does not come in, so that it is not fetched again
  commands/pip-<version>    the text that a version of pip makes commands of
  .filling-<random>/        what is being made; left behind only by a process that was killed
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.environments.locks import open_lock_file
from engine.files import read_json, write_json
from engine.wheels.entries import ENTRY, read_entry
from engine.wheels.model import Pin, StoredWheel, Wanted

__all__ = ["FILLING", "WheelStore"]

FILLING = ".filling-"
"""What the name of a directory begins with that a fill works in."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class WheelStore:
    """The wheels below one data directory. Reading creates nothing."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.root = data_dir / "wheels"

    @property
    def fill_lock(self) -> Path:
        """The lock that whoever fills the store holds."""
        return self.data_dir / "locks" / "wheels-fill.lock"

    @property
    def use_lock(self) -> Path:
        """The lock that who links holds shared, and who takes wheels out exclusively."""
        return self.data_dir / "locks" / "wheels.lock"

    def path(self, sha256: str, tag: str) -> Path:
        """Where a wheel is, or would be."""
        return self.root / sha256 / tag

    def commands_path(self, pip_version: str) -> Path:
        """Where the text is that this version of pip makes commands of."""
        return self.root / "commands" / re.sub(r"[^A-Za-z0-9.+-]", "_", f"pip-{pip_version}")

    def find(self, sha256: str, tag: str) -> StoredWheel | None:
        """The wheel with the digest `sha256` (hexadecimal) for interpreters of the kind `tag`; None if not there."""
        if not _DIGEST.fullmatch(sha256):
            return None
        path = self.path(sha256, tag)
        entry = read_entry(path)
        if entry is None:
            return None
        return StoredWheel(sha256, tag, path, Pin.of(entry.name, entry.version), entry)

    def holds(self, sha256: str, tag: str) -> bool:
        """Whether `find` most likely finds it: there is something, which nobody has opened."""
        return bool(_DIGEST.fullmatch(sha256)) and (self.path(sha256, tag) / ENTRY).is_file()

    def stored(self) -> Iterator[tuple[str, str]]:
        """Digest and tag of everything that is stored, by name, without reading it."""
        for sha256 in _names(self.root):
            if _DIGEST.fullmatch(sha256):
                yield from ((sha256, tag) for tag in _names(self.root / sha256) if not tag.startswith("."))

    # Pins

    def known(self, index: str, pin: Pin) -> tuple[str, ...]:
        """The digests of the wheels that `pin` gets, the latest first. Not all of them need still be stored.

        `index` is the `index_digest` of the configuration and the interpreter.
        """
        versions = (read_json(self._pins(index, pin.name)) or {}).get("versions")
        digests = versions.get(pin.version) if isinstance(versions, dict) else None
        return tuple(reversed(digests)) if isinstance(digests, list) else ()

    def note(self, index: str, served: Iterable[Wanted]) -> None:
        """Note that what the digest `index` stands for serves these. Call with the fill lock. Raises `StorageError`."""
        for wanted in served:
            path = self._pins(index, wanted.pin.name)
            record = read_json(path) or {"format": 1, "name": wanted.pin.name, "versions": {}}
            versions = record["versions"]
            assert isinstance(versions, dict)
            digests = versions.setdefault(wanted.pin.version, [])
            if digests[-1:] != [wanted.sha256]:
                digests[:] = [digest for digest in digests if digest != wanted.sha256] + [wanted.sha256]
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, record)

    def _pins(self, index: str, name: str) -> Path:
        return self.root / "pins" / index / f"{name}.json"

    # Locks

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Nothing that is stored goes away for the length of the block. Raises `OSError`."""
        self.use_lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = open_lock_file(self.use_lock)
        try:
            # Where files cannot be locked, a wheel that goes away at the wrong moment fails the linking, and no more.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - a Path for each of thousands costs more than the listing
    except OSError:
        return []
