"""What a benchmark works with: a scratch directory with the tools it needs, installed there and nowhere else."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["ROOT", "Scratch", "base_interpreter", "machine"]

ROOT = Path(__file__).parents[2]
_KEPT = ("LANG", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")
_SYSTEM_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Scratch:
    """A directory of its own, and the interpreter that everything is built on."""

    root: Path
    python: Path

    @property
    def uv(self) -> Path:
        return self.root / "tools" / "bin" / "uv"

    @property
    def virtualenv(self) -> Path:
        return self.root / "tools" / "bin" / "virtualenv"

    def install_tools(self) -> None:
        """uv and virtualenv, into an environment in the scratch directory, unless they are there."""
        if self.uv.exists() and self.virtualenv.exists():
            return
        subprocess.run([self.python, "-m", "venv", self.root / "tools"], check=True)
        pip = self.root / "tools" / "bin" / "pip"
        subprocess.run([pip, "install", "-q", "--disable-pip-version-check", "uv", "virtualenv"], check=True)
        # Once, because it unpacks what it begins every environment with when it runs for the first time.
        home = self.root / "home"
        subprocess.run([self.virtualenv, "-q", self.root / "first"], env=self.environ(home), check=True)

    def environ(self, home: Path) -> dict[str, str]:
        """The variables of every contender: what a build of envdeck sees, and a home directory for the caches."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        if "SSL_CERT_FILE" not in kept and _SYSTEM_CERTIFICATES.exists():
            kept["SSL_CERT_FILE"] = str(_SYSTEM_CERTIFICATES)
        return kept | {"HOME": str(home), "NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"}

    def versions(self) -> str:
        """The releases of what is measured, in words."""
        asked = {
            "Python": [self.python, "-V"],
            "pip": [self.python, "-m", "pip", "--version"],
            "virtualenv": [self.virtualenv, "--version"],
            "uv": [self.uv, "--version"],
        }
        return ", ".join(f"{name} {_answer(argv)}" for name, argv in asked.items())

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def _answer(argv: Sequence[str | Path]) -> str:
    """The first number in what a program says of its release."""
    said = subprocess.run(argv, capture_output=True, text=True, check=True)
    found = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return found.group() if found else "?"


def machine(where: Path) -> str:
    """The machine in words: what times depend on."""
    memory = psutil.virtual_memory().total / 2**30
    disks = sorted(psutil.disk_partitions(all=True), key=lambda disk: len(disk.mountpoint))
    disk = next((d.fstype for d in reversed(disks) if where.is_relative_to(d.mountpoint)), "?")
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {disk}, {platform.system()} {platform.release()}, "
        f"load {load:.1f} at the start, {time.strftime('%Y-%m-%d')}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def base_interpreter() -> Path:
    """The interpreter that this one's environment was made of."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
