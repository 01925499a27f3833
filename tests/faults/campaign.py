"""Many builds, each with a fault, and the count of what came of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engine import Build, Engine, Environment, Refused
from tests.faults.faults import Fault, draw, strike
from tests.faults.invariants import violations
from tests.faults.packages import make_bundle, make_index

__all__ = ["Figures", "run_campaign"]

_ROOT = Path(__file__).parents[2]
_AT_ONCE = 2
_LONGEST = 300.0
"""Seconds after which a build that has not ended counts as a violation."""
_SETTLED_WITHIN = 60.0


@dataclass(slots=True)
class Figures:
    """What a campaign came to."""

    seed: int
    builds: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    """Faults that hit, by victim."""
    ended: Counter[str] = field(default_factory=Counter)
    """Builds by the state they ended in."""
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


def run_campaign(root: Path, python: str, builds: int, seed: int, tell: Callable[[str], None]) -> Figures:
    """Start `builds` builds below `root` with the interpreter `python`, strike each, and check what is left of it.

    The faults are those of `seed`; when they hit depends on the machine as well.
    """
    figures, lock = Figures(seed), threading.Lock()
    began = time.monotonic()
    index = root / "index"
    index.mkdir(parents=True)
    make_index(index)
    data_dir = root / "data"
    config = root / "server.gcfg"
    config.write_text(f"[Server]\nDataDir = {data_dir}\n[Python]\nEnabled = true\nExecutable = {python}\n")
    home = root / "home"
    pip_config = home / ".config" / "pip" / "pip.conf"
    pip_config.parent.mkdir(parents=True)
    # Else the wheel of the first build serves all others, and nothing is compiled any more.
    pip_config.write_text("[global]\nno-cache-dir = true\n")
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def one(number: int) -> None:
        rng = random.Random(f"{seed}/{number}")
        fault = draw(rng)
        with _engine(config, environ) as engine:
            bundle = make_bundle(root / "bundles" / str(number), index, number)
            # By turns as a front starts builds, and as the command does, which is forked to become the supervisor.
            attempt = _start(engine, bundle) if number % 2 else _command(config, environ, bundle)
            build, hit = _strike(engine, attempt, fault, rng)
            wrong = list(violations(data_dir, build, _environments(engine), fault))
        with lock:
            figures.builds += 1
            figures.struck[fault.victim.value] += hit
            figures.ended[build.state.value] += 1
            figures.violations += [f"build {number} ({build.id}), hit {fault}: {text}" for text in wrong]
            tell(
                f"{number:4} {build.state.value:9} {'hit ' if hit else 'late'} {fault}"
                + "".join(f"\n     {w}" for w in wrong)
            )

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for future in [pool.submit(one, number) for number in range(builds)]:
            future.result()
    figures.violations += _whole(data_dir)
    with _engine(config, environ) as engine:
        figures.violations += _still_usable(engine, make_bundle(root / "bundles" / "last", index, builds))
    figures.seconds = time.monotonic() - began
    return figures


@contextmanager
def _engine(config: Path, environ: dict[str, str]) -> Iterator[Engine]:
    engine = Engine([config], environ)
    try:
        yield engine
    finally:
        engine.close()


def _start(engine: Engine, bundle: Path) -> str:
    """Start a build of `bundle`; its id."""
    started = engine.execute(engine.plan_build(engine.open_bundle(str(bundle)))).build
    assert started is not None
    return started.id


def _command(config: Path, environ: dict[str, str], bundle: Path) -> str:
    """The same by ``envdeck build``."""
    argv = [sys.executable, "-m", "app", "--config", str(config), "build", str(bundle), "--detach", "--json"]
    run = subprocess.run(argv, cwd=_ROOT, env=environ, capture_output=True, text=True, timeout=_LONGEST, check=False)
    try:
        return str(json.loads(run.stdout)["build"])
    except (ValueError, KeyError):
        raise AssertionError(f"`envdeck build` ended with {run.returncode}: {run.stdout}{run.stderr}") from None


def _strike(engine: Engine, attempt: str, fault: Fault, rng: random.Random) -> tuple[Build, bool]:
    """Strike the build `attempt`, and return it as it ended, and whether the fault hit."""

    def cancel() -> None:
        try:
            engine.execute(engine.plan_cancel(attempt))
        except Refused:
            # It ended just before.
            return

    hit = strike(fault, attempt, lambda: engine.build(attempt), cancel, rng)
    build = engine.wait(attempt, _LONGEST)
    # Whoever looks next settles what was lost, unless another engine is just doing so.
    end = time.monotonic() + _SETTLED_WITHIN
    engine.refresh()
    while not (build.directory / "result.json").exists() and time.monotonic() < end:
        time.sleep(0.05)
        engine.refresh()
    return build, hit


def _environments(engine: Engine) -> tuple[Environment, ...]:
    return engine.snapshot().environments


def _whole(data_dir: Path) -> Iterator[str]:
    """What must not be left anywhere once all builds have ended.

    A job directory may keep the unfinished file of a write that was killed: no reader looks at it, and `doctor` removes
    it.
    """
    for pattern in ("trash/*", "python-environments/**/.*", "locks/.*"):
        for path in data_dir.glob(pattern):
            yield f"{path} was left behind"


def _still_usable(engine: Engine, bundle: Path) -> Iterator[str]:
    build = engine.wait(_start(engine, bundle), _LONGEST)
    if build.state.value != "done":
        yield f"afterwards, a build that nobody disturbs ends {build.state.value}: {build.message}"
