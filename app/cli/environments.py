"""The commands about single environments of the cache: list, show, diff, pin, unpin. Each returns the exit code.

`verify` is in `app.cli.verifying`.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.cli import json_cache, json_output, verifying
from app.cli.grammar import LOOKING, UNTOLD, Commands, add_dry_run
from engine import clean, read_pin

if TYPE_CHECKING:
    from app.cli.terminal import Terminal
    from engine import (
        Content,
        Engine,
        PinPlan,
    )

__all__ = ["add_commands", "diff", "environments", "pin", "show", "unpin"]

_KEY = "the key of an environment, or the beginning of one"
_FIELDS = """\
key, attempt, path, state (ready, stale or damaged), reason,
  installer, python_version, python_path, target, lines, packages [{name,
  version}], size, shared (bytes of it in the wheel store), files, built_at,
  built_by, seconds, bundle, ingredients, used_by (names of contents),
  last_used_at, pinned (null or {by, at, note})"""


def _used_by(contents: Iterable[Content]) -> dict[str, list[str]]:
    """Key to the names of the contents whose active bundle uses its environment."""
    users: dict[str, list[str]] = {}
    for content in contents:
        if content.key:
            users.setdefault(content.key, []).append(content.name or content.guid)
    return users


def environments(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if options.foreign:
        return _foreign(engine, terminal)
    items, used_by = engine.environments(), _used_by(engine.contents())
    if terminal.json:
        terminal.document([json_output.environment(e, used_by.get(e.key, ()), read_pin(e)) for e in items])
    else:
        from app.cli import render_cache

        terminal.show(render_cache.environments(items, used_by))
    return 0


def _foreign(engine: Engine, terminal: Terminal) -> int:
    items = engine.foreign()
    if terminal.json:
        terminal.document([json_cache.foreign(item) for item in items])
    else:
        from app.cli import render_cache

        terminal.show(render_cache.foreign(items))
    return 0


def show(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    from engine import find_environment, read_verification

    snapshot = engine.refresh()
    item = find_environment(snapshot.environments, options.key)
    used_by, users = _used_by(snapshot.contents).get(item.key, []), engine.users_of([item])
    builds = [build for build in snapshot.builds if build.key == item.key]
    verification, now = read_verification(item), time.time()
    if terminal.json:
        terminal.document(json_cache.environment(item, used_by, read_pin(item), users, builds, verification, now))
    else:
        from app.cli import render_cache

        terminal.show(render_cache.environment(item, read_pin(item), used_by, users, builds, verification, now))
    return 0


def diff(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    from engine import compare_environments, find_environment

    there = engine.environments()
    found = compare_environments(find_environment(there, options.one), find_environment(there, options.other))
    if terminal.json:
        terminal.document(json_cache.difference(found))
    else:
        from app.cli import render_cache

        terminal.show(render_cache.difference(found))
    return 0 if found.none else 1


def pin(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    return _set(engine, engine.plan_pin(options.key, note=options.note), options, terminal)


def unpin(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    return _set(engine, engine.plan_unpin(options.key), options, terminal)


def _set(engine: Engine, plan: PinPlan, options: Namespace, terminal: Terminal) -> int:
    after = None if options.dry_run or plan.problem else engine.execute(plan)
    if terminal.json:
        terminal.document(json_cache.pinned(plan, after, read_pin(after or plan.environment)))
    elif plan.problem:
        terminal.complain(plan.problem)
    elif after is None:
        from app.cli import render_cache

        terminal.show(render_cache.pinning(plan))
    else:
        terminal.say(clean(f"{'pinned' if plan.pin else 'unpinned'}  {plan.environment.key}"))
    return 1 if plan.problem else 0


def add_commands(children: Commands) -> None:
    command = children.add(
        "environments",
        environments,
        "the cache: every environment with its state, size and who uses it",
        "Shows every environment of the cache: its state and the reason for it, its\n"
        "Python, size, age, the bundle it was first built for, which content uses it,\n"
        "when it was last used, and whether it is pinned.",
        "  envdeck environments\n"
        "  envdeck environments --foreign\n"
        "  envdeck environments show q3Zk\n"
        "  envdeck environments verify\n"
        "  envdeck environments --json | jq 'map(.size) | add'",
        LOOKING,
        f"a list of {{{_FIELDS}}}.\n"
        "  With --foreign a list of {name, path, installer, python_version, target,\n"
        "  home, state, reason, packages, made_at}",
    )
    command.add_argument("--foreign", action="store_true", help="list those that the server itself made instead")
    children_of = Commands(command, "environments_command", required=False)
    command = children_of.add(
        "show",
        show,
        "one environment: its record, its packages, and who uses it",
        "Shows one environment: its record, what it was asked for, its packages, the\n"
        "content that uses it, the processes that run in it now, every build of its key,\n"
        "and what its last verification came to.",
        "  envdeck environments show q3Zk",
        f"  0  shown\n{UNTOLD}\n  2  bad usage, or no such environment",
        f"{{{_FIELDS},\n  processes [{{pid, user, command, how}}], unreadable_processes,\n"
        "  builds (a list as of `envdeck builds`), verification (null, or {at, by, ok,\n"
        "  count (of findings), findings}: the last one)}",
    )
    command.add_argument("key", metavar="KEY", help=_KEY)
    command = children_of.add(
        "diff",
        diff,
        "how two environments differ: packages, lines, interpreter, index",
        "Compares two environments: the versions of their packages, the lines that they\n"
        "were built with, and what else their keys cover, such as the interpreter and\n"
        "where packages come from.",
        "  envdeck environments diff q3Zk 9f3a\n  envdeck environments diff q3Zk 9f3a --json | jq '.packages[].name'",
        "  0  nothing differs\n  1  something does\n  2  bad usage, or no such environment",
        "{one, other (keys), same, packages [{name, one, other}], same_packages (a\n"
        "  count), only_one, only_other (lines), ingredients [{name, one, other}]}; null for\n"
        "  what one of them has not",
    )
    command.add_argument("one", metavar="KEY", help=_KEY)
    command.add_argument("other", metavar="KEY", help=_KEY)
    verifying.add_command(children_of)

    fields = "{key, done, pinned (null or {by, at, note}), error}"
    command = children.add(
        "pin",
        pin,
        "keep an environment, whether or not content uses it",
        "Pins an environment, so that it is never reaped. A pin that is there already is\nreplaced.",
        "  envdeck pin q3Zk --note 'base of the training course'",
        "  0  pinned\n  1  refused\n  2  bad usage, or no such environment",
        fields,
    )
    command.add_argument("key", metavar="KEY", help=_KEY)
    command.add_argument("--note", metavar="TEXT", default="", help="why, for whoever comes later")
    add_dry_run(command)
    command = children.add(
        "unpin",
        unpin,
        "take the pin off an environment",
        "Takes the pin off an environment. It is reaped then when no content uses it.",
        "  envdeck unpin q3Zk",
        "  0  unpinned\n  1  it is not pinned, or refused\n  2  bad usage, or no such environment",
        fields,
    )
    command.add_argument("key", metavar="KEY", help=_KEY)
    add_dry_run(command)
