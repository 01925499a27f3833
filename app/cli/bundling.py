"""The command that makes a bundle of a project. Returns the exit code."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from app.cli import json_content
from app.cli.grammar import Commands, add_dry_run, add_force
from app.cli.replacing import refuse_to_replace
from app.cli.terminal import Terminal
from engine import CaptureOptions, Engine, Problem, Refused, clean

__all__ = ["add_commands", "create"]


def create(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    directory = Path(options.directory).absolute()
    wanted = CaptureOptions(
        python=options.python,
        app_mode=options.app_mode,
        entrypoint=options.entrypoint,
        requires=options.requires,
        manage_environment=False if options.no_management else None,
        image=options.image,
    )
    captured = engine.capture(directory, wanted)
    archive = Path(options.output or f"{directory.resolve().name or 'bundle'}.tar.gz").absolute()
    if not terminal.json:
        from app.cli import render_content

        terminal.show(render_content.captured(captured, archive))
    refuse_to_replace(archive, force=options.force)
    if not options.dry_run:
        if options.read_only:
            raise Refused(
                Problem(
                    "read-only", "nothing is written with --read-only", hint="--dry-run shows what would be written"
                )
            )
        engine.write_bundle(captured, archive)
    if terminal.json:
        terminal.document(json_content.captured(captured, archive, written=not options.dry_run))
    elif not options.dry_run:
        terminal.say(clean(f"written  {archive}"))
    return 0


def add_commands(children: Commands) -> None:
    command = children.add(
        "bundle",
        None,
        "make a bundle of a project",
        "Makes a bundle of a project.",
        "  envdeck bundle create ./my-app",
        "  see `envdeck bundle COMMAND --help`",
    )
    command = Commands(command, "bundle_command").add(
        "create",
        create,
        "write a project as a bundle with its manifest",
        "Looks at a project, decides what kind of content it is, where it starts and what\n"
        "it needs, shows every choice with its reason and what is left out, and writes\n"
        "the bundle. A project without requirements.txt gets what its Python has\n"
        "installed.",
        "  envdeck bundle create ./my-app --dry-run\n"
        "  envdeck bundle create ./my-app -o /tmp/my-app.tar.gz --requires '>=3.11'",
        "  0  written\n"
        "  1  refused, as where a file is there already, or it cannot be written\n"
        "  2  bad usage, or a project that cannot be read",
        "{directory, archive, written, app_mode, entrypoint, interpreter, requirements\n"
        "  (each {value, reason, looked_at}), provenance (as `envdeck plan`), frozen\n"
        "  [{line, dropped, reason}], manifest, files [{name, size, md5}], left_out\n"
        "  [{name, reason}]}",
    )
    command.add_argument("directory", metavar="DIR", help="the directory of the project")
    command.add_argument("-o", "--output", metavar="FILE", help="the archive to write (DIR.tar.gz here)")
    add_force(command)
    command.add_argument("--python", metavar="PYTHON", default="", help="the interpreter to inspect: a path or a name")
    command.add_argument("--app-mode", metavar="MODE", default="", help="such as python-fastapi")
    command.add_argument("--entrypoint", metavar="ENTRY", default="", help="a file, module or module:object")
    command.add_argument("--requires", metavar="SPEC", default="", help="a version constraint, such as '>=3.9,<3.13'")
    command.add_argument("--image", metavar="IMAGE", default="", help="the image that the content is to run in")
    command.add_argument("--no-management", action="store_true", help="ask for no environment of its own")
    add_dry_run(command)
