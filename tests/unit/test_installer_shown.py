"""Which installer a plan has, and why, in every front."""

from __future__ import annotations

import io
from pathlib import Path

import cli_fakes as fakes
import pytest

from app.cli import json_output, render, render_plan
from app.cli.blocks import SafeConsole
from app.tui.describe.bundle import explain
from app.tui.describe.surroundings import surroundings
from engine import BundleEntry, Declarations, InstallerChoice, Problem, UvTool
from tests.records import replace

LEFT_TO_PIP = InstallerChoice("pip", "uv is wanted, but it rains, and 1 more", True, ("it rains", "it \x1b[31msnows"))


def shown(renderable: object) -> str:
    console = SafeConsole(file=io.StringIO(), width=100, markup=False, highlight=False, emoji=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_command_line_tells_it_with_every_obstacle() -> None:
    text = shown(render_plan.plan(replace(fakes.plan(), installer=LEFT_TO_PIP)))
    assert "installer  pip: uv is wanted, but it rains, and 1 more" in text
    assert "snows" in text
    assert "\x1b" not in text


def test_json_has_it_as_data() -> None:
    document = json_output.plan(replace(fakes.plan(), installer=LEFT_TO_PIP))
    assert document["installer"] == {
        "name": "pip",
        "reason": LEFT_TO_PIP.reason,
        "uv_wanted": True,
        "obstacles": list(LEFT_TO_PIP.obstacles),
    }
    assert json_output.plan(fakes.plan())["installer"] is None


def test_the_match_view_tells_it() -> None:
    plan = replace(fakes.plan(), installer=LEFT_TO_PIP)
    lines = explain(BundleEntry(Path("/b"), "b", False, plan, None), 0.0)
    text = "\n".join(str(line) for line in lines)
    assert "pip: uv is wanted, but it rains" in text


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (UvTool("/usr/bin/uv", "0.13.9", "$PATH"), ("✓ usable", "0.13.9", "/usr/bin/uv")),
        (UvTool(problem=Problem("uv-not-found", "there is no uv", hint="Install it")), ("there is no uv",)),
        (UvTool("/x", problem=Problem("uv-not-usable", "it is old", found="uv 0.1")), ("it is old", "uv 0.1")),
    ],
)
def test_whether_uv_can_be_used_is_told_with_the_reason(tool: UvTool, told: tuple[str, ...]) -> None:
    for part in told:
        assert part in shown(render.uv(tool))
    notes = "\n".join(str(line) for line in surroundings(Declarations(), ((), ()), tool))
    assert told[-1] in notes
