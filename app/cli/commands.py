"""The commands that look: each asks the engine and shows the answer. Returns the exit code."""

from __future__ import annotations

import time
from argparse import Namespace

from packaging.version import Version

from app.cli import json_output
from app.cli.terminal import Terminal
from engine import Engine, InputError, Problem, Request, Rule

__all__ = ["builds", "bundles", "environments", "installations", "match", "plan"]


def installations(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    items = engine.installations(force_probe=options.force_probe)
    if terminal.json:
        terminal.document([json_output.installation(item) for item in items])
    else:
        from app.cli import render

        terminal.show(render.installations(items))
    return 0


def _request(engine: Engine, options: Namespace) -> Request:
    """What `match` is asked for: a bundle's request, or the one on the command line."""
    given: Request = Request(options.python, options.requires)
    if options.bundle is None:
        if given == Request():
            raise InputError(
                Problem(
                    "usage",
                    "nothing to match",
                    expected="BUNDLE, --python X.Y.Z or --requires SPEC",
                    hint="See `envdeck match --help`",
                )
            )
        return given
    if given != Request():
        raise InputError(
            Problem(
                "usage",
                "a bundle brings its own request",
                expected="either BUNDLE, or --python and --requires",
                hint="See `envdeck match --help`",
            )
        )
    manifest = engine.open_bundle(options.bundle).manifest
    return Request(manifest.python_version, manifest.requires)


def match(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    request = _request(engine, options)
    version: Version | None = request.version
    rule = Rule(options.rule) if options.rule else None
    decision = engine.match(version, request.requires, rule)
    if terminal.json:
        terminal.document(json_output.match(decision))
    else:
        from app.cli import render

        terminal.show(render.match(decision))
        if decision.problem:
            terminal.complain(decision.problem)
    return 0 if decision.chosen else 1


def plan(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    item = engine.plan_build(engine.open_bundle(options.bundle))
    if terminal.json:
        terminal.document(json_output.plan(item))
    else:
        from app.cli import render

        terminal.show(render.plan(item))
        if item.problem:
            terminal.complain(item.problem)
    return 1 if item.problem else 0


def bundles(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    items = engine.refresh().bundles
    if terminal.json:
        terminal.document([json_output.bundle(item) for item in items])
    else:
        from app.cli import render

        terminal.show(render.bundles(items))
    return 0


def environments(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001
    items = engine.refresh().environments
    if terminal.json:
        terminal.document([json_output.environment(item) for item in items])
    else:
        from app.cli import render

        terminal.show(render.environments(items))
    return 0


def builds(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001
    items = engine.refresh().builds
    now = time.time()
    if terminal.json:
        terminal.document([json_output.build(item, now) for item in items])
    else:
        from app.cli import render

        terminal.show(render.builds(items, now))
    return 0
