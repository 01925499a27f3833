"""The commands about content: deploy, list, show, set, remove, run. Each returns the exit code."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable

from app.cli import json_content
from app.cli.asking import confirmed
from app.cli.building import goes_on
from app.cli.following import follow, reporter
from app.cli.grammar import BUNDLE, LOOKING, UNTOLD, Commands, add_dry_run, add_yes, count
from app.cli.interrupting import STOPS, stopped
from app.cli.terminal import Terminal
from engine import UNCHANGED, Build, Content, DeployPlan, Engine, EnvdeckError, InputError, Problem, clean

__all__ = ["activate", "add_commands", "change", "contents", "deploy", "remove", "run", "show"]

_REF = "the name or guid of content, or a part that no other content's has"
_MANAGEMENT = {"on": True, "off": False, "unset": None}


class _Followed:
    """Shows the log of the build that comes first, and remembers which it was."""

    def __init__(self, engine: Engine, terminal: Terminal, *, error: bool = False) -> None:
        """`error` sends the log to standard error, because standard output belongs to the command that is run."""
        self._engine = engine
        self._terminal = terminal
        self._error = error
        self.build: Build | None = None

    def __call__(self, build: Build) -> None:
        self.build = build
        with reporter(self._terminal, error=self._error) as report:
            self.build = follow(self._engine, build.id, report)

    def stopped(self, error: KeyboardInterrupt | OSError, what: str) -> int:
        """Say how the content stands, `what`, and whether a build goes on; the exit code. Raises an `OSError` again."""
        build = self.build = self._engine.build(self.build.id) if self.build else None
        more = goes_on(build) if build else ""
        return stopped(error, f"{what}; {more}" if more else what, self._terminal)


# Looking


def contents(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    items = engine.contents()
    if terminal.json:
        terminal.document([json_content.content(item) for item in items])
    else:
        from app.cli import render_content

        terminal.show(render_content.contents(items))
    return 0


def show(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    item = engine.content(options.content)
    found = engine.resolve(item)
    if terminal.json:
        terminal.document(json_content.shown(item, found))
    else:
        from app.cli import render_content

        terminal.show(render_content.content(item, found))
        if found.problem:
            terminal.complain(found.problem)
    return 0


# Changing


def deploy(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    bundle = engine.open_bundle(options.bundle)
    plan = engine.plan_deploy(bundle, name=options.name, guid=options.content)
    steps = engine.explain_request(bundle)
    followed = _Followed(engine, terminal)
    after: Content | None = None
    refused = plan.problem
    code = 0
    if options.dry_run:
        if not terminal.json:
            from app.cli import render_content

            terminal.show(render_content.deploying(plan, steps))
    elif refused is None:
        _announce(plan, terminal)
        after, refused, code = _carried_out(followed, lambda: engine.deploy(plan, followed))
    if terminal.json:
        terminal.document(
            json_content.deployed(plan, steps, time.time(), after=after, build=followed.build, refused=refused)
        )
    elif refused:
        terminal.complain(refused)
    elif after:
        terminal.say(clean(f"deployed  {after.name}  bundle {after.active}  {after.guid}"))
    return 1 if refused else code


def activate(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_activate(options.content, options.number)
    followed = _Followed(engine, terminal)
    after: Content | None = None
    refused = plan.problem
    code = 0
    if options.dry_run:
        if not terminal.json:
            from app.cli import render_content

            terminal.show(render_content.activating(plan))
    elif refused is None:
        for reason in plan.reasons:
            terminal.say(clean(f"  {reason.text}"))
        after, refused, code = _carried_out(followed, lambda: engine.activate(plan, followed))
    if terminal.json:
        terminal.document(json_content.activated(plan, time.time(), after=after, build=followed.build, refused=refused))
    elif refused:
        terminal.complain(refused)
    elif after:
        terminal.say(clean(f"activated  {after.name}  bundle {after.active}  {after.guid}"))
        if plan.running:
            terminal.say("it runs now, and goes on with the bundle that it began with until it is started again")
    return 1 if refused else code


def _carried_out(followed: _Followed, do: Callable[[], Content]) -> tuple[Content | None, Problem | None, int]:
    """What came of `do`, which may build first: the content as it is then, or why it is as it was; and an exit code."""
    try:
        return do(), None, 0
    except STOPS as error:
        return None, None, followed.stopped(error, "the content stays as it was")
    except InputError:
        raise
    except EnvdeckError as error:
        return None, error.problem, 0


def _announce(plan: DeployPlan, terminal: Terminal) -> None:
    chosen = plan.build.match.chosen
    if chosen:
        terminal.say(clean(f"matched  Python {chosen.version} at {chosen.path}: {plan.build.match.reason}"))
    if not plan.build.management.managed:
        terminal.say(clean(f"without an environment: {plan.build.management.reason}"))
    elif plan.build.environment:
        terminal.say(clean(f"reused  {plan.build.environment.path}"))


def change(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if options.name is None and options.management is None and options.image is None:
        raise InputError(
            Problem(
                "usage",
                "nothing to set",
                expected="--name, --management or --image",
                hint="See `envdeck content set --help`",
            )
        )
    level = UNCHANGED if options.management is None else _MANAGEMENT[options.management]
    plan = engine.plan_set(options.content, name=options.name, management=level, default_image=options.image)
    after = None if options.dry_run or plan.problem else engine.execute(plan)
    if terminal.json:
        terminal.document(json_content.set_(plan, after))
    else:
        if plan.problem:
            terminal.complain(plan.problem)
        else:
            from app.cli import render_content

            terminal.show(render_content.setting(plan))
        if after:
            terminal.say(clean(f"set  {after.name}"))
    return 1 if plan.problem else 0


def remove(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_remove(options.content)
    done = False
    if not terminal.json:
        from app.cli import render_content

        terminal.show(render_content.removing(plan))
    if plan.problem is None and not options.dry_run:
        if not confirmed("Remove this content?", terminal, yes=options.yes):
            return 1
        engine.execute(plan)
        done = True
    if terminal.json:
        terminal.document(json_content.removed(plan, done=done))
    elif plan.problem:
        terminal.complain(plan.problem)
    elif done:
        terminal.say(clean(f"removed  {plan.content.name or plan.content.guid}"))
    return 1 if plan.problem else 0


def run(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if terminal.json and not options.dry_run:
        raise InputError(
            Problem("usage", "the output of a command is no JSON document", expected="--json with --dry-run")
        )
    argv: list[str] = options.argv
    if not argv and not options.dry_run:
        raise InputError(Problem("usage", "there is no command to run", expected="envdeck run CONTENT -- COMMAND …"))
    plan = engine.plan_run(options.content)
    if options.dry_run:
        if terminal.json:
            terminal.document(json_content.running(plan, argv))
        else:
            from app.cli import render_content

            terminal.show(render_content.running(plan, argv))
            if plan.problem:
                terminal.complain(plan.problem)
        return 1 if plan.problem else 0
    followed = _Followed(engine, terminal, error=True)
    # What the command writes comes after what was written here.
    sys.stdout.flush()
    try:
        result = engine.run(plan, argv, followed)
    except STOPS as error:
        return followed.stopped(error, "the command was not run")
    if result.problem:
        terminal.complain(result.problem)
    return result.exit_code


# Grammar

_FIELDS = """\
guid, name, app_mode, created_at, created_by, active (number of the
  bundle), key (null without an environment), installation (null or {version,
  path, target}), managed, management (true, false or null), default_image,
  last_used_at, bundles [{number, name, deployed_at, deployed_by, key,
  python_version, size}], error"""
_RESOLUTION = """\
resolution {installation (null or {version, path, target}), environment,
  key, builds_first, reasons [{code, text}], match, error}"""


def add_commands(children: Commands) -> None:
    command = children.add(
        "deploy",
        deploy,
        "build a bundle's environment and record the bundle as content",
        "Finds or builds the environment of a bundle, stores the bundle and makes it the\n"
        "active one of its content: that of --content, or of the bundle's or the given\n"
        "name, which is made if need be. Whatever fails leaves the content as it was.",
        "  envdeck deploy ./my-app\n"
        "  envdeck deploy ./my-app --name dashboard --dry-run\n"
        "  envdeck deploy bundle.tar.gz --content dashboard --json | jq -r .content.guid",
        "  0    deployed\n"
        "  1    no match, refused, or the build failed\n"
        "  2    bad usage, or a bundle, content or configuration that cannot be read\n"
        "  130  interrupted with Ctrl-C; the content stays as it was",
        "{name, guid (null for new content), number, drops (numbers of bundles),\n"
        "  drops_wait, builds_first, plan (as `envdeck plan`), build (null or as\n"
        "  `envdeck builds`), content (as `envdeck content`, null unless deployed), error}",
    )
    command.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    where = command.add_mutually_exclusive_group()
    where.add_argument("--name", metavar="NAME", help="the content's name, instead of the bundle's")
    where.add_argument("--content", metavar="CONTENT", help=_REF)
    add_dry_run(command)

    command = children.add(
        "run",
        run,
        "run a command in content, in its environment",
        "Runs a command in the directory of content's active bundle, in its environment,\n"
        "which is built first if it has to be; the log of that goes to standard error.\n"
        "`python` stands for the content's interpreter. Put `--` before the command.",
        "  envdeck run dashboard -- python -m pytest\n  envdeck run dashboard --dry-run --json",
        "  the command's own; 128 and the number of the signal that ended it\n"
        "  0    with --dry-run: it can be run\n"
        "  1    refused, or the build failed\n"
        "  2    bad usage, or no such content\n"
        "  126  the command cannot be run\n"
        "  127  there is no such command",
        "(with --dry-run only) {guid, name, command, cwd, python, environment,\n"
        f"  image (null on this machine), variables, account, {_RESOLUTION}, error}}",
    )
    command.add_argument("content", metavar="CONTENT", help=_REF)
    command.usage = "envdeck run [options] CONTENT -- COMMAND [ARGUMENT ...]"
    add_dry_run(command)

    command = children.add(
        "content",
        contents,
        "what is deployed: list, show, activate, set, remove",
        "Shows what is deployed: each content item with its Python, its bundles and its\nenvironment.",
        "  envdeck content\n  envdeck content show dashboard\n  envdeck content --json | jq -r '.[].name'",
        LOOKING,
        f"a list of {{{_FIELDS}}}",
    )
    below = Commands(command, "content_command", required=False)
    command = below.add(
        "show",
        show,
        "one content item: settings, bundles, and how it would run now",
        "Shows one content item: its settings, its bundles, and on which installation and\n"
        "in which environment it would run now, with every reason.",
        "  envdeck content show dashboard",
        f"  0  shown\n{UNTOLD}\n  2  bad usage, or no such content",
        f"{{{_FIELDS},\n  {_RESOLUTION}}}",
    )
    command.add_argument("content", metavar="CONTENT", help=_REF)
    command = below.add(
        "activate",
        activate,
        "make another of its bundles the active one, such as the one before",
        "Makes a bundle that was deployed earlier the active one again; by default the\n"
        "one before the active one. That is a deployment of what is here already: it is\n"
        "matched anew, and its environment is found, or built first. Whatever fails\n"
        "leaves the content as it was.",
        "  envdeck content activate dashboard --dry-run\n  envdeck content activate dashboard 3",
        "  0    activated\n"
        "  1    no match, refused, or the build failed\n"
        "  2    bad usage, or no such content or bundle\n"
        "  130  interrupted with Ctrl-C; the content stays as it was",
        "{guid, name, number (of the bundle), before (the number of the active one),\n"
        "  running, builds_first, reasons [{code, text}], plan (null or as `envdeck\n"
        "  plan`), build (null or as `envdeck builds`), content (as `envdeck content`,\n"
        "  null unless activated), error}",
    )
    command.add_argument("content", metavar="CONTENT", help=_REF)
    command.add_argument(
        "number", metavar="NUMBER", nargs="?", type=count, help="the bundle, as `envdeck content show` numbers them"
    )
    add_dry_run(command)
    command = below.add(
        "set",
        change,
        "change its name, its level of environment management, its image",
        "Changes settings of content. Those about the environment count at its next\ndeployment.",
        "  envdeck content set dashboard --management off --dry-run\n  envdeck content set dashboard --name board",
        "  0  set\n  1  refused\n  2  bad usage, or no such content",
        "{guid, done, name, management, default_image, decision (null or as `management`\n  of `envdeck plan`), error}",
    )
    command.add_argument("content", metavar="CONTENT", help=_REF)
    command.add_argument("--name", metavar="NAME", help="what to call it")
    command.add_argument(
        "--management", choices=list(_MANAGEMENT), help="whether its environment is managed; unset takes that back"
    )
    command.add_argument("--image", metavar="IMAGE", help="its default image; '' takes that back")
    add_dry_run(command)
    command = below.add(
        "remove",
        remove,
        "delete it with all its bundles",
        "Deletes content with all its bundles. Its environment stays until it is reaped.",
        "  envdeck content remove dashboard --dry-run",
        "  0  removed\n  1  refused, such as while it runs, or nobody confirmed it\n  2  bad usage, or no such content",
        f"{{{_FIELDS},\n  bytes, done}}",
    )
    command.add_argument("content", metavar="CONTENT", help=_REF)
    add_dry_run(command)
    add_yes(command)
