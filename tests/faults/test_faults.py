"""Whatever is killed, and whenever: nothing half-built is visible, nothing keeps running, the next look settles it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.__main__ import _base_python, table
from tests.faults.campaign import run_campaign

_BUILDS = 200
_SEED = 20261121

pytestmark = pytest.mark.slow


def test_no_build_is_half_visible_or_half_alive_after_any_kill(tmp_path: Path) -> None:
    figures = run_campaign(tmp_path, _base_python(), _BUILDS, _SEED, print)
    print(table(figures))
    assert figures.builds == _BUILDS
    assert sum(figures.struck.values()) > _BUILDS / 2
    assert figures.violations == []
