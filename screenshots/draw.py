"""Redraw the screenshots: ``.venv/bin/python screenshots/draw.py``, with envdeck installed.

Every view of the real app on the real engine, at 80x24 and 120x40, as a dark and as a light terminal shows it. The
engine looks at a small server that is made for it below `DEMO`: interpreters that answer the probe, a cache with
environments, jobs, a configuration. Host, user, time and pip's configuration are fixed, so that the pictures are the
same on every machine, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path

DEMO = Path("/tmp/web01")  # noqa: S108 - the pictures show this path, so it must be the same everywhere
OURS = DEMO / ".made-by-screenshots-draw"
DATA = DEMO / "data"
CONFIG = DEMO / "envdeck.gcfg"
NOW = 1_773_309_600.0  # 2026-03-12 10:00 UTC
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
RUNNING = "20260312-095918-c41d7e"
FAILED = "20260312-073040-6d02f5"

os.environ.update(
    TZ="UTC",
    TEXTUAL_THEME="ansi-dark",
    TEXTUAL_ANIMATIONS="none",
    TEXTUAL_SMOOTH_SCROLL="0",
    TEXTUAL_COLOR_SYSTEM="truecolor",
)
os.environ.pop("NO_COLOR", None)
time.tzset()
clock = [NOW]
# What both the engine and the app ask the machine for; it has to be in place before anything asks.
time.time = lambda: clock[0]
socket.gethostname = lambda: "web01"

import psutil  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.terminal_theme import TerminalTheme  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

import engine.installations.inventory  # noqa: E402
from app.tui.app import EnvdeckApp  # noqa: E402
from app.tui.screens.log_page import LogPage  # noqa: E402
from engine import (  # noqa: E402
    LOCAL,
    Actor,
    AuditAction,
    AuditEvent,
    AuditResult,
    BuildPlan,
    BuildState,
    Content,
    ContentBundle,
    Engine,
    Fault,
    LogLine,
    Phase,
    PickedInstallation,
)
from engine.audit.writing import AUDIT_FILE, record  # noqa: E402
from engine.builds import pip_config  # noqa: E402
from engine.builds.job import append_event, write_result  # noqa: E402
from engine.builds.log import format_line  # noqa: E402
from engine.bundles.samples import samples  # noqa: E402
from engine.content.store import ContentStore  # noqa: E402
from engine.environments.locks import open_lock_file  # noqa: E402
from engine.environments.store import EnvironmentStore  # noqa: E402
from engine.files import write_json  # noqa: E402
from engine.packages.key import environment_key  # noqa: E402

# This machine's configuration of pip would be in the pictures, and part of the keys; so would its processes.
PIP_ROOT = DEMO / "root"
_paths = pip_config._paths
pip_config._paths = lambda home, _root: _paths(home, PIP_ROOT)
psutil.process_iter = lambda *_args, **_named: iter(())


class _Watch(threading.local):
    """What times a probe: by this each takes 40 milliseconds, in whatever thread it is."""

    at = 0.0

    def monotonic(self) -> float:
        self.at += 0.04
        return self.at


engine.installations.inventory.time = _Watch()  # type: ignore[assignment]

SIZES = ((80, 24), (120, 40))
TERMINALS = {
    "dark": TerminalTheme(
        (22, 24, 29),
        (208, 210, 214),
        [
            (60, 64, 72),
            (235, 100, 105),
            (140, 190, 105),
            (222, 180, 90),
            (105, 160, 225),
            (195, 130, 210),
            (95, 185, 195),
            (208, 210, 214),
        ],
    ),
    "light": TerminalTheme(
        (252, 252, 250),
        (40, 42, 46),
        [
            (40, 42, 46),
            (190, 40, 45),
            (45, 120, 45),
            (150, 100, 0),
            (30, 90, 180),
            (140, 60, 155),
            (0, 115, 135),
            (190, 190, 190),
        ],
    ),
}
"""The colours of two terminals. The app names only the sixteen and the default ones, so the terminal decides."""

SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, "Fira Code", monospace; \
font-size: {char_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 16px; }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""
"""A picture without a font to fetch: it can be looked at anywhere, offline too."""

ANSWERS = """\
reversed() {{ echo "$1" | rev | tr -d '\\n'; }}
reversed "$4"
printf '%s' '{report}'
reversed "$5"
"""
"""The arguments are those of the probe: two options, its script, and the two cookies to spell backwards."""
LACKS_A_LIBRARY = """\
echo "error while loading shared libraries: libpython3.10.so.1.0: cannot open shared object file" >&2
exit 127
"""

FONT = 0.602
"""Width to height of the fonts it names."""

# The server


@contextlib.contextmanager
def server() -> Iterator[None]:
    """The demo server for the length of the block. Refuses to touch a directory that was not made here."""
    if DEMO.exists() or DEMO.is_symlink():
        if not OURS.is_file():
            sys.exit(f"{DEMO} exists and was not made by this program; move it out of the way")
        shutil.rmtree(DEMO)
    DEMO.mkdir(mode=0o700)
    OURS.touch()
    try:
        interpreters()
        configuration()
        bundles()
        environments()
        contents()
        with builds():
            yield
    finally:
        shutil.rmtree(DEMO)


def interpreters() -> None:
    """Programs that answer the probe as a Python of that version would, and one that cannot start."""
    for version in ("3.12.1", "3.11.7", "3.9.18", "3.8.18", "3.6.15"):
        program(version, ANSWERS.format(report=json.dumps(report(version))))
    program("3.10.13", LACKS_A_LIBRARY)


def program(version: str, text: str) -> None:
    path = DEMO / "python" / version / "bin" / "python3"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def report(version: str) -> dict[str, object]:
    """What `engine/installations/probe_script.py` prints."""
    prefix = DEMO / "python" / version
    major, minor, _ = version.split(".")
    library = prefix / "lib" / f"python{major}.{minor}"
    return {
        "version": version,
        "implementation": "CPython",
        "executable": str(prefix / "bin/python3"),
        "real_executable": str(prefix / "bin/python3"),
        "prefix": str(prefix),
        "base_prefix": str(prefix),
        "soabi": f"cpython-{major}{minor}-x86_64-linux-gnu",
        "platform": "linux-x86_64",
        "machine": "x86_64",
        "pointer_bits": 64,
        "libc": "glibc 2.36",
        "pip": "24.0",
        "purelib": str(library / "site-packages"),
        "sys_path": [str(library), str(library / "site-packages")],
        "missing": {},
        "externally_managed": False,
        "debug": False,
        "free_threaded": False,
        "virtualenv": None,
    }


def configuration() -> None:
    versions = ("3.12.1", "3.11.7", "3.10.13", "3.9.18", "3.8.18", "3.6.15")
    executables = "".join(f"Executable = {DEMO}/python/{version}/bin/python3\n" for version in versions)
    CONFIG.write_text(
        f"[Server]\nDataDir = {DATA}\n\n"
        f"[Python]\nEnabled = true\n{executables}VersionMatching = major-minor\nProhibitedPackage = tabulate\n\n"
        f"[Envdeck]\nBundleDir = {DEMO}/bundles\nBuildTimeout = 45m\n"
    )
    (PIP_ROOT / "etc").mkdir(parents=True)
    (PIP_ROOT / "etc" / "pip.conf").write_text(
        "[global]\nindex-url = https://builder:secret@packages.example.org/simple\ntimeout = 60\n"
    )


def bundles() -> None:
    """The samples, and a bundle that asks for a patch release that is not installed."""
    for sample in samples():
        shutil.copytree(sample, DEMO / "bundles" / sample.name)
    sales = DEMO / "bundles" / "sales-report"
    sales.mkdir()
    manifest = {
        "version": 1,
        "metadata": {"appmode": "python-streamlit"},
        "python": {"version": "3.9.5", "package_manager": {"name": "pip", "package_file": "requirements.txt"}},
        "extension": {"title": "Sales by region, updated daily"},
        "files": {"requirements.txt": {"checksum": ""}},
    }
    write_json(sales / "manifest.json", manifest)
    (sales / "requirements.txt").write_text("pandas==2.2.3\nopenpyxl>=3.1\npytz\ntabulate==0.9.0\npywin32==308\n")


def new_engine() -> Engine:
    environ = {"HOME": str(DEMO / "home"), "PATH": "/usr/bin:/bin", "SUDO_USER": "alice"}
    return Engine([CONFIG], environ)


def plans() -> dict[str, BuildPlan]:
    """By bundle, what building it would do."""
    deck = new_engine()
    found = deck.refresh().bundles
    deck.close()
    return {entry.name: entry.plan for entry in found if entry.plan is not None}


def environments() -> None:
    """Two that are good, of which one is a hit, one whose interpreter has gone, and one that lost its directory."""
    found = plans()
    store = EnvironmentStore(DATA)

    def publish(
        plan: BuildPlan,
        attempt: str,
        ago: float,
        packages: str,
        size: int,
        *,
        other: tuple[str, str] = ("", ""),
        python: str = "",
        complete: bool = True,
        pinned: bool = False,
        used: float | None = None,
    ) -> None:
        """The environment of `plan`, with one line or the Python replaced by another."""
        assert plan.installation is not None
        here = str(plan.match.chosen.version) if plan.match.chosen else ""
        lines = [other[1] if line == other[0] else line for line in plan.lines]
        ingredients = {**plan.ingredients, "requirements": lines}
        if python:
            ingredients = json.loads(json.dumps(ingredients).replace(here, python))
        version, key = python or here, environment_key(ingredients)
        key_dir = store.key_dir("pip", version, LOCAL, key)
        (key_dir / attempt).mkdir(parents=True)
        if complete:
            (key_dir / attempt / "pyvenv.cfg").touch()
            (key_dir / attempt / "bin").mkdir(exist_ok=True)
            (key_dir / attempt / "bin" / "python").touch()
        if pinned:
            write_json(key_dir / "pinned.json", {"by": "bob", "at": NOW - ago, "note": "base of the training course"})
        if used is not None:
            made_at(key_dir / "last-used", NOW - used)
        names = packages.split()
        store.publish(
            key_dir,
            {
                "key": key,
                "attempt": attempt,
                "installer": "pip",
                "target": LOCAL,
                "python_version": version,
                "python_path": plan.installation.executable.replace(here, version),
                "bundle": plan.bundle.name,
                "lines": lines,
                "ingredients": ingredients,
                "packages": [dict(zip(("name", "version"), name.split("=="), strict=True)) for name in names],
                "size": size,
                "files": size // 14_000,
                "built_at": NOW - ago,
                "built_by": "alice" if ago < 5 * DAY else "bob",
                "seconds": 8.4,
            },
        )

    flask = (
        "blinker==1.9.0 click==8.1.8 flask==3.0.3 itsdangerous==2.2.0 jinja2==3.1.5 markupsafe==3.0.2 werkzeug==3.1.3"
    )
    sales = "numpy==2.0.2 pandas==2.2.2 pytz==2024.2 six==1.16.0 tzdata==2024.2"
    publish(found["flask-api"], "20260312-075412-1b60f3", 2 * HOUR + 5 * MINUTE, flask, 9_820_000, used=3 * MINUTE)
    publish(
        found["sales-report"],
        "20260228-141530-9ce04a",
        12 * DAY,
        sales,
        164_000_000,
        other=("pandas==2.2.3", "pandas==2.2.2"),
        pinned=True,
        used=5 * DAY,
    )
    publish(found["sales-report"], "20251208-091144-52a7d8", 94 * DAY, sales, 161_000_000, python="3.9.5")
    publish(found["fastapi-exact"], "20260306-172209-e0b13c", 6 * DAY, "fastapi==0.115.6", 31_400_000, complete=False)

    foreign()


def made_at(path: Path, at: float) -> None:
    path.touch()
    os.utime(path, (at, at))


def foreign() -> None:
    """What the server itself made before."""
    home = DEMO / "python" / "3.11.7" / "bin"
    path = DATA / "python-environments/_packages_cache/pip/3.11.7/mKv0hT2r1bXUo9"
    library = path / "lib/python3.11/site-packages"
    for name in ("streamlit-1.41.1", "numpy-2.2.1", "pillow-11.1.0"):
        (library / f"{name}.dist-info").mkdir(parents=True)
    (path / "bin").mkdir()
    (path / "bin/python").symlink_to(home / "python3")
    (path / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11.7\n")
    made_at(path / "pyvenv.cfg", NOW - 41 * DAY)


def contents() -> None:
    """What is deployed: one in an environment that is there, one that needs a build, one without an environment."""
    found = plans()
    store = ContentStore(DATA)

    def deploy(name: str, bundle: str, ago: float, number: int, used: float | None, *, managed: bool = True) -> None:
        plan = found[bundle]
        assert plan.installation is not None
        version, key = str(plan.match.chosen.version if plan.match.chosen else ""), plan.key if managed else ""
        deployed = tuple(
            ContentBundle(n, NOW - ago - (number - n) * DAY, "alice", bundle, key, version, 18_400)
            for n in range(1, number + 1)
        )
        guid = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        (store.root / guid).mkdir(parents=True)
        picked = PickedInstallation(version, plan.installation.executable)
        mode = plan.bundle.manifest.app_mode
        store.save(Content(guid, name, mode, deployed[0].deployed_at, "alice", deployed, number, picked, managed))
        if used is not None:
            made_at(store.root / guid / "used", NOW - used)

    deploy("orders-api", "flask-api", 2 * HOUR, 3, 3 * MINUTE)
    deploy("quarterly-figures", "sales-report", 20 * DAY, 1, 5 * DAY)
    deploy("on-the-server", "mac-desktop", 3 * DAY, 2, None, managed=False)


def audit() -> None:
    """What was done here, as if nobody had looked at it before."""
    (DATA / AUDIT_FILE).unlink(missing_ok=True)
    found = plans()
    stale = "20251208-091144-52a7d8"
    events: tuple[tuple[float, str, AuditEvent], ...] = (
        (
            9 * DAY,
            "bob",
            AuditEvent(AuditAction.PIN, {"key": found["sales-report"].key}, command="envdeck pin 3yjre364"),
        ),
        (
            20 * HOUR,
            "service",
            AuditEvent(
                AuditAction.REAP,
                {"key": "Qm1xW0vT9cR4bLz7", "bundle": "old-report", "bytes": 96_300_000},
                command="envdeck reap Qm1xW0vT9cR4bLz7",
            ),
        ),
        (
            18 * HOUR,
            "alice",
            AuditEvent(
                AuditAction.BUILD_CANCEL,
                {"bundle": "mac-desktop", "started by": "alice", "build": "20260311-160312-aa37c9"},
                command="envdeck cancel 20260311-160312-aa37c9",
            ),
        ),
        (
            2.5 * HOUR - 6,
            "bob",
            AuditEvent(
                AuditAction.BUILD_END,
                {"bundle": "dash-app", "state": "failed", "build": FAILED, "seconds": 6},
                AuditResult.FAILED,
                "build-failed",
                "resolve: plotly: no version <6,>=5.24 for this Python; the newest there is 5.23.0",
                f"envdeck log {FAILED}",
            ),
        ),
        (
            2 * HOUR,
            "alice",
            AuditEvent(
                AuditAction.CONTENT_DEPLOY,
                {"content": "orders-api", "bundle": "flask-api", "number": 3},
                command="envdeck deploy flask-api --name orders-api",
            ),
        ),
        (
            HOUR,
            "carol",
            AuditEvent(
                AuditAction.REAP,
                {"attempt": stale, "bundle": "sales-report"},
                AuditResult.REFUSED,
                "read-only",
                "the data directory is not writable by uid 1003",
            ),
        ),
        (
            42,
            "alice",
            AuditEvent(
                AuditAction.BUILD_START,
                {"bundle": "jupyter-notebook", "python": "3.12.1", "build": RUNNING},
                command="envdeck build /srv/bundles/jupyter-notebook",
            ),
        ),
    )
    for ago, user, event in events:
        clock[0] = NOW - ago
        record(DATA, event, Actor(user, user, "root", "pts/3", "192.0.2.7", "web01", 4121))
    clock[0] = NOW


@contextlib.contextmanager
def builds() -> Iterator[None]:
    """One build that runs as long as the block, one that waits for it, and how three earlier ones ended."""
    found = plans()

    def job(
        name: str,
        bundle: str,
        ago: float,
        by: str,
        *events: dict[str, object],
        expected: Mapping[str, object] | None = None,
    ) -> Path:
        plan = found[bundle]
        assert plan.installation is not None
        assert plan.match.chosen is not None
        job_dir = DATA / "jobs" / name
        job_dir.mkdir(parents=True)
        write_json(
            job_dir / "spec.json",
            {
                "key": plan.key,
                "bundle": bundle,
                "by": by,
                "python_version": str(plan.match.chosen.version),
                "python_path": plan.installation.executable,
                "submitted_at": NOW - ago,
                "bundle_path": str(plan.bundle.path),
                "executor": "local",
                "host": "web01",
                "installer": "pip",
                "expected": expected,
            },
        )
        for event in events:
            append_event(job_dir / "events.jsonl", event)
        return job_dir

    def started(ago: float, **phases: float) -> list[dict[str, object]]:
        """The events of a build that began so long ago and came to `phases` so many seconds later each."""
        begun: dict[str, object] = {"at": NOW - ago, "type": "started"}
        return [begun, *({"at": NOW - ago + s, "type": "phase", "phase": name} for name, s in phases.items())]

    def log(job_dir: Path, ago: float, step: float, lines: Iterable[str]) -> None:
        with (job_dir / "log").open("w") as file:
            for index, line in enumerate(lines):
                file.write(format_line(LogLine(NOW - ago + index * step, line)) + "\n")

    def ended(job_dir: Path, ago: float, state: BuildState, fault: Fault | None = None, message: str = "") -> None:
        clock[0] = NOW - ago
        write_result(job_dir, state, fault=fault, message=message)
        clock[0] = NOW

    done: dict[str, object] = {"at": NOW, "type": "progress", "done": 7, "total": 7, "bytes": 1_240_000}
    at = 2 * HOUR + 5 * MINUTE
    ran = started(at, venv=0.2, resolve=0.9, install=4.1, verify=6.8, publish=7.9)
    job_dir = job("20260312-075412-1b60f3", "flask-api", at, "alice", *ran, done)
    attempt = DATA / "python-environments/pip/3.12.1" / found["flask-api"].key / job_dir.name
    ended(job_dir, at - 8, BuildState.DONE, message=f"published {attempt}")
    at = 2.5 * HOUR
    job_dir = job(FAILED, "dash-app", at, "bob", *started(at, venv=0.2, resolve=0.9))
    what = "no version <6,>=5.24 for this Python; the newest there is 5.23.0"
    advice = "Check the name and version, that this Python is supported, and that the index has it"
    ended(job_dir, at - 6, BuildState.FAILED, Fault(Phase.RESOLVE, "plotly", what, advice))
    log(job_dir, at - 1, 0.4, failed_output())
    at = 18 * HOUR
    job_dir = job("20260311-160312-aa37c9", "mac-desktop", at, "alice", *started(at, venv=0.2, resolve=1.0, install=40))
    ended(job_dir, at - 64, BuildState.CANCELLED, message="cancelled by alice")

    last = "Downloading jupyter_client-8.6.3-py3-none-any.whl (106 kB)"
    job_dir = job(
        RUNNING,
        "jupyter-notebook",
        42,
        "alice",
        *started(42, venv=0.2, resolve=1.1),
        {"at": NOW, "type": "progress", "done": 14, "bytes": 6_420_000, "bytes_total": 9_310_000, "message": last},
        expected={
            "seconds": {"venv": 1.0, "resolve": 55.0, "install": 24.0, "verify": 3.0, "publish": 1.0},
            "packages": 41,
            "basis": "the last build of this environment",
        },
    )
    log(job_dir, 40, 0.5, pip_output())
    place = "waits for a free slot: 1 of 1 builds run on this machine"
    waits: dict[str, object] = {"at": NOW - 17, "type": "waiting", "place": 1, "message": place}
    waiting = job("20260312-095943-07d2ab", "fastapi-exact", 17, "bob", waits)
    with contextlib.ExitStack() as alive:
        for living in (job_dir, waiting):
            descriptor = open_lock_file(living / "alive")
            alive.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def failed_output() -> Iterator[str]:
    """What pip prints when it cannot serve a requirement."""
    yield "Building environment using Python 3.12.1 at /tmp/web01/python/3.12.1/bin/python3"
    yield "Looking in indexes: https://****@packages.example.org/simple"
    yield "Collecting dash==2.18.2 (from -r requirements.txt (line 1))"
    yield "  Downloading dash-2.18.2-py3-none-any.whl.metadata (10 kB)"
    yield "WARNING: Retrying (Retry(total=4)) after connection broken by 'ReadTimeoutError': /simple/plotly/"
    yield (
        "ERROR: Could not find a version that satisfies the requirement plotly<6,>=5.24 "
        "(from versions: 5.21.0, 5.22.0, 5.23.0)"
    )
    yield "ERROR: No matching distribution found for plotly<6,>=5.24"
    yield "failed: resolve: plotly: no version <6,>=5.24 for this Python; the newest there is 5.23.0"


def pip_output() -> Iterator[str]:
    """What pip prints while it looks for the packages of a notebook."""
    wanted = (
        ("ipykernel==6.29.5", "ipykernel-6.29.5", "117 kB", "-r requirements.txt (line 1)"),
        ("mistune==3.0.2", "mistune-3.0.2", "47 kB", "-r requirements.txt (line 2)"),
        ("nbconvert==7.16.4", "nbconvert-7.16.4", "257 kB", "-r requirements.txt (line 3)"),
        ("comm>=0.1.1", "comm-0.2.2", "7.2 kB", "ipykernel==6.29.5"),
        ("debugpy>=1.6.5", "debugpy-1.8.11", "5.3 MB", "ipykernel==6.29.5"),
        ("ipython>=7.23.1", "ipython-8.31.0", "821 kB", "ipykernel==6.29.5"),
        ("jupyter-client>=6.1.12", "jupyter_client-8.6.3", "106 kB", "ipykernel==6.29.5"),
        ("matplotlib-inline>=0.1", "matplotlib_inline-0.1.7", "9.9 kB", "ipykernel==6.29.5"),
        ("nest-asyncio", "nest_asyncio-1.6.0", "5.2 kB", "ipykernel==6.29.5"),
        ("beautifulsoup4", "beautifulsoup4-4.12.3", "147 kB", "nbconvert==7.16.4"),
        ("bleach!=5.0.0", "bleach-6.2.0", "163 kB", "nbconvert==7.16.4"),
        ("jinja2>=3.0", "jinja2-3.1.5", "134 kB", "nbconvert==7.16.4"),
        ("pandocfilters>=1.4.1", "pandocfilters-1.5.1", "8.7 kB", "nbconvert==7.16.4"),
        ("traitlets>=5.1", "traitlets-5.14.3", "85 kB", "nbconvert==7.16.4"),
    )
    for asked, name, size, by in wanted:
        yield f"Collecting {asked} (from {by})"
        yield f"  Downloading {name}-py3-none-any.whl.metadata (3.{len(name) % 10} kB)"
        if by.startswith("-r"):
            yield f"Downloading {name}-py3-none-any.whl ({size})"
    yield "Downloading jupyter_client-8.6.3-py3-none-any.whl (106 kB)"


# The pictures

Hands = Pilot[None]


async def until(pilot: Hands, condition: Callable[[], object]) -> None:
    for _ in range(500):
        await pilot.pause(0.02)
        if condition():
            return
    raise AssertionError("the app did not come to rest")


async def go(pilot: Hands, *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause(0.2)


async def show_log(pilot: Hands) -> None:
    await go(pilot, "4", "g", "l")
    await until(pilot, lambda: isinstance(pilot.app.screen, LogPage) and pilot.app.screen.log_view.log_text.count)


async def show_failed_log(pilot: Hands) -> None:
    await go(pilot, "q", "4", "g", "j", "j", "j", "l")
    await until(
        pilot,
        lambda: (
            isinstance(pilot.app.screen, LogPage)
            and pilot.app.screen.log_view.ended
            and pilot.app.screen.log_view.log_text.errors
        ),
    )
    await go(pilot, "e")


VIEWS: dict[str, Callable[[Hands], Awaitable[None]]] = {
    "installations": lambda pilot: go(pilot, "1", "j", "j"),
    "installation": lambda pilot: go(pilot, "d"),
    "environments": lambda pilot: go(pilot, "q", "2", "G"),
    "environment": lambda pilot: go(pilot, "g", "d"),
    "reap": lambda pilot: go(pilot, "q", "X"),
    "match": lambda pilot: go(pilot, "escape", "q", "3", "G"),
    "builds": lambda pilot: go(pilot, "4"),
    "log": show_log,
    "failed-log": show_failed_log,
    "config": lambda pilot: go(pilot, "q", "5"),
    "content": lambda pilot: go(pilot, "2", "colon", *"content", "enter"),
    "events": lambda pilot: go(pilot, "q", "exclamation_mark"),
    "help": lambda pilot: go(pilot, "q", "3", "question_mark"),
}
"""How to get from one to the next."""


def picture(app: EnvdeckApp, name: str, terminal: TerminalTheme) -> str:
    """What the app shows now as SVG. As `App.export_screenshot` does it, but with the colours of `terminal`."""
    width, height = app.size
    console = Console(
        width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="truecolor", record=True
    )
    console.print(app.screen._compositor.render_update(full=True, simplify=True))
    svg = console.export_svg(
        title="alice@web01", theme=terminal, code_format=SVG, font_aspect_ratio=FONT, unique_id=name
    )
    # Every text has its length, so nothing needs to be clipped.
    svg = re.sub(r' clip-path="[^"]*"', "", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


async def draw(directory: Path, size: tuple[int, int]) -> None:
    audit()
    app = EnvdeckApp(new_engine(), "0.1.0", environ={}, clock=lambda: NOW)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: not app.snapshot.probing and len(app.snapshot.builds) == 5)
        for view, reach in VIEWS.items():
            await reach(pilot)
            for terminal, theme in TERMINALS.items():
                name = f"{view}-{size[0]}x{size[1]}-{terminal}"
                (directory / f"{name}.svg").write_text(picture(app, view, theme))
    app.engine.close()


def main() -> None:
    """Draw all of them into the directory of this file, or into the one given."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with server():
        for size in SIZES:
            asyncio.run(draw(directory, size))


if __name__ == "__main__":
    main()
