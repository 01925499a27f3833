"""The cache on disk (DESIGN.md §5): the directory is the database, and what is not published does not exist.

python-environments/<installer>/<X.Y.Z>[@<target>]/<key>/
    <attempt>/       the virtual environment, built where it stays
    current.json     names the attempt that counts; written last, atomically
    damaged.json     is there after a verification found that attempt not to be what was built
    verified.json    tells of the last verification that found it to be what was built
    pinned.json      is there while an admin wants the environment kept
    last-used        its time is when content was last seen to use the environment
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.columns import changed
from engine.environments import trash
from engine.environments.index import EnvironmentCodec
from engine.environments.model import Environment, EnvironmentState, Ingredients, LockedPackage
from engine.files import StorageError, is_there, read_json, write_json, write_problem
from engine.roster import Roster, Signature, announce, signature_of
from engine.roster_index import RosterIndex
from engine.targets import LOCAL
from engine.text import clean, one_line

__all__ = ["DAMAGED", "VERIFIED", "EnvironmentStore", "freed_by_deleting", "measure", "safe_name", "subdirectories"]

DAMAGED = "damaged.json"
"""The mark of a verification that found something."""
VERIFIED = "verified.json"
"""The note of a verification that found nothing."""
_HELD = 1 << 16
"""How many values that environments have in common are held once."""
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class EnvironmentStore:
    """The environments below one data directory. Reading needs no lock and creates nothing."""

    def __init__(self, data_dir: Path, index: Path | None = None) -> None:
        """`index` is a file that may be kept to save the next process time (`engine.roster_index`)."""
        self.data_dir = data_dir
        self.root = data_dir / "python-environments"
        kept = RosterIndex(index, self.root, EnvironmentCodec()) if index else None
        self._roster = Roster(_Source(self.root), lambda e: e.built_at, kept, reverse=True)

    def key_dir(self, installer: str, python_version: str, target: str, key: str) -> Path:
        """Where the attempts of one key live."""
        python = python_version if target == LOCAL else f"{python_version}@{safe_name(target)}"
        return self.root / installer / python / key

    def lock_path(self, key: str) -> Path:
        """The lock that a build of `key` holds."""
        return self.data_dir / "locks" / f"{key}.lock"

    def use_lock_path(self, key: str) -> Path:
        """The lock that content holds shared while it runs in an environment of `key`."""
        return self.data_dir / "locks" / f"{key}.use"

    def mark_used(self, key_dir: Path) -> None:
        """Note that content uses the environment in `key_dir` now. Nothing happens when it cannot be noted."""
        with suppress(OSError):
            (key_dir / "last-used").touch()

    def read(self, key_dir: Path) -> Environment | None:
        """The published environment in `key_dir` in whatever state it is, None when nothing is published there."""
        return _load(key_dir)

    def find(self, key_dir: Path) -> Environment | None:
        """The published environment in `key_dir`, None when there is none that can be used."""
        environment = _load(key_dir)
        return environment if environment and environment.state is EnvironmentState.READY else None

    def environments(self, *, thorough: bool = False) -> tuple[Environment, ...]:
        """Every published environment, newest first; the same object while nothing changed (`engine.roster`)."""
        return self._roster.look(thorough=thorough)

    def keep_index(self) -> None:
        """Write the index, if there is one and it would save the next process anything."""
        self._roster.keep()

    def publish(self, key_dir: Path, record: dict[str, object]) -> None:
        """Make the attempt that `record` names the one that counts. Raises `StorageError`."""
        write_json(key_dir / "current.json", record)
        announce(key_dir)

    def clear_unfinished(self, key_dir: Path) -> None:
        """Remove what a publication was just writing that was killed. With the key's lock held."""
        for record in ("current.json", "request.json"):
            for path in key_dir.glob(f".{record}.*"):
                with suppress(OSError):
                    path.unlink()

    def mark_damaged(self, key_dir: Path, attempt: str, reason: str, details: Mapping[str, object]) -> None:
        """Note that `attempt` is not what was built, so that it is not used any more. Raises `StorageError`.

        It counts as damaged for `reason`, one sentence, as long as it is the attempt that counts.
        """
        write_json(key_dir / DAMAGED, {**details, "attempt": attempt, "reason": reason})
        announce(key_dir)

    def note_verified(self, key_dir: Path, attempt: str, details: Mapping[str, object]) -> None:
        """Note that `attempt` was found to be what was built. Raises `StorageError`."""
        write_json(key_dir / VERIFIED, {**details, "attempt": attempt})

    def clear_mark(self, key_dir: Path) -> None:
        """Take the mark of `mark_damaged` off. Nothing happens when there is none. Raises `StorageError`."""
        path = key_dir / DAMAGED
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(write_problem("take the mark off", path, error)) from error
        announce(key_dir)

    def discard(self, path: Path) -> None:
        """Take the directory `path` out of the cache at once, then delete it. Nothing happens when it is gone.

        Raises `StorageError` when it cannot be taken out.
        """
        trash.discard(self.data_dir, path)
        announce(path.parent)

    def set_aside(self, path: Path) -> Path | None:
        """Take `path` out of the cache and return where it is now; None when it is gone already.

        Raises `StorageError`.
        """
        aside = trash.set_aside(self.data_dir, path)
        announce(path.parent)
        return aside

    def discard_attempt(self, attempt_dir: Path) -> None:
        """Discard an attempt unless it was published, and the directory of its key when nothing else is in it.

        With the key's lock held. Nothing happens where the record of the key does not say which attempt counts: a disk
        that fails is no reason to delete what it may be about. Raises `StorageError` when it cannot be taken out.
        """
        key_dir = attempt_dir.parent
        there = self.read(key_dir)
        if there is not None and there.attempt in ("", attempt_dir.name):
            return
        self.discard(attempt_dir)
        if not is_there(key_dir / "current.json") and not subdirectories(key_dir):
            # Written just before a publication that did not come.
            (key_dir / "request.json").unlink(missing_ok=True)
        with suppress(OSError):  # not empty: the key has other attempts
            key_dir.rmdir()

    def key_dirs(self) -> Iterator[Path]:
        """Every directory at the depth of a key, by name; nothing is said about what is in it."""
        for installer in subdirectories(self.root):
            for python in subdirectories(installer):
                yield from subdirectories(python)


class _Source:
    """The cache as a roster has it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def places(self) -> Iterator[str]:
        for installer in subdirectories(self._root):
            for python in subdirectories(installer):
                yield str(python)

    def signature(self, entry: str) -> Signature | None:
        record = signature_of(f"{entry}/current.json")
        # The directory's changes when a file beside the record comes or goes.
        directory = signature_of(entry)
        return (max(record[0], directory[0]), *record, *directory[:2]) if record and directory else None

    def read(self, entry: str) -> tuple[Environment, bool]:
        return _read(Path(entry))

    def check(self, entry: str, record: Environment) -> Environment:
        return _check(entry, record)

    def forget(self) -> None:
        for kept in (_line, _package, _common):
            kept.cache_clear()


def _load(key_dir: Path) -> Environment | None:
    if not is_there(key_dir / "current.json"):
        return None
    return _check(str(key_dir), _read(key_dir)[0])


def safe_name(target: str) -> str:
    """`target` as a part of a directory's name; what is safe already stays as it is."""
    return _UNSAFE_IN_NAME.sub("-", target)


def subdirectories(path: Path) -> list[Path]:
    """The directories in `path` by name; none when it is not there or may not be read.

    Hidden ones are not among them: they are on their way in or out (`engine.environments.trash`).
    """
    try:
        with os.scandir(path) as entries:
            return sorted(Path(e.path) for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _read(key_dir: Path) -> tuple[Environment, bool]:
    """What the records in `key_dir` say, and whether the main one could be read."""
    record = read_json(key_dir / "current.json")
    environment = _parse(key_dir, record)
    if os.path.lexists(f"{key_dir}/pinned.json"):
        environment = changed(environment, pinned=True)
    marked = environment.state is EnvironmentState.READY and os.access(f"{key_dir}/{DAMAGED}", os.F_OK)
    if marked and (reason := _marked(environment)):
        environment = changed(environment, state=EnvironmentState.DAMAGED, reason=reason)
    return environment, record is not None


def _last_used(key_dir: str) -> float:
    """When content was last seen to use the environment in `key_dir`; 0 when that was never noted.

    Once there is a note only its time changes. The first makes the directory another one (`_Source.signature`).
    """
    try:
        return os.lstat(f"{key_dir}/last-used").st_mtime
    except OSError:
        return 0.0


def _check(key_dir: str, environment: Environment) -> Environment:
    """`environment` with what changes without its record: when it was used, and whether what is named is there."""
    # Plain text for the paths: it is asked ten thousand times in one look.
    if environment.last_used_at and (used := _last_used(key_dir)) != environment.last_used_at:
        environment = changed(environment, last_used_at=used)
    if environment.state is not EnvironmentState.READY:
        return environment
    attempt = f"{key_dir}/{environment.attempt}"
    if not os.access(f"{attempt}/pyvenv.cfg", os.F_OK):
        return changed(environment, state=EnvironmentState.DAMAGED, reason="its directory is gone or incomplete")
    # In an image the link leads to a place that cannot be looked at from here.
    if environment.target == LOCAL and not os.access(f"{attempt}/bin/python", os.F_OK):
        return changed(environment, state=EnvironmentState.DAMAGED, reason="its interpreter is not there any more")
    return environment


def _marked(environment: Environment) -> str:
    """Why a verification marked `environment` as damaged; empty when none did, or it was about another attempt."""
    mark = read_json(environment.key_dir / DAMAGED)
    if mark is None or mark.get("attempt") != environment.attempt:
        return ""
    return one_line(str(mark.get("reason", ""))) or "a verification marked it as damaged"


def _parse(key_dir: Path, record: dict[str, object] | None) -> Environment:
    """The environment that a record describes; a damaged one when the record does not make sense."""
    record = record or {}

    def text(name: str) -> str:
        value = record.get(name)
        return clean(value) if isinstance(value, str) else ""

    def number(name: str) -> float:
        value = record.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e18:
            return 0.0
        return float(value)

    def strings(name: str) -> tuple[str, ...]:
        value = record.get(name)
        return tuple(_line(v) for v in value if isinstance(v, str)) if isinstance(value, list) else ()

    packages = record.get("packages")
    ingredients = record.get("ingredients")
    attempt, lines = text("attempt"), strings("lines")
    sound = attempt not in ("", "..") and attempt == Path(attempt).name and isinstance(ingredients, dict)
    version_dir = key_dir.parent.name.partition("@")
    return Environment(
        place=sys.intern(str(key_dir.parent)),
        key=key_dir.name,
        attempt=attempt if sound else "",
        installer=key_dir.parent.parent.name,
        python_version=text("python_version") or version_dir[0],
        python_path=text("python_path"),
        target=text("target") or LOCAL,
        state=EnvironmentState.READY if sound else EnvironmentState.DAMAGED,
        reason="" if sound else "its record current.json does not parse",
        lines=lines,
        packages=_packages(packages if isinstance(packages, list) else []),
        size=int(number("size")),
        shared=int(number("shared")),
        files=int(number("files")),
        built_at=number("built_at"),
        built_by=text("built_by"),
        seconds=number("seconds"),
        bundle=text("bundle"),
        ingredients=_ingredients(ingredients, lines) if isinstance(ingredients, dict) else {},
        overlay=text("overlay"),
        seal=text("seal"),
        last_used_at=_last_used(str(key_dir)),
    )


# Thousands of environments have the same lines, packages and interpreters, so each is made safe and held once.


@lru_cache(_HELD)
def _line(text: str) -> str:
    return clean(text)


@lru_cache(_HELD, typed=True)
def _package(name: object, version: object) -> LockedPackage:
    return LockedPackage(clean(str(name)), clean(str(version)))


def _packages(found: list[Any]) -> tuple[LockedPackage, ...]:
    try:
        # As envdeck writes them: to look at each of half a million first takes a seventh of the time of all reading.
        return tuple([_package(p["name"], p["version"]) for p in found])
    except (TypeError, LookupError):  # something only a hand can have put there
        sound = [p for p in found if isinstance(p, dict) and "name" in p and "version" in p]
        return tuple(_package(str(p["name"]), str(p["version"])) for p in sound)


@lru_cache(_HELD)
def _common(ingredients: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(ingredients)
    return found


def _ingredients(found: dict[str, object], lines: tuple[str, ...]) -> Mapping[str, object]:
    if found.get("requirements") != list(lines):  # as only a hand can have written it, or with text that is not safe
        return found
    return Ingredients(_common(json.dumps({**found, "requirements": None})), lines)


def freed_by_deleting(path: Path) -> int:
    """Bytes in the files below `path` that have no other name, such as one in the wheel store."""
    size = 0
    pending = [path]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif (status := entry.stat(follow_symlinks=False)).st_nlink == 1:
                    size += status.st_size
    return size


def measure(path: Path) -> tuple[int, int]:
    """Bytes and number of the files below `path`; a file with several names is counted once."""
    size = files = 0
    seen: set[tuple[int, int]] = set()
    pending = [path]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                    continue
                status = entry.stat(follow_symlinks=False)
                if status.st_nlink > 1:
                    identity = (status.st_dev, status.st_ino)
                    if identity in seen:
                        continue
                    seen.add(identity)
                size += status.st_size
                files += 1
    return size, files
