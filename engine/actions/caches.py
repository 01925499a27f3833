"""Runtime caches: listed and cleared per language, version and image, as by the server's API (connect.md §6.6).

Clearing is for rebuilt interpreters and changed system libraries. Unlike reaping it also deletes what content uses,
which is then built again; so the plan says what that costs.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from engine.actions.reap import reap_event, remove_items
from engine.audit.model import AuditAction, AuditEvent, command
from engine.environments.foreign import FOREIGN_BASE, ForeignStore
from engine.environments.model import Environment
from engine.environments.store import safe_name, subdirectories
from engine.errors import InputError, Problem
from engine.reaping.model import ReapItem, ReapResult, UsedBy
from engine.reaping.survey import Survey
from engine.targets import LOCAL
from engine.text import clean
from engine.world import World

__all__ = ["CachePlan", "RuntimeCache", "delete_cache", "list_caches", "plan_delete_cache"]

LANGUAGE = "Python"
_Identity = tuple[str, str]
"""Version and image name."""
_VERSION_DIR = re.compile(r"(?P<version>\d+(?:\.\d+)*)(?:@(?P<image>.+))?")


class RuntimeCache(Struct, frozen=True):
    """One runtime cache. The server's API knows the first three fields; the others are ours."""

    language: str
    version: str
    image_name: str
    """`Local`, or the image in the form that it has in the directory's name."""
    environments: int
    bytes: int
    """What the environments had on disk when they were sealed, without the foreign ones."""
    foreign: int
    """How many environments of the server itself are in it; they are never deleted from here."""

    def __str__(self) -> str:
        return f"{self.language} {self.version} {self.image_name}"

    @property
    def delete_command(self) -> str:
        """The command line that deletes it."""
        options = ("--language", self.language, "--version", self.version, "--image", self.image_name)
        return command("caches", "delete", *options)


class CachePlan(Struct, frozen=True):
    """What deleting a runtime cache would do now."""

    cache: RuntimeCache
    items: tuple[ReapItem, ...]
    unreadable: int
    """How many processes could not be seen into, so that a use by one of them may have gone unnoticed."""
    problem: Problem | None = None
    """Why nothing can be deleted here, if so."""

    @property
    def deletable(self) -> tuple[ReapItem, ...]:
        return tuple(item for item in self.items if item.verdict.reapable)

    @property
    def kept(self) -> tuple[ReapItem, ...]:
        return tuple(item for item in self.items if not item.verdict.reapable)

    @property
    def bytes(self) -> int:
        return sum(item.bytes for item in self.deletable)

    @property
    def contents(self) -> tuple[str, ...]:
        """The contents that would have to wait for a rebuild, by name."""
        return tuple(sorted({name for item in self.deletable for name in item.used_by}))

    @property
    def rebuild_seconds(self) -> float:
        """How long the builds took of those environments that content uses."""
        return sum(item.environment.seconds for item in self.deletable if item.used_by and item.environment)


def list_caches(world: World) -> tuple[RuntimeCache, ...]:
    """Every runtime cache, by version and image. Derived from the directories, as the server does: it may be empty."""
    ours, foreign = (
        _ours(world),
        Counter(_identity(f.path.parent) for f in ForeignStore(world.store.root).environments()),
    )
    caches = []
    for version, image in sorted({i for d in _directories(world.store.root) if (i := _identity(d))}, key=_order):
        environments = ours.get((version, image), ())
        size = sum(environment.own for environment in environments)
        caches.append(RuntimeCache(LANGUAGE, version, image, len(environments), size, foreign[version, image]))
    return tuple(caches)


def plan_delete_cache(
    world: World, language: str, version: str, image_name: str = LOCAL, *, used_by: UsedBy
) -> CachePlan:
    """What deleting that cache would do now; the plan is the dry run.

    `language` in any case; `image_name` as the image is called, or as the list has it. Environments that are in use,
    pinned or being built stay, and so does everything the server made. Raises `InputError` (`cache-unknown`).
    """
    caches = list_caches(world)
    wanted = (version, LOCAL if image_name == LOCAL else safe_name(image_name))
    cache = next((c for c in caches if (c.version, c.image_name) == wanted), None)
    if cache is None or language.casefold() != LANGUAGE.casefold():
        raise InputError(
            Problem(
                "cache-unknown",
                f"there is no runtime cache {language} {version} {image_name}",
                expected=", ".join(map(str, caches)) or "none exists",
                hint="`envdeck caches` lists them",
            )
        )
    survey = Survey(world.store, world.builds, grace=0.0, now=time.time())
    items, unreadable = survey.environments(_ours(world).get(wanted, ()), {})
    items = tuple(replace(item, used_by=used_by.get(item.key, ())) for item in items)
    return CachePlan(cache, items, unreadable, world.refusal)


def delete_cache(world: World, plan: CachePlan, *, stop: Callable[[], bool] = lambda: False) -> ReapResult:
    """Delete what the plan says can go, each item only if that is still so under its key's lock.

    A directory of the cache that is empty then goes too, because the list is made from the directories.
    """

    # Content that uses an environment does not speak against deleting it here, nor does its age.
    def event(item: ReapItem) -> AuditEvent:
        what = {"cache": str(plan.cache), **reap_event(item).what}
        return AuditEvent(AuditAction.CACHE_DELETE, what, command=plan.cache.delete_command)

    result = remove_items(world, plan.deletable, used_by=dict, grace=0.0, stop=stop, event=event)
    for directory in _directories(world.store.root):
        if _identity(directory) == (plan.cache.version, plan.cache.image_name):
            with suppress(OSError):  # not empty, or gone already
                directory.rmdir()
    return result


def _ours(world: World) -> dict[_Identity, list[Environment]]:
    found: dict[_Identity, list[Environment]] = {}
    for environment in world.environments():
        if identity := _identity(environment.key_dir.parent):
            found.setdefault(identity, []).append(environment)
    return found


def _directories(root: Path) -> Iterator[Path]:
    """The directories of a Python version, in both layouts."""
    for base in (root, root / FOREIGN_BASE):
        for installer in subdirectories(base):
            if installer.name != FOREIGN_BASE:
                yield from subdirectories(installer)


def _identity(directory: Path) -> _Identity | None:
    """Version and image of a directory such as ``3.11.7`` or ``3.11.7@image``; None for any other."""
    found = _VERSION_DIR.fullmatch(directory.name)
    return (found["version"], clean(found["image"] or LOCAL)) if found else None


def _order(identity: _Identity) -> tuple[list[int], bool, str]:
    version, image = identity
    return [int(part) for part in version.split(".")], image != LOCAL, image
