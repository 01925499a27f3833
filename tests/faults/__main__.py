"""Kill builds at random and say what came of it: ``python -m tests.faults --builds 200 --seed 1``."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.campaign import Figures, run_campaign


def _base_python() -> str:
    """The interpreter behind this one: a virtual environment is no installation."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")


def table(figures: Figures) -> str:
    """The figures, a line each."""
    lines = [
        f"seed        {figures.seed}",
        f"builds      {figures.builds} in {figures.seconds:.0f} s",
        f"faults      {sum(figures.struck.values())}: "
        + ", ".join(f"{count} {victim}" for victim, count in figures.struck.most_common() if count),
        "ended       " + ", ".join(f"{count} {state}" for state, count in figures.ended.most_common()),
        f"violations  {len(figures.violations)}",
    ]
    return "\n".join([*lines, *figures.violations])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign in a temporary directory; 1 when anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--builds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--quiet", action="store_true", help="print the figures alone")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="envdeck-faults-") as root:
        figures = run_campaign(
            Path(root),
            _base_python(),
            options.builds,
            options.seed,
            lambda line: None if options.quiet else print(line, flush=True),
        )
    print(table(figures))
    return 1 if figures.violations else 0


if __name__ == "__main__":
    sys.exit(main())
