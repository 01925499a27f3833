"""How the records of environments are kept in an index: what many of them have in common is there once."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.environments.model import Environment, EnvironmentState, Ingredients, LockedPackage
from engine.roster_index import Chosen, filled

if TYPE_CHECKING:
    from engine.roster_index import PackedColumns, UnpackedColumns

__all__ = ["EnvironmentCodec"]

_TEXTS = (
    "attempt",
    "installer",
    "python_version",
    "python_path",
    "target",
    "built_by",
    "bundle",
    "overlay",
    "seal",
)
_WHOLE = ("size", "shared", "files")
_REAL = ("built_at", "seconds", "last_used_at")


class EnvironmentCodec:
    """Environments field by field. Those that are not sound are left out: there are few."""

    form = "environments 4"

    def keeps(self, record: Environment) -> bool:
        return record.state is EnvironmentState.READY

    def pack(self, records: Sequence[Environment], columns: PackedColumns) -> None:
        for name in _TEXTS:
            columns.put_texts(name, [getattr(record, name) for record in records])
        for names, kind in ((_WHOLE, "q"), (_REAL, "d"), (("pinned",), "B")):
            for name in names:
                columns.put_numbers(name, kind, [getattr(record, name) for record in records])
        columns.put_text_lists("lines", [record.lines for record in records])
        _pack_packages(records, columns)
        columns.put_values("ingredients", [_parts(record.ingredients) for record in records])

    def unpack(self, entries: Sequence[str], columns: UnpackedColumns) -> list[Environment]:
        number = len(entries)
        lines = columns.text_lists("lines")
        places, _, keys = zip(*(entry.rpartition("/") for entry in entries), strict=True)
        return filled(
            Environment,
            number,
            place=list(map(sys.intern, places)),
            key=keys,
            state=[EnvironmentState.READY] * number,
            reason=[""] * number,
            lines=lines,
            packages=_packages(columns),
            ingredients=list(map(_ingredients, columns.values("ingredients", _as_found), lines)),
            pinned=list(map(bool, columns.numbers("pinned"))),
            **{name: columns.texts(name) for name in _TEXTS},
            **{name: columns.numbers(name) for name in (*_WHOLE, *_REAL)},
        )


def _pack_packages(records: Sequence[Environment], columns: PackedColumns) -> None:
    # Nearly all equal packages are one object, and hashing one takes longer than its number.
    packages = {id(package): package for record in records for package in record.packages}
    distinct: dict[LockedPackage, int] = {}
    number = {identity: distinct.setdefault(package, len(distinct)) for identity, package in packages.items()}
    columns.put_texts("package names", [package.name for package in distinct])
    columns.put_texts("package versions", [package.version for package in distinct])
    columns.put_lists("packages", [[number[id(package)] for package in record.packages] for record in records])


def _packages(columns: UnpackedColumns) -> list[Chosen[LockedPackage]]:
    named = zip(columns.texts("package names"), columns.texts("package versions"), strict=True)
    return columns.chosen("packages", [LockedPackage(name, version) for name, version in named])


def _parts(ingredients: Mapping[str, object]) -> list[Any]:
    """The ingredients without what is in another column, and whether that is so."""
    if isinstance(ingredients, Ingredients):
        return [ingredients.common, True]
    return [ingredients, False]


def _as_found(parts: list[Any]) -> list[Any]:
    return parts


def _ingredients(parts: list[Any], lines: tuple[str, ...]) -> Mapping[str, object]:
    common, are_lines = parts
    return Ingredients(common, lines) if are_lines else common
