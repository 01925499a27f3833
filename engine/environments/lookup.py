"""Finding an environment by what somebody types. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from engine.environments.model import Environment
from engine.errors import InputError, Problem

__all__ = ["find_environment"]


def find_environment(environments: Iterable[Environment], reference: str) -> Environment:
    """The environment with that key, or with a key that begins so.

    Raises `InputError` (`environment-unknown`, `environment-ambiguous`).
    """
    environments = tuple(environments)
    matching = [e for e in environments if e.key == reference]
    if not matching and reference:
        matching = [e for e in environments if e.key.startswith(reference)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        problem = Problem(
            "environment-ambiguous",
            f"{len(matching)} environments have a key that begins with {reference}",
            found=", ".join(e.key for e in matching[:5]),
            hint="Give more of the key",
        )
    else:
        problem = Problem(
            "environment-unknown",
            f"there is no environment {reference}",
            expected="a key, or the beginning of one",
            hint="`envdeck environments` lists them",
        )
    raise InputError(problem)
