"""The commands around one build: start it and wait, read its log, cancel it. Each returns the exit code."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from itertools import islice

from app.cli import json_output
from app.cli.following import PlainReporter, follow, reporter, wait
from app.cli.grammar import BUILD, BUILD_FIELDS, BUNDLE, Commands, add_dry_run, pattern
from app.cli.interrupting import STOPS, stopped
from app.cli.terminal import Terminal
from app.cli.units import duration
from engine import (
    Action,
    Build,
    BuildPlan,
    BuildState,
    CancelPlan,
    Engine,
    EnvdeckError,
    Environment,
    InputError,
    LogLevel,
    LogLine,
    Problem,
    clean,
    log_level,
)

__all__ = ["add_commands", "build", "cancel", "carry_out", "goes_on", "log", "tell_end"]

_CANCEL_PATIENCE = 30.0
"""Seconds that `cancel` waits for the build to end."""
_AT_ONCE = 5000
"""Lines of a log that are printed with one write."""


def build(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_build(engine.open_bundle(options.bundle))
    if options.dry_run:
        from app.cli import commands

        return commands.show_plan(engine, commands.as_allowed(engine, plan), terminal)
    return carry_out(engine, plan, options, terminal)


def carry_out(engine: Engine, plan: BuildPlan, options: Namespace, terminal: Terminal) -> int:
    """Build what `plan` says and show the log until its end, unless the options say ``--detach``."""
    _announce(plan, terminal)
    try:
        if plan.problem:
            return _refused(plan, plan.problem, terminal)
        outcome = engine.execute(plan)
    except EnvdeckError as error:
        return _refused(plan, error.problem, terminal)
    except KeyboardInterrupt as error:
        begun = _begun(engine, plan)
        code = stopped(error, goes_on(begun) if begun else "no build was started", terminal)
        return _document(plan, begun, None, terminal, code)
    if outcome.build is None:
        return _ended(plan, None, outcome.environment, terminal)
    started = outcome.build
    if plan.running and plan.running.id == started.id:
        terminal.say(f"joined  {started.id}, started by {clean(started.by)}")
    if options.detach:
        if not terminal.json:
            terminal.say(f"started  {started.id}\n{_ways_on(started)}")
        return _document(plan, started, None, terminal, 0)
    try:
        with reporter(terminal) as report:
            ended = follow(engine, started.id, report)
    except STOPS as error:
        now = engine.build(started.id)
        return _document(plan, now, None, terminal, stopped(error, goes_on(now), terminal))
    environment = engine.environment_of(ended) if ended.state is BuildState.DONE else None
    return _ended(plan, ended, environment, terminal)


def _announce(plan: BuildPlan, terminal: Terminal) -> None:
    chosen = plan.match.chosen
    if chosen:
        terminal.say(clean(f"matched  Python {chosen.version} at {chosen.path}: {plan.match.reason}"))
    for line in plan.packages.lines:
        if line.action in (Action.PROHIBITED, Action.REFUSED):
            terminal.say(clean(f"dropped  {line.requirement}: {line.reason}"))


def _ways_on(build: Build) -> str:
    """What can be done about a build that is under way."""
    return f"Follow it with `envdeck log -f {build.id}`, end it with `envdeck cancel {build.id}`"


def goes_on(build: Build) -> str:
    """What becomes of a build that is not watched any more; empty when it has ended."""
    return "" if build.state.final else f"the build goes on. {_ways_on(build)}"


def _begun(engine: Engine, plan: BuildPlan) -> Build | None:
    """The build of `plan` that is under way, if the interruption came too late to keep it from starting."""
    builds = engine.refresh().builds
    return next((build for build in builds if build.key == plan.key and not build.state.final), None)


def _document(
    plan: BuildPlan, build: Build | None, environment: Environment | None, terminal: Terminal, code: int
) -> int:
    if terminal.json:
        terminal.document(json_output.built(plan, time.time(), build=build, environment=environment))
    return code


def _refused(plan: BuildPlan, problem: Problem, terminal: Terminal) -> int:
    if terminal.json:
        terminal.document(json_output.built(plan, time.time(), refused=problem))
    else:
        terminal.complain(problem)
    return 1


def _ended(plan: BuildPlan, build: Build | None, environment: Environment | None, terminal: Terminal) -> int:
    """The last line of `build`: where the environment is, or what went wrong and where to read more."""
    if build is None or build.state is BuildState.DONE:
        reused = build is None or build.reused
        how = "reused" if reused else f"built in {duration(build.seconds(time.time()))}" if build else ""
        path = clean(str(environment.path)) if environment else "(its environment is gone already)"
        if not terminal.json:
            terminal.say(f"ready  {path}  ({how})")
        return _document(plan, build, environment, terminal, 0)
    tell_end(build, terminal)
    return _document(plan, build, None, terminal, 1)


def tell_end(build: Build, terminal: Terminal) -> None:
    """How a build ended that did not succeed, on standard error."""
    if build.fault:
        terminal.say(clean(f"{build.state.value} in {build.fault}"), error=True)
        if build.fault.advice:
            terminal.say(clean(f"  → {build.fault.advice}"), error=True)
    else:
        terminal.say(clean(": ".join(filter(None, (build.state.value, build.message)))), error=True)
    terminal.say(clean(f"  log  {build.log}"), error=True)


def log(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    item, wanted = engine.build(options.build), _wanted(options)
    if options.follow and not terminal.json:
        reporter = PlainReporter(terminal, timestamps=options.timestamps, phases=False, wanted=wanted)
        try:
            item = follow(engine, item.id, reporter)
        except STOPS as error:
            return stopped(error, goes_on(engine.build(item.id)), terminal)
        if item.state is not BuildState.DONE:
            tell_end(item, terminal)
        return _found(reporter.shown, options)
    if options.follow:
        try:
            item = wait(engine, item.id)
        except KeyboardInterrupt as error:
            item = engine.build(item.id)
            terminal.document(json_output.log(item, list(filter(wanted, engine.read_log(item.id))), time.time()))
            return stopped(error, goes_on(item), terminal)
    lines = filter(wanted, engine.read_log(item.id))
    if terminal.json:
        chosen = list(lines)
        terminal.document(json_output.log(item, chosen, time.time()))
        return _found(len(chosen), options)
    reporter = PlainReporter(terminal, timestamps=options.timestamps, phases=False)
    while some := list(islice(lines, _AT_ONCE)):
        reporter.lines(some)
    return _found(reporter.shown, options)


def _wanted(options: Namespace) -> Callable[[LogLine], bool]:
    """Which lines of the log ``--grep``, ``--invert`` and ``--errors`` ask for."""
    pattern, invert, errors = options.grep, options.invert, options.errors
    if invert and pattern is None:
        raise InputError(Problem("usage", "--invert is about --grep", expected="--grep PATTERN --invert"))

    def wanted(line: LogLine) -> bool:
        if errors and log_level(line.text) is not LogLevel.ERROR:
            return False
        return pattern is None or (pattern.search(line.text) is not None) is not invert

    return wanted


def _found(shown: int, options: Namespace) -> int:
    """The exit code: as of grep, 1 when lines were looked for and there is none."""
    return 1 if not shown and (options.grep is not None or options.errors) else 0


def cancel(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_cancel(options.build)
    problem = plan.problem
    after = plan.build
    if options.dry_run:
        return _cancel_plan(plan, terminal)
    if problem is None:
        try:
            engine.execute(plan)
            after = wait(engine, plan.build.id, _CANCEL_PATIENCE)
        except KeyboardInterrupt as error:
            after = engine.build(plan.build.id)
            if terminal.json:
                terminal.document(json_output.cancelled(after, time.time(), None))
            return stopped(error, _asked_to_stop(after), terminal)
        except EnvdeckError as error:
            problem = error.problem
    if terminal.json:
        terminal.document(json_output.cancelled(after, time.time(), problem))
    elif problem:
        terminal.complain(problem)
    elif after.state is BuildState.CANCELLED:
        terminal.say(f"cancelled  {after.id}")
    elif after.state.final:
        terminal.say(f"not cancelled: {after.id} had ended already ({after.state.value})", error=True)
    else:
        terminal.say(_asked_to_stop(after), error=True)
    return 0 if after.state is BuildState.CANCELLED and problem is None else 1


def _asked_to_stop(build: Build) -> str:
    if build.state.final:
        return f"{build.id} has ended ({build.state.value})"
    return f"asked {build.id} to stop, but it is still {build.state.value}. See how it ends with `envdeck builds`"


def _cancel_plan(plan: CancelPlan, terminal: Terminal) -> int:
    if terminal.json:
        terminal.document(json_output.cancelled(plan.build, time.time(), plan.problem))
    elif plan.problem:
        terminal.complain(plan.problem)
    else:
        terminal.say(clean(f"would stop  {plan.build.id}, {plan.build.state.value}, started by {plan.build.by}"))
    return 1 if plan.problem else 0


def add_commands(children: Commands) -> None:
    command = children.add(
        "build",
        build,
        "find the environment of a bundle, or build it",
        "Finds the environment of a bundle in the cache, or builds it and shows pip's log\n"
        "while it runs. The last line says where the environment is. The build runs on\n"
        "its own: closing the terminal or pressing Ctrl-C does not stop it.",
        "  envdeck build ./my-app\n"
        "  envdeck build ./my-app --detach\n"
        "  python=$(envdeck build ./my-app --json | jq -r .path)/bin/python",
        "  0    the environment is ready, or with --detach the build was started\n"
        "  1    no match, refused, or the build failed, was cancelled or was lost\n"
        "  2    bad usage, or a bundle or configuration file that cannot be read\n"
        "  130  interrupted with Ctrl-C; the build goes on",
        "{key, path (null unless ready), reused, seconds (0 for a hit), status (done,\n"
        "  failed, cancelled, lost, running or refused), build (id, null for a hit),\n"
        "  fault (null or {phase, package, message, advice}), log (path or null), match\n"
        "  (as `envdeck match`), error}. The log goes to standard error. With --dry-run\n"
        "  the document of `envdeck plan`.",
    )
    command.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    command.add_argument(
        "--detach", "--no-wait", dest="detach", action="store_true", help="start the build and do not wait for it"
    )
    add_dry_run(command)

    command = children.add(
        "log",
        log,
        "the log of a build",
        "Prints the log of a build; with --follow until the build has ended.",
        "  envdeck log last\n"
        "  envdeck log -f last --timestamps\n"
        "  envdeck log last --errors\n"
        "  envdeck log last --grep 'numpy|pandas'",
        "  0    shown, however the build ended\n"
        "  1    no line is what --grep or --errors ask for\n"
        "  2    bad usage, or no such build\n"
        "  130  interrupted with Ctrl-C; the build goes on",
        f"{{{BUILD_FIELDS},\n  lines [{{at, text}}]}}. With --follow it is printed when the build has ended.",
    )
    command.add_argument("build", metavar="BUILD", help=BUILD)
    command.add_argument("-f", "--follow", action="store_true", help="go on until the build has ended")
    command.add_argument("--timestamps", action="store_true", help="put the UTC time in front of each line")
    command.add_argument(
        "--grep", metavar="PATTERN", type=pattern, help="only lines in which this regular expression is found"
    )
    command.add_argument("--invert", action="store_true", help="only lines in which --grep's expression is not found")
    command.add_argument("--errors", action="store_true", help="only lines that tell of an error")

    command = children.add(
        "cancel",
        cancel,
        "stop a running build",
        "Stops a running build and waits for its end. Nothing of it stays in the cache.",
        "  envdeck cancel last",
        "  0  cancelled\n  1  it had ended already, or cancelling was refused\n  2  bad usage, or no such build",
        f"{{{BUILD_FIELDS},\n  cancelled, error}}",
    )
    command.add_argument("build", metavar="BUILD", help=BUILD)
    add_dry_run(command)
