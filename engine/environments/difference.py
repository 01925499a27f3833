"""How two environments differ: in their packages, in what was asked for, and in what else their keys cover. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from msgspec import Struct
from packaging.utils import canonicalize_name

from engine.environments.model import Environment
from engine.text import clean

__all__ = ["Change", "Difference", "compare_environments", "ingredient_changes"]

_LINES = "requirements"
"""The ingredient that is compared line by line."""


class Change(Struct, frozen=True):
    """One thing that differs: its name, and what each of the two has; empty where one has it not. Safe to show."""

    name: str
    one: str
    other: str


class Difference(Struct, frozen=True):
    """Everything that differs between two environments, each part by name."""

    one: Environment
    other: Environment
    packages: tuple[Change, ...]
    same_packages: int
    """How many packages both have in the same version."""
    only_one: tuple[str, ...]
    """Requirement lines that only the first was built with."""
    only_other: tuple[str, ...]
    ingredients: tuple[Change, ...]
    """What else the keys cover, such as ``interpreter.version`` or ``index.index-url``."""

    @property
    def none(self) -> bool:
        """Whether nothing differs."""
        return not (self.packages or self.only_one or self.only_other or self.ingredients)


def compare_environments(one: Environment, other: Environment) -> Difference:
    """How `one` differs from `other`."""
    first, second = _packages(one), _packages(other)
    names = sorted({*first, *second})
    lines, others = set(one.lines), set(other.lines)
    return Difference(
        one,
        other,
        tuple(Change(n, first.get(n, ""), second.get(n, "")) for n in names if first.get(n) != second.get(n)),
        sum(first.get(name) == second.get(name) for name in names),
        tuple(sorted(lines - others)),
        tuple(sorted(others - lines)),
        ingredient_changes(one.ingredients, other.ingredients),
    )


def ingredient_changes(one: Mapping[str, object], other: Mapping[str, object]) -> tuple[Change, ...]:
    """What differs between the ingredients of two keys besides the requirement lines, part by part."""
    first, second = _flat(one), _flat(other)
    names = (name for name in sorted({*first, *second}) if first.get(name) != second.get(name))
    return tuple(Change(name, first.get(name, ""), second.get(name, "")) for name in names)


def _packages(environment: Environment) -> dict[str, str]:
    return {clean(canonicalize_name(package.name)): package.version for package in environment.packages}


def _flat(ingredients: Mapping[str, object]) -> dict[str, str]:
    """Name to text, with the parts of an ingredient that has parts as ``name.part``."""
    flat: dict[str, str] = {}
    for name, value in ingredients.items():
        if name == _LINES:
            continue
        parts = value if isinstance(value, Mapping) else {"": value}
        for part, inner in parts.items():
            text = inner if isinstance(inner, str) else json.dumps(inner, sort_keys=True, default=str)
            flat[clean(f"{name}.{part}" if part else name)] = clean(text)
    return flat
