"""What the UI may send and take (textual.md §3.10), and the runs that find out what it does.

Bytes and frames are exact and asserted. So is memory within a tenth, which another libc or Python may make of it. Times
depend on the machine and on what else runs there: they are shown, as multiples of what the same machine needs to start
Python with Textual.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from packaging.version import Version

from engine.config.model import Executable
from engine.installations.identity import interpreter_identity
from engine.installations.inventory import probe_all
from tests.benchmarks.synthetic import Interpreter, fill
from tests.pty.terminal_harness import Terminal

__all__ = [
    "APP",
    "DOWN",
    "MODES",
    "Figure",
    "Mode",
    "everything",
    "flood",
    "held_on_a_slow_line",
    "moving",
    "remembering",
    "running",
]

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.path.realpath(sys.executable)
"""The interpreter itself, not the virtual environment of the tests."""
APP = (sys.executable, str(Path(__file__).with_name("fake_app.py")))
DOWN = "\x1b[B"
SLOW_LINE = 256_000 / 8
"""256 kbit/s, in bytes."""
KEYS_HELD = 90
"""Three seconds of a key that repeats thirty times a second."""
MOST_SWITCHES = 12
MOST_RATES = 4
"""How often something is measured again that a busy machine can spoil."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    measured: float
    budget: float
    unit: str = "B"
    asserted: bool = True
    """False for a time, which says as much about the machine."""
    tolerance: float = 0.0
    """By how much of the budget it may be over that, where it is asserted."""

    @property
    def kept(self) -> bool:
        return self.measured <= self.budget


@dataclass(frozen=True, slots=True)
class Mode:
    """A kind of terminal: flags of envdeck and variables."""

    name: str
    flags: tuple[str, ...] = ()
    environ: Mapping[str, str] | None = None


MODES = (
    Mode("the default"),
    Mode("256 colours", ("--theme", "textual-dark"), {"TEXTUAL_COLOR_SYSTEM": "256"}),
    Mode("TERM=linux", (), {"TERM": "linux"}),
    Mode("NO_COLOR", (), {"NO_COLOR": "1"}),
)


def moving(columns: int, rows: int, scenario: str, mode: Mode = MODES[0]) -> Iterator[Figure]:
    """Starting, moving about and leaving, with nothing going on. `scenario` is ``many`` or ``huge``."""
    size = {"columns": columns, "rows": rows, "environ": mode.environ}
    with Terminal([*APP, scenario, *mode.flags], **size) as terminal:  # type: ignore[arg-type]
        terminal.until_shown("unusable")
        terminal.until_quiet()
        yield Figure("start", len(terminal.output), 35_000)
        switches = []
        # Textual holds frames back for 50 ms: where the machine is too busy for that there may be a second one.
        while len(switches) < 2 or (len(switches) < MOST_SWITCHES and min(s.frames for s in switches) > 1):
            switches += [terminal.cost_of(key, shown=shown) for key, shown in (("2", "bundle-1"), ("1", "unusable"))]
        terminal.cost_of("2", shown="bundle-1")
        yield Figure("view switch", max(switch.bytes for switch in switches), 12_000)
        yield Figure("view switch", min(switch.frames for switch in switches), 1, "frames")
        yield Figure("cursor", max(terminal.bytes_for(DOWN) for _ in range(3)), 500)
        held = terminal.cost_of(*[DOWN] * 60, gap=1 / 30)
        yield Figure("held Down, per key", held.bytes / 60, 1000)
        yield Figure("filter opened", terminal.bytes_for("/"), 400)
        yield Figure("filter, per letter", terminal.bytes_for("9"), 12_000)
        terminal.bytes_for("\x1b")
        yield Figure("question opened", terminal.bytes_for("x", shown="y=delete"), 400)
        terminal.bytes_for("\x1b")
        for name, key, shown in (
            ("help", "?", " Help "),
            ("describe", "d", "Processes"),
            ("events", "!", " events "),
        ):
            page = terminal.cost_of(key, shown=shown)
            yield Figure(f"{name} opened", page.bytes, 12_000)
            terminal.bytes_for("q")
        before = len(terminal.output)
        time.sleep(2)
        yield Figure("idle for 2 s", len(terminal.output) - before, 0)


def remembering(environments: int, columns: int = 120, rows: int = 40) -> Iterator[Figure]:
    """The memory of the real program on a data directory of that many environments, after a walk through it."""
    with TemporaryDirectory(prefix="envdeck-") as scratch:
        root = Path(scratch)
        config = root / "envdeck.gcfg"
        config.write_text(f"[Server]\nDataDir = {root}/data\n[Python]\nEnabled = true\nExecutable = {PYTHON}\n")
        fill(root / "data", environments, environments // 10, there=_this_interpreter())
        # As installed: with bytecode, and with nothing else that is meant for Python.
        environ = {name: "" for name in os.environ if name.startswith("PYTHON")}
        environ |= {"HOME": str(root), "PYTHONPATH": str(ROOT)}
        for session in ("the first session", "memory"):
            argv = [sys.executable, "-m", "app", "--config", str(config)]
            with Terminal(argv, environ=environ, columns=columns, rows=rows) as terminal:
                _walk(terminal)
                memory = psutil.Process(terminal.process.pid).memory_info().rss / 1e6
                yield Figure(session, memory, 60, "MB", asserted=session == "memory", tolerance=0.1)
                terminal.send("Q")
                terminal.wait()


def _walk(terminal: Terminal) -> None:
    """Through every view, a filter, and the longest pages."""
    terminal.until_shown("✓ usable")
    for key, shown in (("2", "✓ ready"), ("3", "MISS"), ("4", "Builds"), ("5", "Python."), ("2", "✓ ready")):
        terminal.cost_of(key, shown=shown)
    for key, shown in (("/", ""), ("9", "/9"), ("\x1b", "")):
        terminal.cost_of(key, shown=shown)
    for key, shown in (("?", " Help "), ("d", "Processes"), ("!", " events ")):
        terminal.cost_of(key, shown=shown)
        terminal.cost_of("q")
    terminal.until_quiet()


def _this_interpreter() -> Interpreter:
    found = [Executable(PYTHON, "the tests")]
    (probed,) = probe_all(found, minimum_version=Version("3"), timeout=60, cache_path=None)
    assert probed.facts is not None, probed.reason
    return Interpreter(str(probed.facts.version), probed.executable, interpreter_identity(probed.facts))


def running(columns: int, rows: int) -> Iterator[Figure]:
    """While a build tells what it does: in the list, and in its log."""
    with Terminal([*APP, "running"], columns=columns, rows=rows) as terminal:
        terminal.until_shown("unusable")
        terminal.send("4")
        terminal.until_shown("etl-nightly")
        for place, key in (("list", ""), ("log", "l")):
            terminal.send(key)
            terminal.until_shown("package-")
            # What is to be read in a log comes on top: two lines a second.
            budget = (
                300 if place == "list" else 300 + 2 * len("Collecting package-10 from the index, cached wheel-10.whl")
            )
            # Where the machine is busy, some of what shows the place first is still to come.
            rates = [_rate(terminal)]
            while rates[-1] > budget and len(rates) < MOST_RATES:
                rates.append(_rate(terminal))
            yield Figure(f"a build runs, in its {place}", min(rates), budget, "B/s")
        began = time.monotonic()
        terminal.send("Q")
        terminal.wait()
        yield Figure("quit with it running", (time.monotonic() - began) * 1000, 500, "ms", asserted=False)


def _rate(terminal: Terminal) -> float:
    """Bytes a second, over some seconds, after one to come to rest."""
    time.sleep(1)
    before, began = len(terminal.output), time.monotonic()
    time.sleep(3)
    return (len(terminal.output) - before) / (time.monotonic() - began)


def flood(columns: int, rows: int) -> Iterator[Figure]:
    """50 000 lines as fast as they can be written, with the log open."""
    with Terminal([*APP, "flood"], columns=columns, rows=rows) as terminal:
        terminal.until_shown("unusable")
        terminal.cost_of("4", shown="etl-nightly")
        before = len(terminal.output)
        cost = terminal.cost_of("l", shown="the last line")
        yield Figure("50 000 lines", cost.bytes, 150_000)
        yield Figure("50 000 lines, commands let through", terminal.output[before:].count(b"\x1b]52"), 0, "")
        terminal.send("Q")
        terminal.wait()
        terminal.until(lambda: b"worst stall" in terminal.output, "how long it stood still")
        found = re.search(rb"worst stall (\d+) ms", terminal.output)
        assert found is not None
        yield Figure("50 000 lines, worst stall", float(found[1]), 200, "ms", asserted=False)


def held_on_a_slow_line(columns: int, rows: int) -> Iterator[Figure]:
    """A key held for three seconds over 256 kbit/s: what is still to come when it is let go."""
    with Terminal([*APP, "huge"], columns=columns, rows=rows, rate=SLOW_LINE) as terminal:
        terminal.until_shown("unusable")
        terminal.cost_of("2", shown="bundle-1")
        held = terminal.cost_of(*[DOWN] * KEYS_HELD, gap=1 / 30)
        yield Figure("held Down, share of 256 kbit/s", 100 * held.bytes / (SLOW_LINE * held.sending), 50, "%")
        yield Figure("held Down, lag behind on 256 kbit/s", held.seconds * 1000, 300, "ms", asserted=False)


def start() -> Iterator[Figure]:
    """The time to the first line of the first view, beyond that of Python with Textual."""
    bare = statistics.median(_seconds([sys.executable, "-c", "import textual.app"]) for _ in range(3))
    painted = statistics.median(_first_paint() for _ in range(3))
    yield Figure("first paint beyond Textual's import", (painted - bare) * 1000, 350, "ms", asserted=False)
    yield Figure("first paint, of Textual's import", painted / bare, 3, "times", asserted=False)


def _seconds(argv: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(argv, check=True)
    return time.monotonic() - began


def _first_paint() -> float:
    with Terminal([*APP, "normal"]) as terminal:
        terminal.until(lambda: b"unusable" in terminal.output, "the first view")
        return next(at for at, data in terminal.chunks if b"\x1b[?2026h" in data)


def everything() -> Iterator[tuple[str, Iterator[Figure]]]:
    """Every run with its title."""
    yield "start", start()
    for environments in (500, 10_000):
        yield f"the real program, {environments} environments", remembering(environments)
    for columns, rows in ((120, 40), (80, 24)):
        for scenario, environments in (("many", "500"), ("huge", "10 000")):
            yield f"{columns}x{rows}, {environments} environments", moving(columns, rows, scenario)
        yield f"{columns}x{rows}, a build", running(columns, rows)
        yield f"{columns}x{rows}, a flood", flood(columns, rows)
        yield f"{columns}x{rows}, 10 000 environments, 256 kbit/s", held_on_a_slow_line(columns, rows)
    for mode in MODES[1:]:
        yield f"120x40, 500 environments, {mode.name}", moving(120, 40, "many", mode)
