"""The JSON documents of the command line: pure functions from engine values to plain JSON values.

Field names are promises to scripts: fields may be added, never renamed or removed. Times are ISO 8601 UTC strings,
durations seconds, sizes bytes, and a value that is not known is null.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli.units import iso, number
from engine import (
    BuildState,
    Usability,
    lifespan_of,
)

if TYPE_CHECKING:
    from engine import (
        Build,
        BuildPlan,
        BundleEntry,
        Candidate,
        Environment,
        Expectation,
        Fault,
        Forecast,
        Installation,
        InstallerChoice,
        InterpreterFacts,
        LogLine,
        ManagementDecision,
        Match,
        Nearest,
        Pin,
        PlannedLine,
        Problem,
        ProvenanceStep,
        Rule,
        TargetMatch,
        Trial,
    )

__all__ = [
    "Document",
    "build",
    "built",
    "bundle",
    "cancelled",
    "environment",
    "error",
    "installation",
    "log",
    "management",
    "match",
    "pin",
    "plan",
    "problem",
    "provenance",
    "trial",
]

Document = dict[str, object]


def error(item: Problem) -> Document:
    """What is printed in place of an answer when the input cannot be used."""
    return {"error": item.to_json()}


def problem(item: Problem | None) -> Document | None:
    """A problem, or null."""
    return item.to_json() if item else None


def installation(item: Installation, now: float | None = None) -> Document:
    """One installation; `now` is when its lifespan is asked for, by default the present."""
    decisive = item.decisive
    life = lifespan_of(item, time.time() if now is None else now)
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
        "security_fixes": {
            "state": life.state.value,
            "until": life.ends.isoformat() if life.ends else None,
            "reason": life.reason,
        },
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
        "virtualenv": facts.virtualenv,
        "sys_path": list(facts.sys_path),
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
        "error": problem(decision.problem),
    }


def trial(item: Trial, rule: Rule | None = None) -> Document:
    """The match by `rule` (None: the configured one), and what each rule makes of the request."""
    return {
        **match(item.outcome(rule).match),
        "rules": [
            {
                "rule": one.rule.value,
                "in_force": one.in_force,
                "chosen": _candidate(one.match.chosen) if one.match.chosen else None,
                "reason": one.match.reason,
                "key": one.plan.key if one.plan else None,
                "hit": one.plan.hit if one.plan else None,
            }
            for one in item.outcomes
        ],
    }


def _line(line: PlannedLine) -> Document:
    # Not `effective`: it may hold a password.
    return {
        "name": line.name,
        "requirement": line.requirement,
        "action": line.action.value,
        "reason": line.reason,
        "where": str(line.where),
        "notes": list(line.notes),
        "mutable": line.mutable,
    }


def management(decision: ManagementDecision) -> Document:
    """Whether there is an environment at all, and what each level says."""
    return {
        "managed": decision.managed,
        "level": decision.level.value,
        "reason": decision.reason,
        "levels": [
            {
                "level": level.level.value,
                "value": level.value,
                "standing": level.standing.value,
                "reason": level.reason,
            }
            for level in decision.levels
        ],
    }


def provenance(steps: Sequence[ProvenanceStep]) -> list[Document]:
    """Where a version request comes from."""
    return [
        {
            "source": step.source,
            "standing": step.standing.value,
            "raw": step.raw,
            "constraint": step.constraint,
            "reason": step.reason,
        }
        for step in steps
    ]


def _target_match(found: TargetMatch) -> Document:
    return {
        "basis": found.basis.value,
        "environment": found.environment.name if found.environment else None,
        "reason": found.reason,
        "environments": [
            {
                "image": judged.environment.name,
                "title": judged.environment.title,
                "verdict": judged.verdict.value,
                "reason": judged.reason,
                "installations": [
                    {**_candidate(j.candidate), "verdict": j.verdict.value, "reason": j.reason}
                    for j in judged.installations
                ],
            }
            for judged in found.judgements
        ],
        "error": problem(found.problem),
    }


def _nearest(nearest: Nearest) -> Document:
    return {
        "key": nearest.environment.key,
        "path": str(nearest.environment.path),
        "only_here": list(nearest.only_here),
        "only_there": list(nearest.only_there),
        "other_ingredients": list(nearest.other_ingredients),
        "changes": [
            {"name": change.name, "there": change.one or None, "here": change.other or None}
            for change in nearest.changes
        ],
    }


def _installer(choice: InstallerChoice | None) -> Document | None:
    """What would install the packages, and why; null when nothing would."""
    if choice is None:
        return None
    return {
        "name": choice.name,
        "reason": choice.reason,
        "uv_wanted": choice.wanted,
        "obstacles": list(choice.obstacles),
    }


def _supply(found: Forecast | None) -> Document | None:
    """What would come from the wheel store; null when nothing is to be built."""
    if found is None:
        return None
    return {
        "stored": found.stored,
        "total": found.total,
        "replayed": found.replayed,
        "reason": found.reason or found.unusable,
    }


def plan(item: BuildPlan, steps: Sequence[ProvenanceStep] = ()) -> Document:
    """A plan; `steps` are where its version request comes from."""
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
        "unusable": {
            "path": str(item.unusable.path),
            "state": item.unusable.state.value,
            "reason": item.unusable.reason,
        }
        if item.unusable
        else None,
        "nearest": _nearest(item.nearest) if item.nearest else None,
        "running": item.running.id if item.running else None,
        "ingredients": dict(item.ingredients),
        "installer": _installer(item.installer),
        "supply": _supply(item.supply),
        "management": management(item.management),
        "provenance": provenance(steps),
        "target_match": _target_match(item.target_match) if item.target_match else None,
        "error": problem(item.problem),
    }


def bundle(entry: BundleEntry) -> Document:
    refused = entry.problem or (entry.plan.problem if entry.plan else None)
    return {
        "name": entry.name,
        "path": str(entry.path),
        "sample": entry.is_sample,
        "title": entry.plan.bundle.title if entry.plan else "",
        "key": entry.plan.key if entry.plan else "",
        "hit": entry.plan.hit if entry.plan else False,
        "error": problem(refused),
    }


def environment(item: Environment, used_by: Sequence[str] = (), pinned: Pin | None = None) -> Document:
    """One environment; `used_by` are the contents that use it."""
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
        "shared": item.shared,
        "files": item.files,
        "built_at": iso(item.built_at or None),
        "built_by": item.built_by,
        "seconds": number(item.seconds),
        "bundle": item.bundle,
        "ingredients": dict(item.ingredients),
        "used_by": list(used_by),
        "last_used_at": iso(item.last_used_at or None),
        "pinned": pin(pinned),
    }


def pin(item: Pin | None) -> Document | None:
    """Who pinned an environment, when and why; null when nobody did."""
    return {"by": item.by, "at": iso(item.at or None), "note": item.note} if item else None


def _fault(fault: Fault | None) -> Document | None:
    if fault is None:
        return None
    return {
        "phase": fault.phase.value,
        "package": fault.package,
        "message": fault.message,
        "advice": fault.advice,
    }


def _expected(item: Expectation | None) -> Document | None:
    """How long earlier builds took, and which those are."""
    if item is None:
        return None
    return {"seconds": number(item.total), "packages": item.packages, "basis": item.basis}


def build(item: Build, now: float) -> Document:
    return {
        "id": item.id,
        "key": item.key,
        "state": item.state.value,
        "phase": item.phase.value,
        "bundle": item.bundle,
        "content": item.content or None,
        "python_version": item.python_version,
        "python_path": item.python_path,
        "by": item.by,
        "executor": item.executor,
        "image": item.image,
        "host": item.host,
        "submitted_at": iso(item.submitted_at),
        "started_at": iso(item.started_at),
        "finished_at": iso(item.finished_at),
        "seconds": number(item.seconds(now)),
        "packages_done": item.packages_done,
        "packages_total": item.packages_total,
        "packages_supplied": item.packages_supplied,
        "bytes_done": item.bytes_done,
        "bytes_total": item.bytes_total,
        "phases": {phase.value: number(seconds) for phase, seconds in item.phase_seconds(now).items()},
        "seconds_left": number(item.left(now)),
        "fraction": number(item.fraction(now)),
        "expected": _expected(item.expected),
        "installer": item.installer,
        "message": item.message,
        "fault": _fault(item.fault),
        "reused": item.reused,
        "place": item.place,
        "log": str(item.log),
    }


def built(
    item: BuildPlan,
    now: float,
    *,
    build: Build | None = None,
    environment: Environment | None = None,
    refused: Problem | None = None,
) -> Document:
    """The outcome of `build`: a plan that was a hit, led to a build, or was `refused`."""
    if refused:
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
        "error": problem(refused),
    }


def cancelled(after: Build, now: float, refused: Problem | None = None) -> Document:
    """The outcome of `cancel`: the build as it is now, and why it was not cancelled if so."""
    return {**build(after, now), "cancelled": after.state is BuildState.CANCELLED, "error": problem(refused)}


def log(item: Build, lines: Sequence[LogLine], now: float) -> Document:
    return {**build(item, now), "lines": [{"at": iso(line.at or None), "text": line.text} for line in lines]}
