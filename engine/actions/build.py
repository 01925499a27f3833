"""Starting, finding, cancelling and settling builds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from packaging.version import Version

from engine.builds.job import new_attempt_id, write_result
from engine.builds.launch import Job, account_for, build_environment, launch
from engine.builds.model import Build, BuildState
from engine.builds.overlay import make_overlay
from engine.bundles.source import copy_source
from engine.environments.locks import acquire
from engine.errors import EnvdeckError, InputError, Problem, Refused
from engine.files import read_json, write_json
from engine.planning import INSTALLER
from engine.plans import BuildPlan, CancelPlan, Outcome
from engine.world import World

__all__ = ["cancel", "find_build", "plan_cancel", "settle_lost", "start"]


def find_build(builds: Sequence[Build], build_id: str) -> Build:
    """The build of that id, of a unique part of it, or the newest for ``last``.

    Raises `InputError` (`build-unknown`, `build-ambiguous`).
    """
    matching = [b for b in builds if b.id == build_id] or [b for b in builds if build_id in b.id]
    if build_id == "last":
        matching = list(builds[:1])
    if len(matching) == 1:
        return matching[0]
    if matching:
        problem = Problem(
            "build-ambiguous",
            f"{len(matching)} builds have {build_id} in their id",
            found=", ".join(b.id for b in matching[:5]),
            hint="Give more of the id",
        )
    else:
        problem = Problem(
            "build-unknown",
            f"there is no build {build_id}",
            expected="an id, a part of one, or `last`",
            hint="`envdeck builds` lists them",
        )
    raise InputError(problem)


def start(world: World, plan: BuildPlan) -> Outcome:
    """Start the build that `plan` describes, unless its environment is there or being built already.

    Raises `Refused` when it cannot be built or the plan no longer holds, `StorageError` when the disk fails.
    """
    # An interpreter may have been replaced since it was probed; where nothing changed this costs a few looks.
    world.probe()
    now = world.plan(plan.bundle, plan.content)
    if now.problem is not None:
        raise Refused(now.problem)
    if not now.management.managed:
        raise Refused(
            Problem(
                "management-disabled",
                "there is nothing to build: environments are not managed for this bundle",
                found=now.management.reason,
                hint="Its content runs on the installation itself",
            )
        )
    if now.key != plan.key:
        raise Refused(
            Problem(
                "plan-changed",
                "the configuration or an interpreter changed since this was planned, so nothing was done",
                expected=f"key {plan.key}",
                found=f"key {now.key}",
                hint="Look at the new plan and decide again",
            )
        )
    if now.environment is not None:
        return Outcome(environment=now.environment)
    if now.target_match is not None:
        raise Refused(
            Problem(
                "no-executor",
                f"building in the image {now.match.chosen.target if now.match.chosen else ''} is not possible yet",
                hint="The match and the plan are right; a build needs an executor for containers",
            )
        )
    return Outcome(build=now.running or _launch(world, now))


def _launch(world: World, plan: BuildPlan) -> Build:
    installation = plan.installation
    assert installation is not None
    assert installation.facts is not None
    settings = world.config.settings
    version = str(installation.facts.version)
    account = account_for(settings.run_as, world.environ, installation.executable, settings.data_dir)
    job = Job(
        attempt=new_attempt_id(),
        key=plan.key,
        installer=INSTALLER,
        target=installation.target,
        python_version=version,
        python_path=installation.executable,
        pip_version=Version(installation.facts.pip or "0").release,
        data_dir=settings.data_dir,
        key_dir=world.store.key_dir(INSTALLER, version, installation.target, plan.key),
        requirements=plan.packages.requirements_text,
        constraints=plan.packages.constraints_text,
        lines=plan.lines,
        ingredients=plan.ingredients,
        bundle=plan.bundle.name,
        by=world.user,
        submitted_at=time.time(),
        timeout=settings.build_timeout,
        env=build_environment(world.environ, account),
        account=account,
        overlay=str(make_overlay(settings.data_dir / "externals", plan.externals)) if plan.externals else "",
    )
    launch(job, partial(copy_source, plan.bundle) if plan.packages.needs_source else None)
    with world.lock:
        build = world.jobs.read(job.attempt)
    assert build is not None
    return build


def plan_cancel(world: World, build_id: str) -> CancelPlan:
    """What cancelling would do now. Raises `InputError` (`build-unknown`, `build-ambiguous`)."""
    build = find_build(world.builds(), build_id)
    if not build.state.final:
        return CancelPlan(build)
    return CancelPlan(build, Problem("build-ended", f"the build has ended already: it is {build.state.value}"))


def cancel(world: World, plan: CancelPlan) -> Outcome:
    """Ask the build's supervisor to end it. Raises `Refused` when it has ended, `StorageError` when the disk fails."""
    now = plan_cancel(world, plan.build.id)
    if now.problem is not None:
        raise Refused(now.problem)
    write_json(now.build.directory / "cancel", {"by": world.user, "at": time.time()})
    return Outcome(build=now.build)


def settle_lost(world: World, builds: Sequence[Build]) -> None:
    """Bring lost builds to their end: whoever sees one first discards its attempt and writes the verdict."""
    lost = [b for b in builds if b.state is BuildState.LOST and not (b.directory / "result.json").exists()]
    if not lost or world.read_only:
        return
    for build in lost:
        # Should it fail, the next look tries again; the picture is right either way.
        with suppress(OSError, EnvdeckError):
            spec = read_json(build.directory / "spec.json") or {}
            attempt = Path(str(spec.get("attempt_dir", "")))
            with acquire(world.store.lock_path(build.key), lambda: True) as held:
                if not held or attempt.name != build.id or not attempt.is_relative_to(world.store.root):
                    continue
                there = world.store.read(attempt.parent)
                if there is not None and there.attempt == attempt.name:
                    # Published: only the verdict on it was not written any more.
                    write_result(build.directory, BuildState.DONE, message=f"published {attempt}")
                else:
                    world.store.discard_attempt(attempt)
                    write_result(build.directory, BuildState.LOST, message=build.message)
