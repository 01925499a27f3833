"""Rosters and their indexes: cheap looks that miss nothing, and an index that is never believed against the disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import engine.content.store
from engine import Engine, roster
from engine.content.model import Content, ContentBundle, PickedInstallation
from engine.content.store import ContentStore, _record
from engine.environments.model import EnvironmentState
from engine.environments.store import EnvironmentStore, _package
from engine.roster import Roster, Signature, announce, signature_of
from tests.records import replace

LONG_AGO = 1_600_000_000


class Source:
    """Directories of one place with a file `record`, whose text is the value. Counts what is asked of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.read_entries: list[str] = []
        self.asked: list[str] = []
        self.sound = True

    def places(self) -> list[str]:
        return [str(self.place)]

    def signature(self, entry: str) -> Signature | None:
        self.asked.append(Path(entry).name)
        return signature_of(f"{entry}/record")

    def read(self, entry: str) -> tuple[str, bool]:
        self.read_entries.append(Path(entry).name)
        return Path(entry, "record").read_text(), self.sound

    def check(self, entry: str, record: str) -> str:
        return f"{record} used" if Path(entry, "used").exists() else record

    def forget(self) -> None:
        pass


def age(*paths: Path) -> None:
    """Let what was just written look as if it had been there for long."""
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO))


def put(place: Path, name: str, text: str) -> Path:
    entry = place / name
    entry.mkdir(parents=True, exist_ok=True)
    (entry / "record").write_text(text)
    return entry


@pytest.fixture
def source(tmp_path: Path) -> Source:
    source = Source(tmp_path / "place")
    for number in range(30):
        age(put(source.place, f"entry-{number:02d}", f"text-{number:02d}") / "record")
    age(source.place)
    return source


@pytest.fixture
def looks(source: Source) -> Roster[str]:
    """A roster that has looked once and examines all entries every time."""
    looks: Roster[str] = Roster(source, str)
    looks.look()
    source.read_entries.clear()
    return looks


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary look examines three entries."""
    monkeypatch.setattr(roster, "_AT_ONCE", 3)


def test_nothing_is_read_again_and_the_answer_is_the_same_object_while_nothing_changes(
    source: Source, looks: Roster[str]
) -> None:
    before = looks.look()
    assert before == tuple(f"text-{number:02d}" for number in range(30))
    assert looks.look() is before
    assert looks.look(thorough=True) is before
    assert source.read_entries == []


@pytest.mark.parametrize("thorough", [True, False])
def test_what_comes_changes_or_goes_is_seen_and_nothing_else_is_read(
    source: Source, looks: Roster[str], thorough: bool
) -> None:
    put(source.place, "entry-99", "new")
    put(source.place, "entry-05", "changed")
    shutil.rmtree(source.place / "entry-07")
    there = looks.look(thorough=thorough)
    assert len(there) == 30
    assert {"new", "changed"} <= set(there)
    assert not {"text-05", "text-07"} & set(there)
    assert sorted(source.read_entries) == ["entry-05", "entry-99"]


def test_what_changes_beside_the_record_is_seen(source: Source, looks: Roster[str]) -> None:
    (source.place / "entry-04" / "used").touch()
    assert "text-04 used" in looks.look()
    assert source.read_entries == []


@pytest.mark.usefixtures("few")
def test_an_ordinary_look_at_many_entries_examines_a_few_and_gets_round_to_all_of_them(
    source: Source, looks: Roster[str]
) -> None:
    source.asked.clear()
    looks.look()
    assert len(source.asked) == 3
    put(source.place, "entry-20", "changed by hand")
    # A file that is written in place changes nothing that a look at the place could see.
    age(source.place)
    looks.look(thorough=False)
    seen = [looks.look() for _ in range(10)]
    assert "changed by hand" in seen[-1]
    assert len(source.asked) <= 3 + 11 * 4 + 30


@pytest.mark.usefixtures("few")
def test_a_change_that_is_announced_is_seen_at_once_however_many_there_are(source: Source, looks: Roster[str]) -> None:
    announce(put(source.place, "entry-29", "announced"))
    assert "announced" in looks.look()


@pytest.mark.usefixtures("few")
def test_a_thorough_look_sees_everything_at_once(source: Source, looks: Roster[str]) -> None:
    put(source.place, "entry-29", "changed by hand")
    age(source.place)
    assert "changed by hand" in looks.look(thorough=True)


def test_a_second_change_at_the_same_time_as_the_first_is_seen(source: Source, looks: Roster[str]) -> None:
    """File systems count time in steps: what changed only just now may change again without looking different."""
    record = put(source.place, "entry-03", "first!") / "record"
    assert "first!" in looks.look()
    status = record.stat()
    with record.open("r+") as file:
        file.write("second")
    os.utime(record, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert signature_of(str(record)) == (status.st_mtime_ns, status.st_ino, status.st_size)
    assert "second" in looks.look()


def test_a_record_that_could_not_be_read_this_once_is_read_again(source: Source, looks: Roster[str]) -> None:
    put(source.place, "entry-03", "unsure")
    age(source.place / "entry-03" / "record")
    source.sound = False
    looks.look()
    source.sound = True
    source.read_entries.clear()
    looks.look()
    looks.look()
    assert source.read_entries == ["entry-03"]


def test_a_place_that_is_not_there_is_empty(tmp_path: Path) -> None:
    looks: Roster[str] = Roster(Source(tmp_path / "none"), str)
    assert looks.look() == ()
    put(tmp_path / "none", "entry", "text")
    assert looks.look() == ("text",)
    shutil.rmtree(tmp_path / "none")
    assert looks.look() == ()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets one call of the system fail for a directory, until it is told to let it be."""
    real = {"scandir": os.scandir, "stat": os.stat}

    def fail(call: str, place: Path | None) -> None:
        def asked(path: object, **options: Any) -> object:
            if path == str(place):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real[call](path, **options)

        monkeypatch.setattr(os, call, asked)

    return fail


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_what_is_in_a_place_that_cannot_be_listed_this_once_stays_until_it_can(
    source: Source, looks: Roster[str], failing: Callable[..., None], call: str
) -> None:
    before = looks.look()
    put(source.place, "entry-99", "new")
    age(source.place)
    failing(call, source.place)
    assert looks.look(thorough=True) == before
    assert not looks.complete
    failing(call, None)
    assert looks.look() == (*sorted((*before, "new")),)
    assert looks.complete


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_place_that_cannot_be_listed_at_the_first_look_is_listed_at_the_next(
    source: Source, failing: Callable[..., None], call: str
) -> None:
    failing(call, source.place)
    looks = Roster(source, str)
    assert looks.look() == ()
    assert not looks.complete
    failing(call, None)
    assert len(looks.look()) == 30


# The index


@pytest.fixture(autouse=True)
def _always_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "_WORTH_KEEPING", 1)


def publish(data_dir: Path, number: int, **changes: object) -> Path:
    """An environment as a build publishes it, long ago."""
    key_dir = data_dir / "python-environments" / "pip" / "3.11.7" / f"key-{number}"
    attempt = key_dir / "attempt"
    (attempt / "bin").mkdir(parents=True, exist_ok=True)
    (attempt / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (attempt / "bin" / "python").touch()
    lines = ["flask==3.0", f"only-{number}"]
    record: dict[str, object] = {
        "attempt": "attempt",
        "python_path": "/opt/python/3.11.7/bin/python3",
        "lines": lines,
        "packages": [{"name": "flask", "version": "3.0"}, {"name": f"only-{number}", "version": "1"}],
        "ingredients": {"requirements": lines, "interpreter": {"version": "3.11.7", "bits": 64}, "options": []},
        "size": 1000 + number,
        "shared": 7,
        "files": 10,
        "built_at": 1000.5 + number,
        "built_by": "admin",
        "seconds": 1.25,
        "bundle": "app \\u001b",
        "seal": "seal",
        **changes,
    }
    (key_dir / "current.json").write_text(json.dumps(record))
    age(key_dir / "current.json", key_dir, key_dir.parent)
    return key_dir


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    data_dir = tmp_path / "data"
    for number in range(4):
        publish(data_dir, number)
    return data_dir


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What makes reading any record of an environment an error."""

    def refuse() -> None:
        def read(_key_dir: Path) -> object:
            raise AssertionError("a record was read")

        monkeypatch.setattr("engine.environments.store._read", read)

    return refuse


def with_index(data_dir: Path, index: Path) -> EnvironmentStore:
    """A store whose index is written."""
    store = EnvironmentStore(data_dir, index)
    store.environments()
    store.keep_index()
    assert index.is_file()
    return store


def test_the_next_process_has_the_same_environments_without_reading_a_record(
    data_dir: Path, index: Path, no_reading: Callable[[], None]
) -> None:
    (data_dir / "python-environments/pip/3.11.7/key-2/pinned.json").write_text("{}")
    age(data_dir / "python-environments/pip/3.11.7/key-2")
    expected = with_index(data_dir, index).environments()
    no_reading()
    found = EnvironmentStore(data_dir, index).environments()
    assert found == expected
    assert [e.pinned for e in found] == [False, True, False, False]
    assert [type(value) for value in found[0].ingredients.values()] == [list, dict, list]


def _cut(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:-20])


def _flip(index: Path) -> None:
    data = bytearray(index.read_bytes())
    data[-30] ^= 1
    index.write_bytes(data)


def _forge(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """An index with a right checksum and a wrong content."""

    def forge(index: Path) -> None:
        preface, _, body = index.read_bytes().partition(b"\n")
        size = int(preface.split()[1])
        document = json.loads(body[:size])
        change(document)
        head = json.dumps(document).encode()
        body = head + body[size:]
        index.write_bytes(b"%08x %d\n" % (zlib.crc32(body), len(head)) + body)

    return forge


@pytest.mark.parametrize(
    "spoil",
    [
        _cut,
        _flip,
        lambda index: index.write_bytes(b""),
        lambda index: index.write_bytes(bytes(index.stat().st_size)),  # as a crash of the machine can leave it
        lambda index: index.write_bytes(b"\xff\xfe\x00 no checksum"),
        lambda index: index.write_text("00000000\n"),
        lambda index: index.write_text("00000000 0\n"),
        lambda index: index.write_text("00000000 99999999999999999999\n"),
        lambda index: (index.unlink(), index.mkdir()),
        lambda index: (index.unlink(), os.mkfifo(index)),
        _forge(lambda d: d.update(form="0 environments")),
        _forge(lambda d: d.update(root="/somewhere/else")),
        _forge(lambda d: d.update(names=["key-1"])),
        _forge(lambda d: d.update(names={"a": 1})),
        _forge(lambda d: d.update(names=[1, 2, 3, 4])),
        _forge(lambda d: d["names"].append("invented")),  # type: ignore[attr-defined]
        _forge(lambda d: d.update(places=[])),
        _forge(lambda d: d.update(places=[5])),
        _forge(lambda d: d.update(places=["/elsewhere"])),
        _forge(lambda d: d.pop("texts")),
        _forge(lambda d: d["texts"].__setitem__(0, "\x1b]52;c;AAAA\x07")),  # type: ignore[index,attr-defined]
        _forge(lambda d: d["texts"].__setitem__(0, 5)),  # type: ignore[index,attr-defined]
        _forge(lambda d: d["texts"].clear()),  # type: ignore[attr-defined]
        _forge(lambda d: d.update(values=["no JSON"])),
        _forge(lambda d: d.update(values=["[]"])),
        _forge(lambda d: d.update(columns=[])),
        _forge(lambda d: d["columns"].pop()),  # type: ignore[attr-defined]
        _forge(lambda d: d["columns"][3].__setitem__(1, "w")),  # type: ignore[index,attr-defined]
        _forge(lambda d: d["columns"][-1].__setitem__(2, 4)),  # type: ignore[index,attr-defined]
        _forge(lambda d: [each.__setitem__(2, 0) for each in d["columns"]]),  # type: ignore[attr-defined]
    ],
)
def test_an_index_that_is_damaged_or_wrong_is_as_good_as_none(
    data_dir: Path, index: Path, spoil: Callable[[Path], object]
) -> None:
    expected = with_index(data_dir, index).environments()
    spoil(index)
    store = EnvironmentStore(data_dir, index)
    assert store.environments() == expected
    store.keep_index()
    if index.is_file():
        assert EnvironmentStore(data_dir, index).environments() == expected


def test_what_only_a_hand_can_have_put_into_a_record_is_recalled_as_it_was(
    data_dir: Path, index: Path, no_reading: Callable[[], None]
) -> None:
    for number, ingredients in enumerate(({}, {"requirements": None}, {"requirements": "x"}, {"interpreter": [[]]})):
        publish(data_dir, number, ingredients=ingredients, lines=["\x1b[1m"] if number else [], size=-1, built_at=1e17)
    expected = with_index(data_dir, index).environments()
    no_reading()
    found = EnvironmentStore(data_dir, index).environments()
    assert found == expected
    by_key = {environment.key: dict(environment.ingredients) for environment in found}
    assert by_key["key-1"] == {"requirements": None}
    assert by_key["key-3"] == {"interpreter": [[]]}


def test_when_an_environment_was_used_is_seen_though_its_record_is_taken_from_an_index(
    data_dir: Path, index: Path
) -> None:
    place = data_dir / "python-environments/pip/3.11.7"
    for number in (0, 1):
        (place / f"key-{number}/last-used").touch()
        age(place / f"key-{number}/last-used", place / f"key-{number}")
    with_index(data_dir, index)
    os.utime(place / "key-1/last-used", (LONG_AGO + 5, LONG_AGO + 5))
    (place / "key-2/last-used").touch()
    used = {e.key: e.last_used_at for e in EnvironmentStore(data_dir, index).environments()}
    assert used["key-0"] == LONG_AGO
    assert used["key-1"] == LONG_AGO + 5
    assert used["key-2"] > LONG_AGO + 5
    assert used["key-3"] == 0
    (place / "key-0/last-used").unlink()
    assert {e.key: e.last_used_at for e in EnvironmentStore(data_dir, index).environments()}["key-0"] == 0


def test_records_with_times_before_1970_and_large_inodes_are_taken_from_an_index_too(
    data_dir: Path, index: Path, no_reading: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    key_dir = data_dir / "python-environments/pip/3.11.7/key-0"
    for path in (key_dir / "current.json", key_dir):
        os.utime(path, (-5, -5))
    monkeypatch.setattr("engine.environments.store.signature_of", lambda path: _with_a_large_inode(signature_of(path)))
    expected = with_index(data_dir, index).environments()
    assert len(expected) == 4
    no_reading()
    assert EnvironmentStore(data_dir, index).environments() == expected


def _with_a_large_inode(signature: Signature | None) -> Signature | None:
    return signature and (signature[0], (1 << 64) - 1, *signature[2:])


def test_an_index_that_is_written_again_and_again_does_not_grow(data_dir: Path, index: Path) -> None:
    sizes = []
    for serial in range(4):
        record = publish(data_dir, 0, size=1000 + serial) / "current.json"
        os.utime(record, (LONG_AGO + 1 + serial, LONG_AGO + 1 + serial))
        # As in another process: what is read is not the objects that come out of the index.
        _package.cache_clear()
        with_index(data_dir, index)
        sizes.append(index.stat().st_size)
    assert len(set(sizes)) == 1


def test_packages_out_of_an_index_are_a_sequence_like_any_other(data_dir: Path, index: Path) -> None:
    read = with_index(data_dir, index).environments()
    for found, expected in zip(EnvironmentStore(data_dir, index).environments(), read, strict=True):
        packages = tuple(expected.packages)
        assert isinstance(packages, tuple)
        assert len(found.packages) == len(packages) == 2
        assert tuple(found.packages) == packages
        assert (found.packages == packages, packages == found.packages) == (True, True)
        assert found.packages != packages[1:]
        assert found.packages != list(packages)
        assert hash(found.packages) == hash(packages)
        assert (found.packages[0], found.packages[-1], found.packages[:1]) == (packages[0], packages[1], packages[:1])
        assert repr(found.packages) == repr(packages)
        assert packages[1] in found.packages


def test_an_index_of_somebody_else_is_not_read(
    data_dir: Path, index: Path, no_reading: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_index(data_dir, index)
    no_reading()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(AssertionError, match="a record was read"):
        EnvironmentStore(data_dir, index).environments()


def test_an_index_that_cannot_be_written_is_done_without(data_dir: Path, tmp_path: Path) -> None:
    store = EnvironmentStore(data_dir, tmp_path / "not-there" / "index")
    assert len(store.environments()) == 4
    store.keep_index()
    assert not (tmp_path / "not-there").exists()


def test_a_few_records_are_read_rather_than_indexed(
    data_dir: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "_WORTH_KEEPING", 5)
    store = EnvironmentStore(data_dir, index)
    store.environments()
    store.keep_index()
    assert not index.exists()


def test_what_is_damaged_is_never_taken_from_an_index(data_dir: Path, index: Path) -> None:
    publish(data_dir, 9, attempt="")
    with_index(data_dir, index)
    publish(data_dir, 1)
    (data_dir / "python-environments/pip/3.11.7/key-2/attempt/pyvenv.cfg").unlink()
    states = {e.key: e.state for e in EnvironmentStore(data_dir, index).environments()}
    damaged = {key for key, state in states.items() if state is EnvironmentState.DAMAGED}
    assert damaged == {"key-9", "key-2"}


@pytest.mark.parametrize("gone", ["data", "data/python-environments/pip/3.11.7"])
def test_nothing_of_an_index_is_left_when_all_of_it_is_gone(tmp_path: Path, data_dir: Path, gone: str) -> None:
    index = tmp_path / "index"
    with_index(data_dir, index)
    shutil.rmtree(tmp_path / gone)
    assert EnvironmentStore(data_dir, index).environments() == ()
    (data_dir / "python-environments/pip/3.11.7").mkdir(parents=True)
    assert EnvironmentStore(data_dir, index).environments() == ()


_NUMBERS = st.integers(0, 4)
_CHANGES = st.one_of(
    st.tuples(st.just("publish"), _NUMBERS),
    st.tuples(st.just("pin"), _NUMBERS),
    st.tuples(st.just("damage"), _NUMBERS),
    st.tuples(st.just("break"), _NUMBERS),
    st.tuples(st.just("hollow"), _NUMBERS),
    st.tuples(st.just("use"), _NUMBERS),
    st.tuples(st.just("delete"), _NUMBERS),
    st.tuples(st.just("age"), _NUMBERS),
    st.tuples(st.just("look"), _NUMBERS),
    st.tuples(st.just("restart"), _NUMBERS),
)


def _do(change: str, key_dir: Path, number: int, serial: int, data_dir: Path) -> None:
    if change == "publish":
        publish(data_dir, number, size=serial)
        _do("age", key_dir, number, serial, data_dir)
        announce(key_dir)
    elif not key_dir.is_dir():
        return
    elif change == "pin":
        (key_dir / "pinned.json").write_text("{}")
    elif change == "damage":
        (key_dir / "damaged.json").write_text(json.dumps({"attempt": "attempt", "reason": f"seen {serial}"}))
    elif change == "break":
        (key_dir / "current.json").write_text("no JSON " + "x" * serial)
    elif change == "hollow":
        shutil.rmtree(key_dir / "attempt", ignore_errors=True)
    elif change == "use":
        (key_dir / "last-used").touch()
    elif change == "delete":
        shutil.rmtree(key_dir)
    elif change == "age":
        # Never the same time twice: that is what a clock would give as well.
        for path in (key_dir / "current.json", key_dir):
            os.utime(path, (LONG_AGO + serial, LONG_AGO + serial))


@given(st.lists(_CHANGES, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_a_roster_with_an_index_says_what_the_disk_says(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]
) -> None:
    base = tmp_path_factory.mktemp("roster")
    data_dir, index = base / "data", base / "index"
    store = EnvironmentStore(data_dir, index)
    for serial, (change, number) in enumerate(changes):
        key_dir = data_dir / "python-environments" / "pip" / "3.11.7" / f"key-{number}"
        if change == "look":
            assert store.environments() == EnvironmentStore(data_dir).environments()
            store.keep_index()
        elif change == "restart":
            store = EnvironmentStore(data_dir, index)
        else:
            _do(change, key_dir, number, serial, data_dir)
    assert store.environments() == EnvironmentStore(data_dir).environments()
    assert EnvironmentStore(data_dir, index).environments() == EnvironmentStore(data_dir).environments()
    shutil.rmtree(base)


# Content


def content(number: int) -> Content:
    bundle = ContentBundle(1, 5.5, "admin", "app", f"key-{number % 3}", "3.11.7", 100 + number)
    picked = PickedInstallation("3.11.7", "/opt/python", identity={"version": "3.11.7"})
    return Content(
        f"guid-{number}", f"name {number}", "python-fastapi", 3.25, "admin", (bundle,), 1, picked, managed=True
    )


def test_content_is_recalled_as_it_was_and_seen_as_it_is_now(tmp_path: Path) -> None:
    store, index = ContentStore(tmp_path), tmp_path / "index"
    for number in range(5):
        directory = store.root / f"guid-{number}"
        directory.mkdir(parents=True)
        (directory / "content.json").write_text(json.dumps(_record(content(number))))
        age(directory / "content.json")
    (store.root / "guid-4" / "content.json").write_text("broken")
    os.utime(store.root / "guid-2" / "content.json", (LONG_AGO, LONG_AGO))
    first = ContentStore(tmp_path, index)
    expected = first.contents()
    assert [c.name for c in expected if not c.problem] == [f"name {number}" for number in range(4)]
    assert [c.guid for c in expected if c.problem] == ["guid-4"]
    first.keep_index()
    assert index.is_file()
    (store.root / "guid-1" / "used").touch()
    store.save(replace(content(2), name="renamed"))
    names = {c.guid: (c.name, c.last_used_at is not None) for c in ContentStore(tmp_path, index).contents()}
    assert names["guid-0"] == ("name 0", False)
    assert names["guid-1"] == ("name 1", True)
    assert names["guid-2"] == ("renamed", False)
    assert first.contents() == ContentStore(tmp_path).contents()


def test_the_next_process_has_the_same_content_without_reading_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, index = ContentStore(tmp_path), tmp_path / "index"
    several = tuple(replace(content(1).bundles[0], number=n, deployed_at=n + 0.5, name=f"app {n}") for n in (1, 2, 3))
    records = [
        content(0),
        replace(content(1), bundles=several, active=2),
        replace(content(2), managed=False, management=False, default_image="image"),
        replace(content(3), management=True),
    ]
    for each in records:
        directory = store.root / each.guid
        directory.mkdir(parents=True)
        (directory / "content.json").write_text(json.dumps(_record(each)))
        age(directory / "content.json")
    (store.root / "guid-1" / "used").touch()
    (store.root / "guid-2" / "used").touch()
    age(store.root / "guid-1" / "used", store.root / "guid-2" / "used")
    first = ContentStore(tmp_path, index)
    assert [replace(c, last_used_at=None) for c in first.contents()] == records
    first.keep_index()

    def read(_directory: Path) -> object:
        raise AssertionError("a record was read")

    monkeypatch.setattr("engine.content.store._read", read)
    found = ContentStore(tmp_path, index).contents()
    assert found == first.contents()
    assert [c.last_used_at for c in found] == [None, LONG_AGO, LONG_AGO, None]
    assert [type(c.managed) for c in found] == [bool] * 4
    (store.root / "guid-0" / "used").touch()
    (store.root / "guid-1" / "used").touch()
    (store.root / "guid-2" / "used").unlink()
    later = [c.last_used_at for c in ContentStore(tmp_path, index).contents()]
    assert [at is not None and at > LONG_AGO for at in later] == [True, True, False, False]
    assert later[2:] == [None, None]
    assert first.contents() == ContentStore(tmp_path, index).contents()


@pytest.mark.parametrize("number", [1 << 63, 10**400])
@pytest.mark.parametrize("field", ["created_at", "deployed_at", "size", "number"])
def test_a_number_that_no_column_can_hold_is_read_again_and_keeps_nothing_else_out(
    tmp_path: Path, field: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, index = ContentStore(tmp_path), tmp_path / "index"
    for each in (content(0), content(1)):
        record = _record(each)
        if each.guid == "guid-0":
            bundle = {**record["bundles"][0], field: number}  # type: ignore[index]
            changes = {"created_at": number} if field == "created_at" else {"bundles": [bundle]}
            record = {**record, **changes, "active": bundle["number"]}
        directory = store.root / each.guid
        directory.mkdir(parents=True)
        (directory / "content.json").write_text(json.dumps(record))
        age(directory / "content.json")
    first = ContentStore(tmp_path, index)
    expected = first.contents()
    assert [c.problem for c in expected] == [None, None]
    first.keep_index()
    read = engine.content.store._read
    again: list[str] = []
    monkeypatch.setattr("engine.content.store._read", lambda path: (again.append(path.name), read(path))[1])
    assert ContentStore(tmp_path, index).contents() == expected
    assert again == ["guid-0"]


def test_a_command_leaves_the_indexes_of_a_large_cache_in_the_cache_of_its_user(tmp_path: Path) -> None:
    data_dir, home = tmp_path / "data", tmp_path / "home"
    publish(data_dir, 1)
    directory = data_dir / "content" / "guid-1"
    directory.mkdir(parents=True)
    (directory / "content.json").write_text(json.dumps(_record(content(1))))
    age(directory / "content.json")
    config = tmp_path / "envdeck.gcfg"
    config.write_text(f"[Server]\nDataDir = {data_dir}\n")
    engine = Engine([config], {"HOME": str(home), "PATH": ""})
    assert [e.key for e in engine.refresh().environments] == ["key-1"]
    engine.close()
    kept = sorted(path.name.partition("-")[0] for path in (home / ".cache/envdeck").glob("*.index"))
    assert kept == ["content", "environments"]
    again = Engine([config], {"HOME": str(home), "PATH": ""}).refresh()
    assert [(e.key, c.guid) for e, c in zip(again.environments, again.contents, strict=True)] == [("key-1", "guid-1")]
