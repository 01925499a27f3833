"""Wheels made on the spot: right ones of every kind, and ones that are wrong in one place."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from engine.wheels.filling import Source
from engine.wheels.model import Pin, Wanted

EXECUTABLE = 0o100755
PLAIN = 0o100644
PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
TAG = f"cpython-3{sys.version_info.minor}-x86_64-linux-gnu"

# Between them all that a wheel can have, and that two can have together.
ALPHA = {
    "alpha/__init__.py": "from alpha.part import value\n",
    "alpha/part.py": "def value():\n    return [n for n in range(3)]\n",
    "alpha/old.py": "print 'Python 2'\n",
    "alpha/data/table.csv": "1,2\n",
    "alpha/tool": "#!/bin/sh\necho tool\n",
    "alpha, and +more.txt": 'a "name" with, everything\n',
    "shared/__init__.py": "# the same in both\n",
    "alpha-1.0.data/scripts/alpha-run.py": "#!python\nimport alpha\nprint(alpha.value())\n",
    "alpha-1.0.data/scripts/alpha-plain": "#!pythonw -E\nprint(1)\n",
    "alpha-1.0.data/scripts/alpha-native": b"\x7fELF not really",
    "alpha-1.0.data/scripts/alpha-cmd": "#!python\nraise SystemExit('pip writes this one')\n",
    "alpha-1.0.data/data/share/alpha/notes.txt": "notes\n",
    "alpha-1.0.data/data/share/alpha/helper.py": "x = 1\n",
    "alpha-1.0.data/data/top.txt": "at the top\n",
    "alpha-1.0.data/headers/alpha.h": "int alpha;\n",
    "alpha-1.0.data/platlib/alpha/native.py": "y = 2\n",
    "alpha-1.0.dist-info/entry_points.txt": (
        "[console_scripts]\nalpha-cmd = alpha:value\nalpha.more = alpha.part:value [extra]\n"
        "[gui_scripts]\nalpha-window = alpha.part:value\n"
    ),
    "alpha-1.0.dist-info/licenses/LICENSE": "free\n",
}
BETA = {"beta.py": "import alpha\n", "shared/__init__.py": "# the same in both\n", "shared/beta.py": "z = 3\n"}
EXECUTABLES = {path: EXECUTABLE for path in ALPHA if "/scripts/" in path or path == "alpha/tool"}
del EXECUTABLES["alpha-1.0.data/scripts/alpha-plain"]


def spelled(data: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()
    return f"{algorithm}={digest}"


def contents(name: str, version: str, files: Mapping[str, str | bytes], *requires: str) -> dict[str, bytes]:
    """The members of a wheel but for RECORD: `files` and what every wheel has."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {require}\n" for require in requires)
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    found = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    return {path: data.encode() if isinstance(data, str) else data for path, data in found.items()}


def record_of(members: Mapping[str, bytes], info: str) -> str:
    text = io.StringIO()
    rows = [(path, spelled(data), str(len(data))) for path, data in members.items()]
    csv.writer(text, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
    return text.getvalue()


def write_zip(path: Path, members: Sequence[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def make(
    directory: Path,
    name: str = "demo",
    version: str = "1.0",
    files: Mapping[str, str | bytes] | None = None,
    *requires: str,
    modes: Mapping[str, int] | None = None,
    record: str | None = None,
    extra: Sequence[tuple[str | zipfile.ZipInfo, bytes]] = (),
) -> Path:
    """A wheel with `files`. `record` is used instead of the right one; `extra` members are not in it."""
    if files is None:
        files = {f"{name}.py": f"__version__ = {version!r}\n"}
    plain = name.replace("-", "_")
    info = f"{plain}-{version}.dist-info"
    members = contents(name, version, files, *requires)
    infos: list[tuple[str | zipfile.ZipInfo, bytes]] = []
    for path, data in members.items():
        member = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = (modes or {}).get(path, PLAIN) << 16
        infos.append((member, data))
    text = record_of(members, info) if record is None else record
    return write_zip(
        directory / f"{plain}-{version}-py3-none-any.whl", [*infos, (f"{info}/RECORD", text.encode()), *extra]
    )


def wanted(path: Path, version: str | None = None) -> Wanted:
    """What a lock would say of the wheel at `path`."""
    name, found = path.name.split("-")[:2]
    return Wanted(Pin.of(name, version or found), hashlib.sha256(path.read_bytes()).hexdigest())


def source(packages: Path, index: str = "0" * 32) -> Source:
    """This Python, and the wheels in `packages` as its only index."""
    return Source(PYTHON, TAG, pip_version(), index, {"no-index": "true", "find-links": str(packages)})


@cache
def pip_version() -> str:
    said = subprocess.run([PYTHON, "-I", "-m", "pip", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1]
