"""The command that tells who did what. Returns the exit code."""

from __future__ import annotations

import time
from argparse import Namespace
from datetime import datetime

from app.cli.grammar import Commands, count, seconds
from app.cli.interrupting import check, stopped
from app.cli.terminal import Terminal
from engine import AuditAction, AuditPage, AuditQuery, AuditReader, Engine, InputError, Problem, Severity

__all__ = ["add_commands", "audit", "since"]

_LOOK = 0.5
"""Seconds between looks for new records."""


def audit(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if options.follow and terminal.json:
        raise InputError(
            Problem(
                "usage",
                "what goes on for ever is no document",
                expected="either --follow or --json",
                hint="The audit itself is lines of JSON: tail -F audit.jsonl in the data directory",
            )
        )
    reader = engine.audit(AuditQuery(options.since, options.who, options.action, options.what))
    page = reader.tail(options.number)
    if terminal.json:
        from app.cli import json_audit

        terminal.document(json_audit.page(page))
        return 0
    _show(page, terminal)
    if not page.complete:
        terminal.say(f"the newest {len(page.records)} are shown; -n shows more", error=True)
    if not page.records and not options.follow:
        terminal.say("no record of that kind", error=True)
    return _follow(reader, terminal) if options.follow else 0


def _follow(reader: AuditReader, terminal: Terminal) -> int:
    try:
        while True:
            time.sleep(_LOOK)
            check()
            _show(reader.new(), terminal, header=False)
    except KeyboardInterrupt as error:
        return stopped(error, "", terminal)


def _show(page: AuditPage, terminal: Terminal, *, header: bool = True) -> None:
    if page.records:
        from app.cli import render_audit

        terminal.show(render_audit.records(page.records, header=header))
    if page.broken:
        lines = "1 line that is no record was" if page.broken == 1 else f"{page.broken} lines that are no records were"
        terminal.complain(
            Problem(
                "audit-lines-broken",
                f"{lines} passed over",
                hint="A full disk or an editor spoils single lines; all others are as they were written",
                severity=Severity.WARNING,
            )
        )


def since(text: str) -> float:
    """The time that ``2h`` is ago, or that a date such as ``2026-11-21T03:00`` names, in seconds since the epoch.

    Raises `InputError` (`time-invalid`).
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return time.time() - seconds(text)
    except InputError:
        raise InputError(
            Problem(
                "time-invalid",
                "--since is no time",
                expected="how long ago, such as 90s, 2h or 7d, or a date, such as 2026-11-21 or 2026-11-21T03:00",
                found=text,
            )
        ) from None


def add_commands(children: Commands) -> None:
    command = children.add(
        "audit",
        audit,
        "who did what, when and from where",
        "Shows what everybody did in this data directory, the newest last: builds and\n"
        "their ends, cancellations, deletions, deployments, commands that were run, and\n"
        "each configuration that a staying process took over.",
        "  envdeck audit --since 2h\n"
        "  envdeck audit --who alice --action content\n"
        "  envdeck audit --what q3Zk -n 9999 --json | jq -r '.records[].command'\n"
        "  envdeck audit -f",
        "  0    shown\n  1    the audit cannot be read\n  2    bad usage\n  130  following it was ended with Ctrl-C",
        "{records [{at, action, result (ok, refused or failed), what (word to value),\n"
        "  who {user, login, effective, tty, ssh, host, pid}, code, why, command}],\n"
        "  complete (false when there are older ones), broken_lines}. Actions are\n"
        f"  {', '.join(AuditAction)}.",
    )
    command.add_argument(
        "--since", metavar="TIME", type=since, default=0.0, help="from then on: 90s, 2h, 7d (ago), or a date"
    )
    command.add_argument("--who", metavar="NAME", default="", help="what this user did, also behind sudo or as another")
    command.add_argument(
        "--action", metavar="PREFIX", default="", help="actions that begin so, such as build, content.remove, re"
    )
    command.add_argument(
        "--what", metavar="TEXT", default="", help="with this text in what it was done to, the reason or the command"
    )
    command.add_argument("-n", "--number", metavar="N", type=count, default=100, help="at most so many (100)")
    command.add_argument("-f", "--follow", action="store_true", help="go on with what happens from now on")
