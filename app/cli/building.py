"""The commands around one build: start it and wait, read its log, cancel it. Each returns the exit code."""

from __future__ import annotations

import time
from argparse import Namespace

from app.cli import json_output
from app.cli.following import PlainReporter, follow, reporter, stamped
from app.cli.terminal import Terminal
from app.cli.units import duration
from engine import (
    Action,
    Build,
    BuildPlan,
    BuildState,
    Engine,
    EnvdeckError,
    Environment,
    LogLine,
    Problem,
    clean,
)

__all__ = ["build", "cancel", "log"]

_INTERRUPTED = 130
_CANCEL_PATIENCE = 30.0
"""Seconds that `cancel` waits for the build to end."""
_QUIET = 0.5
"""Seconds without a new line after which the log of a running build counts as read so far."""


def build(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_build(engine.open_bundle(options.bundle))
    _announce(plan, terminal)
    try:
        if plan.problem:
            return _refused(plan, plan.problem, terminal)
        outcome = engine.execute(plan)
    except EnvdeckError as error:
        return _refused(plan, error.problem, terminal)
    if outcome.build is None:
        return _ended(plan, None, outcome.environment, terminal)
    started = outcome.build
    if plan.running and plan.running.id == started.id:
        terminal.say(f"joined  {started.id}, started by {clean(started.by)}")
    if options.detach:
        if not terminal.json:
            terminal.say(f"started  {started.id}\n{_going_on(started)}")
        return _document(plan, started, None, terminal, 0)
    try:
        with reporter(terminal) as report:
            ended = follow(engine, started.id, report)
    except KeyboardInterrupt:
        terminal.say(f"interrupted: the build goes on. {_going_on(started)}", error=True)
        return _document(plan, started, None, terminal, _INTERRUPTED)
    return _ended(plan, ended, _environment_of(engine, ended), terminal)


def _announce(plan: BuildPlan, terminal: Terminal) -> None:
    chosen = plan.match.chosen
    if chosen:
        terminal.say(clean(f"matched  Python {chosen.version} at {chosen.path}: {plan.match.reason}"))
    for line in plan.packages.lines:
        if line.action is Action.PROHIBITED:
            terminal.say(clean(f"dropped  {line.requirement}: {line.reason}"))


def _going_on(build: Build) -> str:
    return f"Follow it with `envdeck log -f {build.id}`, end it with `envdeck cancel {build.id}`"


def _environment_of(engine: Engine, build: Build) -> Environment | None:
    if build.state is not BuildState.DONE:
        return None
    return next((e for e in engine.refresh().environments if e.key == build.key), None)


def _document(
    plan: BuildPlan, build: Build | None, environment: Environment | None, terminal: Terminal, code: int
) -> int:
    if terminal.json:
        terminal.document(json_output.built(plan, time.time(), build=build, environment=environment))
    return code


def _refused(plan: BuildPlan, problem: Problem, terminal: Terminal) -> int:
    if terminal.json:
        terminal.document(json_output.built(plan, time.time(), problem=problem))
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
    _tell_end(build, terminal)
    return _document(plan, build, None, terminal, 1)


def _tell_end(build: Build, terminal: Terminal) -> None:
    """How a build ended that did not succeed, on standard error."""
    if build.fault:
        terminal.say(clean(f"{build.state.value} in {build.fault}"), error=True)
        if build.fault.advice:
            terminal.say(clean(f"  → {build.fault.advice}"), error=True)
    else:
        terminal.say(clean(": ".join(filter(None, (build.state.value, build.message)))), error=True)
    terminal.say(clean(f"  log  {build.log}"), error=True)


def log(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    item = engine.build(options.build)
    if options.follow and not terminal.json:
        try:
            item = follow(engine, item.id, PlainReporter(terminal, timestamps=options.timestamps, phases=False))
        except KeyboardInterrupt:
            item = engine.build(item.id)
            if item.state.final:
                terminal.say("interrupted", error=True)
            else:
                terminal.say(f"interrupted: the build goes on. {_going_on(item)}", error=True)
            return _INTERRUPTED
        if item.state is not BuildState.DONE:
            _tell_end(item, terminal)
        return 0
    if options.follow:
        item = engine.wait(item.id)
    lines, earlier = _lines_so_far(engine, item)
    if earlier:
        terminal.say(clean(f"{earlier} earlier lines are left out; {item.log} has them"), error=True)
    if terminal.json:
        terminal.document(json_output.log(item, lines, time.time()))
    elif lines:
        terminal.say("\n".join(stamped(line, options.timestamps) for line in lines))
    return 0


def _lines_so_far(engine: Engine, build: Build) -> tuple[list[LogLine], int]:
    """The log of an ended build, or what a running one has written until now; and how many lines came before."""
    ring = engine.follow(build.id)
    seen = 0
    while not ring.finished:
        ring.wait(seen, _QUIET)
        if ring.total == seen and not build.state.final:
            break
        seen = ring.total
    lines, total = ring.since(0)
    return lines, total - len(lines)


def cancel(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_cancel(options.build)
    problem = plan.problem
    after = plan.build
    if problem is None:
        try:
            engine.execute(plan)
            after = engine.wait(plan.build.id, _CANCEL_PATIENCE)
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
        terminal.say(f"asked {after.id} to stop, but it is still {after.state.value}", error=True)
    return 0 if after.state is BuildState.CANCELLED and problem is None else 1
