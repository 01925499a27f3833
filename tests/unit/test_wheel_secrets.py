"""What the wheel store is asked with may hold passwords, and is shown in no message and no report of a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from engine.wheels.deciding import Asked
from engine.wheels.fetching import Source

INDEX = "https://mallory:hunter2@index.test/simple"
ASKED = Asked("key", "pip", "local", "local", (24, 0), {}, f"--index-url {INDEX}", f"-i {INDEX}", {"index-url": INDEX})
SOURCE = Source(Path("/usr/bin/python3"), "cp312", "24.0", "digest", {"index-url": INDEX}, {"HTTPS_PROXY": INDEX})


# The report of a crash of the terminal UI shows values in the second way.
@pytest.mark.parametrize("shown_by", [repr, pretty_repr])
@pytest.mark.parametrize(("value", "says"), [(ASKED, "key"), (SOURCE, "cp312")])
def test_passwords_are_not_shown(value: object, says: str, shown_by: Callable[[object], str]) -> None:
    shown = shown_by(value)
    assert says in shown
    assert "hunter2" not in shown
    assert "hunter2" not in shown_by([value])
