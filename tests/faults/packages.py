"""A small index of local packages, one of which takes time to build and starts what outlives its parents."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

from tests.integration.conftest import make_wheel

__all__ = ["GRANDCHILD", "make_bundle", "make_index"]

GRANDCHILD = "a-compiler-of-the-fault-harness"
"""On the command line of the processes that the build of ``gamma`` leaves behind."""

_BACKEND = f'''
import os, subprocess, sys, time, zipfile

def _sleep_elsewhere(**options):
    # What a build script may start and never wait for.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "{GRANDCHILD}"],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _sleep_elsewhere()
    _sleep_elsewhere(start_new_session=True)
    for step in range(8):
        print("compiling part", step, flush=True)
        time.sleep(0.05)
    name = "gamma-1.0-py3-none-any.whl"
    info = "gamma-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for part in range(40):
            wheel.writestr("gamma/part%d.py" % part, "value = %d\\n" % part)
        wheel.writestr("gamma/__init__.py", "")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: gamma\\nVersion: 1.0\\n")
        about = "Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: true", "Tag: py3-none-any"
        wheel.writestr(info + "/WHEEL", "\\n".join(about) + "\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
'''


def make_index(directory: Path) -> None:
    """Two wheels, and a source distribution whose build takes half a second."""
    make_wheel(directory, "alpha", "1.0")
    make_wheel(directory, "beta", "2.0", requires=("alpha",))
    files = {
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "backend.py": _BACKEND,
        "PKG-INFO": "Metadata-Version: 2.1\nName: gamma\nVersion: 1.0\n",
    }
    with tarfile.open(directory / "gamma-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"gamma-1.0/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def make_bundle(directory: Path, index: Path, number: int) -> Path:
    """A bundle of its own key that asks for everything in the index; `number` tells it from the others."""
    directory.mkdir(parents=True)
    # A line that counts for the key and asks pip for nothing.
    lines = ["--no-index", f"--find-links {index}", "beta", "gamma", f'alpha>=0.{number} ; python_version > "3"']
    (directory / "requirements.txt").write_text("\n".join(lines) + "\n")
    manifest = {
        "version": 1,
        "metadata": {"appmode": "python-api", "entrypoint": "app"},
        "python": {
            "version": ".".join(map(str, sys.version_info[:3])),
            "package_manager": {"name": "pip", "version": "24.0", "package_file": "requirements.txt"},
        },
        "files": {},
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory
