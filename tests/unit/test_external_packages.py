"""External packages: package-management-posit.txt, "External package installation"; connect.md §8.1; builds.md, C."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine.builds.overlay import overlay_digest, overlay_links
from engine.installations.externals import Command, ExternalPackage, external_checks
from engine.installations.model import CheckStatus, ProbeFailure

SITE = "/opt/python/lib/python3.11/site-packages"


def package(name: str, *entries: str, version: str = "1.0", location: str = SITE) -> ExternalPackage:
    return ExternalPackage(canonicalize_name(name), Version(version), location, entries or (name,))


HAS = {p.name: p for p in (package("numpy", version="1.26.4"), package("zope-interface", version="6.0"))}


# "Posit Connect will report an error during startup if some of the external Python packages are missing from any
# configured Python installation", unless ExternalsCheckIsFatal = false. Names as PEP 503 tells (connect.md §8.1).
@pytest.mark.parametrize(
    ("wanted", "fatal", "expected"),
    [
        ([], True, []),
        (["numpy"], True, [("external", CheckStatus.OK)]),
        (["NumPy", "Zope.Interface"], True, [("external", CheckStatus.OK)] * 2),
        (["numpy", "NUMPY", ""], True, [("external", CheckStatus.OK)]),
        (["scipy"], True, [("external-missing", CheckStatus.FAILED)]),
        (["scipy"], False, [("external-missing", CheckStatus.WARNING)]),
        (["numpy", "scipy"], False, [("external", CheckStatus.OK), ("external-missing", CheckStatus.WARNING)]),
    ],
)
def test_every_external_package_is_checked(
    wanted: list[str], fatal: bool, expected: list[tuple[str, CheckStatus]]
) -> None:
    checks = external_checks(HAS, wanted, fatal=fatal, executable="/opt/python/bin/python3")
    assert [(check.code, check.status) for check in checks] == expected


def test_a_check_names_the_version_that_is_there_or_the_command_that_installs_it() -> None:
    there, missing = external_checks(HAS, ["numpy", "scipy"], fatal=True, executable="/opt/my python/bin/python3")
    assert there.finding == "the external package numpy is installed: 1.26.4"
    assert missing.finding == "the external package scipy is not installed"
    assert missing.remedy.startswith("'/opt/my python/bin/python3' -m pip install scipy,")
    assert "ExternalsCheckIsFatal = false" in missing.remedy


@pytest.mark.parametrize(("fatal", "status"), [(True, CheckStatus.FAILED), (False, CheckStatus.WARNING)])
def test_an_interpreter_that_does_not_answer_gives_one_check(fatal: bool, status: CheckStatus) -> None:
    failure = ProbeFailure("timeout", "it hangs")
    (check,) = external_checks(failure, ["numpy", "scipy"], fatal=fatal, executable="/x")
    assert (check.code, check.status) == ("externals-unknown", status)
    assert "it hangs" in check.finding
    assert external_checks(failure, [], fatal=fatal, executable="/x") == ()


def test_links_lead_to_what_each_package_owns() -> None:
    links = overlay_links([package("a", "a", "a-1.dist-info", "goo/a"), package("b", "goo/b", location="/usr/lib/")])
    assert {str(path): source for path, source in links.items()} == {
        "a": f"{SITE}/a",
        "a-1.dist-info": f"{SITE}/a-1.dist-info",
        "goo/a": f"{SITE}/goo/a",
        "goo/b": "/usr/lib/goo/b",
    }


def test_nothing_is_ever_put_below_a_link() -> None:
    """It would be written into the installation: trap 7 of builds.md."""
    links = overlay_links([package("a", "goo/a/b"), package("b", "goo"), package("c", "goo/a")])
    assert list(links) == [PurePosixPath("goo")]


entries = st.lists(st.sampled_from(["a", "a/b", "a/b/c", "a/d", "e", "e/f", "g.py"]), max_size=5)


@given(st.lists(st.tuples(st.sampled_from("pqr"), entries), max_size=4))
def test_no_link_is_above_another(described: list[tuple[str, list[str]]]) -> None:
    links = overlay_links([package(name, *paths) for name, paths in described])
    assert not [path for path in links if any(parent in links for parent in path.parents)]


@pytest.mark.parametrize(
    "other",
    [
        [package("a", version="1.1"), package("b")],
        [package("a", location="/usr/lib"), package("b")],
        [package("a", "a", "a.libs"), package("b")],
        [package("a")],
    ],
    ids=["version", "place", "files", "set"],
)
def test_another_set_of_packages_is_another_overlay(other: list[ExternalPackage]) -> None:
    assert overlay_digest(other) != overlay_digest([package("a"), package("b")])


def test_the_same_packages_share_an_overlay_whatever_their_order() -> None:
    assert overlay_digest([package("b"), package("a")]) == overlay_digest([package("a"), package("b")])


def test_other_commands_are_another_overlay() -> None:
    with_command = ExternalPackage(
        canonicalize_name("a"), Version("1.0"), SITE, ("a",), commands=(Command("a", "a", "main"),)
    )
    assert overlay_digest([with_command]) != overlay_digest([package("a")])
