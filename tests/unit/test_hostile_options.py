"""Options of pip that a bundle may not use, and the ways to smuggle one in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine.bundles.model import LineKind, RequirementLine
from engine.bundles.requirements import OPTIONS, parse_requirements
from engine.errors import InputError, Problem, Where
from engine.packages.options import LIMITED_OPTIONS, SAFE_OPTIONS, option_error, options_text, rule_on_options
from engine.packages.plan import Action, PackagePlan, PackageRules, external_names, plan_packages, prohibited_names

OF_ONE_PACKAGE = ["--config-settings a=b", "-C a=b", "--global-option=--x", "--install-option=--prefix=/"]
OF_ALL = ["--trusted-host evil.test", "--trusted-h=evil.test", "--use-feature fast-deps", "--no-require-hashes"]


def parse(text: str, files: dict[str, str] | None = None) -> tuple[RequirementLine, ...]:
    def include(path: str, where: Where) -> bytes:
        if path not in (files or {}):
            raise InputError(Problem("test-missing", "missing", where=where))
        return (files or {})[path].encode()

    return parse_requirements(text.encode(), "requirements.txt", include)


def plan(text: str, files: dict[str, str] | None = None, *allowed: str) -> PackagePlan:
    pairs = tuple((value, f"server.gcfg:{number}") for number, value in enumerate(allowed, 1))
    return plan_packages(parse(text, files), PackageRules(allowed_options=pairs))


def given_to_pip(made: PackagePlan) -> str:
    return made.requirements_text + made.constraints_text


def test_every_option_that_pip_knows_here_is_on_one_of_the_two_lists() -> None:
    assert SAFE_OPTIONS.isdisjoint(LIMITED_OPTIONS)
    assert SAFE_OPTIONS | set(LIMITED_OPTIONS) | {"--pypi-url"} == set(OPTIONS)


@pytest.mark.parametrize("text", OF_ALL)
def test_an_option_about_all_packages_is_taken_out_and_says_why(text: str) -> None:
    made = plan(f"{text}\nflask==3.0\n")
    assert made.problem is None
    assert (made.lines[0].action, made.lines[0].effective) == (Action.REFUSED, "")
    assert made.lines[0].requirement == text
    assert "is left out: it switches o" in made.lines[0].reason
    assert "Envdeck.AllowedOption" in made.lines[0].reason
    assert made.requirements_text == "flask==3.0\n"


def test_the_other_options_of_its_line_stay() -> None:
    made = plan("--pre --trusted-host evil.test -i 'https://me:secret@host/a b' --trusted-host=two\n")
    (line,) = made.lines
    assert line.action is Action.OPTION
    assert line.effective == "--pre --index-url='https://me:secret@host/a b'"
    assert line.reason.startswith("--trusted-host is left out")
    assert "secret" not in line.requirement


@pytest.mark.parametrize("option", OF_ONE_PACKAGE)
@pytest.mark.parametrize("requirement", ["flask==3.0", "./local", "-e ./local", "git+https://host/p"])
def test_an_option_about_one_package_stops_the_plan_and_says_where(requirement: str, option: str) -> None:
    made = plan(f"dash\n\n  {requirement} {option}\n")
    found = made.problem
    assert found is not None
    assert found.code == "option-not-allowed"
    assert str(found.where) == "requirements.txt:3:3"
    assert found.found == f"{requirement} {option}"
    assert "AllowedOption = --" in found.hint
    assert given_to_pip(made) == "dash\n"


def test_a_problem_shows_no_password() -> None:
    found = plan("p @ https://me:secret@host/p.zip --config-settings a=b").problem
    assert found is not None
    assert "secret" not in str(found)


@pytest.mark.parametrize("text", OF_ALL + [f"flask {option}" for option in OF_ONE_PACKAGE])
def test_what_an_admin_allows_reaches_pip_as_written(text: str) -> None:
    made = plan(text, None, *LIMITED_OPTIONS)
    assert made.problem is None
    assert made.requirements_text == f"{text}\n"
    assert any("is allowed by server.gcfg:" in note for note in made.lines[0].notes)


def test_an_admin_can_allow_a_single_value() -> None:
    allowed = "--trusted-host=mirror:8080"
    assert plan("--trusted-host mirror:8080", None, allowed).requirements_text == "--trusted-host mirror:8080\n"
    assert plan("--trusted-host evil.test", None, allowed).requirements_text == ""
    both = plan("--trusted-host evil.test --trusted-host=mirror:8080", None, allowed)
    assert both.requirements_text == "--trusted-host=mirror:8080\n"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("--trusted-host", ""),
        (" --trusted-host=a ", ""),
        ("--config-settings", ""),
        ("--pre", "--pre may be used anyway"),
        ("trusted-host", "trusted-host is not an option"),
        ("--target", "--target is not an option"),
        ("\x1b[31m", "\\x1b[31m is not an option"),
        ("", "nothing is not an option"),
    ],
)
def test_a_setting_that_allows_nothing_is_explained(value: str, error: str) -> None:
    assert option_error(value).startswith(error)
    assert bool(option_error(value)) is bool(error)


# What pip takes no notice of where it stands is no reason to stop anything, and reaches nothing.
@pytest.mark.parametrize("text", ["flask --trusted-host evil.test", "--config-settings a=b", "-r more.txt -C a=b"])
def test_an_option_where_pip_ignores_it_changes_nothing(text: str) -> None:
    made = plan(text, {"more.txt": "flask"})
    assert made.problem is None
    assert made.requirements_text.strip() in (text, "flask")


# pip's own command has these, its requirements files do not: no list can let them in.
@pytest.mark.parametrize(
    "option",
    ["--target /etc", "--prefix=/", "--root /", "--user", "--cert x", "--client-cert x", "--proxy http://evil.test",
     "--cache-dir /", "--log /etc/cron.d/x", "--python /bin/sh", "--ignore-installed", "--upgrade", "-U", "-t /etc",
     "--break-system-packages", "--no-deps", "--src /", "--build /", "--no-verify", "--keyring-provider=x", "-d /",
     "--process-dependency-links", "--allow-external x", "--use-deprecated=legacy-certs", "--isolated", "--report /x"],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "flask ", "--pre "])
def test_other_options_of_pip_are_no_options_of_a_requirements_file(before: str, option: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(f"{before}{option}\n", None)
    assert caught.value.problem.code in ("requirement-unknown-option", "requirement-invalid")
    assert str(caught.value.problem.where).startswith("requirements.txt:1:")


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("--trusted-\\\nhost evil.test", {}),
        ("--pre \\\n  --trusted-host \\\n evil.test", {}),
        ("--pre \\\n# a comment\n--trusted-host evil.test", {}),
        ("--'trusted'-host evil.test", {}),
        ('"--trusted-host" evil.test', {}),
        ("--pre '--trusted-host' evil.test", {}),
        ("--pre --trusted\\-host evil.test", {}),
        ("--trusted=evil.test", {}),
        ("--pre\t--trusted-host\tevil.test", {}),
        ("--pre\u00a0--trusted-host evil.test", {}),
        ("--pre\u2028--trusted-host evil.test", {}),
        ("--pre\x0c--trusted-host evil.test", {}),
        ("--pre\r--trusted-host evil.test", {}),
        ("--pre\x00--trusted-host evil.test", {}),
        ("-c limits.txt", {"limits.txt": "--trusted-host evil.test"}),
        ("-r a.txt", {"a.txt": "-r b.txt", "b.txt": "-c c.txt", "c.txt": "--pre --trusted-host=evil.test"}),
        ("-ra.txt", {"a.txt": "--trusted-host=evil.test"}),
        ("--index-url 'https://host/ --trusted-host evil.test'", {}),
        ("--index-url https://host/\x1b --trusted-host evil.test", {}),
        ("--index-url https://host/%0A--trusted-host%20evil.test", {}),
        ("./p\u0105--trusted-host evil.test", {}),
        ("flask; python_version > '3' --trusted-host evil.test", {}),
        ("flask # \\\n--trusted-host evil.test", {}),
    ],
)
def test_no_way_of_writing_it_gets_an_option_past_the_list(text: str, files: dict[str, str]) -> None:
    """Either the file is refused, or what pip is given holds no such option, read in whatever way."""
    try:
        made = plan(text, files)
    except InputError:
        return
    for line in parse(given_to_pip(made)):
        assert line.kind is not LineKind.OPTION or "--trusted-host" not in dict(line.options)


def test_a_file_with_other_characters_says_how_to_read_them() -> None:
    """In the encoding of a Latin-1 locale the second byte of ``ą`` is a line separator to pip's ``splitlines``."""
    text = plan("./p\u0105--trusted-host evil.test").requirements_text
    assert text.startswith("# -*- coding: utf-8 -*-\n")
    assert "--trusted-host evil.test" in text.encode().decode("latin-1").splitlines()
    assert plan("flask").requirements_text == "flask\n"


def test_what_is_dropped_or_replaced_anyway_needs_no_leave() -> None:
    lines = parse("appnope --config-settings a=b\nnumpy --config-settings a=b\n")
    rules = PackageRules(
        prohibited=prohibited_names([]),
        external=external_names([("numpy", "server.gcfg:1")]),
        visible={canonicalize_name("numpy"): Version("1.18")},
    )
    made = plan_packages(lines, rules)
    assert made.problem is None
    assert [line.action for line in made.lines][:2] == [Action.PROHIBITED, Action.EXTERNAL]


_VALUES = st.text(alphabet=st.sampled_from("abc/:.=@#'\"\\ -$~%é"), min_size=1, max_size=20)


@given(st.lists(st.tuples(st.sampled_from(["--index-url", "--find-links", "--no-binary", "--hash"]), _VALUES)))
def test_options_that_are_written_again_say_the_same(options: list[tuple[str, str]]) -> None:
    text = options_text(options)
    try:
        lines = parse(text)
    except InputError:  # values that no line could have had, such as paths out of the bundle
        return
    # A value with a comment in it cannot have been on a line either.
    if not any(value.startswith("#") or " #" in value for _, value in options):
        assert [option for line in lines for option in line.options] == options


_WORDS = st.sampled_from(
    ["flask", "-e ./p", "--pre", "--trusted-host", "--trusted-host=a", "evil.test", "--config-settings", "a=b", "-C",
     "--global-option=x", "--no-require-hashes", "-i", "https://u:p@h/", "\\\n", "\n", "'", '"', " #", ";", "--", "-"]
)  # fmt: skip


@given(st.lists(_WORDS, max_size=10).map(" ".join))
def test_whatever_is_written_pip_is_given_no_option_that_needs_leave(text: str) -> None:
    try:
        made = plan(text)
    except InputError:
        return
    if made.problem is not None:
        return
    for line in parse(given_to_pip(made)):
        assert rule_on_options(line).reason == ""
        assert rule_on_options(line).problem is None
