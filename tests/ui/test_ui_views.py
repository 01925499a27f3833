"""What the five views show: in everyday use, when empty, when something is wrong."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import build, config, environment, installation, value

from app.tui.profile import Profile
from engine import BuildState, Problem, Severity, Where
from tests.records import replace

EMPTY = snapshot(installations=(), environments=(), builds=(), bundles=())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("1", ["✓ usable", "✗ unusable", "/opt/python/3.11.7/bin/python3", "no such file"]),
        ("2", ["9f3ac1d2", "✓ ready", "⊘ stale", "✗ damaged"]),
        ("3", ["◌ MISS", "✓ HIT", "↻ BUILDING", "✗ NO"]),
        ("4", ["↻ running", "✓ done", "✗ failed", "⊘ cancelled", "3/12"]),
        ("5", ["Python.VersionMatching", "major-minor"]),
    ],
)
async def test_each_view_shows_its_rows_within_the_screen(desk, key: str, words: list[str], size) -> None:
    async with desk(size=size) as d:
        await d.press(key)
        assert all(word in d.text for word in words), d.text
        assert all(len(line) == size[0] for line in d.lines)
        assert d.lines[-1].rstrip().endswith("q quit")


@pytest.mark.parametrize("size", [(60, 16), (200, 60)])
async def test_the_smallest_and_a_large_terminal_are_filled_exactly(desk, size) -> None:
    async with desk(size=size) as d:
        for key in ("1", "2", "3", "4", "5"):
            await d.press(key)
            assert all(len(line) == size[0] for line in d.lines)
            assert d.lines[-1].rstrip().endswith("q quit")
            assert d.app.page.table.page >= 3


async def test_the_header_tells_where_one_is_and_how_things_stand(desk) -> None:
    async with desk() as d:
        first, second = d.lines[:2]
        assert all(
            word in first for word in ("web01", "envdeck 0.1.0", "RW", "interp 4/6", "envs 4", "builds 1", "cfg ok")
        )
        names = ("Installations", "Environments", "Match", "Builds", "Config")
        assert all(f" {number} {name}" in second for number, name in enumerate(names, 1))


async def test_the_embedded_default_and_errors_are_announced(desk) -> None:
    problem = Problem(
        "config-value",
        "VersionMatching must be one of two values",
        expected="major-minor or exact",
        found="newest",
        where=Where("/etc/envdeck/envdeck.gcfg", 9, 19),
        hint="write VersionMatching = exact",
    )
    async with desk(FakeEngine(snapshot(config=config(problem, is_default=True)))) as d:
        assert "DEFAULTS" in d.lines[0]
        assert "CFG ERROR" in d.lines[0]
        await d.press("5")
        assert d.lines[2].strip().startswith("The text on disk has errors")
        for word in ("✗ VersionMatching must be", "/etc/envdeck/envdeck.gcfg:9:19", "major-minor or exact", "newest"):
            assert word in d.text
        await d.press("tab", "G")
        assert "write VersionMatching = exact" in d.text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("1", ["No Python installation is configured.", "Executable = "]),
        ("2", ["The cache has no environments yet.", "/var/lib/envdeck"]),
        ("3", ["No bundle is open.", "a opens one by its path"]),
        ("4", ["Nothing has been built yet."]),
    ],
)
async def test_an_empty_view_says_what_to_do_next(desk, key: str, words: list[str]) -> None:
    async with desk(FakeEngine(EMPTY)) as d:
        await d.press(key)
        assert all(word in d.text for word in words), d.text


@pytest.mark.parametrize("keys", [("3",), ("5",), ("4", "l"), ("1", "d")])
async def test_headings_reach_across_the_screen_whatever_its_size_becomes(desk, keys: tuple[str, ...]) -> None:
    async with desk(size=(120, 40)) as d:
        await d.press(*keys)
        for size in ((80, 24), (100, 30)):
            await d.pilot.resize_terminal(*size)
            await d.settle()
            reach = [len(line.rstrip()) for line in d.lines if "╌╌╌" in line]
            assert reach, d.text
            assert set(reach) == {size[0] - 1}, d.text


@pytest.mark.parametrize("keys", [("2",), ("3",), ("4",), (*":content", "enter")])
async def test_before_the_first_look_no_list_claims_to_be_empty(desk, keys: tuple[str, ...]) -> None:
    async with desk(FakeEngine(replace(EMPTY, looked=False))) as d:
        await d.press(*keys)
        assert "Looking at what is there" in d.text
        assert "envs -" in d.lines[0]
        d.engine.publish(looked=True)
        await d.until(lambda: "Looking at" not in d.text, "the end of the first look")


async def test_while_probing_the_empty_list_says_so(desk) -> None:
    async with desk(FakeEngine(snapshot(installations=(), probing=True))) as d:
        assert "Looking at the interpreters" in d.text
        assert "probing" in d.lines[0]


async def test_the_explanation_leads_from_the_answer_to_its_reasons(desk) -> None:
    async with desk(size=(120, 60)) as d:
        await d.press("3", "enter")
        order = [
            "◌ MISS  Python 3.11.7",
            "Asks for",
            "major-minor",
            "Candidates",
            "▸ chosen",
            "- rejected",
            "◌ passed over",
            "✗ unusable",
            "Where the request comes from",
            "- absent       environment.python.requires",
            "▸ decides      python.version",
            "✗ rejected     .python-version",
            "it names an implementation of Python",
            "! warning      manifest.json",
            "Environment management",
            "▸ decides  server",
            "Package plan",
            "+ install",
            "⊘ prohibited",
            "Zk3vW8sQn1rT5yUa7bXc9d",
            "+ flask==3.0.0",
            "- flask==2.3.3",
        ]
        text = "\n".join(d.lines[3:])
        places = [text.index(word) for word in order]
        assert places == sorted(places), text


async def test_a_bundle_that_cannot_be_read_shows_the_problem_in_full(desk) -> None:
    async with desk() as d:
        await d.press("3", "G")
        await d.until(lambda: "the bundle cannot be read" in d.text, "the explanation")
        assert "/srv/bundles/torn.tar.gz" in d.text
        assert "envdeck capture" in d.text


async def test_the_explanation_follows_the_cursor_and_scrolls_by_itself(desk) -> None:
    async with desk() as d:
        await d.press("3", "j")
        await d.until(lambda: "✓ HIT  Python 3.11.7" in d.text, "the explanation of the second bundle")
        await d.press("tab", "G")
        assert "Type" in d.text
        assert "dash-sales" in d.text


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("1", "j", "j", "j", "enter"), ["✗ ensurepip", "remedy:", "install the package", "What it says of itself"]),
        (("2", "enter"), ["/var/lib/envdeck/python-environments", "requests[socks]>=2.31", "Lines", "by alice"]),
        (("4", "j", "j", "d"), ["What went wrong", "nump: no version matches", "check the spelling", "by"]),
        (("5", "enter"), ["3 values", "/etc/envdeck/envdeck.gcfg:4", "Defined in"]),
        (("2", "v"), ['"key": "9f3ac1d2Wq7rT5yUa7bXc9"']),
        (("3", "?"), ["Build the environment of this bundle"]),
        (("!",), ["WHEN", "alice", "config.load", "⊘ refused"]),
    ],
)
async def test_pages_above_the_views_and_the_way_back(desk, keys: tuple[str, ...], words: list[str]) -> None:
    async with desk(size=(100, 40)) as d:
        await d.press(*keys)
        assert all(word in d.text for word in words), d.text
        assert d.lines[-1].rstrip().endswith("q back")
        await d.press("escape")
        assert d.lines[-1].rstrip().endswith("q quit")


async def test_changes_appear_by_themselves_and_are_told(desk) -> None:
    async with desk() as d:
        await d.press("2", "j")
        new = environment("aaaaaaaaNq7rT5yUa7bXc9", "brand-new")
        done = build("20250615-115900-c3d4", "etl-nightly", BuildState.DONE, packages_done=12)
        d.engine.publish(
            environments=(new, *d.engine.current.environments), builds=(done, *d.engine.current.builds[1:])
        )
        await d.until(lambda: "brand-new" in d.text, "the new environment")
        assert "etl-nightly: built in" in d.status
        assert d.app.page.table.current.key.startswith("51b0aa7e"), "the cursor stays on its row"
        await d.press("!")
        assert "etl-nightly: built in" in d.text


async def test_a_timer_that_never_comes_does_not_stop_the_picture_for_ever(desk, monkeypatch) -> None:
    async with desk() as d:
        await d.press("2")
        with monkeypatch.context() as lost:
            lost.setattr(d.app, "set_timer", lambda *_: None)
            d.engine.publish(environments=(environment("aaaaaaaaNq7rT5yUa7bXc9", "first-new"),))
            await d.settle()
        d.now += 60
        d.engine.publish(environments=(environment("bbbbbbbbNq7rT5yUa7bXc9", "second-new"),))
        await d.settle()
        assert "second-new" in d.text


async def test_a_saved_config_file_with_an_error_is_told_at_once(desk) -> None:
    async with desk() as d:
        problem = Problem("config-section", "no such section: Pyton", where=Where("/etc/envdeck/envdeck.gcfg", 3))
        d.engine.publish(config=config(problem))
        await d.until(lambda: "CFG ERROR" in d.lines[0], "the badge")
        assert "config not taken over: /etc/envdeck/envdeck.gcfg:3" in d.status


async def test_warnings_of_the_config_are_listed_but_are_no_error(desk) -> None:
    warning = Problem("config-unknown", "Unknown setting Python.Foo", severity=Severity.WARNING)
    async with desk(
        FakeEngine(snapshot(config=config(warning, changed={"Python.VersionMatching": ("exact", "major-minor")})))
    ) as d:
        await d.press("5")
        assert "CFG ERROR" not in d.text
        assert "! Unknown setting" in d.text
        assert "exact -> major-minor" in d.text


@pytest.mark.parametrize("size", [(40, 10), (10, 3), (59, 30), (200, 15), (1, 1)])
async def test_a_terminal_that_is_too_small_says_so_and_survives(desk, size) -> None:
    async with desk(size=size) as d:
        for key in ("1", "2", "3", "j", "tab", "4", "5", "?", "escape"):
            await d.press(key)
        if size[0] >= 40 and size[1] < 40:
            assert "envdeck needs 60x16" in d.text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((36, 10), "envdeck needs 60x16, this is 36x10"),
        ((33, 10), "needs 60x16, is 33x10"),
        ((24, 4), "needs 60x16, is 24x4"),
        ((14, 4), "needs 60x16"),
        ((8, 2), "60x16"),
    ],
)
async def test_what_a_terminal_that_is_too_small_says_fits_it(desk, size, shown: str) -> None:
    async with desk(size=size) as d:
        assert d.text.split("\n")[0].strip() == shown


async def test_the_terminal_may_change_its_size_at_any_time(desk) -> None:
    async with desk() as d:
        await d.press("3")
        for size in ((120, 40), (60, 16), (40, 10), (80, 18), (160, 50), (80, 24)):
            await d.pilot.resize_terminal(*size)
            await d.settle()
            assert all(len(line) == size[0] for line in d.lines)
        assert "flask-api" in d.text


async def test_a_low_terminal_keeps_the_list_and_the_footer(desk) -> None:
    async with desk(size=(80, 17)) as d:
        assert "5 Config" not in d.text
        assert "3.11.7" in d.text
        assert d.lines[-1].rstrip().endswith("q quit")


async def test_ascii_mode_sends_nothing_but_ascii(desk) -> None:
    async with desk(profile=Profile({}, ascii=True)) as d:
        for key in ("1", "2", "3", "4", "5"):
            await d.press(key)
            assert d.text.isascii(), d.text
        await d.press("3")
        assert ". MISS" in d.text
        assert "+ HIT" in d.text


async def test_thousands_of_rows_are_no_burden(desk) -> None:
    many = tuple(environment(f"{i:08d}Kq7rT5yUa7bXc9", f"bundle-{i}") for i in range(5000))
    async with desk(FakeEngine(snapshot(environments=many))) as d:
        await d.press("2", "G")
        assert "bundle-4999" in d.text
        await d.press("g")
        assert "bundle-0" in d.text


async def test_an_installation_that_became_unusable_is_told(desk) -> None:
    async with desk() as d:
        installations = list(d.engine.current.installations)
        installations[2] = installation("3.11.7", "libpython3.11.so cannot be loaded")
        d.engine.publish(installations=tuple(installations))
        await d.until(lambda: "not usable any more" in d.status, "the message")
        assert "interp 3/6" in d.lines[0]


async def test_a_list_that_gets_more_room_fills_it(desk) -> None:
    base = snapshot()
    broken = config(*(Problem("config-value", f"value {number} cannot be used") for number in range(20)))
    many = tuple(value(f"Envdeck.Setting{number:02}", "1") for number in range(40))
    async with desk(FakeEngine(replace(base, config=replace(broken, values=many)))) as d:
        await d.press("5", "G")
        d.engine.publish(config=replace(config(), values=many))
        await d.until(lambda: "value 1 cannot" not in d.text, "the notes without errors")
        await d.settle()
        rows = [line for line in d.lines if "Envdeck.Setting" in line]
        assert len(rows) == d.app.page.table.page
        assert "Setting39" in rows[-1]
