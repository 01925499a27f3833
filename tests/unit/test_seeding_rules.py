"""What may come from the wheel store: only what pip would have installed, file by file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.packages.seeding import Seedable, seedable
from engine.wheels.model import index_digest

PYTHON = {
    "implementation": "CPython",
    "version": "3.11.7",
    "soabi": "cpython-311-x86_64-linux-gnu",
    "platform": "linux-x86_64",
    "libc": "glibc 2.36",
    "pointer_bits": 64,
    "base_prefix": "/opt/python/3.11.7",
}
HASH = "a" * 64
OTHER = "b" * 64


def judged(text: str, constraints: str = "", **settings: str) -> Seedable:
    named = {name.replace("_", "-"): value for name, value in settings.items()}
    return seedable(text, constraints, settings=named, interpreter=PYTHON)


def pins(text: str, constraints: str = "", **settings: str) -> list[str]:
    return [f"{pin.name}=={pin.version}" for pin in judged(text, constraints, **settings).pins]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flask==3.0.3", ["flask==3.0.3"]),
        ("Flask == 3.0.3", ["flask==3.0.3"]),
        ("zope.interface==6.0.0", ["zope-interface==6.0.0"]),
        ("flask[async]==3.0.3", ["flask==3.0.3"]),
        ("torch==2.1+cpu", ["torch==2.1+cpu"]),
        ("flask==3.0.3 ; python_version >= '3.8'", ["flask==3.0.3"]),
        ("flask==3.0.3 ; python_full_version == '3.11.7'", ["flask==3.0.3"]),
        ("flask==3.0.3 ; platform_python_implementation == 'CPython'", ["flask==3.0.3"]),
        ("flask==3.0.3 ; python_version < '3.8'", []),
        ("flask==3.0.3 ; sys_platform == 'win32'", []),
        ("flask", []),
        ("flask>=3", []),
        ("flask==3.*", []),
        ("flask===3.0.3", []),
        ("flask==3.0.3,!=3.0.2", []),
        ("flask @ https://example.org/flask-3.0.3-py3-none-any.whl", []),
        ("https://example.org/flask-3.0.3-py3-none-any.whl", []),
        ("git+https://example.org/flask@" + "a" * 40, []),
        ("./flask", []),
        ("-e ./flask", []),
        ("flask==3.0.3 --config-settings=a=b", []),
        ("flask==3.0.3 --global-option=x", []),
    ],
)
def test_only_an_exact_pin_of_the_index_is_seeded(line: str, expected: list[str]) -> None:
    assert pins(line) == expected


def test_a_name_that_two_lines_ask_for_differently_is_left_to_pip() -> None:
    assert pins("flask==3.0.3\nflask==3.0.2") == []
    assert pins("flask==3.0.3\nFlask==3.0.3") == ["flask==3.0.3"]
    assert pins("flask==3.0.3\nflask>3") == []


def test_with_hashes_only_what_they_allow_is_seeded() -> None:
    found = judged(f"flask==3.0.3 --hash=sha256:{HASH} --hash=sha256:{OTHER}\njinja2==3.1.4\n")
    (pin,) = found.pins
    assert pin.name == "flask"
    assert (pin.allows(HASH), pin.allows(OTHER), pin.allows("c" * 64)) == (True, True, False)
    # pip would refuse this line, and must be given the chance to.
    assert "hashes count" in found.left["jinja2"]


@pytest.mark.parametrize("demand", ["--require-hashes\nflask==3.0.3", f"flask==3.0.3 --hash=sha512:{HASH * 2}"])
def test_where_hashes_count_a_pin_without_a_known_one_is_left_to_pip(demand: str) -> None:
    assert pins(demand) == []


def test_a_configuration_that_demands_hashes_counts_like_an_option() -> None:
    assert pins("flask==3.0.3", require_hashes="true") == []
    assert pins("flask==3.0.3", require_hashes="no") == ["flask==3.0.3"]


def test_a_hash_in_a_constraint_is_left_to_pip() -> None:
    assert pins("flask==3.0.3\njinja2==3.1.4", f"flask==3.0.3 --hash=sha256:{HASH}") == ["jinja2==3.1.4"]


def test_what_has_to_be_built_from_source_is_not_seeded() -> None:
    both = "flask==3.0.3\njinja2==3.1.4\n"
    assert pins("--no-binary flask\n" + both) == ["jinja2==3.1.4"]
    assert pins("--no-binary=:all:\n" + both) == []
    assert pins("--no-binary=:none:\n" + both) == ["flask==3.0.3", "jinja2==3.1.4"]
    assert pins(both, no_binary="Flask,other") == ["jinja2==3.1.4"]
    assert pins("--only-binary :all:\n" + both) == ["flask==3.0.3", "jinja2==3.1.4"]


def test_what_the_installation_provides_is_not_seeded() -> None:
    found = seedable("numpy==1.26.4\nflask==3.0.3", settings={}, interpreter=PYTHON, externals=["NumPy"])
    assert [pin.name for pin in found.pins] == ["flask"]
    assert found.left["numpy"] == "the installation provides it"


@pytest.mark.parametrize(
    "option",
    [
        "--index-url https://example.org/simple",
        "--extra-index-url https://example.org/simple",
        "--find-links wheels",
        "--no-index",
        "--trusted-host example.org",
        "--use-feature fast-deps",
    ],
)
def test_requirements_that_choose_their_own_index_do_without_the_store(option: str) -> None:
    found = judged(f"{option}\nflask==3.0.3")
    assert found.pins == ()
    assert option.split()[0] in found.unusable


@pytest.mark.parametrize("setting", ["target", "user", "no-deps", "ignore-installed", "platform", "what-comes-next"])
def test_a_configuration_that_may_change_what_is_installed_does_without_the_store(setting: str) -> None:
    assert setting in judged("flask==3.0.3", **{setting.replace("-", "_"): "1"}).unusable


def test_settings_about_the_way_to_the_index_do_not_matter() -> None:
    about = {"timeout": "60", "proxy": "http://proxy", "cert": "/etc/ca.pem", "index-url": "https://example.org"}
    assert judged("flask==3.0.3", **{name.replace("-", "_"): value for name, value in about.items()}).unusable == ""


def test_other_implementations_do_without_the_store() -> None:
    found = seedable("flask==3.0.3", settings={}, interpreter=PYTHON | {"implementation": "PyPy"})
    assert "PyPy" in found.unusable


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("flask==3.0.3\njinja2===3.1.4", ""),
        ("flask==3.0.3\njinja2", "jinja2 is not pinned"),
        ("flask==3.0.3\njinja2>=3", "jinja2 is not pinned"),
        ("./local", "a line comes from a project directory in the bundle, not from the index"),
        ("-e ./local", "a line comes from a project directory in the bundle, not from the index"),
        ("file:./local", "a line comes from a project directory in the bundle, not from the index"),
        ("./wheels/x-1-py3-none-any.whl", "x comes from an archive in the bundle, not from the index"),
        ("/srv/local", "a line comes from a project directory on the machine that builds, not from the index"),
        (
            "--editable=file:///srv/x",
            "a line comes from a project directory on the machine that builds, not from the index",
        ),
        ("x @ file:///srv/x.tar.gz", "x comes from an archive on the machine that builds, not from the index"),
        ("-e git+https://example.org/x#egg=x", "x comes from a version control repository, not from the index"),
        ("x @ git+ssh://git@example.org/x.git", "x comes from a version control repository, not from the index"),
        ("https://example.org/x.zip", "a line comes from an address, not from the index"),
        ("flask @ https://example.org/f.whl#sha256=" + HASH, "flask comes from an address, not from the index"),
    ],
)
def test_only_lines_that_mean_the_same_tomorrow_are_replayed(text: str, why: str) -> None:
    assert judged(text).mutable == why


def test_what_is_asked_for_by_name_counts_as_requested() -> None:
    text = "flask==3.0.3\nJinja2>=3\nclick==8 ; sys_platform == 'win32'\n"
    assert judged(text).requested == {"flask", "jinja2"}


def test_what_a_pin_is_served_depends_on_index_and_interpreter_not_on_where_that_lies() -> None:
    index = {"index-url": "https://user:secret@example.org/simple"}
    served = index_digest(index, PYTHON)
    assert served == index_digest({"index-url": "https://user:changed@example.org/simple"}, PYTHON)
    assert served == index_digest(index, PYTHON | {"base_prefix": "/usr/local"})
    others = [
        index_digest({}, PYTHON),
        index_digest(index | {"pre": "1"}, PYTHON),
        index_digest(index, PYTHON | {"version": "3.11.8"}),
        index_digest(index, PYTHON | {"libc": "musl 1.2"}),
    ]
    assert len({served, *others}) == 5


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_is_judged_without_an_error(text: str, constraints: str) -> None:
    found = judged(text, constraints)
    assert found.unusable or found.pins is not None
