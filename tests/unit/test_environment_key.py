"""The key: package-management-posit.txt, "Environment Caching"; connect.md §6.3; builds.md, section D."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine import LineKind, PackagePlan, RequirementLine, Where
from engine.environments.model import Ingredients
from engine.packages.key import environment_key, key_ingredients, key_lines, normalize_line
from engine.packages.plan import PackageRules, external_names, plan_packages

INTERPRETER = {"version": "3.11.7", "base_prefix": "/opt/python/3.11.7"}


def plan(*texts: str, rules: PackageRules | None = None) -> PackagePlan:
    lines = []
    for number, text in enumerate(texts, 1):
        where = Where("requirements.txt", number, 1)
        if text.startswith("--"):
            lines.append(RequirementLine(text, where, LineKind.OPTION, option=text.split()[0]))
        else:
            requirement = Requirement(text.split(" --")[0])
            name = canonicalize_name(requirement.name)
            lines.append(RequirementLine(text, where, LineKind.REQUIREMENT, name, requirement))
    return plan_packages(lines, rules or PackageRules())


def ingredients(packages: PackagePlan, **changes: object) -> dict[str, object]:
    given: dict[str, object] = {
        "installer": "pip",
        "target": "Local",
        "interpreter": INTERPRETER,
        "index": {},
    }
    return key_ingredients(packages, **(given | changes))  # type: ignore[arg-type]


def key(*texts: str, **changes: object) -> str:
    return environment_key(ingredients(plan(*texts), **changes))


def test_a_key_is_22_characters_of_url_safe_base64() -> None:
    """connect.md §6.3: the server's own names are 16 bytes in this form."""
    assert len(key("flask")) == 22
    assert set(key("flask")) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["flask", "six"], ["six", "flask"]),
        (["Flask==3.0"], ["flask == 3.0"]),
        (["zope.interface"], ["zope-interface"]),
        (["a[y,x]>=1,<2"], ["a[x,y]<2,>=1"]),
        (["flask", "flask"], ["flask"]),
        (["six==1 --hash=sha256:b --hash=sha256:a"], ["six==1 --hash=sha256:a --hash=sha256:b"]),
    ],
)
def test_lists_that_mean_the_same_share_an_environment(one: list[str], other: list[str]) -> None:
    assert key(*one) == key(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["flask"], ["flask==3.0"]),
        (["flask"], ["flask", "six"]),
        (["flask"], ["flask; python_version > '3'"]),
        (["six==1 --hash=sha256:a"], ["six==1"]),
        (["--index-url https://a/simple", "six"], ["--index-url https://b/simple", "six"]),
        (
            ["--extra-index-url https://a", "--extra-index-url https://b"],
            ["--extra-index-url https://b", "--extra-index-url https://a"],
        ),
    ],
)
def test_any_difference_that_matters_gives_another_environment(one: list[str], other: list[str]) -> None:
    assert key(*one) != key(*other)


@pytest.mark.parametrize(
    "change",
    [
        {"installer": "uv"},
        {"target": "image:1"},
        {"interpreter": {**INTERPRETER, "version": "3.11.8"}},
        {"index": {"index-url": "https://mirror/simple"}},
        {"source_digest": "abc"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_other_ingredient_counts_too(change: dict[str, object]) -> None:
    assert key("flask", **change) != key("flask")


def test_credentials_are_not_part_of_the_key() -> None:
    one, other = {"index-url": "https://a:b@host/simple"}, {"index-url": "https://c:d@host/simple"}
    assert key("flask", index=one) == key("flask", index=other)


SITE = "/opt/python/3.11.7/lib/python3.11/site-packages"
NUMPY = ("numpy", "1.26.4", SITE)
SIX = ("six", "1.16.0", SITE)


@pytest.mark.parametrize(
    "change",
    [
        {"externals": [NUMPY]},
        {"externals": [("numpy", "1.26.5", SITE), SIX]},
        {"externals": [("numpy", "1.26.4", "/usr/lib/python3/dist-packages"), SIX]},
        {"externals": [NUMPY, SIX], "external_version_matching": True},
        {},
    ],
    ids=["another-set", "another-version", "another-place", "another-way-of-matching", "none"],
)
def test_what_is_seen_of_the_installation_decides_too(change: dict[str, object]) -> None:
    """builds.md, section C: the key must hold name, version and base path."""
    assert key("flask", **change) != key("flask", externals=[NUMPY, SIX])


def test_the_order_of_externals_does_not_matter() -> None:
    assert key("flask", externals=[NUMPY, SIX]) == key("flask", externals=[SIX, NUMPY])


def test_without_externals_their_settings_leave_no_trace() -> None:
    assert "externals" not in ingredients(plan("flask"), external_version_matching=True)
    assert key("flask", external_version_matching=True) == key("flask")


def test_the_lines_of_externals_count_as_pip_is_given_them() -> None:
    rules = PackageRules(
        external=external_names([("numpy", "x:1")]), visible={canonicalize_name("numpy"): Version("1.26.4")}
    )
    packages = plan("numpy==1.15", "flask", rules=rules)
    assert key_lines(packages) == ("flask", "numpy==1.26.4")
    assert ingredients(packages)["constraints"] == ["numpy==1.26.4"]
    assert ingredients(plan("numpy==1.14", "flask", rules=rules)) == ingredients(packages)


names = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,8}[A-Za-z0-9]", fullmatch=True)
requirements = st.builds(
    lambda name, spec: name + spec, names, st.sampled_from(["", "==1.0", ">=1,<2", "~=3.1", " != 2 ", "[x]==1"])
)


@given(st.lists(requirements, max_size=8))
def test_the_order_and_repetition_of_requirements_never_matter(lines: list[str]) -> None:
    assert key(*lines) == key(*reversed(lines), *lines)


@given(requirements)
def test_normalising_twice_changes_nothing_more(line: str) -> None:
    assert normalize_line(normalize_line(line)) == normalize_line(line)


def test_the_lines_of_the_key_are_fit_to_be_shown() -> None:
    assert key_lines(plan("Six @ https://me:secret@host/six-1-py3-none-any.whl")) == (
        "six @ https://****@host/six-1-py3-none-any.whl",
    )


def test_the_ingredients_of_an_environment_give_its_key_again() -> None:
    made_from = ingredients(plan("flask==3.0.3", "click"))
    kept = Ingredients(made_from, ("click", "flask==3.0.3"))
    assert environment_key(kept) == environment_key(made_from)


@given(st.integers())
def test_a_key_never_looks_like_an_option(number: int) -> None:
    assert not environment_key({"number": number}).startswith("-")
