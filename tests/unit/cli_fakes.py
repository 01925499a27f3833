"""Engine values and a scripted engine for the tests of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import (
    Action,
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
    EffectiveValue,
    Engine,
    Environment,
    EnvironmentState,
    Fault,
    InputError,
    Installation,
    InterpreterFacts,
    Judgement,
    LockedPackage,
    LogLine,
    LogRing,
    Manifest,
    Match,
    Outcome,
    PackagePlan,
    Phase,
    PlannedLine,
    Problem,
    Request,
    Rule,
    Settings,
    Snapshot,
    Usability,
    Verdict,
    Where,
)

KEY = "k" * 22
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
        KEY, ID, Path("/data") / KEY / ID, "pip", "3.11.9", "/opt/python/3.11.9/bin/python3", "Local", state, reason,
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
        bundle(), match(chosen=chosen), installation() if chosen else None, PackagePlan(lines), KEY if chosen else "",
        {"format": 1}, lines=("flask==3.0",), environment=environment() if hit else None, problem=problem,
    )  # fmt: skip


def config(*problems: Problem, default: bool = False) -> ConfigState:
    settings = Settings(True, (), Rule.MAJOR_MINOR, (), Path("/data"), Version("3.8"), 10, 600, ())
    values = (
        EffectiveValue("Python.Enabled", ("true",), ("default",), True, "Python content", "python-posit.txt"),
        EffectiveValue("Server.DataDir", ("/data",), ("/etc/envdeck.gcfg:2",), False, "Where", "envdeck"),
        EffectiveValue("Envdeck.BundleDir", (), ("default",), True, "Bundles", "envdeck"),
    )
    files = () if default else (Path("/etc/envdeck.gcfg"),)
    return ConfigState(settings, values, problems, files, default, AT, {}, {})


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
    execute_error: Exception | None = None
    on_follow: Callable[[], None] = lambda: None
    asked: list[object] = field(default_factory=list)
    closed: bool = False

    def make(self, config_files: Sequence[Path] = (), environ: object = None, *, read_only: bool = False) -> Engine:
        self.asked.append(("make", list(config_files), read_only))
        return cast(Engine, self)

    def close(self) -> None:
        self.closed = True

    def snapshot(self) -> Snapshot:
        entry = BundleEntry(Path("/samples/flask"), "flask", True, self.planned, None)
        broken = BundleEntry(Path("/srv/x"), "x", False, None, Problem("manifest-missing", "no manifest.json"))
        return Snapshot(
            1, AT, "host", "anna", self.configuration, self.installations(),
            (environment(),), (self.ended,), (entry, broken), Path("/data"),
        )  # fmt: skip

    def refresh(self, *, force_probe: bool = False) -> Snapshot:
        return self.snapshot()

    def installations(self, *, force_probe: bool = False) -> tuple[Installation, ...]:
        self.asked.append(("installations", force_probe))
        return (installation(), installation("3.9.5", broken="it exits with 1"))

    def open_bundle(self, reference: str) -> Bundle:
        self.asked.append(("open", reference))
        if reference == "missing":
            raise InputError(Problem("bundle-missing", "there is no such bundle", where=Where("missing", 3, 7)))
        return bundle()

    def match(self, version: Version | None, requires: SpecifierSet | None, rule: Rule | None) -> Match:
        self.asked.append(("match", version and str(version), requires and str(requires), rule))
        return self.decision

    def plan_build(self, bundle: Bundle) -> BuildPlan:
        return self.planned

    def plan_cancel(self, build_id: str) -> CancelPlan:
        return CancelPlan(self.build(build_id), self.cancel_problem)

    def execute(self, plan: object) -> Outcome:
        self.asked.append(("execute", type(plan).__name__))
        if self.execute_error:
            raise self.execute_error
        return self.outcome

    def build(self, build_id: str) -> Build:
        if build_id == "nonsense":
            raise InputError(Problem("build-unknown", "there is no such build", found=build_id))
        return self.outcome.build or self.ended

    def wait(self, build_id: str, timeout: float | None = None) -> Build:
        return self.ended

    def follow(self, build_id: str) -> LogRing:
        self.on_follow()
        ring = LogRing()
        ring.extend(self.lines)
        ring.finish()
        return ring

    def default_config(self) -> str:
        return "; the default\n[Python]\n"


def building(ended: Build) -> FakeEngine:
    """An engine on which a build starts and ends as `ended`."""
    started = replace(ended, state=BuildState.RUNNING, finished_at=None, fault=None)
    return FakeEngine(outcome=Outcome(build=started), ended=ended)
