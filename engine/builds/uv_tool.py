"""The uv of this machine: where it is, which release, and whether builds can use it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from engine.errors import Problem
from engine.executors.accounts import Account, first_barrier
from engine.packages.installer import OLDEST_UV, UvTool, uv_version
from engine.text import clean, one_line

__all__ = ["UvFinder"]

_SECONDS = 10.0
_HOW = "Install uv where every account can run it, or name it: Uv = PATH under [Envdeck]"


class UvFinder:
    """Finds uv, and asks it for its release only when it may be another one than the last time."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], UvTool] = {}

    def find(self, setting: str, origin: str, environ: Mapping[str, str], account: Account | None) -> UvTool:
        """The uv at `setting`, the value of ``Envdeck.Uv`` at `origin`, else the one on the ``PATH`` of `environ`.

        `account` is who builds run as, None for the account of this process: uv is asked as that account.
        """
        path = setting or shutil.which("uv", path=environ.get("PATH", os.defpath)) or ""
        if not path:
            problem = Problem("uv-not-found", "there is no uv on this machine's PATH", hint=_HOW)
            return UvTool(problem=problem)
        tool = UvTool(str(Path(path).absolute()), origin=clean(origin) if setting else "$PATH")
        try:
            status = Path(path).stat()
        except OSError as error:
            problem = Problem(
                "uv-not-found",
                f"{tool.path} cannot be looked at: {error.strerror or error}",
                found=f"named by {tool.origin}",
                hint=_HOW,
            )
            return replace(tool, problem=problem)
        known = (path, status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode, account and account.uid)
        if known not in self._known:
            self._known = {known: _ask(tool, account)}
        return replace(self._known[known], origin=tool.origin)


def _ask(tool: UvTool, account: Account | None) -> UvTool:
    """`tool` with its release, or why it cannot be used."""
    if account and (barrier := first_barrier(account, Path(tool.path), os.X_OK)):
        return replace(
            tool,
            problem=Problem(
                "uv-not-usable",
                f"{account.name}, the account of Applications.RunAs, cannot run {tool.path}",
                found=f"{barrier} is closed to it" if str(barrier) != tool.path else "it is not executable for it",
                hint=_HOW,
            ),
        )
    try:
        done = subprocess.run(
            [tool.path, "--version"],
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=account.groups if account else None,
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        said = done.stdout[:1000].decode("utf-8", "replace")
        found = one_line(said.strip() or f"exit code {done.returncode}", 200)
        version = uv_version(said) if done.returncode == 0 else None
    except subprocess.TimeoutExpired:
        found, version = f"no answer in {_SECONDS:g} s", None
    except OSError as error:
        found, version = error.strerror or str(error), None
    if version is None:
        problem = Problem(
            "uv-not-usable",
            f"{tool.path} does not tell which release of uv it is",
            expected="an answer to --version, such as uv 0.9.0",
            found=found,
            hint=_HOW,
        )
        return replace(tool, problem=problem)
    if version < OLDEST_UV:
        problem = Problem(
            "uv-not-usable",
            f"{tool.path} is too old: it is uv {version}",
            expected=f"uv {OLDEST_UV} or newer",
            hint="Update it",
        )
        return replace(tool, version=str(version), problem=problem)
    return replace(tool, version=str(version))
