"""A configuration file is changed by a draft: checked first, put in place in one step, never over another's work."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from engine import Engine, InputError, Refused, StorageError

TEXT = "[Server]\nDataDir = {data}\n\n[Python]\nEnabled = true\nVersionMatching = major-minor\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "envdeck.gcfg"
    path.parent.mkdir()
    path.write_text(TEXT.format(data=tmp_path / "data"))
    return path


def new_engine(*files: Path, home: Path | None = None, read_only: bool = False) -> Engine:
    environ = {"PATH": os.environ["PATH"], **({"HOME": str(home)} if home else {})}
    return Engine(files, environ, read_only=read_only)


def edited(text: bytes, before: str = "major-minor", after: str = "exact") -> bytes:
    return text.replace(before.encode(), after.encode())


def test_the_draft_is_checked_before_anything_is_written(file: Path) -> None:
    engine = new_engine(file)
    draft = engine.draft_config()
    state = engine.check_draft(draft, edited(draft.text))
    assert not state.errors
    assert state.changed == {"Python.VersionMatching": ("major-minor", "exact")}
    assert file.read_bytes() == draft.text
    wrong = engine.check_draft(draft, edited(draft.text, after="exactly"))
    assert [(str(error.where), error.code) for error in wrong.errors] == [(f"{file}:6:19", "setting-bad-value")]
    with pytest.raises(Refused) as refused:
        engine.put_draft(draft, edited(draft.text, after="exactly"))
    assert refused.value.problem.code == "config-errors"
    assert file.read_bytes() == draft.text


def test_putting_it_in_place_keeps_the_mode_the_owner_and_the_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gcfg"
    link.symlink_to(file)
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 4321)
    before = file.stat()
    engine = new_engine(link)
    draft = engine.draft_config()
    engine.put_draft(draft, edited(draft.text))
    after = file.stat()
    assert link.is_symlink()
    assert b"exact" in file.read_bytes()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino, "a reader sees the old content or the new, never half of it"
    assert after.st_mtime_ns > before.st_mtime_ns
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("gone", [False, True])
def test_what_somebody_else_wrote_meanwhile_is_never_overwritten(file: Path, gone: bool) -> None:
    engine = new_engine(file)
    draft = engine.draft_config()
    theirs = draft.text + b"# by another admin\n"
    file.unlink()
    if not gone:
        file.write_bytes(theirs)
    with pytest.raises(Refused) as refused:
        engine.put_draft(draft, edited(draft.text))
    assert refused.value.problem.code == "config-changed"
    assert file.exists() is not gone
    if not gone:
        # Knowing of it, it can be done.
        again = engine.draft_config(file)
        assert again.text == theirs
        engine.put_draft(again, edited(theirs))
        assert file.read_bytes() == edited(theirs)


def test_without_a_file_the_default_becomes_one_of_this_account(tmp_path: Path) -> None:
    engine = new_engine(home=tmp_path)
    draft = engine.draft_config()
    assert draft.path == tmp_path / ".config" / "envdeck" / "envdeck.gcfg"
    assert not draft.exists
    assert b"[Python]" in draft.text
    assert not engine.check_draft(draft, draft.text).errors
    engine.put_draft(draft, draft.text)
    assert draft.path.read_bytes() == draft.text
    assert stat.S_IMODE(draft.path.stat().st_mode) == 0o644
    with pytest.raises(InputError, match="HOME"):
        new_engine().draft_config()


def test_of_several_files_the_last_is_meant_and_the_others_count_for_the_check(file: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.gcfg"
    more.write_text("[Python]\nVersionMatching = exact\n")
    engine = new_engine(file, more)
    draft = engine.draft_config()
    assert draft.path == more
    assert engine.check_draft(draft, b"").changed == {"Python.VersionMatching": ("exact", "major-minor")}
    assert engine.draft_config(file).path == file


def test_a_read_only_engine_writes_nothing(file: Path) -> None:
    engine = new_engine(file, read_only=True)
    draft = engine.draft_config()
    with pytest.raises(Refused) as refused:
        engine.put_draft(draft, edited(draft.text))
    assert refused.value.problem.code == "read-only"


def test_a_file_whose_owner_cannot_be_kept_stays_as_it_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(file)
    draft = engine.draft_config()

    def denied(*_args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    real = Path.stat

    def foreign(self: Path, **options: bool) -> os.stat_result:
        found = real(self, **options)
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:])) if self == file else found

    monkeypatch.setattr(os, "chown", denied)
    monkeypatch.setattr(Path, "stat", foreign)
    with pytest.raises(StorageError, match="not permitted"):
        engine.put_draft(draft, edited(draft.text))
    assert file.read_bytes() == draft.text
