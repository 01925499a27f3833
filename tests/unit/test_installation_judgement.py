from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from engine.installations.facts import facts_to_json, parse_facts
from engine.installations.judge import judge, mark_duplicates
from engine.installations.model import CheckStatus, Installation, InterpreterFacts, ProbeFailure, Usability
from tests.records import replace

PREFIX = "/opt/python/3.11.7"
FACTS = InterpreterFacts(
    version=Version("3.11.7"),
    implementation="CPython",
    executable=f"{PREFIX}/bin/python3",
    prefix=PREFIX,
    base_prefix=PREFIX,
    soabi="cpython-311-x86_64-linux-gnu",
    platform="linux-x86_64",
    machine="x86_64",
    pointer_bits=64,
    libc="glibc 2.36",
    pip="23.2.1",
    purelib=f"{PREFIX}/lib/python3.11/site-packages",
    real_executable=f"{PREFIX}/bin/python3.11",
    sys_path=(f"{PREFIX}/lib/python3.11", f"{PREFIX}/lib/python3.11/site-packages"),
)


def judged(
    probed: InterpreterFacts | ProbeFailure = FACTS,
    *,
    declared: str = PREFIX,
    executable: str = f"{PREFIX}/bin/python3",
    real_path: str = f"{PREFIX}/bin/python3.11",
    minimum: str = "3.8",
    origin: str = "/etc/server.gcfg:4",
) -> Installation:
    return judge(
        declared, origin, executable, probed, real_path=real_path, minimum_version=Version(minimum), seconds=0.05
    )


def without(module: str, facts: InterpreterFacts = FACTS) -> InterpreterFacts:
    return replace(facts, missing={**facts.missing, module: f"ImportError: no {module}"})


def test_a_complete_interpreter_is_usable_and_every_check_is_well() -> None:
    installation = judged()
    assert installation.usability is Usability.USABLE
    assert {check.status for check in installation.checks} == {CheckStatus.OK}
    assert [check.code for check in installation.checks] == [
        *("runs", "version", "implementation", "pip", "venv"),
        *("zlib", "ssl", "hashlib", "ctypes", "sqlite3", "bz2", "lzma"),
    ]
    assert installation.reason == ""


@pytest.mark.parametrize(
    ("facts", "code", "in_finding", "in_remedy"),
    [
        (replace(FACTS, version=Version("3.7.16")), "too-old", "3.7.16 is older than the minimum, 3.8", "newer Python"),
        (
            replace(FACTS, prefix="/srv/venv", executable="/srv/venv/bin/python"),
            "is-venv",
            "/srv/venv",
            f"{PREFIX}/bin/python3.11",
        ),
        (
            replace(FACTS, prefix="/srv/venv", base_prefix="/usr", real_executable="/srv/venv/bin/python"),
            "is-venv",
            "/srv/venv",
            "/usr/bin/python3.11",
        ),
        (without("pip", replace(FACTS, pip=None)), "no-pip", "no pip", f"{PREFIX}/bin/python3 -m ensurepip"),
        (
            without("ensurepip", without("pip", replace(FACTS, pip=None))),
            "no-pip",
            "no pip",
            "apt install python3-pip",
        ),
        (
            without("pip", replace(FACTS, pip=None, externally_managed=True)),
            "no-pip",
            "no pip",
            "dnf install python3.11-pip",
        ),
        (
            without("ensurepip", replace(FACTS, pip="22.2.2")),
            "no-ensurepip",
            "pip 22.2.2, older than 22.3",
            "apt install python3.11-venv",
        ),
        (without("venv"), "no-venv", "no venv", "apt install python3.11-venv"),
        (without("zlib"), "no-zlib", "no zlib", "zlib1g-dev"),
        (without("ssl"), "no-ssl", "no ssl", "openssl-devel"),
        (without("hashlib"), "no-hashlib", "no hashlib", "libssl-dev"),
    ],
)
def test_what_makes_an_interpreter_unusable_is_said_with_a_remedy(
    facts: InterpreterFacts, code: str, in_finding: str, in_remedy: str
) -> None:
    installation = judged(facts)
    assert installation.usability is Usability.UNUSABLE
    decisive = installation.decisive
    assert decisive
    assert (decisive.code, decisive.status) == (code, CheckStatus.FAILED)
    assert in_finding in decisive.finding
    assert in_remedy in decisive.remedy


@pytest.mark.parametrize(
    ("facts", "code", "in_remedy"),
    [
        (replace(FACTS, pip="22.2.2"), "old-pip", "-m pip install --upgrade 'pip>=22.3'"),
        (replace(FACTS, pip="22.3rc1"), "old-pip", "-m pip install"),
        (replace(FACTS, implementation="PyPy"), "not-cpython", "CPython"),
        (replace(FACTS, debug=True), "debug-build", "CPython"),
        (replace(FACTS, free_threaded=True), "free-threaded", "CPython"),
        (without("ctypes"), "no-ctypes", "libffi-devel"),
        (without("sqlite3"), "no-sqlite3", "libsqlite3-dev"),
        (without("bz2"), "no-bz2", "bzip2-devel"),
        (without("lzma"), "no-lzma", "xz-devel"),
        (replace(FACTS, real_executable="/opt/other/bin/python3.11"), "shim", "/opt/other/bin/python3.11"),
    ],
)
def test_what_only_some_content_minds_is_a_warning(facts: InterpreterFacts, code: str, in_remedy: str) -> None:
    installation = judged(facts)
    assert installation.usability is Usability.USABLE
    decisive = installation.decisive
    assert decisive
    assert (decisive.code, decisive.status) == (code, CheckStatus.WARNING)
    assert in_remedy in decisive.remedy


@pytest.mark.parametrize("pip", ["22.3", "23.2.1", "26.3"])
def test_ensurepip_is_not_needed_with_a_pip_that_works_from_outside(pip: str) -> None:
    installation = judged(without("ensurepip", replace(FACTS, pip=pip)))
    assert installation.decisive is None


def test_an_old_pip_that_no_newer_one_can_replace_gets_no_upgrade_command() -> None:
    installation = judged(replace(FACTS, version=Version("3.6.15"), pip="18.1"), minimum="3.6")
    assert installation.decisive
    assert installation.decisive.code == "old-pip"
    assert "pip install" not in installation.decisive.remedy


def test_the_minimum_itself_is_new_enough() -> None:
    assert judged(minimum="3.11.7").usability is Usability.USABLE


def test_a_marker_against_changes_to_the_base_does_not_matter() -> None:
    installation = judged(replace(FACTS, externally_managed=True))
    assert installation.decisive is None
    assert installation.checks[-1].code == "externally-managed"


def test_every_failed_check_is_listed_not_only_the_first() -> None:
    facts = without("ssl", without("zlib", replace(FACTS, version=Version("3.6.1"))))
    failed = [check.code for check in judged(facts).checks if check.status is CheckStatus.FAILED]
    assert failed == ["too-old", "no-zlib", "no-ssl"]


@pytest.mark.parametrize(
    "code",
    [
        *("not-absolute", "missing", "broken-symlink", "empty-directory", "not-a-file", "not-executable", "permission"),
        *("wrong-format", "missing-loader", "shared-library", "cannot-start", "signal", "exit", "timeout", "no-report"),
        *("too-much-output", "garbage"),
    ],
)
def test_a_failed_run_is_one_failed_check_that_names_the_path_and_what_was_said(code: str) -> None:
    installation = judged(ProbeFailure(code, "what was said"), executable="/opt/a {b}/python")
    (check,) = installation.checks
    assert installation.usability is Usability.UNUSABLE
    assert installation.version is None
    assert check.code == code
    assert check.finding.startswith("/opt/a {b}/python ")
    assert check.finding.endswith(": what was said")
    assert check.remedy
    assert "{path}" not in check.remedy


def test_a_path_in_a_command_of_a_remedy_is_one_word_of_the_shell() -> None:
    check = judged(ProbeFailure("not-executable"), executable="/opt/my python").checks[0]
    assert "chmod +x '/opt/my python'" in check.remedy


def test_control_characters_of_foreign_text_do_not_reach_a_finding() -> None:
    for installation in (
        judged(ProbeFailure("missing"), executable="/opt/\x1b[2J\n/python"),
        judged(replace(FACTS, prefix="/srv/\x1b]52;c;eA==\x07")),
    ):
        for check in installation.checks:
            assert check.finding.isprintable()
            assert check.remedy.isprintable()


def test_the_same_interpreter_listed_again_is_a_duplicate_of_the_first() -> None:
    first, other, again = mark_duplicates(
        [
            judged(declared="/opt/a", origin="x.gcfg:1"),
            judged(replace(FACTS, real_executable="/opt/b/bin/python3.11"), real_path="/opt/b/bin/python3.11"),
            judged(declared="/opt/c", executable="/opt/c/bin/python", origin="x.gcfg:9"),
        ]
    )
    assert first.usability is Usability.USABLE
    assert other.usability is Usability.USABLE, "the same version elsewhere is another installation"
    assert again.usability is Usability.UNUSABLE
    assert again.decisive
    assert again.decisive.code == "duplicate"
    assert "/opt/a (x.gcfg:1)" in again.decisive.finding


def test_a_virtual_environment_is_no_duplicate_of_its_base_nor_the_base_of_it() -> None:
    venv = judged(replace(FACTS, prefix="/srv/venv"), declared="/srv/venv")
    marked = mark_duplicates([venv, judged(), venv])
    assert [i.decisive.code if i.decisive else "" for i in marked] == ["is-venv", "", "is-venv"]


def test_the_same_path_in_another_target_is_no_duplicate() -> None:
    local, image = judged(), replace(judged(), target="image:1")
    assert mark_duplicates([local, image]) == (local, image)


def test_installations_that_did_not_run_are_not_compared() -> None:
    failed = judged(ProbeFailure("missing"))
    assert mark_duplicates([failed, failed]) == (failed, failed)


REPORT = facts_to_json(FACTS)


def test_a_report_and_its_facts_are_the_same() -> None:
    facts = without("lzma", replace(FACTS, virtualenv="20.26.6", pip=None))
    assert parse_facts(facts_to_json(facts)) == facts


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("version", value) for value in (None, 3, [3, 11], "three", "", "9" * 5000)),
        *(("pip", value) for value in (23, "newest", {})),
        *(("executable", value) for value in (None, "", "python3", "/opt/\0", "/" * 5000)),
        *(("real_executable", value) for value in (None, "python3")),
        *(("pointer_bits", value) for value in (True, "64", 16, 64.0)),
        *(("debug", value) for value in (0, None, "no")),
        *(("missing", value) for value in (None, [], {"ssl": None}, {str(n): "" for n in range(2000)})),
        *(("sys_path", value) for value in ("/opt", ["lib"], [1], ["/x"] * 2000)),
        *(("libc", value) for value in (None, ["glibc", "2.36"])),
        ("virtualenv", 20),
    ],
)
def test_a_field_of_the_wrong_kind_is_garbage_and_named(field: str, value: object) -> None:
    failure = parse_facts({**REPORT, field: value})
    assert isinstance(failure, ProbeFailure)
    assert failure.code == "garbage"
    assert field in failure.detail


@pytest.mark.parametrize("field", sorted(set(REPORT) - {"pip", "virtualenv"}))
def test_a_missing_field_is_garbage(field: str) -> None:
    report = {name: value for name, value in REPORT.items() if name != field}
    assert isinstance(parse_facts(report), ProbeFailure)


def test_texts_of_a_report_are_made_safe() -> None:
    facts = parse_facts({**REPORT, "libc": "glibc\x1b[31m", "missing": {"ssl\n": "x" * 9999}})
    assert isinstance(facts, InterpreterFacts)
    assert facts.libc == "glibc\\x1b[31m"
    ((name, reason),) = facts.missing.items()
    assert name == "ssl"
    assert len(reason) <= 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_no_report_makes_the_parser_fail(report: object) -> None:
    assert isinstance(parse_facts(report), ProbeFailure)


@given(st.dictionaries(st.sampled_from(sorted(REPORT)), JSON))
def test_no_field_makes_the_parser_fail(fields: dict[str, object]) -> None:
    assert isinstance(parse_facts({**REPORT, **fields}), InterpreterFacts | ProbeFailure)


@given(st.lists(st.sampled_from("abc"), max_size=8))
def test_of_each_interpreter_exactly_the_first_entry_stays_usable(names: list[str]) -> None:
    entries = [
        judged(replace(FACTS, real_executable=f"/{name}"), declared=f"/entry/{n}", real_path=f"/{name}")
        for n, name in enumerate(names)
    ]
    marked = mark_duplicates(entries)
    assert [i.declared for i in marked] == [i.declared for i in entries]
    usable = [n for n, i in enumerate(marked) if i.usability is Usability.USABLE]
    assert usable == sorted({name: n for n, name in reversed(list(enumerate(names)))}.values())
