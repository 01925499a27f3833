"""A scripted engine: snapshots made of the model's own dataclasses, and a record of what was asked of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import (
    Action,
    ActivatePlan,
    Actor,
    AuditAction,
    AuditEvent,
    AuditPage,
    AuditRecord,
    AuditResult,
    Availability,
    Build,
    BuildPlan,
    BuildState,
    Bundle,
    BundleEntry,
    CancelPlan,
    Candidate,
    Check,
    CheckStatus,
    ConfigState,
    Content,
    ContentBundle,
    EffectiveValue,
    Engine,
    Environment,
    EnvironmentState,
    Executable,
    ExecutorChoice,
    Fault,
    Finding,
    Forecast,
    ForeignEnvironment,
    Impact,
    InputError,
    Installation,
    InterpreterFacts,
    ItemForecast,
    Judgement,
    Level,
    LevelDecision,
    LineKind,
    LockedPackage,
    LogLine,
    LogRing,
    ManagementDecision,
    Manifest,
    Match,
    Nearest,
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
    ProvenanceStep,
    ReapItem,
    ReapKind,
    ReapPlan,
    ReapResult,
    ReapVerdict,
    Reason,
    RebuildForecast,
    RebuildPlan,
    Refused,
    Request,
    RequirementLine,
    Resolution,
    Rule,
    RuleOutcome,
    Settings,
    Snapshot,
    Standing,
    StepStanding,
    Trial,
    Usability,
    UvTool,
    Verdict,
    Verification,
    VerifyPlan,
    VerifyResult,
    Where,
)
from engine.actions.audit import event_of
from engine.reaping.rules import KeepReason

NOW = 1_750_000_000.0
DATA = Path("/var/lib/envdeck")


def installation(version: str | None, reason: str = "", *, warning: str = "", probing: bool = False) -> Installation:
    """An installation that is unusable for `reason`, usable with a `warning`, or just fine."""
    path = f"/opt/python/{version or '3.13.0'}/bin/python3"
    checks = [Check("runs", CheckStatus.OK, "runs and answers in 0.03 s"), Check("pip", CheckStatus.OK, "pip 24.0")]
    if reason:
        checks.append(Check("ensurepip", CheckStatus.FAILED, reason, "install the package that ships the module"))
    if warning:
        checks.append(Check("shared-library", CheckStatus.WARNING, warning, "rebuild it with --enable-shared"))
    facts = None
    if version is not None:
        facts = InterpreterFacts(
            version=Version(version),
            implementation="CPython",
            executable=path,
            prefix=f"/opt/python/{version}",
            base_prefix=f"/opt/python/{version}",
            soabi="cpython-311-x86_64-linux-gnu",
            platform="linux-x86_64",
            machine="x86_64",
            pointer_bits=64,
            libc="glibc 2.36",
            pip="24.0",
            purelib=f"/opt/python/{version}/lib/python/site-packages",
            missing={"ensurepip": "No module named 'ensurepip'"} if reason else {},
        )
    usability = Usability.PROBING if probing else Usability.UNUSABLE if reason else Usability.USABLE
    return Installation(path, "/etc/envdeck/envdeck.gcfg:4", path, usability, tuple(checks), facts, seconds=0.04)


def environment(key: str, bundle: str, version: str = "3.11.7", **changes: Any) -> Environment:
    lines = ("flask==3.0.0", "requests[socks]>=2.31", "rich")
    base = Environment(
        key=key,
        attempt="20250615-120000-a1b2",
        place=f"{DATA}/python-environments/pip/{version}",
        installer="pip",
        python_version=version,
        python_path=f"/opt/python/{version}/bin/python3",
        target="Local",
        state=EnvironmentState.READY,
        reason="",
        lines=lines,
        packages=tuple(LockedPackage(name, f"{i}.0.{i}") for i, name in enumerate(("flask", "jinja2", "rich"), 1)),
        size=412 * 1024 * 1024,
        files=8123,
        built_at=NOW - 7200,
        built_by="alice",
        seconds=31.4,
        bundle=bundle,
        ingredients={"installer": "pip", "python": version, "lines": list(lines)},
    )
    return replace(base, **changes)


def build(build_id: str, bundle: str, state: BuildState = BuildState.RUNNING, **changes: Any) -> Build:
    base = Build(
        id=build_id,
        key="Zk3vW8sQn1rT5yUa7bXc9d",
        state=state,
        phase=Phase.INSTALL,
        bundle=bundle,
        python_version="3.11.7",
        python_path="/opt/python/3.11.7/bin/python3",
        by="alice",
        submitted_at=NOW - 45,
        started_at=NOW - 41,
        finished_at=NOW - 10 if state.final else None,
        packages_done=3,
        packages_total=12,
        message="Downloading numpy-2.1.0-cp311-manylinux_2_17_x86_64.whl (18.2 MB)",
        fault=None,
        directory=DATA / "jobs" / build_id,
    )
    if state is BuildState.FAILED:
        fault = Fault(
            Phase.RESOLVE,
            "nump",
            "no version matches nump==9.9 for Python 3.11",
            "check the spelling of the name in requirements.txt line 3",
        )
        base = replace(base, fault=fault, phase=Phase.RESOLVE)
    return replace(base, **changes)


def bundle(name: str, version: str | None, lines: Sequence[str], requires: str = "", title: str = "") -> Bundle:
    path = Path("/srv/bundles") / name
    return Bundle(
        path=path,
        name=name,
        is_archive=False,
        manifest=Manifest(
            app_mode="python-api",
            entrypoint="app:app",
            python_version=Version(version) if version else None,
            requires=SpecifierSet(requires) if requires else None,
            package_manager="pip",
            package_file="requirements.txt",
        ),
        requirements=tuple(
            RequirementLine(
                line,
                Where(f"{path}/requirements.txt", number),
                LineKind.REQUIREMENT,
                canonicalize_name(Requirement(line).name),
                Requirement(line),
            )
            for number, line in enumerate(lines, 1)
        ),
        title=title,
    )


def match(
    version: str | None, chosen: str | None, others: Sequence[tuple[str, Verdict, str]], requires: str = ""
) -> Match:
    request = Request(Version(version) if version else None, SpecifierSet(requires) if requires else None)
    judgements = [
        Judgement(
            Candidate(
                Version(other),
                f"/opt/python/{other}/bin/python3",
                unusable=reason if verdict is Verdict.UNUSABLE else "",
            ),
            verdict,
            reason,
        )
        for other, verdict, reason in others
    ]
    winner = next((j.candidate for j in judgements if j.verdict is Verdict.CHOSEN), None)
    problem = None
    if chosen is None:
        problem = Problem(
            "no-match",
            f"no installation of Python {request} is usable",
            expected=str(request),
            found="3.8.18, 3.11.4, 3.11.7",
            hint="add one to Python.Executable, or set Python.VersionMatching = major-minor",
        )
    return Match(Rule.REQUIRES if requires else Rule.MAJOR_MINOR, request, tuple(judgements), winner, problem)


def package_plan(one: Bundle) -> PackagePlan:
    lines = []
    for line in one.requirements:
        prohibited = line.name == "pip"
        lines.append(
            PlannedLine(
                line.name,
                line.text,
                Action.PROHIBITED if prohibited else Action.INSTALL,
                "on the built-in list of prohibited packages" if prohibited else "as the bundle asks",
                line.where,
                "" if prohibited else line.text,
            )
        )
    return PackagePlan(tuple(lines))


CANDIDATES = (
    ("3.8.18", Verdict.REJECTED, "3.8 is not 3.11"),
    ("3.11.4", Verdict.PASSED_OVER, "fits, but 3.11.7 is newer"),
    ("3.11.7", Verdict.CHOSEN, "the newest usable 3.11"),
    ("3.11.9", Verdict.UNUSABLE, "fits, but cannot be used: No module named 'ensurepip'"),
    ("3.12.4", Verdict.REJECTED, "3.12 is not 3.11"),
)


def management(*, managed: bool = True) -> ManagementDecision:
    """The server decides, or with `managed` false the bundle."""
    setting = "environment.environment_management.python"
    return ManagementDecision(
        managed,
        Level.SERVER if managed else Level.BUNDLE,
        (
            LevelDecision(Level.BUNDLE, None, Standing.UNSET, f"{setting} is not set")
            if managed
            else LevelDecision(Level.BUNDLE, False, Standing.DECIDES, f"{setting} is false"),
            LevelDecision(Level.CONTENT, None, Standing.UNSET, "the content's own setting is not set"),
            LevelDecision(
                Level.SERVER,
                True,
                Standing.DECIDES if managed else Standing.OVERRIDDEN,
                "Python.EnvironmentManagement is true" if managed else "the bundle level has precedence",
            ),
        ),
    )


def content(name: str, key: str = "", **changes: Any) -> Content:
    """Content with two bundles, of which the second runs in the environment `key`."""
    bundles = tuple(
        ContentBundle(number, NOW - 86400 / number, "alice", name, key if number == 2 else "", "3.11.7", 20_000)
        for number in (1, 2)
    )
    base = Content(
        guid=f"guid-of-{name}",
        name=name,
        app_mode="python-api",
        created_at=NOW - 86400,
        created_by="alice",
        bundles=bundles,
        active=2,
        installation=PickedInstallation("3.11.7", "/opt/python/3.11.7/bin/python3"),
        managed=bool(key),
        last_used_at=NOW - 300,
    )
    return replace(base, **changes)


def foreign(name: str, **changes: Any) -> ForeignEnvironment:
    base = ForeignEnvironment(
        name=name,
        path=DATA / "python-environments/_packages_cache/pip/3.11.7" / name,
        installer="pip",
        python_version="3.11.7",
        target="Local",
        home="/opt/python/3.11.7/bin",
        state=EnvironmentState.READY,
        reason="",
        packages=(LockedPackage("flask", "3.0.0"),),
        made_at=NOW - 86400 * 5,
    )
    return replace(base, **changes)


STEPS = (
    ProvenanceStep("environment.python.requires", StepStanding.ABSENT, "", "", "the manifest has no constraint"),
    ProvenanceStep("python.version", StepStanding.DECIDES, "3.11.2", "3.11.2", "the configured rule compares it"),
    ProvenanceStep(".python-version", StepStanding.REJECTED, "pypy3.11", "", "it names an implementation of Python"),
    ProvenanceStep("pyproject.toml", StepStanding.PASSED_OVER, ">=3.10", ">=3.10", "what a client takes"),
    ProvenanceStep("manifest.json", StepStanding.WARNING, ">=3.10", ">=3.10", "write the manifest again"),
)


def entry(one: Bundle, **changes: Any) -> BundleEntry:
    """A bundle on 3.11.7 that would have to be built."""
    plan = BuildPlan(
        bundle=one,
        match=match("3.11.2", "3.11.7", CANDIDATES),
        installation=installation("3.11.7"),
        packages=package_plan(one),
        management=management(),
        key="Zk3vW8sQn1rT5yUa7bXc9d",
        ingredients={"installer": "pip"},
    )
    return BundleEntry(one.path, one.name, False, replace(plan, **changes), None)


def value(name: str, *values: str, origin: str = "default") -> EffectiveValue:
    return EffectiveValue(
        name,
        values,
        tuple(f"{origin}" for _ in values) or (origin,),
        origin == "default",
        f"What {name.partition('.')[2]} decides, in one sentence.",
        "python-posit.txt, Python Version Matching",
    )


def config(
    *problems: Problem, is_default: bool = False, changed: dict[str, tuple[str, str]] | None = None
) -> ConfigState:
    file = Path("/etc/envdeck/envdeck.gcfg")
    settings = Settings(
        python_enabled=True,
        executables=(Executable("/opt/python/3.11.7/bin/python3", f"{file}:4"),),
        version_matching=Rule.MAJOR_MINOR,
        prohibited=(),
        data_dir=DATA,
        minimum_version=Version("3.8"),
        probe_timeout=10.0,
        build_timeout=3600.0,
        bundle_dirs=(Path("/srv/bundles"),),
    )
    values = (
        value("Python.Enabled", "true"),
        value(
            "Python.Executable",
            "/opt/python/3.8.18/bin/python3",
            "/opt/python/3.11.4/bin/python3",
            "/opt/python/3.11.7/bin/python3",
            origin=f"{file}:4",
        ),
        value("Python.VersionMatching", "major-minor", origin=f"{file}:9"),
        value("Python.ProhibitedPackage"),
        value("Envdeck.DataDir", str(DATA)),
        value("Envdeck.BundleDir", "/srv/bundles", origin=f"{file}:14"),
        value("Envdeck.BuildTimeout", "3600"),
    )
    return ConfigState(
        settings, values, problems, () if is_default else (file,), is_default, NOW - 600, changed or {}, {str(file): ""}
    )


def audited(
    action: AuditAction, what: dict[str, str | int | float], ago: float, user: str = "alice", **changes: Any
) -> AuditRecord:
    """A record of what somebody did behind sudo, over SSH, `ago` seconds before now."""
    who = Actor(user, user, "root", "pts/3", "192.0.2.7", "web01", 4121)
    return AuditRecord(NOW - ago, who, AuditEvent(action, what, **changes))


AUDIT = AuditPage(
    (
        audited(AuditAction.CONFIG_LOAD, {"files": "/etc/envdeck/envdeck.gcfg"}, 7200, command="envdeck config check"),
        audited(
            AuditAction.REAP,
            {"key": "e2d9910bKq7rT5yUa7bXc9", "bundle": "old-report", "bytes": 210_000_000},
            3600,
            command="envdeck reap e2d9910bKq7rT5yUa7bXc9",
        ),
        audited(
            AuditAction.BUILD_CANCEL,
            {"bundle": "flask-old", "started by": "alice", "build": "20250615-090000-c9d0"},
            1800,
            "bob",
            command="envdeck cancel 20250615-090000-c9d0",
        ),
        audited(
            AuditAction.CONTENT_REMOVE,
            {"content": "board", "bundles": 2, "guid": "guid-of-board"},
            60,
            "bob",
            result=AuditResult.REFUSED,
            code="content-running",
            why="the content board is running. End it first",
            command="envdeck content remove guid-of-board",
        ),
    )
)


def snapshot(**changes: Any) -> Snapshot:
    """A server in everyday use."""
    flask = bundle(
        "flask-api", "3.11.2", ("flask==3.0.0", "requests[socks]>=2.31", "pip==23.0"), title="a miss: nothing built yet"
    )
    dash = bundle("dash-sales", "3.11.7", ("dash", "pandas==2.2.0"))
    plumber = bundle("etl-nightly", None, ("numpy",), requires=">=3.11,<3.12")
    legacy = bundle("legacy-report", "2.7.18", ("six",))
    ready = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales")
    near = Nearest(environment("77ab20c4Kq7rT5yUa7bXc9", "flask-old"), ("flask==3.0.0",), ("flask==2.3.3", "gunicorn"))
    no_match = match(
        "2.7.18", None, [(v, Verdict.REJECTED, f"{v.rpartition('.')[0]} is not 2.7") for v, _, _ in CANDIDATES]
    )
    running = build("20250615-115900-c3d4", "etl-nightly")
    base = Snapshot(
        generation=1,
        taken_at=NOW,
        host="web01.example.org",
        user="alice",
        config=config(),
        installations=(
            installation("3.8.18", warning="is past its end of life since 2024-10"),
            installation("3.11.4"),
            installation("3.11.7"),
            installation("3.11.9", "No module named 'ensurepip'"),
            installation("3.12.4"),
            replace(
                installation(None, "/opt/python/3.13.0/bin/python3: no such file"),
                checks=(Check("exists", CheckStatus.FAILED, "no such file", "correct the path or take the line out"),),
            ),
        ),
        environments=(
            ready,
            environment("51b0aa7eHq7rT5yUa7bXc9", "plumber-etl", size=87 * 1024 * 1024, built_at=NOW - 86400 * 3),
            environment(
                "0c77de19Jq7rT5yUa7bXc9",
                "dash-risk",
                "3.9.5",
                state=EnvironmentState.STALE,
                reason="Python 3.9.5 is not configured any more",
                built_at=NOW - 86400 * 63,
            ),
            environment(
                "77ab20c4Kq7rT5yUa7bXc9", "flask-old", state=EnvironmentState.DAMAGED, reason="pyvenv.cfg is missing"
            ),
        ),
        builds=(
            running,
            build("20250615-110000-e5f6", "dash-sales", BuildState.DONE, packages_done=12, message="published"),
            build("20250615-100000-a7b8", "broken-app", BuildState.FAILED, by="bob"),
            build("20250615-090000-c9d0", "flask-old", BuildState.CANCELLED, message="cancelled by bob"),
        ),
        bundles=(
            entry(flask, nearest=near),
            entry(dash, environment=ready, match=match("3.11.7", "3.11.7", CANDIDATES), key=ready.key),
            entry(plumber, running=running, match=match(None, "3.11.7", CANDIDATES, ">=3.11,<3.12")),
            entry(legacy, match=no_match, installation=None, key="", problem=no_match.problem),
            BundleEntry(
                Path("/srv/bundles/torn.tar.gz"),
                "torn",
                False,
                None,
                Problem(
                    "manifest-missing",
                    "the archive has no manifest.json",
                    where=Where("/srv/bundles/torn.tar.gz"),
                    hint="write one with `envdeck capture`",
                ),
            ),
        ),
        data_dir=DATA,
        audit=AUDIT,
    )
    return replace(base, **changes)


EXECUTORS = ExecutorChoice(
    "local",
    "Envdeck.Executor is auto, content runs on this machine",
    (
        Availability("local", "this machine", ("builds end with it",)),
        Availability("container", "podman version 4.3.1"),
        Availability(
            "slurm",
            problem=Problem(
                "executor-missing", "there is no sbatch here", hint="Install Slurm's client tools on this host"
            ),
        ),
        Availability("kubernetes", problem=Problem("executor-failed", "no cluster answers", found="refused")),
    ),
)


class FakeEngine(Engine):
    """Shows what it is told to show and records what it is asked to do."""

    def __init__(self, first: Snapshot | None = None) -> None:
        self.current = first or snapshot()
        self.calls: list[tuple[str, Any]] = []
        self.executed: list[Any] = []
        self.kept: dict[str, tuple[KeepReason, ...]] = {}
        self.old_attempts: dict[str, str] = {}
        self.differences: tuple[Finding, ...] = ()
        """What a verification finds."""
        self.cannot_rebuild: dict[str, tuple[Problem, ...]] = {}
        self.cannot_activate: Problem | None = None
        self.free = 10**10
        self.runs = False
        """Whether content runs."""
        self.activating = threading.Event()
        """Set when a build that comes before activating has ended."""
        self.foreigners: tuple[ForeignEnvironment, ...] = ()
        self.uv_tool = UvTool("/usr/bin/uv", "0.13.9", "$PATH")
        self.pip: tuple[tuple[PipFile, ...], tuple[PipSetting, ...]] = ((), ())
        self.steps = STEPS
        self.impact: Impact | None = None
        self.executor_choice: ExecutorChoice | Problem = EXECUTORS
        self.rings: dict[str, LogRing] = {}
        self.refuse: Problem | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._changing = threading.Lock()

    def command_line(self, plan: Any) -> str:
        return event_of(plan).command

    def publish(self, **changes: Any) -> None:
        """Make a newer snapshot, as an engine thread would."""
        with self._changing:
            self.current = replace(self.current, generation=self.current.generation + 1, **changes)
        for callback in list(self._callbacks):
            callback()

    def ring(self, build_id: str) -> LogRing:
        return self.rings.setdefault(build_id, LogRing())

    def write(self, build_id: str, *lines: str) -> None:
        self.ring(build_id).extend([LogLine(NOW, line) for line in lines])

    def start(self) -> None:
        self.calls.append(("start", None))

    def close(self) -> None:
        self.calls.append(("close", None))

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def snapshot(self) -> Snapshot:
        return self.current

    def request_refresh(self, *, force_probe: bool = False) -> None:
        self.calls.append(("refresh", force_probe))

    def open_bundle(self, reference: str) -> Bundle:
        self.calls.append(("open", reference))
        if not reference.startswith("/srv/"):
            raise InputError(Problem("bundle-missing", "there is nothing at this path", where=Where(reference)))
        one = bundle(Path(reference).name, "3.11.2", ("rich",))
        self.publish(bundles=(*self.current.bundles, entry(one)))
        return one

    def plan_build(self, bundle: Bundle) -> BuildPlan:
        self.calls.append(("plan", bundle.name))
        return next(one.plan for one in self.current.bundles if one.plan is not None and one.plan.bundle == bundle)

    def try_request(self, request: Request | None, bundle: Bundle | None = None) -> Trial:
        """3.11.x gets 3.11.7 under the major-minor rule, and only 3.11.7 does under the exact one."""
        self.calls.append(("try", (str(request), bundle and bundle.name)))
        known = next(
            (e.plan for e in self.current.bundles if e.plan and bundle and e.plan.bundle.path == bundle.path), None
        )
        request = request or (known.match.request if known else Request())
        wanted = request.version or Version("3.11.7")
        outcomes = []
        for rule in (Rule.MAJOR_MINOR, Rule.EXACT):
            fits = wanted == Version("3.11.7") if rule is Rule.EXACT else wanted.release[:2] == (3, 11)
            verdict = Verdict.CHOSEN if fits else Verdict.REJECTED
            judged = Judgement(
                Candidate(Version("3.11.7"), "/opt/python/3.11.7/bin/python3"),
                verdict,
                "exact match" if fits else f"3.11.7 is not {wanted}",
            )
            problem = None if fits else Problem("no-match", f"nothing serves Python {request}", hint="install it")
            chosen = judged.candidate if fits else None
            one = Match(Rule.REQUIRES if request.requires else rule, request, (judged,), chosen, problem)
            outcomes.append(RuleOutcome(rule, rule is Rule.MAJOR_MINOR, one, known and replace(known, match=one)))
        return Trial(request, tuple(outcomes), bundle)

    def impact_of_load(self) -> Impact | None:
        self.calls.append(("impact", None))
        return self.impact

    def impact_of(self, config: ConfigState) -> Impact:
        self.calls.append(("impact of", None))
        return self.impact or Impact(self.current.config, config, (), 1)

    def plan_cancel(self, build_id: str) -> CancelPlan:
        return CancelPlan(self.build(build_id))

    def explain_request(self, bundle: Bundle) -> tuple[ProvenanceStep, ...]:
        self.calls.append(("explain", bundle.name))
        return self.steps

    def foreign(self) -> tuple[ForeignEnvironment, ...]:
        return self.foreigners

    def uv(self) -> UvTool:
        return self.uv_tool

    def pip_files(self) -> tuple[PipFile, ...]:
        return self.pip[0]

    def pip_settings(self) -> tuple[PipSetting, ...]:
        return self.pip[1]

    def executors(self) -> ExecutorChoice:
        self.calls.append(("executors", None))
        if isinstance(self.executor_choice, Problem):
            raise Refused(self.executor_choice)
        return self.executor_choice

    def plan_activate(self, reference: str, number: int | None = None) -> ActivatePlan:
        self.calls.append(("plan-activate", (reference, number)))
        item = next(one for one in self.current.contents if one.guid == reference)
        bundle = next(one for one in item.bundles if one.number == number)
        reasons = (Reason("takes-over", f"bundle {number} takes the place of bundle {item.active}"),)
        return ActivatePlan(item, bundle, self.current.bundles[0].plan, reasons, self.runs, self.cannot_activate)

    def activate(self, plan: ActivatePlan, on_build_started: Callable[[Build], None] | None = None) -> Content:
        if plan.builds and on_build_started is not None:
            started = build("20250615-120002-ffff", plan.bundle.name, started_at=NOW - 1)
            self.publish(builds=(started, *self.current.builds))
            on_build_started(started)
            self.activating.wait(30)
        if self.refuse is not None:
            raise Refused(self.refuse)
        self.executed.append(plan)
        after = replace(plan.content, active=plan.bundle.number)
        self.publish(contents=tuple(after if one.guid == after.guid else one for one in self.current.contents))
        return after

    def resolve(self, item: Content) -> Resolution:
        self.calls.append(("resolve", item.name))
        env = next((one for one in self.current.environments if one.key == item.key), None)
        reasons = (Reason("there", "3.11.7 is still there"), Reason("environment", "its environment is there"))
        return Resolution(item, item.installation, env, None, reasons)

    def plan_reap(self, keys: Sequence[str] | None = None, *, grace: float | None = None) -> ReapPlan:
        self.calls.append(("plan-reap", keys))
        items = []
        for env in self.current.environments:
            if keys is None or env.key in keys:
                verdict = ReapVerdict(self.kept.get(env.key, ()))
                items.append(ReapItem(ReapKind.ENVIRONMENT, env.key, env.key_dir, env.size, verdict, env))
                if attempt := self.old_attempts.get(env.key):
                    path = env.key_dir / attempt
                    items.append(ReapItem(ReapKind.ATTEMPT, env.key, path, 1000, ReapVerdict(), env))
        return ReapPlan(tuple(items), keys is None, grace or 0.0, 2, NOW)

    def plan_verify(self, keys: Sequence[str] | None = None, **_options: object) -> VerifyPlan:
        self.calls.append(("plan-verify", keys))
        chosen = [env for env in self.current.environments if keys is None or env.key in keys]
        return VerifyPlan(
            tuple(Verification(e.key, e.path, self.differences, (), 9, 4096, 0.1, NOW, e) for e in chosen)
        )

    def plan_pin(self, key: str, *, note: str = "") -> PinPlan:
        env = next(one for one in self.current.environments if one.key == key)
        return PinPlan(env, Pin("alice", NOW, note), None)

    def plan_unpin(self, key: str) -> PinPlan:
        env = next(one for one in self.current.environments if one.key == key)
        return PinPlan(env, None, Pin("alice", NOW, ""))

    def plan_rebuild(self, keys: Sequence[str]) -> RebuildPlan:
        self.calls.append(("plan-rebuild", keys))
        chosen = [env for env in self.current.environments if env.key in keys]
        return RebuildPlan(
            tuple(PlannedRebuild(env, None, None, self.cannot_rebuild.get(env.key, ())) for env in chosen)
        )

    def forecast_rebuild(self, plan: RebuildPlan) -> RebuildForecast:
        self.calls.append(("forecast", plan.fresh))
        supply = Forecast(0, 12, reason="everything is fetched anew") if plan.fresh else Forecast(12, 12, replayed=True)
        return RebuildForecast(
            tuple(
                ItemForecast(
                    item.environment.key, supply, 40.0 if plan.fresh else 2.0, "one build of similar size",
                    item.environment.size if plan.fresh else item.environment.own, item.environment.own,
                )
                for item in plan.items
                if not item.problems
            ),
            at_once=2,
            free=self.free,
        )  # fmt: skip

    def execute(self, plan: Any) -> Any:  # type: ignore[override]  # one answer for every kind of plan
        if self.refuse is not None:
            raise Refused(self.refuse)
        self.executed.append(plan)
        environments = self.current.environments
        match plan:
            case CancelPlan():
                return Outcome(build=plan.build)
            case ReapPlan():
                gone = {item.path for item in plan.reapable}
                self.publish(environments=tuple(env for env in environments if env.key_dir not in gone))
                return ReapResult(plan.reapable, (), ())
            case PinPlan():
                changed = replace(plan.environment, pinned=plan.pin is not None)
                self.publish(environments=tuple(changed if e.key == changed.key else e for e in environments))
                return changed
            case VerifyPlan():
                return VerifyResult(tuple(v.name for v in plan.damaged), (), ())
            case RebuildPlan():
                jobs = tuple(
                    build(f"20250615-12000{i}-ffff", item.environment.bundle) for i, item in enumerate(plan.items)
                )
                self.publish(builds=(*jobs, *self.current.builds))
                return jobs
        started = build("20250615-120001-ffff", plan.bundle.name, started_at=NOW - 1, packages_done=0, packages_total=0)
        self.publish(builds=(started, *self.current.builds))
        self.write(started.id, "Collecting flask==3.0.0", "Downloading flask-3.0.0-py3-none-any.whl")
        return Outcome(build=started)

    def build(self, build_id: str) -> Build:
        return next(one for one in self.current.builds if one.id == build_id)

    def read_log(self, build_id: str) -> Iterator[LogLine]:
        return iter(self.ring(build_id).since(0)[0])

    def plan_retry(self, build_id: str) -> BuildPlan | RebuildPlan:
        self.calls.append(("plan-retry", build_id))
        one = self.build(build_id)
        if one.replaces:
            return self.plan_rebuild([one.key])
        found = [entry.plan for entry in self.current.bundles if entry.name == one.bundle and entry.plan is not None]
        if not found:
            raise Refused(Problem("retry-no-bundle", f"nothing says where the bundle {one.bundle} of this build is"))
        return found[0]

    def follow(self, build_id: str) -> LogRing:
        return self.ring(build_id)
