"""Knowing linked files again without reading them: a seal says the same either way."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import wheel_maker as wheels
from wheel_room import Room, site

from engine.environments import records
from engine.environments.seal import SEAL, Vouched, interpreter_seal, write_seal
from engine.environments.tree import EntryKind, digest, digest_of, held, walk
from engine.wheels import linking
from engine.wheels.filling import fill
from engine.wheels.linking import link
from engine.wheels.vouching import vouched, whole
from tests.records import replace

SIMPLE = {path: data for path, data in wheels.ALPHA.items() if not path.endswith("/alpha-cmd")}


def test_only_the_stores_own_files_at_their_own_place_are_vouched_for(filled: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    known = vouched(filled.link(env), env).files
    place = site(env)
    assert {path for path, entry in walk(env, known).items() if entry.digest} == known.keys()
    replaced, moved, other = place / "beta.py", place / "alpha/part.py", place / "alpha/__init__.py"
    text = replaced.read_bytes()
    replaced.unlink()
    replaced.write_bytes(text)
    moved.rename(tmp_path / "kept")
    other.rename(moved)
    (tmp_path / "kept").rename(other)
    (place / "shared").rename(tmp_path / "shared")
    (place / "shared").symlink_to(tmp_path / "shared")
    tree = walk(env, known)
    for path in (replaced, moved, other):
        assert not tree[str(path.relative_to(env))].digest
    assert tree[str((place / "shared").relative_to(env))].kind is EntryKind.LINK
    rest = {path for path, entry in tree.items() if entry.digest}
    gone = {path for path in known if "/shared/" in path}
    assert rest == known.keys() - gone - {str(path.relative_to(env)) for path in (replaced, moved, other)}
    for path in rest:
        assert digest(env / path) == {"sha256": known[path].digest}


def write_anew(path: Path, data: bytes) -> None:
    """Another file of that name, as pip puts it there."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "nothing": lambda _env, _info: None,
    "module-changed": lambda env, _: write_anew(site(env) / "beta.py", b"evil\n"),
    "module-written-again": lambda env, _: write_anew(site(env) / "beta.py", (site(env) / "beta.py").read_bytes()),
    "module-gone": lambda env, _: (site(env) / "alpha" / "part.py").unlink(),
    "module-is-a-link": lambda env, _: (site(env) / "beta.py").unlink() or (site(env) / "beta.py").symlink_to("x"),
    "shared-file-changed": lambda env, _: write_anew(site(env) / "shared" / "__init__.py", b"# other\n"),
    "shared-file-gone": lambda env, _: (site(env) / "shared" / "__init__.py").unlink(),
    "bytecode-changed": lambda env, _: write_anew(next(site(env).rglob("part.*.pyc")), b"evil"),
    "bytecode-gone": lambda env, _: next(site(env).rglob("part.*.pyc")).unlink(),
    "command-changed": lambda env, _: (env / "bin" / "alpha-cmd").write_text("#!/bin/sh\n"),
    "command-gone": lambda env, _: (env / "bin" / "alpha-cmd").unlink(),
    "data-changed": lambda env, _: write_anew(env / "share" / "alpha" / "notes.txt", b"other"),
    "file-added": lambda env, _: (site(env) / "alpha" / "more.py").write_text("x"),
    "record-gone": lambda _, info: (info / "RECORD").unlink(),
    "record-damaged": lambda _, info: (info / "RECORD").write_text('"'),
    "record-shorter": lambda _, info: (info / "RECORD").write_text("alpha/part.py,,\n"),
    "record-longer": lambda _, info: write_anew(
        info / "RECORD", (info / "RECORD").read_bytes() + b"alpha/none.py,sha256=abc,3\n../../../../x,,\n"
    ),
    "record-is-a-link": lambda _, info: (info / "RECORD").unlink() or (info / "RECORD").symlink_to("METADATA"),
    "metadata-changed": lambda _, info: write_anew(info / "METADATA", b"Name: gamma\nVersion: 7\n"),
    "metadata-gone": lambda _, info: (info / "METADATA").unlink(),
    "installer-changed": lambda _, info: (info / "INSTALLER").write_text("me"),
    "module-swapped": lambda env, _: swap(site(env) / "alpha" / "part.py", site(env) / "alpha" / "__init__.py"),
    "directories-swapped": lambda env, _: swap(site(env) / "alpha", site(env) / "shared"),
    "directory-added": lambda env, _: write_anew(site(env) / "alpha" / "new" / "more.py", b"x"),
    "directory-gone": lambda env, _: shutil.rmtree(site(env) / "shared"),
    "directory-is-a-link": lambda env, _: (
        (site(env) / "alpha").rename(site(env) / "other") and (site(env) / "alpha").symlink_to("other")
    ),
    "package-gone": lambda env, info: shutil.rmtree(info) or shutil.rmtree(site(env) / "alpha"),
    "package-upgraded": lambda env, info: (
        shutil.rmtree(info)
        or write_anew(site(env) / "alpha-3.0.dist-info" / "METADATA", b"Name: alpha\nVersion: 3.0\n")
        or write_anew(site(env) / "alpha-3.0.dist-info" / "RECORD", b"alpha/part.py,sha256=abc,3\n")
    ),
}


@pytest.fixture
def next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linking ends in another tick of the file system's clock than the last directory was filled in."""
    real = linking._time_at

    def time_at(directory: str) -> int:
        before = real(directory)
        while (now := real(directory)) == before:
            pass
        return now

    monkeypatch.setattr(linking, "_time_at", time_at)


@pytest.mark.usefixtures("next_tick")
@pytest.mark.parametrize("change", CHANGES)
def test_a_seal_says_the_same_whether_or_not_files_are_vouched_for(filled: Room, tmp_path: Path, change: str) -> None:
    env = tmp_path / "env"
    linked = filled.link(env, requested=("alpha",))
    known = vouched(linked, env)
    CHANGES[change](env, site(env) / "alpha-1.0.dist-info")
    one = write_seal(env, lambda: interpreter_seal(wheels.PYTHON), lambda: known)
    seal = (env / SEAL).read_bytes()
    other = write_seal(env, lambda: interpreter_seal(wheels.PYTHON))
    assert seal == (env / SEAL).read_bytes()
    assert one == replace(other, shared=one.shared)
    assert one.shared


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """A store whose packages have no file in their RECORD that pip leaves out."""
    room = Room(tmp_path_factory.mktemp("simple"), SIMPLE)
    assert fill(room.store, room.source, room.wanted).added == 2
    return room


@pytest.mark.usefixtures("next_tick")
@pytest.mark.parametrize("change", CHANGES)
def test_a_seal_says_the_same_when_all_that_was_linked_is_known_at_once(
    simple: Room, tmp_path: Path, change: str
) -> None:
    env = tmp_path / "env"
    linked = simple.link(env, requested=("alpha",))
    all_of_it = whole(linked)
    CHANGES[change](env, site(env) / "alpha-1.0.dist-info")
    one = write_seal(env, lambda: interpreter_seal(wheels.PYTHON), lambda: vouched(linked, env), all_of_it)
    text = (env / SEAL).read_bytes()
    other = write_seal(env, lambda: interpreter_seal(wheels.PYTHON))
    seal = (env / SEAL).read_bytes()
    assert json.loads(text) == json.loads(seal)
    assert one.digest == digest_of(text)
    differing = {"digest": one.digest, "size": other.size - len(seal) + len(text), "shared": one.shared}
    assert one == replace(other, **differing)
    assert one.shared


def ask_each(*_: object) -> Vouched:
    pytest.fail("each file was asked for by itself")


VENV: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "what venv makes": lambda env: [
        write_anew(env / "pyvenv.cfg", b"home = /usr/bin\n"),
        write_anew(env / "bin" / "activate", b"VIRTUAL_ENV=x\n"),
        (env / "bin" / "python").symlink_to("/usr/bin/python3"),
        (env / "lib64").symlink_to("lib"),
    ],
    "a file beside data of a package": lambda env: write_anew(env / "share" / "alpha" / "more.txt", b"other"),
    "a file in an empty directory": lambda env: write_anew(env / "include" / "x.h", b""),
}


@pytest.mark.usefixtures("next_tick")
@pytest.mark.parametrize("change", VENV)
def test_what_was_only_added_to_is_sealed_without_asking_for_each_file(
    simple: Room, tmp_path: Path, change: str
) -> None:
    env = tmp_path / "env"
    linked = simple.link(env)
    VENV[change](env)
    one = write_seal(env, lambda: interpreter_seal(wheels.PYTHON), ask_each, whole(linked))
    seal = json.loads((env / SEAL).read_bytes())
    text = len((env / SEAL).read_bytes())
    other = write_seal(env, lambda: interpreter_seal(wheels.PYTHON))
    assert seal == json.loads((env / SEAL).read_bytes())
    assert (one.files, one.size - text) == (other.files, other.size - (env / SEAL).stat().st_size)
    assert one.distributions == other.distributions


@pytest.mark.usefixtures("next_tick")
def test_a_file_that_two_packages_have_is_counted_once(tmp_path: Path) -> None:
    room = Room(tmp_path, SIMPLE)
    for name in ("one", "two"):
        room.wanted.append(wheels.wanted(wheels.make(room.packages, name, files={"both/__init__.py": "x = 1\n"})))
    assert not fill(room.store, room.source, room.wanted).refused
    env = tmp_path / "env"
    env.mkdir()
    linked = link(room.store, room.find(), env, pip_version=wheels.pip_version())
    sealed = write_seal(env, lambda: interpreter_seal(wheels.PYTHON), ask_each, whole(linked))
    seal = json.loads((env / SEAL).read_bytes())
    other = write_seal(env, lambda: interpreter_seal(wheels.PYTHON))
    assert seal["files"].items() >= json.loads((env / SEAL).read_bytes())["files"].items()
    assert sealed.files == other.files


@pytest.mark.usefixtures("next_tick")
@pytest.mark.parametrize("name", ["sealed.json", "digests.json"])
@pytest.mark.parametrize("text", [None, "", "{", '{"a": ', "[]", "\udcff", '{"digests": 1}'])
def test_where_a_record_of_the_store_is_damaged_each_file_is_asked_for(
    simple: Room, tmp_path: Path, name: str, text: str | None
) -> None:
    room = simple.copy(tmp_path / "room")
    env = tmp_path / "env"
    linked = room.link(env)
    write_anew(env / "share" / "alpha" / "more.txt", b"other")
    record = room.find("alpha")[0].path / name
    record.unlink()
    if text is not None:
        record.write_text(text, "utf-8", errors="surrogateescape")
    write_seal(env, lambda: interpreter_seal(wheels.PYTHON), lambda: vouched(linked, env), whole(linked))
    seal = json.loads((env / SEAL).read_bytes())
    write_seal(env, lambda: interpreter_seal(wheels.PYTHON))
    assert seal == json.loads((env / SEAL).read_bytes())


def test_what_was_copied_is_asked_for_each_file(simple: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    monkeypatch.setattr(os, "link", no_links)
    assert whole(simple.link(tmp_path / "env")) is None


@pytest.mark.usefixtures("next_tick")
def test_what_is_as_it_was_linked_is_neither_read_nor_parsed(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / "env"
    linked = filled.link(env)
    known = vouched(linked, env)
    monkeypatch.setattr(records, "parse_record", lambda *_: pytest.fail("a RECORD was parsed"))
    opened, real = set(), os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.add(str(path)) or real(path, *rest, **more))
    sealed = write_seal(env, lambda: None, lambda: known)
    assert {(d.name, d.version) for d in sealed.distributions} == {("alpha", "1.0"), ("beta", "2.0")}
    assert sealed.shared == linked.shared
    own = {"RECORD", "INSTALLER"}
    assert {Path(path).name for path in opened if str(site(env)) in path and Path(path).is_file()} == own
    # Nor listed, but for those that were filled only by making directories in them.
    assert {path for path in opened if Path(path).is_dir() and path.startswith(f"{site(env)}/")} == set()


def test_what_is_put_there_right_after_the_linking_is_seen(filled: Room, tmp_path: Path) -> None:
    """The clock of the file system may still be in the tick in which the last directory was filled."""
    for number in range(20):
        env = tmp_path / str(number)
        linked = filled.link(env)
        added = site(env) / "alpha" / "more.py"
        added.write_text("x")
        known = vouched(linked, env)
        assert str(added.relative_to(env)) in walk(env, known.files, held(env, known.listings))
