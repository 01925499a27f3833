"""Whatever foreign text holds, nothing of it reaches the terminal as a control sequence or is read as markup."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import build, config, content, entry, environment, foreign, management, value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from textual.color import Color
from textual.events import Paste

from app.tui.line_filters import AsciiOnly, StripControl
from engine import (
    Action,
    BuildState,
    Check,
    CheckStatus,
    Declarations,
    EnvironmentsFile,
    ExecutionEnvironment,
    Fault,
    PackagePlan,
    Phase,
    PipFile,
    PipSetting,
    PlannedLine,
    Problem,
    ProvenanceStep,
    StepStanding,
    Where,
)
from engine.reaping.rules import KeepCode, KeepReason
from tests.records import replace

CONTROL = "\x1b]52;c;aGFja2Vk\x07 \x1b[31m \x9b31m \r \x00 \u202e"
MARKUP = "[/foo] requests[socks] [bold red]"
EVIL = CONTROL + MARKUP


def has_control(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def hostile(text: str) -> FakeEngine:
    base = snapshot()
    broken = replace(
        base.installations[0], executable=text, origin=text, checks=(Check(text, CheckStatus.FAILED, text, text),)
    )
    env = environment("k" * 22, text, reason=text, lines=(text,), built_by=text, ingredients={text: text})
    job = build("b1", text, BuildState.FAILED, by=text, message=text, fault=Fault(Phase.INSTALL, text, text, text))
    first = base.bundles[0]
    bundle = replace(
        first, name=text, plan=replace(first.plan, bundle=replace(first.plan.bundle, name=text, title=text))
    )
    torn = replace(
        base.bundles[-1],
        name=text,
        path=Path("/srv") / text.replace("\0", "0"),
        problem=Problem("x", text, text, text, hint=text),
    )
    line = PlannedLine(None, text, Action.REFUSED, text, Where(text), "", (text,), mutable=True)
    unmanaged = entry(first.plan.bundle, packages=PackagePlan((line,)), management=management(managed=False))
    unmanaged = replace(unmanaged, path=Path("/srv/unmanaged"), name=text)
    declared = ExecutionEnvironment(text, Where(text), text, text)
    problems = config(Problem("x", text, text, text, hint=text), changed={text: (text, text)})
    engine = FakeEngine(
        replace(
            base,
            host=text,
            installations=(broken,),
            environments=(env,),
            builds=(job,),
            bundles=(bundle, unmanaged, torn),
            contents=(content(text, env.key, app_mode=text, created_by=text, default_image=text),),
            declarations=Declarations(
                (EnvironmentsFile(Path("/etc/e.yaml")),), (declared,), (Problem("x", text, text, text, hint=text),)
            ),
            config=replace(problems, values=(value("A.B", text, origin=text),)),
            read_only=text,
        )
    )
    engine.foreigners = (foreign("f" * 8, reason=text, home=text, installer=text),)
    engine.steps = (ProvenanceStep(text, StepStanding.REJECTED, text, text, text),)
    engine.kept = {env.key: (KeepReason(KeepCode.IN_USE, text, (text,)),)}
    engine.pip = (
        (PipFile(Path("/etc/pip.conf"), True, Problem("x", text, text, hint=text)),),
        (PipSetting(text, text, "global", text),),
    )
    return engine


async def test_every_view_and_page_shows_hostile_text_as_it_is(desk) -> None:
    engine = hostile(EVIL)
    engine.write("b1", EVIL)
    async with desk(engine, size=(160, 40)) as d:
        for key in ("1", "2", "3", "4", "5"):
            await d.press(key)
            for page in ("d", "v"):
                await d.press(page)
                assert not any(has_control(line) for line in d.lines)
                assert "[/foo]" in d.text
                await d.press("escape")
        await d.press("2", "G", "d")
        assert not any(has_control(line) for line in d.lines)
        await d.press("escape", "colon", *"content", "enter")
        for key in ("d", "escape", "v", "escape"):
            assert "[/foo]" in d.text
            assert not any(has_control(line) for line in d.lines)
            await d.press(key)
        await d.press("escape", "5", "tab", "G")
        assert not any(has_control(line) for line in d.lines)
        await d.press("4", "l")
        assert not any(has_control(line) for line in d.lines)
        assert "requests[socks] [bold red]" in d.text
        await d.press("escape", "3", "b", "colon", *"build", "space", "[", "enter", "!")
        assert not any(has_control(line) for line in d.lines)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=30))
async def test_no_text_breaks_a_line_out_of_the_screen(desk, text: str) -> None:
    engine = hostile(text)
    engine.write("b1", text)
    async with desk(engine) as d:
        for key in ("2", "3", "enter", "escape", "4", "enter"):
            await d.press(key)
            assert not any(has_control(line) for line in d.lines)


@given(st.text())
def test_the_last_gate_lets_no_control_character_through(text: str) -> None:
    background = Color(0, 0, 0)
    for segment in StripControl().apply([Segment(text)], background):
        assert not has_control(segment.text.encode("utf-8", "replace").decode())
    for segment in AsciiOnly().apply([Segment(text)], background):
        assert segment.text.isascii()


async def test_pasted_text_never_answers_a_question_and_is_one_line(desk) -> None:
    async with desk() as d:
        await d.press("3", "b")
        d.wait_guard()
        d.app.screen.post_message(Paste("y"))
        await d.settle()
        assert d.engine.executed == []
        await d.press("n", "slash")
        d.app.screen.post_message(Paste("fla\x1b[31m\nrm -rf"))
        await d.settle()
        assert d.status == "/fla[31m"
