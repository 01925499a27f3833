"""pip or uv: who decides, and what uv is handed so that it does what pip would do."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Never

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from engine.builds.uv_tool import UvFinder
from engine.errors import Problem
from engine.packages.installer import UvTool, choose_installer, place_obstacles, uv_version
from engine.packages.uv_request import UvRequest, uv_request

THERE = UvTool("/usr/bin/uv", "0.9.0", "$PATH")
GONE = UvTool(problem=Problem("uv-not-found", "there is no uv"))


@pytest.mark.parametrize(
    ("bundle", "allowed", "default", "tool", "obstacles", "name", "reason"),
    [
        (None, True, "pip", THERE, [], "pip", "neither the manifest nor DefaultPackageManager asks for uv"),
        (None, True, "uv", THERE, [], "uv", "DefaultPackageManager is uv"),
        (True, True, "pip", THERE, [], "uv", "the manifest allows it"),
        (False, True, "uv", THERE, [], "pip", "allow_uv is false"),
        (True, False, "uv", THERE, [], "pip", "AllowUv is off"),
        (None, False, "uv", THERE, [], "pip", "AllowUv is off"),
        (True, True, "uv", GONE, [], "pip", "there is no uv"),
        (True, True, "uv", THERE, ["it rains"], "pip", "but it rains"),
        (True, True, "uv", THERE, ["it rains", "it snows", "it rains"], "pip", "but it rains, and 1 more"),
    ],
)
def test_who_decides(bundle, allowed, default, tool, obstacles, name, reason) -> None:
    choice = choose_installer(bundle, allowed=allowed, default=default, tool=lambda: tool, obstacles=lambda: obstacles)
    assert choice.name == name
    assert reason in choice.reason
    assert choice.wanted == (bundle is True or (bundle is None and default == "uv"))


def test_uv_and_what_it_cannot_do_are_asked_about_only_when_it_could_be_used() -> None:
    def asked() -> Never:
        raise AssertionError("nobody wants uv")

    for bundle, tool in ((None, asked), (False, asked), (True, lambda: GONE)):
        assert choose_installer(bundle, allowed=True, default="pip", tool=tool, obstacles=asked).name == "pip"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ()),
        ({"target_is_local": False}, ("an image is not known to have uv",)),
        ({"executor": "slurm"}, ("builds are given to slurm, where uv may not be",)),
        ({"python": Version("3.7.16")}, ("uv supports Python 3.8 and newer, not 3.7.16",)),
        ({"externals": 2}, ("uv does not see external packages",)),
    ],
)
def test_the_place_can_forbid_it(changes: dict[str, object], told: tuple[str, ...]) -> None:
    plain = {"target_is_local": True, "executor": "local", "python": Version("3.12.1"), "externals": 0}
    assert place_obstacles(**plain | changes) == told  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("uv 0.13.9 (x86_64-unknown-linux-gnu)\n", Version("0.13.9")),
        ("uv 0.5.0", Version("0.5.0")),
        ("usage: uv", None),
        ("pip 24.0 from /x", None),
        ("", None),
        ("uv \x1b[31mx", None),
    ],
)
def test_the_release_of_uv_is_in_its_answer(output: str, version: Version | None) -> None:
    assert uv_version(output) == version


# What uv is handed


def ask(requirements: str = "", options: Mapping[str, str] | None = None, constraints: str = "") -> UvRequest:
    return uv_request(requirements, constraints, options or {}, lambda path: not path.startswith("/gone"))


def config(request: UvRequest) -> dict[str, object]:
    read = tomllib.loads(request.config)
    return read.pop("pip") | read


def test_without_any_option_it_is_asked_to_choose_as_pip_does() -> None:
    request = ask("flask==3.0.0\n")
    assert request == UvRequest("flask==3.0.0\n", request.config)
    assert config(request) == {
        "python-downloads": "never",
        "index-strategy": "unsafe-best-match",
        "no-sources": True,
        "compile-bytecode": True,
        "link-mode": "copy",
    }


def test_it_links_from_its_cache_only_where_that_may_be_shared() -> None:
    assert [config(uv_request("", "", {}, lambda _: True, shares=shares))["link-mode"] for shares in (True, False)] == [
        "hardlink",
        "copy",
    ]


@pytest.mark.parametrize(
    ("options", "requirements", "expected"),
    [
        ({"index-url": "https://a/s"}, "", {"index-url": "https://a/s"}),
        ({"extra-index-url": "https://b/s  https://c/s"}, "", {"extra-index-url": ["https://b/s", "https://c/s"]}),
        (
            {"extra-index-url": "https://b/s", "index-url": "https://a/s"},
            "--extra-index-url https://c/s\n",
            {"index-url": "https://a/s", "extra-index-url": ["https://b/s", "https://c/s"]},
        ),
        # As in pip, an index of the requirements takes the place of all that are configured.
        (
            {"extra-index-url": "https://b/s", "index-url": "https://a/s"},
            "--index-url https://me:pw@d/s\n--extra-index-url https://e/s\n",
            {"index-url": "https://me:pw@d/s", "extra-index-url": ["https://e/s"]},
        ),
        ({"index-url": "https://a/s"}, "--no-index\n", {"no-index": True}),
        ({"no-index": "true", "index-url": "https://a/s"}, "", {"no-index": True}),
        ({"no-index": "false"}, "", {}),
        ({"find-links": "/a https://b/c"}, "--find-links /d\n", {"find-links": ["/a", "https://b/c", "/d"]}),
        # pip warns of a directory that is missing, uv would stop.
        ({"find-links": "/gone /a"}, "", {"find-links": ["/a"]}),
        ({"trusted-host": "a b:8080"}, "", {"allow-insecure-host": ["a", "b:8080"]}),
        ({"pre": "yes"}, "", {"prerelease": "allow"}),
        ({}, "--pre\n", {"prerelease": "allow"}),
        ({"only-binary": ":all:"}, "", {"only-binary": [":all:"]}),
        ({"no-binary": "a,b"}, "--no-binary c\n", {"no-binary": ["a", "b", "c"]}),
        ({}, "six==1 --hash=sha256:" + "0" * 64 + "\n", {"require-hashes": True}),
        ({"require-hashes": "1"}, "", {"require-hashes": True}),
        ({"no-cache-dir": "true"}, "", {"no-cache": True}),
        ({"no-deps": "true"}, "", {"no-deps": True}),
        ({"keyring-provider": "subprocess"}, "", {"keyring-provider": "subprocess"}),
        ({"quiet": "1", "progress-bar": "off", "disable-pip-version-check": "1"}, "", {}),
        ({"index-url": 'https://a/"\\\n[pip]'}, "", {"index-url": 'https://a/"\\\n[pip]'}),
    ],
)
def test_options_have_the_meaning_that_they_have_for_pip(options, requirements, expected) -> None:
    request = ask(requirements, options)
    plain = config(ask())
    assert request.obstacles == ()
    assert {k: v for k, v in config(request).items() if plain.get(k) != v} == expected
    assert "--" not in request.requirements.replace("--hash", "")


def test_what_a_file_of_uv_cannot_say_is_said_by_the_environment() -> None:
    options = {
        "cert": "/ca.pem",
        "client-cert": "/me.pem",
        "timeout": "60",
        "retries": "2",
        "proxy": "me:pw@proxy:3128",
    }
    env = ask("", options).env
    assert env["SSL_CERT_FILE"] == "/ca.pem"
    assert env["SSL_CLIENT_CERT"] == "/me.pem"
    assert (env["UV_HTTP_TIMEOUT"], env["UV_HTTP_RETRIES"]) == ("60", "2")
    assert env["https_proxy"] == env["HTTP_PROXY"] == "http://me:pw@proxy:3128"


def test_a_constraints_file_of_pips_configuration_limits_uv_too() -> None:
    assert ask("a\n", {"constraint": "/etc/pip/limits.txt"}).requirements == "-c /etc/pip/limits.txt\na\n"


@pytest.mark.parametrize(
    ("options", "requirements", "told"),
    [
        ({"use-feature": "x"}, "", "pip.conf sets use-feature, which uv has no equal of"),
        ({"target": "/x"}, "", "pip.conf sets target"),
        ({"prefer-binary": "true"}, "", "pip.conf sets prefer-binary"),
        ({"pre": "perhaps"}, "", "neither true nor false"),
        ({"find-links": "wheels"}, "", "pip.conf names a directory of packages by a relative path"),
        ({"constraint": "limits.txt"}, "", "relative path"),
        ({"keyring-provider": "import"}, "", "pip.conf sets keyring-provider"),
        ({"index-url": "http://inside/s"}, "", "inside is not asked over https and no trusted-host"),
        ({}, "--find-links ./wheels\n", "a line of the requirements names a directory of packages by a relative path"),
        ({}, "--prefer-binary\n", "the requirements have the option --prefer-binary"),
        ({}, "--use-feature=fast-deps\n", "--use-feature"),
        ({}, "--index-url https://${TOKEN}@a/s\n", "takes a value from a variable"),
        ({}, "--no-binary :none:\n", ":none:"),
        ({"only-binary": ":all:"}, "--no-binary a\n", "combine differently"),
        ({}, "-r more.txt\n", "the requirements cannot be read again: they name another file"),
        ({}, "a==1 --config-settings=x=y\n", "a requirement has the option --config-settings"),
        ({}, "a @ hg+https://me:s3cret@h/a\n", "uv cannot fetch from hg"),
        ({}, "-e git+https://h/a#egg=a\n", "uv makes only local projects editable"),
        ({"index-url": "https://[bad/s"}, "", "address that cannot be read"),
    ],
)
def test_what_uv_cannot_do_as_pip_does_it_is_left_to_pip_and_says_why(options, requirements, told) -> None:
    obstacles = ask(requirements, options).obstacles
    assert any(told in obstacle for obstacle in obstacles), obstacles
    assert "s3cret" not in "".join(obstacles)


def test_constraints_are_given_as_they_are_unless_uv_cannot_read_them() -> None:
    assert ask("a\n", constraints="b<2\n").obstacles == ()
    assert ask("a\n", constraints="b @ svn+https://h/b\n").obstacles == (
        "uv cannot fetch from svn: b @ svn+https://h/b",
    )


def test_an_index_without_encryption_is_fine_where_pip_takes_it() -> None:
    trusted = {"index-url": "http://inside/s", "trusted-host": "inside"}
    for options in (trusted, {"index-url": "http://localhost:3141/s"}):
        assert ask("", options).obstacles == ()


@given(
    st.dictionaries(
        st.sampled_from(["index-url", "extra-index-url", "find-links", "trusted-host", "no-binary", "proxy", "x"]),
        st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=60),
)
def test_no_configuration_whatever_gives_a_file_that_says_something_else(
    options: dict[str, str], requirements: str
) -> None:
    request = ask(requirements, options)
    if request.config:
        read = config(request)
        assert read["compile-bytecode"] is True
        if "index-url" in read and "--index-url" not in requirements and "-i" not in requirements:
            assert read["index-url"] == options["index-url"]


# Where it is


def program(directory: Path, text: str, name: str = "uv") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_setting_wins_over_the_path_and_both_are_asked_for_their_release(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin", "echo uv 0.9.1")
    named = program(tmp_path / "opt", "echo uv 0.8.0", "uv-8")
    finder, environ = UvFinder(), {"PATH": str(tmp_path / "bin")}
    assert finder.find("", "", environ, None) == UvTool(str(on_path), "0.9.1", "$PATH")
    assert finder.find(str(named), "file:3", environ, None) == UvTool(str(named), "0.8.0", "file:3")


def test_it_is_asked_again_only_when_it_is_another_one(tmp_path: Path) -> None:
    log = tmp_path / "asked"
    path = program(tmp_path / "bin", f"echo x >> {log}; echo uv 0.9.1")
    finder = UvFinder()
    for _ in range(3):
        assert finder.find(str(path), "", {}, None).version == "0.9.1"
    assert log.read_text() == "x\n"
    program(tmp_path / "bin", "echo uv 0.10.0")
    assert finder.find(str(path), "", {}, None).version == "0.10.0"


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("echo uv 0.4.30", "uv-not-usable", "is too old: it is uv 0.4.30"),
        ("echo pip 24.0", "uv-not-usable", "does not tell which release of uv it is"),
        ("exit 3", "uv-not-usable", "does not tell which release"),
        (None, "uv-not-found", "cannot be looked at"),
    ],
)
def test_why_it_cannot_be_used(tmp_path: Path, script: str | None, code: str, told: str) -> None:
    path = program(tmp_path / "bin", script) if script else tmp_path / "none"
    problem = UvFinder().find(str(path), "file:3", {}, None).problem
    assert problem is not None
    assert (problem.code, told in problem.message) == (code, True)


def test_without_one_the_problem_says_how_to_get_it(tmp_path: Path) -> None:
    problem = UvFinder().find("", "", {"PATH": str(tmp_path)}, None).problem
    assert problem is not None
    assert problem.code == "uv-not-found"
    assert "[Envdeck]" in problem.hint


def test_a_file_that_is_no_program_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "uv"
    path.write_bytes(os.urandom(64))
    path.chmod(0o755)
    problem = UvFinder().find(str(path), "", {}, None).problem
    assert problem is not None
    assert problem.code == "uv-not-usable"
