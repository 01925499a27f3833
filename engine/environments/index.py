"""How the records of environments are kept in an index: what many of them have in common is there once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.environments.model import Environment, EnvironmentState, LockedPackage
from engine.text import clean

if TYPE_CHECKING:
    from engine.roster_index import Pool

__all__ = ["EnvironmentCodec"]


class EnvironmentCodec:
    """Environments as lists of numbers. Those that are not sound are left out: there are few."""

    form = "environments 2"

    def pack(self, record: Environment, texts: Pool, values: Pool) -> list[Any] | None:
        if record.state is not EnvironmentState.READY:
            return None
        text = texts.number
        ingredients = []
        for name, value in record.ingredients.items():
            # They are the lines once more, and of all ingredients the one that is hardly ever shared.
            same = name == "requirements" and isinstance(value, list) and tuple(value) == record.lines
            ingredients += [text(name), -1 if same else values.number(value, json.dumps(value, sort_keys=True))]
        return [
            *map(text, (record.attempt, record.installer, record.python_version, record.python_path, record.target)),
            *map(text, (record.built_by, record.bundle, record.overlay, record.seal)),
            list(map(text, record.lines)),
            # Equal packages are one object (`engine.environments.store`), and hashing one takes longer than its number.
            [values.number([package.name, package.version], id(package)) for package in record.packages],
            ingredients,
            record.size,
            record.shared,
            record.files,
            record.built_at,
            record.seconds,
            record.pinned,
        ]

    def unpacker(self, texts: Sequence[str], values: Sequence[Any]) -> Callable[[str, list[Any]], Environment]:
        packages = _Packages(values)

        def unpack(entry: str, row: list[Any]) -> Environment:
            attempt, installer, python_version, python_path, target, built_by, bundle, overlay, seal = map(
                texts.__getitem__, row[:9]
            )
            lines, wanted, ingredients, size, shared, files, built_at, seconds, pinned = row[9:]
            there = tuple(map(texts.__getitem__, lines))
            pairs = iter(ingredients)
            return Environment(
                key=entry.rpartition("/")[2],
                attempt=attempt,
                path=Path(entry, attempt),
                installer=installer,
                python_version=python_version,
                python_path=python_path,
                target=target,
                state=EnvironmentState.READY,
                reason="",
                lines=there,
                packages=tuple(map(packages.__getitem__, wanted)),
                size=int(size),
                shared=int(shared),
                files=int(files),
                built_at=float(built_at),
                built_by=built_by,
                seconds=float(seconds),
                bundle=bundle,
                ingredients={
                    texts[name]: list(there) if value == -1 else values[value]
                    for name, value in zip(pairs, pairs, strict=True)
                },
                pinned=bool(pinned),
                overlay=overlay,
                seal=seal,
            )

        return unpack


class _Packages(dict[int, LockedPackage]):
    """The packages among the values of an index, by number; each is made once."""

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, number: int) -> LockedPackage:
        name, version = self._values[number]
        package = self[number] = LockedPackage(clean(name), clean(version))
        return package
