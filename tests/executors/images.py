"""Container images made of this machine's own interpreters: nothing is downloaded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.installations.discovery import discover

__all__ = ["Interpreter", "import_image", "interpreters", "write_image"]

_FACTS = """
import glob, json, os, sys, sysconfig
import ensurepip, pip, venv
places = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
site = os.path.dirname(os.path.dirname(pip.__file__))
places += [p for name in ("pip", "setuptools", "pkg_resources") for p in glob.glob(os.path.join(site, name + "*"))]
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3],
    "executable": os.path.realpath(sys.executable),
    "places": sorted(set(places)),
}))
"""

_TOOLS = ("cat", "dash", "env", "id", "ls", "mkdir", "rm", "sleep")
_SKIPPED = {"idlelib", "lib2to3", "site-packages", "dist-packages", "test", "tests", "tkinter", "turtledemo"}
_DIRECTORIES = {"/dev": 0o755, "/etc": 0o755, "/proc": 0o755, "/root": 0o755, "/sys": 0o755, "/tmp": 0o1777}

_CHANGES = ("ENV FROM_IMAGE=1", 'ENTRYPOINT ["/bin/false"]', 'CMD ["of-the-image"]', "USER 4711")
"""What images set and a job must see nothing of."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter of this machine that has what an environment needs, and how it is called inside its image."""

    version: str
    executable: Path
    places: tuple[Path, ...]
    """The directories that it consists of."""

    @property
    def inside(self) -> str:
        """A path that leads nowhere outside the image, as with any other image."""
        return f"/opt/envdeck-test/{self.version}/bin/python3"


def interpreters(environ: Mapping[str, str] = os.environ) -> Iterator[Interpreter]:
    """The interpreters of this machine from 3.8 on that can make environments, newest first."""
    for path in reversed(discover(environ)):
        probe = subprocess.run([path, "-I", "-c", _FACTS], capture_output=True, text=True, check=False, timeout=60)
        if probe.returncode == 0:
            facts = json.loads(probe.stdout)
            if tuple(map(int, facts["version"].split("."))) >= (3, 8):
                yield Interpreter(facts["version"], Path(facts["executable"]), tuple(map(Path, facts["places"])))


def write_image(interpreter: Interpreter, archive: Path) -> None:
    """Write the file system of an image: the interpreter where it is, its libraries and a shell, and nothing else."""
    with tarfile.open(archive, "w") as tar:
        for directory, mode in _DIRECTORIES.items():
            _add(tar, directory, tarfile.DIRTYPE, mode=mode)
        programs = [Path(f"/bin/{tool}").resolve() for tool in _TOOLS]
        binaries = [interpreter.executable, *programs]
        for file in _files(interpreter.places):
            tar.add(file, recursive=False)
            if ".so" in file.suffixes and not file.is_symlink():
                binaries.append(file)
        tar.add(interpreter.executable)
        for library in _libraries(binaries):
            tar.add(library.resolve(), arcname=str(library))
        for tool, program in zip(_TOOLS, programs, strict=True):
            tar.add(program, arcname=f"/bin/{tool}")
        _add(tar, "/bin/sh", tarfile.SYMTYPE, target="dash")
        _add(tar, "/usr/bin/env", tarfile.SYMTYPE, target="/bin/env")
        for name in (interpreter.inside, "/usr/bin/python3"):
            _add(tar, name, tarfile.SYMTYPE, target=str(interpreter.executable))
        _add(tar, "/etc/passwd", content="root:x:0:0:root:/root:/bin/sh\n")
        _add(tar, "/etc/group", content="root:x:0:\n")
        _add(tar, "/etc/nsswitch.conf", content="hosts: files dns\n")


def import_image(command: Sequence[str], archive: Path, name: str, environ: Mapping[str, str]) -> None:
    """Make the image `name` from a file of `write_image`, with `command` (``podman`` or ``docker``)."""
    changes = [f"--change={change}" for change in _CHANGES]
    subprocess.run(
        [*command, "import", *changes, str(archive), name], env=environ, capture_output=True, check=True, timeout=300
    )


def _files(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if not place.is_dir():
            yield place
        for directory, below, names in os.walk(place):
            below[:] = [name for name in below if name not in _SKIPPED and not name.startswith("config-")]
            links = [name for name in below if (Path(directory) / name).is_symlink()]
            for name in (*names, *links):
                if not name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc")):
                    yield Path(directory) / name


def _libraries(binaries: Sequence[Path]) -> set[Path]:
    """The shared libraries that the programs and modules `binaries` are linked with, the loader among them."""
    said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    words = (word for line in said.splitlines() for word in line.split() if not word.endswith(":"))
    return {Path(word) for word in words if word.startswith("/")}


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    mode: int = 0o644,
    target: str = "",
    content: str = "",
) -> None:
    member = tarfile.TarInfo(name.lstrip("/"))
    member.type, member.mode, member.linkname, member.size = kind, mode, target, len(content)
    tar.addfile(member, io.BytesIO(content.encode()))
