"""What happens to each requirement line of a bundle.

Prohibited packages are dropped and reported (package-management-posit.txt, "Excluding Python Packages"); everything
else is handed to pip as the author wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from packaging.utils import NormalizedName, canonicalize_name

from engine.bundles.model import LineKind, RequirementLine
from engine.errors import Where
from engine.text import mask_credentials

__all__ = ["BUILT_IN_PROHIBITED", "Action", "PackagePlan", "PlannedLine", "plan_packages", "prohibited_names"]

# The first three are seen in the server's own logs (connect.md §8.2). The others are distributions for Windows that
# `pip freeze` captures on an author's desktop; whether the server drops them too is not known.
BUILT_IN_PROHIBITED = (
    "appnope",
    "pywinpty",
    "wincertstore",
    "pywin32",
    "pypiwin32",
    "pywin32-ctypes",
    "win-inet-pton",
    "menuinst",
)


class Action(StrEnum):
    """The fate of one requirement line."""

    INSTALL = "install"
    PROHIBITED = "prohibited"
    OPTION = "option"
    CONSTRAINT = "constraint"


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """One line of the plan: what was asked for, what is done with it, and why."""

    name: NormalizedName | None
    requirement: str
    """The line as the bundle has it, with the passwords in its URLs masked."""
    action: Action
    reason: str
    where: Where
    effective: str
    """What pip is given for it; empty for a dropped line. May hold a password: never show it."""


@dataclass(frozen=True, slots=True)
class PackagePlan:
    """The whole plan, in the order of the requirements file."""

    lines: tuple[PlannedLine, ...]
    needs_source: bool = False
    """True when a line refers to files of the bundle by a relative path."""

    def of(self, *actions: Action) -> tuple[PlannedLine, ...]:
        """The lines whose action is one of `actions`."""
        return tuple(line for line in self.lines if line.action in actions)

    @property
    def requirements_text(self) -> str:
        """The requirements file for pip. May hold a password: never show it."""
        return "".join(f"{line.effective}\n" for line in self.of(Action.INSTALL, Action.OPTION))

    @property
    def constraints_text(self) -> str:
        """The constraints file for pip; empty when the bundle names none."""
        return "".join(f"{line.effective}\n" for line in self.of(Action.CONSTRAINT))


def prohibited_names(configured: Iterable[tuple[str, str]]) -> dict[NormalizedName, str]:
    """The prohibited packages, each with where it is prohibited.

    `configured` are pairs (value of ``Python.ProhibitedPackage``, its origin). They extend the built-in list, and
    ``!name`` takes a name off it (connect.md §8.2, our choice where the server's is not known).
    """
    names = {canonicalize_name(name): "the built-in list" for name in BUILT_IN_PROHIBITED}
    for value, origin in configured:
        text = value.strip()
        if text.startswith("!"):
            names.pop(canonicalize_name(text[1:].strip()), None)
        elif text:
            names[canonicalize_name(text)] = origin
    return names


def plan_packages(lines: Iterable[RequirementLine], prohibited: Mapping[NormalizedName, str]) -> PackagePlan:
    """Decide on every line. `prohibited` is the result of `prohibited_names`."""
    lines = tuple(lines)
    planned = tuple(_plan_line(line, prohibited) for line in lines)
    needs_source = any(
        line.local and decision.action is not Action.PROHIBITED for line, decision in zip(lines, planned, strict=True)
    )
    return PackagePlan(planned, needs_source)


def _plan_line(line: RequirementLine, prohibited: Mapping[NormalizedName, str]) -> PlannedLine:
    def planned(action: Action, reason: str, effective: str) -> PlannedLine:
        return PlannedLine(line.name, mask_credentials(line.text), action, reason, line.where, effective)

    if line.constraint:
        return planned(Action.CONSTRAINT, "limits versions, installs nothing", line.text)
    if line.kind is LineKind.OPTION:
        return planned(Action.OPTION, "an option for pip, kept in its place", line.text)
    if line.name is not None and line.name in prohibited:
        return planned(Action.PROHIBITED, f"{line.name} is prohibited by {prohibited[line.name]}", "")
    return planned(Action.INSTALL, "handed to pip as written", line.text)
