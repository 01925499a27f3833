"""The files of execution environments: connect.md §7.2 (forms and keys) and §7.4 (the API's object)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from string import printable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from engine import Problem, Severity
from engine.offhost.file import MAX_BYTES, load_environments
from engine.offhost.model import Declarations, ExecutionEnvironment, Matching
from engine.offhost.parse import MAX_NODES, parse_environments

FULL = """\
# a comment first
- name: registry.example/my-org/connect-runtime:ubuntu22
  title: Default Runtime
  description: Runtime with R and Python
  matching: exact
  supervisor: /usr/bin/nice -n 5
  guid: 25438B83-EA6D-4839-AE8E-53C52AC5F9CE
  python:
    installations:
      - {version: "3.11.3", path: /opt/python/3.11.3/bin/python3}
      - version: 3.12.10
        path: /opt/python/3.12.10/bin/python3
  r: {installations: [{version: "4.2.1", path: /opt/R/4.2.1/bin/R}]}
  quarto: {installations: [{version: "1.3.340", path: /opt/quarto/bin/quarto}]}
  volume_mounts: []
- name: local/other:1
"""

CLUSTER = """\
name: Kubernetes
images:
  -
    name: registry.example/rstudio/content-base:r4.0.5-py3.9.16
    python:
      installations:
        -
          path: /opt/python/3.9.16/bin/python3
          version: 3.9.16
"""


def parse(text: str | bytes) -> tuple[tuple[ExecutionEnvironment, ...], tuple[Problem, ...]]:
    return parse_environments(text.encode() if isinstance(text, str) else text, "e.yaml")


def entry(text: str) -> str:
    """A file of one environment with a name and the given further lines."""
    return "- name: image:1\n" + "".join(f"  {line}\n" for line in text.splitlines())


def installation(text: str) -> str:
    return entry(f"python:\n  installations:\n    - {text}")


def test_an_entry_is_read_whole_with_its_place() -> None:
    environments, problems = parse(FULL)
    assert problems == ()
    first, second = environments
    assert first.name == "registry.example/my-org/connect-runtime:ubuntu22"
    assert (first.title, first.description) == ("Default Runtime", "Runtime with R and Python")
    assert first.matching is Matching.EXACT
    assert first.supervisor == "/usr/bin/nice -n 5"
    assert first.guid == "25438b83-ea6d-4839-ae8e-53c52ac5f9ce"
    assert [(str(p.version), p.path, str(p.where)) for p in first.python] == [
        ("3.11.3", "/opt/python/3.11.3/bin/python3", "e.yaml:10:9"),
        ("3.12.10", "/opt/python/3.12.10/bin/python3", "e.yaml:11:9"),
    ]
    assert first.runtimes == {"r": (Version("4.2.1"),), "quarto": (Version("1.3.340"),)}
    assert str(first.where) == "e.yaml:2:3"
    assert (second.matching, second.python, second.label) == (Matching.ANY, (), "local/other:1")


def test_the_older_form_is_read_too() -> None:
    environments, problems = parse(CLUSTER)
    assert problems == ()
    assert [(e.name, str(e.python[0].version), str(e.where)) for e in environments] == [
        ("registry.example/rstudio/content-base:r4.0.5-py3.9.16", "3.9.16", "e.yaml:4:5")
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "---\n", "\ufeff[]"])
def test_a_file_without_entries_declares_nothing(text: str) -> None:
    assert parse(text) == ((), ())


def test_a_file_as_the_api_lists_environments_is_read() -> None:
    """connect.md §7.4; JSON is YAML."""
    environments, problems = parse(
        '[{"id": "7", "guid": "A-1", "name": "image:1", "cluster_name": "Kubernetes", "managed_by": null,'
        ' "title": null, "environment_type": "Kubernetes", "matching": "any", "supervisor": null,'
        ' "nodejs": {"installations": []}, "python": {"installations": [{"version": "3.9.1", "path": "/python"}]},'
        ' "r": null, "volume_mounts": []}]'
    )
    assert problems == ()
    assert [(e.name, e.guid, e.title, e.supervisor, e.runtimes) for e in environments] == [
        ("image:1", "a-1", "", "", {})
    ]


# What is wrong with a file: text, code, place, and a piece of what is said about it.
WRONG = [
    # the whole file
    ("just text", "environments-wrong-type", "e.yaml:1:1", "expected a list, found the text just text"),
    ("- a\n- b: [\n", "environments-not-yaml", "e.yaml:3:1", "not YAML"),
    ("- a\n---\n- b\n", "environments-not-yaml", "e.yaml:2:1", "another document"),
    ("- *nowhere\n", "environments-not-yaml", "e.yaml:1:3", "undefined alias"),
    (b"- name: a\n  title: \xff\n", "environments-not-utf8", "e.yaml:2:10", "byte 0xff"),
    ("- name: a\n  title: \x07\n", "environments-not-yaml", "e.yaml:2:10", r"\x07"),
    # an entry
    ("- image:1\n", "environments-wrong-type", "e.yaml:1:3", "expected a mapping, found the text image:1"),
    ("- title: No name\n", "environments-missing-key", "e.yaml:1:3", "no `name`"),
    ("- name:\n", "environments-missing-key", "e.yaml:1:8", "no `name`"),
    ("- name: 3\n", "environments-wrong-type", "e.yaml:1:9", "expected a string, found 3, a number). Put it in quotes"),
    ("- name: ''\n", "environments-bad-value", "e.yaml:1:9", "an empty string"),
    ("- name: --privileged\n", "environments-bad-value", "e.yaml:1:9", "not the name of an image"),
    ("- name: two words\n", "environments-bad-value", "e.yaml:1:9", "not the name of an image"),
    ("- name: local\n", "environments-bad-value", "e.yaml:1:9", "Local is this machine"),
    (entry("title: [a]"), "environments-wrong-type", "e.yaml:2:10", "expected a string, found a list"),
    (entry("title: yes"), "environments-wrong-type", "e.yaml:2:10", "true or false"),
    (entry("title: !thing a"), "environments-wrong-type", "e.yaml:2:10", "tagged !thing"),
    (entry("title: !!python/name:os.system ''"), "environments-wrong-type", "e.yaml:2:10", "tagged"),
    (entry("matching: exakt"), "environments-bad-value", "e.yaml:2:13", "Did you mean exact?"),
    (entry("matching: whenever"), "environments-bad-value", "e.yaml:2:13", "expected any, exact or none"),
    (entry("matching: no"), "environments-wrong-type", "e.yaml:2:13", "found no, true or false"),
    (entry("Matching: any"), "environments-unknown-key", "e.yaml:2:3", "Did you mean matching?"),
    (entry("pyhton: {}"), "environments-unknown-key", "e.yaml:2:3", "Did you mean python?"),
    (entry("title: a\ntitle: b"), "environments-duplicate-key", "e.yaml:3:3", "on line 2"),
    (entry("<<: {title: a}"), "environments-unknown-key", "e.yaml:2:3", "merge keys"),
    (entry("[a]: b"), "environments-wrong-type", "e.yaml:2:3", "expected a name"),
    # installations
    (entry("python: 3.11.3"), "environments-wrong-type", "e.yaml:2:11", "expected a mapping"),
    (entry("python: {installation: []}"), "environments-unknown-key", "e.yaml:2:12", "Did you mean installations?"),
    (entry("python: {installations: {}}"), "environments-wrong-type", "e.yaml:2:27", "expected a list"),
    (installation("path: /p"), "environments-missing-key", "e.yaml:4:9", "no `version`"),
    (installation("version: 3.11.3"), "environments-missing-key", "e.yaml:4:9", "no `path`"),
    (installation("{version: 3.10, path: /p}"), "environments-bad-value", "e.yaml:4:19", 'quotes, such as "3.10.4"'),
    (installation("{version: 3, path: /p}"), "environments-bad-value", "e.yaml:4:19", "YAML reads 3 as a number"),
    (installation("{version: '3.10', path: /p}"), "environments-bad-value", "e.yaml:4:19", "three numbers"),
    (installation("{version: 3.11.0rc1, path: /p}"), "environments-bad-value", "e.yaml:4:19", "found 3.11.0rc1"),
    (installation("{version: , path: /p}"), "environments-bad-value", "e.yaml:4:18", "found nothing"),
    (installation("{version: 3.11.3, path: bin/python}"), "environments-bad-value", "e.yaml:4:33", "absolute"),
    (installation('{version: 3.11.3, path: "/p\\e[2J"}'), "environments-bad-value", "e.yaml:4:33", r"\x1b[2J"),
    # between entries
    ("- name: a\n- name: a\n", "environments-duplicate", "e.yaml:2:3", "The first is on line 1"),
    (
        "- {name: a, title: T}\n- {name: a, title: T}\n",
        "environments-duplicate",
        "e.yaml:2:3",
        "an environment of a titled T",
    ),
    ("- {name: a, guid: X-1}\n- {name: b, guid: x-1}\n", "environments-duplicate", "e.yaml:2:3", "the guid x-1"),
    # the older form
    ("name: Slurm\nimages: []\n", "environments-bad-value", "e.yaml:1:7", "expected Kubernetes"),
    ("images: []\n", "environments-missing-key", "e.yaml:1:1", "no `name`"),
    ("name: Kubernetes\n", "environments-missing-key", "e.yaml:1:1", "no `images`"),
    ("name: Kubernetes\nimages: a\n", "environments-wrong-type", "e.yaml:2:9", "expected a list"),
]


@pytest.mark.parametrize(("text", "code", "place", "said"), WRONG)
def test_what_is_wrong_is_told_with_its_place(text: str | bytes, code: str, place: str, said: str) -> None:
    _, problems = parse(text)
    assert [problem.code for problem in problems] == [code]
    assert str(problems[0].where) == place
    assert said in str(problems[0])
    assert problems[0].severity is Severity.ERROR


def test_an_unknown_key_that_resembles_none_is_a_warning_and_its_entry_counts() -> None:
    """The server's keys grow with its versions (connect.md §0.1), so a new one is not a mistake."""
    environments, problems = parse(entry("gpu_count: 2"))
    assert [e.name for e in environments] == ["image:1"]
    assert [(p.code, p.severity) for p in problems] == [("environments-unknown-key", Severity.WARNING)]


def test_all_problems_are_collected_and_only_the_wrong_entries_are_left_out() -> None:
    environments, problems = parse(
        "- {name: a, matching: nowhere}\n"
        "- {name: good}\n"
        "- {title: no name, supervisor: [x]}\n"
        "- {name: b, python: {installations: [{version: 3.9, path: p}, {version: 3.9.1, path: /p}]}}\n"
    )
    assert [e.name for e in environments] == ["good"]
    assert [str(p.where) for p in problems] == [f"e.yaml:{at}" for at in ("1:23", "3:3", "3:32", "4:48", "4:59")]


def test_two_environments_may_share_an_image_under_different_titles() -> None:
    """connect.md §7.1: many environments may reference one image."""
    environments, problems = parse("- {name: a, title: One}\n- {name: a, title: Two}\n")
    assert (len(environments), problems) == (2, ())


def test_an_alias_stands_for_the_text_it_refers_to() -> None:
    environments, problems = parse(
        "- name: a\n  python: &python {installations: [{version: 3.9.1, path: /p}]}\n- name: b\n  python: *python\n"
    )
    assert problems == ()
    assert environments[0].python == environments[1].python


def bomb(width: int, rows: int) -> str:
    """A small text that stands for `width` * `rows` installations."""
    lines = "\n".join("      - {version: 3.9.1, path: /p}" for _ in range(width))
    first = f"- name: a0\n  python: &p\n    installations:\n{lines}\n"
    return first + "".join(f"- name: a{row}\n  python: *p\n" for row in range(1, rows))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000,
        "- " * 1_000,
        "- a\n" * (MAX_NODES + 1),
        bomb(1_000, 1_000),
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 2_000)),
    ],
    ids=["flow", "block", "long", "aliases", "laughs"],
)
def test_a_text_out_of_all_proportion_is_given_up(text: str) -> None:
    started = time.monotonic()
    environments, problems = parse(text)
    assert environments == ()
    assert "environments-too-large" in [problem.code for problem in problems]
    assert time.monotonic() - started < 20


def test_a_value_that_contains_itself_is_a_problem_like_any_other() -> None:
    _, problems = parse("&a\n- *a\n- &m {name: *m}\n")
    assert [(p.code, str(p.where)) for p in problems] == [
        ("environments-wrong-type", "e.yaml:1:1"),
        ("environments-wrong-type", "e.yaml:3:3"),
    ]


def test_a_flood_of_problems_is_cut() -> None:
    _, problems = parse("- 1\n" * 5_000)
    assert len(problems) == 101
    assert problems[-1].message == "4900 more problems are not listed"


@given(st.one_of(st.text(), st.text(printable), st.binary(), st.text("-:[]{}&*!<>?|,\"'# \nname@%")))
def test_no_text_leads_to_an_exception(text: str | bytes) -> None:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    environments, problems = parse(data)
    assert all(p.where is not None and p.where.file == "e.yaml" for p in problems)
    assert environments == () or isinstance(environments[0], ExecutionEnvironment)


installations = st.lists(
    st.fixed_dictionaries(
        {
            "version": st.builds("{}.{}.{}".format, *(st.integers(0, 99) for _ in range(3))),
            "path": st.text("abc/.-_ é", max_size=10).map("/".__add__),
        }
    ),
    max_size=3,
)
entries = st.lists(
    st.fixed_dictionaries(
        {"name": st.text("abcxyz019", min_size=1, max_size=5).map("r.example/".__add__)},
        optional={
            "title": st.text("ab c'\"é:#-\n", max_size=10),
            "matching": st.sampled_from([str(m) for m in Matching]),
            "python": st.fixed_dictionaries({"installations": installations}),
            "quarto": st.fixed_dictionaries({"installations": installations}),
        },
    ),
    max_size=5,
    unique_by=lambda one: one["name"],
)


@given(entries, st.booleans())
def test_what_a_yaml_library_writes_is_read_back(
    written: list[dict[str, dict[str, list[dict[str, str]]]]], flow: bool
) -> None:
    environments, problems = parse(yaml.safe_dump(written, allow_unicode=True, default_flow_style=flow))
    assert problems == ()
    assert [e.name for e in environments] == [one["name"] for one in written]
    for environment, one in zip(environments, written, strict=True):
        assert [(str(p.version), p.path) for p in environment.python] == [
            (str(Version(i["version"])), i["path"]) for i in one.get("python", {"installations": []})["installations"]
        ]


# Reading files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "environments.yaml"
    path.write_text("- name: a\n")
    return path


def names(declarations: Declarations) -> list[str]:
    return [environment.name for environment in declarations.environments]


def test_without_a_file_nothing_is_off_host() -> None:
    declarations = load_environments([])
    assert (declarations.off_host, declarations.environments, declarations.problems) == (False, (), ())


def test_a_saved_file_is_seen_by_the_next_reading(file: Path) -> None:
    before = load_environments([file])
    assert names(before) == ["a"]
    file.write_text("- name: b\n")
    assert names(load_environments([file], before)) == ["b"]


def test_a_file_that_did_not_change_gives_the_same_declarations(file: Path) -> None:
    before = load_environments([file])
    again = load_environments([file], before)
    assert again == before
    assert again.environments[0] is before.environments[0]


def test_with_an_error_in_the_file_the_last_good_declarations_stay(file: Path) -> None:
    good = load_environments([file])
    file.write_text("- name: b\n- nmae: c\n")
    bad = load_environments([file], good)
    assert names(bad) == ["a"]
    assert {p.code for p in bad.problems} == {"environments-missing-key", "environments-unknown-key"}
    assert names(load_environments([file], bad)) == ["a"]
    file.write_text("- name: c\n")
    repaired = load_environments([file], bad)
    assert (names(repaired), repaired.problems) == (["c"], ())


def test_on_the_first_reading_the_entries_that_can_be_understood_count(file: Path) -> None:
    file.write_text("- name: b\n- {}\n")
    first = load_environments([file])
    assert names(first) == ["b"]
    file.write_text("- name: c\n- {}\n")
    assert names(load_environments([file], first)) == ["c"]


def test_a_file_that_is_gone_keeps_what_it_declared_and_says_so(file: Path) -> None:
    before = load_environments([file])
    text = file.read_text()
    file.unlink()
    gone = load_environments([file], before)
    assert (names(gone), [p.code for p in gone.problems]) == (["a"], ["environments-missing"])
    assert gone.off_host
    file.write_text(text)
    assert load_environments([file], gone) == before


def test_a_file_that_was_never_there_is_a_problem_and_execution_is_off_host_all_the_same(tmp_path: Path) -> None:
    declarations = load_environments([tmp_path / "no" / "file"])
    assert (declarations.off_host, declarations.environments) == (True, ())
    assert [p.code for p in declarations.problems] == ["environments-missing"]


def test_what_is_no_file_or_too_large_is_told(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    problems = load_environments([pipe, large, tmp_path]).problems
    assert [p.code for p in problems] == ["environments-unreadable", "file-too-large", "environments-unreadable"]


def test_of_two_files_that_declare_the_same_the_first_counts(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "runtime.yaml"
    other.write_text("name: Kubernetes\nimages:\n- name: a\n- name: z\n")
    declarations = load_environments([file, other])
    assert names(declarations) == ["a", "z"]
    assert declarations.environments[0].where.file == str(file)
    (problem,) = declarations.problems
    assert (problem.code, problem.severity) == ("environments-duplicate", Severity.WARNING)
    assert f"{file}:1:3" in problem.hint
    assert names(load_environments([file, file])) == ["a"]
