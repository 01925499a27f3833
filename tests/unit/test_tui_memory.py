"""The memory of the UI: what is not taken, and what is given back where the C library can be asked to."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from app.tui import memory


@pytest.mark.parametrize(("library", "asked"), [("glibc", [0]), ("another", [])])
def test_the_c_library_is_asked_only_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, library: str, asked: list[int]
) -> None:
    calls: list[int] = []
    found = SimpleNamespace(malloc_trim=calls.append) if library == "glibc" else SimpleNamespace()
    monkeypatch.setattr("ctypes.CDLL", lambda _name: found)
    memory.give_back()
    assert calls == asked


def test_the_ui_is_loaded_without_tls_which_others_can_load_all_the_same() -> None:
    run = (
        "import sys\n"
        "from app.tui.memory import load_asyncio_without_tls\n"
        "load_asyncio_without_tls()\n"
        "import app.tui.run\n"
        "assert 'ssl' not in sys.modules\n"
        "import asyncio, ssl\n"
        "assert ssl.OPENSSL_VERSION\n"
        "assert asyncio.run(asyncio.sleep(0, 5)) == 5\n"
        "load_asyncio_without_tls()\n"
        "assert sys.modules['ssl'] is ssl\n"
    )
    subprocess.run([sys.executable, "-c", run], check=True)


def test_the_one_of_this_machine_can_be_asked() -> None:
    memory.give_back()


def test_the_c_library_is_asked_for_one_arena_before_there_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace(mallopt=lambda *asked: calls.append(asked)))
    memory.share_one_arena()
    assert calls == [(-8, 1)]
    monkeypatch.setattr("ctypes.CDLL", lambda _name: SimpleNamespace())
    memory.share_one_arena()
    assert len(calls) == 1
