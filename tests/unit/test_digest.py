"""SHA-256 without OpenSSL is SHA-256."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import digest


@given(st.binary(max_size=300))
def test_it_is_that_of_hashlib(data: bytes) -> None:
    assert digest.sha256(data) == hashlib.sha256(data).digest()


def test_it_is_the_same_in_an_interpreter_without_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_OWN", ("no_such_module",))
    assert digest.sha256(b"text") == hashlib.sha256(b"text").digest()


def test_what_the_ui_loads_loads_no_openssl() -> None:
    run = (
        "import sys\n"
        "from app.tui.memory import load_asyncio_without_tls\n"
        "load_asyncio_without_tls()\n"
        "import app.tui.run\n"
        "from app.tui.app import _load_the_rest\n"
        "_load_the_rest()\n"
        "from engine.digest import sha256\n"
        "sha256(b'')\n"
        "import engine.live, engine.executors.kubernetes, engine.executors.slurm, engine.executors.container\n"
        "print([name for name in ('_hashlib', 'ssl', 'psutil', 'tarfile') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", run], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
