"""The JSON documents about what is wrong on disk: verification and the doctor. Promises as in `json_output`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.units import iso, number

if TYPE_CHECKING:
    from app.cli.json_output import Document
    from engine import Diagnosis, RepairResult, RepairStep, Verification, VerifyPlan, VerifyResult

__all__ = ["diagnosis", "verification", "verified"]


def verification(item: Verification) -> Document:
    """What verifying one environment came to."""
    return {
        "key": item.name,
        "foreign": item.environment is None,
        "path": str(item.path),
        "ok": item.ok,
        "findings": [finding.to_json() for finding in item.findings],
        "notes": list(item.notes),
        "files": item.files,
        "bytes": item.bytes,
        "seconds": number(item.seconds),
        "verified_at": iso(item.verified_at),
    }


def verified(plan: VerifyPlan, result: VerifyResult | None, not_marked: str) -> Document:
    """What verifying came to, and what was marked; without `result` nothing was, because of `not_marked`."""
    return {
        "ok": not plan.damaged,
        "environments": [verification(item) for item in plan.verifications],
        "gone": list(plan.gone),
        "to_mark": [item.name for item in plan.to_mark],
        "to_clear": [item.name for item in plan.to_clear],
        "not_marked": not_marked or None,
        "result": result
        and {
            "marked": list(result.marked),
            "cleared": list(result.cleared),
            "failed": [{"key": key, "error": problem.to_json()} for key, problem in result.failed],
        },
    }


def diagnosis(item: Diagnosis, result: RepairResult | None = None, after: Diagnosis | None = None) -> Document:
    """What was examined, what could be repaired, and what came of it; `after` is what is still to be said then."""
    return {
        "ok": (after or item).ok,
        "data_dir": str(item.data_dir),
        "examined_at": iso(item.examined_at),
        "checks": [
            {
                "code": check.code,
                "health": check.health.value,
                "finding": check.finding,
                "why": check.why,
                "remedy": check.remedy,
                "details": list(check.details),
            }
            for check in item.checks
        ],
        "repairs": [_step(step) for step in item.repairs.steps],
        "bytes": item.repairs.bytes,
        "result": result
        and {
            "done": [_step(step) for step in result.done],
            "refused": [_step(step) for step in result.refused],
            "failed": [{**_step(step), "error": problem.to_json()} for step, problem in result.failed],
            "bytes": result.bytes,
        },
        "left": [check.code for check in (after or item).checks if not check.health.fine],
    }


def _step(step: RepairStep) -> Document:
    return {
        "kind": step.kind.value,
        "path": str(step.path),
        "why": step.why,
        "bytes": step.bytes,
        "feasible": step.feasible,
        "refusals": list(step.refusals),
    }
