"""What the audit says of the actions that a plan stands for, and of those that could not be done.

What starts a build or deletes something is recorded where that happens, item by item: by `engine.actions.build`,
`rebuild` and `reap`. So the audit is right whoever asked for it, and also when the process is killed in between.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.audit.model import AuditAction, AuditEvent, AuditResult, Fact, command
from engine.plans import BuildPlan, CancelPlan

# The rest is loaded for the plans that need it: a build that is to start waits for this module.
if TYPE_CHECKING:
    from engine.actions.activate import ActivatePlan
    from engine.actions.caches import CachePlan
    from engine.actions.content import RemovePlan, SetPlan
    from engine.actions.deploy import DeployPlan
    from engine.actions.pin import PinPlan
    from engine.actions.rebuild import BulkPlan, RebuildPlan
    from engine.actions.run import RunPlan, RunResult
    from engine.actions.verify import VerifyPlan
    from engine.config.model import ConfigState
    from engine.content.model import Content
    from engine.reaping.model import ReapPlan
    from engine.rebuilds.run import BulkResult
    from engine.world import World

    Housekeeping = (
        RebuildPlan
        | SetPlan
        | RemovePlan
        | ReapPlan
        | CachePlan
        | PinPlan
        | VerifyPlan
        | DeployPlan
        | ActivatePlan
        | BulkPlan
    )
    Plan = BuildPlan | CancelPlan | Housekeeping

__all__ = [
    "audited",
    "bulk_ended",
    "config_loaded",
    "deployed",
    "event_of",
    "recorded_if_stopped",
    "run_ended",
    "run_started",
    "service_event",
]

_LEVELS = {None: "unset", True: "on", False: "off"}
_RECORDED_WHERE_DONE = (
    AuditAction.BUILD_START,
    AuditAction.REBUILD,
    AuditAction.REAP,
    AuditAction.CACHE_DELETE,
)


@contextmanager
def audited(world: World, plan: Plan) -> Iterator[None]:
    """Record what comes of the block, which carries `plan` out."""
    event = event_of(plan)
    with recorded_if_stopped(world, event):
        yield
    if event.action not in _RECORDED_WHERE_DONE:
        world.record(event)


@contextmanager
def recorded_if_stopped(world: World, event: AuditEvent) -> Iterator[None]:
    """Record `event` as refused or failed when the block raises."""
    try:
        yield
    except BaseException as error:
        # Also of what was interrupted: the audit tells of everything that was begun.
        world.record(event.stopped_by(error))
        raise


def event_of(plan: Plan) -> AuditEvent:
    """The event of carrying `plan` out."""
    what: dict[str, Fact]
    match plan:
        case BuildPlan():
            what = {"bundle": plan.bundle.name, "key": plan.key}
            return AuditEvent(AuditAction.BUILD_START, what, command=command("build", str(plan.bundle.path)))
        case CancelPlan():
            build = plan.build
            what = {"bundle": build.bundle, "started by": build.by, "key": build.key, "build": build.id}
            return AuditEvent(AuditAction.BUILD_CANCEL, what, command=command("cancel", build.id))
    return _event_of_housekeeping(plan)


def _event_of_housekeeping(plan: Housekeeping) -> AuditEvent:
    from engine.actions.activate import ActivatePlan
    from engine.actions.caches import CachePlan
    from engine.actions.content import RemovePlan, SetPlan
    from engine.actions.deploy import DeployPlan
    from engine.actions.pin import PinPlan
    from engine.actions.rebuild import BulkPlan, RebuildPlan
    from engine.actions.verify import VerifyPlan
    from engine.reaping.model import ReapPlan

    what: dict[str, Fact]
    match plan:
        case RebuildPlan():
            keys = [item.environment.key for item in plan.items]
            return AuditEvent(
                AuditAction.REBUILD, {"key": ", ".join(keys)}, command=command("rebuild", *keys, *_fresh(plan))
            )
        case ReapPlan():
            keys = [] if plan.complete else sorted({item.key for item in plan.items})
            return AuditEvent(AuditAction.REAP, {"key": ", ".join(keys) or "all"}, command=command("reap", *keys))
        case CachePlan():
            return AuditEvent(AuditAction.CACHE_DELETE, {"cache": str(plan.cache)}, command=plan.cache.delete_command)
        case PinPlan():
            return _pin(plan)
        case VerifyPlan():
            keys = [verification.name for verification in plan.damaged]
            what = {"environments": len(plan.verifications), "damaged": len(keys)}
            if keys:
                what["key"] = ", ".join(keys)
            return AuditEvent(AuditAction.VERIFY, what, command=command("environments", "verify", *keys))
        case SetPlan():
            return _settings(plan)
        case RemovePlan():
            what = _about(plan.content, {"bundles": len(plan.content.bundles)})
            return AuditEvent(AuditAction.CONTENT_REMOVE, what, command=command("content", "remove", plan.content.guid))
        case DeployPlan():
            return _deployment(plan)
        case ActivatePlan():
            return _activation(plan)
        case BulkPlan():
            what = {"list": plan.name, "environments": len(plan.keys)}
            return AuditEvent(
                AuditAction.REBUILD, what, command=command("rebuild", "--list", plan.name, *_fresh(plan.plan))
            )


def _fresh(plan: RebuildPlan) -> tuple[str, ...]:
    return ("--fresh",) if plan.fresh else ()


def _about(content: Content, facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {"content": content.name or content.guid, **facts, "guid": content.guid}


def _pin(plan: PinPlan) -> AuditEvent:
    key, bundle = plan.environment.key, plan.environment.bundle
    if plan.pin is None:
        return AuditEvent(AuditAction.UNPIN, {"key": key, "bundle": bundle}, command=command("unpin", key))
    note = ("--note", plan.pin.note) if plan.pin.note else ()
    what = {"key": key, "bundle": bundle}
    return AuditEvent(AuditAction.PIN, what, why=plan.pin.note, command=command("pin", key, *note))


def _settings(plan: SetPlan) -> AuditEvent:
    before, facts, options = plan.content, dict[str, Fact](), list[str]()
    if plan.name != before.name:
        facts["name"] = f"{before.name} -> {plan.name}"
        options += ["--name", plan.name]
    if plan.management != before.management:
        old, new = _LEVELS[before.management], _LEVELS[plan.management]
        facts["management"] = f"{old} -> {new}"
        options += ["--management", new]
    if plan.default_image != before.default_image:
        facts["image"] = f"{before.default_image or 'none'} -> {plan.default_image or 'none'}"
        options += ["--image", plan.default_image]
    line = command("content", "set", before.guid, *options) if options else ""
    return AuditEvent(AuditAction.CONTENT_SET, _about(before, facts), command=line)


def _deployment(plan: DeployPlan) -> AuditEvent:
    what: dict[str, Fact] = {"content": plan.name, "bundle": plan.bundle.name, "number": plan.number}
    if plan.build.key:
        what["key"] = plan.build.key
    if plan.content:
        what["guid"] = plan.content.guid
    where = ("--content", plan.content.guid) if plan.content else ("--name", plan.name)
    return AuditEvent(AuditAction.CONTENT_DEPLOY, what, command=command("deploy", str(plan.bundle.path), *where))


def _activation(plan: ActivatePlan) -> AuditEvent:
    content, bundle = plan.content, plan.bundle
    facts: dict[str, Fact] = {"bundle": bundle.name, "number": f"{content.active} -> {bundle.number}"}
    if plan.build is not None and plan.build.key:
        facts["key"] = plan.build.key
    line = command("content", "activate", content.guid, str(bundle.number))
    return AuditEvent(AuditAction.CONTENT_ACTIVATE, _about(content, facts), command=line)


def deployed(plan: DeployPlan, content: Content) -> AuditEvent:
    """The deployment of `plan`, which led to `content`."""
    event = event_of(plan)
    return replace(event, what={**event.what, "number": content.active, "guid": content.guid})


def run_started(plan: RunPlan, argv: Sequence[str]) -> AuditEvent:
    """The start of a command in content, before anything that has to be built for it."""
    what = _about(plan.content, {"command": shlex.join(argv)})
    return AuditEvent(AuditAction.RUN_START, what, command=command("run", plan.content.guid, "--", *argv))


def run_ended(plan: RunPlan, argv: Sequence[str], result: RunResult, seconds: float) -> AuditEvent:
    """The end of the same after `seconds`."""
    facts: dict[str, Fact] = {"command": shlex.join(argv), "exit code": result.exit_code, "seconds": round(seconds, 1)}
    event = replace(run_started(plan, argv), action=AuditAction.RUN_END, what=_about(plan.content, facts))
    return event if result.problem is None else event.ended(AuditResult.FAILED, result.problem)


def bulk_ended(plan: BulkPlan, result: BulkResult) -> AuditEvent:
    """The end of a run over a list of rebuilds, each of which is recorded by itself."""
    event, reached = event_of(plan), result.progress
    what = {**event.what, "rebuilt": reached.success, "failed": reached.error, "aborted": reached.aborted}
    if result.ok:
        return replace(event, what=what)
    return replace(event, what=what, result=AuditResult.FAILED, code="rebuild-incomplete", why=str(result))


def config_loaded(config: ConfigState) -> AuditEvent:
    """What a process that stays was given by the configuration files; with errors they change nothing."""
    what: dict[str, Fact] = {"files": ", ".join(map(str, config.files)) or "none: the embedded default"}
    event = AuditEvent(AuditAction.CONFIG_LOAD, what, command=command("config", "check"))
    if config.errors:
        what["errors"] = len(config.errors)
        return event.ended(AuditResult.FAILED, config.errors[0])
    if config.changed:
        what["changed"] = changes_of(config)
    if config.problems:
        what["warnings"] = len(config.problems)
    return event


def changes_of(config: ConfigState) -> str:
    """What the last load changed, setting by setting, in one line; empty when nothing."""
    return "; ".join(
        f"{name}: {before or 'none'} -> {after or 'none'}" for name, (before, after) in sorted(config.changed.items())
    )


def service_event(action: AuditAction, data_dir: Path) -> AuditEvent:
    """The start or the end of keeping house in `data_dir`."""
    return AuditEvent(action, {"data directory": str(data_dir)}, command=command("serve"))
