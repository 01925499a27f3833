"""The command that rebuilds environments: some by key, or a list of them that survives an interruption."""

from __future__ import annotations

import shlex
import time
from argparse import Namespace

from app.cli import json_cache
from app.cli.building import carry_out, goes_on, tell_end
from app.cli.commands import as_allowed, show_plan
from app.cli.following import follow, reporter
from app.cli.grammar import BUILD, Commands, add_dry_run, count
from app.cli.interrupting import STOPS, check, stopped
from app.cli.terminal import Terminal
from engine import (
    BuildState,
    BulkPlan,
    Engine,
    InputError,
    ItemState,
    Problem,
    RebuildList,
    RebuildPlan,
    RunProgress,
    clean,
)

__all__ = ["add_commands", "rebuild", "retry"]


def rebuild(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if options.list is None:
        if options.all or options.retry or options.force or options.show or options.parallelism is not None:
            raise _usage("--all, --retry, --force, --parallelism and --show are about a list", "--list NAME")
        if not options.keys:
            raise _usage("nothing to rebuild", "KEY, or --list NAME")
        return _carry_out(engine, engine.plan_rebuild(options.keys, fresh=options.fresh), options, terminal)
    if options.show:
        return _show(engine, options.list, terminal)
    if not options.keys:
        _known(engine, options.list)
    plan = engine.plan_bulk(
        options.list,
        options.keys,
        retry=options.retry,
        everything=options.all,
        force=options.force,
        fresh=options.fresh,
    )
    if options.dry_run or plan.problem:
        return _planned_bulk(engine, plan, terminal)
    return _bulk(engine, plan, options, terminal)


def _usage(message: str, expected: str) -> InputError:
    return InputError(Problem("usage", message, expected=expected, hint="See `envdeck rebuild --help`"))


def retry(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_retry(options.build)
    if isinstance(plan, RebuildPlan):
        return _carry_out(engine, plan, options, terminal)
    if options.dry_run:
        return show_plan(engine, as_allowed(engine, plan), terminal)
    return carry_out(engine, plan, options, terminal)


def _carry_out(engine: Engine, plan: RebuildPlan, options: Namespace, terminal: Terminal) -> int:
    if options.dry_run or plan.problem:
        return _planned(engine, plan, terminal)
    try:
        builds = engine.execute(plan)
    except KeyboardInterrupt as error:
        code = stopped(error, "what was started until then goes on: `envdeck builds`", terminal)
        if terminal.json:
            terminal.document(json_cache.rebuild(plan, (), time.time()))
        return code
    code = 0
    if len(builds) == 1:
        (started,) = builds
        try:
            with reporter(terminal) as report:
                ended = follow(engine, started.id, report)
        except STOPS as error:
            ended = engine.build(started.id)
            code = stopped(error, goes_on(ended), terminal)
        else:
            code = 0 if ended.state is BuildState.DONE else 1
            if code:
                tell_end(ended, terminal)
            elif not terminal.json:
                terminal.say(clean(f"rebuilt  {ended.key}"))
        builds = (ended,)
    elif not terminal.json:
        for build in builds:
            terminal.say(clean(f"started  {build.id}  for {build.key}"))
        terminal.say("Follow them with `envdeck builds`")
    if terminal.json:
        terminal.document(json_cache.rebuild(plan, builds, time.time()))
    return code


def _planned(engine: Engine, plan: RebuildPlan, terminal: Terminal) -> int:
    forecast = engine.forecast_rebuild(plan)
    if terminal.json:
        terminal.document(json_cache.rebuild(plan, None, time.time(), forecast))
    else:
        from app.cli import render_cache

        terminal.show(render_cache.rebuild_plan(plan, forecast))
        for problem in plan.problems:
            terminal.complain(problem)
    return 1 if plan.problem else 0


def _planned_bulk(engine: Engine, plan: BulkPlan, terminal: Terminal) -> int:
    forecast = engine.forecast_rebuild(plan.plan)
    if terminal.json:
        terminal.document(json_cache.bulk(plan, time.time(), forecast=forecast))
    else:
        from app.cli import render_cache

        terminal.show(render_cache.bulk(plan, forecast))
        if plan.problem:
            terminal.complain(plan.problem)
    return 1 if plan.problem else 0


def _bulk(engine: Engine, plan: BulkPlan, options: Namespace, terminal: Terminal) -> int:
    def tell(progress: RunProgress) -> None:
        item = progress.item
        changed = f"  {item.key} {item.state.value}" if item else ""
        if item and item.state in (ItemState.ERROR, ItemState.ABORTED):
            changed += f": {item.message}"
        terminal.say(clean(f"{progress}{changed}"))

    def stop() -> bool:
        check()
        return False

    try:
        result = engine.run_bulk(plan, parallelism=options.parallelism or 1, on_progress=tell, stop=stop)
    except STOPS as error:
        again = shlex.join(["envdeck", "rebuild", "--list", plan.name, "--retry"])
        code = stopped(
            error, f"builds that were started go on, the others were not begun. Resume with `{again}`", terminal
        )
        if terminal.json:
            terminal.document(json_cache.bulk(plan, time.time(), interrupted=True))
        return code
    if terminal.json:
        terminal.document(json_cache.bulk(plan, time.time(), result))
    else:
        terminal.say(str(result))
    return 0 if result.ok else 1


def _known(engine: Engine, name: str) -> RebuildList:
    """The list of that name. Raises `InputError`: to work off what a mistyped name holds would be done at once."""
    lists = engine.rebuild_lists()
    found = next((item for item in lists if item.name == name), None)
    if found is None:
        raise InputError(
            Problem(
                "rebuild-list-unknown",
                "there is no such list",
                expected=", ".join(item.name for item in lists) or "none exists",
                found=name,
                hint="`envdeck rebuild --list NAME KEY…` begins one",
            )
        )
    return found


def _show(engine: Engine, name: str, terminal: Terminal) -> int:
    found = _known(engine, name)
    if terminal.json:
        terminal.document(json_cache.rebuild_list(found))
    else:
        from app.cli import render_cache

        terminal.show(render_cache.rebuild_list(found))
    return 0


def add_commands(children: Commands) -> None:
    command = children.add(
        "rebuild",
        rebuild,
        "build environments again, some or a whole list",
        "Builds environments again under the keys they have; what is running keeps what\n"
        "it runs in. One is followed like `envdeck build`, several are only started.\n\n"
        "With --list the KEYs are put on a named list, which is worked off, so many at a\n"
        "time; more than eight are refused without one. The list is kept: after an\n"
        "interruption the same command goes on with it.\n\n"
        "What an earlier build of the same list ended with is made again from the wheel\n"
        "store ([Envdeck] Replay). With --fresh pip fetches and resolves everything anew.",
        "  envdeck rebuild q3Zk\n"
        "  envdeck rebuild q3Zk --fresh\n"
        "  envdeck rebuild --list upgrade q3Zk 7dGa --parallelism 2\n"
        "  envdeck rebuild --list upgrade --retry\n"
        "  envdeck rebuild --list upgrade --show",
        "  0    rebuilt, or several were started\n"
        "  1    refused, or a build failed\n"
        "  2    bad usage, or no such environment or list\n"
        "  130  interrupted with Ctrl-C; builds that were started go on",
        "{items [{key, attempt, installation, running, errors}], fresh, seconds (of the\n"
        "  last builds), forecast (null unless with --dry-run or refused, {items [{key,\n"
        "  way (replayed, seeded or installed), reason, packages, stored (in the wheel\n"
        "  store), seconds, basis, bytes}], unseen (how many more, taken to be like\n"
        "  these), seconds, at_once, bytes, bytes_kept (by what is there now),\n"
        "  bytes_free, fits}), builds (as of `envdeck builds`, null when none was started),\n"
        "  error}. With --list\n"
        "  {name, added, keys, gone, plan, interrupted, result (null, or {items, success,\n"
        "  error, aborted, total, seconds}), error}; with --show {name, items [{key,\n"
        "  state, build, changed_at, message}], runner}",
    )
    command.add_argument("keys", metavar="KEY", nargs="*", help="the key of an environment, or the beginning of one")
    command.add_argument("--fresh", action="store_true", help="take nothing from the wheel store, fetch everything")
    command.add_argument("--list", metavar="NAME", help="put the KEYs on this list and work it off")
    command.add_argument("--all", action="store_true", help="also what is complete on the list")
    command.add_argument("--retry", action="store_true", help="also what failed or was aborted")
    command.add_argument("--force", action="store_true", help="take the list over from a run that is alive")
    command.add_argument("--parallelism", metavar="N", type=count, help="builds at a time (1)")
    command.add_argument("--show", action="store_true", help="only show the list")
    add_dry_run(command)

    command = children.add(
        "retry",
        retry,
        "build once more what a build that has ended was for",
        "Builds the bundle of a build again, as the bundle is now, or what a rebuild was\n"
        "to rebuild; for builds that failed, were cancelled or were lost. It is\n"
        "followed like `envdeck build`.",
        "  envdeck retry last",
        "  0    the environment is ready\n"
        "  1    refused, as while it goes on, or the build failed\n"
        "  2    bad usage, or no such build, bundle or environment\n"
        "  130  interrupted with Ctrl-C; the build goes on",
        "as of `envdeck build`, or of `envdeck rebuild` for a rebuild",
    )
    command.add_argument("build", metavar="BUILD", help=BUILD)
    command.set_defaults(detach=False)
    add_dry_run(command)
