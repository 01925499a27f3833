"""The JSON documents about the configuration, pip's included, targets and executors. Promises as in `json_output`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli.json_output import problem
from app.cli.units import iso
from engine import (
    Severity,
)

if TYPE_CHECKING:
    from app.cli.json_output import Document
    from engine import (
        ConfigState,
        Declarations,
        EffectiveValue,
        ExecutionEnvironment,
        ExecutorChoice,
        Impact,
        PipFile,
        PipSetting,
        Problem,
        UvTool,
    )

__all__ = ["config_check", "config_impact", "config_pip", "config_show", "executors", "targets"]


def _counted(problems: Sequence[Problem]) -> Document:
    errors = sum(item.severity is Severity.ERROR for item in problems)
    return {
        "ok": not errors,
        "errors": errors,
        "warnings": len(problems) - errors,
        "problems": [item.to_json() for item in problems],
    }


def _config_source(state: ConfigState) -> Document:
    return {
        "is_default": state.is_default,
        "files": [str(path) for path in state.files],
        "loaded_at": iso(state.loaded_at),
    }


def config_check(state: ConfigState) -> Document:
    return {**_config_source(state), **_counted(state.problems)}


def config_impact(state: ConfigState, found: Impact | None) -> Document:
    """What taking `state` over would do; nothing is known of that while it has errors."""
    return {
        **config_check(state),
        "items": [
            {
                "subject": item.subject.value,
                "name": item.name,
                "guid": item.guid or None,
                "impact": item.kind.value,
                "before": item.before,
                "after": item.after,
                "reason": item.reason,
            }
            for item in found.items
        ]
        if found
        else None,
        "unchanged": found.unchanged if found else None,
    }


def config_show(state: ConfigState, values: Sequence[EffectiveValue]) -> Document:
    return {
        **_config_source(state),
        "values": [_value(value) for value in values],
        "problems": [p.to_json() for p in state.problems],
    }


def _value(value: EffectiveValue) -> Document:
    return {
        "name": value.name,
        "values": list(value.values),
        "origins": list(value.origins),
        "is_default": value.is_default,
        "meaning": value.meaning,
        "document": value.document,
    }


def _uv(tool: UvTool) -> Document:
    return {
        "path": tool.path or None,
        "version": tool.version or None,
        "origin": tool.origin or None,
        "usable": tool.problem is None,
        "error": problem(tool.problem),
    }


def config_pip(files: Sequence[PipFile], settings: Sequence[PipSetting], uv: UvTool) -> Document:
    return {
        "uv": _uv(uv),
        "files": [{"path": str(f.path), "exists": f.exists, "error": problem(f.problem)} for f in files],
        "settings": [
            {"name": s.name, "value": s.value, "section": s.section, "origin": s.origin, "in_key": s.in_key}
            for s in settings
        ],
    }


def executors(choice: ExecutorChoice) -> Document:
    return {
        "executor": choice.name,
        "reason": choice.reason,
        "executors": [
            {
                "executor": item.executor,
                "usable": item.usable,
                "chosen": item.executor == choice.name,
                "version": item.version,
                "notes": list(item.notes),
                "error": problem(item.problem),
            }
            for item in choice.executors
        ],
        "error": problem(choice.problem),
    }


def targets(declared: Declarations) -> Document:
    return {
        "off_host": declared.off_host,
        "files": [str(file.path) for file in declared.files],
        "environments": [_execution_environment(item) for item in declared.environments],
        **_counted(declared.problems),
    }


def _execution_environment(item: ExecutionEnvironment) -> Document:
    return {
        "image": item.name,
        "title": item.title,
        "description": item.description,
        "matching": item.matching.value,
        "supervisor": item.supervisor,
        "guid": item.guid,
        "where": str(item.where),
        "installations": [
            {"version": str(python.version), "path": python.path, "where": str(python.where)} for python in item.python
        ],
        "runtimes": {name: [str(version) for version in versions] for name, versions in item.runtimes.items()},
    }
