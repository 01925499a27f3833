"""``python -m tests.executors [--case TEXT] [NAME …]``: run the cases and print the table, a column per executor."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.executors.bench import BENCHES, Bench, Unavailable, open_bench
from tests.executors.suite import CASES, NotApplicable, title

Case = Callable[[Bench], str]
WIDTH = 12


def run(bench: Bench, case: Case) -> tuple[str, str]:
    """The cell of the table, and the remark below it."""
    started = time.monotonic()
    try:
        remark = case(bench)
    except NotApplicable as reason:
        return "-", str(reason)
    except Exception as error:
        traceback.print_exc()
        return "FAIL", f"{type(error).__name__}: {error}"
    return f"ok {time.monotonic() - started:6.2f} s", remark


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.executors")
    parser.add_argument("--case", default="", help="only cases with this in their name")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; all by default")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.case in case.__name__]
    cells: dict[str, dict[Case, str]] = {}
    remarks: list[str] = []
    for name in arguments.names or BENCHES:
        scratch = Path(tempfile.mkdtemp(prefix=f"envdeck-{name}-"))
        scratch.chmod(0o755)
        try:
            with open_bench(name, scratch) as bench:
                cells[name] = {}
                for case in cases:
                    cells[name][case], remark = run(bench, case)
                    print(f"{name:11} {cells[name][case]:{WIDTH}} {title(case)}", file=sys.stderr, flush=True)
                    if remark:
                        remarks.append(f"{name}: {title(case)}: {remark}")
        except Unavailable as reason:
            remarks.append(f"{name}: not here: {reason}")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    width = max(len(title(case)) for case in CASES)
    print(" " * width, *(f"{name:{WIDTH}}" for name in cells))
    for case in cases:
        print(f"{title(case):{width}}", *(f"{cells[name][case]:{WIDTH}}" for name in cells))
    print("", *remarks, sep="\n")
    return int(any(cell == "FAIL" for column in cells.values() for cell in column.values()))


if __name__ == "__main__":
    sys.exit(main())
