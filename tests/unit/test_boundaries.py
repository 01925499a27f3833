"""Who may load what. The static graph is checked by import-linter; these see deferred imports too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def modules_after(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` of a fresh interpreter that ran `code`."""
    script = f"import sys\n{code}\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(output.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("foreign", ["textual", "rich", "app", "pip"])
def test_the_engine_is_usable_without_any_front(foreign: str) -> None:
    assert foreign not in modules_after("import engine")


def test_the_command_line_never_loads_textual() -> None:
    assert "textual" not in modules_after("import app.cli.main, app.__main__")


def test_everything_public_is_exported_by_name_and_exists() -> None:
    import engine

    assert len(engine.__all__) == len(set(engine.__all__))
    for name in engine.__all__:
        assert hasattr(engine, name)


def test_the_builder_parses_on_the_oldest_python_it_is_run_by() -> None:
    """Python 2.7 is not at hand everywhere: what it cannot parse is looked for by its 3.x spelling."""
    import ast

    for name in ("builds/builder.py", "installations/probe_script.py"):
        tree = ast.parse((ROOT / "engine" / name).read_text(), feature_version=(3, 4))
        newer = (ast.AnnAssign, ast.JoinedStr, ast.NamedExpr, ast.AsyncFunctionDef, ast.Nonlocal, ast.YieldFrom)
        for node in ast.walk(tree):
            assert not isinstance(node, newer), f"{name}:{getattr(node, 'lineno', '?')}"
            if isinstance(node, ast.FunctionDef):
                assert node.returns is None
                assert not node.args.kwonlyargs
