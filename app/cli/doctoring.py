"""The command that examines the data directory, and repairs what it finds. Returns the exit code."""

from __future__ import annotations

from argparse import Namespace

from app.cli import json_doctor
from app.cli.asking import confirmed
from app.cli.grammar import Commands, add_dry_run, add_yes
from app.cli.interrupting import HALF_DELETED, leaving
from app.cli.terminal import Terminal
from engine import Engine, InputError, Problem

__all__ = ["add_commands", "doctor"]


def doctor(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    if not options.repair and (options.dry_run or options.yes):
        raise InputError(
            Problem(
                "usage",
                "--dry-run and --yes are about a repair",
                expected="--repair",
                hint="See `envdeck doctor --help`",
            )
        )
    diagnosis = engine.diagnose()
    if not terminal.json:
        from app.cli import render_doctor

        terminal.show(render_doctor.diagnosis(diagnosis))
        if options.repair:
            terminal.show("", render_doctor.repairs(diagnosis.repairs, diagnosis.data_dir))
    plan, result, after = diagnosis.repairs, None, None
    if options.repair and plan.feasible and not options.dry_run:
        if not confirmed(f"Repair {len(plan.feasible)}?", terminal, yes=options.yes):
            return 1
        with leaving(HALF_DELETED):
            result = engine.execute(plan)
        after = engine.diagnose()
    if terminal.json:
        terminal.document(json_doctor.diagnosis(diagnosis, result, after))
    elif result and after:
        terminal.show(render_doctor.repaired(result))
        left = [check.code for check in after.checks if not check.health.fine]
        terminal.say(f"still to look at: {', '.join(left)}" if left else "all is well now")
    return 0 if (after or diagnosis).ok and not (result and result.failed) else 1


def add_commands(children: Commands) -> None:
    command = children.add(
        "doctor",
        doctor,
        "examine the data directory, and repair what crashes left in it",
        "Examines the data directory: who can write there and who could exchange it,\n"
        "space, how it is mounted, whether locks, new names, clocks and links do what\n"
        "envdeck relies on; records that do not parse, damaged environments, and what\n"
        "killed processes left behind. With --repair it shows what it would do, asks, and\n"
        "does each step only if it is still right. It deletes nothing that envdeck did\nnot make.",
        "  envdeck doctor\n  envdeck doctor --repair --dry-run\n"
        "  envdeck doctor --json | jq '.checks[] | select(.health != \"ok\")'",
        "  0  all is well, or notes only\n"
        "  1  something is to be looked at, could not be repaired, or nobody confirmed it\n"
        "  2  bad usage, or a configuration file that cannot be read",
        "{ok, data_dir, examined_at, checks [{code, health (ok, note, warning or failed),\n"
        "  finding, why, remedy, details}], repairs [{kind (settle, attempt, trash,\n"
        "  temporary, overlay, record or job), path, why, bytes, feasible, refusals}],\n"
        "  bytes, result (null, or {done, refused, failed, bytes}), left (codes of the\n"
        "  checks that are still not well)}",
    )
    command.add_argument("--repair", action="store_true", help="repair what can be repaired")
    add_dry_run(command)
    add_yes(command)
