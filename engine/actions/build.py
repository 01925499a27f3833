"""Starting, finding, cancelling and settling builds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace
from packaging.version import Version

from engine.builds.audit import build_ended, build_started
from engine.builds.estimate import expect
from engine.builds.job import CANCEL, new_attempt_id
from engine.builds.launch import account_for, build_environment, build_mounts, launch
from engine.builds.model import Build, BuildState
from engine.builds.pip_config import compiles, configuration
from engine.builds.spec import Job
from engine.environments.locks import acquire
from engine.errors import EnvdeckError, Problem, Refused
from engine.executors.base import Executor
from engine.executors.registry import cannot_run, choose, executor
from engine.files import StorageError, write_json, write_problem
from engine.packages.installer import UV
from engine.plans import BuildPlan, CancelPlan, Outcome
from engine.targets import LOCAL
from engine.world import World

__all__ = ["cancel", "find_build", "join_or_start", "launch_job", "plan_cancel", "settle_lost", "start", "unsettled"]

_HISTORY = 50
"""How many of the latest builds are asked how long one will take."""
_START_PATIENCE = 30.0
"""Seconds to wait for others who are just starting a build."""


def find_build(world: World, build_id: str) -> Build:
    """The build of that id, of a unique part of it, or the newest for ``last``.

    Raises `InputError` (`build-unknown`, `build-ambiguous`).
    """
    if exact := world.build(build_id):
        return exact
    from engine.builds import lookup

    return lookup.find_build(world.builds(), build_id)


def start(world: World, plan: BuildPlan) -> Outcome:
    """Start the build that `plan` describes, unless its environment is there or being built already.

    An environment that is there is for everybody, also for who cannot change anything. Raises `Refused` when it cannot
    be built or the plan no longer holds, `StorageError` when the disk fails.
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
    world.require_writable()
    return Outcome(build=join_or_start(world, now.key, lambda: _launch(world, now)))


def _launch(world: World, plan: BuildPlan) -> Build:
    pip_version: tuple[int, ...] = ()
    image = ""
    if plan.target_match is not None:
        assert plan.target_match.environment is not None
        assert plan.target_match.installation is not None
        declared = plan.target_match.installation
        image, version, python = plan.target_match.environment.name, str(declared.version), declared.path
    else:
        assert plan.installation is not None
        assert plan.installation.facts is not None
        facts = plan.installation.facts
        version, python, pip_version = (
            str(facts.version),
            plan.installation.executable,
            Version(facts.pip or "0").release,
        )
    assert plan.installer is not None
    data_dir = world.config.settings.data_dir
    target = image or LOCAL
    job = Job(
        attempt=new_attempt_id(),
        key=plan.key,
        installer=plan.installer.name,
        installer_reason=plan.installer.reason if plan.installer.wanted else "",
        target=target,
        python_version=version,
        python_path=python,
        pip_version=pip_version,
        data_dir=data_dir,
        key_dir=world.store.key_dir(plan.installer.name, version, target, plan.key),
        requirements=plan.packages.requirements_text,
        constraints=plan.packages.constraints_text,
        lines=plan.lines,
        ingredients=plan.ingredients,
        bundle=plan.bundle.name,
        bundle_path=str(plan.bundle.path),
        content=plan.content.guid,
        by=world.user,
        submitted_at=time.time(),
        image=image,
        overlay=_overlay(data_dir, plan),
    )
    if not plan.packages.needs_source:
        return launch_job(world, job)
    # Only here, as all that few builds need: the others would wait for it to be loaded.
    from engine.bundles.source import copy_source

    return launch_job(world, job, partial(copy_source, plan.bundle, digest=str(plan.ingredients["source"])))


def _overlay(data_dir: Path, plan: BuildPlan) -> str:
    """The directory of the external packages that the environment is to see; empty for none."""
    if not plan.externals:
        return ""
    from engine.builds.overlay import make_overlay

    return str(make_overlay(data_dir / "externals", plan.externals))


def join_or_start(world: World, key: str, start_it: Callable[[], Build]) -> Build:
    """The build of `key` that is under way, or the one that `start_it` starts; of two who ask at once one starts it.

    Raises what `start_it` does, and `StorageError`.
    """
    path = world.config.settings.data_dir / "locks" / "start.lock"
    deadline = time.monotonic() + _START_PATIENCE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Should somebody keep it too long, two builds are started, and the second will find what the first has built.
        with acquire(path, lambda: time.monotonic() > deadline, 0.02):
            under_way = next((build for build in world.joinable() if build.key == key), None)
            return under_way or start_it()
    except OSError as error:
        raise StorageError(write_problem("start the build", path, error)) from error


def launch_job(world: World, job: Job, prepare_source: Callable[[Path], None] | None = None) -> Build:
    """Start `job` with what the settings say of builds: who they run as, where, and within which limits.

    `prepare_source` is that of `launch`. Raises `Refused` when it cannot be built now, `StorageError` when the disk
    fails.
    """
    settings, environ = world.config.settings, world.environ
    account = account_for(settings.run_as, environ, "" if job.image else job.python_path, settings.data_dir)
    env = build_environment(environ, account)
    uv = None
    if job.installer == UV:
        tool = world.uv()
        if tool.problem is not None:
            raise Refused(tool.problem)
        from engine.builds.uv_asking import uv_run

        uv = uv_run(job.requirements, job.constraints, world.builder, tool, env)
        env |= uv.env
    job = replace(
        job,
        env=env,
        account=account,
        uv=uv,
        executor=choose(settings.executor, job.target),
        executors=settings.executors,
        mounts=build_mounts(world.home, account, env, settings.executors.mounts),
        memory=settings.build_memory,
        timeout=settings.build_timeout,
        start_timeout=settings.start_timeout,
        space_reserve=settings.space_reserve,
        concurrency=settings.build_concurrency,
        expected=expect(
            world.latest_builds(_HISTORY),
            key=job.key,
            installer=job.installer,
            image=job.image,
            requested=len(job.lines),
            replayed=False if job.fresh else None,
        ),
        replay=settings.replay,
        compiles=compiles(configuration(world.home, account=account)),
    )
    problem = cannot_run(job.executor, job.target)
    if problem is None and job.executor != "local":
        problem = _executor(world, job).availability().problem
    if problem is not None:
        raise Refused(problem)
    launch(job, prepare_source, fork=world.forks)
    world.record(build_started(job))
    with world.lock:
        build = world.jobs.read(job.attempt)
    assert build is not None
    return build


def _executor(world: World, job: Job) -> Executor:
    """The executor that `job` is given to."""
    return executor(job.executor, job.job_dir.parent, job.executors, world.environ)


def plan_cancel(world: World, build_id: str) -> CancelPlan:
    """What cancelling would do now. Raises `InputError` (`build-unknown`, `build-ambiguous`)."""
    build = find_build(world, build_id)
    if not build.state.final:
        return CancelPlan(build, world.refusal)
    return CancelPlan(build, Problem("build-ended", f"the build has ended already: it is {build.state.value}"))


def cancel(world: World, plan: CancelPlan) -> Outcome:
    """Ask the build's supervisor to end it. Raises `Refused` when it has ended, `StorageError` when the disk fails."""
    now = plan_cancel(world, plan.build.id)
    if now.problem is not None:
        raise Refused(now.problem)
    write_json(now.build.directory / CANCEL, {"by": world.user, "at": time.time()})
    return Outcome(build=now.build)


def unsettled(builds: Sequence[Build]) -> tuple[Build, ...]:
    """Those of `builds` that are lost and have no verdict yet."""
    return tuple(build for build in builds if build.state is BuildState.LOST and build.finished_at is None)


def settle_lost(world: World, builds: Sequence[Build]) -> bool:
    """Bring those of `builds` that are lost to their end; False when one of them has to be tried again later."""
    lost, settled = unsettled(builds), True
    if not lost or world.read_only:
        return True
    from engine.builds.settling import settle

    for build in lost:
        try:
            state = settle(build.directory, build.phase, world.store, partial(_executor, world))
        except (OSError, EnvdeckError):
            settled = False
            continue
        if state is not None:
            world.record(build_ended(build.id, build.key, build.bundle, state, build.message))
    return settled
