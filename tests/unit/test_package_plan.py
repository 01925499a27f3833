"""The package plan: package-management-posit.txt, "Excluding Python Packages"; connect.md §8.2."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from engine import Action, LineKind, RequirementLine, Where
from engine.packages.plan import plan_packages, prohibited_names


def line(text: str, number: int = 1, **fields: object) -> RequirementLine:
    requirement = Requirement(text.split(" --")[0])
    return RequirementLine(
        text,
        Where("requirements.txt", number, 1),
        LineKind.REQUIREMENT,
        canonicalize_name(requirement.name),
        requirement,
        **fields,  # type: ignore[arg-type]
    )


def option(text: str) -> RequirementLine:
    return RequirementLine(text, Where("requirements.txt", 9, 1), LineKind.OPTION, option=text.split()[0])


def test_prohibited_lines_are_dropped_and_reported_with_who_prohibits_them() -> None:
    prohibited = prohibited_names([("Internal_Tool", "/etc/connect.gcfg:7")])
    plan = plan_packages([line("appnope==0.1.3"), line("internal.tool>=2", 2), line("flask", 3)], prohibited)
    assert [(p.action, p.effective) for p in plan.lines] == [
        (Action.PROHIBITED, ""),
        (Action.PROHIBITED, ""),
        (Action.INSTALL, "flask"),
    ]
    assert plan.lines[0].reason == "appnope is prohibited by the built-in list"
    assert plan.lines[1].reason == "internal-tool is prohibited by /etc/connect.gcfg:7"
    assert plan.requirements_text == "flask\n"


@pytest.mark.parametrize("spelling", ["PyWinPTY", "pywinpty", "Pywinpty"])
def test_names_are_compared_as_pep_503_tells(spelling: str) -> None:
    plan = plan_packages([line(f"{spelling}==2.0")], prohibited_names([]))
    assert plan.lines[0].action is Action.PROHIBITED


def test_an_exclamation_mark_takes_a_name_off_the_built_in_list() -> None:
    plan = plan_packages([line("appnope")], prohibited_names([("!AppNope", "x:1")]))
    assert plan.lines[0].action is Action.INSTALL


def test_options_and_constraints_keep_their_place_in_the_files_for_pip() -> None:
    lines = [option("--no-index"), line("flask"), line("six<2", constraint=True), option("--find-links ./w")]
    plan = plan_packages(lines, prohibited_names([]))
    assert plan.requirements_text == "--no-index\nflask\n--find-links ./w\n"
    assert plan.constraints_text == "six<2\n"


def test_a_password_reaches_pip_but_not_the_screen() -> None:
    plan = plan_packages([option("--index-url https://me:secret@host/simple")], prohibited_names([]))
    assert "secret" in plan.requirements_text
    assert "secret" not in plan.lines[0].requirement


def test_a_local_project_needs_the_bundles_files_unless_it_is_dropped() -> None:
    local = RequirementLine("./appnope", Where("r", 1), LineKind.SOURCE, canonicalize_name("appnope"), local=True)
    assert not plan_packages([local], prohibited_names([])).needs_source
    assert plan_packages([local], {}).needs_source
