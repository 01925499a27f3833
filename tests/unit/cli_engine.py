"""A scripted engine for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import cli_fakes as fakes
from cli_fakes import AT, ID, KEY, STEPS

from engine import (
    UNCHANGED,
    ActivatePlan,
    AuditPage,
    AuditQuery,
    AuditReader,
    Build,
    BuildPlan,
    BuildState,
    BulkPlan,
    BulkResult,
    Bundle,
    BundleEntry,
    CachePlan,
    CancelPlan,
    Captured,
    CaptureOptions,
    ConfigState,
    Content,
    Declarations,
    DeployPlan,
    Engine,
    Environment,
    EnvironmentState,
    ExecutorChoice,
    ForeignEnvironment,
    Impact,
    ImpactItem,
    InputError,
    Installation,
    ItemState,
    LockedPackage,
    LogLine,
    LogRing,
    Match,
    Outcome,
    Pin,
    PinPlan,
    PipFile,
    PipSetting,
    Problem,
    ProcessUse,
    ProvenanceStep,
    ReapPlan,
    ReapResult,
    RebuildForecast,
    RebuildItem,
    RebuildList,
    RebuildPlan,
    RemovePlan,
    Request,
    Resolution,
    Rule,
    RuleOutcome,
    RunPlan,
    RunProgress,
    RunResult,
    RuntimeCache,
    SetPlan,
    Snapshot,
    Trial,
    Unchanged,
    Users,
    UvTool,
    Where,
)
from tests.records import replace


@dataclass
class FakeEngine:
    """Answers as scripted; notes what it was asked for. Follows the signatures of `Engine`."""

    planned: BuildPlan = field(default_factory=fakes.plan)
    decision: Match = field(default_factory=fakes.match)
    configuration: ConfigState = field(default_factory=fakes.config)
    outcome: Outcome = field(default_factory=Outcome)
    ended: Build = field(default_factory=fakes.build)
    lines: Sequence[LogLine] = (LogLine(AT, "Collecting flask"), LogLine(AT + 1, "done"))
    cancel_problem: Problem | None = None
    impacts: tuple[ImpactItem, ...] = ()
    execute_error: Exception | None = None
    on_follow: Callable[[], None] = lambda: None
    declared: Declarations = field(default_factory=Declarations)
    deploying: DeployPlan = field(default_factory=fakes.deploy_plan)
    activating: ActivatePlan = field(default_factory=fakes.activate_plan)
    deployed: Build | None = None
    running: RunPlan = field(default_factory=fakes.run_plan)
    ran: RunResult = field(default_factory=lambda: RunResult(0))
    reaping: ReapPlan = field(default_factory=lambda: fakes.reap_plan(fakes.reap_item()))
    due: bool = True
    clearing: CachePlan = field(default_factory=lambda: fakes.cache_plan(fakes.reap_item(used_by=("board",))))
    result: ReapResult = field(default_factory=lambda: ReapResult((fakes.reap_item(),), (), ()))
    rebuilding: RebuildPlan = field(default_factory=fakes.rebuild_plan)
    retried: RebuildPlan | None = None
    retry_error: Exception | None = None
    bulk_problem: Problem | None = None
    data_dir_problem: Problem | None = None
    refusal: Problem | None = None
    bulk_end: ItemState = ItemState.COMPLETE
    settings_problem: Problem | None = None
    pip_problem: Problem | None = None
    uv_tool: UvTool = UvTool("/usr/bin/uv", "0.13.9", "$PATH")  # noqa: RUF009
    audited: AuditPage = field(default_factory=AuditPage)
    executing: ExecutorChoice = field(default_factory=fakes.executor_choice)
    audit_problem: Problem | None = None
    asked: list[object] = field(default_factory=list)
    closed: bool = False

    def make(self, config_files: Sequence[Path] = (), environ: object = None, *, read_only: bool = False) -> Engine:
        self.asked.append(("make", list(config_files), read_only))
        return cast(Engine, self)

    def close(self) -> None:
        self.closed = True

    @property
    def config(self) -> ConfigState:
        return self.configuration

    def snapshot(self) -> Snapshot:
        entry = BundleEntry(Path("/samples/flask"), "flask", True, self.planned, None)
        broken = BundleEntry(Path("/srv/x"), "x", False, None, Problem("manifest-missing", "no manifest.json"))
        return Snapshot(
            1, AT, "host", "anna", self.configuration, self.installations(),
            (fakes.environment(),), (self.ended,), (entry, broken), Path("/data"), (fakes.content(),), self.declared,
        )  # fmt: skip

    def refresh(self, *, force_probe: bool = False) -> Snapshot:
        return self.snapshot()

    def environments(self) -> tuple[Environment, ...]:
        return self.snapshot().environments

    def environment_of(self, build: Build) -> Environment | None:
        return next((each for each in self.snapshot().environments if each.key == build.key), None)

    def installations(self, *, force_probe: bool = False) -> tuple[Installation, ...]:
        self.asked.append(("installations", force_probe))
        return (fakes.installation(), fakes.installation("3.9.5", broken="it exits with 1"))

    def open_bundle(self, reference: str) -> Bundle:
        self.asked.append(("open", reference))
        if reference == "missing":
            raise InputError(Problem("bundle-missing", "there is no such bundle", where=Where("missing", 3, 7)))
        return fakes.bundle()

    def try_request(self, request: Request | None, bundle: Bundle | None = None) -> Trial:
        self.asked.append(("match", request and str(request), bundle and bundle.name))
        planned = self.planned if bundle else None
        return Trial(
            request or self.decision.request,
            tuple(
                RuleOutcome(r, r is Rule.MAJOR_MINOR, self.decision, planned) for r in (Rule.MAJOR_MINOR, Rule.EXACT)
            ),
            bundle,
        )

    def plan_build(self, bundle: Bundle) -> BuildPlan:
        return self.planned

    def plan_cancel(self, build_id: str) -> CancelPlan:
        return CancelPlan(self.build(build_id), self.cancel_problem)

    def execute(self, plan: object) -> object:
        self.asked.append(("execute", type(plan).__name__))
        if self.execute_error:
            raise self.execute_error
        match plan:
            case ReapPlan() | CachePlan():
                return self.result
            case RebuildPlan():
                return (self.build("last"),)
            case SetPlan():
                return replace(fakes.content(), name=plan.name)
            case PinPlan():
                return fakes.environment()
        return self.outcome

    def build(self, build_id: str) -> Build:
        if build_id == "nonsense":
            raise InputError(Problem("build-unknown", "there is no such build", found=build_id))
        return self.outcome.build or self.deployed or self.ended

    def wait(self, build_id: str, timeout: float | None = None) -> Build:
        return self.ended

    def read_log(self, build_id: str) -> Iterator[LogLine]:
        return iter(self.lines)

    def plan_retry(self, build_id: str) -> BuildPlan | RebuildPlan:
        if self.retry_error:
            raise self.retry_error
        return self.retried or self.planned

    def follow(self, build_id: str) -> LogRing:
        self.on_follow()
        ring = LogRing()
        ring.extend(self.lines)
        ring.finish()
        return ring

    def default_config(self) -> str:
        return "; the default\n[Python]\n"

    def explain_request(self, bundle: Bundle) -> tuple[ProvenanceStep, ...]:
        return STEPS

    def read_config(self, files: Sequence[Path]) -> ConfigState:
        self.asked.append(("read", [str(file) for file in files]))
        return self.configuration

    def impact_of(self, config: ConfigState) -> Impact:
        return Impact(self.configuration, config, self.impacts, 3)

    def uv(self) -> UvTool:
        return self.uv_tool

    def pip_files(self) -> tuple[PipFile, ...]:
        return (PipFile(Path("/etc/pip.conf"), True, self.pip_problem), PipFile(Path("/root/pip.conf"), False))

    def pip_settings(self) -> tuple[PipSetting, ...]:
        return (PipSetting("index-url", "https://u:****@host.example/simple", "global", "/etc/pip.conf:2"),)

    def capture(self, directory: Path, options: CaptureOptions | None = None) -> Captured:
        self.asked.append(("capture", str(directory), options))
        return fakes.captured()

    def write_bundle(self, captured: Captured, archive: Path) -> None:
        self.asked.append(("write", str(archive)))

    def executors(self) -> ExecutorChoice:
        return self.executing

    def audit(self, query: AuditQuery | None = None) -> AuditReader:
        self.asked.append(("audit", query))
        reader = Mock(spec=AuditReader)
        reader.tail.return_value = self.audited
        reader.new.side_effect = KeyboardInterrupt
        return cast(AuditReader, reader)

    def content(self, reference: str) -> Content:
        if reference == "nothing":
            raise InputError(Problem("content-unknown", "there is no such content", found=reference))
        return fakes.content()

    def contents(self) -> tuple[Content, ...]:
        return (fakes.content(),)

    def plan_deploy(self, bundle: Bundle, *, name: str | None = None, guid: str | None = None) -> DeployPlan:
        self.asked.append(("deploy", name, guid))
        return self.deploying

    def plan_activate(self, reference: str, number: int | None = None) -> ActivatePlan:
        self.content(reference)
        self.asked.append(("activate", number))
        return self.activating

    def activate(self, plan: ActivatePlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        self.asked.append("deployed")
        if self.deployed and on_build_started:
            on_build_started(self.deployed)
        if self.execute_error:
            raise self.execute_error
        return replace(fakes.content(), active=plan.bundle.number)

    def deploy(self, plan: DeployPlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        self.asked.append("deployed")
        if self.deployed and on_build_started:
            on_build_started(self.deployed)
        if self.execute_error:
            raise self.execute_error
        return fakes.content()

    def resolve(self, item: Content) -> Resolution:
        return self.running.resolution

    def plan_set(
        self,
        reference: str,
        *,
        name: str | None = None,
        management: bool | Unchanged | None = UNCHANGED,
        default_image: str | None = None,
    ) -> SetPlan:
        self.asked.append(("set", name, management, default_image))
        found = self.content(reference)
        level = None if isinstance(management, Unchanged) else management
        return SetPlan(found, name or found.name, level, default_image or "", fakes.management(), self.settings_problem)

    def plan_remove(self, reference: str) -> RemovePlan:
        return RemovePlan(self.content(reference), 4000, self.settings_problem)

    def plan_run(self, reference: str) -> RunPlan:
        self.content(reference)
        return self.running

    def run(
        self, plan: RunPlan, argv: Sequence[str], on_build_started: Callable[[Build], None] | None = None
    ) -> RunResult:
        self.asked.append(("run", list(argv)))
        if self.deployed and on_build_started:
            on_build_started(self.deployed)
        return self.ran

    def users_of(self, environments: Iterable[Environment]) -> Users:
        use = ProcessUse(42, "anna", "python app.py", ("command line",))
        return Users({item.key_dir: (use,) for item in environments}, 1)

    def foreign(self) -> tuple[ForeignEnvironment, ...]:
        return (
            ForeignEnvironment(
                "AbrY5VfQZ5r97HDk5puHtA", Path("/data/pip/AbrY"), "pip", "3.11.9", "Local", "/opt/python/bin",
                EnvironmentState.STALE, "no interpreter", (LockedPackage("flask", "3.0"),), AT,
            ),
        )  # fmt: skip

    def plan_reap(self, keys: Sequence[str] | None = None, *, grace: float | None = None) -> ReapPlan:
        self.asked.append(("reap", keys, grace))
        return self.reaping

    def reap_is_due(self) -> bool:
        return self.due

    def plan_pin(self, key: str, *, note: str = "") -> PinPlan:
        return PinPlan(fakes.environment(), Pin("anna", AT, note), None)

    def plan_unpin(self, key: str) -> PinPlan:
        return PinPlan(fakes.environment(), None, Pin("anna", AT, "why"), self.settings_problem)

    def caches(self) -> tuple[RuntimeCache, ...]:
        return (self.clearing.cache,)

    def plan_delete_cache(self, language: str, version: str, image_name: str) -> CachePlan:
        self.asked.append(("clear", language, version, image_name))
        return self.clearing

    def plan_rebuild(self, keys: Sequence[str], *, fresh: bool = False) -> RebuildPlan:
        return replace(self.rebuilding, fresh=fresh)

    def forecast_rebuild(self, plan: RebuildPlan) -> RebuildForecast:
        return fakes.rebuild_forecast(plan)

    def rebuild_lists(self) -> tuple[RebuildList, ...]:
        return (fakes.rebuild_list(),)

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
        self.asked.append(("bulk", name, list(keys), retry, everything, force, fresh))
        plan = replace(self.rebuilding, fresh=fresh)
        return BulkPlan(name, (KEY,), (KEY, "gone"), plan, ("gone",), problem=self.bulk_problem)

    def run_bulk(
        self,
        plan: BulkPlan,
        *,
        parallelism: int = 1,
        on_progress: Callable[[RunProgress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> BulkResult:
        self.asked.append(("parallelism", parallelism))
        on_progress(RunProgress(0, 1, 0, 0))
        self.on_follow()
        item = RebuildItem(KEY, self.bulk_end, ID, AT, "it went wrong")
        done = self.bulk_end is ItemState.COMPLETE
        on_progress(RunProgress(0, 0, int(done), int(not done), item=item))
        return BulkResult((item,), RunProgress(0, 0, int(done), int(not done)), 3.4)

    def serve(self) -> int:
        return 0


def building(ended: Build) -> FakeEngine:
    """An engine on which a build starts and ends as `ended`."""
    started = replace(ended, state=BuildState.RUNNING, finished_at=None, fault=None)
    return FakeEngine(outcome=Outcome(build=started), ended=ended)
