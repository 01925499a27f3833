"""What the audit says of builds."""

from __future__ import annotations

from engine.audit.model import AuditAction, AuditEvent, AuditResult, Fact, command
from engine.builds.model import BuildState
from engine.builds.spec import Job
from engine.targets import LOCAL

__all__ = ["build_ended", "build_started"]


def build_started(job: Job) -> AuditEvent:
    """The start of `job`, which builds a bundle, or again what its key has."""
    what: dict[str, Fact] = {"bundle": job.bundle, "python": job.python_version}
    if job.target != LOCAL:
        what["image"] = job.target
    what |= {"key": job.key, "build": job.attempt}
    if job.replaces:
        return AuditEvent(
            AuditAction.REBUILD, what, command=command("rebuild", job.key, *(["--fresh"] if job.fresh else []))
        )
    return AuditEvent(AuditAction.BUILD_START, what, command=command("build", job.bundle_path))


def build_ended(
    attempt: str, key: str, bundle: str, state: BuildState, why: str, *, seconds: float | None = None
) -> AuditEvent:
    """The end of a build in `state`; `why` says in one line what it came to, `seconds` how long it ran, if known."""
    what: dict[str, Fact] = {"bundle": bundle, "state": state.value, "key": key, "build": attempt}
    if seconds is not None:
        what["seconds"] = round(seconds, 1)
    done = state is BuildState.DONE
    return AuditEvent(
        AuditAction.BUILD_END,
        what,
        AuditResult.OK if done else AuditResult.FAILED,
        "" if done else f"build-{state.value}",
        why,
        command("log", attempt),
    )
