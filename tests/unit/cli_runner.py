"""Runs commands of the command line in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cli_engine import FakeEngine

from app.cli.main import main


class Cli:
    """Runs commands on a fake engine; keeps what they printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *argv: str, engine: FakeEngine | None = None) -> int:
        code = main(argv, (engine or FakeEngine()).make)
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *argv: str, engine: FakeEngine | None = None, code: int = 0) -> Any:
        """The one document that the command prints with ``--json``."""
        assert self("--json", *argv, engine=engine) == code
        return json.loads(self.out)
