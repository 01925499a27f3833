"""The package plan: package-management-posit.txt, "Package Installation", "External package installation", "External
Package Version Matching", "Excluding Python Packages"; connect.md §6.2, §8; builds.md, section C."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from engine import Action, LineKind, PackagePlan, PlannedLine, RequirementLine, Where
from engine.packages.plan import PackageRules, external_names, plan_packages, prohibited_names
from engine.packages.support import BUILT_IN_SUPPORT, SupportPackage, support_error, support_packages
from tests.records import replace

DEFAULT = PackageRules(prohibited=prohibited_names([]))


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


def source(text: str, name: str, *, local: bool = False) -> RequirementLine:
    return RequirementLine(text, Where("requirements.txt", 1), LineKind.SOURCE, canonicalize_name(name), local=local)


def versions(**installed: str) -> dict[NormalizedName, Version]:
    return {canonicalize_name(name): Version(version) for name, version in installed.items()}


def externals(*names: str, strict: bool = False, **installed: str) -> PackageRules:
    """Rules for an installation that has `installed`, of which `names` are external."""
    return PackageRules(
        external=external_names([(name, "server.gcfg:7") for name in names]),
        visible=versions(**installed),
        external_version_matching=strict,
    )


def only(plan: PackagePlan) -> PlannedLine:
    """The one line of the plan that is not a constraint."""
    (planned,) = (p for p in plan.lines if p.action is not Action.CONSTRAINT)
    return planned


class TestProhibited:
    def test_prohibited_lines_are_dropped_and_reported_with_who_prohibits_them(self) -> None:
        rules = PackageRules(prohibited=prohibited_names([("Internal_Tool", "/etc/connect.gcfg:7")]))
        plan = plan_packages([line("appnope==0.1.3"), line("internal.tool>=2", 2), line("flask", 3)], rules)
        assert [(p.action, p.effective) for p in plan.lines] == [
            (Action.PROHIBITED, ""),
            (Action.PROHIBITED, ""),
            (Action.INSTALL, "flask"),
        ]
        assert plan.lines[0].reason == "appnope is prohibited by the built-in list"
        assert plan.lines[1].reason == "internal-tool is prohibited by /etc/connect.gcfg:7"
        assert plan.requirements_text == "flask\n"

    @pytest.mark.parametrize("spelling", ["PyWinPTY", "pywinpty", "Pywinpty"])
    def test_names_are_compared_as_pep_503_tells(self, spelling: str) -> None:
        plan = plan_packages([line(f"{spelling}==2.0")], DEFAULT)
        assert plan.lines[0].action is Action.PROHIBITED

    def test_an_exclamation_mark_takes_a_name_off_the_built_in_list(self) -> None:
        plan = plan_packages([line("appnope")], PackageRules(prohibited=prohibited_names([("!AppNope", "x:1")])))
        assert plan.lines[0].action is Action.INSTALL

    def test_what_is_prohibited_is_not_used_from_the_installation_either(self) -> None:
        rules = replace(externals("six", six="1.16"), prohibited=prohibited_names([("six", "x:1")]))
        assert only(plan_packages([line("six==1.15")], rules)).action is Action.PROHIBITED


def test_options_and_constraints_keep_their_place_in_the_files_for_pip() -> None:
    lines = [option("--no-index"), line("flask"), line("six<2", constraint=True), option("--find-links ./w")]
    plan = plan_packages(lines, DEFAULT)
    assert plan.requirements_text == "--no-index\nflask\n--find-links ./w\n"
    assert plan.constraints_text == "six<2\n"


def test_a_password_reaches_pip_but_not_the_screen() -> None:
    plan = plan_packages([option("--index-url https://me:secret@host/simple")], DEFAULT)
    assert "secret" in plan.requirements_text
    assert "secret" not in plan.lines[0].requirement


def test_a_local_project_needs_the_bundles_files_unless_it_is_dropped_or_replaced() -> None:
    local = source("./six", "six", local=True)
    assert plan_packages([local], DEFAULT).needs_source
    prohibiting = PackageRules(prohibited=prohibited_names([("six", "x:1")]))
    assert not plan_packages([local], prohibiting).needs_source
    assert not plan_packages([local], externals("six", six="1.16")).needs_source


def test_a_line_that_pip_is_certain_to_fail_on_is_dropped_and_says_why() -> None:
    """connect.md §5.4: lists frozen on a desktop name paths that no server has."""
    plan = plan_packages([source("C:\\wheels\\foo-1.0-py3-none-any.whl", "foo"), line("flask==3.0")], DEFAULT)
    assert (plan.lines[0].action, plan.lines[0].effective) == (Action.REFUSED, "")
    assert plan.lines[0].reason == "a Windows path, which no server can read"
    assert plan.requirements_text == "flask==3.0\n"


def test_a_line_that_names_a_path_of_the_authors_machine_is_rewritten_to_the_package() -> None:
    planned = only(plan_packages([line("numpy @ file:///croot/numpy_1/work")], DEFAULT))
    assert (planned.action, planned.effective, planned.mutable) == (Action.REWRITTEN, "numpy", True)


def test_what_may_surprise_later_is_noted_on_a_line_that_stays_as_it_is() -> None:
    planned = only(plan_packages([line("flask")], DEFAULT))
    assert (planned.action, planned.effective, planned.mutable) == (Action.INSTALL, "flask", True)
    assert "no version is pinned" in planned.notes[0]
    assert not only(plan_packages([line("flask==3.0")], DEFAULT)).mutable


# package-management-posit.txt, "External Package Version Matching": "if an uploaded bundle requests numpy==1.15 and the
# Python installation in Posit Connect has numpy 1.18.1 installed, the external version will be used". T1 of builds.md,
# section C: keep extras and marker, drop hashes.
@pytest.mark.parametrize(
    ("asked", "effective", "reason"),
    [
        ("numpy==1.15", "numpy==1.18.1", "numpy 1.18.1 of the installation is used, although ==1.15 is asked for"),
        ("numpy==1.18.1", "numpy==1.18.1", "numpy 1.18.1 of the installation is used"),
        ("numpy", "numpy==1.18.1", "numpy 1.18.1 of the installation is used"),
        ("NumPy>=2", "numpy==1.18.1", "numpy 1.18.1 of the installation is used, although >=2 is asked for"),
        ("numpy[b,a]==1.15", "numpy[a,b]==1.18.1", "numpy 1.18.1 of the installation is used, although ==1.15"),
        ('numpy==1.15; python_version < "3.9"', 'numpy==1.18.1 ; python_version < "3.9"', "numpy 1.18.1 of"),
        ("numpy @ https://host/numpy-1.15.zip", "numpy==1.18.1", "numpy 1.18.1 of the installation is used, not the"),
        ("numpy @ file:///croot/numpy/work", "numpy==1.18.1", "numpy 1.18.1 of the installation is used"),
        ("numpy==1.15 --hash=sha256:aa", "numpy==1.18.1", "numpy 1.18.1 of the installation is used, although"),
    ],
)
def test_by_name_the_installations_version_is_used_whatever_is_asked_for(
    asked: str, effective: str, reason: str
) -> None:
    plan = plan_packages([line(asked)], externals("numpy", numpy="1.18.1"))
    planned = only(plan)
    assert (planned.action, planned.effective, planned.mutable) == (Action.EXTERNAL, effective, False)
    assert planned.reason.startswith(reason)
    assert bool(planned.notes) == ("--hash" in asked)
    assert plan.constraints_text == "numpy==1.18.1\n"


@pytest.mark.parametrize("text", ["git+https://host/numpy#egg=numpy", "./numpy", "-e ./numpy", "/home/me/numpy"])
def test_by_name_a_project_gives_way_to_the_installations_version(text: str) -> None:
    planned = only(plan_packages([source(text, "numpy")], externals("numpy", numpy="1.18.1")))
    assert (planned.action, planned.effective) == (Action.EXTERNAL, "numpy==1.18.1")


def test_by_name_a_limit_on_an_external_is_ignored() -> None:
    plan = plan_packages([line("numpy<1.16", constraint=True)], externals("numpy", numpy="1.18.1"))
    assert only(plan).action is Action.EXTERNAL
    assert "the limit is ignored" in only(plan).reason
    assert plan.constraints_text == "numpy==1.18.1\n"
    assert plan.requirements_text == ""
    assert plan.requested == ()


def test_by_name_nothing_that_the_environment_sees_of_the_installation_can_be_hidden() -> None:
    """T3 and T3c: without a constraint pip silently installs another copy for a dependency."""
    rules = externals("pandas", pandas="2.2", numpy="1.26.4", six="1.16")
    plan = plan_packages([line("flask")], rules)
    assert plan.constraints_text == "numpy==1.26.4\npandas==2.2\nsix==1.16\n"
    assert {str(p.where) for p in plan.of(Action.CONSTRAINT)} == {"server.gcfg:7", "the externals"}
    assert plan.requirements_text == "flask\n"


def test_a_dependency_of_an_external_that_the_bundle_lists_is_installed_as_requested() -> None:
    """Same document: "Any packages not defined as external are still installed"."""
    rules = externals("pandas", pandas="2.2", numpy="1.26.4")
    plan = plan_packages([line("pandas==1.5"), line("numpy==1.24")], rules)
    assert plan.requirements_text == "pandas==2.2\nnumpy==1.24\n"
    assert plan.constraints_text == "pandas==2.2\n"


def test_an_external_that_the_installation_lacks_is_installed() -> None:
    """ExternalsCheckIsFatal = false: each installation has externals of its own."""
    plan = plan_packages([line("numpy==1.15")], externals("numpy"))
    assert (only(plan).action, only(plan).effective) == (Action.INSTALL, "numpy==1.15")
    assert only(plan).reason.endswith("server.gcfg:7 makes it external, but the installation does not have it")
    assert plan.constraints_text == ""


# Same document: "the version requested in the bundle's requirements.txt file will be installed if needed, and the
# external version will only be used if it's the correct version". T4: the line is unchanged, nothing is constrained.
@pytest.mark.parametrize(
    ("asked", "others", "action"),
    [
        ("numpy==1.18.1", (), Action.EXTERNAL),
        ("numpy==1.18.*", (), Action.EXTERNAL),
        ("numpy>=1.15,<2", (), Action.EXTERNAL),
        ("numpy", (), Action.EXTERNAL),
        ("numpy~=1.18.0", (), Action.EXTERNAL),
        ("numpy==1.15", (), Action.INSTALL),
        ("numpy>1.18.1", (), Action.INSTALL),
        ("numpy @ https://host/numpy-1.18.1.zip", (), Action.INSTALL),
        ("numpy>=1.15", (line("numpy<1.18", constraint=True),), Action.INSTALL),
        ("numpy>=1.15", (line('numpy==1.12; python_version < "3"'),), Action.EXTERNAL),
    ],
)
def test_by_version_the_external_is_used_only_if_it_is_what_is_asked_for(
    asked: str, others: tuple[RequirementLine, ...], action: Action
) -> None:
    plan = plan_packages([line(asked), *others], externals("numpy", strict=True, numpy="1.18.1"))
    assert (plan.lines[0].action, plan.lines[0].effective) == (action, asked)
    assert "1.18.1" in plan.lines[0].reason


def test_by_version_a_pre_release_that_is_installed_satisfies_as_it_does_for_pip() -> None:
    plan = plan_packages([line("numpy>=1.15")], externals("numpy", strict=True, numpy="2.0.0rc1"))
    assert only(plan).action is Action.EXTERNAL


def test_by_version_nothing_is_constrained() -> None:
    assert plan_packages([line("flask")], externals("numpy", strict=True, numpy="1.18.1")).constraints_text == ""


class TestSupport:
    """ "In addition to the specified dependencies, Posit Connect also installs packages that it uses to deploy and
    render your content"; the list is ours (connect.md §6.2)."""

    NOTEBOOK = PackageRules(support=support_packages("jupyter-static"))

    def test_what_the_content_needs_is_added_behind_the_bundles_own_lines(self) -> None:
        plan = plan_packages([line("pandas==2.2")], self.NOTEBOOK)
        assert plan.requirements_text == "pandas==2.2\nipykernel\nnbconvert\n"
        added = plan.of(Action.SUPPORT)
        assert {str(p.where) for p in added} == {"the built-in list"}
        assert added[0].reason == "jupyter-static content needs it, and the bundle does not list it"

    @pytest.mark.parametrize("listed", ["IPyKernel==6.29", "ipykernel", "ipykernel @ https://host/x.zip"])
    def test_the_bundles_own_line_counts(self, listed: str) -> None:
        plan = plan_packages([line(listed)], self.NOTEBOOK)
        assert [p.name for p in plan.of(Action.SUPPORT)] == ["nbconvert"]

    def test_a_limit_is_no_listing(self) -> None:
        plan = plan_packages([line("nbconvert<7", constraint=True)], self.NOTEBOOK)
        assert [p.name for p in plan.of(Action.SUPPORT)] == ["ipykernel", "nbconvert"]

    def test_it_can_be_external_or_prohibited_like_any_package(self) -> None:
        rules = replace(
            externals("nbconvert", nbconvert="7.16"),
            support=self.NOTEBOOK.support,
            prohibited=prohibited_names([("ipykernel", "x:2")]),
        )
        plan = plan_packages([], rules)
        assert [p.action for p in plan.lines] == [Action.PROHIBITED, Action.EXTERNAL, Action.CONSTRAINT]
        assert plan.requirements_text == "nbconvert==7.16\n"

    @pytest.mark.parametrize("pinned", [line("six==1 --hash=sha256:aa"), option("--require-hashes")])
    def test_next_to_hashes_it_is_left_out_and_reported(self, pinned: RequirementLine) -> None:
        plan = plan_packages([pinned], self.NOTEBOOK)
        assert [p.name for p in plan.of(Action.REFUSED)] == ["ipykernel", "nbconvert"]
        assert "pinned by hash" in plan.of(Action.REFUSED)[0].reason
        assert plan.requirements_text == f"{pinned.text}\n"

    def test_the_built_in_list_is_made_of_bare_names(self) -> None:
        for names in BUILT_IN_SUPPORT.values():
            assert list(names) == sorted(canonicalize_name(name) for name in names)

    @pytest.mark.parametrize(
        ("app_mode", "configured", "expected"),
        [
            ("python-api", (), []),
            ("jupyter-static", (), ["ipykernel", "nbconvert"]),
            ("jupyter-static", ("jupyter-static: !NBconvert",), ["ipykernel"]),
            ("jupyter-static", ("jupyter-static: nbconvert<7",), ["ipykernel", "nbconvert<7"]),
            (
                "python-api",
                ("python-api: gunicorn>=22 ; python_version > '3.8'",),
                ["gunicorn>=22 ; python_version > '3.8'"],
            ),
            ("python-api", ("python-dash:gunicorn",), []),
            ("python-api", ("python-api: one", "python-api:!one", "python-api: two"), ["two"]),
            ("python-api", ("nonsense", "python-api:", ": x", "python-api: a b", "", "python-api: !"), []),
        ],
    )
    def test_the_list_can_be_changed_by_app_mode(
        self, app_mode: str, configured: tuple[str, ...], expected: list[str]
    ) -> None:
        packages = support_packages(app_mode, [(value, f"x:{n}") for n, value in enumerate(configured)])
        assert [p.requirement for p in packages] == expected

    def test_a_configured_package_says_where_it_comes_from(self) -> None:
        (package,) = support_packages("python-api", [("python-api: gunicorn", "server.gcfg:3")])
        assert package == SupportPackage("gunicorn", "python-api", "server.gcfg:3")

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            ("jupyter-static: nbconvert", ""),
            ("jupyter-static: !nbconvert", ""),
            ("nbconvert", "it is not of the form APPMODE: REQUIREMENT"),
            ("jupyter-static:", "it is not of the form APPMODE: REQUIREMENT"),
            ("jupyter-static: a b", "a b is not a requirement"),
            ("jupyter-static: \x1b[31m", "\\x1b[31m is not a requirement"),
        ],
    )
    def test_a_bad_value_is_explained(self, value: str, error: str) -> None:
        assert support_error(value) == error
