"""Reading many builds: what has ended is read once, and who asks for what goes on reads nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.builds.job import JobReader, write_result
from engine.builds.model import BuildState


def job(jobs_dir: Path, number: int, state: BuildState | None) -> str:
    name = f"20261121-0230{number:02d}-abcdef"
    directory = jobs_dir / name
    directory.mkdir(parents=True)
    spec = {"key": f"key-{number}", "bundle": "app", "submitted_at": 1000 + number, "by": "admin"}
    (directory / "spec.json").write_text(json.dumps(spec))
    if state is not None:
        write_result(directory, state)
    return name


@pytest.fixture
def jobs_dir(tmp_path: Path) -> Path:
    for number, state in enumerate([BuildState.DONE, BuildState.FAILED, None, BuildState.CANCELLED]):
        job(tmp_path / "jobs", number, state)
    return tmp_path / "jobs"


def test_the_same_builds_are_the_same_object_and_the_newest_is_first(jobs_dir: Path) -> None:
    reader = JobReader(jobs_dir)
    builds = reader.builds()
    assert [b.key for b in builds] == ["key-3", "key-2", "key-1", "key-0"]
    assert reader.builds() is builds
    name = job(jobs_dir, 9, None)
    assert reader.builds()[0].id == name
    shutil.rmtree(jobs_dir / name)
    assert reader.builds() == builds


def test_an_end_is_seen(jobs_dir: Path) -> None:
    reader = JobReader(jobs_dir)
    (going,) = (b for b in reader.builds() if b.key == "key-2")
    write_result(going.directory, BuildState.DONE)
    assert {b.key: b.state for b in reader.builds()}["key-2"] is BuildState.DONE
    assert reader.unfinished() == ()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The numbers of the jobs that are read from now on."""
    numbers: list[str] = []
    really = JobReader.read

    def noted(self: JobReader, name: str) -> object:
        numbers.append(name[13:15])
        return really(self, name)

    monkeypatch.setattr(JobReader, "read", noted)
    return numbers


def test_what_has_ended_is_not_read_by_who_asks_for_what_goes_on(jobs_dir: Path, read: list[str]) -> None:
    # Nobody attends it, so it is lost, and lost builds do not go on.
    assert JobReader(jobs_dir).unfinished() == ()
    assert read == ["02"]


def test_the_latest_builds_are_all_that_is_read_of_many(jobs_dir: Path, read: list[str]) -> None:
    latest = JobReader(jobs_dir).latest(2)
    assert next(latest).key == "key-3"
    assert read == ["03"]
    assert [build.key for build in latest] == ["key-2"]
    assert read == ["03", "02"]
    assert len(list(JobReader(jobs_dir).latest(9))) == 4


def test_one_build_is_found_by_its_id_and_by_nothing_else(jobs_dir: Path, read: list[str]) -> None:
    reader = JobReader(jobs_dir)
    found = reader.find("20261121-023001-abcdef")
    assert found is not None
    assert found.key == "key-1"
    assert [reader.find(name) for name in ("20261121-023001", "last", "", ".", "..", "../jobs")] == [None] * 6
    assert read == ["01"]


def test_no_jobs_are_no_builds(tmp_path: Path) -> None:
    reader = JobReader(tmp_path / "none")
    assert (reader.builds(), reader.unfinished()) == ((), ())
