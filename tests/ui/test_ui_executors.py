"""Where builds can run, on the Config view: asked in the background, and only while it is looked at."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import EXECUTORS, snapshot
from fake_values import config

from engine import Problem
from tests.records import replace


def asked(engine: FakeEngine) -> int:
    return engine.calls.count(("executors", None))


async def test_the_notes_name_the_executor_and_whether_it_can_be_used(desk) -> None:
    async with desk() as d:
        await d.press("5")
        assert "✓ local  Envdeck.Executor is auto, content runs on this machine" in d.text


async def test_an_executor_that_cannot_be_used_says_why_in_the_notes(desk) -> None:
    engine = FakeEngine()
    slurm = EXECUTORS.executors[2]
    engine.executor_choice = replace(EXECUTORS, name="slurm", reason="it is set", problem=slurm.problem)
    async with desk(engine) as d:
        await d.press("5")
        assert "✗ slurm  there is no sbatch here" in d.text
        await d.press("x")
        assert "Builds are given to slurm: it is set" in d.text


async def test_nobody_is_asked_before_the_view_is_looked_at_and_once_while_nothing_changes(desk) -> None:
    engine = FakeEngine()
    async with desk(engine) as d:
        await d.press("2", "3", "4", "1")
        assert asked(engine) == 0
        await d.press("5", "x", "q", "1", "5")
        assert asked(engine) == 1
        engine.publish(config=replace(config(), loaded_at=engine.current.config.loaded_at + 5))
        await d.until(lambda: asked(engine) == 2, "asking again for another configuration")
        await d.press("ctrl+r", "x")
        assert asked(engine) == 3, "ctrl+r looks at everything again"


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_executor_has_its_verdict_and_what_to_do_about_it(desk, size) -> None:
    async with desk(size=size) as d:
        await d.press("5", "x")
        for words in (
            "Builds are given to local: Envdeck.Executor is auto",
            "✓ usable  local  builds run here",
            "builds end with it",
            "✓ usable  container",
            "podman version 4.3.1",
            "✗ unusable  slurm",
            "there is no sbatch here",
            "Install Slurm's client tools on this host",
            "✗ unusable  kubernetes",
            "refused",
        ):
            assert words in d.text, words


async def test_what_went_wrong_while_asking_is_shown_in_both_places(desk) -> None:
    engine = FakeEngine(snapshot())
    engine.executor_choice = Problem("file-too-large", "environments.yaml is larger than envdeck reads")
    async with desk(engine) as d:
        await d.press("5")
        assert "environments.yaml is larger" in d.text
        await d.press("x")
        assert "environments.yaml is larger" in d.text
