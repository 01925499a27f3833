"""The first minutes: whatever is missing, each view says what is going on and what to do next."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import DATA, config, entry, installation
from fake_values import bundle as a_bundle

from engine import Problem, Severity, Snapshot, Where
from engine.obstacles import Unwritable, find_obstacles, unreadable, unwritable
from tests.records import replace

NOTHING = {"environments": (), "builds": (), "bundles": ()}
UNUSABLE = installation("3.11.9", "No module named 'venv'")


def server(
    *, python: bool = True, errors: bool = False, data_dir: Problem | None = None, **changes: object
) -> Snapshot:
    """A server in which something stands in the way, with what the engine says of it."""
    problem = Problem("setting-unknown", "there is no such setting", where=Where("/etc/envdeck/envdeck.gcfg", 3, 1))
    state = config(*([problem] if errors else []))
    state = replace(state, good=not errors, settings=replace(state.settings, python_enabled=python))
    base = snapshot(**{"config": state, **changes})
    found = find_obstacles(
        base.config,
        base.installations,
        off_host=base.declarations.off_host,
        data_dir=data_dir,
        space=None,
    )
    return replace(base, obstacles=found)


NOT_CAROLS = Unwritable(str(DATA), "carol")
SCENARIOS = {
    "no interpreter named": (
        {"installations": (), **NOTHING},
        {
            "1": "Executable = /opt/python",
            "2": "Executable =",
            "3": "Executable =",
            "4": "Executable =",
            "5": "Executable =",
        },
    ),
    "no interpreter usable": (
        {"installations": (UNUSABLE,), **NOTHING},
        dict.fromkeys("12345", "the only installation cannot be used"),
    ),
    "Python turned off": ({"python": False, **NOTHING}, dict.fromkeys("12345", "Python is turned off")),
    "errors in the file at the start": (
        {"errors": True, **NOTHING},
        dict.fromkeys("1234", "the configuration has errors") | {"5": "there is no such setting"},
    ),
    "no permission to look": (
        {"data_dir": unreadable(str(DATA), "carol", "Permission denied"), "read_only": "it is not writable", **NOTHING},
        dict.fromkeys("12345", "cannot be seen by carol"),
    ),
    "no permission to change": (
        {"data_dir": unwritable(NOT_CAROLS), "read_only": str(NOT_CAROLS), **NOTHING},
        dict.fromkeys("12345", "is not writable for carol"),
    ),
    "nothing there yet": (
        NOTHING,
        {
            "2": "b builds one",
            "3": "a opens one by its path",
            "4": "b builds the environment of one",
            "5": "Python.Enabled",
        },
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_each_view_says_what_is_going_on(desk, scenario: str) -> None:
    size = (80, 24)
    changes, words = SCENARIOS[scenario]
    async with desk(FakeEngine(server(**changes)), size=size) as d:
        for key, expected in words.items():
            await d.press(key)
            assert expected in " ".join(d.text.split()), f"view {key}:\n{d.text}"
            assert all(len(line) == size[0] for line in d.lines)


async def test_what_cannot_be_seen_is_not_called_empty(desk) -> None:
    changes, _words = SCENARIOS["no permission to look"]
    async with desk(FakeEngine(server(**changes))) as d:
        await d.press("2")
        assert "no environments yet" not in d.text
        assert "Start envdeck as the account that owns it" in d.text
        await d.press("4")
        assert "Nothing has been built yet" not in d.text


async def test_what_stands_in_the_way_is_above_the_rows_too_and_goes_when_it_is_mended(desk) -> None:
    async with desk(FakeEngine(server(installations=(UNUSABLE,)))) as d:
        for key in ("1", "2", "3", "4"):
            await d.press(key)
            assert d.lines[2].startswith(" ✗ the only installation cannot be used"), d.text
        d.engine.publish(installations=snapshot().installations, obstacles=())
        await d.until(lambda: "the only installation" not in d.text, "the end of the notice")


async def test_an_unusable_installation_tells_the_remedy_below_the_list(desk) -> None:
    async with desk(FakeEngine(server(installations=(UNUSABLE,)))) as d:
        assert "No module named 'venv'  try: install the package that ships the module" in d.text


async def test_no_configuration_says_how_to_begin_one(desk) -> None:
    state = config(is_default=True)
    async with desk(FakeEngine(server(config=state, installations=(), **NOTHING))) as d:
        assert "No interpreter was found in PATH" in d.text
        assert "`envdeck config init`" in d.text
        await d.press("5")
        assert "DEFAULTS" in d.text
        assert "`envdeck config init` writes it as a file to edit" in d.text


async def test_reading_only_each_action_that_changes_something_says_why_it_does_not(desk) -> None:
    why = f"{DATA} is not writable for carol"
    async with desk(FakeEngine(snapshot(read_only=why))) as d:
        for keys in (("2", "x"), ("2", "r"), ("2", "p"), ("3", "b"), ("4", "c")):
            await d.press(*keys)
            assert "read-only" in d.status, keys
            assert "not writable for carol" in d.status, keys
        assert not d.engine.executed


async def test_a_problem_of_a_bundle_is_told_once(desk) -> None:
    problem = Problem("python-disabled", "Python support is disabled, so no Python content can be served")
    one = entry(a_bundle("flask-api", "3.11.2", ("flask",)), problem=problem)
    plan = replace(one.plan, match=replace(one.plan.match, chosen=None, problem=problem))
    async with desk(FakeEngine(snapshot(bundles=(replace(one, plan=plan),))), size=(120, 40)) as d:
        await d.press("3", "enter")
        assert d.text.count("so no Python content can be served") == 1


def test_the_worst_obstacle_is_the_first() -> None:
    now = server(python=False, errors=True, installations=(), data_dir=unreadable(str(DATA), "carol", "no"))
    assert [problem.code for problem in now.obstacles] == [
        "data-dir-unreadable",
        "config-errors",
        "python-disabled",
        "no-installation",
    ]


def test_a_server_in_everyday_use_has_no_obstacle() -> None:
    assert server().obstacles == ()
    probing = installation("3.11.7", probing=True)
    assert server(installations=(UNUSABLE, probing)).obstacles == (), "one that is being probed may turn out well"
    assert unwritable(NOT_CAROLS).severity is Severity.WARNING
