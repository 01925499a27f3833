"""What an executor notes about a job, in the job's directory, so that any process can take it from there."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict, replace

from engine.executors.base import Cause, JobSpec, JobState
from engine.files import is_file, read_json, write_json

__all__ = ["Notes", "noted_keys", "read_notes", "remove_notes", "start_notes", "write_notes"]

_FILE = "executor.json"


class Notes(Struct, frozen=True):
    """About one job. Times are seconds since the epoch."""

    executor: str
    submitted_at: float
    timeout: float
    start_timeout: float
    grace: float
    memory: int
    backend_id: str = ""
    """What the backend calls the job, where that is not its key."""
    ended: JobState | None = None
    """The state that was decided by us rather than by the backend: a job that was stopped, or ran over a limit."""
    ended_at: float = 0.0
    """When that was decided."""
    cause: Cause | None = None
    reason: str = ""


def start_notes(jobs_dir: Path, executor: str, spec: JobSpec, backend_id: str = "") -> Notes:
    """Note that the job is about to be submitted, and return that. Raises `StorageError`."""
    notes = Notes(executor, time.time(), spec.timeout, spec.start_timeout, spec.grace, spec.memory, backend_id)
    write_notes(jobs_dir, spec.key, notes)
    return notes


def write_notes(jobs_dir: Path, key: str, notes: Notes, **changes: object) -> Notes:
    """Keep `notes` with `changes`, and return them. Raises `StorageError`."""
    notes = replace(notes, **changes)
    write_json(jobs_dir / key / _FILE, asdict(notes))
    return notes


def read_notes(jobs_dir: Path, key: str) -> Notes | None:
    """What was noted about the job; None when nothing was, or it does not parse."""
    record = read_json(jobs_dir / key / _FILE) if key and key == Path(key).name else None
    if record is None:
        return None
    try:
        return Notes(
            executor=str(record["executor"]),
            submitted_at=float(str(record["submitted_at"])),
            timeout=float(str(record["timeout"])),
            start_timeout=float(str(record["start_timeout"])),
            grace=float(str(record["grace"])),
            memory=int(str(record["memory"])),
            backend_id=str(record.get("backend_id", "")),
            ended=JobState(str(record["ended"])) if record.get("ended") else None,
            ended_at=float(str(record.get("ended_at", 0))),
            cause=Cause(str(record["cause"])) if record.get("cause") else None,
            reason=str(record.get("reason", "")),
        )
    except (KeyError, ValueError):
        return None


def noted_keys(jobs_dir: Path, executor: str) -> tuple[str, ...]:
    """The keys of the jobs that `executor` has notes about."""
    try:
        names = sorted(path.name for path in jobs_dir.iterdir() if is_file(path / _FILE))
    except OSError:
        return ()
    return tuple(name for name in names if (notes := read_notes(jobs_dir, name)) and notes.executor == executor)


def remove_notes(jobs_dir: Path, key: str) -> None:
    """Forget what was noted. Nothing happens when nothing was."""
    (jobs_dir / key / _FILE).unlink(missing_ok=True)
