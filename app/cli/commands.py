"""The commands that look: each asks the engine and shows the answer. Returns the exit code."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from app.cli import json_config, json_output
from app.cli.grammar import BUILD_FIELDS, BUNDLE, LOOKING, specifier, version
from engine import InputError, Problem, Request, Rule, Severity

if TYPE_CHECKING:
    from app.cli.grammar import Commands
    from app.cli.terminal import Terminal
    from engine import BuildPlan, Engine, Trial

__all__ = [
    "add_commands",
    "as_allowed",
    "builds",
    "bundles",
    "installations",
    "match",
    "plan",
    "show_plan",
    "targets",
]


def installations(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    items = engine.installations(force_probe=options.force_probe)
    if terminal.json:
        terminal.document([json_output.installation(item) for item in items])
    else:
        from app.cli import render

        terminal.show(render.installations(items, time.time()))
        terminal.show(render.uv(engine.uv()))
    return 0


def _asked(options: Namespace) -> Request | None:
    """The request on the command line; None where there is none."""
    given = Request(options.python, options.requires)
    return None if given == Request() else given


def _tried(engine: Engine, options: Namespace) -> Trial:
    """What `match` is asked for: a bundle's request, or the one on the command line, or the one for the other."""
    asked = _asked(options)
    if options.bundle is None and asked is None:
        raise InputError(
            Problem(
                "usage",
                "nothing to match",
                expected="BUNDLE, --python X.Y.Z or --requires SPEC",
                hint="See `envdeck match --help`",
            )
        )
    return engine.try_request(asked, engine.open_bundle(options.bundle) if options.bundle is not None else None)


def _rule(options: Namespace) -> Rule | None:
    return Rule(options.rule) if options.rule else None


def match(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    trial = _tried(engine, options)
    decision = trial.outcome(_rule(options)).match
    if terminal.json:
        terminal.document(json_output.trial(trial, _rule(options)))
    else:
        from app.cli import render_plan

        terminal.show(render_plan.match(decision))
        terminal.show(render_plan.rules(trial, _rule(options)))
        if decision.problem:
            terminal.complain(decision.problem)
    return 0 if decision.chosen else 1


def plan(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    bundle = engine.open_bundle(options.bundle)
    asked, rule = _asked(options), _rule(options)
    if asked is None and rule is None:
        return show_plan(engine, engine.plan_build(bundle), terminal)
    item = engine.try_request(asked, bundle).outcome(rule).plan
    assert item is not None, "a trial for a bundle has its plan"
    return show_plan(engine, item, terminal, told=asked is None)


def as_allowed(engine: Engine, plan: BuildPlan) -> BuildPlan:
    """`plan` with what keeps this account from carrying it out. What is there already is for everybody."""
    return plan if plan.problem or plan.hit else plan.having(problem=engine.refusal)


def show_plan(engine: Engine, item: BuildPlan, terminal: Terminal, *, told: bool = True) -> int:
    """What building would do; the exit code says whether it can be done.

    With `told` the bundle itself asks for what is planned, and where it does is shown.
    """
    steps = engine.explain_request(item.bundle) if told else ()
    if terminal.json:
        terminal.document(json_output.plan(item, steps))
    else:
        from app.cli import render_plan

        terminal.show(render_plan.plan(item, steps))
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


def targets(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001
    declared = engine.refresh().declarations
    if terminal.json:
        terminal.document(json_config.targets(declared))
    else:
        from app.cli import render_plan

        terminal.show(render_plan.targets(declared))
    return 1 if any(item.severity is Severity.ERROR for item in declared.problems) else 0


def builds(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001
    snapshot = engine.refresh()
    items = snapshot.builds
    now = time.time()
    if terminal.json:
        terminal.document([json_output.build(item, now) for item in items])
    else:
        from app.cli import render

        terminal.show(render.builds(items, now))
    return 0


def _add_trial(command: ArgumentParser) -> None:
    """The options that ask `what if`."""
    command.add_argument("--python", metavar="X.Y.Z", type=version, help="as if the bundle asked for this version")
    command.add_argument(
        "--requires", metavar="SPEC", type=specifier, help="a version constraint, which supersedes version and rule"
    )
    command.add_argument(
        "--rule",
        choices=["major-minor", "exact"],
        help="decide by this rule instead of the configured Python.VersionMatching",
    )


def add_commands(children: Commands) -> None:
    command = children.add(
        "installations",
        installations,
        "the configured interpreters, and whether each can be used",
        "Shows every interpreter named by Python.Executable: its version, whether it can\n"
        "be used, and if not why and what to do; and how long it gets security fixes.",
        "  envdeck installations\n  envdeck installations --json | jq '.[] | select(.usable | not)'",
        LOOKING,
        "a list of {version, path (as declared), executable, origin, target, usable,\n"
        "  state, reason, remedy, checks [{code, status, finding, remedy}],\n"
        "  security_fixes {state (supported, ending, ended or unknown), until, reason},\n"
        "  facts (null, or what the interpreter said of itself), seconds}",
    )
    command.add_argument("--force-probe", action="store_true", help="run every interpreter again, ignoring the cache")

    command = children.add(
        "match",
        match,
        "which installation serves a bundle or a version, and why",
        "Decides which installation serves a bundle, or a version or constraint given\n"
        "here, and shows the verdict and the reason for every candidate, and what the\n"
        "other rule would choose. Given both, as if the bundle asked for that.",
        "  envdeck match ./my-app\n"
        "  envdeck match --python 3.9.7\n"
        "  envdeck match ./my-app --rule exact\n"
        "  envdeck match ./my-app --requires '>=3.9,<3.12' --json",
        "  0  an installation was chosen\n"
        "  1  none fits\n"
        "  2  bad usage, or a bundle or configuration file that cannot be read",
        "{rule, request {version, requires}, chosen (null or {version, path,\n"
        "  target}), reason, candidates [{version, path, target, verdict, reason}],\n"
        "  error, rules [{rule, in_force, chosen, reason, key, hit}] (what each rule\n"
        "  makes of it; the last two null without a bundle)}. A verdict is chosen,\n"
        "  passed over, rejected or unusable.",
    )
    command.add_argument("bundle", metavar="BUNDLE", nargs="?", help=BUNDLE)
    _add_trial(command)

    command = children.add(
        "plan",
        plan,
        "what building a bundle would do, and why; changes nothing",
        "Shows where the version request comes from, the match, whether the environment\n"
        "is managed and by which level, what happens to each requirement line and why,\n"
        "the key, and whether the environment is there already. On a miss it names the\n"
        "nearest environment and the lines that differ. Whether this account may build\n"
        "is what `envdeck build --dry-run` says.",
        "  envdeck plan ./my-app\n"
        "  envdeck plan ./my-app --python 3.12.1\n"
        "  envdeck plan bundle.tar.gz --json | jq .hit",
        "  0  the plan can be carried out, or its environment is there\n"
        "  1  it cannot be carried out; the reason is shown\n"
        "  2  bad usage, or a bundle or configuration file that cannot be read",
        "{bundle, bundle_path, key, hit, match (as `envdeck match`), installation\n"
        "  (as `envdeck installations`, or null), packages [{name, requirement, action,\n"
        "  reason, where, notes, mutable}], needs_source, lines (those the key covers),\n"
        "  environment (path or null), nearest (null or {key, path, only_here,\n"
        "  only_there, other_ingredients, changes [{name, there, here}]}), unusable (null or\n"
        "  {path, state, reason}: of this very key, but not fit), running (a build's id or null), ingredients,\n"
        "  installer (null or {name (pip or uv), reason, uv_wanted, obstacles}),\n"
        "  supply (null or {stored, total, replayed, reason}: what comes from the wheel store),\n"
        "  management {managed, level, reason, levels [{level, value, standing,\n"
        "  reason}]}, provenance [{source, standing, raw, constraint, reason}], target_match (null,\n"
        "  or {basis, environment, reason, environments, error}), error}",
    )
    command.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    _add_trial(command)

    children.add(
        "bundles",
        bundles,
        "the bundles on offer: shipped samples and those under Envdeck.BundleDir",
        "Shows the shipped samples and the bundles in the directories named by\n"
        "Envdeck.BundleDir, with whether the environment of each is in the cache.",
        "  envdeck bundles",
        LOOKING,
        "a list of {name, path, sample, title, key, hit, error}",
    )
    children.add(
        "targets",
        targets,
        "the execution environments that are declared, and what is wrong with them",
        "Shows every declared execution environment (a container image) with the\n"
        "installations in it, and each problem of the files with line and column. While\n"
        "any file is configured all content runs off-host.",
        "  envdeck targets\n  envdeck targets --json | jq -r '.environments[].image'",
        "  0  shown, and no error in the files\n  1  the files have errors\n  2  bad usage",
        "{off_host, files, environments [{image, title, description, matching (any,\n"
        "  exact or none), supervisor, guid, where, installations [{version, path,\n"
        "  where}], runtimes}], ok, errors, warnings (counts), problems}",
    )
    children.add(
        "builds",
        builds,
        "running and past builds, newest first",
        "Shows the builds of everybody on this data directory, newest first.",
        "  envdeck builds\n  envdeck builds --json | jq -r '.[0].log'",
        LOOKING,
        f"a list of {{{BUILD_FIELDS}}}",
    )
