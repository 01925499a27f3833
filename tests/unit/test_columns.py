"""Records in columns are records like any other, and what is no column of theirs is refused."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.columns import Derived, Looked, PackedColumns, Same, UnpackedColumns, changed, in_columns, record
from engine.text import clean


@record
@dataclass(frozen=True)
class Fruit:
    """Something with fields, a default and a property."""

    __slots__ = ()

    name: str
    weight: float
    seeds: tuple[str, ...] = ()
    colour: str = ""
    notes: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        return f"{self.name} of {self.weight} g"


_FRUIT = st.builds(
    Fruit,
    st.sampled_from(["apple", "pear", "fig"]),
    st.floats(0, 1e6),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=4).map(tuple),
    st.text().map(clean),
)


def stored(fruit: list[Fruit]) -> list[Fruit]:
    """The same out of columns."""
    packed = PackedColumns()
    packed.put_texts("name", [one.name for one in fruit])
    packed.put_own_texts("colour", [one.colour for one in fruit])
    packed.put_numbers("weight", "d", [one.weight for one in fruit])
    packed.put_text_lists("seeds", [one.seeds for one in fruit])
    columns = UnpackedColumns(list(packed.texts), list(packed.values), packed.numbers)
    return in_columns(
        Fruit,
        len(fruit),
        name=columns.texts("name"),
        colour=columns.own_texts("colour"),
        weight=columns.numbers("weight"),
        seeds=columns.text_lists("seeds"),
        notes=Same({}, len(fruit)),
    )


@given(st.lists(_FRUIT, max_size=8))
def test_what_comes_out_of_columns_is_what_was_put_in(fruit: list[Fruit]) -> None:
    found = stored(fruit)
    assert found == fruit
    assert fruit == found
    assert [hash(one) for one in found] == [hash(one) for one in fruit]
    assert [repr(one) for one in found] == [repr(one) for one in fruit]
    assert all(isinstance(one, Fruit) and one.__class__ is Fruit for one in (*found, *fruit))
    assert [one.label for one in found] == [one.label for one in fruit]


@given(st.lists(_FRUIT, min_size=1, max_size=3), st.sampled_from(["name", "seeds"]))
def test_a_changed_record_is_that_of_replace(fruit: list[Fruit], name: str) -> None:
    value: Any = {"name": "plum", "seeds": ("x",)}[name]
    for one, found in zip(fruit, stored(fruit), strict=True):
        for result in (changed(found, **{name: value}), replace(found, **{name: value}), changed(one, **{name: value})):
            assert result == replace(one, **{name: value})
        twice = changed(changed(found, **{name: value}), weight=0.5)
        assert twice == replace(one, weight=0.5, **{name: value})
        assert found == one


def test_records_are_frozen_and_take_no_other_attribute() -> None:
    whole = Fruit("apple", 1.0)
    for one in (whole, *stored([whole]), *(changed(each, name="fig") for each in stored([whole]))):
        with pytest.raises(FrozenInstanceError):
            one.name = "pear"  # type: ignore[misc]
        with pytest.raises((AttributeError, TypeError)):
            one.shape = "round"  # type: ignore[attr-defined]
        assert not hasattr(one, "__dict__")


def test_a_property_may_be_a_column_until_a_field_is_another() -> None:
    labels = Derived(lambda row: f"number {row}", 1)
    columns: dict[str, Any] = {
        "name": ["apple"],
        "weight": array("d", [1]),
        "seeds": [()],
        "colour": ["red"],
        "notes": [{}],
        "label": labels,
    }
    (found,) = in_columns(Fruit, 1, **columns)
    assert found.label == "number 0"
    assert changed(found, name="fig").label == "fig of 1.0 g"


def test_columns_that_do_not_fit_are_refused() -> None:
    fitting: dict[str, Any] = {
        "name": ["apple"],
        "weight": [1.0],
        "seeds": [()],
        "colour": [""],
        "notes": [{}],
    }
    assert in_columns(Fruit, 1, **fitting) == [Fruit("apple", 1.0)]
    for wrong in ({**fitting, "name": ["apple", "pear"]}, {**fitting, "seeds": []}):
        with pytest.raises(ValueError):
            in_columns(Fruit, 1, **wrong)
    del fitting["weight"]
    with pytest.raises(ValueError, match="Fruit"):
        in_columns(Fruit, 1, **fitting)


@pytest.mark.parametrize(("things", "numbers"), [([], [0]), (["a"], [1]), (["a", "b"], [0, 2])])
def test_a_number_that_stands_for_nothing_is_refused(things: list[str], numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="stands for nothing"):
        Looked(things, array("I", numbers))


@pytest.mark.parametrize(
    ("letters", "sizes"), [(b"abc", [1, 1]), (b"a\x1b[m", [4]), (b"\xff", [1]), ("é".encode(), [1, 1])]
)
def test_letters_that_are_no_texts_or_not_safe_are_refused(letters: bytes, sizes: list[int]) -> None:
    numbers = {"colour in each": array("I", sizes), "colour": array("B", letters)}
    with pytest.raises(ValueError):
        UnpackedColumns([], [], numbers).own_texts("colour")


@pytest.mark.parametrize("wrong", [{"seeds": array("B", [0])}, {"seeds in each": array("I", [3])}])
def test_lists_whose_ends_are_elsewhere_are_refused(wrong: dict[str, array[int]]) -> None:
    numbers = {"seeds in each": array("I", [1, 1]), "seeds": array("B", [0, 0])}
    assert len(UnpackedColumns(["a"], [], numbers).text_lists("seeds")) == 2
    with pytest.raises(ValueError, match="seeds"):
        UnpackedColumns(["a"], [], {**numbers, **wrong}).text_lists("seeds")
