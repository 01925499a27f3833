"""``python -m tests.benchmarks builds`` times the making of environments beside their peers, ``scale`` all else."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks import scale
from tests.benchmarks.builds import CACHES, SETS, Budget, measure, table
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.readme import BlockMissing, replace_block
from tests.benchmarks.scratch import Scratch, base_interpreter, machine


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builds = commands.add_parser("builds", help="environments made by envdeck, pip, virtualenv and uv")
    builds.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="requirement sets (all)")
    builds.add_argument("--caches", nargs="+", choices=CACHES, default=list(CACHES), help="state of caches (both)")
    builds.add_argument("--rounds", type=int, default=9, help="rounds of each kind at most (9)")
    builds.add_argument("--minutes", type=float, default=12.0, help="time budget; small sets come first (12)")
    builds.add_argument("--only", action="append", default=[], choices=[c.name for c in CONTENDERS], help="repeatable")
    builds.add_argument("--python", type=Path, default=base_interpreter(), help="the interpreter to build on")
    builds.add_argument("--scratch", type=Path, help="a directory to work in and to keep; a new one by default")
    builds.add_argument("--json", type=Path, metavar="FILE", help="write every run")
    builds.add_argument("--readme", type=Path, metavar="FILE", help="replace the table in this file")
    scale.add_command(commands)
    options = parser.parse_args(argv)
    if options.command == "scale":
        return scale.run(options)

    where = options.scratch or Path(tempfile.mkdtemp(prefix="envdeck-benchmarks-"))
    where.mkdir(parents=True, exist_ok=True)
    scratch = Scratch(where.resolve(), options.python)
    about = machine(scratch.root)
    try:
        scratch.install_tools()
        sets = [name for name in SETS if name in options.sets]
        budget = Budget(max(1, options.rounds), options.minutes * 60)
        measured = measure(scratch, sets, budget, caches=options.caches, names=options.only, tell=_tell)
        text = table(measured, about, scratch.versions())
        print(text)
        if options.json:
            options.json.write_text(json.dumps([asdict(each) for each in measured], indent=1) + "\n")
        if options.readme:
            replace_block(options.readme, "builds", text)
    except BlockMissing as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        if options.scratch is None:
            _tell("removing what was made, which takes some disks a while")
            scratch.remove()
    return 1 if any(each.failure for each in measured) else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
