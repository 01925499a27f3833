"""The live picture: engine threads that keep an immutable snapshot up to date and tell who asked for it."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine import actions
from engine.config.watch import ConfigWatcher
from engine.obstacles import find_obstacles, look_failed
from engine.snapshot import BundleEntry, Snapshot
from engine.text import one_line

# What a look needs is loaded by the thread that looks: the first picture does not have to wait for it.
if TYPE_CHECKING:
    from engine.audit.reading import AuditPage
    from engine.builds.model import Build
    from engine.content.model import Content
    from engine.planning import Found
    from engine.plans import BuildPlan
    from engine.world import World

__all__ = ["LivePicture"]

_log = logging.getLogger(__name__)
# Whoever embeds the engine decides where its log goes; by itself it must never write into a terminal UI.
_log.addHandler(logging.NullHandler())

_IDLE = 1.0
"""Seconds between looks at the data directory when nothing is going on."""
_BUSY = 0.25
"""The same while a build runs."""
_SETTLE_AGAIN = 10.0
"""Seconds before a lost build that could not be settled is tried again."""


class LivePicture:
    """The latest snapshot of a world. Up to date on request; by itself once started."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.RLock()
        # Of its own, so that asking never waits for a look at the disk.
        self._requests = threading.Lock()
        self._wake = threading.Event()
        self.stopped = threading.Event()
        self._subscribers: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._settling = threading.Lock()
        self._watcher: ConfigWatcher | None = None
        self._probe_wanted: bool | None = None
        self._probing = 0
        self._planned: dict[Path, BuildPlan] = {}
        self._planned_for: object = None
        self.snapshot = self._first_picture()

    def start(self) -> None:
        """Begin to probe, to watch the config files and to follow the builds, in daemon threads; returns at once."""
        self._watcher = ConfigWatcher(self._world.configuration.watched_files, self._config_saved)
        # What was saved between the first load and the creation of the watcher would go unnoticed.
        self._world.reload()
        self._watcher.start()
        self.request(force_probe=False)
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the threads."""
        self.stopped.set()
        self._wake.set()
        if self._watcher is not None:
            self._watcher.stop()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from an engine thread after each change of the snapshot; returns what ends it."""
        with self._lock:
            self._subscribers.append(callback)
        return partial(self._unsubscribe, callback)

    def _unsubscribe(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

    def wake(self) -> None:
        """Have the engine's thread look now rather than at its next turn."""
        self._wake.set()

    def request(self, *, force_probe: bool) -> None:
        """Have the engine's thread probe and look thoroughly; returns at once."""
        with self._requests:
            self._probe_wanted = bool(self._probe_wanted) or force_probe
        self._wake.set()

    def publish(self, *, thorough: bool = False) -> None:
        """Look at everything but the interpreters, and announce the picture if it is another one.

        At what is in the data directory as far as it changed, or `thorough`ly (`engine.roster`).
        """
        with self._lock:
            builds = self._world.builds()
            self._settle(builds)
            self._world.environments(thorough=thorough)
            found = self._world.found()
            contents = self._world.contents(thorough=thorough)
            bundles, audit = self._bundles(found), self._world.audit_page()
            fresh = self._picture(self.snapshot.generation + 1, found, builds, contents, bundles, audit)
            if _same_picture(fresh, self.snapshot):
                return
            self.snapshot = fresh
            subscribers = tuple(self._subscribers)
        for callback in subscribers:
            callback()

    def _tell_of_failed_look(self, error: Exception) -> None:
        """Keep in the picture what does not come from the data directory up to date, and say why the rest is old.

        The next look that succeeds does not say so any more.
        """
        world = self._world
        problem = look_failed(str(world.config.settings.data_dir), one_line(str(error) or type(error).__name__))
        with self._lock:
            before = self.snapshot
            fresh = replace(
                before,
                generation=before.generation + 1,
                config=world.config,
                installations=world.installations(),
                obstacles=(problem, *(one for one in before.obstacles if one.code != problem.code)),
                probing=self._probing > 0 or not world.probed,
            )
            if _same_picture(fresh, before):
                return
            self.snapshot = fresh
            subscribers = tuple(self._subscribers)
        for callback in subscribers:
            callback()

    def _settle(self, builds: tuple[Build, ...]) -> None:
        """Bring lost builds to their end, in a thread of its own once live: an executor may take long to answer."""
        lost = actions.build.unsettled(builds)
        if lost and self._thread is None:
            actions.build.settle_lost(self._world, lost)
        elif lost and not self._settling.locked():
            threading.Thread(target=self._settle_slowly, args=(lost,), name="settle", daemon=True).start()

    def _settle_slowly(self, builds: tuple[Build, ...]) -> None:
        with self._settling:
            if not actions.build.settle_lost(self._world, builds):
                self.stopped.wait(_SETTLE_AGAIN)

    def _config_saved(self) -> None:
        if self._world.reload():
            self._world.record(actions.audit.config_loaded(self._world.config))
        self.request(force_probe=False)

    def _live(self) -> None:
        self._world.record(actions.audit.config_loaded(self._world.config))
        self._prepare()
        while not self.stopped.is_set():
            with self._requests:
                wanted, self._probe_wanted = self._probe_wanted, None
            with self._lock:
                self._probing += wanted is not None
            if wanted is not None:
                # In a thread of its own, so that an interpreter that hangs does not freeze the picture of the builds.
                threading.Thread(target=self._probe, args=(wanted,), name="probe", daemon=True).start()
            try:
                self.publish(thorough=wanted is not None)
                self._world.data_dir.keep_indexes()
            except Exception as error:
                # Whatever is wrong on disk must not freeze the picture for good: the next turn looks again.
                _log.exception("a look at the data directory failed")
                self._tell_of_failed_look(error)
            busy = any(not build.state.final for build in self.snapshot.builds)
            self._wake.wait(_BUSY if busy else _IDLE)
            self._wake.clear()

    def _prepare(self) -> None:
        try:
            self._world.data_dir.prepare_indexes(self.stopped)
        except Exception:
            # It only saves time and memory: what is there is read all the same.
            _log.exception("the first look could not be prepared")

    def _probe(self, force: bool) -> None:
        try:
            self._world.probe(force=force)
        finally:
            with self._lock:
                self._probing -= 1
            self._wake.set()

    def _first_picture(self) -> Snapshot:
        """A picture to start with, without a look at anything but the configuration."""
        world = self._world
        installations = world.installations()
        return Snapshot(
            generation=0,
            taken_at=time.time(),
            host=socket.gethostname(),
            user=world.user,
            config=world.config,
            installations=installations,
            environments=(),
            builds=(),
            bundles=(),
            data_dir=world.config.settings.data_dir,
            read_only=world.read_only,
            obstacles=find_obstacles(
                world.config, installations, off_host=False, data_dir=world.data_dir_problem, space=None
            ),
            probing=not world.probed,
            looked=False,
        )

    def _picture(
        self,
        generation: int,
        found: Found,
        builds: tuple[Build, ...],
        contents: tuple[Content, ...],
        bundles: tuple[BundleEntry, ...],
        audit: AuditPage,
    ) -> Snapshot:
        return Snapshot(
            generation=generation,
            taken_at=time.time(),
            host=socket.gethostname(),
            user=self._world.user,
            config=found.config,
            installations=found.installations,
            environments=found.environments,
            builds=builds,
            bundles=bundles,
            contents=contents,
            declarations=found.declarations,
            uv=found.uv(),
            data_dir=found.config.settings.data_dir,
            read_only=self._world.read_only,
            obstacles=find_obstacles(
                found.config,
                found.installations,
                off_host=found.declarations.off_host,
                data_dir=self._world.data_dir_problem,
                space=found.space,
            ),
            probing=self._probing > 0 or not self._world.probed,
            audit=audit,
            audit_problem=self._world.audit_problem,
        )

    def _bundles(self, found: Found) -> tuple[BundleEntry, ...]:
        """An entry per bundle on the shelf; its plan is made again only when something it depends on changed."""
        from engine.builds.pip_config import configuration
        from engine.planning import plan_build

        # Of builds a plan holds only which one has its key; how far that is changes many times a second.
        pip = configuration(found.builder.home, account=found.builder.account)
        basis = (replace(found, builds=()), found.uv(), tuple((b.id, b.key) for b in found.builds), pip)
        if basis != self._planned_for:
            self._planned, self._planned_for = {}, basis
        entries = []
        for item in self._world.shelf.items():
            plan = None
            if item.bundle is not None:
                plan = self._planned.get(item.path)
                if plan is None or plan.bundle is not item.bundle:
                    plan = plan_build(item.bundle, found)
                    self._planned[item.path] = plan
            entries.append(BundleEntry(item.path, item.name, item.is_sample, plan, item.problem))
        return tuple(entries)


def _same_picture(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots show the same, whenever they were taken."""
    return replace(one, generation=0, taken_at=0.0) == replace(other, generation=0, taken_at=0.0)
