"""What happens to each requirement line of a bundle.

Prohibited packages are dropped and reported (package-management-posit.txt, "Excluding Python Packages"); external ones
are taken from the installation ("External package installation", "External Package Version Matching"); packages that
the content's kind needs are added ("Package Installation"); everything else is handed to pip as the author wrote it,
unless pip could not use it.

The line of an external is rewritten to the version that is installed, never dropped, or nobody would ask for what the
package itself depends on. It is constrained as well, because a dependency of another package may ask for it too, and
pip would answer with a copy of its own that hides the external (builds.md, section C, T1 to T4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from engine.bundles.model import LineKind, RequirementLine
from engine.errors import Problem, Where
from engine.packages.lint import Examined, Treatment, examine, examine_all
from engine.packages.options import Ruling, rule_on_options
from engine.packages.support import SupportPackage
from engine.text import clean, mask_credentials

__all__ = [
    "BUILT_IN_PROHIBITED",
    "Action",
    "PackagePlan",
    "PackageRules",
    "PlannedLine",
    "external_names",
    "plan_packages",
    "prohibited_names",
]

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
    EXTERNAL = "external"
    """Served by the package of the installation."""
    SUPPORT = "support"
    """Added: content of this kind needs it and the bundle does not list it."""
    REWRITTEN = "rewritten"
    """Installed from a line that pip can use instead of the author's, which it cannot."""
    PROHIBITED = "prohibited"
    REFUSED = "refused"
    """Dropped: pip is certain to fail on it, or it may not be used."""
    OPTION = "option"
    CONSTRAINT = "constraint"


class PlannedLine(Struct, frozen=True):
    """One line of the plan: what was asked for, what is done with it, and why."""

    name: NormalizedName | None
    requirement: str
    """The line as the bundle has it, with the passwords in its URLs masked."""
    action: Action
    reason: str
    where: Where
    """The place in the bundle, or for an added line what asks for it."""
    effective: str
    """What pip is given for it; empty for a dropped line. May hold a password: never show it."""
    notes: tuple[str, ...] = ()
    """What else there is to know about the line, one sentence each."""
    mutable: bool = False
    """True when the same text can mean something else tomorrow."""
    problem: Problem | None = None
    """Why nothing can be built because of this line; its place is inside the bundle."""


class PackagePlan(Struct, frozen=True):
    """The whole plan: the lines of the requirements file in their order, then those that were added."""

    lines: tuple[PlannedLine, ...]
    needs_source: bool = False
    """True when a line refers to files of the bundle by a relative path."""

    def of(self, *actions: Action) -> tuple[PlannedLine, ...]:
        """The lines whose action is one of `actions`."""
        return tuple(line for line in self.lines if line.action in actions)

    @property
    def problem(self) -> Problem | None:
        """Why nothing can be built by this plan; None when it can."""
        return next((line.problem for line in self.lines if line.problem), None)

    @property
    def requested(self) -> tuple[PlannedLine, ...]:
        """The lines that ask pip for a package, options and constraints apart."""
        handed = self.of(Action.INSTALL, Action.EXTERNAL, Action.SUPPORT, Action.REWRITTEN)
        return tuple(line for line in handed if line.effective)

    @property
    def requirements_text(self) -> str:
        """The requirements file for pip. May hold a password: never show it."""
        handed = {Action.OPTION, Action.INSTALL, Action.EXTERNAL, Action.SUPPORT, Action.REWRITTEN}
        return _file_for_pip(line.effective for line in self.lines if line.action in handed and line.effective)

    @property
    def constraints_text(self) -> str:
        """The constraints file for pip; empty when there are none."""
        return _file_for_pip(line.effective for line in self.of(Action.CONSTRAINT))


def _file_for_pip(lines: Iterable[str]) -> str:
    text = "".join(f"{line}\n" for line in lines)
    # Without it older pips read the file in the encoding of the locale, where other lines may come of it.
    return text if text.isascii() else f"# -*- coding: utf-8 -*-\n{text}"


class PackageRules(Struct, frozen=True):
    """What decides about lines besides the lines: settings, and what the chosen installation has."""

    prohibited: Mapping[NormalizedName, str] = field(default_factory=dict)
    """The result of `prohibited_names`."""
    external: Mapping[NormalizedName, str] = field(default_factory=dict)
    """The result of `external_names`."""
    visible: Mapping[NormalizedName, Version] = field(default_factory=dict)
    """What environments see of the installation: the externals that it has, and what those depend on."""
    external_version_matching: bool = False
    support: tuple[SupportPackage, ...] = ()
    """The packages for the kind of the content, the result of `engine.packages.support.support_packages`."""
    allowed_options: tuple[tuple[str, str], ...] = ()
    """Pairs (value of ``Envdeck.AllowedOption``, its origin)."""


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


def external_names(configured: Iterable[tuple[str, str]]) -> dict[NormalizedName, str]:
    """The external packages, each with where it is declared: pairs (value of ``Python.External``, its origin).

    Names are compared as PEP 503 tells (connect.md §8.1, our choice where the server's is not known).
    """
    return {canonicalize_name(value.strip()): origin for value, origin in configured if value.strip()}


def plan_packages(lines: Iterable[RequirementLine], rules: PackageRules) -> PackagePlan:
    """Decide on every line of a bundle, and add those that the content's kind and the externals need."""
    rulings = [rule_on_options(line, rules.allowed_options) for line in lines]
    left = [ruling.left for ruling in rulings]
    serving = _serving(left, rules)
    planned = [
        _plan_line(ruling, examined, rules, serving)
        for ruling, examined in zip(rulings, examine_all(left), strict=True)
    ]
    needs_source = any(
        line.local and decision.effective and decision.action is not Action.EXTERNAL
        for line, decision in zip(left, planned, strict=True)
    )
    planned.extend(_support(left, tuple(planned), rules, serving))
    planned.extend(_constraints(rules, {line.name for line in planned if line.name and line.effective}))
    return PackagePlan(tuple(planned), needs_source)


def _plan_line(
    ruling: Ruling, examined: Examined, rules: PackageRules, serving: Mapping[NormalizedName, Version]
) -> PlannedLine:
    line = ruling.left

    def planned(action: Action, reason: str, effective: str, notes: tuple[str, ...] = ()) -> PlannedLine:
        mutable = examined.mutable and action in (Action.INSTALL, Action.REWRITTEN)
        written = mask_credentials(ruling.line.text)
        return PlannedLine(name, written, action, reason, line.where, effective, notes, mutable)

    name = line.name
    notes = (*ruling.notes, *examined.notes)
    prohibited_by = rules.prohibited.get(name) if name else None
    external_by = rules.external.get(name) if name else None
    installed = rules.visible.get(name) if name and external_by is not None else None
    if prohibited_by is not None and not line.constraint:
        return planned(Action.PROHIBITED, f"{name} is prohibited by {prohibited_by}", "")
    if installed is not None and not rules.external_version_matching:
        return planned(Action.EXTERNAL, *_by_name(line, installed))
    if ruling.problem is not None:
        return replace(planned(Action.REFUSED, ruling.problem.message, ""), problem=ruling.problem)
    if examined.action is Treatment.REFUSED:
        return planned(Action.REFUSED, examined.notes[0], "", examined.notes[1:])
    if line.kind is LineKind.OPTION:
        # Also one of a constraints file: for pip it makes no difference which file it is in.
        action = Action.OPTION if line.text else Action.REFUSED
        return planned(action, ruling.reason or "an option for pip, kept in its place", examined.effective, notes)
    if line.constraint:
        return planned(Action.CONSTRAINT, "limits versions, installs nothing", examined.effective, notes)
    if name in serving and installed is not None and _accepts(line, installed):
        reason = f"{name} {installed} of the installation satisfies it"
        return planned(Action.EXTERNAL, reason, examined.effective, _hash_notes(line))
    if examined.action is Treatment.REWRITTEN:
        return planned(Action.REWRITTEN, examined.notes[0], examined.effective, (*ruling.notes, *examined.notes[1:]))
    reason = "handed to pip as written"
    if installed is not None:
        reason += f": {name} {installed} of the installation does not satisfy it"
    elif external_by is not None:
        reason += f": {external_by} makes it external, but the installation does not have it"
    return planned(Action.INSTALL, reason, examined.effective, notes)


def _by_name(line: RequirementLine, installed: Version) -> tuple[str, str, tuple[str, ...]]:
    """Reason, effective line and notes where an external is matched by its name alone."""
    reason = f"{line.name} {installed} of the installation is used"
    if line.constraint:
        return f"{reason}, so the limit is ignored", "", ()
    requirement = line.requirement
    if requirement is None or requirement.url:
        reason += ", not the one that is asked for"
    elif not requirement.specifier.contains(installed, prereleases=True):
        reason += f", although {clean(str(requirement.specifier))} is asked for"
    effective = f"{line.name}=={installed}"
    if requirement is not None:
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        marker = f" ; {requirement.marker}" if requirement.marker else ""
        effective = f"{line.name}{extras}=={installed}{marker}"
    return reason, effective, _hash_notes(line)


def _hash_notes(line: RequirementLine) -> tuple[str, ...]:
    """T7 of builds.md, section C: a wrong hash of an installed package is not noticed."""
    if line.requirement is not None and " --hash" in line.text:
        return ("its hashes mean nothing here: pip checks only what it downloads",)
    return ()


def _serving(lines: Iterable[RequirementLine], rules: PackageRules) -> dict[NormalizedName, Version]:
    """The externals that no line without a marker objects to: which markers hold is for pip to find out."""
    serving = {name: rules.visible[name] for name in rules.external if name in rules.visible}
    for line in lines:
        installed = serving.get(line.name) if line.name else None
        marked = line.requirement is not None and line.requirement.marker is not None
        if line.name and installed is not None and not marked and not _accepts(line, installed):
            del serving[line.name]
    return serving


def _accepts(line: RequirementLine, installed: Version) -> bool:
    requirement = line.requirement
    if requirement is None:
        return False
    # A path on the author's own machine says nothing, so such a line asks for any version.
    if requirement.url and (line.local or not requirement.url.lower().startswith("file:")):
        return False
    return requirement.specifier.contains(installed, prereleases=True)


def _support(
    lines: Collection[RequirementLine],
    planned: Iterable[PlannedLine],
    rules: PackageRules,
    serving: Mapping[NormalizedName, Version],
) -> Iterator[PlannedLine]:
    """The lines for the support packages that the bundle does not list itself."""
    listed = {line.name for line in lines if not line.constraint}
    needs_hashes = any("--hash" in line.effective or "--require-hashes" in line.effective for line in planned)
    for package in rules.support:
        requirement = Requirement(package.requirement)
        name = canonicalize_name(requirement.name)
        if name in listed:
            continue
        line = RequirementLine(package.requirement, Where(package.origin), LineKind.REQUIREMENT, name, requirement)
        added = _plan_line(Ruling(line, line), examine(line), rules, serving)
        if added.action is Action.INSTALL:
            reason = f"{package.app_mode} content needs it, and the bundle does not list it"
            added = replace(added, action=Action.SUPPORT, reason=reason)
            if needs_hashes:
                # pip refuses the whole list when one line of it has a hash and another has none.
                reason = f"{reason}; but next to packages that are pinned by hash it cannot be added"
                added = replace(added, action=Action.REFUSED, reason=reason, effective="", notes=(), mutable=False)
        yield added


def _constraints(rules: PackageRules, listed: Collection[NormalizedName]) -> Iterator[PlannedLine]:
    """The lines that keep pip from installing a copy of its own of what the installation provides.

    A dependency of an external that the bundle lists itself is not limited: packages that are not defined as external
    are installed as requested, and should an external not work with that version, pip says so.
    """
    if rules.external_version_matching:
        return
    for name, version in sorted(rules.visible.items()):
        if name in rules.external:
            reason, origin = "external: no other copy may hide the one of the installation", rules.external[name]
        elif name not in listed:
            reason, origin = "an external depends on it: the copy of the installation is used", "the externals"
        else:
            continue
        text = f"{name}=={version}"
        yield PlannedLine(name, text, Action.CONSTRAINT, reason, Where(origin), text)
