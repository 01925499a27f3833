"""Whether any Python at all can satisfy a version constraint, and which of its parts contradict each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

__all__ = ["contradiction"]


def contradiction(requires: SpecifierSet) -> tuple[str, ...]:
    """The parts that no release of Python satisfies together, and any fewer of which one does; empty when all can be.

    Releases have three numbers. The lowest that satisfies everything, if there is one, is where the range of some part
    begins, or the very first of all: only those have to be tried.
    """
    parts = sorted(requires, key=str)
    begins = [Version("0.0.0"), *(version for part in parts for version in _begins(part))]
    fits = {part: {version for version in begins if part.contains(version, prereleases=False)} for part in parts}

    def together(some: list[Specifier]) -> bool:
        return bool(set(begins).intersection(*(fits[part] for part in some)))

    if together(parts):
        return ()
    for part in list(parts):
        rest = [other for other in parts if other is not part]
        if not together(rest):
            parts = rest
    return tuple(map(str, parts))


def _begins(part: Specifier) -> Iterator[Version]:
    """The releases with which a range of `part` can begin: what it names, and what comes after that and its series."""
    try:
        named = Version(part.version.removesuffix(".*"))
    except InvalidVersion:  # after ``===`` anything may stand, which then is compared as a text
        return
    major, minor, micro = (*named.release, 0, 0)[:3]
    for numbers in ((major, minor, micro), (major, minor, micro + 1), (major, minor + 1, 0), (major + 1, 0, 0)):
        yield Version(".".join(map(str, numbers)))
