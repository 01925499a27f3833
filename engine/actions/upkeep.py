"""Building again what content needs and is not there any more, before its next visitor has to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.actions.resolve import rebuild, resolve
from engine.builds.model import BuildState
from engine.errors import EnvdeckError
from engine.world import World

__all__ = ["rebuild_missing"]

_PATIENCE = 3600.0
"""Seconds after a failed or cancelled build before the same environment is tried again."""


def rebuild_missing(world: World, clock: Callable[[], float]) -> Iterator[str]:
    """Build the environment of every content item that has none to run in; yields a line for each that was tried.

    python-posit.txt, "Upgrading Python": content is rebuilt on demand after its interpreter or environment went.
    `clock` gives seconds since the epoch.
    """
    for content in world.contents():
        if content.problem is not None:
            continue
        try:
            resolution = resolve(world, content)
            if resolution.build is None or resolution.problem is not None:
                continue
            if _failed_lately(world, resolution.key, clock()):
                continue
            rebuild(world, resolution)
        except (EnvdeckError, OSError) as error:
            yield f"rebuild: {content.name}: {error}"
        else:
            reasons = "; ".join(reason.text for reason in resolution.reasons)
            yield f"rebuild: {content.name}: built {resolution.key}, because {reasons}"


def _failed_lately(world: World, key: str, now: float) -> bool:
    newest = next((build for build in world.builds() if build.key == key and build.state.final), None)
    return (
        newest is not None
        and newest.state in (BuildState.FAILED, BuildState.LOST, BuildState.CANCELLED)
        and now - (newest.finished_at or newest.submitted_at) < _PATIENCE
    )
