"""Values such as an engine gives out, made up of the model's own dataclasses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import (
    Action,
    Actor,
    AuditAction,
    AuditEvent,
    AuditRecord,
    Build,
    BuildPlan,
    BuildState,
    Bundle,
    BundleEntry,
    Candidate,
    Check,
    CheckStatus,
    ConfigState,
    Content,
    ContentBundle,
    EffectiveValue,
    Environment,
    EnvironmentState,
    Executable,
    Fault,
    ForeignEnvironment,
    Installation,
    InterpreterFacts,
    Judgement,
    Level,
    LevelDecision,
    LineKind,
    LockedPackage,
    ManagementDecision,
    Manifest,
    Match,
    PackagePlan,
    Phase,
    PickedInstallation,
    PlannedLine,
    Problem,
    Request,
    RequirementLine,
    Rule,
    Settings,
    Standing,
    Usability,
    Verdict,
    Where,
)
from tests.records import replace

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
