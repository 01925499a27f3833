"""The JSON documents about the cache: reaping, pins, runtime caches, rebuilds. Promises as in `json_output`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli import json_output
from app.cli.json_output import problem
from app.cli.units import iso, number

if TYPE_CHECKING:
    from app.cli.json_output import Document
    from engine import (
        Build,
        BulkPlan,
        BulkResult,
        CachePlan,
        Change,
        Difference,
        Environment,
        ForeignEnvironment,
        LastVerification,
        Pin,
        PinPlan,
        ReapItem,
        ReapPlan,
        ReapResult,
        RebuildForecast,
        RebuildItem,
        RebuildList,
        RebuildPlan,
        RuntimeCache,
        Users,
    )

__all__ = [
    "bulk",
    "cache",
    "deleted",
    "difference",
    "environment",
    "foreign",
    "pinned",
    "reap",
    "rebuild",
    "rebuild_list",
]


def environment(
    item: Environment,
    used_by: Sequence[str],
    pin: Pin | None,
    users: Users,
    builds: Sequence[Build] = (),
    verification: LastVerification | None = None,
    now: float = 0.0,
) -> Document:
    """One environment with the processes that use it, the `builds` of its key, and its last verification."""
    return {
        **json_output.environment(item, used_by, pin),
        "processes": [
            {"pid": use.pid, "user": use.user, "command": use.command, "how": list(use.how)}
            for use in users.by_path.get(item.key_dir, ())
        ],
        "unreadable_processes": users.unreadable,
        "builds": [json_output.build(build, now) for build in builds],
        "verification": {
            "at": iso(verification.at or None),
            "by": verification.by,
            "ok": verification.ok,
            "count": verification.count,
            "findings": list(verification.findings),
        }
        if verification
        else None,
    }


def difference(found: Difference) -> Document:
    """How two environments differ."""
    return {
        "one": found.one.key,
        "other": found.other.key,
        "same": found.none,
        "packages": [_change(change) for change in found.packages],
        "same_packages": found.same_packages,
        "only_one": list(found.only_one),
        "only_other": list(found.only_other),
        "ingredients": [_change(change) for change in found.ingredients],
    }


def _change(change: Change) -> Document:
    return {"name": change.name, "one": change.one or None, "other": change.other or None}


def foreign(item: ForeignEnvironment) -> Document:
    """One environment of the server itself."""
    return {
        "name": item.name,
        "path": str(item.path),
        "installer": item.installer,
        "python_version": item.python_version,
        "target": item.target,
        "home": item.home,
        "state": item.state.value,
        "reason": item.reason,
        "packages": [{"name": p.name, "version": p.version} for p in item.packages],
        "made_at": iso(item.made_at),
    }


def pinned(plan: PinPlan, after: Environment | None, pin: Pin | None) -> Document:
    """The outcome of `pin` and `unpin`; without `after` nothing was done."""
    return {
        "key": plan.environment.key,
        "done": after is not None,
        "pinned": json_output.pin(pin),
        "error": problem(plan.problem),
    }


def _item(item: ReapItem) -> Document:
    return {
        "kind": item.kind.value,
        "key": item.key,
        "package": item.package,
        "path": str(item.path),
        "bytes": item.bytes,
        "reapable": item.verdict.reapable,
        "reasons": [
            {"code": reason.code.value, "message": reason.message, "names": list(reason.names)}
            for reason in item.verdict.reasons
        ],
        "used_by": list(item.used_by),
    }


def _result(result: ReapResult | None) -> Document | None:
    if result is None:
        return None
    return {
        "removed": [_item(item) for item in result.removed],
        "refused": [_item(item) for item in result.refused],
        "failed": [{**_item(item), "error": found.to_json()} for item, found in result.failed],
        "bytes": result.bytes,
    }


def reap(plan: ReapPlan | None, result: ReapResult | None = None) -> Document:
    """The plan of a reaping and what came of it. Without a plan it was not due."""
    if plan is None:
        return {"due": False, "items": [], "reapable": 0, "kept": 0, "bytes": 0, "result": None, "error": None}
    return {
        "due": True,
        "complete": plan.complete,
        "grace": number(plan.grace),
        "planned_at": iso(plan.planned_at),
        "unreadable_processes": plan.unreadable,
        "items": [_item(item) for item in plan.items],
        "reapable": len(plan.reapable),
        "kept": len(plan.kept),
        "bytes": plan.bytes,
        "result": _result(result),
        "error": problem(plan.problem),
    }


def cache(item: RuntimeCache) -> Document:
    """One runtime cache."""
    return {
        "language": item.language,
        "version": item.version,
        "image_name": item.image_name,
        "environments": item.environments,
        "bytes": item.bytes,
        "foreign": item.foreign,
    }


def deleted(plan: CachePlan, result: ReapResult | None = None) -> Document:
    """The plan of deleting a runtime cache and what came of it."""
    return {
        "cache": cache(plan.cache),
        "unreadable_processes": plan.unreadable,
        "items": [_item(item) for item in plan.items],
        "deletable": len(plan.deletable),
        "kept": len(plan.kept),
        "bytes": plan.bytes,
        "contents": list(plan.contents),
        "rebuild_seconds": number(plan.rebuild_seconds),
        "result": _result(result),
        "error": problem(plan.problem),
    }


def rebuild(
    plan: RebuildPlan, builds: Sequence[Build] | None, now: float, forecast: RebuildForecast | None = None
) -> Document:
    """The plan of rebuilds, and the builds that came of it; null when none was started."""
    return {
        "items": [
            {
                "key": item.environment.key,
                "attempt": item.environment.attempt,
                "installation": item.installation.executable if item.installation else None,
                "running": item.running.id if item.running else None,
                "errors": [found.to_json() for found in item.problems],
            }
            for item in plan.items
        ],
        "fresh": plan.fresh,
        "seconds": number(plan.seconds),
        "forecast": _forecast(forecast) if forecast else None,
        "builds": None if builds is None else [json_output.build(build, now) for build in builds],
        "error": problem(plan.problem),
    }


def _forecast(item: RebuildForecast) -> Document:
    return {
        "items": [
            {
                "key": each.key,
                "way": each.way.value,
                "reason": str(each.supply),
                "packages": each.supply.total,
                "stored": each.supply.stored,
                "seconds": number(each.seconds),
                "basis": each.basis,
                "bytes": each.space,
            }
            for each in item.items
        ],
        "unseen": item.unseen,
        "seconds": number(item.seconds),
        "at_once": item.at_once,
        "bytes": item.space,
        "bytes_kept": item.kept,
        "bytes_free": item.free,
        "fits": item.fits,
    }


def _entry(item: RebuildItem) -> Document:
    return {
        "key": item.key,
        "state": item.state.value,
        "build": item.build_id or None,
        "changed_at": iso(item.changed_at or None),
        "message": item.message,
    }


def rebuild_list(item: RebuildList) -> Document:
    """A list with the state of each of its items."""
    runner = item.runner if item.alive else None
    return {
        "name": item.name,
        "items": [_entry(entry) for entry in item.items],
        "runner": {"by": runner.by, "host": runner.host, "pid": runner.pid, "started_at": iso(runner.started_at)}
        if runner
        else None,
    }


def bulk(
    plan: BulkPlan,
    now: float,
    result: BulkResult | None = None,
    *,
    interrupted: bool = False,
    forecast: RebuildForecast | None = None,
) -> Document:
    """The plan of a run over a list and what came of it."""
    reached = result.progress if result else None
    return {
        "name": plan.name,
        "added": list(plan.added),
        "keys": list(plan.keys),
        "gone": list(plan.gone),
        "plan": rebuild(plan.plan, None, now, forecast),
        "interrupted": interrupted,
        "result": {
            "items": [_entry(entry) for entry in result.items],
            "success": reached.success,
            "error": reached.error,
            "aborted": reached.aborted,
            "total": reached.total,
            "seconds": number(result.seconds),
        }
        if result and reached
        else None,
        "error": problem(plan.problem),
    }
