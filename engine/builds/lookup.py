"""Finding a build by what somebody types. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from engine.builds.model import Build
from engine.errors import InputError, Problem

__all__ = ["find_build"]


def find_build(builds: Sequence[Build], reference: str) -> Build:
    """The build with that id, the only one with `reference` as a part of its id, or the first one for ``last``.

    Raises `InputError` (`build-unknown`, `build-ambiguous`).
    """
    matching = list(builds[:1]) if reference == "last" else [b for b in builds if b.id == reference]
    if not matching and reference:
        matching = [b for b in builds if reference in b.id]
    if len(matching) == 1:
        return matching[0]
    if matching:
        problem = Problem(
            "build-ambiguous",
            f"{len(matching)} builds have {reference} in their id",
            found=", ".join(b.id for b in matching[:5]),
            hint="Give more of the id",
        )
    else:
        problem = Problem(
            "build-unknown",
            f"there is no build {reference}",
            expected="an id, a part of one, or `last`",
            hint="`envdeck builds` lists them",
        )
    raise InputError(problem)
