"""Who may load what. The static graph is checked by import-linter; these see deferred imports too."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def loaded_after(code: str, *arguments: str, environ: Mapping[str, str] | None = None) -> set[str]:
    """The names in ``sys.modules`` of a fresh interpreter that ran `code`."""
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    command = [sys.executable, "-c", script, *arguments]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environ)
    return set(output.stdout.splitlines()[-1].split())


def modules_after(code: str) -> set[str]:
    """The top-level ones of those names."""
    return {name.partition(".")[0] for name in loaded_after(code)}


@pytest.mark.parametrize("foreign", ["textual", "rich", "app", "pip"])
def test_the_engine_is_usable_without_any_front(foreign: str) -> None:
    assert foreign not in modules_after("import engine")


def test_the_command_line_never_loads_textual() -> None:
    assert "textual" not in modules_after("import app.cli.main, app.__main__")


@pytest.fixture
def quiet_home(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without interpreters or configuration."""
    return {"HOME": str(tmp_path), "PATH": str(tmp_path), "LC_ALL": "C.UTF-8"}


def test_a_match_loads_neither_the_cache_nor_the_builds(quiet_home: dict[str, str]) -> None:
    """What an answer does not need would be most of the time to it: see `python -m tests.benchmarks scale`."""
    run = "from app.cli.main import main\nmain(['match', '--python', '3.11', '--json'])"
    loaded = loaded_after(run, environ=quiet_home)
    assert "engine.matching" in loaded
    others = ("actions.", "builds.", "bundles.", "content.store", "environments", "executors", "live", "packages")
    unneeded = {name for name in loaded if name.startswith(tuple(f"engine.{other}" for other in others))}
    assert unneeded <= {"engine.builds.model"}
    assert not {"rich", "psutil", "yaml", "pip", "textual", "subprocess", "logging", "concurrent.futures"} & loaded
    commands = {name for name in loaded if name.startswith("app.cli.")}
    assert not {f"app.cli.{room}" for room in ("contents", "caching", "doctoring", "json_cache")} & commands


def test_starting_a_build_loads_only_what_every_build_needs() -> None:
    """The command that plans and starts it, and the supervisor that is forked from that."""
    needed = ("app.cli.building", "engine.engine", "engine.planning", "engine.actions.build", "engine.actions.audit")
    loaded = loaded_after(f"import {', '.join(needed)}, engine.builds.supervisor, engine.executors.local")
    assert {name for name in loaded if name.startswith("engine.actions.")} == set(needed[3:])
    others = (
        "capture",
        "content.model",
        "doctor",
        "impact",
        "live",
        "offhost.selection",
        "rebuilds",
        "snapshot",
        "trial",
    )
    seldom = ("builds.overlay", "builds.settling", "builds.uv_asking", "bundles.archive", "environments.difference")
    rest = ("config.draft", "installations.externals", "packages.uv_request", "wheels.filling", "wheels.unpacking")
    assert not {f"engine.{name}" for name in (*others, *seldom, *rest)} & loaded
    assert not {"difflib", "psutil", "rich", "secrets", "statistics", "tarfile", "yaml"} & loaded


def test_the_version_loads_nothing_of_the_engine_but_its_errors(quiet_home: dict[str, str]) -> None:
    run = "from app.cli.main import main\nmain(['--version'])"
    assert "engine.world" not in loaded_after(run, environ=quiet_home)


def test_every_command_is_found_in_the_module_that_adds_it() -> None:
    from app.cli import parser
    from app.cli.grammar import Commands, Parser

    for room, commands in parser._ROOMS.items():
        children = Commands(Parser(), "command")
        importlib.import_module(f"app.cli.{room}").add_commands(children)
        assert list(children._children.choices) == commands.split()


def test_everything_public_is_exported_by_name_and_exists() -> None:
    import engine

    assert len(engine.__all__) == len(set(engine.__all__))
    for name in engine.__all__:
        assert hasattr(engine, name)
    assert set(engine.__all__) <= set(dir(engine))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = engine.no_such_name


def test_what_type_checkers_see_of_the_engine_is_what_is_loaded_from_it() -> None:
    import engine

    (seen,) = (node for node in ast.parse((ROOT / "engine/__init__.py").read_text()).body if isinstance(node, ast.If))
    imports = [node for node in seen.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == engine._HOME_OF


def test_importing_the_engine_loads_nothing_of_it() -> None:
    assert {name for name in loaded_after("import engine") if name.startswith("engine.")} == set()


def test_the_builder_parses_on_the_oldest_python_it_is_run_by() -> None:
    """Python 2.7 is not at hand everywhere: what it cannot parse is looked for by its 3.x spelling."""
    for name in ("builds/builder.py", "installations/probe_script.py"):
        tree = ast.parse((ROOT / "engine" / name).read_text(), feature_version=(3, 4))
        newer = (ast.AnnAssign, ast.JoinedStr, ast.NamedExpr, ast.AsyncFunctionDef, ast.Nonlocal, ast.YieldFrom)
        for node in ast.walk(tree):
            assert not isinstance(node, newer), f"{name}:{getattr(node, 'lineno', '?')}"
            if isinstance(node, ast.FunctionDef):
                assert node.returns is None
                assert not node.args.kwonlyargs
