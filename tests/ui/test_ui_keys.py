"""Keys, commands, palette and help, as an admin meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import environment

from engine import KeyLine, ReapPlan, Where
from tests.records import replace

FIRST, SECOND = "9f3ac1d2Wq7rT5yUa7bXc9", "51b0aa7eHq7rT5yUa7bXc9"


def with_keys(*texts: str):
    now = snapshot()
    keys = tuple(KeyLine(text, Where("/etc/envdeck.gcfg", number, 7)) for number, text in enumerate(texts, 1))
    return replace(now, config=replace(now.config, settings=replace(now.config.settings, keys=keys)))


async def test_a_key_map_changes_keys_footer_and_help(desk) -> None:
    async with desk(FakeEngine(with_keys("env.rebuild=f5,b"))) as d:
        await d.press("2")
        assert "F5 rebuild" in d.lines[-1]
        await d.press("r")
        assert not d.app.page.prompt.asking
        await d.press("f5")
        assert "Rebuild 9f3ac1d2" in d.status
        await d.press("escape", "question_mark")
        assert "F5 b" in d.text


async def test_a_saved_key_map_counts_at_once_and_what_is_wrong_with_it_is_told(desk) -> None:
    async with desk(size=(120, 40)) as d:
        await d.press("2")
        d.engine.publish(config=with_keys("env.reap=f8", "env.wibble=f9", "env.reap=y").config)
        await d.until(lambda: "F8 reap" in d.lines[-1], "the new key")
        assert "/etc/envdeck.gcfg:3" in d.status
        await d.press("5")
        assert "there is no action env.wibble" in d.text
        await d.press("exclamation_mark")
        assert d.text.count("/etc/envdeck.gcfg") >= 2


@pytest.mark.parametrize("start", ["1", "3", "4", "5"])
async def test_a_command_reaches_a_row_of_another_view(desk, start: str) -> None:
    async with desk(size=(120, 24)) as d:
        await d.press(start, "colon", *"reap 51b0", "enter")
        await d.until(lambda: "Delete 51b0aa7e" in d.status, "the question")
        assert d.app.page.table.current.key == SECOND
        assert d.engine.executed == []
        d.wait_guard()
        await d.press("y")
        (plan,) = d.engine.executed
        assert isinstance(plan, ReapPlan)
        assert [item.key for item in plan.items] == [SECOND]


async def test_a_named_row_counts_rather_than_the_marked_ones(desk) -> None:
    async with desk(size=(120, 24)) as d:
        await d.press("2", "*", "slash", *"dash", "enter", "colon", *"reap 51b0", "enter")
        await d.until(lambda: "Delete 51b0aa7e" in d.status, "the question")
        assert [what for called, what in d.engine.calls if called == "plan-reap"] == [[SECOND]]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("reap", "which one? :reap KEY"),
        ("reap zzz", "there is no zzz here"),
        ("reap 0000", "2 begin with 0000"),
        ("cancel nothing", "there is no nothing here"),
    ],
)
async def test_a_command_that_names_no_row_says_so(desk, command: str, said: str) -> None:
    two = (environment("00001" * 4, "one"), environment("00002" * 4, "two"))
    async with desk(FakeEngine(snapshot(environments=two))) as d:
        await d.press("3", "colon", *command, "enter")
        await d.until(lambda: said in d.app.status.plain, "the remark")
        assert not d.app.page.prompt.busy


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("rebuild 9f", ":rebuild 9f3ac1d2Wq7rT5yUa7bXc9"),
        ("build fl", ":build flask-api"),
        ("theme nor", ":theme nord"),
        ("sort pyt", ":sort python"),
        ("freez", ":freeze"),
    ],
)
async def test_arguments_complete(desk, typed: str, becomes: str) -> None:
    async with desk() as d:
        await d.press("2", "colon", *typed, "tab")
        assert d.status == becomes


async def test_a_path_completes_directory_by_directory(desk, tmp_path: Path) -> None:
    (tmp_path / "bundles" / "my app").mkdir(parents=True)
    (tmp_path / "bundles" / "other.tar.gz").touch()
    (tmp_path / "bundles" / "ev\x1b[31mil").mkdir()
    async with desk(size=(160, 24)) as d:
        # All at once: Tab waits for what the directory holds.
        await d.hurry(":", *f"open {tmp_path}/bu", "tab")
        await d.until(lambda: d.status.startswith(f":open {tmp_path}/bundles/"), "the directory")
        await d.until(lambda: "my app/  other.tar.gz" in d.status, "what it holds")
        assert "ev" not in d.status.replace("envdeck", "").partition("bundles/")[2]
        await d.press("m", "tab")
        assert d.status == f":open {tmp_path}/bundles/my app/"
        await d.press("escape", "a")
        await d.hurry(*f"{tmp_path}/bundles/o", "tab")
        assert d.status == f"open bundle: {tmp_path}/bundles/other.tar.gz"


async def test_a_path_of_ten_thousand_entries_completes(desk, tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}.tgz").touch()
    async with desk(size=(160, 24)) as d:
        await d.hurry(":", *f"open {tmp_path}/")
        await d.until(lambda: "00000.tgz  00001.tgz" in d.status, "the first of them")
        await d.press(*"0999", "tab")
        assert "09990.tgz  09991.tgz" in d.status
        await d.press("9", "tab")
        assert d.status == f":open {tmp_path}/09999.tgz"


async def test_read_only_counts_for_commands_from_afar(desk) -> None:
    async with desk(FakeEngine(snapshot(read_only="not writable by uid 1001"))) as d:
        await d.press("3", "colon", *"reap 51b0", "enter")
        await d.until(lambda: "read-only: not writable by uid 1001" in d.app.status.plain, "the reason")
        assert " RO " in d.lines[0]


async def test_the_palette_takes_letters_in_their_order_the_best_first(desk) -> None:
    async with desk() as d:
        await d.press("2", "ctrl+p", *"rbld")
        assert "rebuild" in d.lines[3].lower() or "again" in d.lines[3]
        await d.press(*["backspace"] * 4, *"zzzz")
        assert "No action is like that" in d.text
        await d.press("escape", "ctrl+p", *"theme", "enter")
        assert d.status.startswith(":theme")


async def test_help_is_about_here_first_and_can_be_searched(desk) -> None:
    async with desk() as d:
        await d.press("2", "question_mark")
        assert d.lines[3].startswith(" Environments")
        await d.press("slash", *"cancel the")
        assert "/cancel the" in d.lines[1]
        await d.press("enter")
        assert "Cancel the" in d.text, "what other views can do is there too"
        first = d.lines[1]
        await d.press("n")
        assert d.lines[1] != first
        await d.press("N")
        assert d.lines[1] == first
        await d.press("escape")
        assert "lines" in d.lines[1], "Esc stops looking before it leaves"
        await d.press("n")
        assert "nothing is being looked for" in d.status
        await d.press("q")
        assert d.app.current_mode == "environments"


async def test_looking_in_a_text_takes_expressions_and_tells_nonsense(desk) -> None:
    async with desk() as d:
        await d.press("question_mark", "slash", *"/e(a+)+p/", "enter")
        assert "/e(a+)+p/" in d.lines[1].replace("//", "/")
        await d.press("slash", *"/(x/")
        assert "not a regular expression" in d.app.status.plain


async def test_n_goes_through_what_a_filter_shows(desk) -> None:
    async with desk() as d:
        await d.press("2", "n")
        assert "there is no filter" in d.status
        await d.press("slash", *"ready", "enter", "n")
        assert d.app.page.table.current.key == SECOND
        await d.press("N")
        assert d.app.page.table.current.key == FIRST


async def test_the_key_that_asks_is_none_that_answers_whatever_the_key_map_says(desk) -> None:
    async with desk(FakeEngine(with_keys("env.rebuild=f")), size=(120, 24)) as d:
        await d.press("2", "f")
        assert "y=rebuild" in d.status
        assert "f=fresh" not in d.status
        d.wait_guard()
        await d.press("f")
        assert d.engine.executed == []
