"""Runtime caches as the server's API has them, and the environments that the server made itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import EnvironmentState, InputError
from engine.actions.caches import delete_cache, list_caches, plan_delete_cache
from engine.actions.pin import plan_pin, set_pin
from engine.actions.reap import plan_reap, reap
from engine.environments.foreign import ForeignStore
from engine.environments.locks import acquire
from engine.environments.store import measure
from engine.reaping.rules import KeepCode
from engine.world import World

IMAGE = "ghcr.io/org/image:1"
SANITISED = "ghcr.io-org-image-1"


@pytest.fixture
def world(server) -> World:
    return World([server.config], server.environ, read_only=False)


def publish(world: World, letter: str, version: str = "3.11.7", image: str = "Local", size: int = 1000) -> Path:
    key_dir = world.store.key_dir("pip", version, image, letter * 22)
    path = key_dir / "20260101-000000-abcdef"
    path.mkdir(parents=True)
    (path / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (path / "bin").mkdir()
    (path / "bin" / "python").touch()
    record = {"attempt": path.name, "python_version": version, "target": image, "ingredients": {}, "size": size}
    world.store.publish(key_dir, record | {"built_at": time.time(), "seconds": 30.0})
    return path


# Environments that the server made (connect.md §6.4)


def make_foreign(directory: Path, python: str = sys.executable) -> Path:
    """A real virtual environment straight in the directory of its hash."""
    subprocess.run([python, "-m", "venv", "--without-pip", directory], check=True)
    (library,) = (directory / "lib").glob("python*/site-packages")
    for name in ("Flask-3.0.0.dist-info", "typing_extensions-4.12.2.dist-info", "flask", "broken.dist-info"):
        (library / name).mkdir()
    return directory


@pytest.mark.parametrize("base", [".", "_packages_cache"])
def test_environments_of_the_server_are_listed_in_both_layouts(world: World, base: str) -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    path = make_foreign(world.store.root / base / "pip" / version / "AbrY5VfQZ5r97HDk5puHtA")
    (found,) = ForeignStore(world.store.root).environments()
    assert (found.name, found.path, found.installer) == ("AbrY5VfQZ5r97HDk5puHtA", path, "pip")
    assert (found.python_version, found.target, found.state) == (version, "Local", EnvironmentState.READY)
    assert [(p.name, p.version) for p in found.packages] == [("Flask", "3.0.0"), ("typing_extensions", "4.12.2")]
    assert (Path(found.home) / "python3").exists()
    assert measure(found.path)[0] > 0
    assert world.environments() == ()


def test_ours_are_not_foreign_and_foreign_ones_are_not_ours(world: World) -> None:
    publish(world, "A")
    (world.store.key_dir("pip", "3.11.7", "Local", "B" * 22) / "20260101-000000-abcdef").mkdir(parents=True)
    make_foreign(world.store.root / "pip" / "3.11.7" / "mjJ3-eI7pEBIIWEGJaYiJQ")
    assert [e.key for e in world.environments()] == ["A" * 22]
    assert [e.name for e in ForeignStore(world.store.root).environments()] == ["mjJ3-eI7pEBIIWEGJaYiJQ"]


def test_foreign_environments_are_never_reaped_or_cleared(world: World) -> None:
    publish(world, "A")
    paths = [
        make_foreign(world.store.root / base / "pip" / "3.11.7" / "mjJ3-eI7pEBIIWEGJaYiJQ")
        for base in (".", "_packages_cache")
    ]
    before = [measure(path) for path in paths]
    later = plan_reap(world, None, used_by={}, grace=0.0, now=time.time() + 10**6)
    assert [item.key for item in reap(world, later, used_by=dict).removed] == ["A" * 22]
    planned = plan_delete_cache(world, "python", "3.11.7", used_by={})
    assert (planned.items, planned.cache.foreign, planned.cache.environments) == ((), 2, 0)
    delete_cache(world, planned)
    assert [measure(path) for path in paths] == before
    assert [c.foreign for c in list_caches(world)] == [2]


@pytest.mark.parametrize(
    ("config", "version", "state"),
    [
        ("home = {bin}\nversion = 3.8.12\n", "3.8.12", EnvironmentState.READY),
        ("HOME={bin}\nversion_info = 3.8.12.final.0\n", "3.8.12", EnvironmentState.READY),
        ("home = {bin}\n", "3.9.1", EnvironmentState.READY),
        ("home = /nowhere/bin\nversion = 3.8.12\n", "3.8.12", EnvironmentState.STALE),
        ("version = 3.8.12\n", "3.8.12", EnvironmentState.DAMAGED),
        ("", "3.9.1", EnvironmentState.DAMAGED),
        ("home = /a\0b\nversion = x\n", "3.9.1", EnvironmentState.STALE),
        ("home = {bin}/\x1b]52;c;x\x07\n", "3.9.1", EnvironmentState.STALE),
        ("x" * 100_000, "3.9.1", EnvironmentState.DAMAGED),
    ],
    ids=["venv", "virtualenv", "no-version", "gone", "no-home", "empty", "nul", "escape", "huge"],
)
def test_a_foreign_environment_is_judged_without_running_it(
    world: World, config: str, version: str, state: EnvironmentState
) -> None:
    path = world.store.root / "pip" / "3.9.1" / "hash"
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").write_text("#!/bin/sh\ntouch ran\n")
    here = Path(sys.executable).parent
    (path / "pyvenv.cfg").write_text(config.replace("{bin}", str(here)))
    (found,) = ForeignStore(world.store.root).environments()
    assert (found.python_version, found.state, bool(found.reason)) == (
        version,
        state,
        state is not EnvironmentState.READY,
    )
    assert "\x1b" not in found.home + found.reason


def test_a_foreign_environment_without_its_python_is_damaged_and_one_of_an_image_is_not_judged(world: World) -> None:
    for name in ("3.9.1", "3.9.1@some-image"):
        path = world.store.root / "pip" / name / "hash"
        path.mkdir(parents=True)
        (path / "pyvenv.cfg").write_text("home = /opt/python/3.9.1/bin\nversion = 3.9.1\n")
    local, image = sorted(ForeignStore(world.store.root).environments(), key=lambda e: e.target)
    assert (local.target, local.reason) == ("Local", "it has no bin/python")
    (image.path / "bin").mkdir()
    (image.path / "bin" / "python").symlink_to("/opt/python/3.9.1/bin/python3")
    (image,) = [e for e in ForeignStore(world.store.root).environments() if e.target != "Local"]
    assert (image.target, image.state) == ("some-image", EnvironmentState.READY)


def test_a_change_in_a_foreign_environment_is_seen_and_nothing_is_read_twice(world: World) -> None:
    path = make_foreign(world.store.root / "pip" / "3.11.7" / "hash")
    store = ForeignStore(world.store.root)
    (first,) = store.environments()
    assert store.environments()[0] is first
    (library,) = (path / "lib").glob("python*/site-packages")
    (library / "six-1.17.0.dist-info").mkdir()
    assert len(store.environments()[0].packages) == 3
    home = path / "pyvenv.cfg"
    home.write_text(home.read_text().replace(first.home, "/nowhere"))
    os.utime(home, (1, 1))
    assert store.environments()[0].state is EnvironmentState.STALE


# Runtime caches (connect.md §6.6)


def test_caches_are_listed_by_version_and_image(world: World) -> None:
    publish(world, "A", "3.11.7")
    publish(world, "B", "3.11.7", size=500)
    publish(world, "C", "3.9.18")
    publish(world, "D", "3.11.7", IMAGE)
    (world.store.root / "pip" / "3.8.1").mkdir()
    (world.store.root / "_packages_cache" / "pip" / "3.12.1").mkdir(parents=True)
    (world.store.root / "pip" / "notes").mkdir()
    assert [(c.language, c.version, c.image_name, c.environments, c.bytes) for c in list_caches(world)] == [
        ("Python", "3.8.1", "Local", 0, 0),
        ("Python", "3.9.18", "Local", 1, 1000),
        ("Python", "3.11.7", "Local", 2, 1500),
        ("Python", "3.11.7", SANITISED, 1, 1000),
        ("Python", "3.12.1", "Local", 0, 0),
    ]


def test_without_a_data_directory_there_are_no_caches(world: World) -> None:
    assert list_caches(world) == ()
    with pytest.raises(InputError, match="expected none exists"):
        plan_delete_cache(world, "Python", "3.11.7", used_by={})
    assert not world.store.data_dir.exists()


@pytest.mark.parametrize(
    ("language", "image"), [("Python", "Local"), ("python", "Local"), ("PYTHON", IMAGE), ("Python", SANITISED)]
)
def test_a_cache_is_named_in_any_of_its_spellings(world: World, language: str, image: str) -> None:
    publish(world, "A")
    publish(world, "B", image=IMAGE)
    planned = plan_delete_cache(world, language, "3.11.7", image, used_by={})
    assert [item.key[0] for item in planned.items] == ["A" if image == "Local" else "B"]


@pytest.mark.parametrize(
    ("language", "version", "image"),
    [("R", "3.11.7", "Local"), ("Python", "3.11.8", "Local"), ("Python", "3.11", "Local"), ("Python", "3.11.7", "x")],
)
def test_an_unknown_cache_is_an_error_that_lists_what_exists(
    world: World, language: str, version: str, image: str
) -> None:
    publish(world, "A")
    with pytest.raises(InputError) as caught:
        plan_delete_cache(world, language, version, image, used_by={})
    assert (caught.value.problem.code, caught.value.problem.expected) == ("cache-unknown", "Python 3.11.7 Local")


def test_deleting_a_cache_takes_what_content_uses_too_and_says_what_that_costs(world: World) -> None:
    for letter in "AB":
        publish(world, letter)
    publish(world, "C", "3.9.18")
    used_by = {"A" * 22: ("sales", "stock"), "C" * 22: ("other",)}
    planned = plan_delete_cache(world, "Python", "3.11.7", used_by=used_by)
    assert (planned.contents, planned.rebuild_seconds, planned.bytes) == (("sales", "stock"), 30.0, 2000)
    assert len(world.environments()) == 3, "planning is the dry run"
    result = delete_cache(world, planned)
    assert {item.key[0] for item in result.removed} == {"A", "B"}
    assert [(c.version, c.environments) for c in list_caches(world)] == [("3.9.18", 1)]


def test_what_is_used_pinned_or_built_stays_and_is_named(world: World) -> None:
    paths = {letter: publish(world, letter) for letter in "ABCD"}
    set_pin(world, plan_pin(world, "B"))
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=paths["A"])
    try:
        with acquire(world.store.lock_path("C" * 22), lambda: True):
            planned = plan_delete_cache(world, "Python", "3.11.7", used_by={})
            assert {i.key[0]: [r.code for r in i.verdict.reasons] for i in planned.kept} == {
                "A": [KeepCode.IN_USE],
                "B": [KeepCode.PINNED],
                "C": [KeepCode.BUILDING],
            }
            assert [i.key[0] for i in planned.deletable] == ["D"]
            assert [i.key[0] for i in delete_cache(world, planned).removed] == ["D"]
    finally:
        process.communicate(b"\n")
    assert [c.environments for c in list_caches(world)] == [3]


def test_what_came_into_use_since_the_plan_is_refused(world: World) -> None:
    publish(world, "A")
    planned = plan_delete_cache(world, "Python", "3.11.7", used_by={})
    set_pin(world, plan_pin(world, "A"))
    result = delete_cache(world, planned)
    assert [[r.code for r in i.verdict.reasons] for i in result.refused] == [[KeepCode.PINNED]]
    assert [c.environments for c in list_caches(world)] == [1]


def test_a_cleared_cache_is_built_again_on_demand(server, make_wheel: Callable[..., Path]) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    bundle = engine.open_bundle(str(server.bundle("alpha")))
    first = engine.wait(engine.execute(engine.plan_build(bundle)).build.id, 300)
    world = World([server.config], server.environ, read_only=False)
    (cache,) = list_caches(world)
    assert (cache.version, cache.environments) == (".".join(map(str, sys.version_info[:3])), 1)
    delete_cache(world, plan_delete_cache(world, "Python", cache.version, used_by={first.key: ("app",)}))
    assert list_caches(world) == ()
    again = engine.wait(engine.execute(engine.plan_build(bundle)).build.id, 300)
    assert (again.key, again.reused) == (first.key, False)
    assert json.loads((world.environments()[0].key_dir / "current.json").read_text())["attempt"] == again.id
