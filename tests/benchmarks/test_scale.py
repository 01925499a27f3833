"""The second benchmark command: it measures a small cache like a large one, and says everything it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import scale
from tests.benchmarks.__main__ import main
from tests.benchmarks.synthetic import fill


def test_what_is_invented_is_read_like_what_builds_leave(tmp_path: Path) -> None:
    from engine.content.store import ContentStore
    from engine.environments.model import EnvironmentState
    from engine.environments.store import EnvironmentStore

    fill(tmp_path, 12, 30, packages=8)
    environments = EnvironmentStore(tmp_path).environments()
    assert len(environments) == 12
    assert {e.state for e in environments} == {EnvironmentState.READY}
    assert {len(e.packages) for e in environments} == {8}
    assert sum(e.last_used_at > 0 for e in environments) == 4
    contents = ContentStore(tmp_path).contents()
    assert len(contents) == 30
    assert {c.key for c in contents} <= {e.key for e in environments}
    assert not any(c.problem for c in contents)


@pytest.mark.slow
def test_every_figure_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- benchmark: scale -->\nold\n<!-- end -->\nafter\n")
    words = ["--environments", "250", "--contents", "250", "--rounds", "1", "--scratch", str(tmp_path / "scratch")]
    assert main(["scale", *words, "--readme", str(readme)]) == 0
    text = capsys.readouterr().out
    for name in ("250 environments", "one changed", "content items", "recalled", "first paint", "to the imports"):
        assert name in text
    assert text.strip() in readme.read_text()
    assert "old" not in readme.read_text()


def test_small_numbers_keep_their_digits() -> None:
    figures = [scale.Figure("a", 0.123), scale.Figure("b", 123.4, goal="300 ms"), scale.Figure("c", 2.5, "x")]
    assert scale.table(figures, "this machine").splitlines()[2:5] == [
        "| a | 0.12 ms |  |",
        "| b | 123 ms | 300 ms |",
        "| c | 2.50 x |  |",
    ]
