"""Engine values and a scripted engine for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast
from unittest.mock import Mock

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import (
    UNCHANGED,
    Action,
    ActivatePlan,
    AuditPage,
    AuditQuery,
    AuditReader,
    Availability,
    Build,
    BuildPlan,
    BuildState,
    BulkPlan,
    BulkResult,
    Bundle,
    BundleEntry,
    CachePlan,
    CancelPlan,
    Candidate,
    Captured,
    CapturedFile,
    CaptureOptions,
    Check,
    CheckStatus,
    Choice,
    ConfigState,
    Content,
    ContentBundle,
    Declarations,
    DeclaredInstallation,
    DeployPlan,
    EffectiveValue,
    Engine,
    Environment,
    EnvironmentsFile,
    EnvironmentState,
    ExecutionEnvironment,
    ExecutorChoice,
    Fault,
    Forecast,
    ForeignEnvironment,
    FrozenLine,
    Impact,
    ImpactItem,
    InputError,
    Installation,
    InterpreterFacts,
    ItemForecast,
    ItemState,
    Judgement,
    KeepCode,
    KeepReason,
    LeftOut,
    Level,
    LevelDecision,
    LockedPackage,
    LogLine,
    LogRing,
    ManagementDecision,
    Manifest,
    Match,
    Outcome,
    PackagePlan,
    Phase,
    PickedInstallation,
    Pin,
    PinPlan,
    PipFile,
    PipSetting,
    PlannedLine,
    PlannedRebuild,
    Problem,
    ProcessUse,
    Provenance,
    ProvenanceStep,
    ReapItem,
    ReapKind,
    ReapPlan,
    ReapResult,
    ReapVerdict,
    Reason,
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
    Settings,
    Snapshot,
    Standing,
    StepStanding,
    Trial,
    Unchanged,
    Usability,
    Users,
    UvTool,
    Verdict,
    Where,
)

KEY = "k" * 22
GUID = "017c0fec-c139-4891-9820-b267cbda9146"
ID = "20260131T120000-ab12"
AT = 1769860800.25


def installation(version: str = "3.11.9", *, broken: str = "") -> Installation:
    path = f"/opt/python/{version}/bin/python3"
    if broken:
        check = Check("runs", CheckStatus.FAILED, broken, "Install it again")
        return Installation(path, "/etc/envdeck.gcfg:4", path, Usability.UNUSABLE, (check,))
    facts = InterpreterFacts(
        Version(version), "CPython", path, "/opt", "/opt", "abi", "linux", "x86_64", 64, "glibc 2.36", "24.0", "/opt/l"
    )
    return Installation(path, "/etc/envdeck.gcfg:3", path, Usability.USABLE, (), facts, seconds=0.25)


def match(*, chosen: bool = True) -> Match:
    good = Candidate(Version("3.11.9"), "/opt/python/3.11.9/bin/python3")
    bad = Candidate(None, "/opt/python/gone", unusable="there is no such file")
    verdict, reason = (Verdict.CHOSEN, "exact match") if chosen else (Verdict.REJECTED, "3.11 is not 3.9")
    problem = None if chosen else Problem("no-matching-installation", "none fits", "Python 3.9.1", "3.11.9")
    return Match(
        Rule.MAJOR_MINOR,
        Request(Version("3.11.9") if chosen else Version("3.9.1")),
        (Judgement(good, verdict, reason), Judgement(bad, Verdict.UNUSABLE, bad.unusable)),
        good if chosen else None,
        problem,
    )


def bundle(name: str = "my-app") -> Bundle:
    manifest = Manifest("python-dash", "app", Version("3.11.9"), SpecifierSet(">=3.9"), "pip", "requirements.txt")
    return Bundle(Path("/srv") / name, name, False, manifest, (), "")


def line(text: str, action: Action = Action.INSTALL, reason: str = "") -> PlannedLine:
    effective = text.replace("****", "secret") if action is Action.INSTALL else ""
    name = None if text.startswith("-") else canonicalize_name(Requirement(text.partition(" @")[0]).name)
    return PlannedLine(name, text, action, reason, Where("requirements.txt", 1), effective)


def environment(state: EnvironmentState = EnvironmentState.READY, reason: str = "") -> Environment:
    return Environment(
        "/data", KEY, ID, "pip", "3.11.9", "/opt/python/3.11.9/bin/python3", "Local", state, reason,
        ("flask==3.0",), (LockedPackage("flask", "3.0"),), 41_200_000, 900, AT, "anna", 3.4, "my-app", {"format": 1},
    )  # fmt: skip


def build(state: BuildState = BuildState.DONE, *, fault: Fault | None = None, reused: bool = False) -> Build:
    ended = AT + 3.4 if state.final else None
    phase = Phase.PUBLISH if state is BuildState.DONE else Phase.RESOLVE
    return Build(
        ID, KEY, state, phase, "my-app", "3.11.9", "/opt/python/3.11.9/bin/python3", "anna", AT, AT, ended, 1, 3,
        "Downloading flask-3.0", fault, Path("/data/jobs") / ID, reused,
    )  # fmt: skip


def plan(*, hit: bool = False, problem: Problem | None = None, chosen: bool = True) -> BuildPlan:
    lines = (line("flask==3.0"), line("pywin32==300", Action.PROHIBITED, "only for Windows"))
    return BuildPlan(
        bundle(), match(chosen=chosen), installation() if chosen else None, PackagePlan(lines), management(),
        key=KEY if chosen else "", ingredients={"format": 1}, lines=("flask==3.0",),
        environment=environment() if hit else None, problem=problem,
    )  # fmt: skip


def management(*, managed: bool = True) -> ManagementDecision:
    return ManagementDecision(
        managed,
        Level.SERVER,
        (
            LevelDecision(Level.BUNDLE, None, Standing.UNSET, "the bundle says nothing"),
            LevelDecision(Level.SERVER, managed, Standing.DECIDES, "Python.EnvironmentManagement decides"),
        ),
    )


STEPS = (
    ProvenanceStep("python.version", StepStanding.DECIDES, "3.11.9", "3.11.9", "the author's version"),
    ProvenanceStep("setup.cfg", StepStanding.ABSENT, "", "", "there is no such file"),
)


def config(*problems: Problem, default: bool = False) -> ConfigState:
    settings = Settings(True, (), Rule.MAJOR_MINOR, (), Path("/data"), Version("3.8"), 10, 600, ())
    values = (
        EffectiveValue("Python.Enabled", ("true",), ("default",), True, "Python content", "python-posit.txt"),
        EffectiveValue("Server.DataDir", ("/data",), ("/etc/envdeck.gcfg:2",), False, "Where", "envdeck"),
        EffectiveValue("Envdeck.BundleDir", (), ("default",), True, "Bundles", "envdeck"),
    )
    files = () if default else (Path("/etc/envdeck.gcfg"),)
    return ConfigState(settings, values, problems, files, default, AT, {}, {})


def declarations(*problems: Problem) -> Declarations:
    where = Where("/etc/environments.yaml", 3, 5)
    python = DeclaredInstallation(Version("3.12.1"), "/opt/python/bin/python3", where)
    image = ExecutionEnvironment("registry/content:1", where, "Base", python=(python,), guid="g-1")
    file = EnvironmentsFile(Path("/etc/environments.yaml"), (image,), problems, True)
    return Declarations((file,), (image,), problems)


def content(*, problem: Problem | None = None) -> Content:
    one = ContentBundle(1, AT, "anna", "my-app", KEY, "3.11.9", 2000)
    picked = PickedInstallation("3.11.9", "/opt/python/3.11.9/bin/python3")
    return Content(
        GUID, "board", "python-dash", AT, "anna", (one, replace(one, number=2)), 2, picked, True, problem=problem
    )


def resolution(*, build: BuildPlan | None = None, problem: Problem | None = None) -> Resolution:
    there = None if build or problem else environment()
    return Resolution(
        content(), content().installation, there, build, (Reason("kept", "it is still there"),), problem=problem
    )


def deploy_plan(*, problem: Problem | None = None, hit: bool = False) -> DeployPlan:
    return DeployPlan(bundle(), plan(hit=hit), "board", content(), 3, content().bundles[:1], problem=problem)


def activate_plan(*, problem: Problem | None = None, hit: bool = False, running: bool = False) -> ActivatePlan:
    reasons = (Reason("takes-over", "bundle 1 takes the place of bundle 2"),)
    item = content()
    return ActivatePlan(item, item.bundles[0], plan(hit=hit), reasons, running, problem)


def run_plan(*, problem: Problem | None = None) -> RunPlan:
    return RunPlan(
        content(), resolution(), Path("/data/content/1"), "/e/bin/python", Path("/e"), {"PATH": "/e/bin"},
        problem=problem,
    )  # fmt: skip


def reap_item(*reasons: KeepReason, used_by: tuple[str, ...] = ()) -> ReapItem:
    path = Path("/data") / KEY
    return ReapItem(ReapKind.ENVIRONMENT, KEY, path, 41_200_000, ReapVerdict(reasons), environment(), used_by)


KEPT = KeepReason(KeepCode.USED_BY_CONTENT, "1 content item would need it again", ("board",))


def reap_plan(*items: ReapItem, complete: bool = True) -> ReapPlan:
    return ReapPlan(items, complete, 3600.0, 1, AT)


def cache_plan(*items: ReapItem) -> CachePlan:
    return CachePlan(RuntimeCache("Python", "3.11.9", "Local", 1, 41_200_000, 2), items, 0)


def rebuild_plan(*problems: Problem) -> RebuildPlan:
    return RebuildPlan((PlannedRebuild(environment(), installation(), None, problems),))


def rebuild_forecast(plan: RebuildPlan) -> RebuildForecast:
    """Of each that can be rebuilt."""
    supply = Forecast(12, 12, replayed=True)
    return RebuildForecast(
        tuple(
            ItemForecast(item.environment.key, supply, 0.4, "the last build of this environment", 2_000_000, 3_000_000)
            for item in plan.items
            if not item.problems
        ),
        at_once=2,
        free=10**9,
    )


def rebuild_list() -> RebuildList:
    return RebuildList("up", (RebuildItem(KEY, ItemState.ERROR, ID, AT, "no matching distribution"),))


def captured() -> Captured:
    choice = Choice("app", "app.py is one of the usual names", ("RETICULATE_PYTHON is not set",))
    return Captured(
        Path("/srv/my-app"), choice, choice, choice, choice, (FrozenLine("six @ file:///x", "six==1.16", "a path"),),
        Provenance(STEPS), {"version": 1}, (CapturedFile("app.py", 10, "0" * 32),), {},
        (LeftOut(".git", "never part of a bundle"),),
    )  # fmt: skip


def executor_choice(name: str = "local") -> ExecutorChoice:
    issue = Problem("executor-missing", "there is no sbatch here", found="PATH=/bin", hint="Install Slurm's client")
    return ExecutorChoice(
        name,
        f"Envdeck.Executor is {name}",
        (Availability("local", "this machine", ("a note",)), Availability("slurm", problem=issue)),
        issue if name == "slurm" else None,
    )


management_decision = management  # where a parameter has that name


@dataclass
class FakeEngine:
    """Answers as scripted; notes what it was asked for. Follows the signatures of `Engine`."""

    planned: BuildPlan = field(default_factory=plan)
    decision: Match = field(default_factory=match)
    configuration: ConfigState = field(default_factory=config)
    outcome: Outcome = field(default_factory=Outcome)
    ended: Build = field(default_factory=build)
    lines: Sequence[LogLine] = (LogLine(AT, "Collecting flask"), LogLine(AT + 1, "done"))
    cancel_problem: Problem | None = None
    impacts: tuple[ImpactItem, ...] = ()
    execute_error: Exception | None = None
    on_follow: Callable[[], None] = lambda: None
    declared: Declarations = field(default_factory=Declarations)
    deploying: DeployPlan = field(default_factory=deploy_plan)
    activating: ActivatePlan = field(default_factory=activate_plan)
    deployed: Build | None = None
    running: RunPlan = field(default_factory=run_plan)
    ran: RunResult = field(default_factory=lambda: RunResult(0))
    reaping: ReapPlan = field(default_factory=lambda: reap_plan(reap_item()))
    due: bool = True
    clearing: CachePlan = field(default_factory=lambda: cache_plan(reap_item(used_by=("board",))))
    result: ReapResult = field(default_factory=lambda: ReapResult((reap_item(),), (), ()))
    rebuilding: RebuildPlan = field(default_factory=rebuild_plan)
    retried: RebuildPlan | None = None
    retry_error: Exception | None = None
    bulk_problem: Problem | None = None
    bulk_end: ItemState = ItemState.COMPLETE
    settings_problem: Problem | None = None
    pip_problem: Problem | None = None
    uv_tool: UvTool = UvTool("/usr/bin/uv", "0.13.9", "$PATH")  # noqa: RUF009
    audited: AuditPage = field(default_factory=AuditPage)
    executing: ExecutorChoice = field(default_factory=executor_choice)
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
            (environment(),), (self.ended,), (entry, broken), Path("/data"), (content(),), self.declared,
        )  # fmt: skip

    def refresh(self, *, force_probe: bool = False) -> Snapshot:
        return self.snapshot()

    def environments(self) -> tuple[Environment, ...]:
        return self.snapshot().environments

    def environment_of(self, build: Build) -> Environment | None:
        return next((each for each in self.snapshot().environments if each.key == build.key), None)

    def installations(self, *, force_probe: bool = False) -> tuple[Installation, ...]:
        self.asked.append(("installations", force_probe))
        return (installation(), installation("3.9.5", broken="it exits with 1"))

    def open_bundle(self, reference: str) -> Bundle:
        self.asked.append(("open", reference))
        if reference == "missing":
            raise InputError(Problem("bundle-missing", "there is no such bundle", where=Where("missing", 3, 7)))
        return bundle()

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
                return replace(content(), name=plan.name)
            case PinPlan():
                return environment()
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
        return captured()

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
        return content()

    def contents(self) -> tuple[Content, ...]:
        return (content(),)

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
        return replace(content(), active=plan.bundle.number)

    def deploy(self, plan: DeployPlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        self.asked.append("deployed")
        if self.deployed and on_build_started:
            on_build_started(self.deployed)
        if self.execute_error:
            raise self.execute_error
        return content()

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
        return SetPlan(
            found, name or found.name, level, default_image or "", management_decision(), self.settings_problem
        )

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
        return PinPlan(environment(), Pin("anna", AT, note), None)

    def plan_unpin(self, key: str) -> PinPlan:
        return PinPlan(environment(), None, Pin("anna", AT, "why"), self.settings_problem)

    def caches(self) -> tuple[RuntimeCache, ...]:
        return (self.clearing.cache,)

    def plan_delete_cache(self, language: str, version: str, image_name: str) -> CachePlan:
        self.asked.append(("clear", language, version, image_name))
        return self.clearing

    def plan_rebuild(self, keys: Sequence[str], *, fresh: bool = False) -> RebuildPlan:
        return replace(self.rebuilding, fresh=fresh)

    def forecast_rebuild(self, plan: RebuildPlan) -> RebuildForecast:
        return rebuild_forecast(plan)

    def rebuild_lists(self) -> tuple[RebuildList, ...]:
        return (rebuild_list(),)

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
