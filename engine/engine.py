"""The engine: the one object that both fronts hold."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import overload

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine.actions import build as builds
from engine.builds.log import LogReader, LogRing
from engine.builds.model import Build
from engine.bundles.model import Bundle
from engine.config.watch import ConfigWatcher
from engine.environments.model import Environment
from engine.installations.model import Installation
from engine.matching import Match, Request, Rule
from engine.planning import match_installations
from engine.plans import BuildPlan, CancelPlan, Outcome
from engine.snapshot import BundleEntry, Snapshot
from engine.world import World

__all__ = ["Engine"]

_IDLE = 1.0
"""Seconds between looks at the data directory when nothing is going on."""
_BUSY = 0.25
"""The same while a build runs."""


class Engine:
    """Answers and acts. Synchronous by itself; `start` adds the threads that keep a live picture."""

    def __init__(
        self,
        config_files: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        """Load the configuration: `config_files` if given, else by the lookup order of `engine.config.lookup`.

        Raises `InputError` when a file that was asked for by name cannot be read. Errors *in* the text do not raise:
        they are in ``snapshot().config.problems``.
        """
        self._world = World(config_files, os.environ if environ is None else environ, read_only=read_only)
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._subscribers: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []
        self._watcher: ConfigWatcher | None = None
        self._probe_wanted: bool | None = None
        self._probing = 0
        self._planned: dict[Path, BuildPlan] = {}
        self._planned_for: object = None
        # A picture to start with, without a look at anything but the configuration.
        self._snapshot = self._picture(0, (), (), ())

    # The live picture

    def start(self) -> None:
        """Begin to probe, to watch the config files and to follow the builds, in daemon threads; returns at once."""
        self._watcher = ConfigWatcher(self._world.watched_files, self._config_saved)
        # What was saved between the first load and the creation of the watcher would go unnoticed.
        self._world.reload()
        self._watcher.start()
        self.request_refresh()
        thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Stop the threads. Builds go on."""
        self._stopped.set()
        self._wake.set()
        if self._watcher is not None:
            self._watcher.stop()
        for thread in self._threads:
            thread.join(timeout=2)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from an engine thread after each change of the snapshot; returns what ends it."""
        with self._lock:
            self._subscribers.append(callback)
        return partial(self._unsubscribe, callback)

    def _unsubscribe(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._subscribers:
                self._subscribers.remove(callback)

    def snapshot(self) -> Snapshot:
        """The latest picture. Never blocks, never probes."""
        return self._snapshot

    def refresh(self, *, force_probe: bool = False) -> Snapshot:
        """Look at everything now and return the new picture. `force_probe` runs every interpreter again."""
        self._world.probe(force=force_probe)
        self._publish()
        return self._snapshot

    def request_refresh(self, *, force_probe: bool = False) -> None:
        """Ask the engine's own thread for a `refresh`; returns at once. For fronts that must not block."""
        with self._lock:
            self._probe_wanted = bool(self._probe_wanted) or force_probe
        self._wake.set()

    def _config_saved(self) -> None:
        self._world.reload()
        self._publish()
        self.request_refresh()

    def _live(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                wanted, self._probe_wanted = self._probe_wanted, None
                self._probing += wanted is not None
            if wanted is not None:
                # In a thread of its own, so that an interpreter that hangs does not freeze the picture of the builds.
                threading.Thread(target=self._probe, args=(wanted,), name="probe", daemon=True).start()
            self._publish()
            busy = any(not build.state.final for build in self._snapshot.builds)
            self._wake.wait(_BUSY if busy else _IDLE)
            self._wake.clear()

    def _probe(self, force: bool) -> None:
        try:
            self._world.probe(force=force)
        finally:
            with self._lock:
                self._probing -= 1
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            found = self._world.builds()
            builds.settle_lost(self._world, found)
            environments = self._world.environments()
            bundles = self._bundles(environments, found)
            fresh = self._picture(self._snapshot.generation + 1, environments, found, bundles)
            if _same_picture(fresh, self._snapshot):
                return
            self._snapshot = fresh
            subscribers = tuple(self._subscribers)
        for callback in subscribers:
            callback()

    def _picture(
        self,
        generation: int,
        environments: tuple[Environment, ...],
        found: tuple[Build, ...],
        bundles: tuple[BundleEntry, ...],
    ) -> Snapshot:
        return Snapshot(
            generation=generation,
            taken_at=time.time(),
            host=socket.gethostname(),
            user=self._world.user,
            config=self._world.config,
            installations=self._world.installations(),
            environments=environments,
            builds=found,
            bundles=bundles,
            data_dir=self._world.config.settings.data_dir,
            read_only=self._world.read_only,
            probing=self._probing > 0 or not self._world.probed,
        )

    def _bundles(self, environments: tuple[Environment, ...], found: tuple[Build, ...]) -> tuple[BundleEntry, ...]:
        """An entry per bundle on the shelf; its plan is made again only when something it depends on changed."""
        installations = self._world.installations()
        active = tuple(build for build in found if not build.state.final)
        depends_on = (self._world.config, installations, environments, active)
        if depends_on != self._planned_for:
            self._planned, self._planned_for = {}, depends_on
        entries = []
        for item in self._world.shelf.items():
            plan = None
            if item.bundle is not None:
                plan = self._planned.get(item.path)
                if plan is None or plan.bundle is not item.bundle:
                    plan = self._world.plan_among(item.bundle, installations, environments, active)
                    self._planned[item.path] = plan
            entries.append(BundleEntry(item.path, item.name, item.is_sample, plan, item.problem))
        return tuple(entries)

    # Questions

    def installations(self, *, force_probe: bool = False) -> tuple[Installation, ...]:
        """Probe (or recall) every configured installation."""
        if force_probe or not self._world.probed:
            self._world.probe(force=force_probe)
        return self._world.installations()

    def open_bundle(self, reference: str) -> Bundle:
        """Read the bundle at a path, or the shipped sample of that name, and keep it among the snapshot's bundles.

        Raises `InputError` when it is not a well-formed bundle.
        """
        with self._lock:
            bundle = self._world.shelf.open(reference)
        self._wake.set()
        return bundle

    def match(
        self, version: Version | None = None, requires: SpecifierSet | None = None, rule: Rule | None = None
    ) -> Match:
        """The match for a version and/or constraint; `rule` overrides the configured one."""
        return match_installations(Request(version, requires), self.installations(), self._world.config, rule)

    def default_config(self) -> str:
        """The embedded default for this machine as text to edit, with the interpreters it cannot use as comments."""
        return self._world.default_config()

    def plan_build(self, bundle: Bundle) -> BuildPlan:
        """What building `bundle` would do now."""
        return self._world.plan(bundle)

    def plan_cancel(self, build_id: str) -> CancelPlan:
        """What cancelling would do now. Raises `InputError` (`build-unknown`, `build-ambiguous`)."""
        return builds.plan_cancel(self._world, build_id)

    # Actions

    @overload
    def execute(self, plan: BuildPlan) -> Outcome: ...
    @overload
    def execute(self, plan: CancelPlan) -> Outcome: ...
    def execute(self, plan: BuildPlan | CancelPlan) -> Outcome:
        """Do what the plan says if it still holds; returns without waiting for a build to end.

        Raises `Refused` when it cannot be done or no longer holds, `StorageError` when the data directory fails.
        """
        self._world.require_writable()
        match plan:
            case BuildPlan():
                outcome = builds.start(self._world, plan)
            case CancelPlan():
                outcome = builds.cancel(self._world, plan)
        self._wake.set()
        return outcome

    # Builds

    def build(self, build_id: str) -> Build:
        """The build of that id, of a unique part of it, or the newest for ``last``.

        Raises `InputError` (`build-unknown`, `build-ambiguous`).
        """
        return builds.find_build(self._world.builds(), build_id)

    def wait(self, build_id: str, timeout: float | None = None) -> Build:
        """Block until the build has ended (or `timeout` seconds passed) and return it."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            build = self.build(build_id)
            if build.state.final or (end is not None and time.monotonic() >= end):
                return build
            time.sleep(0.05)

    def follow(self, build_id: str) -> LogRing:
        """The build's log as a ring that grows until the build has ended."""
        build = self.build(build_id)
        ring = LogRing()
        threading.Thread(target=self._feed, args=(build, ring), name=f"log-{build.id}", daemon=True).start()
        return ring

    def _feed(self, build: Build, ring: LogRing) -> None:
        reader = LogReader(build.log)
        while not self._stopped.is_set():
            # Asked before reading: what was written before the end is read after the end was seen.
            with self._world.lock:
                now = self._world.jobs.read(build.id)
            lines = reader.poll()
            if lines:
                ring.extend(lines)
            elif now is None or now.state.final:
                break
            else:
                self._stopped.wait(0.1)
        ring.finish()


def _same_picture(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots show the same, whenever they were taken."""
    return replace(one, generation=0, taken_at=0.0) == replace(other, generation=0, taken_at=0.0)
