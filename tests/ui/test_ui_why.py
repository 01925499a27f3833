"""Knowing why: trials, comparisons, differences, and what each view says about each thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import build, bundle, config, entry, environment, installation

from app.tui.screens.editing import DraftPage
from engine import (
    BuildState,
    Change,
    ConfigDraft,
    EnvironmentState,
    Impact,
    ImpactItem,
    ImpactKind,
    LockedPackage,
    Nearest,
    Problem,
    Subject,
    Where,
)
from tests.records import replace


@pytest.mark.parametrize(("row", "words"), [(1, "no security fixes since 2024-10-07"), (2, "until 2027-10-31")])
async def test_an_installation_tells_until_when_there_are_security_fixes(desk, row: int, words: str) -> None:
    async with desk(size=(100, 40)) as d:
        assert "✗ 2024-10" in d.lines[3]
        assert "✓ 2027-10" in d.lines[4]
        assert "since 2024-10-07" not in d.text, "a warning of the probe is more urgent"
        await d.press(*["j"] * (row - 1), "enter")
        assert "Security fixes" in d.text
        assert words in d.text


async def test_the_match_changes_while_a_version_is_typed(desk) -> None:
    async with desk(size=(80, 24)) as d:
        await d.press("3", "t")
        assert "Type a Python version or a constraint." in d.text
        await d.type("3.11")
        await d.until(lambda: "Python 3.11  as if flask-api asked for it" in d.text, "the trial")
        assert "major-minor  in force  ▸ 3.11.7" in d.text
        assert "exact        not now   ✗ none" in d.text
        await d.type(".7")
        await d.until(lambda: "exact        not now   ▸ 3.11.7" in d.text, "the match of the longer text")
        assert "try Python: 3.11.7" in d.lines[-2]
        await d.press("escape")
        await d.until(lambda: "Trial" not in d.text and "Asks for" in d.text, "the explanation")
        assert not d.engine.executed


async def test_a_request_that_makes_no_sense_says_what_does(desk) -> None:
    async with desk() as d:
        await d.press("3", "t")
        await d.type("three")
        await d.until(lambda: "neither a version nor a constraint" in d.text, "the problem")
        assert "a version such as 3.11.4, or a constraint such as" in " ".join(d.text.split())


async def test_a_trial_is_opened_in_full_and_needs_no_bundle(desk) -> None:
    async with desk(FakeEngine(snapshot(bundles=()))) as d:
        await d.press("3", "t")
        await d.type(">=3.10")
        await d.press("enter")
        await d.until(lambda: "supersedes both rules" in d.text, "the page")
        assert "without a bundle" in d.text
        assert d.lines[-1].rstrip().endswith("q back")
        assert ("try", (">=3.10", None)) in d.engine.calls


async def test_a_trial_can_be_asked_for_by_command(desk) -> None:
    async with desk() as d:
        await d.press("3", "colon")
        await d.type("try 3.11.2")
        await d.press("enter")
        await d.until(lambda: "What if flask-api asked for 3.11.2" in d.text, "the page")


async def test_both_rules_are_compared_side_by_side_for_what_the_bundle_asks(desk) -> None:
    async with desk() as d:
        await d.press("3", "equals_sign")
        await d.until(lambda: "Both rules for flask-api" in d.text and "Each rule" in d.text, "the page")
        assert "major-minor | exact" in d.text
        assert "▸ chosen  - rejected" in d.text
        assert "exact: 3.11.7 is not 3.11.2" in d.text


async def test_an_environment_tells_its_history_and_its_log_is_a_key_away(desk) -> None:
    env = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales", attempt="20250615-110000-e5f6", shared=400 * 1024 * 1024)
    made = build("20250615-110000-e5f6", "dash-sales", BuildState.DONE, key=env.key)
    failed = build("20250615-120000-a7b8", "dash-sales", BuildState.FAILED, key=env.key, by="bob")
    engine = FakeEngine(snapshot(environments=(env,), builds=(failed, made)))
    async with desk(engine, size=(100, 60)) as d:
        await d.press("2", "enter")
        for words in (
            "2 builds of this key",
            "✗ failed  20250615-120000-a7b8",
            "no version matches nump==9.9",
            "this is the one that counts",
            "419M shared with other environments",
            "Verified",
        ):
            assert words in d.text, d.text
        await d.press("escape", "l")
        await d.until(lambda: "dash-sales" in d.lines[2], "the log")
        assert d.app.page.build_id == made.id
        await d.press("q")
        assert d.app.page.table.current.environment == env, "back in the list it was opened from"


async def test_the_log_of_an_environment_that_has_none_is_said_to_be_gone(desk) -> None:
    async with desk() as d:
        await d.press("2", "l")
        assert "is not there any more" in d.status


async def test_two_marked_environments_are_compared(desk) -> None:
    one = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales")
    other = environment(
        "51b0aa7eHq7rT5yUa7bXc9",
        "plumber-etl",
        packages=(LockedPackage("flask", "1.0.1"), LockedPackage("rich", "9.9"), LockedPackage("six", "1.16")),
        lines=("flask==3.0.0", "six"),
        ingredients={"installer": "uv", "python": "3.11.7"},
    )
    async with desk(FakeEngine(snapshot(environments=(one, other))), size=(80, 40)) as d:
        await d.press("2", "equals_sign")
        assert "mark two environments" in d.status
        await d.press("space", "equals_sign")
        for words in (
            "9f3ac1d2 and 51b0aa7e compared",
            "3 differ, 1 are the same",
            "jinja2",
            "- requests[socks]>=2.31",
            "+ six",
            "installer",
            "- pip",
            "+ uv",
        ):
            assert words in d.text, d.text


async def test_an_error_of_the_config_is_shown_in_place(desk) -> None:
    where = Where("/etc/envdeck/envdeck.gcfg", 2, 19)
    problem = Problem("setting-bad-value", "it has a value that cannot be used", where=where, hint="write exact")
    state = replace(config(problem), texts={"/etc/envdeck/envdeck.gcfg": "[Python]\nVersionMatching = newest\n"})
    async with desk(FakeEngine(snapshot(config=state))) as d:
        await d.press("5")
        lines = d.text.splitlines()
        (at,) = [number for number, line in enumerate(lines) if "2 | VersionMatching = newest" in line]
        assert (
            lines[at + 1].rstrip().rstrip("▐").rstrip()
            == lines[at][: lines[at].index("newest")].replace("2 | VersionMatching =", "  |" + " " * 18) + "^"
        )


async def test_the_last_load_tells_what_changed_and_what_it_does(desk) -> None:
    state = config(
        changed={"Python.VersionMatching": ("major-minor", "exact"), "Python.Executable": ("/a, /b", "/b, /c")}
    )
    engine = FakeEngine(snapshot(config=state))
    engine.impact = Impact(
        config(),
        state,
        (ImpactItem(Subject.CONTENT, "board", ImpactKind.BREAKS, "Python 3.9.5", "cannot run", "nothing is 3.9.3"),),
        4,
    )
    async with desk(engine) as d:
        await d.press("5")
        await d.until(lambda: "✗ breaks 1  unchanged 4" in d.text, "the impact")
        await d.press("tab", "G")
        assert "major-minor -> exact" in d.text
        await d.press("i")
        for words in ("- /a", "+ /c", "✗ breaks  board", "Python 3.9.5 -> cannot run", "nothing is 3.9.3", "4 more"):
            assert words in d.text, d.text


async def test_without_a_change_the_impact_says_how_to_ask_for_one(desk) -> None:
    async with desk() as d:
        await d.press("5", "i")
        assert "No setting has changed" in d.text
        assert "envdeck config impact FILE" in d.text


async def test_a_miss_tells_what_is_there_and_what_keeps_it_from_serving(desk) -> None:
    damage = {"state": EnvironmentState.DAMAGED, "reason": "a.py is changed"}
    spoiled = environment("Zk3vW8sQn1rT5yUa7bXc9d", "flask-api", **damage)
    before = environment("77ab20c4Kq7rT5yUa7bXc9", "flask-api", "3.11.4")
    near = Nearest(before, (), (), ("interpreter",), (Change("interpreter.version", "3.11.4", "3.11.7"),))
    values = {"installer": "pip", "interpreter": {"version": "3.11.7"}, "requirements": ["flask==3.0.0"], "options": []}
    one = entry(bundle("flask-api", "3.11.2", ("flask",)), unusable=spoiled, nearest=near, ingredients=values)
    async with desk(FakeEngine(snapshot(bundles=(one,))), size=(100, 70)) as d:
        await d.press("3", "enter")
        for words in (
            "◌ MISS  Python 3.11.7  its environment is damaged: a.py is changed; b builds it again",
            "it is there, but ✗ damaged",
            "a.py is changed",
            "77ab20c4 (flask-api, Python 3.11.4) differs least",
            "interpreter.version",
            "- 3.11.4",
            "+ 3.11.7",
            "the key is a digest of these",
            "version = 3.11.7",
        ):
            assert words in d.text, d.text


async def test_a_python_without_fixes_is_told_where_it_is_chosen(desk) -> None:
    old = replace(entry(bundle("flask-api", "3.8.1", ("flask",))).plan, installation=installation("3.8.18"))
    one = replace(entry(bundle("flask-api", "3.8.1", ("flask",))), plan=old)
    async with desk(FakeEngine(snapshot(bundles=(one,))), size=(100, 60)) as d:
        await d.press("3", "enter")
        assert "no security fixes since 2024-10-07" in d.text


async def test_an_edited_configuration_tells_what_it_would_do_before_it_is_put_in_place(desk) -> None:
    file = Path("/etc/envdeck/envdeck.gcfg")
    draft = ConfigDraft(file, b"[Python]\n", True)
    state = config(changed={"Python.VersionMatching": ("major-minor", "exact")})
    engine = FakeEngine()
    item = ImpactItem(Subject.CONTENT, "board", ImpactKind.BREAKS, "Python 3.9.5", "cannot run", "nothing is 3.9.3")
    engine.impact = Impact(config(), state, (item,), 4)
    async with desk(engine, size=(100, 40)) as d:
        d.app.push_screen(DraftPage(draft, b"[Python]\nVersionMatching = exact\n", state))
        await d.until(lambda: "✗ breaks 1  unchanged 4" in d.text, "the impact")
        assert "major-minor -> exact" in d.text
        assert "nothing is 3.9.3" in d.text


async def test_an_installation_tells_how_much_would_have_to_move(desk) -> None:
    async with desk(size=(120, 40)) as d:
        await d.press("j", "j")
        assert "security fixes until 2027-10-31; 3 environments and 0 of content on it" in d.text
        await d.press("k")
        assert "until 2027-10-31; nothing on it" in d.text


async def test_without_a_choice_no_candidate_is_said_to_be_the_chosen_one(desk) -> None:
    async with desk(size=(100, 60)) as d:
        await d.press("3", "slash", *"flask-api", "enter", "enter")
        assert "5 installations, the chosen one first" in d.text
        await d.press("q", "escape", "slash", *"legacy", "enter", "enter")
        assert "Candidates  5 installations\n" in d.text
