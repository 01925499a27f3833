"""Records that do not parse. Every reader passes over them; here they are named, and some can be moved out of the way.

Only those are moved whose absence envdeck knows how to live with. A content record is worth more broken than gone, and
a pin holds as long as its file is there, whatever is in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from engine.doctor.model import Health, HealthCheck, RepairKind, RepairStep, counted
from engine.environments.locks import held_elsewhere
from engine.environments.store import subdirectories
from engine.errors import InputError
from engine.files import is_there, read_limited
from engine.world import World

__all__ = ["BrokenRecord", "broken_records", "examine_records", "fault_of", "repairs_of"]

_LIMIT = 16 * 1024 * 1024
_PREPARED = 3600.0
"""Seconds after which nobody is still preparing a build."""
_UNREADABLE = "cannot be read"
_SENSELESS = "is not what envdeck writes"
_GONE = "the next build of its key makes a new one, and its attempts are reaped"
_BY_NAME = {
    "current.json": _GONE,
    "damaged.json": "the next verification writes a new one",
    "verified.json": "the next verification writes a new one",
    "request.json": "",
    "pinned.json": "",
}
"""What becomes of it when the record of an environment is moved away; empty for one that must stay."""
_REMEDIES = {
    "request.json": "Its environment cannot be rebuilt under its key; deploy its content again",
    "pinned.json": "It pins all the same; `envdeck pin KEY` writes it anew",
    "content.json": "Restore it from a backup, or remove the content and deploy it again",
}


class BrokenRecord(Struct, frozen=True):
    """One record that makes no sense, or the directory of a build without one."""

    path: Path
    fault: str
    after: str
    """What becomes of it once it is moved away; empty for one that must stay where it is."""
    obstacle: str = ""
    """Why it cannot be moved away now; empty when it can."""


def fault_of(path: Path) -> str:
    """Why the record at `path` is not a JSON object; empty when it is one, or is not there."""
    try:
        value = json.loads(read_limited(path, _LIMIT))
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{_UNREADABLE}: {error.strerror or error}"
    except (ValueError, RecursionError, InputError):
        return "does not parse"
    return "" if isinstance(value, dict) else "holds something else than a record"


def broken_records(world: World, now: float) -> Iterator[BrokenRecord]:
    """Every record below the data directory that makes no sense, whatever it is about. `now` in seconds."""
    data_dir = world.store.data_dir
    for key_dir in world.store.key_dirs():
        yield from _of_environment(world, key_dir)
    for content in world.contents():
        if content.problem is not None:
            path = world.content_store.root / content.guid / "content.json"
            yield BrokenRecord(path, fault_of(path) or _SENSELESS, "")
    for job_dir in subdirectories(data_dir / "jobs"):
        yield from _of_build(job_dir, now)
    for path in sorted((data_dir / "rebuilds").glob("[!.]*.json")):
        yield from _broken(path, fault_of(path), "the list can be begun anew")
    yield from _broken(data_dir / "reap.json", fault_of(data_dir / "reap.json"), "it counts as never reaped")


def _broken(path: Path, fault: str, after: str, obstacle: str = "") -> Iterator[BrokenRecord]:
    if fault:
        # Where the disk or the permissions are at fault, what is in it may well be right.
        obstacle = obstacle or (f"it {fault}" if _UNREADABLE in fault else "")
        yield BrokenRecord(path, fault, after, obstacle)


def _of_environment(world: World, key_dir: Path) -> Iterator[BrokenRecord]:
    obstacle = "its key is being built or deleted" if held_elsewhere(world.store.lock_path(key_dir.name)) else ""
    for name, after in _BY_NAME.items():
        fault = fault_of(key_dir / name)
        if not fault and name == "current.json":
            with world.lock:
                environment = world.store.read(key_dir)
            if environment is not None and not environment.attempt:
                fault = _SENSELESS
        yield from _broken(key_dir / name, fault, after, obstacle)


def _of_build(job_dir: Path, now: float) -> Iterator[BrokenRecord]:
    obstacle = "its supervisor is alive" if held_elsewhere(job_dir / "alive") else ""
    fault = fault_of(job_dir / "spec.json")
    if not fault and not is_there(job_dir / "spec.json") and now - job_dir.stat().st_mtime > _PREPARED:
        fault = "is missing"
    if fault:
        # Without it nobody can tell what the build was for, so all that is left of it goes together.
        yield from _broken(job_dir, f"has a spec.json that {fault}", "its log can be read there", obstacle)
    else:
        fault = fault_of(job_dir / "result.json")
        yield from _broken(job_dir / "result.json", fault, "its build counts as lost, and is settled", obstacle)


def examine_records(broken: tuple[BrokenRecord, ...], data_dir: Path) -> HealthCheck:
    """The check on what `broken_records` found."""
    if not broken:
        return HealthCheck("records", Health.OK, "every record parses")
    return HealthCheck(
        "records",
        Health.WARNING,
        f"{counted(len(broken), 'record')} that cannot be made sense of",
        "what it is about is passed over, as if it were not there",
        "`envdeck doctor --repair` moves those away that can be done without",
        tuple(f"{r.path.relative_to(data_dir)} {r.fault}. {_remedy(r)}".rstrip() for r in broken),
    )


def _remedy(record: BrokenRecord) -> str:
    return f"Once it is away, {record.after}" if record.after else _REMEDIES.get(record.path.name, "")


def repairs_of(broken: tuple[BrokenRecord, ...]) -> tuple[RepairStep, ...]:
    """A step for each of `broken` that can be done without."""
    return tuple(
        RepairStep(
            RepairKind.RECORD,
            record.path,
            f"it {record.fault}; once it is away, {record.after}",
            refusals=(record.obstacle,) if record.obstacle else (),
        )
        for record in broken
        if record.after
    )
