"""Builds and the wheel store: what was built before is made again by linking, and pip has the last word on the rest."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine import Build, BuildState, Engine, Way
from engine.builds.seeding import Seeding
from engine.builds.spec import Job, read_job
from engine.environments.locks import acquire
from engine.environments.records import Distribution
from engine.environments.tree import digest, walk
from engine.wheels.locks import Lock, LockRecords
from engine.wheels.model import Pin
from engine.wheels.store import WheelStore
from tests.records import replace

Make = Callable[..., Path]
Wait = Callable[..., None]

PINNED = ("beta==2.0", "alpha==1.0")
ATTEMPT = re.compile(r"(/[^\s\"':]*/)?\d{8}-\d{6}-[0-9a-f]{6}")


class Deck:
    """A server whose pip is configured to take packages from a directory, as on a server with an index of its own."""

    def __init__(self, server: SimpleNamespace, packages: Path, wait_until: Wait) -> None:
        self.server = server
        self.packages = packages
        self.wait_until = wait_until
        config = server.root / "home" / ".config" / "pip"
        config.mkdir(parents=True)
        (config / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {packages}\n")
        self.engine: Engine = server.engine()
        self.locks = LockRecords(server.data_dir)
        self.store = WheelStore(server.data_dir)

    def bundle(self, *requirements: str, name: str = "app") -> Path:
        directory: Path = self.server.bundle(name=name)
        (directory / "requirements.txt").write_text("\n".join(requirements) + "\n")
        return directory

    def build(self, *requirements: str) -> Build:
        plan = self.engine.plan_build(self.engine.open_bundle(str(self.bundle(*requirements))))
        started = self.engine.execute(plan).build
        assert started is not None
        return self.engine.wait(started.id, 300)

    def lock_of(self, build: Build) -> Lock:
        """The lock that the build has left, waited for: it comes after the verdict."""
        self.wait_until(
            lambda: (lock := self.locks.read(build.key)) is not None and lock.attempt == build.id, 120, "the lock"
        )
        lock = self.locks.read(build.key)
        assert lock is not None
        return lock

    def again(self, build: Build, aside: Path) -> Job:
        """The job of `build` as before its attempt was made, which is put `aside`."""
        job = read_job(build.directory)
        assert job is not None
        job.attempt_dir.rename(aside)
        job.attempt_dir.mkdir()
        return job

    def reap(self) -> None:
        """Have no environment any more, and all the rest."""
        shutil.rmtree(self.server.data_dir / "python-environments")

    def environment(self, build: Build) -> Path:
        (environment,) = (e for e in self.engine.refresh().environments if e.attempt == build.id)
        return environment.path


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An index, and what a data directory holds after one build from it."""
    from tests.integration import conftest

    root = tmp_path_factory.mktemp("stock")
    packages = root / "packages"
    conftest.make_wheel(packages, "alpha", "1.0")
    conftest.make_wheel(packages, "alpha", "1.1")
    conftest.make_wheel(packages, "beta", "2.0", requires=("alpha",))
    (root / "home").mkdir()
    server = conftest.Server(root / "server", {"HOME": str(root / "server" / "home"), "PATH": os.environ["PATH"]})
    deck = Deck(server, packages, conftest.wait_until)
    built = deck.build(*PINNED)
    assert built.state is BuildState.DONE
    lock = deck.lock_of(built)
    kept = root / "kept"
    shutil.copytree(deck.environment(built), kept, symlinks=True)
    deck.engine.close()
    return SimpleNamespace(packages=packages, wheels=server.data_dir / "wheels", built=built, lock=lock, kept=kept)


@pytest.fixture
def deck(server: SimpleNamespace, stock: SimpleNamespace, wait_until: Wait) -> Deck:
    """A server that has built `PINNED` before and reaped it. The index is a copy, to be taken away."""
    shutil.copytree(stock.wheels, server.data_dir / "wheels")
    deck = Deck(server, stock.packages, wait_until)
    assert deck.locks.read(stock.built.key) is not None
    return deck


@pytest.fixture
def offline(stock: SimpleNamespace) -> Iterator[None]:
    """Nobody can have anything from the index."""
    hidden = stock.packages.with_name("hidden")
    stock.packages.rename(hidden)
    yield
    hidden.rename(stock.packages)


def said(build: Build) -> str:
    return build.log.read_text()


def contents(root: Path) -> dict[str, str]:
    """Every file and link of an environment, its own place taken out of what tells it."""
    found = {}
    for path, entry in walk(root).items():
        if entry.target:
            found[path] = f"-> {entry.target}"
        elif path.startswith("bin/") or path == "pyvenv.cfg":
            found[path] = ATTEMPT.sub("HERE", (root / path).read_text())
        # Bytecode knows the time of its source, and RECORD the hashes of scripts.
        elif path.endswith(("envdeck-seal.json", "/RECORD", ".pyc")):
            found[path] = ""
        else:
            found[path] = digest(root / path)["sha256"]
    return found


def test_the_lock_names_everything_that_was_built(stock: SimpleNamespace) -> None:
    assert {wanted.pin for wanted in stock.lock.wheels} == {Pin.of("alpha", "1.0"), Pin.of("beta", "2.0")}
    assert stock.lock.reason == ""
    assert "No package" not in said(stock.built)
    assert "0 of 2 packages come from the wheel store" in said(stock.built)


def test_what_was_built_before_is_made_again_without_pip_and_index(
    deck: Deck, stock: SimpleNamespace, offline: None
) -> None:
    again = deck.build(*PINNED)
    assert (again.state, again.key) == (BuildState.DONE, stock.built.key)
    assert "is replayed: all 2 packages come from the wheel store" in said(again)
    assert "Looking in links" not in said(again)
    (environment,) = deck.engine.refresh().environments
    assert {(p.name, p.version) for p in environment.packages} == {("alpha", "1.0"), ("beta", "2.0")}
    assert 0 < environment.shared < environment.size
    assert contents(environment.path) == contents(stock.kept)
    (verification,) = deck.engine.plan_verify([environment.key]).verifications
    assert verification.ok
    # And the same again, over and over: the lock stays.
    deck.reap()
    assert deck.build(*PINNED).state is BuildState.DONE


def test_with_replay_verify_pip_has_the_last_word(deck: Deck, stock: SimpleNamespace) -> None:
    deck.server.configure("[Envdeck]", "Replay = verify")
    deck.engine = deck.server.engine()
    again = deck.build(*PINNED)
    assert again.state is BuildState.DONE
    assert "2 of 2 packages come from the wheel store" in said(again)
    assert "because [Envdeck] Replay is verify" in said(again)
    assert "Requirement already satisfied: beta==2.0" in said(again)
    assert contents(deck.environment(again)).keys() == contents(stock.kept).keys()
    assert {wanted.sha256 for wanted in deck.lock_of(again).wheels} == {w.sha256 for w in stock.lock.wheels}


def test_with_replay_off_the_store_is_not_used(deck: Deck) -> None:
    shutil.rmtree(deck.store.root)
    deck.server.configure("[Envdeck]", "Replay = off")
    deck.engine = deck.server.engine()
    again = deck.build(*PINNED)
    assert again.state is BuildState.DONE
    assert "Nothing comes from the wheel store: [Envdeck] Replay is off" in said(again)
    assert not deck.store.root.exists()


def test_a_fresh_rebuild_asks_pip_for_everything(deck: Deck, stock: SimpleNamespace) -> None:
    again = deck.build(*PINNED)
    plan = deck.engine.plan_rebuild([again.key], fresh=True)
    assert plan.fresh
    (fresh,) = deck.engine.forecast_rebuild(plan).items
    (known,) = deck.engine.forecast_rebuild(deck.engine.plan_rebuild([again.key])).items
    assert (fresh.way, known.way) == (Way.INSTALLED, Way.REPLAYED)
    assert known.basis == "the last build of this environment"
    assert 0 < known.space < fresh.space
    (started,) = deck.engine.execute(plan)
    rebuilt = deck.engine.wait(started.id, 300)
    assert rebuilt.state is BuildState.DONE
    assert "0 of 2 packages come from the wheel store" in said(rebuilt)
    assert "because everything is fetched anew" in said(rebuilt)
    assert "Successfully installed alpha-1.0 beta-2.0" in said(rebuilt)
    (audited,) = (r for r in deck.engine.refresh().audit.records if r.event.action == "rebuild")
    assert "--fresh" in audited.event.command
    # Not fresh: the lock of the last build is replayed.
    (started,) = deck.engine.execute(deck.engine.plan_rebuild([again.key]))
    assert "is replayed: all" in said(deck.engine.wait(started.id, 300))


@pytest.mark.slow
def test_a_line_that_may_mean_another_version_tomorrow_is_not_replayed(deck: Deck) -> None:
    first = deck.build("beta==2.0", "alpha")
    assert "1 of 2 packages come from the wheel store" in said(first)
    assert {w.pin for w in deck.lock_of(first).wheels} == {Pin.of("alpha", "1.1"), Pin.of("beta", "2.0")}
    deck.reap()
    again = deck.build("beta==2.0", "alpha")
    assert again.state is BuildState.DONE
    assert "no lock is replayed, because alpha is not pinned" in said(again)


def test_what_pip_refuses_is_refused_with_the_store_too(deck: Deck) -> None:
    failed = deck.build("beta==2.0", "alpha==1.0", "alpha>1.0")
    assert failed.state is BuildState.FAILED
    assert deck.engine.refresh().environments == ()


@pytest.mark.slow
def test_what_was_built_from_source_is_not_replayed_and_the_rest_is_kept(deck: Deck, server: SimpleNamespace) -> None:
    bundle = deck.bundle("alpha==1.0", "./local")
    (bundle / "local").mkdir()
    (bundle / "local" / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    wheel = next(deck.packages.glob("beta*.whl"))
    (bundle / "local" / "backend.py").write_text(
        "import shutil\n"
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n"
        f"    shutil.copy({str(wheel)!r}, directory)\n"
        f"    return {wheel.name!r}\n"
    )
    engine = deck.engine
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(bundle))))
    built = engine.wait(outcome.build.id, 300)
    assert built.state is BuildState.DONE
    lock = deck.lock_of(built)
    assert lock.wheels == ()
    assert lock.reason == "beta 2.0 is not in the wheel store: it was not installed from a wheel of the index"


def test_an_environment_that_is_not_what_its_lock_says_is_left_to_pip(deck: Deck, stock: SimpleNamespace) -> None:
    (alpha,) = (deck.store.find(w.sha256, stock.lock.tag) for w in stock.lock.wheels if w.pin.name == "alpha")
    assert alpha is not None
    metadata = next(alpha.path.rglob("METADATA"))
    metadata.chmod(0o644)
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    again = deck.build(*PINNED)
    assert "WARNING: alpha is 1.1, and the lock says 1.0" in said(again)
    assert again.state is BuildState.DONE, said(again)
    # One from the store, and one that pip put in the place of what was not what it should be.
    assert (again.packages_done, again.packages_total) == (2, 2)
    (environment,) = deck.engine.refresh().environments
    assert {(p.name, p.version) for p in environment.packages} == {("alpha", "1.0"), ("beta", "2.0")}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("no-entry", marks=pytest.mark.slow),
        pytest.param("half-entry", marks=pytest.mark.slow),
        "file-gone",
        pytest.param("lock-garbage", marks=pytest.mark.slow),
        "lock-elsewhere",
    ],
)
def test_a_damaged_store_costs_time_and_no_build(deck: Deck, stock: SimpleNamespace, damage: str) -> None:
    wheel = deck.store.find(stock.lock.wheels[0].sha256, stock.lock.tag)
    assert wheel is not None
    lock = deck.locks.root / f"{stock.built.key}.json"
    if damage == "no-entry":
        shutil.rmtree(wheel.path)
    elif damage == "half-entry":
        (wheel.path / "entry.json").chmod(0o644)
        (wheel.path / "entry.json").write_text('{"format": 1, "name"')
    elif damage == "file-gone":
        next(wheel.path.rglob("*.py")).unlink()
    elif damage == "lock-garbage":
        lock.write_text("{")
    else:
        record = json.loads(lock.read_text())
        record["packages"][0][2] = "../" * 20 + "etc"
        lock.write_text(json.dumps(record))
    again = deck.build(*PINNED)
    assert again.state is BuildState.DONE
    assert "is replayed: all" not in said(again)
    (environment,) = deck.engine.refresh().environments
    assert {(p.name, p.version) for p in environment.packages} == {("alpha", "1.0"), ("beta", "2.0")}
    (verification,) = deck.engine.plan_verify([environment.key]).verifications
    assert verification.ok


def test_a_report_that_lies_puts_nothing_false_into_the_store(
    deck: Deck, stock: SimpleNamespace, make_wheel: Make, tmp_path: Path
) -> None:
    """builds.md, section G: the report is written by the account that build scripts run as."""
    shutil.rmtree(deck.store.root)
    built = deck.build("alpha==1.0")
    deck.lock_of(built)
    evil = make_wheel(tmp_path / "evil", "alpha", "1.0")
    with evil.open("ab") as file:
        file.write(b"and something else")
    sha256 = digest_hex(evil)
    job = read_job(built.directory)
    assert job is not None
    report = json.loads((job.work_dir / "pip-report.json").read_text())
    (row,) = report["install"]
    row["download_info"]["archive_info"]["hashes"]["sha256"] = sha256
    row["download_info"]["url"] = evil.as_uri()
    (job.work_dir / "pip-report.json").write_text(json.dumps(report))
    shutil.rmtree(deck.store.root)
    seeding = Seeding(replace(job, fresh=True))
    job.attempt_dir.rename(tmp_path / "attempt")
    job.attempt_dir.mkdir()
    seeding.begin(lambda _: None)
    kept = seeding.remember({"conflicts": []}, [Distribution("alpha", "1.0", "")], lambda: False)
    assert "no lock, because alpha 1.0 is not in the wheel store" in kept
    assert deck.store.find(sha256, stock.lock.tag) is None
    assert list(deck.store.stored()) == []
    lock = deck.locks.read(built.key)
    assert lock is not None
    assert lock.wheels == ()


def test_a_configuration_of_pip_that_a_build_changes_leads_the_service_nowhere(
    deck: Deck, stock: SimpleNamespace, make_wheel: Make, tmp_path: Path
) -> None:
    """The account of builds can write its own ``pip.conf``; what is kept counts as served by the one before."""
    built = deck.build("alpha==1.0")
    deck.lock_of(built)
    evil = make_wheel(tmp_path / "evil", "alpha", "1.0")
    with evil.open("ab") as file:
        file.write(b"and something else")
    job = read_job(built.directory)
    assert job is not None
    sha256 = digest_hex(evil)
    metadata = {"name": "alpha", "version": "1.0"}
    download = {"url": evil.as_uri(), "archive_info": {"hashes": {"sha256": sha256}}}
    report = {"install": [{"is_direct": False, "metadata": metadata, "download_info": download}]}
    shutil.rmtree(deck.store.root)
    seeding = Seeding(replace(job, fresh=True))
    job.attempt_dir.rename(tmp_path / "attempt")
    job.attempt_dir.mkdir()
    seeding.begin(lambda _: None)
    # From here on it is the build that acts.
    (job.work_dir / "pip-report.json").write_text(json.dumps(report))
    config = deck.server.root / "home" / ".config" / "pip" / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {evil.parent}\n")
    seeding.remember({"conflicts": []}, [Distribution("alpha", "1.0", "")], lambda: False)
    assert list(deck.store.stored()) == []
    assert deck.store.known(stock.lock.index, Pin.of("alpha", "1.0")) == ()


def test_who_is_cancelled_while_packages_are_linked_links_no_more(deck: Deck, tmp_path: Path) -> None:
    """Over a network all of them take minutes."""
    built = deck.build("alpha==1.0")
    deck.lock_of(built)
    job = deck.again(built, tmp_path / "attempt")

    def check() -> None:
        raise KeyboardInterrupt("cancelled")

    with pytest.raises(KeyboardInterrupt, match="cancelled"):
        Seeding(job).begin(lambda _: None, check)
    assert not any(path.is_file() for path in job.attempt_dir.rglob("*"))
    with deck.store.use_lock.open() as lock:  # it can be had by who takes wheels out
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_build_that_cannot_be_submitted_leaves_the_store_to_others(
    deck: Deck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when it was just beginning to look what is there."""
    built = deck.build("alpha==1.0")
    deck.lock_of(built)
    job = read_job(built.directory)
    assert job is not None
    seeding, over = Seeding(job), threading.Event()
    in_use = seeding.store.in_use

    def slowly() -> AbstractContextManager[None]:
        assert over.wait(60)
        return in_use()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            over.set()
            super().shutdown(wait, cancel_futures=cancel_futures)

    monkeypatch.setattr(seeding.store, "in_use", slowly)
    monkeypatch.setattr("engine.builds.seeding.ThreadPoolExecutor", Pool)
    with pytest.raises(OSError, match="no guard"), seeding.deciding():
        raise OSError("no guard")
    end = time.monotonic() + 10
    with acquire(deck.store.use_lock, lambda: time.monotonic() > end) as held:
        assert held


def test_after_the_clock_was_set_back_every_directory_is_looked_into(
    deck: Deck, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was put there since could look as old as what was linked."""
    built = deck.build("alpha==1.0")
    deck.lock_of(built)
    job = deck.again(built, tmp_path / "attempt")
    seeding = Seeding(job)
    seeding.begin(lambda _: None)
    before = seeding.vouched()
    assert before.listings
    monkeypatch.setattr(time, "time", partial(lambda real: real() - 1, time.time))
    after = seeding.vouched()
    assert after == replace(before, listings={})
    assert after.files


def digest_hex(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_supervisor_that_is_killed_after_its_verdict_spoils_nothing(deck: Deck, stock: SimpleNamespace) -> None:
    shutil.rmtree(deck.store.root)
    first = deck.build("alpha==1.0")
    deck.lock_of(first)
    job_dir = first.directory
    (job_dir / "result.json").unlink()
    deck.reap()
    shutil.rmtree(deck.store.root)
    shutil.rmtree(job_dir / "work")
    argv = [sys.executable, "-m", "tests.integration.stepped_supervisor", "before-fill", "SIGKILL", str(job_dir)]
    ended = subprocess.run(argv, cwd=Path(__file__).parents[2], check=False, capture_output=True, timeout=120)
    assert ended.returncode == -9, ended.stderr
    assert json.loads((job_dir / "result.json").read_text())["state"] == "done"
    assert deck.locks.read(first.key) is None
    (environment,) = deck.engine.refresh().environments
    assert environment.attempt == first.id
    (started,) = deck.engine.execute(deck.engine.plan_rebuild([first.key]))
    again = deck.engine.wait(started.id, 300)
    assert again.state is BuildState.DONE
    assert len(deck.lock_of(again).wheels) == 1


def test_the_plan_says_what_would_come_from_the_store(deck: Deck, stock: SimpleNamespace) -> None:
    def supply(*requirements: str) -> str:
        return str(deck.engine.plan_build(deck.engine.open_bundle(str(deck.bundle(*requirements)))).supply)

    assert supply(*PINNED) == "2 of 2 packages from the wheel store, without pip and index"
    assert supply("beta==2.0") == (
        "1 of 1 packages from the wheel store; pip runs, because no build of this key has left one"
    )
    assert supply("alpha", "beta==2.0") == (
        "1 of 2 packages from the wheel store; pip runs, because alpha is not pinned"
    )
    assert supply("--no-index", "beta==2.0") == (
        "nothing from the wheel store: the requirements decide with --no-index where packages come from"
    )
