"""The benchmark itself: it measures what it says, stops in time, and writes what it measured where it belongs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from tests.benchmarks import builds
from tests.benchmarks.__main__ import main
from tests.benchmarks.builds import SETS, Budget, Measured, measure, table
from tests.benchmarks.contenders import CONTENDERS, Contender, Failed, Made, Run
from tests.benchmarks.readme import BlockMissing, replace_block
from tests.benchmarks.scratch import Scratch

REQUIREMENTS = Path(builds.__file__).with_name("requirements")


@pytest.mark.parametrize("name", SETS)
def test_the_sets_are_frozen_and_their_changed_twins_differ_in_a_few_releases(name: str) -> None:
    pins, changed = (
        dict(
            line.split("==")
            for line in (REQUIREMENTS / f"{name}{suffix}.txt").read_text().splitlines()
            if not line.startswith("#")
        )
        for suffix in ("", "-changed")
    )
    assert pins.keys() == changed.keys()
    different = sum(pins[package] != changed[package] for package in pins)
    assert 1 <= different <= max(1, 0.05 * len(pins))


def fake(root: Path, contender: str, packages: str = "") -> Made:
    site = root / contender / "lib/python3.11/site-packages"
    for line in (packages or (REQUIREMENTS / "tiny.txt").read_text()).splitlines():
        if "==" in line:
            name, version = line.split("==")
            (site / f"{name}-{version}.dist-info").mkdir(parents=True)
    (site / "flask" / "__pycache__").mkdir(parents=True)
    (site / "flask" / "__init__.py").touch()
    (site / "flask" / "__pycache__" / "x.pyc").touch()
    return Made(root / contender, 0.5)


def test_contenders_take_turns_there_and_back_after_those_that_fill_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def contender(name: str) -> Contender:
        def make(run: Run) -> Made:
            ran.append(name)
            return fake(run.work, name)

        return Contender(name, make, cold=False, warms=name == "b")

    monkeypatch.setattr(builds, "CONTENDERS", [contender(name) for name in "abc"])
    results = measure(Scratch(tmp_path, Path("/python")), ["tiny"], Budget(2, 60), caches=["warm"])
    assert "".join(ran) == "b" + "abc" + "cba"
    assert [(r.contender, len(r.seconds), r.bytecode, r.packages) for r in results] == [
        (name, 2, True, 7) for name in "abc"
    ]


def test_who_fails_or_leaves_packages_out_is_not_timed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_run: Run) -> Made:
        raise Failed("it broke")

    monkeypatch.setattr(
        builds,
        "CONTENDERS",
        [
            Contender("good", lambda run: fake(run.work, "good")),
            Contender("broken", fails),
            Contender("lazy", lambda run: fake(run.work, "lazy", "flask==3.1.3")),
        ],
    )
    results = measure(Scratch(tmp_path, Path("/python")), ["tiny"], Budget(1, 60), caches=["warm"])
    assert [(r.contender, len(r.seconds), r.failure) for r in results] == [
        ("good", 1, ""),
        ("broken", 0, "it broke"),
        ("lazy", 0, "6 packages are missing, blinker among them"),
    ]
    assert not (tmp_path / "work").exists()


def test_no_round_is_begun_that_would_not_end_in_time() -> None:
    budget = Budget(rounds=3, seconds=100, began=time.monotonic() - 50)
    assert budget.allows(done=2, longest=40, share=1.0)
    assert not budget.allows(done=2, longest=60, share=1.0)
    assert not budget.allows(done=2, longest=40, share=0.5)
    assert not budget.allows(done=3, longest=0, share=1.0)


def test_the_table_has_medians_and_ratios_to_the_first_row() -> None:
    first, second = CONTENDERS[0].name, CONTENDERS[2].name
    text = table(
        [
            Measured(first, "tiny", "warm", [4.0, 2.0, 9.0], bytecode=True, packages=7),
            Measured(second, "tiny", "warm", [1.0], [0.75], packages=7),
            Measured(second, "tiny", "cold", failure="it broke"),
        ],
        "a machine",
        "Python 3",
    )
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| | bytecode | tiny (7) warm | × | tiny (7) cold | × |"
    assert rows[2:] == [f"| {first} | yes | 4.00 | 1 | – |  |", f"| {second} | no | 1.00 (0.75) | 0.25 | – |  |"]
    assert "failed: " in text
    assert "Rounds: 1 to 3" in text


def test_a_block_of_the_readme_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        "before\n<!-- benchmark: builds -->\nold\n<!-- end -->\nafter\n<!-- benchmark: x -->\n<!-- end -->\n"
    )
    for text in ("new \\1 table\n", "newer\n"):
        replace_block(path, "builds", text)
        assert path.read_text() == (
            f"before\n<!-- benchmark: builds -->\n{text}<!-- end -->\nafter\n<!-- benchmark: x -->\n<!-- end -->\n"
        )
    with pytest.raises(BlockMissing):
        replace_block(path, "y", "text")


def test_the_readme_has_the_block(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text((Path(builds.__file__).parents[2] / "README.md").read_text())
    replace_block(readme, "builds", "| table |")
    assert re.search(r"<!-- benchmark: builds -->\n\| table \|\n<!-- end -->", readme.read_text())


@pytest.mark.slow
@pytest.mark.network
def test_one_round_of_the_tiny_set_measures_everybody_for_real(tmp_path: Path) -> None:
    runs = tmp_path / "runs.json"
    code = main(
        [
            "builds",
            "--sets",
            "tiny",
            "--caches",
            "warm",
            "--rounds",
            "1",
            "--scratch",
            str(tmp_path),
            "--json",
            str(runs),
        ]
    )
    measured = json.loads(runs.read_text())
    assert code == 0, [each["failure"] for each in measured]
    assert {each["contender"] for each in measured} == {c.name for c in CONTENDERS if c.available()}
    assert all(len(each["seconds"]) == 1 and each["packages"] == 7 for each in measured)
    assert {each["contender"] for each in measured if not each["bytecode"]} == {"uv, no bytecode"}
