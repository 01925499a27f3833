"""Who makes environments here, each as its users would: one whole process after the other, from nothing to ready."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config.catalogue import find
from tests.benchmarks.scratch import ROOT, Scratch

__all__ = ["CONTENDERS", "Contender", "Failed", "Made", "Run"]

_QUIET_SECONDS = 900.0
_ON_LIST, _AT_ONCE = 4, 2


class Failed(Exception):
    """A contender did not make the environment; says what it printed last."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: where, and of what."""

    scratch: Scratch
    work: Path
    """A new directory for this run alone, deleted after it."""
    kept: Path
    """A directory that stays between the runs of this requirement set."""
    home: Path
    """The home directory with the caches: the same for every run, or a new one where caches are to be cold."""
    requirements: Path
    changed: Path
    """The same requirements with other releases of a few of them."""

    def call(self, *argv: object, **variables: str) -> str:
        """Run a program to its end and return what it printed."""
        done = subprocess.run(
            [str(each) for each in argv],
            cwd=self.work,
            env=self.scratch.environ(self.home) | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()[-5:]
            raise Failed(
                f"{' '.join(str(each) for each in argv[:4])} … ended with {done.returncode}: {' / '.join(said)}"
            )
        return done.stdout


@dataclass(frozen=True, slots=True)
class Made:
    """What a run came to."""

    path: Path
    """The environment."""
    alone: float | None = None
    """Seconds of the build itself, without the start of the command line, where that can be told apart."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to make an environment. `make` is timed; `before` is not, and `after` neither."""

    name: str
    make: Callable[[Run], Made]
    before: Callable[[Run], None] = lambda _run: None
    after: Callable[[Run], None] = lambda _run: None
    cold: bool = True
    """Whether it means anything with cold caches: what keeps a store of its own does not."""
    warms: bool = False
    """Whether it fills caches that others use too, so that it runs once before anybody is timed."""
    on_disk: bool = False
    """Whether its files have surely been written to the disk when it ends."""
    makes: int = 1
    """How many environments a run makes, among which its time is divided."""
    available: Callable[[], bool] = lambda: True


def _stock(run: Run) -> Made:
    env = run.work / "env"
    run.call(run.scratch.python, "-m", "venv", env)
    run.call(env / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", run.requirements)
    return Made(env)


def _virtualenv(run: Run) -> Made:
    env = run.work / "env"
    run.call(run.scratch.virtualenv, "-q", "-p", run.scratch.python, env)
    run.call(env / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", run.requirements)
    return Made(env)


def _uv(*options: str) -> Callable[[Run], Made]:
    def make(run: Run) -> Made:
        env = run.work / "env"
        run.call(run.scratch.uv, "venv", "-q", "--no-config", "-p", run.scratch.python, env)
        install = (run.scratch.uv, "pip", "install", "-q", "--no-config", "-p", env / "bin/python")
        run.call(*install, *options, "-r", run.requirements)
        return Made(env)

    return make


# envdeck


def _serve(run: Run, data_dir: Path, *settings: str) -> None:
    """Write the configuration and the bundle of a server with its data in `data_dir`."""
    bundle = run.work / "bundle"
    bundle.mkdir(exist_ok=True)
    version = run.call(run.scratch.python, "-c", "import platform; print(platform.python_version())").strip()
    manifest = {
        "version": 1,
        "metadata": {"appmode": "python-api", "entrypoint": "app"},
        "python": {
            "version": version,
            "package_manager": {"name": "pip", "version": "24.0", "package_file": "requirements.txt"},
        },
        "files": {},
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    shutil.copy(run.requirements, bundle / "requirements.txt")
    lines = ["[Server]", f"DataDir = {data_dir}", "[Python]", "Enabled = true", f"Executable = {run.scratch.python}"]
    # Nothing but the list itself, as with the others.
    lines += ["[Envdeck]", f"Uv = {run.scratch.uv}", "SupportPackage = python-api: !fastapi", *settings]
    (run.work / "server.gcfg").write_text("\n".join(lines) + "\n")


def _envdeck(run: Run, *argv: object) -> dict[str, object]:
    """Run the command line from its start to its end; its answer."""
    command = (sys.executable, "-P", "-m", "app", "--config", run.work / "server.gcfg", *argv, "--json")
    document = json.loads(run.call(*command, PYTHONPATH=str(ROOT)))
    assert isinstance(document, dict)
    return document


def _build(run: Run) -> Made:
    document = _envdeck(run, "build", run.work / "bundle")
    return Made(Path(str(document["path"])), float(str(document["seconds"])))


def _build_with_uv(run: Run) -> Made:
    made = _build(run)
    if made.path.parents[2].name != "uv":
        raise Failed(f"it was not uv that made {made.path}")
    return made


def _fresh(*settings: str) -> Callable[[Run], None]:
    """Nothing was ever built before."""
    return lambda run: _serve(run, run.work / "data", *settings)


def _known(*settings: str) -> Callable[[Run], None]:
    """The same plan was built before, and its environment is gone since: all that is left is what was kept of it."""

    def before(run: Run) -> None:
        data_dir = run.kept / "data"
        _serve(run, data_dir, *settings)
        if not data_dir.exists():
            _build(run)
            _wait_for_quiet(data_dir)
        environments = data_dir / "python-environments"
        if environments.exists():
            environments.rename(run.work / "reaped")

    return before


def _partly_known(*settings: str) -> Callable[[Run], None]:
    """A similar plan was built before: most wheels are kept, some releases are others than those."""
    before_all = _known(*settings)

    def before(run: Run) -> None:
        before_all(run)
        # Of each run its own, because what is new in the first would be known to the second.
        shutil.copytree(run.kept / "data", run.work / "data", copy_function=os.link)
        _serve(run, run.work / "data", *settings)
        shutil.copy(run.changed, run.work / "bundle" / "requirements.txt")

    return before


def _all_there(run: Run) -> None:
    """Several plans that differ in nothing but their keys were built before, and their environments are there."""
    data_dir = run.kept / "listed"
    known = data_dir.exists()
    _serve(run, data_dir, "Replay = exact")
    for number in range(0 if known else _ON_LIST):
        lines = run.requirements.read_text().splitlines()
        lines[-1 - number] += " ; python_version >= '3'"
        (run.work / "bundle" / "requirements.txt").write_text("\n".join(lines) + "\n")
        _build(run)
        _wait_for_quiet(data_dir)


def _keys(run: Run) -> list[Path]:
    return sorted((run.kept / "listed" / "python-environments").glob("*/*/*"))


def _rebuild(run: Run) -> Made:
    """All of them at one go, so many at a time: what an admin does after an upgrade."""
    keys = _keys(run)
    document = _envdeck(
        run, "rebuild", "--list", run.work.name, *(key.name for key in keys), "--all", "--parallelism", _AT_ONCE
    )
    if document["error"] or len(keys) != _ON_LIST:
        raise Failed(f"{len(keys)} environments were rebuilt: {document['error']}")
    return Made(max(path for path in keys[0].iterdir() if path.is_dir()))


def _put_replaced_aside(run: Run) -> None:
    for key in _keys(run):
        for number, path in enumerate(sorted(path for path in key.iterdir() if path.is_dir())[:-1]):
            path.rename(run.work / f"{key.name}-{number}")


def _wait_for_quiet(data_dir: Path) -> None:
    """Return once no supervisor works in `data_dir` any more: what a build leaves to do is not for the next."""
    end = time.monotonic() + _QUIET_SECONDS
    while _busy(data_dir):
        if time.monotonic() > end:
            raise Failed(f"a build is still busy in {data_dir}")
        time.sleep(0.2)


def _busy(data_dir: Path) -> bool:
    """Whether a supervisor holds the lock that it keeps for as long as it lives."""
    for path in data_dir.glob("jobs/*/alive"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _has(setting: str) -> Callable[[], bool]:
    return lambda: find(*setting.split(".")) is not None


def _quiet(run: Run) -> None:
    _wait_for_quiet(run.work / "data")


_WITH_UV = ("[Python]", "DefaultPackageManager = uv")

CONTENDERS: Sequence[Contender] = (
    Contender("venv + pip", _stock, warms=True),
    Contender("virtualenv + pip", _virtualenv),
    Contender("uv, no bytecode", _uv(), warms=True),
    Contender("uv with bytecode", _uv("--compile-bytecode")),
    Contender("envdeck, first build", _build, _fresh(), _quiet, on_disk=True),
    Contender(
        "envdeck with uv", _build_with_uv, _fresh("[Python]", "DefaultPackageManager = uv"), _quiet, on_disk=True
    ),
    Contender(
        "envdeck, a few releases new",
        _build,
        _partly_known("Replay = verify"),
        _quiet,
        cold=False,
        on_disk=True,
        available=_has("Envdeck.Replay"),
    ),
    Contender(
        "envdeck, seeded",
        _build,
        _known("Replay = verify"),
        cold=False,
        on_disk=True,
        available=_has("Envdeck.Replay"),
    ),
    Contender(
        "envdeck, replayed",
        _build,
        _known("Replay = exact"),
        cold=False,
        on_disk=True,
        available=_has("Envdeck.Replay"),
    ),
    Contender(
        f"envdeck, replayed, each of {_ON_LIST} on a list",
        _rebuild,
        _all_there,
        _put_replaced_aside,
        cold=False,
        on_disk=True,
        makes=_ON_LIST,
        available=_has("Envdeck.Replay"),
    ),
)
"""In the order of the table. The first is what the others are compared with."""
