"""What processes that were killed left behind, each as a step of a repair: what it is, and why it may go.

Nothing is taken for left over that somebody may be about to use: it is old, no record and no build names it, and no
process runs in it. Where one of these cannot be told, the step is refused with that reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from engine.builds.model import Build, BuildState
from engine.builds.spec import read_job
from engine.doctor.model import Health, HealthCheck, RepairKind, RepairStep, counted
from engine.doctor.trials import PREFIX
from engine.environments.attempts import attempts_in
from engine.environments.store import measure, subdirectories
from engine.environments.tree import read_regular
from engine.files import is_temporary
from engine.reaping.model import ReapItem, ReapKind
from engine.reaping.survey import Survey
from engine.wheels.store import FILLING
from engine.world import World

__all__ = ["TEMPORARY_AGE", "changed_at", "examine_leftovers", "find_leftovers", "is_left_over", "users_of_overlay"]

TEMPORARY_AGE = 3600.0
"""Seconds after which what is written in moments was left by a process that was killed."""
_PTH_LIMIT = 64 * 1024
_NEW_OVERLAY = ".new-"
_ROOM = "it takes room for nothing"
_WORDS = {
    RepairKind.SETTLE: ("lost-builds", "lost build", "without a verdict", "what it made stays until it has one"),
    RepairKind.ATTEMPT: ("attempts", "attempt", "left of builds that were killed", _ROOM),
    RepairKind.TRASH: ("deletions", "deletion", "cut short", _ROOM),
    RepairKind.TEMPORARY: ("temporary", "file", "left of writes that were cut short", _ROOM),
    RepairKind.OVERLAY: ("overlays", "directory", "of external packages that nothing uses", _ROOM),
}
"""The code of the check on each kind of step, what it counts and of which sort, and why that matters."""


def find_leftovers(world: World, now: float) -> tuple[RepairStep, ...]:
    """Everything that was left behind, in the order in which it is to be cleared away. `now` in seconds."""
    builds = world.builds()
    return (
        *_lost_builds(builds),
        *_attempts(world, builds, now),
        *_trash(world, now),
        *_temporaries(world, now),
        *_overlays(world, builds, now),
    )


def examine_leftovers(steps: Iterable[RepairStep], data_dir: Path) -> tuple[HealthCheck, ...]:
    """A check for each kind of step."""
    by_kind: dict[RepairKind, list[RepairStep]] = {kind: [] for kind in _WORDS}
    for step in steps:
        if step.kind in by_kind:
            by_kind[step.kind].append(step)
    return tuple(_examine(kind, found, data_dir) for kind, found in by_kind.items())


def _examine(kind: RepairKind, steps: list[RepairStep], data_dir: Path) -> HealthCheck:
    code, noun, sort, why = _WORDS[kind]
    if not steps:
        return HealthCheck(code, Health.OK, f"no {noun} {sort}")
    # What has its reason to be there is nobody's fault, and goes with the reason.
    health = Health.WARNING if any(step.feasible for step in steps) else Health.NOTE
    details = tuple(f"{step.path.relative_to(data_dir)}: {'; '.join(step.refusals) or step.why}" for step in steps)
    return HealthCheck(code, health, f"{counted(len(steps), noun)} {sort}", why, "envdeck doctor --repair", details)


# Builds and attempts


def _lost_builds(builds: Iterable[Build]) -> Iterator[RepairStep]:
    for build in builds:
        if build.state is BuildState.LOST and not os.path.lexists(build.directory / "result.json"):
            why = f"the supervisor of build {build.id} went away without a verdict"
            yield RepairStep(RepairKind.SETTLE, build.directory, why, subject=build.id)


def _attempts(world: World, builds: tuple[Build, ...], now: float) -> Iterator[RepairStep]:
    """Attempts that never counted. Those that once did are superseded, and the reaper's business."""
    published = {build.id for build in builds if build.state is BuildState.DONE}
    unsettled = {build.id for build in builds if not os.path.lexists(build.directory / "result.json")}
    found = []
    for key_dir in world.store.key_dirs():
        with world.lock:
            environment = world.store.read(key_dir)
        if os.path.lexists(key_dir / "pyvenv.cfg") or (environment and not environment.attempt):
            continue  # the server's own, or a record that does not say which attempt counts
        counts = environment.attempt if environment else ""
        found += [a for a in attempts_in(key_dir) if a.name not in (counts, *unsettled, *published)]
    for item in _survey(world, now).attempts(found):
        yield _reap_step(RepairKind.ATTEMPT, item, "no record names this attempt, and no build is making it")


def _survey(world: World, now: float) -> Survey:
    return Survey(world.store, world.builds, world.config.settings.reap_grace, now)


def _reap_step(kind: RepairKind, item: ReapItem, why: str) -> RepairStep:
    refusals = tuple(
        f"{reason.message}: {', '.join(reason.names)}" if reason.names else reason.message
        for reason in item.verdict.reasons
    )
    return RepairStep(kind, item.path, why, item.bytes, refusals, item=item)


# Things on their way in and out


def _trash(world: World, now: float) -> Iterator[RepairStep]:
    hidden = (*world.store.root.glob("*/*"), *world.store.key_dirs(), *_content_directories(world))
    for item in _survey(world, now).trash(hidden):
        assert item.kind is ReapKind.TRASH
        yield _reap_step(RepairKind.TRASH, item, "it was deleted, but not to the end")


def _content_directories(world: World) -> Iterator[Path]:
    root = world.content_store.root
    yield root
    yield from (content / "bundles" for content in subdirectories(root))


def _temporaries(world: World, now: float) -> Iterator[RepairStep]:
    data_dir = world.store.data_dir
    places = (
        data_dir,
        data_dir / "rebuilds",
        data_dir / "externals",
        data_dir / "wheels",
        data_dir / "wheels" / "locks",
        *world.store.key_dirs(),
        *subdirectories(data_dir / "jobs"),
        *subdirectories(world.content_store.root),
    )
    for place in places:
        try:
            names = sorted(os.listdir(place))  # noqa: PTH208 - a name is all that is needed
        except OSError:
            continue
        for path in (place / name for name in names if name.startswith(".")):
            if is_left_over(path, data_dir, now):
                why = "it was about to take the place of something when its process was killed"
                yield RepairStep(RepairKind.TEMPORARY, path, why, _size(path))


def is_left_over(path: Path, data_dir: Path, now: float) -> bool:
    """Whether `path` was on its way in when its writer was killed: by its name, what it is, and its age."""
    if now - changed_at(path) < TEMPORARY_AGE or path.is_symlink():
        return False
    if path.is_dir():
        trial = path.parent == data_dir and path.name.startswith(PREFIX)
        overlay = path.parent == data_dir / "externals" and path.name.startswith(_NEW_OVERLAY)
        return trial or overlay or (path.parent == data_dir / "wheels" and path.name.startswith(FILLING))
    return path.is_file() and is_temporary(path.name)


def changed_at(path: Path) -> float:
    """When `path` itself was last changed or renamed, seconds since the epoch; infinity when that cannot be told."""
    try:
        status = path.lstat()
    except OSError:
        return float("inf")
    return max(status.st_mtime, status.st_ctime)


# Overlays


def _overlays(world: World, builds: tuple[Build, ...], now: float) -> Iterator[RepairStep]:
    users = users_of_overlay(world, builds)
    for overlay in subdirectories(world.store.data_dir / "externals"):
        if str(overlay) in users or now - changed_at(overlay) < TEMPORARY_AGE:
            continue
        step = RepairStep(
            RepairKind.OVERLAY, overlay, "no environment and no build sees packages through it", _size(overlay)
        )
        busy = [build.id for build in builds if not build.state.final]
        yield replace(step, refusals=(f"build {busy[0]} is under way",)) if busy else step


def users_of_overlay(world: World, builds: Iterable[Build]) -> set[str]:
    """Every path that an attempt, whether or not it counts, or a build that has not ended sees packages through."""
    named = set()
    for build in builds:
        if not build.state.final and (job := read_job(build.directory)):
            named.add(job.overlay)
    overlays = [str(path) for path in subdirectories(world.store.data_dir / "externals")]
    for key_dir in world.store.key_dirs():
        with world.lock:
            environment = world.store.read(key_dir)
        if environment is not None:
            named.add(environment.overlay)
        for path in key_dir.glob("*/lib/python*/site-packages/zzz_externals.pth"):
            try:
                text = read_regular(path, _PTH_LIMIT).decode("utf-8", "replace")
            except OSError:
                # What cannot be read may name any of them.
                return {*overlays}
            named |= {overlay for overlay in overlays if overlay in text}
    return named


def _size(path: Path) -> int:
    try:
        return measure(path)[0] if path.is_dir() else path.lstat().st_size
    except OSError:
        return 0
