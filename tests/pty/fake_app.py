"""The real UI on the scripted engine, for tests in a terminal.

Usage: ``fake_app.py normal|many|flood [flags of envdeck]``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

from app.tui.options import parse_options, terminal_defaults  # noqa: E402


def main() -> int:
    scenario, *flags = sys.argv[1:]
    options = parse_options(flags)
    assert options is not None, flags
    os.environ.update(terminal_defaults(options, os.environ))

    from fake_engine import NOW, FakeEngine, audited, environment, snapshot

    from app.tui.app import EnvdeckApp
    from app.tui.run import run_app
    from engine import AuditAction, AuditPage

    engine = FakeEngine()
    if scenario == "many":
        many = tuple(environment(f"{i:08d}Kq7rT5yUa7bXc9", f"bundle-{i % 40}") for i in range(500))
        records = tuple(audited(AuditAction.REAP, {"key": env.key, "bytes": 9}, 500 - i) for i, env in enumerate(many))
        engine = FakeEngine(snapshot(environments=many, builds=(), audit=AuditPage(records)))
    for build in engine.current.builds:
        count = 50_000 if scenario == "flood" else 60
        engine.write(
            build.id, *(f"Collecting package-{i} from the index, cached wheel-{i}.whl (12 kB)" for i in range(count))
        )
    app = EnvdeckApp(engine, "0.1.0", ascii_only=options.ascii, clock=lambda: NOW)
    return run_app(app, mouse=options.mouse)


if __name__ == "__main__":
    sys.exit(main())
