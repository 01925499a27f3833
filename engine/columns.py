"""Records in columns: what many records take where each would be an object with others in it.

Of ten thousand environments or a hundred thousand pieces of content most is in arrays of numbers, which say which of
some thousand texts and other things is in which field. A record out of columns holds the number of its row and nothing
else: what is in its fields is looked up when it is asked for. To whoever has one it is a record like any other.
"""

from __future__ import annotations

import json
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import accumulate, chain, repeat
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from engine.text import clean

__all__ = [
    "Chosen",
    "Column",
    "Derived",
    "Looked",
    "PackedColumns",
    "Same",
    "UnpackedColumns",
    "changed",
    "in_columns",
    "record",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_KINDS = {"B": 1 << 8, "H": 1 << 16, "I": 1 << 32}


# Columns


class Column(Protocol[T_co]):
    """What is in one field of all records."""

    def __len__(self) -> int: ...
    def __getitem__(self, row: int, /) -> T_co: ...


class Looked(Generic[T]):
    """Some things, by their numbers. Raises `ValueError` for a number that stands for nothing."""

    __slots__ = ("numbers", "things")

    def __init__(self, things: Sequence[T], numbers: array[int]) -> None:
        if max(numbers, default=0) >= max(1, len(things)) or (numbers and not things):
            raise ValueError("a number that stands for nothing")
        self.things = things
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int, /) -> T:
        return self.things[self.numbers[row]]

    def __iter__(self) -> Iterator[T]:
        return map(self.things.__getitem__, self.numbers)


class Same(Generic[T]):
    """The same in every record."""

    __slots__ = ("_number", "_thing")

    def __init__(self, thing: T, number: int) -> None:
        self._thing = thing
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, _row: int, /) -> T:
        return self._thing


class Derived(Generic[T]):
    """What is made of the number of a row."""

    __slots__ = ("_number", "make")

    def __init__(self, make: Callable[[int], T], number: int) -> None:
        self.make = make
        self._number = number

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, row: int, /) -> T:
        return self.make(row)


class Chosen(Sequence[T]):
    """Some of many things, by their numbers in an array that many share: a third of the memory of a tuple."""

    __slots__ = ("_first", "_last", "_numbers", "_things")

    def __init__(self, things: Sequence[T], numbers: array[int], first: int, last: int) -> None:
        self._things = things
        self._numbers = numbers
        self._first = first
        self._last = last

    def __len__(self) -> int:
        return self._last - self._first

    def __iter__(self) -> Iterator[T]:
        return map(self._things.__getitem__, self._numbers[self._first : self._last])

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Chosen | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


# Records


def record(kind: type[T]) -> type[T]:
    """Let records of a frozen dataclass that has ``__slots__ = ()`` be in columns, or each be an object of its own.

    Which of both one is, is its type (of which `kind` is the base), while its `__class__` is `kind` either way. So
    what `dataclasses` makes for `kind` compares, shows and replaces both.
    """
    whole = type(kind.__name__, (kind,), {"__slots__": _names(kind), "__class__": property(lambda _self: kind)})

    def new(_cls: object, *_args: object, **_fields: object) -> object:
        return object.__new__(whole)

    cast("Any", kind).__new__ = new
    return kind


def _names(kind: type[object]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast("Any", kind)))


class _Table:
    """The columns of records, and the types of those that are in them."""

    def __init__(self, kind: type[Any], columns: dict[str, Column[Any]]) -> None:
        self._kind = kind
        self._columns = columns
        self._types: dict[tuple[str, ...], type[Any]] = {}

    def type_of(self, own: tuple[str, ...] = ()) -> type[Any]:
        """The type of a record that has these fields of its own, and all others in the columns."""
        if own not in self._types:
            kind = self._kind
            # What follows from the fields is another thing where one of them is.
            names = (self._columns.keys() & _names(kind)) - set(own) if own else self._columns
            inside = {name: _looking_into(self._columns[name]) for name in names}
            members = {"__slots__": ("_row", *own), "__class__": property(lambda _self: kind)}
            self._types[own] = type(kind.__name__, (kind,), {**members, **inside, "_table": self, "_own": own})
        return self._types[own]


def _looking_into(column: Column[Any]) -> property:
    # Each in as few calls as it can be done in: of 100 000 records it is asked for in one look.
    if isinstance(column, Looked):
        things, numbers = column.things, column.numbers
        return property(lambda self: things[numbers[self._row]])
    look = column.make if isinstance(column, Derived) else column.__getitem__
    return property(lambda self: look(self._row))


def in_columns(kind: type[T], number: int, /, **columns: Column[Any]) -> list[T]:
    """As many records, of the values of each field, and of properties that take long to work out.

    Raises `ValueError` for columns that do not fit.
    """
    if not set(_names(kind)) <= columns.keys():
        raise ValueError(kind.__name__)
    for name, column in columns.items():
        if len(column) != number:
            raise ValueError(name)
    inside = _Table(kind, columns).type_of()
    made: list[T] = list(map(cast("Callable[[type[T]], T]", object.__new__), repeat(inside, number)))
    deque(map(inside._row.__set__, made, range(number)), 0)
    return made


def changed(one: T, /, **values: Any) -> T:
    """`one` with these values in its fields, as by `dataclasses.replace`; what else it has stays in the columns."""
    table: _Table | None = getattr(type(one), "_table", None)
    if table is None:
        return cast("T", replace(cast("Any", one), **values))
    known = cast("Any", one)
    inside = table.type_of(tuple(sorted({*known._own, *values})))
    made = object.__new__(inside)
    inside._row.__set__(made, known._row)
    for name in inside._own:
        getattr(inside, name).__set__(made, values[name] if name in values else getattr(one, name))
    return cast("T", made)


# Into a file, and out of one


class PackedColumns:
    """Columns on their way into an index."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.values: dict[str, int] = {}
        """By their JSON."""
        self.numbers: dict[str, array[Any]] = {}

    def put_numbers(self, name: str, kind: str, numbers: Iterable[float]) -> None:
        """`kind` is that of an `array`."""
        self.numbers[name] = array(kind, numbers)

    def put_texts(self, name: str, texts: Iterable[str]) -> None:
        """Texts that are safe to show, and that many records have in common."""
        self._put(name, [self.texts.setdefault(text, len(self.texts)) for text in texts])

    def put_own_texts(self, name: str, texts: Iterable[str]) -> None:
        """Texts that are safe to show, nearly each of which is another one."""
        spelled = [text.encode() for text in texts]
        self.put_numbers(f"{name} in each", "I", map(len, spelled))
        self.numbers[name] = array("B", b"".join(spelled))

    def put_values(self, name: str, values: Iterable[object]) -> None:
        """JSON values as they were found."""
        number = self.values
        self._put(name, [number.setdefault(text, len(number)) for text in map(json.dumps, values)])

    def put_lists(self, name: str, lists: Sequence[Sequence[int]]) -> None:
        """Lists of numbers, which say what of something else is in them."""
        self.put_numbers(f"{name} in each", "I", map(len, lists))
        self._put(name, list(chain.from_iterable(lists)))

    def put_text_lists(self, name: str, lists: Iterable[Sequence[str]]) -> None:
        number = self.texts
        self.put_lists(name, [[number.setdefault(text, len(number)) for text in texts] for texts in lists])

    def _put(self, name: str, numbers: Sequence[int]) -> None:
        """In as few bytes as the highest of them needs."""
        highest = max(numbers, default=0)
        self.put_numbers(name, next(kind for kind, end in _KINDS.items() if highest < end), numbers)


class UnpackedColumns:
    """Columns out of an index. Raises anything for a name that is not there and a number that stands for nothing."""

    def __init__(self, texts: list[str], values: list[str], numbers: dict[str, array[Any]]) -> None:
        self._texts = texts
        self._values = values
        self._numbers = numbers

    def numbers(self, name: str) -> array[Any]:
        return self._numbers[name]

    def texts(self, name: str) -> Looked[str]:
        return Looked(self._texts, self._numbers[name])

    def own_texts(self, name: str) -> Derived[str]:
        """Spelled anew whenever one is asked for. Raises `ValueError` for what is not safe to show."""
        letters, ends = self._numbers[name], self.ends(f"{name} in each")

        def text(row: int) -> str:
            return letters[ends[row] : ends[row + 1]].tobytes().decode()

        every = letters.tobytes().decode()
        if ends[-1] != len(letters) or clean(every) != every:
            raise ValueError(name)
        if not every.isascii():
            for row in range(len(ends) - 1):
                text(row)
        return Derived(text, len(ends) - 1)

    def of(self, things: Sequence[T], name: str) -> Looked[T]:
        """Which of `things` is in each."""
        return Looked(things, self._numbers[name])

    def values(self, name: str, made: Callable[[Any], T]) -> Looked[T]:
        """What is `made` of each value; of equal ones once."""
        return Looked([made(json.loads(value)) for value in self._values], self._numbers[name])

    def ends(self, name: str) -> array[int]:
        """Where each group begins, and where the last one ends, of those that the column says the sizes of."""
        sizes = self._numbers[name]
        return array("I" if sum(sizes) < _KINDS["I"] else "Q", accumulate(sizes, initial=0))

    def chosen(self, name: str, things: Sequence[T]) -> Derived[Chosen[T]]:
        """What of `things` is in each list."""
        numbers, ends = self._lists(name, things)
        return Derived(lambda row: Chosen(things, numbers, ends[row], ends[row + 1]), len(ends) - 1)

    def text_lists(self, name: str) -> Derived[tuple[str, ...]]:
        numbers, ends = self._lists(name, self._texts)
        text = self._texts.__getitem__
        return Derived(lambda row: tuple(map(text, numbers[ends[row] : ends[row + 1]])), len(ends) - 1)

    def _lists(self, name: str, things: Sequence[object]) -> tuple[array[int], array[int]]:
        numbers, ends = self._numbers[name], self.ends(f"{name} in each")
        if ends[-1] != len(numbers):
            raise ValueError(name)
        Looked(things, numbers)
        return numbers, ends
