"""Records of the engine: most are structs, those that may be in columns are dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def replace(record: T, /, **values: Any) -> T:
    """`record` with these values in its fields, of whichever kind it is."""
    if isinstance(record, msgspec.Struct):
        return msgspec.structs.replace(record, **values)
    return dataclasses.replace(record, **values)


def field_names(record: object) -> tuple[str, ...]:
    """The names of the fields of a record, of whichever kind it is; none for what is no record."""
    if isinstance(record, msgspec.Struct):
        return record.__struct_fields__
    return tuple(field.name for field in dataclasses.fields(record)) if dataclasses.is_dataclass(record) else ()
