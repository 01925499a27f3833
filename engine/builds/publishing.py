"""The end of a build that went well: what the builder made is taken over, described, and made the one that counts."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.builds.spec import Job
from engine.environments.seal import InterpreterSeal, Sealed, Vouched, Whole, write_seal
from engine.environments.store import EnvironmentStore
from engine.environments.tree import Entry
from engine.executors.accounts import Account
from engine.files import read_json, sync_filesystem, write_atomic

__all__ = ["publish", "read_outcome"]

_LATE = 5.0
"""Seconds after which a file that another machine wrote is surely seen (executors.md §4)."""


def read_outcome(job: Job) -> Mapping[str, object] | None:
    """What the builder says it made; None when it said nothing. From now on it cannot write any more."""
    path = job.work_dir / "outcome.json"
    # A build script can put anything there; opening a pipe would wait for ever. From here on it cannot.
    os.chown(job.work_dir, os.geteuid(), os.getegid())
    if job.executor != "local":
        _await_name(path)
    return read_json(path) if path.is_file() and not path.is_symlink() else None


def _await_name(path: Path) -> None:
    """Return once there is something at `path`, or it is too late for that.

    Over NFS a name that was looked for before it was made stays unknown for half a minute; a listing shows it.
    """
    end = time.monotonic() + _LATE
    while path not in path.parent.iterdir() and time.monotonic() < end:
        time.sleep(0.25)


def publish(
    store: EnvironmentStore,
    job: Job,
    outcome: Mapping[str, object],
    seconds: float,
    check: Callable[[], None],
    interpreter: Callable[[], InterpreterSeal | None],
    vouched: Callable[[], Vouched] = Vouched,
    whole: Whole | None = None,
) -> Sealed:
    """Make the attempt of `job` the one that counts, with the key's lock held; returns what is in it.

    `outcome` is the builder's, `seconds` how long it took, `interpreter` says what it was built on, `vouched` which
    files came from the wheel store, and `whole` is all that did, if that can be told at once.
    `check` is called last before anyone can see the attempt, and raises to keep it from being published. Raises
    `OSError`, `StorageError`.
    """
    if job.account:
        _take_over(job.attempt_dir, job.account, vouched().files)
        # The directories were the account's until now, and to take them over leaves the same trace as to change them.
        whole = None
    with ThreadPoolExecutor(1, "syncing") as pool:
        # Nearly all of it is on disk by the time it is sealed, and what is left below is little.
        syncing = pool.submit(sync_filesystem, job.attempt_dir)
        sealed = write_seal(job.attempt_dir, interpreter, vouched, whole)
        syncing.result()
    packages = outcome.get("packages")
    record: dict[str, object] = {
        "key": job.key,
        "installer": job.installer,
        "python_version": job.python_version,
        "python_path": job.python_path,
        "target": job.target,
        "bundle": job.bundle,
        "lines": list(job.lines),
        "ingredients": dict(job.ingredients),
        "overlay": job.overlay,
        "seal": sealed.digest,
        "attempt": job.attempt,
        "packages": [
            {"name": p[0], "version": p[1]}
            for p in (packages if isinstance(packages, list) else [])
            if isinstance(p, list) and len(p) == 2
        ],
        "conflicts": outcome.get("conflicts", []),
        "size": sealed.size,
        "shared": sealed.shared,
        "files": sealed.files,
        "built_at": time.time(),
        "built_by": job.by,
        "built_as": job.account.name if job.account else "",
        "seconds": round(seconds, 3),
    }
    sync_filesystem(job.attempt_dir)
    check()
    # Beside the attempts, not in one: an environment whose directory is gone is what a rebuild is most wanted for.
    write_atomic(job.key_dir / "request.json", (job.job_dir / "request.json").read_bytes(), 0o600)
    store.publish(job.key_dir, record)
    return sealed


def _take_over(directory: Path, account: Account, vouched: Mapping[str, Entry]) -> None:
    """Make everything in `directory` that belongs to `account` ours: it can read and run it, and change none of it.

    Content runs as the same account, and must not be able to change what other content uses too. What is `vouched` for
    was never the account's.
    """
    top, pending = os.fspath(directory), [""]
    _own(top, os.lstat(top), account)
    while pending:
        parent = pending.pop()
        # By descriptor, so that the system does not look for the whole path of every file.
        place = os.open(f"{top}/{parent}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            # This directory is ours by now, so nobody can put a link in the place of what is looked at here.
            with os.scandir(place) as entries:
                for entry in entries:
                    path = f"{parent}/{entry.name}" if parent else entry.name
                    known = vouched.get(path)
                    if known is not None and known.inode == entry.inode():
                        continue
                    _own(entry.name, entry.stat(follow_symlinks=False), account, place)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path)
        finally:
            os.close(place)


def _own(name: str, status: os.stat_result, account: Account, place: int | None = None) -> None:
    """Take over `name` in the directory `place`."""
    if status.st_uid != account.uid:
        return
    os.chown(name, os.geteuid(), os.getegid(), dir_fd=place, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        mode = 0o755 if stat.S_ISDIR(status.st_mode) or status.st_mode & 0o111 else 0o644
        # After it is ours, whatever its mode is: until then the account could change that.
        os.chmod(name, mode, dir_fd=place)
