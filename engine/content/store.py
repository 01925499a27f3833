"""Content on disk (DESIGN.md §5): the directory is the database, and what has no record was not deployed.

content/
    <guid>/
        content.json     the record; written atomically, under the content's lock
        bundles/<n>/     the files of a bundle
        used             its time of modification is the time of the last run
    .incoming/           bundles on their way in
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.bundles.model import Bundle
from engine.columns import changed
from engine.content.index import ContentCodec
from engine.content.model import Content, ContentBundle, PickedInstallation
from engine.content.rules import find_content
from engine.environments import trash
from engine.environments.locks import acquire, open_lock_file
from engine.errors import Problem, Refused, Where
from engine.files import StorageError, fsync_directory, read_json, sync_filesystem, write_json, write_problem
from engine.roster import Roster, Signature, announce, signature_of
from engine.roster_index import RosterIndex
from engine.targets import LOCAL
from engine.text import clean

__all__ = ["ContentStore", "hold_shared"]

_PATIENCE = 30.0
"""Seconds to wait for another process that changes the same content, which takes it moments."""
_LOOKED_AT = 0.25
"""Seconds to wait for who only looks whether content runs."""
_ABANDONED = 7 * 86400.0
"""Seconds after which an incoming bundle belongs to nobody any more: no build lasts that long."""


@contextmanager
def hold_shared(path: Path) -> Iterator[int]:
    """Hold the lock at `path` together with everyone else who uses the same thing; yields its descriptor.

    A process that inherits the descriptor goes on holding the lock, also when this one is killed. Raises
    `StorageError`.
    """
    with _stored(path, "use the lock"):
        descriptor = open_lock_file(_lock_file(path))
    try:
        with _stored(path, "take the lock"):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


class ContentStore:
    """The content below one data directory. Reading needs no lock and creates nothing."""

    def __init__(self, data_dir: Path, index: Path | None = None) -> None:
        """`index` is a file that may be kept to save the next process time (`engine.roster_index`)."""
        self.data_dir = data_dir
        self.root = data_dir / "content"
        kept = RosterIndex(index, self.root, ContentCodec()) if index else None
        self._roster = Roster(_Source(self.root), lambda c: (c.name, c.guid), kept)

    # Reading

    def contents(self, *, thorough: bool = False) -> tuple[Content, ...]:
        """All content, by name; the same object while nothing changed (`engine.roster`).

        Content whose record is broken has a `problem`.
        """
        return self._roster.look(thorough=thorough)

    @property
    def complete(self) -> bool:
        """False when the disk would not tell at the last look of `contents` what is there: there may be more."""
        return self._roster.complete

    def keep_index(self) -> None:
        """Write the index, if there is one and it would save the next process anything."""
        self._roster.keep()

    def read(self, guid: str) -> Content | None:
        """The content of that GUID as it is now; None when there is none."""
        directory = self.root / guid
        if not directory.is_dir():
            return None
        return _check(str(directory), _read(directory)[0])

    def find(self, reference: str) -> Content:
        """The content of that GUID or name, or the only one with `reference` as a part of either.

        Raises `InputError` (`content-unknown`, `content-ambiguous`).
        """
        return find_content(self.contents(), reference)

    def bundle_dir(self, guid: str, number: int) -> Path:
        """Where the files of one bundle are."""
        return self.root / guid / "bundles" / str(number)

    # Locks

    def use_path(self, guid: str) -> Path:
        """The lock that whoever runs the content holds with `hold_shared`, so that its files stay."""
        return self.data_dir / "locks" / f"content-{guid}.use"

    @contextmanager
    def changing(self, *names: str) -> Iterator[None]:
        """Hold what has to be held to change the content of each GUID; ``names`` stands for all names.

        Raises `Refused` (`content-busy`), `StorageError`.
        """
        if not names:
            yield
            return
        path = self.data_dir / "locks" / f"content-{names[0]}.lock"
        end = time.monotonic() + _PATIENCE
        with acquire(_lock_file(path), lambda: time.monotonic() > end, 0.02) as held:
            if not held:
                raise Refused(Problem("content-busy", "another process has been changing the content for too long"))
            with self.changing(*names[1:]):
                yield

    @contextmanager
    def idle(self, guid: str) -> Iterator[bool]:
        """Whether nothing runs the content; if so, nothing can begin to for the length of the block."""
        # Others take the lock for an instant, just to look.
        end = time.monotonic() + _LOOKED_AT
        with acquire(_lock_file(self.use_path(guid)), lambda: time.monotonic() > end, 0.005) as held:
            yield held

    # Changing

    @contextmanager
    def incoming(self, bundle: Bundle, readers: int | None = None) -> Iterator[Path]:
        """A copy of the bundle's files on the way in; whatever has not been taken from there goes at the end.

        `readers` is the id of the group that is to read them, when content runs as another account. Raises
        `InputError` for an archive that is not safe, `StorageError` when the files cannot be stored.
        """
        # Only here: to list what is deployed, no archive is opened.
        from engine.bundles.source import copy_source

        waiting = self.root / ".incoming"
        place = waiting / os.urandom(8).hex()
        try:
            with _stored(place, "store the bundle"):
                for directory in (self.data_dir, self.root):
                    if not directory.is_dir():
                        directory.mkdir(parents=True, exist_ok=True)
                        directory.chmod(0o755)  # whatever the admin's umask: builds and content may run as another
                waiting.mkdir(exist_ok=True)
                _sweep(waiting)
                place.mkdir()
                copy_source(bundle, place / "files")
                if readers is not None:
                    _let_read(place / "files", readers)
            yield place / "files"
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def create(self, content: Content, files: Path) -> None:
        """Make new content of which `files`, from `incoming`, is the only bundle; all of it appears at once.

        Raises `StorageError`.
        """
        new = files.parent / "new"
        with _stored(new, "store the content"):
            for directory in (new, new / "bundles"):
                directory.mkdir()
                directory.chmod(0o755)  # a bundle's own mode says who may see into it
            files.rename(new / "bundles" / str(content.active))
            write_json(new / "content.json", _record(content))
            sync_filesystem(new)
            new.rename(self.root / content.guid)
            fsync_directory(self.root)

    def add(self, content: Content, files: Path) -> None:
        """Store `files`, from `incoming`, as the active bundle of `content`, then the record. Under its lock.

        Raises `StorageError`, and leaves the record and the other bundles as they were then, unless the record was
        written and only could not be made to last.
        """
        place = self.bundle_dir(content.guid, content.active)
        with _stored(place, "store the bundle"):
            self.discard(place)  # the rest of a deployment that was cut short before its record was written
            place.parent.mkdir(exist_ok=True)
            sync_filesystem(files)
            files.rename(place)
            fsync_directory(place.parent)
        try:
            self.save(content)
        except StorageError:
            # What failed may only be that the record which is there would outlive a crash of the machine.
            there = self.read(content.guid)
            if there is not None and there.problem is None and there.active != content.active:
                self.discard(place)
            raise

    def save(self, content: Content) -> None:
        """Write the record. Under the content's lock. Raises `StorageError`."""
        write_json(self.root / content.guid / "content.json", _record(content))
        announce(self.root / content.guid)

    def discard(self, path: Path) -> None:
        """Take `path` out of the store at once, then delete it. Nothing happens when it is gone.

        Raises `StorageError`.
        """
        trash.discard(self.data_dir, path)

    def mark_used(self, guid: str) -> None:
        """Note that the content is being run now."""
        # Nothing hangs on it but what is shown: not being able to write it must not keep content from running.
        with suppress(OSError):
            (self.root / guid / "used").touch()


def _sweep(waiting: Path) -> None:
    """Delete what a crash left on the way in."""
    for old in waiting.iterdir():
        with suppress(FileNotFoundError):  # its own deployment has just ended
            if old.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(old, ignore_errors=True)


def _let_read(directory: Path, group: int) -> None:
    """Let `group` read what the owner may read, and nobody write or anybody else see it."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, -1, group, follow_symlinks=False)
        if not path.is_symlink():
            owner = stat.S_IMODE(path.stat().st_mode) & 0o700
            path.chmod(owner | (owner & 0o500) >> 3)


class _Source:
    """All content as a roster has it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def places(self) -> tuple[str]:
        return (str(self._root),)

    def signature(self, entry: str) -> Signature | None:
        # Content without its record is content with a problem, not none.
        return signature_of(f"{entry}/content.json") or (0,)

    def read(self, entry: str) -> tuple[Content, bool]:
        return _read(Path(entry))

    def check(self, entry: str, record: Content) -> Content:
        return _check(entry, record)

    def forget(self) -> None:
        pass


def _read(directory: Path) -> tuple[Content, bool]:
    """The content in `directory`, and whether its record could be read."""
    record = read_json(directory / "content.json")
    return _parse(directory, record), record is not None


def _check(directory: str, content: Content) -> Content:
    """`content` with what changes without its record: when it was run."""
    known = content.last_used_at
    used = _last_used(directory, known is not None)
    return content if used == known else changed(content, last_used_at=used)


def _last_used(directory: str, likely: bool = False) -> float | None:
    """When the content in `directory` was last run; None when it never was. `likely` says that it was before."""
    path = f"{directory}/used"
    # To be told that there is no file takes two thirds of the time of an error about it, and 100 000 have none.
    if not likely and not os.access(path, os.F_OK):
        return None
    try:
        return os.stat(path).st_mtime_ns / 1e9  # noqa: PTH116 - plain text, for its speed
    except OSError:
        return None


def _lock_file(path: Path) -> Path:
    """`path`, where there is a lock file now that can be used. Raises `StorageError`."""
    with _stored(path, "use the lock"):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(open_lock_file(path))
    return path


@contextmanager
def _stored(path: Path, what: str) -> Iterator[None]:
    """Failures of the disk as `StorageError`."""
    try:
        yield
    except OSError as error:
        hint = "Check Server.DataDir, and the space and permissions there"
        raise StorageError(write_problem(what, path, error, hint)) from error


def _record(content: Content) -> dict[str, object]:
    installation = content.installation
    return {
        "guid": content.guid,
        "name": content.name,
        "app_mode": content.app_mode,
        "created_at": content.created_at,
        "created_by": content.created_by,
        "active": content.active,
        "managed": content.managed,
        "management": content.management,
        "default_image": content.default_image,
        "installation": installation
        and {
            "version": installation.version,
            "path": installation.path,
            "target": installation.target,
            "identity": dict(installation.identity),
        },
        "bundles": [
            {
                "number": bundle.number,
                "deployed_at": bundle.deployed_at,
                "deployed_by": bundle.deployed_by,
                "name": bundle.name,
                "key": bundle.key,
                "python_version": bundle.python_version,
                "size": bundle.size,
            }
            for bundle in content.bundles
        ],
    }


class _Fields:
    """Typed access to one object of a record; `ValueError` names the field that is wrong."""

    def __init__(self, value: object, name: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(name)
        self._value = value

    def text(self, name: str) -> str:
        value = self._value.get(name)
        if not isinstance(value, str):
            raise ValueError(name)
        return clean(value)

    def number(self, name: str) -> float:
        value = self._value.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(name)
        return value

    def whole(self, name: str) -> int:
        value = self.number(name)
        if not isinstance(value, int) or value < 0:
            raise ValueError(name)
        return value

    def raw(self, name: str) -> object:
        return self._value.get(name)


def _parse(directory: Path, record: dict[str, object] | None) -> Content:
    """The content that a record describes; one with a problem when the record does not make sense."""
    try:
        return _content(directory.name, _Fields(record, "the record"), _last_used(str(directory)))
    except ValueError as error:
        problem = Problem(
            "content-record-broken",
            "the record of this content cannot be read, so it cannot be run or deployed to",
            expected="what envdeck wrote",
            found=f"nothing usable for {error}",
            where=Where(str(directory / "content.json")),
            hint="Restore the file from a backup, or remove the content and deploy it again",
        )
        return Content(clean(directory.name), "", "", 0.0, "", (), 0, None, managed=False, problem=problem)


def _content(guid: str, fields: _Fields, last_used_at: float | None) -> Content:
    if fields.text("guid") != guid:
        raise ValueError("guid")
    listed = fields.raw("bundles")
    bundles = tuple(_bundle(_Fields(b, "bundles")) for b in (listed if isinstance(listed, list) else []))
    active, managed, management = fields.whole("active"), fields.raw("managed"), fields.raw("management")
    if [b.number for b in bundles].count(active) != 1:
        raise ValueError("active")
    if not isinstance(managed, bool):
        raise ValueError("managed")
    if not (management is None or isinstance(management, bool)):
        raise ValueError("management")
    return Content(
        guid=guid,
        name=fields.text("name"),
        app_mode=fields.text("app_mode"),
        created_at=fields.number("created_at"),
        created_by=fields.text("created_by"),
        bundles=bundles,
        active=active,
        installation=_installation(_Fields(fields.raw("installation"), "installation")),
        managed=managed,
        management=management,
        default_image=fields.text("default_image"),
        last_used_at=last_used_at,
    )


def _installation(fields: _Fields) -> PickedInstallation:
    identity = fields.raw("identity")
    return PickedInstallation(
        fields.text("version"),
        fields.text("path"),
        fields.text("target") or LOCAL,
        identity if isinstance(identity, dict) else {},
    )


def _bundle(fields: _Fields) -> ContentBundle:
    return ContentBundle(
        number=fields.whole("number"),
        deployed_at=fields.number("deployed_at"),
        deployed_by=fields.text("deployed_by"),
        name=fields.text("name"),
        key=fields.text("key"),
        python_version=fields.text("python_version"),
        size=fields.whole("size"),
    )
