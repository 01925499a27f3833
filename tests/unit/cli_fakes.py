"""Values such as an engine gives out, for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import (
    Action,
    ActivatePlan,
    Availability,
    Build,
    BuildPlan,
    BuildState,
    Bundle,
    CachePlan,
    Candidate,
    Captured,
    CapturedFile,
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
    Environment,
    EnvironmentsFile,
    EnvironmentState,
    ExecutionEnvironment,
    ExecutorChoice,
    Fault,
    Forecast,
    FrozenLine,
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
    ManagementDecision,
    Manifest,
    Match,
    PackagePlan,
    Phase,
    PickedInstallation,
    PlannedLine,
    PlannedRebuild,
    Problem,
    Provenance,
    ProvenanceStep,
    ReapItem,
    ReapKind,
    ReapPlan,
    ReapVerdict,
    Reason,
    RebuildForecast,
    RebuildItem,
    RebuildList,
    RebuildPlan,
    Request,
    Resolution,
    Rule,
    RunPlan,
    RuntimeCache,
    Settings,
    Standing,
    StepStanding,
    Usability,
    Verdict,
    Where,
)
from tests.records import replace

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
