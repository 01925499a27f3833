"""What besides the settings decides how builds come out: execution environments, pip's own configuration, and uv."""

from __future__ import annotations

from app.tui.document import Document, Line
from app.tui.text import count, safe
from engine import Declarations, ExecutionEnvironment, PipFile, PipSetting, Problem, Severity, UvTool

__all__ = ["PipConfig", "surroundings"]

PipConfig = tuple[tuple[PipFile, ...], tuple[PipSetting, ...]]
"""The files that pip looks for, and the options in force."""


def surroundings(declared: Declarations, pip: PipConfig | Problem | None, uv: UvTool | None = None) -> list[Line]:
    """All of it, with what is wrong in it; `pip` is None while it is read, `uv` until somebody has looked for it."""
    document = Document()
    _targets(document, declared)
    _pip(document, pip)
    if uv is not None:
        _uv(document, uv)
    return document.lines


def _uv(document: Document, uv: UvTool) -> None:
    if uv.problem is None:
        document.remark("uv", f"{uv.version} at {uv.path}, named by {uv.origin}: installs where a bundle allows it")
        return
    found = f", found {uv.problem.found}" if uv.problem.found else ""
    document.remark("uv", f"cannot be used, so that pip installs everything: {uv.problem.message}{found}")


def _targets(document: Document, declared: Declarations) -> None:
    if not declared.off_host:
        document.remark("Content", "runs on this machine: no execution environments are declared")
        return
    environments, files = declared.environments, declared.files
    what = f"{count(len(environments), 'environment')} in {count(len(files), 'file')}: content runs off-host"
    document.heading("Execution environments", what)
    for problem in sorted(declared.problems, key=lambda problem: problem.severity is not Severity.ERROR):
        document.problem(problem)
    document.table(
        [(safe(one.label, "bold"), safe(one.matching.value), _interpreters(one)) for one in environments],
        notes=[[safe(f"{one.name}  {one.where}" if one.title else one.where, "dim")] for one in environments],
    )
    if not environments:
        document.add("  ", safe("none could be understood, so that no content can run", "bold red"), hang=4)


def _interpreters(one: ExecutionEnvironment) -> str:
    python = ", ".join(str(python.version) for python in one.python)
    others = [f"{name} {', '.join(map(str, versions))}" for name, versions in one.runtimes.items() if versions]
    return "; ".join([f"Python {python}" if python else "no Python", *others])


def _pip(document: Document, pip: PipConfig | Problem | None) -> None:
    if pip is None:
        document.remark("pip", safe("reading its configuration...", "dim"))
        return
    if isinstance(pip, Problem):
        document.problem(pip)
        return
    files, settings = pip
    there = [file for file in files if file.exists]
    problems = [file.problem for file in files if file.problem is not None]
    if not there and not settings and not problems:
        document.remark("pip", f"has none of its {count(len(files), 'configuration file')}")
        return
    document.heading("pip", "in force for builds; * is part of the key")
    for problem in problems:
        document.problem(problem)
    document.table(
        [
            (safe("*" if one.in_key else " "), safe(one.name), safe(one.value, "bold"), safe(one.origin, "dim"))
            for one in settings
        ]
    )
    if not settings:
        document.add("  ", safe("its files set nothing for installing", "dim"), hang=4)
    for file in files:
        mark = safe("✓ read  ", "green") if file.exists and file.problem is None else safe("- absent", "dim")
        if file.problem is not None:
            mark = safe("! problem", "yellow")
        document.add("  ", mark, "  ", safe(file.path, "" if file.exists else "dim"), hang=4)
