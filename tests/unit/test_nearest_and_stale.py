"""Why not reused, and why not usable any more."""

from __future__ import annotations

from engine import Change, Environment, EnvironmentState
from engine.environments.staleness import judge
from engine.plans import find_nearest

PYTHON = {"version": "3.11.7", "base_prefix": "/opt/python/3.11.7"}
INGREDIENTS: dict[str, object] = {"interpreter": PYTHON, "index": {}, "requirements": []}


def environment(key: str, *lines: str, **changes: object) -> Environment:
    fields: dict[str, object] = {
        "key": key,
        "attempt": "a",
        "place": "/data",
        "installer": "pip",
        "python_version": "3.11.7",
        "python_path": "/opt/python/3.11.7/bin/python3",
        "target": "Local",
        "state": EnvironmentState.READY,
        "reason": "",
        "lines": lines,
        "packages": (),
        "size": 1,
        "files": 1,
        "built_at": 0.0,
        "built_by": "alice",
        "seconds": 1.0,
        "bundle": "demo",
        "ingredients": INGREDIENTS,
    }
    return Environment(**(fields | changes))  # type: ignore[arg-type]


def test_the_nearest_environment_is_named_with_the_lines_that_differ() -> None:
    far, near = environment("far", "flask", "x", "y"), environment("near", "flask", "six==1")
    nearest = find_nearest(["flask", "six==2"], INGREDIENTS, [far, near])
    assert nearest is not None
    assert nearest.environment is near
    assert (nearest.only_here, nearest.only_there) == (("six==2",), ("six==1",))


def test_other_ingredients_that_differ_are_named() -> None:
    elsewhere = environment("k", "flask", ingredients={**INGREDIENTS, "index": {"index-url": "https://b"}})
    nearest = find_nearest(["flask"], INGREDIENTS, [elsewhere])
    assert nearest is not None
    assert nearest.other_ingredients == ("index",)
    assert nearest.changes == (Change("index.index-url", "https://b", ""),)


def test_an_environment_of_another_python_or_with_nothing_in_common_explains_nothing() -> None:
    other_python = environment("a", "flask", ingredients={**INGREDIENTS, "interpreter": {"version": "3.9.1"}})
    assert find_nearest(["flask", "six"], INGREDIENTS, [other_python, environment("b", "django")]) is None


def test_the_same_lines_on_another_python_are_what_an_upgrade_left_behind() -> None:
    ingredients = {**INGREDIENTS, "interpreter": {**PYTHON, "version": "3.11.6"}}
    before = environment("before", "flask", ingredients=ingredients, state=EnvironmentState.STALE)
    nearest = find_nearest(["flask"], INGREDIENTS, [before])
    assert nearest is not None
    assert (nearest.only_here, nearest.only_there, nearest.other_ingredients) == ((), (), ("interpreter",))
    assert nearest.changes == (Change("interpreter.version", "3.11.6", "3.11.7"),)
    same_python = environment("near", "flask", "six")
    nearest = find_nearest(["flask"], INGREDIENTS, [before, same_python])
    assert nearest is not None
    assert nearest.environment is same_python, "the interpreter decides most of what is in an environment"


def test_an_environment_whose_installation_is_gone_is_stale_and_says_so() -> None:
    (stale,) = judge([environment("k")], {"/opt/python/3.9.1/bin/python3": {"version": "3.9.1"}})
    assert stale.state is EnvironmentState.STALE
    assert stale.reason == "its installation /opt/python/3.11.7/bin/python3 is not configured or not usable any more"


def test_an_environment_whose_interpreter_was_replaced_in_place_is_stale() -> None:
    (stale,) = judge([environment("k")], {"/opt/python/3.11.7/bin/python3": {**PYTHON, "version": "3.11.8"}})
    assert stale.state is EnvironmentState.STALE
    assert "is not the interpreter any more" in stale.reason


def test_the_same_interpreter_under_another_path_keeps_an_environment_ready() -> None:
    (ready,) = judge([environment("k")], {"/usr/local/bin/python3.11": PYTHON})
    assert ready.state is EnvironmentState.READY
