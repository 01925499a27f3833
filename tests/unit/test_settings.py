"""From entries to settings: types, precedence, origins (connect.md §1.1-1.4, §2.1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from engine.config.catalogue import CATALOGUE, Kind, Setting, find
from engine.config.gcfg import parse
from engine.config.model import EffectiveValue, Executable
from engine.config.settings import Resolved, resolve
from engine.config.values import BadValue, Value, read_value, value_text
from engine.errors import Severity
from engine.matching import Rule

HOME = {"HOME": "/home/ada"}


def settings_of(*texts: str, environ: dict[str, str] | None = None) -> Resolved:
    documents = [parse(text, f"/etc/{letter}.gcfg") for letter, text in zip("abc", texts, strict=False)]
    return resolve(documents, HOME if environ is None else environ)


def value_of(resolved: Resolved, name: str) -> EffectiveValue:
    return next(value for value in resolved.values if value.name == name)


def setting(kind: Kind, *choices: str) -> Setting:
    return Setting("S.K", kind, (), "", "", choices=choices)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *((Kind.BOOLEAN, text, True) for text in ("true", "yes", "on", "1", "TRUE", "Yes")),
        *((Kind.BOOLEAN, text, False) for text in ("false", "no", "off", "0", "False", "OFF")),
        (Kind.INTEGER, "42", 42),
        (Kind.INTEGER, "-7", -7),
        (Kind.INTEGER, "0x2a", 42),
        (Kind.INTEGER, "-0X2A", -42),
        (Kind.INTEGER, "010", 10),
        (Kind.INTEGER, "9223372036854775807", 2**63 - 1),
        (Kind.STRING, "any text", "any text"),
        (Kind.STRING, "", ""),
        (Kind.DURATION, "500ms", 0.5),
        (Kind.DURATION, "3m", 180.0),
        (Kind.DURATION, "1m15s", 75.0),
        (Kind.DURATION, "1h", 3600.0),
        (Kind.DURATION, "1.5h", 5400.0),
        (Kind.DURATION, ".5s", 0.5),
        (Kind.DURATION, "2.s", 2.0),
        (Kind.DURATION, "100us", 1e-4),
        (Kind.DURATION, "100µs", 1e-4),
        (Kind.DURATION, "100μs", 1e-4),
        (Kind.DURATION, "5ns", 5e-9),
        (Kind.DURATION, "1000000000", 1.0),
        (Kind.VERSION, "3.8.0", Version("3.8.0")),
        (Kind.VERSION, "3.12", Version("3.12")),
        (Kind.PATH, "/opt/python", Path("/opt/python")),
        (Kind.PATH, "~/x", Path("/home/ada/x")),
        (Kind.PATH, "~", Path("/home/ada")),
    ],
)
def test_a_value_is_read_as_its_type(kind: Kind, text: str, value: Value) -> None:
    read = read_value(setting(kind), text, HOME)
    assert read == value
    assert type(read) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *((Kind.BOOLEAN, text) for text in ("", "maybe", "t", "y", "2", "-1", "truer", "enabled")),
        *((Kind.INTEGER, text) for text in ("", "0.2", "1e3", "0x", "1 2", "٣", "9" * 5000, str(2**63))),
        *((Kind.DURATION, text) for text in ("", "10 s", "1d", "-5s", "0", "0s", "s", "1h30", "٣s", "ten", "9" * 5000)),
        *((Kind.DURATION, text) for text in ("10", "3600", "9999999h", "9" * 19)),
        *((Kind.VERSION, text) for text in ("", "three", "3", "3.8.", "v3.8", "3.8rc1", ">=3.8", "3." + "9" * 5000)),
        *((Kind.PATH, text) for text in ("", "python3", "./x", "~ada/x", "'/x'", "“/x”", "$HOME/x")),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_was_expected(kind: Kind, text: str) -> None:
    with pytest.raises(BadValue) as bad:
        read_value(setting(kind), text, HOME)
    assert bad.value.expected


def test_a_choice_is_read_in_any_case_and_a_near_miss_is_named() -> None:
    choice = setting(Kind.CHOICE, "major-minor", "exact")
    assert read_value(choice, "EXACT", {}) == "exact"
    with pytest.raises(BadValue) as bad:
        read_value(choice, "major_minor", {})
    assert (bad.value.expected, bad.value.hint) == ("major-minor or exact", "Did you mean major-minor?")


def test_seconds_written_as_a_bare_number_are_told_apart_from_nanoseconds() -> None:
    with pytest.raises(BadValue) as bad:
        read_value(setting(Kind.DURATION), "10", {})
    assert "10s" in bad.value.hint


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_a_home_that_is_not_known_is_not_guessed(environ: dict[str, str]) -> None:
    with pytest.raises(BadValue) as bad:
        read_value(setting(Kind.PATH), "~/x", environ)
    assert "HOME" in bad.value.hint


def test_values_that_mean_the_same_are_shown_the_same() -> None:
    assert value_text(True, "yes") == "true"
    assert value_text(Path("/home/ada/x"), "~/x") == "/home/ada/x"
    assert value_text("exact", "Exact") == "exact"
    assert value_text(10.0, "10s") == "10s"


def test_every_row_has_what_it_needs() -> None:
    for row in CATALOGUE:
        assert row.meaning.endswith(".")
        assert row.document
        assert (row.kind is Kind.CHOICE) == bool(row.choices)
        assert row.multi or len(row.default) <= 1
        for text in row.default:
            read_value(row, text, {})


def test_without_any_text_every_setting_has_its_default() -> None:
    resolved = settings_of("")
    settings = resolved.settings
    assert resolved.problems == ()
    assert settings.python_enabled is False
    assert (settings.executables, settings.prohibited, settings.bundle_dirs) == ((), (), ())
    assert settings.version_matching is Rule.MAJOR_MINOR
    assert settings.data_dir == Path("/var/lib/rstudio-connect")
    assert settings.minimum_version == Version("3.8.0")
    assert (settings.probe_timeout, settings.build_timeout) == (10.0, 3600.0)
    assert [value.name for value in resolved.values] == [row.name for row in CATALOGUE]
    assert all(value.is_default and value.origins == ("default",) for value in resolved.values)


def test_every_setting_that_is_acted_on_comes_from_the_text() -> None:
    resolved = settings_of(
        """
        [Server]
        DataDir = /data
        [Python]
        Enabled = yes
        Executable = /opt/python/3.9/bin/python3
        Executable = ~/python
        VersionMatching = exact
        ProhibitedPackage = appnope
        [Envdeck]
        MinimumVersion = 3.10
        ProbeTimeout = 500ms
        BuildTimeout = 2h
        BundleDir = /srv/bundles
        """
    )
    settings = resolved.settings
    assert resolved.problems == ()
    assert settings.data_dir == Path("/data")
    assert settings.python_enabled is True
    assert settings.executables == (
        Executable("/opt/python/3.9/bin/python3", "/etc/a.gcfg:6"),
        Executable("/home/ada/python", "/etc/a.gcfg:7"),
    )
    assert settings.version_matching is Rule.EXACT
    assert settings.prohibited == ("appnope",)
    assert settings.minimum_version == Version("3.10")
    assert (settings.probe_timeout, settings.build_timeout) == (0.5, 7200.0)
    assert settings.bundle_dirs == (Path("/srv/bundles"),)


@pytest.mark.parametrize(
    ("text", "enabled", "line"),
    [
        ("[Python]\nEnabled = true\nEnabled = false", False, 3),
        ("[Python]\nEnabled = false\n[Server]\n[python]\nENABLED = true", True, 5),
        ("[Python]\nEnabled", True, 2),
        ("[Python]\nEnabled = false\nEnabled ; on", True, 3),
    ],
)
def test_the_last_of_several_values_wins(text: str, enabled: bool, line: int) -> None:
    resolved = settings_of(text)
    assert resolved.problems == ()
    assert resolved.settings.python_enabled is enabled
    assert value_of(resolved, "Python.Enabled").origins == (f"/etc/a.gcfg:{line}",)


def test_lists_add_up_over_keys_sections_and_files_in_any_case() -> None:
    resolved = settings_of(
        "[Python]\nExecutable = /1\n[Server]\n[PYTHON]\nexecutable = /2\nEXECUTABLE = /3", "[Python]\nExecutable = /4"
    )
    value = value_of(resolved, "Python.Executable")
    assert value.values == ("/1", "/2", "/3", "/4")
    assert value.origins == ("/etc/a.gcfg:2", "/etc/a.gcfg:5", "/etc/a.gcfg:6", "/etc/b.gcfg:2")


def test_a_later_file_wins_over_an_earlier_one() -> None:
    resolved = settings_of("[Python]\nVersionMatching = exact", "[Python]\nVersionMatching = major-minor")
    assert resolved.settings.version_matching is Rule.MAJOR_MINOR
    assert value_of(resolved, "Python.VersionMatching").origins == ("/etc/b.gcfg:2",)


def test_a_blank_key_empties_a_list() -> None:
    resolved = settings_of("[Python]\nExecutable = /1", "[Python]\nExecutable\nExecutable = /2")
    assert [e.path for e in resolved.settings.executables] == ["/2"]
    emptied = value_of(settings_of("[Python]\nExecutable = /1\nExecutable"), "Python.Executable")
    assert (emptied.values, emptied.origins, emptied.is_default) == ((), ("/etc/a.gcfg:3",), False)


@pytest.mark.parametrize(
    ("line", "names_one"),
    [
        ("External = numpy", True),
        ("External = ruamel.yaml-clib_2", True),
        ("ProhibitedPackage = !some-package", True),
        ("ProhibitedPackage = x", True),
        ("External = numpy==1.26", False),
        ("External = numpy, pandas", False),
        ("ProhibitedPackage = a b", False),
        ("ProhibitedPackage = !", False),
        ("External = \x1b[31m", False),
        ("SupportPackage = x", True),
    ],
)
def test_a_value_that_is_the_name_of_no_package_is_warned_of(line: str, names_one: bool) -> None:
    section = "[Envdeck]" if line.startswith("Support") else "[Python]"
    warned = [p for p in settings_of(f"{section}\n{line}\n").problems if p.code == "setting-no-package"]
    assert [(str(p.where), p.severity) for p in warned] == (
        [] if names_one else [(f"/etc/a.gcfg:2:{line.index('=') + 3}", Severity.WARNING)]
    )


def test_an_empty_item_of_a_list_is_ignored_and_warned_of() -> None:
    resolved = settings_of("[Python]\nExternal = numpy\nExternal =\n")
    (problem,) = resolved.problems
    assert (problem.code, problem.severity) == ("setting-empty-item", Severity.WARNING)
    assert str(problem.where) == "/etc/a.gcfg:3:1"
    assert "without =" in problem.hint
    assert value_of(resolved, "Python.External").values == ("numpy",)


@pytest.mark.parametrize(
    ("line", "code", "column", "hint"),
    [
        ("Enabled = maybe", "setting-bad-value", 11, ""),
        ("Enabled =", "setting-bad-value", 10, ""),
        ("VersionMatching", "setting-bad-value", 16, "VersionMatching = value"),
        ("VersionMatching = nearest", "setting-bad-value", 19, ""),
        ("Executable = python3", "setting-bad-value", 14, "~/"),
        ("  Executable = 'x'", "setting-bad-value", 16, "double quotes"),
        ("Executble = /x", "setting-unknown", 1, "Executable"),
        ("DataDir = /x", "setting-unknown", 1, "[Server]"),
        ("Colour = blue", "setting-unknown", 1, "VersionMatching"),
    ],
)
def test_a_mistake_is_an_error_with_its_place_and_a_hint(line: str, code: str, column: int, hint: str) -> None:
    resolved = settings_of(f"[Python]\n{line}")
    (problem,) = resolved.problems
    assert (problem.code, str(problem.where)) == (code, f"/etc/a.gcfg:2:{column}")
    assert problem.severity is Severity.ERROR
    assert hint in problem.hint


def test_a_value_that_cannot_be_read_leaves_the_one_before_it() -> None:
    resolved = settings_of("[Python]\nVersionMatching = exact\nVersionMatching = x\nExecutable = /1\nExecutable = 2")
    assert resolved.settings.version_matching is Rule.EXACT
    assert [e.path for e in resolved.settings.executables] == ["/1"]
    assert [p.where.line for p in resolved.problems if p.where] == [3, 5]


def test_problems_come_in_the_order_of_the_text() -> None:
    resolved = settings_of("[Python]\nEnabled = x\nbad line\nVersionMatching = y", "[Envdeck]\nWibble = 1")
    assert [str(p.where) for p in resolved.problems] == [
        "/etc/a.gcfg:2:11",
        "/etc/a.gcfg:3:5",
        "/etc/a.gcfg:4:19",
        "/etc/b.gcfg:2:1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[Server]\nAddress = https://connect",
        "[Applications]\nRunAs = rstudio-connect",
        '[RPackageRepository "CRAN"]\nURL = https://cran',
        "[Brand-New-Section]\nWhat = ever",
        "[R]\nEnabled = true",
        "[Python]\nEnvironmentManagement = off\nExternalVersionMatching = 1\nExternalsCheckIsFatal = no",
        "[Python]\nAllowUv = true\nDefaultPackageManager = uv\nExternal = numpy",
    ],
)
def test_what_the_server_may_know_is_accepted_in_silence(text: str) -> None:
    assert settings_of(text).problems == ()


def test_settings_that_are_only_shown_have_their_values() -> None:
    resolved = settings_of("[Python]\nEnvironmentManagement = off\nDefaultPackageManager = uv")
    assert value_of(resolved, "Python.EnvironmentManagement").values == ("false",)
    assert value_of(resolved, "Python.DefaultPackageManager").values == ("uv",)
    assert value_of(resolved, "Python.AllowUv").values == ("true",)


def test_a_deprecated_setting_is_warned_of() -> None:
    (problem,) = settings_of("[Python]\nLibraryCheckIsFatal = true").problems
    assert (problem.code, problem.severity) == ("setting-deprecated", Severity.WARNING)


@pytest.mark.parametrize(("header", "meant"), [("Pyhton", "Python"), ("Envdek", "Envdeck"), ("Sever", "Server")])
def test_a_misspelt_section_is_warned_of(header: str, meant: str) -> None:
    (problem,) = settings_of(f"[{header}]\nEnabled = true").problems
    assert (problem.code, problem.severity) == ("section-unknown", Severity.WARNING)
    assert f"[{meant}]" in problem.hint


def test_a_subsection_where_there_is_none_is_one_error() -> None:
    resolved = settings_of('[Python "3.9"]\nEnabled = true\nExecutable = /x')
    (problem,) = resolved.problems
    assert (problem.code, str(problem.where)) == ("setting-subsection", "/etc/a.gcfg:1:1")
    assert resolved.settings.python_enabled is False


def test_a_variable_wins_over_every_file() -> None:
    environ = {
        "CONNECT_PYTHON_ENABLED": "1",
        "CONNECT_PYTHON_EXECUTABLE": "/a, ~/b ,",
        "CONNECT_SERVER_DATADIR": "/data",
        "CONNECT_ENVDECK_PROBETIMEOUT": "3s",
        "CONNECT_SERVER": "https://a-client-variable",
        "CONNECT_PYTHON_NOSUCH": "x",
        **HOME,
    }
    resolved = settings_of("[Python]\nEnabled = false\nExecutable = /file", environ=environ)
    assert resolved.problems == ()
    assert resolved.settings.python_enabled is True
    assert [e.path for e in resolved.settings.executables] == ["/a", "/home/ada/b"]
    assert resolved.settings.data_dir == Path("/data")
    assert resolved.settings.probe_timeout == 3.0
    executable = value_of(resolved, "Python.Executable")
    assert executable.origins == ("$CONNECT_PYTHON_EXECUTABLE", "$CONNECT_PYTHON_EXECUTABLE")
    assert not executable.is_default


def test_an_empty_variable_empties_a_list() -> None:
    environ = {"CONNECT_PYTHON_EXECUTABLE": ""}
    value = value_of(settings_of("[Python]\nExecutable = /file", environ=environ), "Python.Executable")
    assert (value.values, value.origins) == ((), ("$CONNECT_PYTHON_EXECUTABLE",))


def test_a_variable_that_cannot_be_read_is_an_error_and_the_file_stands() -> None:
    environ = {"CONNECT_PYTHON_ENABLED": "maybe", "CONNECT_PYTHON_EXECUTABLE": "/a,b"}
    resolved = settings_of("[Python]\nEnabled = true\nExecutable = /file", environ=environ)
    assert [str(p.where) for p in resolved.problems] == ["$CONNECT_PYTHON_ENABLED", "$CONNECT_PYTHON_EXECUTABLE"]
    assert resolved.settings.python_enabled is True
    assert [e.path for e in resolved.settings.executables] == ["/file"]


def test_control_characters_are_shown_and_kept() -> None:
    resolved = settings_of("[Python]\nExecutable = /opt/\x1b[31mred")
    assert value_of(resolved, "Python.Executable").values == ("/opt/\\x1b[31mred",)
    assert resolved.settings.executables[0].path == "/opt/\x1b[31mred"


LINES = st.lists(
    st.one_of(
        st.sampled_from(["[Python]", "[Envdeck]", "[Server]", "[Pyton]", '[Python "x"]']),
        st.builds(
            "{}{}{}".format,
            st.sampled_from([row.key for row in CATALOGUE] + ["Wibble"]),
            st.sampled_from(["", " = ", "="]),
            st.one_of(st.text(max_size=12), st.sampled_from(["true", "/x", "~/x", "1h", "3.9", "0x10"])),
        ),
    )
)


@given(LINES, st.dictionaries(st.sampled_from([row.variable for row in CATALOGUE] + ["HOME"]), st.text(max_size=8)))
def test_any_lines_and_any_environment_give_settings(lines: list[str], environ: dict[str, str]) -> None:
    resolved = resolve([parse("\n".join(lines), "f")], environ)
    assert len(resolved.values) == len(CATALOGUE)
    for value in resolved.values:
        assert len(value.origins) == max(1, len(value.values))
    for problem in resolved.problems:
        assert problem.where is not None


def test_a_grace_period_may_be_zero_but_a_time_limit_may_not():
    setting = find("Envdeck", "ReapGracePeriod")
    assert setting is not None
    assert [read_value(setting, text, {}) for text in ("0", "0s")] == [0.0, 0.0]
    limit = find("Envdeck", "BuildTimeout")
    assert limit is not None
    with pytest.raises(BadValue):
        read_value(limit, "0s", {})
