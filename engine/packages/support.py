"""Packages that content needs so that it can be rendered or served at all, whatever its own code imports.

"In addition to the specified dependencies, Posit Connect also installs packages that it uses to deploy and render your
content" (package-management-posit.txt, "Package Installation"). Which ones the server installs is not known
(connect.md §6.2). This list is ours, and short: a package is on it where content of a mode cannot run without it and
its author easily overlooks it, because no code of the content imports it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from engine.text import one_line

__all__ = ["BUILT_IN_SUPPORT", "SupportPackage", "support_error", "support_packages"]

BUILT_IN_SUPPORT = {
    # The program that renders a notebook, and the kernel that it starts to run the cells.
    "jupyter-static": ("ipykernel", "nbconvert"),
    # The program that serves a notebook, and the kernel.
    "jupyter-voila": ("ipykernel", "voila"),
    # FastAPI is a framework for ASGI without a server for it. Those for WSGI, Flask and Dash, bring one.
    "python-fastapi": ("uvicorn",),
}
"""App mode (connect.md §5.2) to requirements."""


class SupportPackage(Struct, frozen=True):
    """One requirement that content of an app mode has besides its own, and where that is laid down."""

    requirement: str
    app_mode: str
    origin: str


def support_packages(app_mode: str, configured: Iterable[tuple[str, str]] = ()) -> tuple[SupportPackage, ...]:
    """The support packages for content of `app_mode`, by name.

    `configured` are pairs (value of ``Envdeck.SupportPackage``, its origin). ``APPMODE: REQUIREMENT`` adds to the
    built-in list or replaces the entry of that name, ``APPMODE: !name`` takes one off. Values that `support_error`
    objects to are passed over.
    """
    packages = {
        canonicalize_name(name): SupportPackage(name, app_mode, "the built-in list")
        for name in BUILT_IN_SUPPORT.get(app_mode, ())
    }
    for value, origin in configured:
        entry = _parse(value)
        if isinstance(entry, str) or entry.app_mode != app_mode:
            continue
        if entry.requirement:
            packages[entry.name] = SupportPackage(entry.requirement, app_mode, origin)
        else:
            packages.pop(entry.name, None)
    return tuple(package for _, package in sorted(packages.items()))


def support_error(value: str) -> str:
    """What is wrong with a value of ``Envdeck.SupportPackage``; empty when it is well-formed."""
    entry = _parse(value)
    return entry if isinstance(entry, str) else ""


class _Entry(Struct, frozen=True):
    app_mode: str
    name: NormalizedName
    requirement: str
    """Empty to take the package off the list."""


def _parse(value: str) -> _Entry | str:
    """The parts of a value, or what is wrong with it."""
    app_mode, colon, text = (part.strip() for part in value.partition(":"))
    if not colon or not app_mode or not text:
        return "it is not of the form APPMODE: REQUIREMENT"
    removed = text.startswith("!")
    try:
        requirement = Requirement(text.removeprefix("!").strip())
    except (InvalidRequirement, RecursionError):
        return f"{one_line(text, 80)} is not a requirement"
    return _Entry(app_mode, canonicalize_name(requirement.name), "" if removed else text)
