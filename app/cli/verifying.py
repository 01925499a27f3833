"""The command that proves environments to be what was built. Returns the exit code."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from app.cli import json_doctor
from app.cli.grammar import Commands, add_dry_run
from app.cli.interrupting import check
from app.cli.terminal import Terminal

if TYPE_CHECKING:
    from engine import Engine, VerifyPlan, VerifyProgress

__all__ = ["add_command", "verify"]


def verify(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    plan_of = engine.plan_verify_foreign if options.foreign else engine.plan_verify
    with _progress(terminal) as tell:
        plan = plan_of(options.keys or None, on_progress=tell)
    reason = _why_not(engine, plan, options)
    result = None if reason else engine.execute(plan)
    if terminal.json:
        terminal.document(json_doctor.verified(plan, result, reason))
    else:
        from app.cli import render_doctor

        terminal.show(render_doctor.verified(plan))
        if result:
            terminal.show(render_doctor.marked(result))
        elif plan.to_mark or plan.to_clear:
            terminal.say(f"no mark was changed: {reason}")
    return 1 if plan.damaged or (result and result.failed) else 0


def _why_not(engine: Engine, plan: VerifyPlan, options: Namespace) -> str:
    """Why nothing is marked; empty when what is damaged is."""
    if options.foreign:
        return "what the server made is only looked at"
    if not plan.verifications:
        return "there is no environment"
    return engine.snapshot().read_only or ("--dry-run" if options.dry_run else "")


@contextmanager
def _progress(terminal: Terminal) -> Iterator[Callable[[VerifyProgress], None]]:
    """What to call with the progress: it is shown on standard error if that is a terminal, and gone afterwards."""
    console = terminal.console(sys.stderr) if sys.stderr.isatty() else None
    if console is None or console.is_dumb_terminal:
        yield lambda _: check()
        return
    from app.cli import render_doctor
    from app.cli.progress_line import ProgressLine

    line = ProgressLine(console)

    def tell(progress: VerifyProgress) -> None:
        check()
        line.draw(render_doctor.verification_progress(progress))

    try:
        yield tell
    finally:
        with suppress(OSError):  # the terminal may be gone, which is told elsewhere
            line.clear()


def add_command(children: Commands) -> None:
    command = children.add(
        "verify",
        verify,
        "prove that environments are what was built, file by file",
        "Compares environments with what was built: every file with its hash, the\n"
        "packages with the lock, the interpreter and external packages with those it was\n"
        "built on. Without a KEY it verifies all of them. What is damaged is marked, so\n"
        "that the next to need it builds it again; the mark goes with a verification\n"
        "that finds nothing. With --read-only it only tells. Fit for a nightly job:\n"
        "  17 3 * * *  envdeck environments verify --json > /var/log/envdeck-verify.json",
        "  envdeck environments verify\n"
        "  envdeck environments verify q3Zk --json | jq '.environments[].findings'\n"
        "  envdeck environments verify --foreign",
        "  0  all of them are what was built\n"
        "  1  something is damaged, or could not be marked\n"
        "  2  bad usage, or no such environment",
        "{ok, environments [{key, foreign, path, ok, findings [{kind (changed, missing,\n"
        "  extra, outside, unreadable, record, package-missing, package-extra,\n"
        "  package-version, interpreter or external), file, package, expected, found}],\n"
        "  notes (what was not proven), files, bytes, seconds, verified_at}], gone\n"
        "  (keys), to_mark, to_clear (keys), not_marked (why nothing was, or null),\n"
        "  result (null, or {marked, cleared (keys), failed [{key, error}]})}",
    )
    command.add_argument("keys", metavar="KEY", nargs="*", help="only these environments: keys or beginnings of keys")
    command.add_argument(
        "--foreign", action="store_true", help="those that the server itself made, by what their own metadata says"
    )
    add_dry_run(command)
