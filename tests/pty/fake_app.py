"""The real UI on the scripted engine, for tests in a terminal.

Usage: ``fake_app.py SCENARIO [flags of envdeck]``. Scenarios: ``normal``; ``many`` and ``huge``, with 500 and 10 000
environments and nothing running; ``running``, a build that tells twice a second what it does; ``flood``, a build that
writes 50 000 lines as fast as it can as soon as somebody looks at its log, which tells at the end how long the loop
stood still at worst; ``hostile``, where every text attacks the terminal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

from app.tui.memory import load_asyncio_without_tls  # noqa: E402
from app.tui.options import parse_options  # noqa: E402
from app.tui.profile import choose_profile  # noqa: E402
from tests.records import replace  # noqa: E402

LINES = 50_000


def main() -> int:
    scenario, *flags = sys.argv[1:]
    options = parse_options(flags)
    assert options is not None, flags
    profile = choose_profile(options, os.environ, sys.stderr.encoding)
    os.environ.update(profile.variables)
    load_asyncio_without_tls()

    from fake_engine import FakeEngine
    from fake_server import snapshot
    from fake_values import NOW, audited, environment

    from app.tui.app import EnvdeckApp
    from app.tui.run import run_app
    from engine import AuditAction, AuditPage, LogRing

    began = time.monotonic()

    def log_line(number: int) -> str:
        return f"Collecting package-{number} from the index, cached wheel-{number}.whl (12 kB)"

    class Flooded(FakeEngine):
        def follow(self, build_id: str) -> LogRing:
            app.stall = 0.0
            threading.Thread(target=self._flood, args=(build_id,), daemon=True).start()
            return super().follow(build_id)

        def _flood(self, build_id: str) -> None:
            for first in range(0, LINES, 100):
                self.write(build_id, *map(log_line, range(first, first + 100)))
            self.write(build_id, "\x1b]52;c;aGFja2Vk\x07the last line")

    class Busy(FakeEngine):
        def start(self) -> None:
            threading.Thread(target=self._work, daemon=True).start()

        def _work(self) -> None:
            for number in range(10_000):
                time.sleep(0.5)
                build = replace(self.current.builds[0], packages_done=number // 4, message=log_line(number))
                self.write(build.id, log_line(number))
                self.publish(builds=(build, *self.current.builds[1:]))

    class Watched(EnvdeckApp):
        """Knows how long its loop stood still at worst since a log was opened."""

        CSS_PATH = ROOT / "app" / "tui" / "app.tcss"
        stall = 0.0

        def on_mount(self) -> None:
            if scenario == "flood":
                self.run_worker(self._watch())

        async def _watch(self) -> None:
            import asyncio

            while True:
                before = time.monotonic()
                await asyncio.sleep(0.005)
                self.stall = max(self.stall, time.monotonic() - before - 0.005)

    kinds = {"flood": Flooded, "running": Busy}
    engine = kinds.get(scenario, FakeEngine)()
    if scenario in ("many", "huge"):
        total = 500 if scenario == "many" else 10_000
        # As out of the engine's index, what many have in common is there once.
        one = environment("", "")
        many = tuple(replace(one, key=f"{i:08d}Kq7rT5yUa7bXc9", bundle=f"bundle-{i % 40}") for i in range(total))
        records = tuple(
            audited(AuditAction.REAP, {"key": env.key, "bytes": 9}, 500 - i) for i, env in enumerate(many[:500])
        )
        engine = FakeEngine(snapshot(environments=many, builds=(), audit=AuditPage(records)))
    elif scenario == "hostile":
        from poison import poisoned_engine

        attack = "[on magenta]odd \x1b]52;c;aGFja2Vk\x07\x1b[2J\x1b]0;owned\x07\x9b31m\x85\r\n\u202e\udcff[/foo] end"
        engine = poisoned_engine(lambda: attack)
    elif scenario == "normal":
        for build in engine.current.builds:
            engine.write(build.id, *map(log_line, range(60)))
    app = Watched(
        engine,
        "0.1.0",
        profile,
        # Time passes only where something happens.
        clock=(lambda: NOW + time.monotonic() - began) if scenario == "running" else lambda: NOW,
    )
    code = run_app(app)
    if scenario == "flood":
        print(f"worst stall {app.stall * 1000:.0f} ms", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
