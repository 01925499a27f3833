"""How the records of content are kept in an index: what many of them have in common is there once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from engine.columns import Derived, Same, in_columns
from engine.content.model import Content, ContentBundle, PickedInstallation
from engine.text import clean

if TYPE_CHECKING:
    from engine.columns import Column, PackedColumns, UnpackedColumns

__all__ = ["ContentCodec"]

_TEXTS = ("app_mode", "created_by", "default_image")
_BUNDLE_TEXTS = ("deployed_by", "name", "key", "python_version")
_BUNDLE_NUMBERS = {"number": "q", "deployed_at": "d", "size": "q"}
_MOST = 1 << 63
_NEVER = float("-inf")
_MANAGEMENT = (None, False, True)


class ContentCodec:
    """Content field by field, and the same of its bundles. Broken records are left out: there are few."""

    form = "content 5"

    def keeps(self, record: Content) -> bool:
        if record.problem is not None or record.installation is None:
            return False
        # Records have whatever numbers somebody wrote into them.
        times = (record.created_at, *(bundle.deployed_at for bundle in record.bundles))
        whole = (record.active, *(n for bundle in record.bundles for n in (bundle.number, bundle.size)))
        return max(whole) < _MOST and all(abs(time) < _MOST for time in times)

    def pack(self, records: Sequence[Content], columns: PackedColumns) -> None:
        for name in _TEXTS:
            columns.put_texts(name, [getattr(record, name) for record in records])
        columns.put_own_texts("name", [record.name for record in records])
        columns.put_texts("key", [record.key for record in records])
        columns.put_numbers("created_at", "d", [record.created_at for record in records])
        times: dict[float | None, int] = {None: 0}
        columns.put_numbers("last_used_at", "I", [times.setdefault(r.last_used_at, len(times)) for r in records])
        columns.put_numbers("times", "d", [_NEVER if at is None else at for at in times])
        columns.put_numbers("active", "q", [record.active for record in records])
        columns.put_numbers("managed", "B", [record.managed for record in records])
        columns.put_numbers("management", "B", [_MANAGEMENT.index(record.management) for record in records])
        columns.put_values("installation", [_parts(record.installation) for record in records])
        bundles = list(chain.from_iterable(record.bundles for record in records))
        columns.put_numbers("bundles", "I", [len(record.bundles) for record in records])
        for name in _BUNDLE_TEXTS:
            columns.put_texts(f"bundle {name}", [getattr(bundle, name) for bundle in bundles])
        for name, kind in _BUNDLE_NUMBERS.items():
            columns.put_numbers(f"bundle {name}", kind, [getattr(bundle, name) for bundle in bundles])

    def unpack(self, _places: Column[str], names: Sequence[str], columns: UnpackedColumns) -> list[Content]:
        number = len(names)
        return in_columns(
            Content,
            number,
            guid=names,
            created_at=columns.numbers("created_at"),
            bundles=_bundles(columns),
            active=columns.numbers("active"),
            installation=columns.values("installation", _installation),
            managed=columns.of((False, True), "managed"),
            management=columns.of(_MANAGEMENT, "management"),
            problem=Same(None, number),
            name=columns.own_texts("name"),
            key=columns.texts("key"),
            last_used_at=columns.of([None if at == _NEVER else at for at in columns.numbers("times")], "last_used_at"),
            **{name: columns.texts(name) for name in _TEXTS},
        )


def _bundles(columns: UnpackedColumns) -> Column[tuple[ContentBundle, ...]]:
    every = in_columns(
        ContentBundle,
        len(columns.numbers("bundle number")),
        **{name: columns.texts(f"bundle {name}") for name in _BUNDLE_TEXTS},
        **{name: columns.numbers(f"bundle {name}") for name in _BUNDLE_NUMBERS},
    )
    ends = columns.ends("bundles")
    if ends[-1] != len(every):
        raise ValueError("bundles")
    return Derived(lambda row: tuple(every[ends[row] : ends[row + 1]]), len(ends) - 1)


def _parts(picked: PickedInstallation | None) -> list[Any]:
    assert picked is not None
    return [picked.version, picked.path, picked.target, dict(picked.identity)]


def _installation(parts: list[Any]) -> PickedInstallation:
    version, path, target, identity = parts
    return PickedInstallation(clean(version), clean(path), clean(target), dict(identity))
