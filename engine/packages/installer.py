"""Which program installs the packages of a bundle: pip, or uv where bundle and server allow it. Pure.

uv is opt-in (connect.md §9): a bundle's ``allow_uv`` says true, false, or nothing, and then the server's default counts
(``Python.DefaultPackageManager``). The server may refuse it altogether (``Python.AllowUv``). What uv would do otherwise
than pip is never left to chance: then pip does it, and the choice says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from engine.errors import Problem

__all__ = ["OLDEST_UV", "PIP", "UV", "InstallerChoice", "UvTool", "choose_installer", "place_obstacles", "uv_version"]

PIP = "pip"
UV = "uv"

OLDEST_UV = Version("0.5")
"""The oldest release whose options and output are known to be what is made use of here."""
_OLDEST_PYTHON = Version("3.8")
"""The oldest Python that uv supports."""


class UvTool(Struct, frozen=True):
    """The uv of this machine."""

    path: str = ""
    """Empty when there is none."""
    version: str = ""
    origin: str = ""
    """What names it: ``$PATH``, or the place of ``Envdeck.Uv``."""
    problem: Problem | None = None
    """Why builds cannot use it; None when they can."""


class InstallerChoice(Struct, frozen=True):
    """The installer of a plan, and why it is that one."""

    name: str
    """``pip`` or ``uv``."""
    reason: str
    wanted: bool = False
    """Whether uv was asked for, by the bundle or by the server's default."""
    obstacles: tuple[str, ...] = ()
    """What keeps uv from doing it, one sentence each."""


def choose_installer(
    bundle: bool | None,
    *,
    allowed: bool,
    default: str,
    tool: Callable[[], UvTool],
    obstacles: Callable[[], Sequence[str]],
) -> InstallerChoice:
    """The installer for a bundle whose manifest says `bundle` for ``allow_uv``.

    `allowed` and `default` are ``Python.AllowUv`` and ``Python.DefaultPackageManager``. `tool` is asked only when uv
    is wanted, `obstacles` only when it is there too: what in the plan uv cannot do as pip does it.
    """
    if bundle is False:
        return InstallerChoice(PIP, "the bundle does not allow uv: allow_uv is false in its manifest")
    if bundle is None and default != UV:
        return InstallerChoice(PIP, "it is the default: neither the manifest nor DefaultPackageManager asks for uv")
    who = "the manifest allows it (allow_uv)"
    if bundle is None:
        who = "DefaultPackageManager is uv, and the manifest says nothing"
    if not allowed:
        return InstallerChoice(PIP, f"{who}, but the server does not: AllowUv is off", wanted=True)
    if (problem := tool().problem) is not None:
        return InstallerChoice(PIP, f"{who}, but uv cannot be used: {problem.message}", wanted=True)
    found = tuple(dict.fromkeys(obstacles()))
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return InstallerChoice(PIP, f"{who}, but {found[0]}{more}", wanted=True, obstacles=found)
    return InstallerChoice(UV, who, wanted=True)


def place_obstacles(*, target_is_local: bool, executor: str, python: Version | None, externals: int) -> tuple[str, ...]:
    """What keeps uv from being used where and on what the build would run.

    `python` is None where nobody asked the interpreter; `externals` is how many packages of the installation are seen.
    """
    found = []
    if not target_is_local:
        found.append("an image is not known to have uv")
    elif executor != "local":
        found.append(f"builds are given to {executor}, where uv may not be")
    if python is not None and python < _OLDEST_PYTHON:
        found.append(f"uv supports Python {_OLDEST_PYTHON} and newer, not {python}")
    if externals:
        # It looks into the environment's own directory alone, and would install a second copy that hides the external.
        found.append("uv does not see external packages")
    return tuple(found)


def uv_version(output: str) -> Version | None:
    """The release in the answer of ``uv --version``; None when it is another program's."""
    words = output.split()
    if len(words) < 2 or words[0] != "uv":
        return None
    try:
        return Version(words[1])
    except InvalidVersion:
        return None
