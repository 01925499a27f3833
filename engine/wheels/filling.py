"""Filling the store: from what the service's own run of an interpreter's pip fetched, never from what a build made."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field

from engine.environments.locks import acquire
from engine.files import (
    StorageError,
    fsync_directory,
    read_json,
    sync_filesystem,
    write_atomic,
    write_json,
    write_problem,
)
from engine.wheels.commands import learn
from engine.wheels.compiling import compile_modules
from engine.wheels.entries import modules_of, seal
from engine.wheels.fetching import Source, fetch, pip_environment
from engine.wheels.layout import Unfit
from engine.wheels.model import StoredWheel, Wanted
from engine.wheels.store import FILLING, WheelStore
from engine.wheels.unpacking import Unpacked, unpack

__all__ = ["Filled", "Source", "fill"]

_BUSY = "the store is being filled by another process"
_FORMAT = 1


class Filled(Struct, frozen=True):
    """What a fill came to."""

    stored: tuple[StoredWheel, ...]
    """What is in the store now of what was wanted, whether it was before or not."""
    added: int
    """How many of them are new."""
    refused: Mapping[Wanted, str]
    """What is not, and why."""


def fill(
    store: WheelStore,
    source: Source,
    wanted: Sequence[Wanted],
    give_up: Callable[[], bool] = lambda: False,
    timeout: float = 1800.0,
) -> Filled:
    """Put `wanted` into the store, and note that `source` serves it.

    pip fetches each by name, version and digest at once, so whatever is wanted, only what the index serves under that
    very name comes in. What was refused once for what is in it is not fetched again. Waits for whoever else fills the
    store until `give_up()` says not to; stops soon when it says so later. Raises `StorageError`.
    """
    try:
        for directory in (store.root, store.fill_lock.parent):
            directory.mkdir(parents=True, exist_ok=True)
        with acquire(store.fill_lock, give_up) as held:
            if not held:
                return Filled((), 0, dict.fromkeys(wanted, _BUSY))
            for left in store.root.glob(f"{FILLING}*"):
                shutil.rmtree(left, ignore_errors=True)
            with _workplace(store) as place:
                return _Fill(store, source, place, give_up, time.monotonic() + timeout).run(wanted)
    except OSError as error:
        raise StorageError(write_problem("fill the wheel store", Path(error.filename or store.root), error)) from error


@contextmanager
def _workplace(store: WheelStore) -> Iterator[Path]:
    # Readable for nobody else: a wheel may come from an index that asks for a password.
    place = Path(tempfile.mkdtemp(prefix=FILLING, dir=store.root))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Fill(Struct):
    """One run of `fill`, with the lock held and `place` to work in."""

    store: WheelStore
    source: Source
    place: Path
    give_up: Callable[[], bool]
    deadline: float
    refused: dict[Wanted, str] = field(default_factory=dict)

    def run(self, wanted: Sequence[Wanted]) -> Filled:
        self._learn_commands()
        missing = []
        for each in dict.fromkeys(wanted):
            if not each.sound:
                self.refused[each] = "it is no name, version and digest"
            elif why := self._refusal(each):
                self.refused[each] = why
            elif each.sha256 not in self.store.known(self.source.index, each.pin) or not self._find(each):
                missing.append(each)
        added = 0
        if missing:
            got, refused = fetch(self.source, missing, self.place / "fetched", self.give_up, self._left())
            self.refused |= refused
            added = self._add({each: path for each, path in got.items() if not self._find(each)})
            self.store.note(self.source.index, [each for each in got if each not in self.refused])
        stored = [found for each in dict.fromkeys(wanted) if each not in self.refused and (found := self._find(each))]
        return Filled(tuple(stored), added, self.refused)

    def _left(self) -> float:
        return max(self.deadline - time.monotonic(), 1.0)

    def _find(self, wanted: Wanted) -> StoredWheel | None:
        return self.store.find(wanted.sha256, self.source.tag)

    def _learn_commands(self) -> None:
        path = self.store.commands_path(self.source.pip_version)
        if path.exists():
            return
        home = self.place / "learning-home"
        home.mkdir()
        text = learn(self.source.python, self.place / "learning", pip_environment(self.source, home), self.give_up)
        if text:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, text.encode())

    # From a wheel to an entry

    def _add(self, wheels: Mapping[Wanted, Path]) -> int:
        """Unpack, compile and publish `wheels`; how many it were. What is wrong with one is kept for the next time."""
        places = {each: self.place / f"{number}" for number, each in enumerate(wheels)}

        def work(each: Wanted) -> Unpacked | Unfit:
            try:
                return unpack(wheels[each], each.pin, self.source.tag, places[each])
            except Unfit as unfit:
                return unfit

        # In threads, because unpacking and hashing do not hold Python's lock.
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            unpacked = dict(zip(wheels, pool.map(work, wheels), strict=True))
        good: dict[Wanted, Unpacked] = {}
        for each, result in unpacked.items():
            if isinstance(result, Unfit):
                self._refuse(each, result)
            else:
                good[each] = result
        bytecode = self._compile(places, good)
        sealed = [each for each, result in good.items() if self._seal(each, result, places[each], bytecode)]
        sync_filesystem(self.place)
        for each in sealed:
            self._publish(each, places[each])
        return len(sealed)

    def _compile(self, places: Mapping[Wanted, Path], good: Mapping[Wanted, Unpacked]) -> dict[str, str | None]:
        """The bytecode of every module by the path of its source, both relative to where the fill works."""
        modules = [
            (f"{places[each].name}/{path}", name) for each, result in good.items() for path, name in modules_of(result)
        ]
        return compile_modules(self.source.python, self.place, modules, self.give_up, self._left())

    def _seal(self, each: Wanted, unpacked: Unpacked, place: Path, bytecode: Mapping[str, str | None]) -> bool:
        prefix = f"{place.name}/"
        own = {}
        for path, _ in modules_of(unpacked):
            if prefix + path not in bytecode:
                # Not kept for the next time: there may only have been no time left.
                self.refused[each] = f"the compiler did not get as far as {path}"
                return False
            found = bytecode[prefix + path]
            own[path] = found and found.removeprefix(prefix)
        try:
            seal(unpacked, place, own)
        except Unfit as unfit:
            self._refuse(each, unfit)
            return False
        return True

    def _publish(self, each: Wanted, place: Path) -> None:
        path = self.store.path(each.sha256, self.source.tag)
        with suppress(FileNotFoundError):
            # Of another format, or damaged: `find` does not see it.
            path.rename(self.place / f"{place.name}.old")
        while True:
            path.parent.mkdir(exist_ok=True)
            try:
                place.rename(path)
            except FileNotFoundError:
                continue  # what was the last for this wheel has just been taken out, and the directory with it
            fsync_directory(path.parent)
            return

    # What does not come in

    def _refusal_path(self, wanted: Wanted) -> Path:
        return self.store.root / "refused" / f"{wanted.sha256}.{self.source.tag}"

    def _refusal(self, wanted: Wanted) -> str:
        """Why this wheel did not come in before; empty when nothing is known against it."""
        record = read_json(self._refusal_path(wanted)) or {}
        what = record.get("what")
        of_it = record.get("format") == _FORMAT and record.get("pin") == [wanted.pin.name, wanted.pin.version]
        return what if of_it and isinstance(what, str) else ""

    def _refuse(self, wanted: Wanted, unfit: Unfit) -> None:
        self.refused[wanted] = unfit.what
        path = self._refusal_path(wanted)
        path.parent.mkdir(exist_ok=True)
        pin = [wanted.pin.name, wanted.pin.version]
        write_json(path, {"format": _FORMAT, "code": unfit.code, "what": unfit.what, "pin": pin})
