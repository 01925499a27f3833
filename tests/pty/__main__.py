"""Print what the UI sends and takes beside its budgets: ``python -m tests.pty``. 1 when one of them is exceeded."""

from __future__ import annotations

import sys

from tests.pty.budgets import Figure, everything


def _row(figure: Figure) -> str:
    verdict = "ok" if figure.kept else "OVER" if figure.asserted else "over, here and now"
    return f"  {figure.what:<40}{figure.budget:>9,.0f}{figure.measured:>11,.1f} {figure.unit:<7}{verdict}"


def main() -> int:
    exceeded = 0
    print(f"  {'':<40}{'budget':>9}{'measured':>11}")
    for title, figures in everything():
        print(title, flush=True)
        for figure in figures:
            print(_row(figure), flush=True)
            exceeded += figure.asserted and not figure.kept
    print(f"{exceeded} of the budgets that are asserted exceeded")
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
