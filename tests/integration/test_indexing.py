"""The first look at a large data directory by another process: this one reads no record, and can do without."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine import indexing
from engine.content.store import ContentStore
from engine.environments.store import EnvironmentStore
from engine.indexing import index_elsewhere
from tests.benchmarks.synthetic import fill

ENVIRONMENTS, CONTENTS = 210, 205
"""More than a look has to read before it leaves an index."""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("indexing")
    fill(data_dir, ENVIRONMENTS, CONTENTS, packages=3)
    return data_dir


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_MANY", 100)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What makes calling something of a module an error."""

    def refuse(name: str) -> None:
        def call(*_arguments: object, **_options: object) -> object:
            raise AssertionError(f"{name} was called")

        monkeypatch.setattr(name, call)

    return refuse


def test_another_process_reads_what_this_one_then_takes_from_the_indexes(
    data_dir: Path, tmp_path: Path, refuse: Callable[[str], None]
) -> None:
    indexes = (tmp_path / "environments", tmp_path / "content")
    expected = EnvironmentStore(data_dir).environments(), ContentStore(data_dir).contents()
    index_elsewhere(data_dir, *indexes, threading.Event())
    refuse("engine.environments.store._read")
    refuse("engine.content.store._read")
    found = EnvironmentStore(data_dir, indexes[0]).environments(), ContentStore(data_dir, indexes[1]).contents()
    assert found == expected
    assert (len(found[0]), len(found[1])) == (ENVIRONMENTS, CONTENTS)
    # There they are now.
    refuse("subprocess.Popen")
    index_elsewhere(data_dir, *indexes, threading.Event())


def test_for_little_or_without_a_place_for_an_index_no_process_is_started(
    data_dir: Path, tmp_path: Path, refuse: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse("subprocess.Popen")
    index_elsewhere(data_dir, None, None, threading.Event())
    index_elsewhere(tmp_path / "not-there", tmp_path / "one", tmp_path / "other", threading.Event())
    monkeypatch.setattr(indexing, "_MANY", 1000)
    index_elsewhere(data_dir, tmp_path / "one", tmp_path / "other", threading.Event())


def test_it_is_not_waited_for_by_whoever_leaves(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(_argv: list[str], **options: object) -> subprocess.Popen[bytes]:
        started.append(real(["sleep", "600"], **options))  # type: ignore[call-overload]
        return started[0]

    monkeypatch.setattr("subprocess.Popen", start)
    stop = threading.Event()
    stop.set()
    index_elsewhere(data_dir, tmp_path / "one", tmp_path / "other", stop)
    assert not psutil.pid_exists(started[0].pid)


def test_where_it_fails_what_is_there_is_read_by_this_process(data_dir: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "not-there" / "index"
    index_elsewhere(data_dir, nowhere, nowhere, threading.Event())
    assert len(EnvironmentStore(data_dir, nowhere).environments()) == ENVIRONMENTS
