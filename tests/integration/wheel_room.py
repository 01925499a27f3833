"""A wheel store with packages made on the spot in it, and what tests do with one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import wheel_maker as wheels

from engine.executors.accounts import Account
from engine.wheels import linking
from engine.wheels.linking import link
from engine.wheels.model import StoredWheel
from engine.wheels.store import WheelStore

INDEX = "1" * 32


class Room:
    """A store with what was wanted of an index in it."""

    def __init__(self, root: Path, alpha: Mapping[str, str | bytes] = wheels.ALPHA) -> None:
        self.packages = root / "packages"
        self.alpha = wheels.make(self.packages, "alpha", "1.0", alpha, modes=wheels.EXECUTABLES)
        self.beta = wheels.make(self.packages, "beta", "2.0", wheels.BETA, "alpha>=1")
        self.store = WheelStore(root / "data")
        self.source = wheels.source(self.packages, INDEX)
        self.wanted = [wheels.wanted(self.alpha), wheels.wanted(self.beta)]

    def copy(self, root: Path) -> Room:
        """Another one with the same in it."""
        room = Room(root)
        shutil.copytree(self.store.data_dir, room.store.data_dir)
        room.wanted = self.wanted
        shutil.rmtree(room.packages)
        shutil.copytree(self.packages, room.packages)
        return room

    def find(self, *names: str) -> list[StoredWheel]:
        found = [
            self.store.find(each.sha256, wheels.TAG) for each in self.wanted if each.pin.name in names or not names
        ]
        return [wheel for wheel in found if wheel is not None]

    def link(
        self, env: Path, *names: str, requested: Sequence[str] = (), owner: Account | None = None
    ) -> linking.Linked:
        env.mkdir(parents=True, exist_ok=True)
        found = self.find(*names)
        pins = [wheel.pin.name for wheel in found if wheel.pin.name in requested]
        return link(self.store, found, env, pip_version=wheels.pip_version(), requested=pins, owner=owner)


def site(env: Path) -> Path:
    return env / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def pip(env: Path, *arguments: str) -> str:
    argv = [wheels.PYTHON, "-I", "-m", "pip", "--python", env / "bin" / "python", "--disable-pip-version-check"]
    variables = {"PIP_CONFIG_FILE": os.devnull, "HOME": str(env)}
    return subprocess.run([*argv, *arguments], capture_output=True, text=True, check=True, env=variables).stdout


def venv(env: Path) -> None:
    subprocess.run([wheels.PYTHON, "-I", "-m", "venv", "--without-pip", env], check=True)


def snapshot(store: WheelStore) -> dict[str, object]:
    """All that is in the store, without the times when files were linked."""
    return {
        str(path.relative_to(store.root)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_uid)
        for path in store.root.rglob("*")
        if path.is_file()
    }
