"""Real builds from packages made on the spot: no network, no shared state."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine import Engine

if TYPE_CHECKING:
    from wheel_room import Room


def make_wheel(directory: Path, name: str, version: str = "1.0", requires: tuple[str, ...] = ()) -> Path:
    """A pure wheel with one module that knows its version."""
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {
        f"{name}.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return wheel


def make_source(directory: Path, name: str, setup: str) -> Path:
    """A source distribution whose ``setup.py`` runs `setup` first, as any package may."""
    import io
    import tarfile

    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-1.0.tar.gz"
    backend = f"{setup}\nraise SystemExit('stop here')\n"
    files = {
        # A build backend inside the archive: pip needs nothing from an index to run it.
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "backend.py": backend,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


class Server:
    """A data directory, a config file, an index of local packages and an engine over them."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.data_dir = root / "data"
        self.packages = root / "packages"
        self.packages.mkdir(parents=True)
        self.config = root / "server.gcfg"
        self.environ = dict(environ)
        self.engines: list[Engine] = []
        self.configure()

    def configure(self, *extra: str, executables: tuple[str, ...] = (sys.executable,)) -> None:
        base = Path(sys.base_prefix) / "bin" / Path(sys.executable).name
        paths = [str(base) if path == sys.executable else path for path in executables]
        lines = ["[Server]", f"DataDir = {self.data_dir}", "[Python]", "Enabled = true"]
        lines += [f"Executable = {path}" for path in paths]
        self.save("\n".join([*lines, *extra]) + "\n")

    def save(self, text: str) -> None:
        """Put the text in the place of the configuration at once: who watches it never sees a part of it."""
        new = self.root / "server.gcfg.new"
        new.write_text(text)
        new.replace(self.config)

    def engine(self, **options: bool) -> Engine:
        engine = Engine([self.config], self.environ, **options)
        self.engines.append(engine)
        return engine

    def bundle(self, *requirements: str, name: str = "app", python: str | None = None) -> Path:
        """A bundle that wants this Python and takes packages from the local index alone."""
        directory = self.root / "bundles" / name
        directory.mkdir(parents=True, exist_ok=True)
        manifest = {
            "version": 1,
            "metadata": {"appmode": "python-api", "entrypoint": "app"},
            "python": {
                "version": python or ".".join(map(str, sys.version_info[:3])),
                "package_manager": {"name": "pip", "version": "24.0", "package_file": "requirements.txt"},
            },
            "files": {},
        }
        (directory / "manifest.json").write_text(json.dumps(manifest))
        lines = ["--no-index", f"--find-links {self.packages}", *requirements]
        (directory / "requirements.txt").write_text("\n".join(lines) + "\n")
        return directory


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    server = Server(tmp_path, environ)
    yield server
    for engine in server.engines:
        engine.close()


def wait_until(condition: Callable[[], object], timeout: float = 120.0, what: str = "the condition") -> None:
    """Return once `condition()` holds; fail loudly when it does not within `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come true within {timeout:g} s")
        time.sleep(0.02)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until


@pytest.fixture(name="make_wheel")
def make_wheel_fixture() -> Callable[..., Path]:
    return make_wheel


@pytest.fixture(name="make_source")
def make_source_fixture() -> Callable[..., Path]:
    return make_source


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """A wheel store for tests that only read it."""
    from wheel_room import Room

    from engine.wheels.filling import fill

    room = Room(tmp_path_factory.mktemp("store"))
    result = fill(room.store, room.source, room.wanted)
    assert (result.added, result.refused) == (2, {})
    return room


@pytest.fixture
def room(filled: Room, tmp_path: Path) -> Room:
    """A wheel store for tests that change it."""
    return filled.copy(tmp_path / "room")
