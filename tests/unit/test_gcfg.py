"""The gcfg format, row by row of connect.md §1.2 and §1.4."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.config.gcfg import MAX_ERRORS, Document, parse, parse_bytes, quote
from engine.errors import Severity


def values(document: Document) -> list[tuple[str, str, str, str | None]]:
    return [(entry.section, entry.subsection, entry.key, entry.value) for entry in document.entries]


def read(text: str) -> str | None:
    """The value in the one line of a section."""
    document = parse(f"[S]\n{text}", "f")
    assert document.problems == ()
    (entry,) = document.entries
    return entry.value


@pytest.mark.parametrize(
    ("line", "value"),
    [
        # bare values
        ("Key=value", "value"),
        ("Key = value", "value"),
        ("\t Key\t=\t value \t", "value"),
        ("Key = two  words", "two  words"),
        ("Key = a=b[c]", "a=b[c]"),
        ("Key = [not a section]", "[not a section]"),
        ("Key = naïve ☃", "naïve ☃"),
        # blank and empty
        ("Key", None),
        ("Key  ; comment", None),
        ("Key # comment", None),
        ("Key =", ""),
        ('Key = ""', ""),
        ("Key = ; comment", ""),
        ("Key =;comment", ""),
        # comments
        ("Key = value ; comment", "value"),
        ("Key = value # comment", "value"),
        ('Key = value ; "comment', "value"),
        ('Key = "va;l#ue" ; comment', "va;l#ue"),
        ('Key = "value"; comment', "value"),
        ('Executable = "/opt/my python/bin/python3" ; note', "/opt/my python/bin/python3"),
        # quotes
        ('Key = "value"', "value"),
        ('Key = " value "', " value "),
        ('Key = a"b c"d', "ab cd"),
        ('Key = "a" "b"', "a b"),
        ('Key = "a"  ', "a"),
        ('Key = "" a', " a"),
        ("Key = it's", "it's"),
        # escapes
        (r'Key = "a\\b"', "a\\b"),
        (r'Key = "a\"b"', 'a"b'),
        (r'Key = "a\nb"', "a\nb"),
        (r'Key = "a\tb"', "a\tb"),
        (r"Key = \"a\"", '"a"'),
        # continuation
        ("Key = a \\\n b", "a  b"),
        ("Key = a\\\nb", "ab"),
        ("Key = a\\\r\nb", "ab"),
        ("Key = \\\n  a", "  a"),
        ("Key = a \\\n", "a "),
        ("Key = a \\\n  \\\n  ", "a   "),
        ("Key = a \\\n  ; comment", "a "),
        # carriage returns
        ("Key = value\r\n", "value"),
        ("Key\r\n", None),
        ("Key = a\rb", "ab"),
        ('Key = "a\rb"\r\n', "ab"),
    ],
)
def test_a_value_is_read_by_the_rules(line: str, value: str | None) -> None:
    assert read(line) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[S]\nk=v", ("S", "", "k", "v")),
        ("[ S ]\nk=v", ("S", "", "k", "v")),
        ("  [S]  ; comment\nk=v", ("S", "", "k", "v")),
        ("[S]# comment\nk=v", ("S", "", "k", "v")),
        ("[S]\r\nk=v\r\n", ("S", "", "k", "v")),
        ("\ufeff[S]\nk=v", ("S", "", "k", "v")),
        ("; comment\n# comment\n\n[S]\n;k=x\nk=v", ("S", "", "k", "v")),
        ("[Other]\n[S]\nk=v", ("S", "", "k", "v")),
        ("[hyphen-2]\nin-key3=v", ("hyphen-2", "", "in-key3", "v")),
        ("[甲]\n乙=丙", ("甲", "", "乙", "丙")),
        ('[S "Sub"]\nk=v', ("S", "Sub", "k", "v")),
        ('[S\t" a.b_c "] ; c\nk=v', ("S", " a.b_c ", "k", "v")),
        (r'[S "a\\b\"c"]' + "\nk=v", ("S", 'a\\b"c', "k", "v")),
        ('[S"Sub"]\nk=v', ("S", "Sub", "k", "v")),
    ],
)
def test_sections_and_subsections(text: str, expected: tuple[str, str, str, str]) -> None:
    document = parse(text, "f")
    assert document.problems == ()
    assert values(document) == [expected]


def test_repeated_keys_and_sections_add_up_in_order() -> None:
    document = parse("[a]\nk=1\nk=2\n[b]\nk=3\n[A]\nK=4\n", "f")
    assert values(document) == [("a", "", "k", "1"), ("a", "", "k", "2"), ("b", "", "k", "3"), ("A", "", "K", "4")]
    assert [(header.name, header.line) for header in document.headers] == [("a", 1), ("b", 4), ("A", 6)]


def test_every_entry_knows_its_place() -> None:
    document = parse("[S]\n\n  Key =  a\\\n  b\nBlank\nLast = x", "f")
    assert [(e.key, e.line, e.column, e.value_column) for e in document.entries] == [
        ("Key", 3, 3, 10),
        ("Blank", 5, 1, 6),
        ("Last", 6, 1, 8),
    ]


def test_columns_count_characters_and_not_the_byte_order_mark() -> None:
    document = parse_bytes("\ufeff[S]\nключ = ñ \\x".encode(), "f")
    (problem,) = document.problems
    assert str(problem.where) == "f:2:10"


# Each with the code and place of its only mistake.
MISTAKES = [
    ("k=v", "gcfg-no-section", "1:1"),
    ("\n  k = v", "gcfg-no-section", "2:3"),
    ("k", "gcfg-no-section", "1:1"),
    ("[]", "gcfg-section-name", "1:2"),
    ("[ ]", "gcfg-section-name", "1:3"),
    ("[", "gcfg-section-name", "1:2"),
    ('["S"]', "gcfg-section-name", "1:2"),
    ("[1]", "gcfg-illegal-character", "1:2"),
    ("[sec.sub]", "gcfg-illegal-character", "1:5"),
    ("[sec_sub]", "gcfg-illegal-character", "1:5"),
    ("[S", "gcfg-bracket", "1:3"),
    ("[S\nk=v", "gcfg-bracket", "1:3"),
    ("[S ; comment", "gcfg-bracket", "1:4"),
    ("[S sub]", "gcfg-bracket", "1:4"),
    ('[S "sub"', "gcfg-bracket", "1:9"),
    ('[S "sub" x]', "gcfg-bracket", "1:10"),
    ('[S ""]', "gcfg-subsection", "1:4"),
    ('[S "sub]', "gcfg-unterminated", "1:4"),
    ('[S "a\\nb"]', "gcfg-escape", "1:6"),
    ('[S "a\\\n"]', "gcfg-escape", "1:6"),
    ("[S] k=v", "gcfg-junk", "1:5"),
    ("[S]]", "gcfg-junk", "1:4"),
    ("[S]\n=v", "gcfg-statement", "2:1"),
    ('[S]\n"k"=v', "gcfg-statement", "2:1"),
    ("[S]\n ]", "gcfg-statement", "2:2"),
    ("[S]\n: x", "gcfg-illegal-character", "2:1"),
    ("[S]\n_k=v", "gcfg-illegal-character", "2:1"),
    ("[S]\n1k=v", "gcfg-illegal-character", "2:1"),
    ("[S]\n-k=v", "gcfg-illegal-character", "2:1"),
    ("// comment", "gcfg-illegal-character", "1:1"),
    ("[S]\nk: v", "gcfg-illegal-character", "2:2"),
    ("[S]\nsome_key = v", "gcfg-illegal-character", "2:5"),
    ("[S]\nk v", "gcfg-assignment", "2:3"),
    ('[S]\nk "v"', "gcfg-assignment", "2:3"),
    ("[S]\nk 5", "gcfg-assignment", "2:3"),
    ("[S]\nk = C:\\dir", "gcfg-backslash", "2:7"),
    ("[S]\nk = a\\\\b", "gcfg-backslash", "2:6"),
    ("[S]\nk = \\ ", "gcfg-backslash", "2:5"),
    ("[S]\nk = a\\", "gcfg-backslash", "2:6"),
    ("[S]\nk = a\\\r", "gcfg-backslash", "2:6"),
    ('[S]\nk = "a\\b"', "gcfg-escape", "2:7"),
    ('[S]\nk = "C:\\dir"', "gcfg-escape", "2:8"),
    ('[S]\nk = "a', "gcfg-unterminated", "2:5"),
    ('[S]\nk = "a\n', "gcfg-unterminated", "2:5"),
    ('[S]\nk = "a\r\n', "gcfg-unterminated", "2:5"),
    ('[S]\nk = "a ; b', "gcfg-unterminated", "2:5"),
    ('[S]\nk = a "b', "gcfg-unterminated", "2:7"),
    ('[S]\nk = "a\\"', "gcfg-unterminated", "2:5"),
    ('[S]\nk = "a\\', "gcfg-unterminated", "2:5"),
    ('[S]\nk = "a \\\n b"', "gcfg-unterminated", "2:5"),
    ("[S]\nk = a\\\nb \\x", "gcfg-backslash", "3:3"),
    ("[S]\nk = a\x00b", "gcfg-encoding", "2:6"),
    ("; \x00\x00", "gcfg-encoding", "1:3"),
    ("[S]\nk = \ud800", "gcfg-encoding", "2:5"),
]


@pytest.mark.parametrize(("text", "code", "place"), MISTAKES)
def test_a_mistake_is_told_with_code_line_and_column(text: str, code: str, place: str) -> None:
    (problem,) = parse(text, "/etc/x.gcfg").problems
    assert (problem.code, str(problem.where)) == (code, f"/etc/x.gcfg:{place}")
    assert problem.severity is Severity.ERROR
    assert problem.hint or problem.expected


# A backslash at the end of the text is a mistake only because nothing follows it.
@pytest.mark.parametrize("text", [text for text, _, _ in MISTAKES if not text.rstrip("\r").endswith("a\\")])
def test_reading_resumes_on_the_line_after_a_mistake(text: str) -> None:
    document = parse(text.removesuffix("\n") + "\n[After]\nkey = value\n?", "f")
    assert values(document)[-1] == ("After", "", "key", "value")
    assert len(document.problems) == 2
    assert document.problems[-1].code == "gcfg-illegal-character"


def test_every_mistake_is_seen_at_once() -> None:
    text = 'k = v\n[a.b]\nx = y\n[S]\nbad key\ngood = 1\nworse = "\n: \nbest = 2\n'
    document = parse(text, "f")
    assert [str(problem.where) for problem in document.problems] == ["f:1:1", "f:2:3", "f:5:5", "f:7:9", "f:8:1"]
    assert values(document) == [("S", "", "good", "1"), ("S", "", "best", "2")]


def test_keys_after_a_header_that_cannot_be_read_go_to_no_section() -> None:
    document = parse("[Python]\na = 1\n[Other.Section]\nb = 2\n[]\nc = 3\n[Python]\nd = 4", "f")
    assert values(document) == [("Python", "", "a", "1"), ("Python", "", "d", "4")]
    assert len(document.problems) == 2


def test_a_header_that_lacks_only_its_bracket_still_holds_its_keys() -> None:
    assert values(parse("[Python\nEnabled = true", "f")) == [("Python", "", "Enabled", "true")]


def test_the_lost_python_header_of_the_published_examples_is_named_once() -> None:
    text = (
        "; /etc/rstudio-connect/rstudio-connect.gcfg\nEnabled = true\nExecutable = /a\nExecutable = /b\nDataDir = /d\n"
    )
    first, second = parse(text, "f").problems
    assert (first.code, str(first.where)) == ("gcfg-no-section", "f:2:1")
    assert "[Python]" in first.hint
    assert (second.code, str(second.where)) == ("gcfg-no-section", "f:5:1")
    assert "[Server]" in second.hint


@pytest.mark.parametrize(
    ("line", "value", "column"),
    [
        ("k = a;b", "a", 6),
        ("k = a#b", "a", 6),
        ("k = a b;c ; d", "a b", 8),
        ('k = "a"b#c', "ab", 9),
        ("k = a;", "a", 6),
    ],
)
def test_a_value_that_is_cut_by_an_attached_comment_is_warned_of(line: str, value: str, column: int) -> None:
    document = parse(f"[S]\n{line}", "f")
    (problem,) = document.problems
    assert (problem.code, problem.severity) == ("gcfg-value-cut", Severity.WARNING)
    assert str(problem.where) == f"f:2:{column}"
    assert "quotes" in problem.hint
    assert document.entries[0].value == value


@pytest.mark.parametrize("line", ["Password = hunter2;rest", "Password = hunter2\\x", 'Password = "hunter2'])
def test_no_problem_shows_a_value_because_it_may_be_a_password(line: str) -> None:
    (problem,) = parse(f"[Postgres]\n{line}", "f").problems
    assert "hunter" not in str(problem.to_json())


def test_bytes_that_are_not_utf8_are_told_with_their_place() -> None:
    document = parse_bytes(b"[S]\nk = caf\xe9 \xff\nok = 1\n; na\xefve\n", "f")
    assert [(p.code, str(p.where), p.found) for p in document.problems] == [
        ("gcfg-encoding", "f:2:8", "byte 0xe9"),
        ("gcfg-encoding", "f:4:5", "byte 0xef"),
    ]
    assert values(document) == [("S", "", "ok", "1")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf16_is_told_and_gives_no_entries(encoding: str) -> None:
    document = parse_bytes("[Python]\nEnabled = true\n".encode(encoding), "f")
    assert document.entries == ()
    assert {problem.code for problem in document.problems} == {"gcfg-encoding"}


def test_a_file_of_another_kind_does_not_give_endless_errors() -> None:
    document = parse(":\n" * 10_000, "f")
    assert len(document.problems) == MAX_ERRORS + 1
    assert document.problems[-1].code == "gcfg-too-many-errors"


def test_many_warnings_are_no_error() -> None:
    text = "[S]\n" + "k = a;b\n" * (MAX_ERRORS + 5)
    document = parse(text, "f")
    assert len(document.entries) == len(document.problems) == MAX_ERRORS + 5


GCFG_TEXT = st.text(st.sampled_from('[]"\\;#= \t\r\nabS1-_.:\x00é\ud800\ufeff'))


@given(st.one_of(st.text(), GCFG_TEXT))
@example('[S "')
@example('[S]\nk="\\')
def test_any_text_is_read_without_an_exception(text: str) -> None:
    document = parse(text, "f")
    lines = text.count("\n") + 1
    for problem in document.problems:
        assert problem.where is not None
        assert problem.where.line is not None
        assert 1 <= problem.where.line <= lines
    for entry in document.entries:
        assert 1 <= entry.line <= lines
        assert entry.value is None or "\x00" not in entry.value


@given(st.binary())
def test_any_bytes_are_read_without_an_exception(data: bytes) -> None:
    parse_bytes(data, "f")


WRITABLE = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]))


@given(st.one_of(WRITABLE, st.text(st.sampled_from('"\\;#=[] \t\na'))))
def test_a_quoted_value_reads_back_the_same(value: str) -> None:
    assert read(f"Key = {quote(value)} ; comment") == value


@pytest.mark.parametrize("value", ["/opt/python/3.12/bin/python3", "two words", "a=b", "[x]", "it's"])
def test_quotes_are_written_only_where_needed(value: str) -> None:
    assert quote(value) == value


@pytest.mark.parametrize("value", ["a\rb", "a\x00b", "\udce9"])
def test_what_the_format_cannot_hold_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="gcfg cannot hold"):
        quote(value)
