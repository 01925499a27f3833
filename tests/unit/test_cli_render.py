"""What people see: fits the terminal, keeps foreign text harmless, loses none of it."""

from __future__ import annotations

import io
import unicodedata
from enum import StrEnum
from pathlib import Path

import cli_fakes as fakes
import pytest
from cli_engine import FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version
from rich.cells import cell_len
from rich.console import RenderableType

from app.cli import blocks, json_output, render, render_audit, render_cache, render_content, render_plan
from app.cli.blocks import SafeConsole
from app.cli.following import stamped
from engine import (
    Action,
    Actor,
    AuditEvent,
    AuditRecord,
    AuditResult,
    Availability,
    BuildState,
    BulkPlan,
    BundleEntry,
    Candidate,
    Change,
    Check,
    CheckStatus,
    EffectiveValue,
    EnvironmentState,
    ExecutionEnvironment,
    ExecutorChoice,
    Fault,
    Forecast,
    FrozenLine,
    Health,
    ImpactKind,
    ItemForecast,
    ItemState,
    Judgement,
    KeepCode,
    KeepReason,
    LeftOut,
    LogLine,
    Nearest,
    PackagePlan,
    Phase,
    Pin,
    PipFile,
    PipSetting,
    PlannedLine,
    Problem,
    ProcessUse,
    ProvenanceStep,
    ReapResult,
    ReapVerdict,
    Reason,
    RebuildForecast,
    RebuildItem,
    RebuildList,
    RemovePlan,
    Severity,
    Standing,
    StepStanding,
    Usability,
    Users,
    UvTool,
    Verdict,
    Where,
)
from tests.records import replace

HOSTILE = st.text(
    st.one_of(
        st.sampled_from("\x1b\x9b\x07\x08\r\n\t\x7f\u202e\u2066\u200b\u2028\ufeff[]\\;m31/bold"),
        st.characters(),
    ),
    max_size=60,
)


def shown(renderable: RenderableType, width: int = 80) -> str:
    console = SafeConsole(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def everything(text: str) -> list[RenderableType]:
    """Every view, with `text` wherever foreign text can stand."""
    problem = Problem(text, text, text, text, Where(text, 1, 2), text)
    installation = replace(
        fakes.installation(),
        declared=text,
        origin=text,
        usability=Usability.UNUSABLE,
        checks=(Check(text, CheckStatus.FAILED, text, text),),
    )
    candidate = Candidate(Version("3.9"), text, text)
    judgement = Judgement(candidate, Verdict.CHOSEN, text)
    match = replace(fakes.match(), judgements=(judgement,), chosen=candidate)
    environment = replace(
        fakes.environment(EnvironmentState.DAMAGED, text), key=text, python_version=text, built_by=text, bundle=text
    )
    running = replace(fakes.build(BuildState.RUNNING), id=text, bundle=text, by=text, message=text, python_version=text)
    failed = replace(fakes.build(BuildState.FAILED, fault=Fault(Phase.INSTALL, text, text, text)), id=text)
    plan = replace(
        fakes.plan(),
        bundle=replace(fakes.bundle(), path=Path("/" + text.replace("\0", "")), title=text),
        match=match,
        packages=PackagePlan((PlannedLine(None, text, Action.INSTALL, text, Where(text, 1), text),)),
        key=text,
        nearest=Nearest(environment, (text,), (text,), (text,)),
        running=running,
    )
    value = EffectiveValue(text, (text, text), (text, text), False, text, text)
    state = fakes.config(problem)
    step = ProvenanceStep(text, StepStanding.DECIDES, text, text, text)
    content = replace(fakes.content(problem=problem), name=text, app_mode=text, created_by=text, default_image=text)
    content = replace(content, bundles=(replace(content.bundles[0], name=text, deployed_by=text),))
    resolution = replace(fakes.resolution(problem=problem), reasons=(Reason(text, text),))
    keep = KeepReason(KeepCode.IN_USE, text, (text,))
    item = replace(fakes.reap_item(keep, used_by=(text,)), key=text, environment=environment)
    going = replace(item, verdict=ReapVerdict())
    pin = Pin(text, fakes.AT, text)
    users = Users({environment.key_dir: (ProcessUse(1, text, text, (text,)),)}, 3)
    where = Where(text, 1)
    image = ExecutionEnvironment(text, where, text, text, supervisor=text, guid=text)
    declared = replace(fakes.declarations(problem), environments=(image,))
    foreign = replace(FakeEngine().foreign()[0], name=text, home=text, reason=text, installer=text, target=text)
    captured = replace(fakes.captured(), left_out=(LeftOut(text, text),), frozen=(FrozenLine(text, text, text),))
    rebuild = fakes.rebuild_plan(problem)
    supply = Forecast(1, 2, reason=text)
    forecast = RebuildForecast((ItemForecast(rebuild.items[0].environment.key, supply, 1.0, text, 1, 1),))
    listed = RebuildList(text, (RebuildItem(text, ItemState.ERROR, text, fakes.AT, text),))
    return [
        render_plan.plan(plan, [step]),
        render_plan.targets(declared),
        render_plan.executors(ExecutorChoice(text, text, (Availability(text, text, (text,), problem),))),
        render_audit.records([AuditRecord(fakes.AT, Actor(text), AuditEvent(text, {text: text}, why=text))]),
        render_cache.environments([environment], {text: [text]}),
        render_cache.environment(environment, pin, [text], users),
        render_cache.foreign([foreign]),
        render_cache.pinning(replace(FakeEngine().plan_unpin("x"), before=pin)),
        render_cache.reap_plan(fakes.reap_plan(going, item)),
        render_cache.cache_plan(fakes.cache_plan(going, item)),
        render_cache.caches([replace(fakes.cache_plan().cache, version=text, image_name=text)]),
        render_cache.rebuild_plan(rebuild, forecast),
        render_cache.bulk(BulkPlan(text, (text,), (text,), rebuild, (text,)), forecast),
        render_cache.rebuild_list(listed),
        render_content.contents([content]),
        render_content.content(content, resolution),
        render_content.setting(replace(FakeEngine().plan_set("x"), content=content, name=text)),
        render_content.deploying(replace(fakes.deploy_plan(), build=plan, name=text), [step]),
        render_content.activating(
            replace(fakes.activate_plan(), content=content, bundle=content.bundles[0], reasons=(Reason(text, text),))
        ),
        render_content.running(replace(fakes.run_plan(), account=text, variables={text: text}), [text]),
        render_content.captured(captured, Path("/x")),
        render.config_pip(
            [PipFile(Path("/x"), True, problem)],
            [PipSetting(text, text, text, text)],
            UvTool(text, text, text, problem),
        ),
        render.installations([installation], fakes.AT),
        render_plan.match(match),
        render_plan.plan(plan),
        render.bundles(
            [
                BundleEntry(Path("/x"), text, False, plan, None),
                BundleEntry(Path("/x"), text, False, None, problem),
            ]
        ),
        render_cache.environments([environment], {}),
        render.builds([running, failed], fakes.AT),
        render_cache.reaped(ReapResult((), (item,), ((item, problem),))),
        render_content.removing(RemovePlan(content, 1)),
        render.progress(running, fakes.AT),
        blocks.problem(problem),
        render.config_check(state),
        render.config_show(state, [value]),
        stamped(LogLine(fakes.AT, text), True),
    ]


@settings(max_examples=12)
@given(HOSTILE)
def test_no_foreign_text_reaches_the_terminal_as_a_control_character(text: str) -> None:
    for renderable in everything(text):
        output = shown(renderable)
        for character in output.replace("\n", ""):
            assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), repr(output)
            assert character not in "\u061c\u200b\u200e\u200f\u202a\u202e\u2066\u2069\ufeff", repr(output)


@settings(max_examples=12)
@given(HOSTILE, st.integers(30, 120))
def test_every_view_fits_the_terminal(text: str, width: int) -> None:
    for renderable in everything(text)[:-7]:
        for line in shown(renderable, width).splitlines():
            assert cell_len(line) <= width


@pytest.mark.parametrize("text", ["flask[async]==3.0", "[bold]x[/bold]", "[/]", ":smile:", "a[red"])
def test_foreign_text_is_no_markup(text: str) -> None:
    for renderable in everything(text):
        assert text in shown(renderable, 200)


def test_a_long_reason_is_wrapped_and_not_cut() -> None:
    words = " ".join(f"word{n}" for n in range(40))
    output = shown(render.installations([fakes.installation(broken=words)], fakes.AT))
    assert " ".join(output.split()).find(words) >= 0
    assert "…" not in output


def test_a_long_path_is_folded_and_not_cut() -> None:
    path = "/opt/" + "x" * 150
    output = shown(render.installations([replace(fakes.installation(), declared=path)], fakes.AT))
    assert "".join(output.split()).find(path) >= 0


def test_nothing_is_told_of_an_environment_whose_record_cannot_be_read() -> None:
    unread = replace(
        fakes.environment(EnvironmentState.DAMAGED, "its record cannot be read"),
        attempt="", bundle="", built_by="", built_at=0.0, size=0, packages=(),
    )  # fmt: skip
    output = shown(render_cache.environments([unread], {}))
    assert "its record cannot be read" in output
    assert not [claim for claim in ("1970", "built for", "0 package", " 0 B ") if claim in output.partition("1 env")[0]]
    assert json_output.environment(unread, ())["built_at"] is None


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (render.installations([fakes.installation()], fakes.AT), "✓ usable"),
        (render.installations([fakes.installation(broken="gone")], fakes.AT), "✗ unusable"),
        (render_plan.match(fakes.match()), "✓ chosen"),
        (render_plan.match(fakes.match(chosen=False)), "– rejected"),
        (render_cache.environments([fakes.environment(EnvironmentState.STALE, "x")], {}), "⊘ stale"),
        (render.builds([fakes.build(BuildState.LOST)], fakes.AT), "? lost"),
        (render_plan.plan(fakes.plan()), "⊘ prohibited"),
        (render_plan.plan(fakes.plan(hit=True)), "✓ hit"),
        (render_plan.plan(fakes.plan()), "miss"),
    ],
)
def test_a_state_is_a_symbol_and_a_word(view: RenderableType, words: str) -> None:
    assert words in shown(view)


@pytest.mark.parametrize(
    "view",
    [
        render.installations([], fakes.AT),
        render.bundles([]),
        render_cache.environments([], {}),
        render.builds([], fakes.AT),
        render.config_show(fakes.config(), []),
    ],
)
def test_an_empty_answer_says_so(view: RenderableType) -> None:
    assert len(shown(view).strip()) > 10


def test_the_nearest_environment_is_shown_with_what_differs() -> None:
    changes = (Change("index.index-url", "https://b", ""),)
    nearest = Nearest(fakes.environment(), ("flask==3.1",), ("flask==3.0",), ("index",), changes)
    output = shown(render_plan.plan(replace(fakes.plan(), nearest=nearest)))
    assert "+ flask==3.1" in output
    assert "- flask==3.0" in output
    assert "index.index-url: https://b there, none here" in output


def test_a_password_in_a_requirement_is_not_shown() -> None:
    line = fakes.line("flask @ https://u:****@host.example/flask.whl")
    assert Requirement(line.effective).url == "https://u:secret@host.example/flask.whl"
    assert "secret" not in shown(render_plan.plan(replace(fakes.plan(), packages=PackagePlan((line,)))), 200)


def test_a_warning_is_not_told_as_an_error() -> None:
    warning = Problem("key-repeated", "given twice", severity=Severity.WARNING)
    assert shown(blocks.problem(warning)) == "warning[key-repeated]: given twice\n"
    assert "0 errors, 1 warning" in shown(render.config_check(fakes.config(warning)))


def test_a_line_that_can_change_is_marked_and_its_notes_are_shown() -> None:
    line = replace(fakes.line("flask"), notes=("no version is asked for",), mutable=True)
    output = shown(render_plan.plan(replace(fakes.plan(), packages=PackagePlan((line,)))))
    assert "flask  (mutable)" in output
    assert "! no version is asked for" in output


def test_a_plan_shows_every_level_of_environment_management() -> None:
    output = shown(render_plan.plan(fakes.plan()))
    assert "managed, decided by the server level" in output
    assert "· unset    bundle" in output
    assert "✓ decides  server" in output


def test_what_a_cache_costs_to_delete_is_shown() -> None:
    output = shown(render_cache.cache_plan(fakes.cache_plan(fakes.reap_item(used_by=("board",)))))
    assert "board would wait for rebuilds of 3.4 s" in output
    assert "2 environments of the server itself stay" in output


@pytest.mark.parametrize(
    ("states", "plain"),
    [
        (Usability, set()),
        (Verdict, {"unusable"}),
        (Action, set()),
        (Standing, set()),
        (EnvironmentState, set()),
        (BuildState, set()),
        (ItemState, set()),
        (Severity, set()),
        (ImpactKind, set()),
        (AuditResult, set()),
        (Health, set()),
    ],
)
def test_every_state_has_a_look_of_its_own(states: type[StrEnum], plain: set[str]) -> None:
    """They are spelled out there, so that a word that is renamed would lose its symbol and its colour."""
    assert {state.value for state in states if state not in blocks._LOOK} <= plain
