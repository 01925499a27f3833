"""Giving memory back: asked for where the C library can, passed over where it cannot."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app.tui import memory


@pytest.mark.parametrize(("library", "asked"), [("glibc", [0]), ("another", [])])
def test_the_c_library_is_asked_only_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, library: str, asked: list[int]
) -> None:
    calls: list[int] = []
    found = SimpleNamespace(malloc_trim=calls.append) if library == "glibc" else SimpleNamespace()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _name: found)
    memory.give_back()
    assert calls == asked


def test_the_one_of_this_machine_can_be_asked() -> None:
    memory.give_back()
