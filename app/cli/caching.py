"""The commands that empty the cache: reaping, and deleting runtime caches. Each returns the exit code."""

from __future__ import annotations

from argparse import Namespace

from app.cli import json_cache
from app.cli.asking import confirmed
from app.cli.grammar import LOOKING, Commands, add_dry_run, add_yes, seconds
from app.cli.interrupting import HALF_DELETED, leaving
from app.cli.terminal import Terminal
from app.cli.units import size
from engine import LOCAL, Engine, ReapResult

__all__ = ["add_commands", "caches", "delete", "reap"]


def reap(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if options.if_due and not engine.reap_is_due():
        if terminal.json:
            terminal.document(json_cache.reap(None))
        else:
            terminal.say("not due: the cache was reaped within Applications.PythonEnvironmentReapFrequency")
        return 0
    plan = engine.plan_reap(options.keys or None, grace=options.grace)
    if not terminal.json:
        from app.cli import render_cache

        terminal.show(render_cache.reap_plan(plan))
    going, result = plan.reapable, None
    # What was named and stays is a no; what stays of the whole cache is as it should be.
    refused = bool(options.keys) and bool(plan.kept)
    if not (options.dry_run or plan.problem):
        question = f"Delete {len(going)} with {size(plan.bytes)}?"
        if going and not confirmed(question, terminal, yes=options.yes):
            return 1
        # Also with nothing to delete: that it was looked for is noted, and what is in use is noted as used.
        with leaving(HALF_DELETED):
            result = engine.execute(plan)
        _tell(result, terminal)
    if terminal.json:
        terminal.document(json_cache.reap(plan, result))
    elif plan.problem:
        terminal.complain(plan.problem)
    return 1 if plan.problem or refused or (result and _incomplete(result, named=bool(options.keys))) else 0


def _incomplete(result: ReapResult, *, named: bool) -> bool:
    return bool(result.failed) or (named and bool(result.refused))


def _tell(result: ReapResult, terminal: Terminal) -> None:
    if not terminal.json:
        from app.cli import render_cache

        terminal.show(render_cache.reaped(result))


def caches(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    items = engine.caches()
    if terminal.json:
        terminal.document([json_cache.cache(item) for item in items])
    else:
        from app.cli import render_cache

        terminal.show(render_cache.caches(items))
    return 0


def delete(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan = engine.plan_delete_cache(options.language, options.python_version, options.image)
    if not terminal.json:
        from app.cli import render_cache

        terminal.show(render_cache.cache_plan(plan))
    result = None
    if not (options.dry_run or plan.problem):
        question = f"Delete {len(plan.deletable)} with {size(plan.bytes)}?"
        if plan.deletable and not confirmed(question, terminal, yes=options.yes):
            return 1
        with leaving(HALF_DELETED):
            result = engine.execute(plan)
        _tell(result, terminal)
    if terminal.json:
        terminal.document(json_cache.deleted(plan, result))
    elif plan.problem:
        terminal.complain(plan.problem)
    return 1 if plan.problem or plan.kept or (result and _incomplete(result, named=True)) else 0


_ITEMS = """\
items [{kind (environment,
  attempt, trash or wheel), key, package, path, bytes, reapable,
  reasons [{code, message, names}], used_by}]"""
_RESULT = "result (null, or {removed, refused, failed, bytes})"


def add_commands(children: Commands) -> None:
    command = children.add(
        "reap",
        reap,
        "delete the environments that no content uses",
        "Deletes environments that nobody uses, or only those of the KEYs. Each is shown\n"
        "with its verdict and every reason why it stays: content that uses it, running\n"
        "processes, a pin, a build, the grace period. Without KEYs also what crashes left\n"
        "behind and the packages in the wheel store that nothing needs. Asks before it\n"
        "deletes, and judges each again right before.",
        "  envdeck reap --dry-run\n  envdeck reap --if-due --yes\n  envdeck reap q3Zk --grace 0",
        "  0  done, or nothing to do\n"
        "  1  a KEY stays, something could not be deleted, or it was refused, as where\n"
        "     nobody confirmed it\n"
        "  2  bad usage, or no such environment",
        f"{{due, complete, grace, planned_at, unreadable_processes, {_ITEMS},\n"
        f"  reapable, kept (counts), bytes, {_RESULT}, error}}",
    )
    command.add_argument("keys", metavar="KEY", nargs="*", help="only these environments: keys or beginnings of keys")
    command.add_argument(
        "--if-due", action="store_true", help="only when Applications.PythonEnvironmentReapFrequency says so"
    )
    command.add_argument(
        "--grace",
        metavar="DURATION",
        type=seconds,
        help="such as 0, 90s, 1h30m, 7d, instead of Envdeck.ReapGracePeriod",
    )
    add_dry_run(command)
    add_yes(command)

    command = children.add(
        "caches",
        caches,
        "the runtime caches by language, version and image",
        "Shows the runtime caches as the server's API lists them: one per language,\nversion and image.",
        "  envdeck caches\n  envdeck caches delete --language Python --version 3.11.9 --dry-run",
        LOOKING,
        "a list of {language, version, image_name, environments, bytes, foreign}",
    )
    command = Commands(command, "caches_command", required=False).add(
        "delete",
        delete,
        "delete a runtime cache, also what content uses",
        "Deletes the environments of a runtime cache, for when its interpreter or system\n"
        "libraries were replaced. Unlike reaping it also deletes what content uses, which\n"
        "is built again when it runs next. What is running, pinned or being built stays.",
        "  envdeck caches delete --language Python --version 3.11.9 --dry-run",
        "  0  deleted\n"
        "  1  refused, some of it stays or could not be deleted, or nobody confirmed it\n"
        "  2  bad usage, or no such cache",
        f"{{cache (as of `envdeck caches`), unreadable_processes, {_ITEMS},\n"
        f"  deletable, kept (counts), bytes, contents (names), rebuild_seconds,\n  {_RESULT}, error}}",
    )
    command.add_argument("--language", metavar="LANGUAGE", required=True, help="Python")
    command.add_argument("--version", metavar="X.Y.Z", dest="python_version", required=True, help="of the interpreter")
    command.add_argument("--image", metavar="IMAGE", default=LOCAL, help=f"the image; {LOCAL} if it is left out")
    add_dry_run(command)
    add_yes(command)
