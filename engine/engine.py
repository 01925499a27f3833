"""The engine: the one object that both fronts hold."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, overload

from msgspec.structs import replace

from engine import actions
from engine.content.unchanged import UNCHANGED
from engine.matching import Request
from engine.targets import LOCAL
from engine.world import World

# The rest is loaded by the methods that need it: most commands need little of the engine, and wait for its start.
if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from engine.actions.activate import ActivatePlan
    from engine.actions.audit import Plan
    from engine.actions.caches import CachePlan, RuntimeCache
    from engine.actions.content import RemovePlan, SetPlan
    from engine.actions.deploy import DeployPlan
    from engine.actions.pin import PinPlan
    from engine.actions.rebuild import BulkPlan, RebuildPlan
    from engine.actions.resolve import Resolution
    from engine.actions.run import RunPlan, RunResult
    from engine.actions.verify import VerifyPlan, VerifyProgress, VerifyResult
    from engine.audit.reading import AuditQuery, AuditReader
    from engine.builds.log import LogLine, LogRing
    from engine.builds.model import Build
    from engine.builds.pip_config import PipFile, PipSetting
    from engine.bundles.constraint import ProvenanceStep
    from engine.bundles.model import Bundle
    from engine.capture.model import Captured, CaptureOptions
    from engine.config.draft import ConfigDraft
    from engine.config.model import ConfigState
    from engine.content.model import Content, Unchanged
    from engine.doctor.model import Diagnosis, RepairPlan, RepairResult
    from engine.environments.foreign import ForeignEnvironment
    from engine.environments.model import Environment
    from engine.environments.usage import Users
    from engine.errors import Problem
    from engine.executors.choice import ExecutorChoice
    from engine.impact import Impact
    from engine.installations.model import Installation
    from engine.live import LivePicture
    from engine.matching import Match, Rule
    from engine.packages.installer import UvTool
    from engine.planning import Found
    from engine.plans import BuildPlan, CancelPlan, Outcome
    from engine.reaping.model import ReapPlan, ReapResult
    from engine.rebuilds.forecast import RebuildForecast
    from engine.rebuilds.model import RebuildList, RunProgress
    from engine.rebuilds.run import BulkResult
    from engine.snapshot import Snapshot
    from engine.trial import Trial

__all__ = ["Engine"]


_VERDICT_PATIENCE = 5.0
"""Seconds that a lost build may go without a verdict before it is called lost all the same."""
_SOONEST, _LATEST = 0.01, 0.1
"""Seconds between two looks at a log that does not grow: often at first, because that is how a short build ends."""


class Engine:
    """Answers and acts. Synchronous by itself; `start` adds the threads that keep a live picture.

    Whatever changes something is a plan first: ``plan_…`` says exactly what would happen now, `execute` re-validates
    it and does it. Plans that cannot be done say why in their `problem`.
    """

    def __init__(
        self,
        config_files: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
        forks: bool = False,
    ) -> None:
        """Load the configuration: `config_files` if given, else by the lookup order of `engine.config.lookup`.

        `forks` says that this process is one command and does nothing beside that, so that builds which are started
        before it has threads may be forked from it, which saves them the start of a Python.

        Raises `InputError` when a file that was asked for by name cannot be read. Errors *in* the text do not raise:
        they are in ``snapshot().config.problems``.
        """
        self._world = World(config_files, os.environ if environ is None else environ, read_only=read_only, forks=forks)
        self._picture: LivePicture | None = None
        self._picture_lock = threading.Lock()
        self._started = False
        self._closed = threading.Event()
        """Set when nobody is to be followed any more."""

    @property
    def _live(self) -> LivePicture:
        """The live picture, made when somebody first looks at it: a command that answers one question never does."""
        from engine.live import LivePicture

        with self._picture_lock:
            if self._picture is None:
                self._picture = LivePicture(self._world)
            return self._picture

    def _wake(self) -> None:
        if self._picture is not None:
            self._picture.wake()

    @property
    def config(self) -> ConfigState:
        """The configuration in force, and what is wrong with the one that is on disk."""
        return self._world.config

    @property
    def data_dir_problem(self) -> Problem | None:
        """Why what is in the data directory cannot be seen, or not be changed, by who runs this."""
        return self._world.data_dir_problem

    @property
    def refusal(self) -> Problem | None:
        """Why nothing can be changed here, not even without `read_only`; every plan but that of a build tells it."""
        return self._world.refusal

    # The live picture

    def start(self) -> None:
        """Begin to probe, to watch the config files and to follow the builds, in daemon threads; returns at once."""
        self._started = True
        self._live.start()

    def close(self) -> None:
        """Stop the threads. Builds go on."""
        self._closed.set()
        if self._picture is not None:
            self._picture.close()
        if not self._started:
            # Else the engine's thread has done so, and may be at work.
            self._world.data_dir.keep_indexes()

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from an engine thread after each change of the snapshot; returns what ends it."""
        return self._live.subscribe(callback)

    def snapshot(self) -> Snapshot:
        """The latest picture. Never blocks, never probes."""
        return self._live.snapshot

    def refresh(self, *, force_probe: bool = False) -> Snapshot:
        """Look at everything now and return the new picture. `force_probe` runs every interpreter again."""
        self._world.probe(force=force_probe)
        self._live.publish(thorough=True)
        return self._live.snapshot

    def request_refresh(self, *, force_probe: bool = False) -> None:
        """Ask the engine's own thread for a `refresh`; returns at once. For fronts that must not block."""
        self._live.request(force_probe=force_probe)

    # Installations, matching, bundles

    def installations(self, *, force_probe: bool = False) -> tuple[Installation, ...]:
        """Probe (or recall) every configured installation."""
        if force_probe or not self._world.probed:
            self._world.probe(force=force_probe)
        return self._world.installations()

    def default_config(self) -> str:
        """The embedded default for this machine as text to edit, with the interpreters it cannot use as comments."""
        return self._world.configuration.default(self._world.interpreters)

    def impact_of_load(self) -> Impact | None:
        """What the last load that changed a setting does to content and bundles; None while none has changed any."""
        before = self._world.found_before()
        return self._impact(before, self._world.found()) if before is not None else None

    def read_config(self, files: Sequence[Path]) -> ConfigState:
        """What the configuration would be if it were read from `files`; takes nothing over. Raises `InputError`."""
        return self._world.configuration.read(files)

    def impact_of(self, config: ConfigState) -> Impact:
        """What it would do to content and bundles if `config` were in force. Runs interpreters not known yet."""
        self.installations()
        return self._impact(self._world.found(), self._world.found_with(config))

    def _impact(self, before: Found, after: Found) -> Impact:
        from engine.impact import assess

        bundles = [item.bundle for item in self._world.shelf.items() if item.bundle is not None]
        return assess(before, after, self._world.contents(), bundles)

    def draft_config(self, path: Path | None = None) -> ConfigDraft:
        """A configuration file to edit: that one, else the last in force, else a new one of this account's.

        Raises `InputError`.
        """
        return self._world.configuration.draft(path, self._world.interpreters)

    def check_draft(self, draft: ConfigDraft, text: bytes) -> ConfigState:
        """What the configuration would be with `text` in that file: its problems, and what changes."""
        return self._world.configuration.check(draft, text)

    def put_draft(self, draft: ConfigDraft, text: bytes) -> None:
        """Put `text` in place of that file in one step; mode and owner stay.

        Raises `Refused` (`read-only`, `config-errors`, `config-changed`), `StorageError`.
        """
        self._world.require_writable()
        self._world.configuration.put(draft, text)

    def uv(self) -> UvTool:
        """The uv that builds can use, or why there is none."""
        return self._world.uv()

    def pip_files(self) -> tuple[PipFile, ...]:
        """The configuration files that pip reads in builds, a later one winning over an earlier one."""
        from engine.builds.pip_config import pip_files

        return pip_files(self._world.home, account=self._world.builder.account)

    def pip_settings(self) -> tuple[PipSetting, ...]:
        """Every option that those files set for ``pip install``, with the value in force and where it comes from."""
        from engine.builds.pip_config import effective

        return effective(self._world.home, account=self._world.builder.account)

    def executors(self) -> ExecutorChoice:
        """Where builds run now, and of every executor whether it can be used from here. Runs the executors' tools."""
        from engine.executors.choice import survey

        settings, declared = self._world.config.settings, self._world.declarations()
        target = next((environment.name for environment in declared.environments), "") if declared.off_host else LOCAL
        return survey(settings.executor, target, settings.data_dir / "jobs", settings.executors, self._world.environ)

    def match(
        self, version: Version | None = None, requires: SpecifierSet | None = None, rule: Rule | None = None
    ) -> Match:
        """The match for a version and/or constraint; `rule` overrides the configured one."""
        self.installations()
        return self._world.match(Request(version, requires), rule)

    def try_request(self, request: Request | None, bundle: Bundle | None = None) -> Trial:
        """What `request` would get under each rule, or `bundle` if it asked for that (None: for what it does ask)."""
        from engine.trial import try_match, try_request

        self.installations()
        world = self._world
        if bundle is None:
            return try_match(request, world.config.settings, world.installations(), world.declarations())
        return try_request(request, world.found(), bundle)

    def open_bundle(self, reference: str) -> Bundle:
        """Read the bundle at a path, or the shipped sample of that name, and keep it among the snapshot's bundles.

        Raises `InputError` when it is not a well-formed bundle.
        """
        with self._world.lock:
            bundle = self._world.shelf.open(reference)
        self._wake()
        return bundle

    def explain_request(self, bundle: Bundle) -> tuple[ProvenanceStep, ...]:
        """Where the Python version that `bundle` asks for comes from: what decides, and what its own files say.

        Raises `InputError` when the bundle's files cannot be read any more.
        """
        from engine.bundles.constraint import detect, explain_request, read_project_files

        return explain_request(bundle.manifest, detect(read_project_files(bundle)))

    def capture(self, directory: Path, options: CaptureOptions | None = None) -> Captured:
        """What a bundle of the project in `directory` would hold, and why. Raises `InputError`."""
        from engine.capture.model import CaptureOptions
        from engine.capture.project import capture

        return capture(directory, options or CaptureOptions(), self._world.environ)

    def write_bundle(self, captured: Captured, archive: Path) -> None:
        """Write what was captured as a ``.tar.gz``, replacing one of that name. Raises `InputError`, `StorageError`."""
        from engine.capture.project import write_bundle

        write_bundle(captured, archive)

    # Builds

    def plan_build(self, bundle: Bundle) -> BuildPlan:
        """What building `bundle` would do now, for whoever may change something here: see `refusal`."""
        return self._world.plan(bundle)

    def plan_cancel(self, build_id: str) -> CancelPlan:
        """What cancelling would do now. Raises `InputError` (`build-unknown`, `build-ambiguous`)."""
        return actions.build.plan_cancel(self._world, build_id)

    def plan_retry(self, build_id: str) -> BuildPlan | RebuildPlan:
        """What building once more what that build was for would do now: its bundle, or its environment again.

        Raises `InputError` when the build or the bundle is not there, `Refused` when it cannot be told or goes on.
        """
        return actions.retry.plan_retry(self._world, build_id)

    def build(self, build_id: str) -> Build:
        """The build of that id, of a unique part of it, or the newest for ``last``.

        Raises `InputError` (`build-unknown`, `build-ambiguous`).
        """
        return actions.build.find_build(self._world, build_id)

    def wait(self, build_id: str, timeout: float | None = None) -> Build:
        """Block until the build has ended (or `timeout` seconds passed) and return it."""
        end = None if timeout is None else time.monotonic() + timeout
        lost_at = None
        while True:
            build = self.build(build_id)
            if actions.build.unsettled((build,)):
                # Only the verdict says whether it was published when it was lost, and others may just be giving it.
                lost_at = lost_at or time.monotonic()
                settled = actions.build.settle_lost(self._world, (build,))
                if settled and time.monotonic() < lost_at + _VERDICT_PATIENCE:
                    time.sleep(0.05)
                    continue
            if build.state.final or (end is not None and time.monotonic() >= end):
                return build
            time.sleep(0.05)

    def environment_of(self, build: Build) -> Environment | None:
        """The environment that `build` has made or found, as it is on the disk now; None when it is not there."""
        store = self._world.store
        return store.find(store.key_dir(build.installer, build.python_version, build.image or LOCAL, build.key))

    def follow(self, build_id: str) -> LogRing:
        """The build's log as a ring that grows until the build has ended; of a very long one only the end."""
        from engine.builds.log import LogRing

        build = self.build(build_id)
        ring = LogRing()
        threading.Thread(target=self._feed, args=(build, ring), name=f"log-{build.id}", daemon=True).start()
        return ring

    def read_log(self, build_id: str) -> Iterator[LogLine]:
        """Every line that the build's log has now, read from the disk piece by piece. Raises as `build` does."""
        from engine.builds.log import read_log

        return read_log(self.build(build_id).log)

    def _feed(self, build: Build, ring: LogRing) -> None:
        from engine.builds.log import LogReader

        reader = LogReader(build.log)
        ring.skip(reader.skip_to_last(ring.keep))
        grown = time.monotonic()
        while not self._closed.is_set():
            # Asked before reading: what was written before the end is read after the end was seen.
            with self._world.lock:
                now = self._world.jobs.read(build.id)
            lines = reader.poll()
            if lines:
                ring.extend(lines)
                grown = time.monotonic()
            elif now is None or now.state.final:
                break
            else:
                quiet = time.monotonic() - grown
                self._closed.wait(min(max(_SOONEST, quiet / 10), _LATEST))
        ring.finish()

    # Content

    def content(self, reference: str) -> Content:
        """The content of that GUID, name, or unique part. Raises `InputError` (`content-unknown`, …)."""
        return self._world.content_store.find(reference)

    def contents(self) -> tuple[Content, ...]:
        """All content, by name."""
        return self._world.contents()

    def plan_deploy(self, bundle: Bundle, *, name: str | None = None, guid: str | None = None) -> DeployPlan:
        """What deploying `bundle` would do now. Raises `InputError`."""
        return actions.deploy.plan_deploy(self._world, bundle, name=name, guid=guid)

    def resolve(self, item: Content) -> Resolution:
        """How the active bundle of `item` would run now, and why."""
        return actions.resolve.resolve(self._world, item)

    def plan_set(
        self,
        reference: str,
        *,
        name: str | None = None,
        management: bool | Unchanged | None = UNCHANGED,
        default_image: str | None = None,
    ) -> SetPlan:
        """What changing a content's settings would do. Raises `InputError`."""
        return actions.content.plan_set(
            self._world, reference, name=name, management=management, default_image=default_image
        )

    def plan_remove(self, reference: str) -> RemovePlan:
        """What removing content would do. Raises `InputError`."""
        return actions.content.plan_remove(self._world, reference)

    def plan_activate(self, reference: str, number: int | None = None) -> ActivatePlan:
        """What making that bundle of content active would do, by default the one before. Raises `InputError`."""
        return actions.activate.plan_activate(self._world, reference, number)

    def plan_run(self, reference: str) -> RunPlan:
        """How a command would be run in a content's environment now. Raises `InputError`."""
        self.installations()
        return actions.run.prepare_run(self._world, self.content(reference))

    def run(
        self, plan: RunPlan, argv: Sequence[str], on_build_started: Callable[[Build], None] | None = None
    ) -> RunResult:
        """Run `argv` in the content and wait for its end; its environment is built first if it has to be.

        Raises `InputError`, `Refused`, `StorageError`.
        """
        from engine.audit.model import AuditAction

        world, began = self._world, time.monotonic()
        world.require_writable()
        started = actions.audit.run_started(plan, argv)
        world.record(started)
        with actions.audit.recorded_if_stopped(world, replace(started, action=AuditAction.RUN_END)):
            result = actions.run.run(world, plan, argv, on_build_started)
        world.record(actions.audit.run_ended(plan, argv, result, time.monotonic() - began))
        return result

    # The cache

    def environments(self) -> tuple[Environment, ...]:
        """Every environment, newest first, looked at anew. Raises `Refused` when the data directory cannot be read."""
        self.installations()
        self._world.require_readable()
        return self._world.environments(thorough=True)

    def users_of(self, environments: Iterable[Environment]) -> Users:
        """The processes that use each of `environments` now."""
        from engine.environments.usage import users_of

        return users_of([environment.key_dir for environment in environments])

    def foreign(self) -> tuple[ForeignEnvironment, ...]:
        """The environments that the server itself made. They are only looked at."""
        return self._world.data_dir.foreign.environments()

    def plan_reap(self, keys: Sequence[str] | None = None, *, grace: float | None = None) -> ReapPlan:
        """What reaping would do now: all of the cache, or these keys. `grace` is in seconds. Raises `InputError`."""
        self.installations()
        if keys is None:
            self._world.environments(thorough=True)
        return actions.reap.plan_reap(self._world, keys, used_by=self._world.used_by(), grace=grace)

    def plan_verify(
        self,
        keys: Sequence[str] | None = None,
        *,
        on_progress: Callable[[VerifyProgress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> VerifyPlan:
        """Compare the environments of these keys, or every one, with what was built; changes nothing.

        Carrying the plan out marks what is damaged, so that it is not used any more. Raises `InputError`.
        """
        return actions.verify.plan_verify(self._world, keys, on_progress=on_progress, stop=stop)

    def plan_verify_foreign(
        self,
        names: Sequence[str] | None = None,
        *,
        on_progress: Callable[[VerifyProgress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> VerifyPlan:
        """Compare environments that the server itself made with what their metadata says. Raises `InputError`."""
        return actions.verify.plan_verify_foreign(self.foreign(), names, on_progress=on_progress, stop=stop)

    def reap_is_due(self) -> bool:
        """Whether the configured time has passed since the last complete reaping."""
        return actions.reap.reap_is_due(self._world, time.time())

    def plan_pin(self, key: str, *, note: str = "") -> PinPlan:
        """What pinning an environment, so that it is never reaped, would do. Raises `InputError`."""
        return actions.pin.plan_pin(self._world, key, note=note)

    def plan_unpin(self, key: str) -> PinPlan:
        """What taking the pin off an environment would do. Raises `InputError`."""
        return actions.pin.plan_unpin(self._world, key)

    def caches(self) -> tuple[RuntimeCache, ...]:
        """The runtime caches by language, version and image, as the server's API lists them."""
        return actions.caches.list_caches(self._world)

    def plan_delete_cache(self, language: str, version: str, image_name: str) -> CachePlan:
        """What deleting a runtime cache would do. Raises `InputError` (`cache-unknown`)."""
        used_by = self._world.used_by()
        return actions.caches.plan_delete_cache(self._world, language, version, image_name, used_by=used_by)

    def plan_rebuild(self, keys: Sequence[str], *, fresh: bool = False) -> RebuildPlan:
        """What rebuilding these environments would do; with `fresh` nothing comes from the wheel store.

        Raises `InputError`.
        """
        self.installations()
        return actions.rebuild.plan_rebuild(self._world, keys, fresh=fresh)

    def forecast_rebuild(self, plan: RebuildPlan) -> RebuildForecast:
        """How the environments of `plan` will be made, and how long and how much space that will take."""
        return actions.forecasting.forecast_rebuild(self._world, plan)

    def rebuild_lists(self) -> tuple[RebuildList, ...]:
        """The lists of environments to rebuild, each with how far it is."""
        return actions.rebuild.rebuild_lists(self._world)

    def plan_bulk(
        self,
        name: str,
        keys: Sequence[str] = (),
        *,
        retry: bool = False,
        everything: bool = False,
        force: bool = False,
        fresh: bool = False,
    ) -> BulkPlan:
        """What working through a list of rebuilds would do, with `keys` added to it. Raises `InputError`."""
        self.installations()
        return actions.rebuild.plan_bulk(
            self._world, name, keys, retry=retry, everything=everything, force=force, fresh=fresh
        )

    def run_bulk(
        self,
        plan: BulkPlan,
        *,
        parallelism: int = 1,
        on_progress: Callable[[RunProgress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> BulkResult:
        """Work through a list of rebuilds until it is done or `stop` says so. Raises `Refused`, `StorageError`."""
        world = self._world
        world.require_writable()
        with actions.audit.recorded_if_stopped(world, actions.audit.event_of(plan)):
            result = actions.rebuild.run_bulk(world, plan, parallelism=parallelism, on_progress=on_progress, stop=stop)
        world.record(actions.audit.bulk_ended(plan, result))
        return result

    def serve(self) -> int:
        """Reap on schedule and rebuild what vanished, with the live configuration, until a signal ends it; returns 0.

        To be called from the main thread. Raises `Refused` (`already-serving`), `StorageError`.
        """
        from engine.audit.model import AuditAction
        from engine.service import Housekeeping, serve

        world = self._world
        world.require_writable()
        self.start()
        started = actions.audit.service_event(AuditAction.SERVICE_START, world.config.settings.data_dir)
        with actions.audit.recorded_if_stopped(world, started):
            code = serve(Housekeeping(world, world.used_by, partial(actions.upkeep.rebuild_missing, world, time.time)))
        world.record(actions.audit.service_event(AuditAction.SERVICE_STOP, world.config.settings.data_dir))
        return code

    # The data directory

    def diagnose(self) -> Diagnosis:
        """Examine the data directory: whether it is fit for its work, and what lies about in it. Repairs nothing."""
        from engine.doctor.examination import examine

        return examine(self._world)

    def plan_repairs(self) -> RepairPlan:
        """What a repair of the data directory would do now."""
        from engine.doctor.examination import plan_repairs

        return plan_repairs(self._world)

    # The audit

    def audit(self, query: AuditQuery | None = None) -> AuditReader:
        """Reads what everybody did in the data directory: the records that `query` wants, by default all."""
        from engine.audit.reading import AuditReader

        return AuditReader(self._world.config.settings.data_dir, query)

    @property
    def audit_problem(self) -> Problem | None:
        """Why the audit lacks what was done last; None when it has it. A warning: what was done is done."""
        return self._world.audit_problem

    # Carrying out

    def command_line(self, plan: Plan) -> str:
        """What to type in a shell to carry `plan` out; "" where there is no such line."""
        return self._world.told(actions.audit.event_of(plan)).command

    @overload
    def execute(self, plan: BuildPlan | CancelPlan) -> Outcome: ...
    @overload
    def execute(self, plan: RebuildPlan) -> tuple[Build, ...]: ...
    @overload
    def execute(self, plan: SetPlan) -> Content: ...
    @overload
    def execute(self, plan: RemovePlan) -> None: ...
    @overload
    def execute(self, plan: ReapPlan | CachePlan) -> ReapResult: ...
    @overload
    def execute(self, plan: PinPlan) -> Environment: ...
    @overload
    def execute(self, plan: VerifyPlan) -> VerifyResult: ...
    @overload
    def execute(self, plan: RepairPlan) -> RepairResult: ...
    def execute(
        self,
        plan: BuildPlan
        | CancelPlan
        | RebuildPlan
        | SetPlan
        | RemovePlan
        | ReapPlan
        | CachePlan
        | PinPlan
        | VerifyPlan
        | RepairPlan,
    ) -> object:
        """Do what the plan says if it still holds; returns without waiting for a build to end.

        Raises `Refused` when it cannot be done or no longer holds, `StorageError` when the data directory fails.
        """
        from engine.plans import BuildPlan, CancelPlan

        world = self._world
        try:
            if isinstance(plan, BuildPlan):
                with actions.audit.audited(world, plan):
                    return actions.build.start(world, plan)
            world.require_writable()
            if isinstance(plan, CancelPlan):
                with actions.audit.audited(world, plan):
                    return actions.build.cancel(world, plan)
            return self._keep_house(plan)
        finally:
            self._wake()

    def _keep_house(
        self,
        plan: RebuildPlan | SetPlan | RemovePlan | ReapPlan | CachePlan | PinPlan | VerifyPlan | RepairPlan,
    ) -> object:
        """Carry out what is not about one build. Apart from that, because somebody waits for each build to start."""
        from engine.actions.caches import CachePlan
        from engine.actions.content import RemovePlan, SetPlan
        from engine.actions.pin import PinPlan
        from engine.actions.rebuild import RebuildPlan
        from engine.actions.verify import VerifyPlan
        from engine.doctor.model import RepairPlan
        from engine.reaping.model import ReapPlan

        world = self._world
        if isinstance(plan, RepairPlan):
            from engine.doctor.repair import repair

            return repair(world, plan)
        with actions.audit.audited(world, plan):
            match plan:
                case RebuildPlan():
                    return actions.rebuild.rebuild(world, plan)
                case SetPlan():
                    return actions.content.apply_set(world, plan)
                case RemovePlan():
                    actions.content.remove(world, plan)
                    return None
                case ReapPlan():
                    return actions.reap.reap(world, plan, used_by=world.used_by)
                case CachePlan():
                    return actions.caches.delete_cache(world, plan)
                case PinPlan():
                    return actions.pin.set_pin(world, plan)
                case VerifyPlan():
                    return actions.verify.mark(world, plan)

    def activate(self, plan: ActivatePlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        """Build the environment and make the bundle the active one of its content. Waits for the build.

        Raises `Refused` (also when the build fails: `build-failed`), `InputError`, `StorageError`.
        """
        world = self._world
        world.require_writable()
        try:
            event = actions.audit.event_of(plan)
            with actions.audit.recorded_if_stopped(world, event):
                active = actions.activate.activate(world, plan, on_build_started)
            world.record(event)
            return active
        finally:
            self._wake()

    def deploy(self, plan: DeployPlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        """Build the environment, store the bundle and make it the active one. Waits for the build.

        Raises `Refused` (also when the build fails: `build-failed`), `InputError`, `StorageError`.
        """
        world = self._world
        world.require_writable()
        try:
            with actions.audit.recorded_if_stopped(world, actions.audit.event_of(plan)):
                deployed = actions.deploy.deploy(world, plan, on_build_started)
            world.record(actions.audit.deployed(plan, deployed))
            return deployed
        finally:
            self._wake()
