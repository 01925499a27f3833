"""The JSON documents about content and about bundles that are made. Promises as in `json_output`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli import json_output
from app.cli.json_output import problem
from app.cli.units import iso

if TYPE_CHECKING:
    from app.cli.json_output import Document
    from engine import (
        ActivatePlan,
        Build,
        Captured,
        Choice,
        Content,
        ContentBundle,
        DeployPlan,
        PickedInstallation,
        Problem,
        ProvenanceStep,
        RemovePlan,
        Resolution,
        RunPlan,
        SetPlan,
    )

__all__ = ["activated", "captured", "content", "deployed", "removed", "running", "set_", "shown"]


def content(item: Content) -> Document:
    """One content item."""
    return {
        "guid": item.guid,
        "name": item.name,
        "app_mode": item.app_mode,
        "created_at": iso(item.created_at),
        "created_by": item.created_by,
        "active": item.active,
        "key": item.key or None,
        "installation": _picked(item.installation),
        "managed": item.managed,
        "management": item.management,
        "default_image": item.default_image,
        "last_used_at": iso(item.last_used_at),
        "bundles": [_bundle(bundle) for bundle in item.bundles],
        "error": problem(item.problem),
    }


def _picked(item: PickedInstallation | None) -> Document | None:
    return {"version": item.version, "path": item.path, "target": item.target} if item else None


def _bundle(item: ContentBundle) -> Document:
    return {
        "number": item.number,
        "name": item.name,
        "deployed_at": iso(item.deployed_at),
        "deployed_by": item.deployed_by,
        "key": item.key or None,
        "python_version": item.python_version,
        "size": item.size,
    }


def _resolution(found: Resolution) -> Document:
    return {
        "installation": _picked(found.installation),
        "environment": str(found.environment.path) if found.environment else None,
        "key": found.key or None,
        "builds_first": found.build is not None,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in found.reasons],
        "match": json_output.match(found.match) if found.match else None,
        "error": problem(found.problem),
    }


def shown(item: Content, found: Resolution) -> Document:
    """One content item and how it would run now."""
    return {**content(item), "resolution": _resolution(found)}


def set_(plan: SetPlan, after: Content | None) -> Document:
    """The outcome of changing settings; without `after` nothing was done."""
    return {
        "guid": plan.content.guid,
        "done": after is not None,
        "name": plan.name,
        "management": plan.management,
        "default_image": plan.default_image,
        "decision": json_output.management(plan.decision) if plan.decision else None,
        "error": problem(plan.problem),
    }


def removed(plan: RemovePlan, *, done: bool) -> Document:
    """The outcome of removing content."""
    return {**content(plan.content), "bytes": plan.size, "done": done, "error": problem(plan.problem)}


def deployed(
    plan: DeployPlan,
    steps: Sequence[ProvenanceStep],
    now: float,
    *,
    after: Content | None = None,
    build: Build | None = None,
    refused: Problem | None = None,
) -> Document:
    """The plan of a deployment and what came of it; without `after` nothing was deployed."""
    return {
        "name": plan.name,
        "guid": plan.content.guid if plan.content else None,
        "number": plan.number,
        "drops": [bundle.number for bundle in plan.drops],
        "drops_wait": plan.drops_wait,
        "builds_first": plan.builds,
        "plan": json_output.plan(plan.build, steps),
        "build": json_output.build(build, now) if build else None,
        "content": content(after) if after else None,
        "error": problem(refused or plan.problem),
    }


def activated(
    plan: ActivatePlan,
    now: float,
    *,
    after: Content | None = None,
    build: Build | None = None,
    refused: Problem | None = None,
) -> Document:
    """The plan of making another bundle the active one and what came of it; without `after` nothing changed."""
    return {
        "guid": plan.content.guid,
        "name": plan.content.name,
        "number": plan.bundle.number,
        "before": plan.content.active,
        "running": plan.running,
        "builds_first": plan.builds,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in plan.reasons],
        "plan": json_output.plan(plan.build) if plan.build else None,
        "build": json_output.build(build, now) if build else None,
        "content": content(after) if after else None,
        "error": problem(refused or plan.problem),
    }


def running(plan: RunPlan, argv: Sequence[str]) -> Document:
    """How a command would be run."""
    return {
        "guid": plan.content.guid,
        "name": plan.content.name,
        "command": list(argv),
        "cwd": str(plan.cwd),
        "python": plan.python or None,
        "environment": str(plan.environment) if plan.environment else None,
        "image": plan.image.name if plan.image else None,
        "variables": dict(plan.variables) if plan.variables is not None else None,
        "account": plan.account or None,
        "resolution": _resolution(plan.resolution),
        "error": problem(plan.problem),
    }


def captured(item: Captured, archive: Path, *, written: bool) -> Document:
    """Every choice about a bundle, and what is left out of it."""
    return {
        "directory": str(item.directory),
        "archive": str(archive),
        "written": written,
        "app_mode": _choice(item.app_mode),
        "entrypoint": _choice(item.entrypoint),
        "interpreter": _choice(item.interpreter),
        "requirements": _choice(item.requirements),
        "provenance": json_output.provenance(item.provenance.steps),
        # Not `kept`: it may hold a password.
        "frozen": [{"line": line.original, "dropped": not line.kept, "reason": line.reason} for line in item.frozen],
        "manifest": dict(item.manifest),
        "files": [{"name": file.name, "size": file.size, "md5": file.md5} for file in item.files],
        "left_out": [{"name": entry.name, "reason": entry.reason} for entry in item.left_out],
    }


def _choice(choice: Choice) -> Document:
    return {"value": choice.value, "reason": choice.reason, "looked_at": list(choice.looked_at)}
