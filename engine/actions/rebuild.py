"""Rebuilding: a new attempt for a key that has one, for one environment or for a whole list of them.

What is running keeps the old attempt; publishing the new one only changes which of the two counts, and the reaper
takes the old one when nobody uses it any more (DESIGN.md §5).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from packaging.version import Version

from engine.actions.build import join_or_start, launch_job, settle_lost
from engine.builds.job import new_attempt_id
from engine.builds.model import Build
from engine.builds.pip_config import index_configuration, named_options
from engine.builds.spec import Job
from engine.builds.uv_asking import uv_obstacles
from engine.environments.lookup import find_environment
from engine.environments.model import Environment
from engine.errors import Problem, Refused
from engine.executors.registry import choose
from engine.files import read_json
from engine.installations.identity import identities
from engine.installations.model import Installation
from engine.packages.installer import UV, place_obstacles
from engine.packages.key import environment_key
from engine.rebuilds.lists import RebuildLists, running_problem
from engine.rebuilds.model import RebuildList, RunProgress, pick, settle
from engine.rebuilds.run import BulkResult, run
from engine.targets import LOCAL
from engine.text import mask_credentials
from engine.world import World

__all__ = [
    "BulkPlan",
    "PlannedRebuild",
    "RebuildPlan",
    "add_to_list",
    "judge_rebuild",
    "plan_bulk",
    "plan_rebuild",
    "rebuild",
    "rebuild_lists",
    "remove_from_list",
    "request_of",
    "run_bulk",
]


_MOST_AT_ONCE = 8
"""Rebuilds that are started together: each keeps a process for as long as it waits for its turn."""


class PlannedRebuild(Struct, frozen=True):
    """What rebuilding one environment would do now; every reason why it cannot be done."""

    environment: Environment
    installation: Installation | None
    """The installation it would be built on: the same interpreter as before."""
    running: Build | None = None
    """A build of its key that is under way, which would be waited for instead."""
    problems: tuple[Problem, ...] = ()


class RebuildPlan(Struct, frozen=True):
    """What rebuilding these environments would do now."""

    items: tuple[PlannedRebuild, ...]
    fresh: bool = False
    """True when nothing is taken from the wheel store: pip fetches everything, and looks for what is newer."""
    listed: bool = False
    """True when they are worked off by a list, which starts each at its turn."""

    @property
    def too_many(self) -> Problem | None:
        """Why so many are not started together."""
        if self.listed or len(self.items) <= _MOST_AT_ONCE:
            return None
        return Problem(
            "rebuild-too-many",
            f"{len(self.items)} environments are too many to be rebuilt at once",
            expected=f"at most {_MOST_AT_ONCE}, since each takes up memory while it waits for its turn",
            hint="Put them on a list, which starts each at its turn: envdeck rebuild --list NAME KEY…",
        )

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every reason why this cannot be done, each once."""
        first = [self.too_many] if self.too_many else []
        return tuple(dict.fromkeys([*first, *(problem for item in self.items for problem in item.problems)]))

    @property
    def problem(self) -> Problem | None:
        """The first reason why this cannot be done."""
        return next(iter(self.problems), None)

    @property
    def seconds(self) -> float:
        """How long their last builds took, together."""
        return sum(item.environment.seconds for item in self.items)


class BulkPlan(Struct, frozen=True):
    """What a run over a list would do now. `problem` says why it cannot begin, if so."""

    name: str
    added: tuple[str, ...]
    """Keys that would be put on the list first."""
    keys: tuple[str, ...]
    """What the run would work on, in order."""
    plan: RebuildPlan
    """The rebuild of each of `keys` that is still in the cache."""
    gone: tuple[str, ...]
    """Those of `keys` that are not: their items will end in an error."""
    retry: bool = False
    everything: bool = False
    force: bool = False
    problem: Problem | None = None


# One environment


def judge_rebuild(
    environment: Environment,
    *,
    interpreters: Mapping[str, Mapping[str, object]],
    index: Mapping[str, str],
    request: bool,
    source: bool,
    overlay: bool,
    uv: str = "",
) -> tuple[Problem, ...]:
    """Every reason why `environment` cannot be built again under the key it has. Pure.

    `interpreters` is the identity of every usable installation by path, `index` pip's configuration of where packages
    come from. The others say whether what the build needs is still there: the words that pip was asked with, the files
    of the bundle, the directory of external packages. `uv` says why uv cannot build it again, where it has built it.
    """
    made_from = environment.ingredients
    if not made_from or environment_key(made_from) != environment.key:
        return (
            Problem(
                "rebuild-no-record",
                f"nothing says what {environment.key} was made from: {environment.reason or 'its record is another'}",
                hint="Build the content again, which repairs it, or reap it",
            ),
        )
    problems = []
    if environment.target != LOCAL:
        problems.append(
            Problem(
                "rebuild-not-local",
                f"{environment.key} belongs to {environment.target}, where envdeck builds only for content",
                hint="Build the content again",
            )
        )
    elif made_from.get("interpreter") not in interpreters.values():
        problems.append(
            Problem(
                "rebuild-interpreter-gone",
                f"the interpreter it was built on, {environment.python_path}, is not there as it was",
                expected=f"Python {environment.python_version}, configured, usable and not replaced by another build",
                hint="Build the content again: it gets an environment on an installation that is there",
            )
        )
    masked = {name: mask_credentials(value) for name, value in index.items()}
    if made_from.get("index") != masked:
        problems.append(
            Problem(
                "rebuild-index-changed",
                "pip is configured to take packages from elsewhere now, which makes another environment",
                expected=named_options(made_from.get("index")),
                found=named_options(masked),
                hint="Build the content again: it gets an environment of its own",
            )
        )
    if uv:
        problems.append(
            Problem(
                "rebuild-no-uv",
                f"it was built with uv, which cannot do it again: {uv}",
                hint="Build the content again: it gets an environment that pip makes",
            )
        )
    for there, code, what in (
        (request, "rebuild-no-request", "what pip was asked for was not kept, or may be read by its owner alone"),
        (source or not made_from.get("source"), "rebuild-no-source", "the bundle's files it was built from are gone"),
        (overlay, "rebuild-no-overlay", "the directory of the external packages it sees is gone"),
    ):
        if not there:
            problems.append(Problem(code, what, hint="Build the content again"))
    return tuple(problems)


def plan_rebuild(world: World, keys: str | Sequence[str], *, fresh: bool = False) -> RebuildPlan:
    """What rebuilding the environments of `keys` (keys, or beginnings of them) would do now.

    With `fresh` nothing comes from the wheel store. Raises `InputError` (`environment-unknown`,
    `environment-ambiguous`).
    """
    references = (keys,) if isinstance(keys, str) else keys
    environments = world.environments()
    return _plan(world, (find_environment(environments, reference) for reference in references), fresh=fresh)


def _plan(world: World, environments: Iterable[Environment], *, fresh: bool, listed: bool = False) -> RebuildPlan:
    if not world.probed:
        world.probe()
    installations = world.installations()
    interpreters = identities(installations)
    who = world.builder
    index = index_configuration(who.home, account=who.account)
    active = {build.key: build for build in world.joinable()}
    general = tuple(problem for problem in (who.problem, world.space_problem, world.refusal) if problem)
    items = []
    for environment in {each.key: each for each in environments}.values():
        identity = environment.ingredients.get("interpreter")
        paths = [path for path, other in interpreters.items() if other == identity]
        path = environment.python_path if environment.python_path in paths else next(iter(paths), "")
        overlay = environment.overlay
        problems = judge_rebuild(
            environment,
            interpreters=interpreters,
            index=index,
            request=request_of(environment) is not None,
            source=_source(world, environment).is_dir(),
            overlay=not overlay or Path(overlay).is_dir(),
            uv=_why_no_uv(world, environment),
        )
        items.append(
            PlannedRebuild(
                environment,
                next((i for i in installations if i.executable == path), None),
                active.get(environment.key),
                (*general, *problems),
            )
        )
    return RebuildPlan(tuple(items), fresh, listed)


def rebuild(world: World, plan: RebuildPlan) -> tuple[Build, ...]:
    """Start the rebuilds that `plan` describes, or none of them; a build that is under way is joined.

    Raises `Refused` when one cannot be done or no longer holds, `StorageError` when the disk fails. That an environment
    was rebuilt by somebody else after this is seen by the build itself, under the key's lock: it then reuses that one.
    """
    now = plan_rebuild(world, [item.environment.key for item in plan.items], fresh=plan.fresh)
    for planned, item in zip(plan.items, now.items, strict=True):
        if planned.environment.attempt != item.environment.attempt:
            raise Refused(
                Problem(
                    "plan-changed",
                    f"{item.environment.key} was rebuilt since this was planned, so nothing was done",
                    expected=f"attempt {planned.environment.attempt}",
                    found=f"attempt {item.environment.attempt}",
                    hint="Look at the new plan and decide again",
                )
            )
    return _start(world, now)


def _start(world: World, plan: RebuildPlan) -> tuple[Build, ...]:
    """Start what `plan` says, which was made just now. Errors as with `rebuild`."""
    if plan.problem is not None:
        raise Refused(plan.problem)
    return tuple(
        join_or_start(world, item.environment.key, partial(_launch, world, item, fresh=plan.fresh))
        for item in plan.items
    )


def _launch(world: World, item: PlannedRebuild, *, fresh: bool) -> Build:
    environment, installation = item.environment, item.installation
    assert installation is not None
    assert installation.facts is not None
    requirements, constraints = request_of(environment) or ("", "")
    source = _source(world, environment)
    job = Job(
        attempt=new_attempt_id(),
        key=environment.key,
        installer=environment.installer,
        target=environment.target,
        python_version=environment.python_version,
        python_path=installation.executable,
        pip_version=Version(installation.facts.pip or "0").release,
        data_dir=world.config.settings.data_dir,
        key_dir=environment.path.parent,
        requirements=requirements,
        constraints=constraints,
        lines=environment.lines,
        ingredients=environment.ingredients,
        bundle=environment.bundle,
        by=world.user,
        submitted_at=time.time(),
        replaces=environment.attempt,
        fresh=fresh,
        overlay=environment.overlay,
    )
    return launch_job(world, job, partial(shutil.copytree, source, symlinks=True) if source.is_dir() else None)


def _why_no_uv(world: World, environment: Environment) -> str:
    """Why uv cannot build again what it has built; empty when it can, or has not built it."""
    request = request_of(environment)
    if environment.installer != UV or request is None:
        return ""
    settings = world.config.settings
    if not settings.allow_uv:
        return "AllowUv is off"
    if problem := world.uv().problem:
        return problem.message
    elsewhere = place_obstacles(
        target_is_local=True, executor=choose(settings.executor, LOCAL), python=None, externals=0
    )
    return next(iter((*elsewhere, *uv_obstacles(*request, world.builder))), "")


def request_of(environment: Environment) -> tuple[str, str] | None:
    """The requirements and the constraints that pip was given, word by word; None when they are not to be had."""
    record = read_json(environment.path.parent / "request.json") or {}
    requirements, constraints = record.get("requirements"), record.get("constraints")
    if isinstance(requirements, str) and isinstance(constraints, str):
        return requirements, constraints
    return None


def _source(world: World, environment: Environment) -> Path:
    """The bundle's files as the build was given them; only there where a requirement line refers to them."""
    return world.config.settings.data_dir / "jobs" / environment.attempt / "source"


# A list of environments


def rebuild_lists(world: World) -> tuple[RebuildList, ...]:
    """Every list of environments to rebuild, by name."""
    return _lists(world).all()


def add_to_list(world: World, name: str, keys: Sequence[str]) -> RebuildList:
    """Put the environments of `keys` (keys, or beginnings of them) on the list to be built; it is made if need be.

    Raises `InputError` (`environment-unknown`, `environment-ambiguous`, `rebuild-list-…`), `Refused`
    (`rebuild-running`), `StorageError`.
    """
    added = _resolve(world, keys)
    return _edit(world, name, lambda rebuilds: rebuilds.with_keys(added))


def remove_from_list(world: World, name: str, keys: Sequence[str] | None = None) -> RebuildList:
    """Take `keys` off the list, all of them by default. Errors as with `add_to_list`; unknown keys do not matter."""

    def without(rebuilds: RebuildList) -> RebuildList:
        kept = () if keys is None else tuple(item for item in rebuilds.items if item.key not in keys)
        return RebuildList(rebuilds.name, kept)

    return _edit(world, name, without)


def plan_bulk(
    world: World,
    name: str,
    keys: Sequence[str] = (),
    *,
    retry: bool = False,
    everything: bool = False,
    force: bool = False,
    fresh: bool = False,
) -> BulkPlan:
    """What a run over the list `name`, with `keys` put on it first, would do now (connect.md §6.8).

    It takes what needs a build; with `retry` also what failed or was aborted, or `everything`. A run that is alive is
    the plan's problem unless `force` takes the list over; `fresh` is that of `plan_rebuild`. Raises `InputError` as
    `add_to_list` does.
    """
    rebuilds = _lists(world).read(name)
    added = _resolve(world, keys)
    chosen = _choose(world, rebuilds, added, retry=retry, everything=everything)[1]
    environments = {environment.key: environment for environment in world.environments()}
    return BulkPlan(
        name,
        added,
        chosen,
        _plan(world, (environments[key] for key in chosen if key in environments), fresh=fresh, listed=True),
        tuple(key for key in chosen if key not in environments),
        retry,
        everything,
        force,
        running_problem(rebuilds) if rebuilds.alive and not force else world.refusal,
    )


def run_bulk(
    world: World,
    plan: BulkPlan,
    *,
    parallelism: int = 1,
    on_progress: Callable[[RunProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> BulkResult:
    """Do what `plan` says, `parallelism` builds at a time; returns when the last of them has ended.

    `on_progress` is called in this thread at the beginning and at every change, `stop` is asked all the time. What is
    chosen is decided again now; an environment that cannot be rebuilt is an error of its item and stops nothing. For
    what interrupts a run see `engine.rebuilds.run.run`. Raises `Refused` (`rebuild-running`, `rebuild-taken-over`),
    `StorageError`.
    """
    return run(
        _lists(world),
        plan.name,
        lambda rebuilds: _choose(world, rebuilds, plan.added, retry=plan.retry, everything=plan.everything),
        start=lambda key: _start(world, plan_rebuild(world, key, fresh=plan.plan.fresh))[0],
        look=partial(_look, world),
        by=world.user,
        parallelism=max(1, parallelism),
        force=plan.force,
        on_progress=on_progress,
        stop=stop,
    )


def _choose(
    world: World, rebuilds: RebuildList, added: Sequence[str], *, retry: bool, everything: bool
) -> tuple[RebuildList, tuple[str, ...]]:
    """The list with what killed runs left settled and `added` on it, and the keys that a run takes, to be built."""
    settled = RebuildList(rebuilds.name, tuple(settle(item, _look(world, item.build_id)) for item in rebuilds.items))
    with_added = settled.with_keys(added)
    keys = pick(with_added.items, retry=retry, everything=everything)
    return with_added.with_keys(keys), keys


def _look(world: World, build_id: str) -> Build | None:
    with world.lock:
        build = world.jobs.read(build_id) if build_id else None
    if build is not None:
        settle_lost(world, (build,))
    return build


def _edit(world: World, name: str, change: Callable[[RebuildList], RebuildList]) -> RebuildList:
    lists = _lists(world)
    with lists.hold(name):
        changed = change(lists.read(name))
        lists.write(changed)
    return changed


def _resolve(world: World, keys: Sequence[str]) -> tuple[str, ...]:
    environments = world.environments() if keys else ()
    return tuple(dict.fromkeys(find_environment(environments, reference).key for reference in keys))


def _lists(world: World) -> RebuildLists:
    return RebuildLists(world.config.settings.data_dir)
