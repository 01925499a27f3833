"""The JSON documents of the command line: pure functions from engine values to plain JSON values.

Field names are promises to scripts: fields may be added, never renamed or removed. Times are ISO 8601 UTC strings,
durations seconds, sizes bytes, and a value that is not known is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.cli.units import iso, number
from engine import (
    Build,
    BuildPlan,
    BuildState,
    BundleEntry,
    Candidate,
    ConfigState,
    EffectiveValue,
    Environment,
    Fault,
    Installation,
    InterpreterFacts,
    LogLine,
    Match,
    Nearest,
    PlannedLine,
    Problem,
    Severity,
    Usability,
)

__all__ = [
    "build",
    "built",
    "bundle",
    "cancelled",
    "config_check",
    "config_show",
    "environment",
    "error",
    "installation",
    "log",
    "match",
    "plan",
]

Document = dict[str, object]


def error(problem: Problem) -> Document:
    """What is printed in place of an answer when the input cannot be used."""
    return {"error": problem.to_json()}


def _problem(problem: Problem | None) -> Document | None:
    return problem.to_json() if problem else None


def installation(item: Installation) -> Document:
    decisive = item.decisive
    return {
        "version": str(item.version) if item.version else None,
        "path": item.declared,
        "executable": item.executable,
        "origin": item.origin,
        "target": item.target,
        "usable": item.usability is Usability.USABLE,
        "state": item.usability.value,
        "reason": item.reason,
        "remedy": decisive.remedy if decisive else "",
        "checks": [
            {"code": c.code, "status": c.status.value, "finding": c.finding, "remedy": c.remedy} for c in item.checks
        ],
        "facts": _facts(item.facts) if item.facts else None,
        "seconds": number(item.seconds),
    }


def _facts(facts: InterpreterFacts) -> Document:
    return {
        "version": str(facts.version),
        "implementation": facts.implementation,
        "executable": facts.executable,
        "prefix": facts.prefix,
        "base_prefix": facts.base_prefix,
        "soabi": facts.soabi,
        "platform": facts.platform,
        "machine": facts.machine,
        "pointer_bits": facts.pointer_bits,
        "libc": facts.libc,
        "pip": facts.pip,
        "purelib": facts.purelib,
        "missing": dict(facts.missing),
        "externally_managed": facts.externally_managed,
        "debug": facts.debug,
        "free_threaded": facts.free_threaded,
        "is_venv": facts.is_venv,
    }


def _candidate(candidate: Candidate) -> Document:
    return {
        "version": str(candidate.version) if candidate.version else None,
        "path": candidate.path,
        "target": candidate.target,
    }


def match(decision: Match) -> Document:
    request = decision.request
    return {
        "rule": decision.rule.value,
        "request": {
            "version": str(request.version) if request.version else None,
            "requires": str(request.requires) if request.requires is not None else None,
        },
        "chosen": _candidate(decision.chosen) if decision.chosen else None,
        "reason": decision.problem.message if decision.problem else decision.reason,
        "candidates": [
            {**_candidate(j.candidate), "verdict": j.verdict.value, "reason": j.reason} for j in decision.judgements
        ],
        "error": _problem(decision.problem),
    }


def _line(line: PlannedLine) -> Document:
    # Not `effective`: it may hold a password.
    return {
        "name": line.name,
        "requirement": line.requirement,
        "action": line.action.value,
        "reason": line.reason,
        "where": str(line.where),
    }


def _nearest(nearest: Nearest) -> Document:
    return {
        "key": nearest.environment.key,
        "path": str(nearest.environment.path),
        "only_here": list(nearest.only_here),
        "only_there": list(nearest.only_there),
        "other_ingredients": list(nearest.other_ingredients),
    }


def plan(item: BuildPlan) -> Document:
    return {
        "bundle": item.bundle.name,
        "bundle_path": str(item.bundle.path),
        "key": item.key,
        "hit": item.hit,
        "match": match(item.match),
        "installation": installation(item.installation) if item.installation else None,
        "packages": [_line(line) for line in item.packages.lines],
        "needs_source": item.packages.needs_source,
        "lines": list(item.lines),
        "environment": str(item.environment.path) if item.environment else None,
        "nearest": _nearest(item.nearest) if item.nearest else None,
        "running": item.running.id if item.running else None,
        "ingredients": dict(item.ingredients),
        "error": _problem(item.problem),
    }


def bundle(entry: BundleEntry) -> Document:
    problem = entry.problem or (entry.plan.problem if entry.plan else None)
    return {
        "name": entry.name,
        "path": str(entry.path),
        "sample": entry.is_sample,
        "title": entry.plan.bundle.title if entry.plan else "",
        "key": entry.plan.key if entry.plan else "",
        "hit": entry.plan.hit if entry.plan else False,
        "error": _problem(problem),
    }


def environment(item: Environment) -> Document:
    return {
        "key": item.key,
        "attempt": item.attempt,
        "path": str(item.path),
        "state": item.state.value,
        "reason": item.reason,
        "installer": item.installer,
        "python_version": item.python_version,
        "python_path": item.python_path,
        "target": item.target,
        "lines": list(item.lines),
        "packages": [{"name": p.name, "version": p.version} for p in item.packages],
        "size": item.size,
        "files": item.files,
        "built_at": iso(item.built_at),
        "built_by": item.built_by,
        "seconds": number(item.seconds),
        "bundle": item.bundle,
        "ingredients": dict(item.ingredients),
    }


def _fault(fault: Fault | None) -> Document | None:
    if fault is None:
        return None
    return {
        "phase": fault.phase.value,
        "package": fault.package,
        "message": fault.message,
        "advice": fault.advice,
    }


def build(item: Build, now: float) -> Document:
    return {
        "id": item.id,
        "key": item.key,
        "state": item.state.value,
        "phase": item.phase.value,
        "bundle": item.bundle,
        "python_version": item.python_version,
        "python_path": item.python_path,
        "by": item.by,
        "submitted_at": iso(item.submitted_at),
        "started_at": iso(item.started_at),
        "finished_at": iso(item.finished_at),
        "seconds": number(item.seconds(now)),
        "packages_done": item.packages_done,
        "packages_total": item.packages_total,
        "message": item.message,
        "fault": _fault(item.fault),
        "reused": item.reused,
        "log": str(item.log),
    }


def built(
    item: BuildPlan,
    now: float,
    *,
    build: Build | None = None,
    environment: Environment | None = None,
    problem: Problem | None = None,
) -> Document:
    """The outcome of `build`: a plan that was a hit, led to a build, or was refused for `problem`."""
    if problem:
        status = "refused"
    elif build is None:
        status = "done"
    else:
        status = build.state.value if build.state.final else "running"
    return {
        "key": item.key,
        "path": str(environment.path) if environment else None,
        "reused": environment is not None and (build is None or build.reused),
        "seconds": number(build.seconds(now)) if build else 0.0,
        "status": status,
        "build": build.id if build else None,
        "fault": _fault(build.fault) if build else None,
        "log": str(build.log) if build else None,
        "match": match(item.match),
        "error": _problem(problem),
    }


def cancelled(after: Build, now: float, problem: Problem | None = None) -> Document:
    """The outcome of `cancel`: the build as it is now, and why it was not cancelled if so."""
    return {**build(after, now), "cancelled": after.state is BuildState.CANCELLED, "error": _problem(problem)}


def log(item: Build, lines: Sequence[LogLine], now: float) -> Document:
    return {**build(item, now), "lines": [{"at": iso(line.at or None), "text": line.text} for line in lines]}


def _config_source(state: ConfigState) -> Document:
    return {
        "is_default": state.is_default,
        "files": [str(path) for path in state.files],
        "loaded_at": iso(state.loaded_at),
    }


def config_check(state: ConfigState) -> Document:
    return {
        **_config_source(state),
        "ok": not state.errors,
        "errors": len(state.errors),
        "warnings": sum(p.severity is Severity.WARNING for p in state.problems),
        "problems": [p.to_json() for p in state.problems],
    }


def config_show(state: ConfigState, values: Sequence[EffectiveValue]) -> Document:
    return {
        **_config_source(state),
        "values": [_value(value) for value in values],
        "problems": [p.to_json() for p in state.problems],
    }


def _value(value: EffectiveValue) -> Mapping[str, object]:
    return {
        "name": value.name,
        "values": list(value.values),
        "origins": list(value.origins),
        "is_default": value.is_default,
        "meaning": value.meaning,
        "document": value.document,
    }
