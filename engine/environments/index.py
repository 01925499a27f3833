"""How the records of environments are kept in an index: what many of them have in common is there once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.columns import Derived, Same, in_columns
from engine.environments.model import Environment, EnvironmentState, Ingredients, LockedPackage

if TYPE_CHECKING:
    from engine.columns import Chosen, Column, Looked, PackedColumns, UnpackedColumns

__all__ = ["EnvironmentCodec"]

_TEXTS = (
    "installer",
    "python_version",
    "python_path",
    "target",
    "built_by",
    "overlay",
)
_OWN_TEXTS = ("attempt", "bundle", "seal")
_WHOLE = ("size", "shared", "files")
_REAL = ("built_at", "seconds", "last_used_at")


class EnvironmentCodec:
    """Environments field by field. Those that are not sound are left out: there are few."""

    form = "environments 6"

    def keeps(self, record: Environment) -> bool:
        return record.state is EnvironmentState.READY

    def pack(self, records: Sequence[Environment], columns: PackedColumns) -> None:
        for name in _TEXTS:
            columns.put_texts(name, [getattr(record, name) for record in records])
        for name in _OWN_TEXTS:
            columns.put_own_texts(name, [getattr(record, name) for record in records])
        for names, kind in ((_WHOLE, "q"), (_REAL, "d"), (("pinned",), "B")):
            for name in names:
                columns.put_numbers(name, kind, [getattr(record, name) for record in records])
        columns.put_text_lists("lines", [record.lines for record in records])
        _pack_packages(records, columns)
        columns.put_values("ingredients", [_parts(record.ingredients) for record in records])

    def unpack(self, places: Column[str], names: Sequence[str], columns: UnpackedColumns) -> list[Environment]:
        number = len(names)
        lines = columns.text_lists("lines")
        return in_columns(
            Environment,
            number,
            place=places,
            key=names,
            state=Same(EnvironmentState.READY, number),
            reason=Same("", number),
            lines=lines,
            packages=_packages(columns),
            ingredients=_ingredients(columns.values("ingredients", _as_found), lines),
            pinned=columns.of((False, True), "pinned"),
            **{name: columns.texts(name) for name in _TEXTS},
            **{name: columns.own_texts(name) for name in _OWN_TEXTS},
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


def _packages(columns: UnpackedColumns) -> Column[Chosen[LockedPackage]]:
    named = zip(columns.texts("package names"), columns.texts("package versions"), strict=True)
    return columns.chosen("packages", [LockedPackage(name, version) for name, version in named])


def _parts(ingredients: Mapping[str, object]) -> list[Any]:
    """The ingredients without what is in another column, and whether that is so."""
    if isinstance(ingredients, Ingredients):
        return [ingredients.common, True]
    return [ingredients, False]


def _as_found(parts: list[Any]) -> tuple[Mapping[str, object], bool]:
    common, are_lines = parts
    return dict(common), bool(are_lines)


def _ingredients(
    parts: Looked[tuple[Mapping[str, object], bool]], lines: Column[tuple[str, ...]]
) -> Column[Mapping[str, object]]:
    def made(row: int) -> Mapping[str, object]:
        common, are_lines = parts[row]
        return Ingredients(common, lines[row]) if are_lines else common

    return Derived(made, len(parts))
