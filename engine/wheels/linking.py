"""Putting stored wheels into an environment: what stock pip would have installed, without reading a byte of it."""

from __future__ import annotations

import errno
import fcntl
import os
import posixpath
import shutil
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field
from packaging.utils import NormalizedName

from engine.environments.records import Row
from engine.environments.tree import digest_of
from engine.executors.accounts import Account
from engine.files import StorageError, write_problem
from engine.wheels.commands import command_script, fallback
from engine.wheels.entries import row_of
from engine.wheels.model import Directory, Entry, Script, StoredWheel
from engine.wheels.store import WheelStore

__all__ = ["Linked", "LinkedWheel", "link"]

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that takes no links from here at all."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FICLONE = 0x40049409
"""The request of Linux to let two files share their blocks until one is written."""
_PYC_SIZE = struct.Struct("<I")
_PYC_SIZE_AT = 12
_FILES_PER_WORKER = 2000
"""For fewer another thread costs more than it saves."""
_MOST_WORKERS = 4
_LOOK = 0.2
"""Seconds between two looks at whether to go on."""


class LinkedWheel(Struct, frozen=True):
    """One wheel in an environment."""

    wheel: StoredWheel
    record: str
    """The digest of its RECORD there."""
    rows: tuple[Row, ...]
    """What that RECORD says of the files of the environment's own."""


class Linked(Struct, frozen=True):
    """What `link` has put into an environment."""

    wheels: tuple[LinkedWheel, ...]
    files: int
    """All of them, whether linked, copied or written."""
    shared: int
    """Bytes in files that are the store's."""
    own: int
    """Bytes in files of the environment's own."""
    copied: int = 0
    """How many files had to be copied."""
    made: tuple[str, ...] = ()
    """The directories that were not there before."""
    filled: Mapping[str, int] = field(default_factory=dict)
    """Those that files were linked into, each with its inode."""
    written: tuple[str, ...] = ()
    """The paths of the files of the environment's own."""
    changed: range = range(0)
    """When what is there was made: see `engine.environments.tree.Listing`."""


def link(
    store: WheelStore,
    wheels: Sequence[StoredWheel],
    env_dir: Path,
    *,
    pip_version: str,
    requested: Collection[NormalizedName] = (),
    owner: Account | None = None,
    check: Callable[[], None] = lambda: None,
) -> Linked:
    """Put `wheels`, which are `agreeing`, into the environment `env_dir`, with or without a venv in it.

    Nobody else may be able to write into `env_dir` yet. `pip_version` is of the pip that the environment would have
    been made with: commands are written as it writes them. `requested` are the packages that were asked for by name.
    The directories that are made belong to `owner` in the end, so that pip can take packages out again; every file
    stays this process's. Files are linked; they are copied where the file system takes no (more) links. `check` is
    called now and then: what it raises ends the linking. Raises `StorageError`; what is in `env_dir` then is of no use.
    """
    try:
        text = store.commands_path(pip_version).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    root = str(env_dir)
    try:
        with store.in_use():
            began, there = _time_at(root), _contents(root)
            look = _now_and_then(check)
            works = [_Linking(root, there, look) for _ in range(_workers(wheels))]
            _share(works, wheels, text, requested)
        _hand_over(root, [directory for work in works for directory in work.made], owner)
        changed = range(began, _time_at(root))
    except OSError as error:
        raise StorageError(
            write_problem("put packages of the wheel store into the environment", env_dir, error)
        ) from error
    return Linked(
        tuple(linked for work in works for linked in work.linked),
        sum(work.files for work in works),
        sum(work.shared for work in works),
        sum(work.own for work in works),
        sum(work.copied for work in works),
        tuple(path for work in works for path in work.made),
        {path: inode for work in works for path, inode in work.filled.items() if path not in there},
        tuple(path for work in works for path in work.written),
        changed,
    )


def _now_and_then(check: Callable[[], None]) -> Callable[[], None]:
    """Calls `check` at first, and then not more often than it is worth."""
    due = 0.0

    def look() -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _LOOK
            check()

    return look


def _time_at(directory: str) -> int:
    """The time now, in nanoseconds, by the clock of the file system that `directory` is on."""
    os.utime(directory)
    return os.stat(directory).st_ctime_ns  # noqa: PTH116


def _contents(root: str) -> dict[str, frozenset[str]]:
    """The names in every directory that is in `root` by now, which is empty as a rule. Raises `OSError`."""
    found: dict[str, frozenset[str]] = {}
    pending = [""]
    while pending:
        directory = pending.pop()
        with os.scandir(f"{root}/{directory}") as entries:
            listed = list(entries)
        found[directory] = frozenset(entry.name for entry in listed)
        prefix = f"{directory}/" if directory else ""
        pending += [prefix + entry.name for entry in listed if entry.is_dir(follow_symlinks=False)]
    return found


def _workers(wheels: Sequence[StoredWheel]) -> int:
    """How many threads link `wheels`: nearly all of it is waiting for the kernel, which works for several at once."""
    files = sum(wheel.entry.files for wheel in wheels)
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)), files // _FILES_PER_WORKER))


def _share(
    works: Sequence[_Linking], wheels: Sequence[StoredWheel], text: str, requested: Collection[NormalizedName]
) -> None:
    """Add `wheels` by `works`, each of them in a thread of its own. Raises the first `OSError`."""
    # The largest first, so that all are done at about the same time.
    rest = deque(sorted(wheels, key=lambda wheel: -wheel.entry.files))

    def run(work: _Linking) -> None:
        while True:
            try:
                wheel = rest.popleft()
            except IndexError:
                return
            try:
                work.add(wheel, text or fallback(wheel.tag), wheel.pin.name in requested)
            except BaseException:
                rest.clear()  # what is there is of no use, so the others need not go on
                raise

    if len(works) == 1:
        run(works[0])
        return
    with ThreadPoolExecutor(len(works), "linking") as pool:
        list(pool.map(run, works))


def _hand_over(root: str, made: Sequence[str], owner: Account | None) -> None:
    """Give the directories `made` to `owner`, from the inside out: what it can reach, it could swap for others."""
    if owner is not None:
        for directory in sorted(made, reverse=True):
            os.chown(f"{root}/{directory}", owner.uid, owner.gid, follow_symlinks=False)


class _Linking(Struct):
    """The part of one thread in a run of `link`.

    What another one puts there meanwhile is no clash: only what was there before is.
    """

    root: str
    there: Mapping[str, Collection[str]]
    """The directories that were there before the run, with what was in them."""
    look: Callable[[], None]
    """Called before each directory: over a network all of them take minutes."""
    made: list[str] = field(default_factory=list)
    """The directories that this thread has made."""
    seen: set[str] = field(default_factory=set)
    """The directories that it knows to be there."""
    linked: list[LinkedWheel] = field(default_factory=list)
    filled: dict[str, int] = field(default_factory=dict)
    """The directories that it has linked files into, with their inodes."""
    written: list[str] = field(default_factory=list)
    files: int = 0
    shared: int = 0
    own: int = 0
    copied: int = 0
    links: bool = True
    """False once it is known that there can be none."""

    def add(self, wheel: StoredWheel, command_text: str, requested: bool) -> None:
        entry = wheel.entry
        self.shared += entry.size
        self.files += entry.files
        place = os.open(wheel.path, _DIRECTORY)
        try:
            for directory in entry.directories:
                self.look()
                self._enter(directory.target)
                if directory.names:
                    self._fill(place, directory)
            written = self._write_scripts(place, entry)
        finally:
            os.close(place)
        self.linked.append(self._write_metadata(wheel, command_text, requested, written))

    def _path(self, target: str) -> str:
        return f"{self.root}/{target}" if target else self.root

    def _enter(self, target: str) -> None:
        """See to it that the directory `target` is there."""
        if target in self.seen:
            return
        path = self._path(target)
        try:
            os.mkdir(path)  # noqa: PTH102 - thousands of them: a Path for each costs more than the call
            self.made.append(target)
        except FileExistsError:
            if os.path.islink(path):  # noqa: PTH114
                raise NotADirectoryError(errno.ENOTDIR, f"{path} leads somewhere else") from None
        self.seen.add(target)

    def _fill(self, place: int, directory: Directory) -> None:
        """Link the files of one directory. By descriptors and bare names: most of a link is finding the two places."""
        source = os.open(directory.source, _DIRECTORY, dir_fd=place)
        try:
            target = os.open(self._path(directory.target), _DIRECTORY | os.O_NOFOLLOW)
            try:
                self.filled[directory.target] = os.fstat(target).st_ino
                for name in directory.names:
                    try:
                        if self.links:
                            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
                            continue
                    except FileExistsError:
                        self._leave(directory.target, name, os.stat(name, dir_fd=source).st_size)
                        continue
                    except OSError as error:
                        if error.errno != errno.EMLINK and error.errno not in _NO_LINKS:
                            raise
                        self.links = error.errno == errno.EMLINK
                    self._copy(name, source, target, directory.target)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _expect(self, target: str, name: str) -> None:
        """Nothing when the file there is one of this run, which is the same then (`agreeing`). Raises `OSError`."""
        if name in self.there.get(target, ()):
            raise FileExistsError(errno.EEXIST, f"there is a {name} already", self._path(target))

    def _leave(self, target: str, name: str, size: int) -> None:
        """Leave a file as `_expect` does, and count it, and its `size`, only once."""
        self._expect(target, name)
        self.files -= 1
        self.shared -= size

    def _copy(self, name: str, source: int, target: int, directory: str) -> None:
        """Make the file `name` anew, sharing blocks where the file system can. It keeps its time, for its bytecode."""
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=source), "rb") as read:  # noqa: PTH123
            status = os.fstat(read.fileno())
            try:
                descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=target)
            except FileExistsError:
                self._leave(directory, name, status.st_size)
                return
            with open(descriptor, "wb") as written:  # noqa: PTH123
                try:
                    fcntl.ioctl(descriptor, _FICLONE, read.fileno())
                except OSError:
                    shutil.copyfileobj(read, written, 1024 * 1024)
                    written.flush()
                os.fchmod(descriptor, status.st_mode & 0o777)
                os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.copied += 1
        self.shared -= status.st_size
        self.own += status.st_size

    def _write_scripts(self, place: int, entry: Entry) -> dict[str, bytes]:
        """Write the scripts that name the environment's Python; what is in them, by their names."""
        written = {}
        for script in entry.scripts:
            name = f"scripts/{script.name}"
            with _opened(name, place) as file:
                status, body = os.fstat(file), _read_all(file)
            line = f"#!{self.root}/bin/python\n".encode()
            data = line + body.partition(b"\n")[2]
            self._enter_all(posixpath.dirname(f"bin/{script.name}"))
            path = self._write(f"bin/{script.name}", data, 0o755 if script.executable else 0o644)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            written[script.name] = data
            if script.bytecode:
                self._write_bytecode(place, script, len(data))
        return written

    def _write_bytecode(self, place: int, script: Script, size: int) -> None:
        """Write the bytecode of a script, which knows its source by time and size."""
        directory = posixpath.join(posixpath.dirname(script.name), "__pycache__")
        with _opened(f"scripts/{directory}/{script.bytecode}", place) as file:
            data = bytearray(_read_all(file))
        _PYC_SIZE.pack_into(data, _PYC_SIZE_AT, size & 0xFFFFFFFF)
        self._enter_all(f"bin/{directory}")
        self._write(f"bin/{directory}/{script.bytecode}", bytes(data), 0o644)

    def _enter_all(self, target: str) -> None:
        if parent := posixpath.dirname(target):
            self._enter_all(parent)
        self._enter(target)

    def _write_metadata(
        self, wheel: StoredWheel, text: str, requested: bool, scripts: Mapping[str, bytes]
    ) -> LinkedWheel:
        """Write what pip writes for each environment: commands, and what says how the package came there."""
        entry = wheel.entry
        own = {f"bin/{name}": data for name, data in scripts.items()}
        if entry.commands:
            self._enter("bin")
        for name, module, function in entry.commands:
            data = command_script(text, f"{self.root}/bin/python", module, function)
            self._write(f"bin/{name}", data, 0o755)
            own[f"bin/{name}"] = data
        own[f"{entry.info}/INSTALLER"] = b"pip\n"
        self._write(f"{entry.info}/INSTALLER", b"pip\n", 0o644)
        if requested:
            own[f"{entry.info}/REQUESTED"] = b""
            self._write(f"{entry.info}/REQUESTED", b"", 0o644)
        site = posixpath.dirname(entry.info)
        rows, spelled = [], {}
        for target, data in own.items():
            rows.append(Row(target, digest_of(data), len(data)))
            inside = target.startswith(f"{site}/")
            recorded = target[len(site) + 1 :] if inside else posixpath.relpath(target, site)
            spelled[recorded] = row_of(recorded, rows[-1].digest, len(data))
        record = "".join(spelled.get(path, "") + following for path, following in entry.record)
        data = record.encode("utf-8", "surrogateescape")
        self._write(f"{entry.info}/RECORD", data, 0o644)
        return LinkedWheel(wheel, digest_of(data), tuple(rows))

    def _write(self, target: str, data: bytes, mode: int) -> str:
        """Write a file of the environment's own. Raises `OSError`, also when there was one before this run."""
        path = self._path(target)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except FileExistsError:
            self._expect(*posixpath.split(target))
            return path
        with open(descriptor, "wb") as file:  # noqa: PTH123
            os.fchmod(descriptor, mode)
            file.write(data)
        self.written.append(target)
        self.files += 1
        self.own += len(data)
        return path


@contextmanager
def _opened(name: str, place: int) -> Iterator[int]:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123
        return file.read()
