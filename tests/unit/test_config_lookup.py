"""Which files are in force, the embedded default, and loading with the last good settings kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.default import EMBEDDED, default_data_dir, default_text
from engine.config.gcfg import parse
from engine.config.load import MAX_BYTES, load
from engine.config.lookup import look_up
from engine.config.model import ConfigState
from engine.config.settings import resolve
from engine.errors import InputError

DEFAULT = default_text(["/usr/bin/python3"], [], Path("/home/ada/.local/share/envdeck"))


class Machine:
    """A machine of its own under a directory: /etc, a home, an environment."""

    def __init__(self, root: Path) -> None:
        self.etc = root / "etc"
        self.home = root / "home"
        self.environ = {"HOME": str(self.home)}
        self.server = self.etc / "rstudio-connect" / "rstudio-connect.gcfg"
        self.ours = self.etc / "envdeck" / "envdeck.gcfg"
        self.user = self.home / ".config" / "envdeck" / "envdeck.gcfg"
        self.clock = 1000.0

    def write(self, path: Path, text: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def load(self, previous: ConfigState | None = None, *named: Path) -> ConfigState:
        self.clock += 1
        return load(look_up(named, self.environ, self.etc), self.environ, previous, self.clock, DEFAULT)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def codes(state: ConfigState) -> list[str]:
    return [problem.code for problem in state.problems]


def test_files_on_the_command_line_come_before_everything(machine: Machine, tmp_path: Path) -> None:
    machine.write(machine.server)
    machine.environ["ENVDECK_CONFIG"] = "/elsewhere.gcfg"
    one, two = tmp_path / "one.gcfg", tmp_path / "two.gcfg"
    sources = look_up([one, two, one], machine.environ, machine.etc)
    assert sources.files == sources.watch == (one, two)
    assert sources.by_name


def test_a_relative_path_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert look_up([Path("x.gcfg")], {}, tmp_path).files == (tmp_path / "x.gcfg",)


def test_the_variable_names_several_files(machine: Machine) -> None:
    machine.write(machine.server)
    machine.environ["ENVDECK_CONFIG"] = os.pathsep.join(["/a.gcfg", "", "/b.gcfg"])
    assert look_up([], machine.environ, machine.etc).files == (Path("/a.gcfg"), Path("/b.gcfg"))


def test_an_empty_variable_names_none(machine: Machine) -> None:
    machine.environ["ENVDECK_CONFIG"] = ""
    assert look_up([], machine.environ, machine.etc).files == ()


def test_both_system_files_are_read_in_order(machine: Machine) -> None:
    machine.write(machine.user)
    machine.write(machine.ours)
    assert look_up([], machine.environ, machine.etc).files == (machine.ours,)
    machine.write(machine.server)
    sources = look_up([], machine.environ, machine.etc)
    assert sources.files == sources.watch == (machine.server, machine.ours)
    assert not sources.by_name


def test_the_users_file_comes_after_the_system_files(machine: Machine) -> None:
    machine.write(machine.user)
    sources = look_up([], machine.environ, machine.etc)
    assert sources.files == (machine.user,)
    assert sources.watch == (machine.server, machine.ours, machine.user)


def test_the_users_file_is_looked_for_where_xdg_says(machine: Machine, tmp_path: Path) -> None:
    machine.environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert look_up([], machine.environ, machine.etc).watch[-1] == tmp_path / "xdg/envdeck/envdeck.gcfg"
    machine.environ["XDG_CONFIG_HOME"] = "relative"
    assert look_up([], machine.environ, machine.etc).watch[-1] == machine.user


def test_without_any_file_all_candidates_are_watched(machine: Machine) -> None:
    sources = look_up([], machine.environ, machine.etc)
    assert sources.files == ()
    assert sources.watch == (machine.server, machine.ours, machine.user)


def test_without_a_home_only_the_system_files_are_watched(machine: Machine) -> None:
    assert look_up([], {"HOME": ""}, machine.etc).watch == (machine.server, machine.ours)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_DATA_HOME": "/data", "HOME": "/h"}, "/data/envdeck"),
        ({"XDG_DATA_HOME": "data", "HOME": "/h"}, "/h/.local/share/envdeck"),
        ({"HOME": "/h"}, "/h/.local/share/envdeck"),
        ({}, "/var/lib/rstudio-connect"),
    ],
)
def test_the_default_data_directory(environ: dict[str, str], expected: str) -> None:
    assert default_data_dir(environ) == Path(expected)


PATHS = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), max_size=20).map("/{}".format)


@given(st.lists(PATHS), st.lists(st.tuples(st.text(), st.text())), PATHS)
def test_the_default_text_reads_back_what_was_put_in(
    executables: list[str], unusable: list[tuple[str, str]], data_dir: str
) -> None:
    resolved = resolve([parse(default_text(executables, unusable, Path(data_dir)), EMBEDDED)], {})
    assert resolved.problems == ()
    assert [e.path for e in resolved.settings.executables] == [str(Path(path)) for path in executables]
    assert resolved.settings.data_dir == Path(data_dir)
    assert resolved.settings.python_enabled is True


def test_the_default_text_shows_what_it_cannot_use_as_comments() -> None:
    text = default_text(["/opt/caf\udce9/python"], [("/usr/bin/python2", "2.7 is older\nthan 3.8.0")], Path("/d"))
    assert "; not usable: /usr/bin/python2 (2.7 is older than 3.8.0)\n" in text
    assert "; not usable: /opt/caf\\udce9/python" in text
    assert resolve([parse(text, EMBEDDED)], {}).settings.executables == ()


def test_the_commented_lines_of_the_default_text_are_valid_settings() -> None:
    lines = [line.removeprefix("; ") if " = " in line and "`" not in line else line for line in DEFAULT.splitlines()]
    resolved = resolve([parse("\n".join(lines), EMBEDDED)], {"HOME": "/home/ada"})
    assert resolved.problems == ()
    assert resolved.settings.bundle_dirs == (Path("/home/ada/bundles"),)


def test_without_any_file_the_default_is_in_force(machine: Machine) -> None:
    state = machine.load()
    assert state.is_default
    assert state.good
    assert state.files == ()
    assert state.texts == {EMBEDDED: DEFAULT}
    assert [e.path for e in state.settings.executables] == ["/usr/bin/python3"]
    assert state.settings.executables[0].origin.startswith("default:")


def test_a_good_load_takes_all_files(machine: Machine) -> None:
    machine.write(machine.server, "[Python]\nEnabled = true\nExecutable = /1\n")
    machine.write(machine.ours, "[Python]\nExecutable = /2\n")
    state = machine.load()
    assert not state.is_default
    assert state.files == (machine.server, machine.ours)
    assert [e.path for e in state.settings.executables] == ["/1", "/2"]
    assert (state.loaded_at, state.changed, state.problems) == (1001.0, {}, ())
    assert state.texts[str(machine.ours)] == "[Python]\nExecutable = /2\n"


def test_a_changed_file_tells_what_changed(machine: Machine) -> None:
    machine.write(machine.ours, "[Python]\nEnabled = yes\nExecutable = /1\n")
    before = machine.load()
    machine.write(machine.ours, "[Python]\nEnabled = true\nExecutable = /1\nExecutable = /2\nVersionMatching = exact")
    state = machine.load(before)
    assert state.changed == {
        "Python.Executable": ("/1", "/1, /2"),
        "Python.VersionMatching": ("major-minor", "exact"),
    }
    assert state.loaded_at == 1002.0


def test_an_error_keeps_the_last_good_settings_and_shows_the_new_text(machine: Machine) -> None:
    machine.write(machine.ours, "[Python]\nVersionMatching = exact\n")
    good = machine.load()
    machine.write(machine.ours, "[Python]\nVersionMatching = x\nEnabled = true\n")
    bad = machine.load(good)
    assert (bad.settings, bad.values, bad.loaded_at) == (good.settings, good.values, good.loaded_at)
    assert codes(bad) == ["setting-bad-value"]
    assert bad.errors == bad.problems
    assert "VersionMatching = x" in bad.texts[str(machine.ours)]
    machine.write(machine.ours, "[Python]\nEnabled = true\n")
    fixed = machine.load(bad)
    assert fixed.problems == ()
    assert fixed.changed == {"Python.VersionMatching": ("exact", "major-minor"), "Python.Enabled": ("false", "true")}


def test_a_warning_does_not_hold_up_a_load(machine: Machine) -> None:
    machine.write(machine.ours, "[Python]\nEnabled = true\nExternal =\n")
    state = machine.load()
    assert state.good
    assert state.settings.python_enabled
    assert codes(state) == ["setting-empty-item"]
    assert state.errors == ()


def test_with_no_good_load_before_what_can_be_understood_is_in_force(machine: Machine) -> None:
    machine.write(machine.ours, "[Python]\nEnabled = true\nVersionMatching = x\n")
    first = machine.load()
    assert not first.good
    assert first.settings.python_enabled
    machine.write(machine.ours, "[Python]\nExecutable = /1\nVersionMatching = x\n")
    second = machine.load(first)
    assert not second.good
    assert not second.settings.python_enabled
    assert [e.path for e in second.settings.executables] == ["/1"]


def test_a_removed_file_keeps_the_settings_until_it_is_back(machine: Machine) -> None:
    machine.write(machine.server, "[Python]\nEnabled = true\n")
    machine.write(machine.ours, "[Python]\nVersionMatching = exact\n")
    good = machine.load()
    machine.ours.unlink()
    gone = machine.load(good)
    assert codes(gone) == ["config-missing"]
    assert str(gone.problems[0].where) == str(machine.ours)
    assert gone.settings == good.settings
    machine.server.unlink()
    both_gone = machine.load(gone)
    assert codes(both_gone) == ["config-missing", "config-missing"]
    assert both_gone.settings == good.settings
    assert not both_gone.is_default
    machine.write(machine.server, "[Python]\nEnabled = true\n")
    machine.write(machine.ours, "[Python]\nVersionMatching = major-minor\n")
    back = machine.load(both_gone)
    assert back.problems == ()
    assert back.changed == {"Python.VersionMatching": ("exact", "major-minor")}


def test_a_removed_file_that_was_never_good_is_missed_as_well(machine: Machine) -> None:
    machine.write(machine.user, "[Python]\nEnabled = x\n")
    bad = machine.load()
    machine.user.unlink()
    once = machine.load(bad)
    twice = machine.load(once)
    assert codes(once) == codes(twice) == ["config-missing"]


def test_a_system_file_that_appears_takes_over_from_the_users_and_from_the_default(machine: Machine) -> None:
    default = machine.load()
    machine.write(machine.user, "[Python]\nEnabled = true\n")
    user = machine.load(default)
    assert user.files == (machine.user,)
    machine.write(machine.server, "[Python]\nEnabled = true\nVersionMatching = exact\n")
    machine.user.unlink()
    system = machine.load(user)
    assert system.problems == ()
    assert system.files == (machine.server,)


@pytest.mark.parametrize("kind", ["missing", "below a file", "directory", "pipe", "too large"])
def test_a_named_file_that_cannot_be_read_is_refused_at_the_start(machine: Machine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.gcfg"
    expected = "config-unreadable"
    if kind == "missing":
        expected = "config-not-found"
    elif kind == "below a file":
        path = machine.write(path) / "y.gcfg"
        expected = "config-not-found"
    elif kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b";" * (MAX_BYTES + 1))
        expected = "file-too-large"
    with pytest.raises(InputError) as error:
        machine.load(None, path)
    assert error.value.problem.code == expected
    assert str(path) in str(error.value)
    assert "your account" not in error.value.problem.hint, "none could read it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told_and_not_passed_over(machine: Machine) -> None:
    machine.write(machine.ours, "[Python]\nEnabled = true\n")
    machine.write(machine.server).chmod(0)
    state = machine.load()
    assert codes(state) == ["config-unreadable"]
    assert not state.good


def test_a_system_path_that_is_no_file_is_told_and_not_passed_over(machine: Machine) -> None:
    machine.server.mkdir(parents=True)
    state = machine.load()
    assert codes(state) == ["config-unreadable"]
    assert not state.good


def test_a_named_file_that_goes_away_later_keeps_the_settings(machine: Machine, tmp_path: Path) -> None:
    path = machine.write(tmp_path / "x.gcfg", "[Python]\nEnabled = true\n")
    good = machine.load(None, path)
    path.unlink()
    gone = machine.load(good, path)
    assert codes(gone) == ["config-missing"]
    assert gone.settings == good.settings
    path.mkdir()
    assert codes(machine.load(gone, path)) == ["config-unreadable"]


def test_the_null_device_says_no_configuration(machine: Machine) -> None:
    state = machine.load(None, Path(os.devnull))
    assert state.good
    assert not state.is_default
    assert not state.settings.python_enabled


def test_text_that_is_not_utf8_is_kept_readable(machine: Machine) -> None:
    machine.write(machine.ours).write_bytes(b"; caf\xe9\n[Python]\nEnabled = true\n")
    state = machine.load()
    assert codes(state) == ["gcfg-encoding"]
    assert state.texts[str(machine.ours)].startswith("; caf\ufffd\n")
