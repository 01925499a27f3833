from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.bundles.model import LineKind, RequirementLine
from engine.bundles.requirements import SIZE_LIMIT, parse_requirements
from engine.errors import InputError, Problem, Where
from engine.text import clean, mask_credentials

R, S, O = LineKind.REQUIREMENT, LineKind.SOURCE, LineKind.OPTION  # noqa: E741

Files = dict[str, str | bytes]


def parse(text: str | bytes, files: Files | None = None, source: str = "requirements.txt") -> list[RequirementLine]:
    def include(path: str, where: Where) -> bytes:
        if path not in (files or {}):
            raise InputError(Problem("test-missing", "missing", found=path, where=where))
        return encoded((files or {})[path])

    return list(parse_requirements(encoded(text), source, include))


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def outcome(text: str | bytes, files: Files) -> list[RequirementLine] | Problem:
    try:
        return parse(text, files)
    except InputError as error:
        return error.problem


def problem(text: str | bytes, files: Files | None = None) -> Problem:
    with pytest.raises(InputError) as caught:
        parse(text, files)
    return caught.value.problem


def only(text: str | bytes) -> RequirementLine:
    (line,) = parse(text)
    return line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n\n   \n  # here\n", []),
        ("flask\nDash==2.0\n", ["flask", "Dash==2.0"]),
        ("flask # web\ndash#2\n", None),
        ("flask\t# web\r\n\r\ndash\r\n", ["flask", "dash"]),
        ("flask \\\n  >=2, \\\n  <3\ndash", ["flask   >=2,   <3", "dash"]),
        ("flask \\\n# a comment ends it\ndash", ["flask", "dash"]),
        ("flask>=2 \\", ["flask>=2"]),
        ("# a comment \\\nflask", ["flask"]),
        ("a @ https://host/a.zip#sha1=abc # comment", ["a @ https://host/a.zip#sha1=abc"]),
        ("--index-url https://${USER}:${TOKEN}@host/", ["--index-url https://${USER}:${TOKEN}@host/"]),
        ("a==1 --hash=sha256:aa \\\n --hash=sha256:bb", ["a==1 --hash=sha256:aa  --hash=sha256:bb"]),
        ("flask\t>=2", ["flask >=2"]),
    ],
)
def test_lines_are_joined_and_stripped_of_comments(text, expected):
    if expected is None:
        assert problem(text).code == "requirement-invalid"
    else:
        assert [line.text for line in parse(text)] == expected


@pytest.mark.parametrize(
    ("text", "kind", "name", "option", "local"),
    [
        ("Flask_Login[a,b]>=1; python_version<'3'", R, "flask-login", "", False),
        ("pkg @ https://host/x/pkg.zip", R, "pkg", "", False),
        ("pkg@git+https://host/x", R, "pkg", "", False),
        ("pkg @ file:///abs/pkg", R, "pkg", "", False),
        ("pkg @ file:wheels/pkg.whl", R, "pkg", "", True),
        ("requests [security] >= 2.8.1, == 2.8.*", R, "requests", "", False),
        ("https://host/Some_Pkg-1.0-py3-none-any.whl", S, "some-pkg", "", False),
        ("git+https://host/x.git@main#egg=Some.Pkg&subdirectory=y", S, "some-pkg", "", False),
        ("git+ssh://git@host/x", S, None, "", False),
        ("./wheels/My_Pkg-1.0-py3-none-any.whl", S, "my-pkg", "", True),
        ("pkg.zip", S, None, "", True),
        ("src/pkg[extra]; python_version > '3'", S, None, "", True),
        ("/opt/pkg", S, None, "", False),
        (".", S, None, "", True),
        ("file:///opt/pkg", S, None, "", False),
        ("-e .", S, None, "", True),
        ("-e.", S, None, "", True),
        ("--editable=./src[dev]", S, None, "", True),
        ("-e git+https://host/x#egg=x", S, "x", "", False),
        ("-e pkg @ git+https://host/x", S, None, "", True),
        ("-e 'pkg @ git+https://host/x'", S, "pkg", "", False),
        ("-i https://host", O, None, "--index-url", False),
        ("--pypi-url https://host", O, None, "--index-url", False),
        ("--extra-index-url=https://host", O, None, "--extra-index-url", False),
        ("--extra https://host", O, None, "--extra-index-url", False),
        ("--no-index -f wheels", O, None, "--no-index", True),
        ("-f https://host/links", O, None, "--find-links", False),
        ("-f /opt/wheels", O, None, "--find-links", False),
        ("--no-binary :all:", O, None, "--no-binary", False),
        ("--only-binary=:all:", O, None, "--only-binary", False),
        ("--prefer-binary", O, None, "--prefer-binary", False),
        ("--require-hashes", O, None, "--require-hashes", False),
        ("--pre", O, None, "--pre", False),
        ("--trusted-host host", O, None, "--trusted-host", False),
        ("--use-feature fast-deps", O, None, "--use-feature", False),
        ("pkg --config-settings a=b --global-option=x --install-option y", R, "pkg", "", False),
    ],
)
def test_a_line_is_classified(text, kind, name, option, local):
    line = only(text)
    assert (line.kind, line.name, line.option, line.local) == (kind, name, option, local)
    assert line.text == text
    assert (line.requirement is not None) == (kind is R)


@pytest.mark.parametrize(
    ("text", "code", "place", "hint"),
    [
        ("flask\n\n  flask=2.0", "requirement-invalid", "3:8", "Write == to pin"),
        ("flask >> 2", "requirement-invalid", "1:7", "such as flask==3.0.3"),
        ("<<<<<<< HEAD", "requirement-invalid", "1:1", "merge conflict"),
        ("[notice] A new release of pip", "requirement-invalid", "1:1", ""),
        ("flask \\\n  >> 2", "requirement-invalid", "1:1", ""),
        ("flask; python_version ~ 3", "requirement-invalid", "1:23", ""),
        ("flask==" + "9" * 5000, "requirement-invalid", "1:1", ""),
        ("flask\x1b[31m", "requirement-invalid", "1:6", "Remove the \\x1b"),
        ("flask\u200b", "requirement-invalid", "1:6", "Remove the \\u200b"),
        ("flask \\ # comment", "requirement-invalid", "1:7", ""),
        ("flask --foo", "requirement-unknown-option", "1:7", ""),
        ("--extra-index-ulr x", "requirement-unknown-option", "1:1", "--extra-index-url?"),
        ("--no x", "requirement-unknown-option", "1:1", ""),
        ("-x y", "requirement-unknown-option", "1:1", ""),
        ("--pre=1", "requirement-invalid", "1:1", ""),
        ("--no-index --index-url", "requirement-invalid", "1:12", ""),
        ("--find-links 'a", "requirement-invalid", "1:1", ""),
        ("-", "requirement-invalid", "1:1", ""),
        ("flask -e .", "requirement-invalid", "1:1", ""),
        ("../other", "requirement-outside-bundle", "1:1", ""),
        ("-e a/../..", "requirement-outside-bundle", "1:1", ""),
        ("-f ../wheels", "requirement-outside-bundle", "1:1", ""),
        ("file:../other", "requirement-outside-bundle", "1:1", ""),
        ("-r ../x.txt", "requirement-bad-include", "1:1", ""),
        ("-r /etc/passwd", "requirement-bad-include", "1:1", ""),
        ("-c https://host/c.txt", "requirement-bad-include", "1:1", ""),
        ("\n-r requirements.txt", "requirement-bad-include", "2:1", "The way to it is requirements.txt"),
        ("-r gone.txt", "test-missing", "1:1", ""),
        (b"flask\nd\xe9", "requirements-not-text", "2", "UTF-8"),
        (b"# coding: nonsense\nflask", "requirements-not-text", "1", ""),
        (b"# coding: unicode_escape\n\\d", "requirements-not-text", "1", ""),
        (b"# coding: zip\nflask", "requirements-not-text", "1", ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_wrong_is_named_with_its_place(text, code, place, hint):
    found = problem(text)
    assert found.code == code
    assert str(found.where) == f"requirements.txt:{place}"
    assert hint in found.hint


def test_a_marker_that_is_nested_too_deeply_is_an_error_of_its_line():
    found = problem("a; " + "(" * 5000 + "os_name=='x'" + ")" * 5000)
    assert found.code == "requirement-invalid"
    # Which column depends on how deep the release of packaging follows.
    assert found.where is not None
    assert found.where.line == 1


@pytest.mark.parametrize(
    "text",
    [b"#" * (SIZE_LIMIT + 1), b"\n" * 20_001, b"a" * 70_000, b"flask \\\n" * 12_000],
    ids=["bytes", "lines", "one line", "one joined line"],
)
def test_a_file_too_large_is_refused(text):
    assert problem(text).code == "requirements-too-large"


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffpakét".encode(),
        "pakét".encode("utf-16"),
        b"\xff\xfe\x00\x00" + "pakét".encode("utf-32-le"),
        "# -*- coding: latin-1 -*-\npakét".encode("latin-1"),
        "#!/bin/pip\n# vim: set fileencoding=cp1252 :\npakét".encode("cp1252"),
    ],
)
def test_marks_and_comments_that_tell_the_encoding_are_followed(data):
    assert problem(data).found == "pakét"


class TestNestedFiles:
    FILES: Files = {  # noqa: RUF012
        "sub/more.txt": "b\n-r deep.txt\nc",
        "sub/deep.txt": "d",
        "limits.txt": "e<2\n--pre",
        "limits/again.txt": "-r ../plain.txt",
        "plain.txt": "f",
    }

    def test_they_are_read_in_their_place_relative_to_the_file_that_names_them(self):
        lines = parse("a\n-r sub/more.txt\nz", self.FILES)
        assert [(line.text, str(line.where)) for line in lines] == [
            ("a", "requirements.txt:1:1"),
            ("b", "sub/more.txt:1:1"),
            ("d", "sub/deep.txt:1:1"),
            ("c", "sub/more.txt:3:1"),
            ("z", "requirements.txt:3:1"),
        ]
        assert parse("-r deep.txt", self.FILES, "sub/requirements.txt")[0].text == "d"

    def test_constraints_are_marked(self):
        lines = parse("-c limits.txt\ne", self.FILES)
        assert [(line.text, line.constraint) for line in lines] == [("e<2", True), ("--pre", True), ("e", False)]

    def test_a_file_that_a_constraints_file_includes_holds_requirements(self):
        assert [line.constraint for line in parse("--constraint=limits/again.txt", self.FILES)] == [False]

    def test_the_same_file_may_be_read_twice(self):
        assert len(parse("-r plain.txt\n-r plain.txt", self.FILES)) == 2

    def test_a_circle_is_refused(self):
        files: Files = {"a.txt": "-r b.txt", "b.txt": "x\n-r ./a.txt"}
        found = problem("-r a.txt", files)
        assert found.code == "requirement-bad-include"
        assert str(found.where) == "b.txt:2:1"
        assert "requirements.txt -> a.txt -> b.txt" in found.hint

    def test_depth_is_limited(self):
        files: Files = {f"{n}.txt": f"-r {n + 1}.txt" for n in range(20)}
        assert problem("-r 0.txt", files).code == "requirement-bad-include"

    def test_a_file_that_includes_others_very_often_is_refused(self):
        files: Files = {f"{n}.txt": f"-r {n + 1}.txt\n" * 20 for n in range(9)} | {"9.txt": "x\n"}
        assert problem("-r 0.txt\n", files).code == "requirements-too-large"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--index-url https://user:secret@host/simple", "--index-url https://****@host/simple"),
        ("-i https://token@host -f http://a:b@c@host/x", "-i https://****@host -f http://****@host/x"),
        ("git+ssh://git@host/x@v1", "git+ssh://****@host/x@v1"),
        ("pkg @ https://host/x@1", "pkg @ https://host/x@1"),
        ("flask==1", "flask==1"),
    ],
)
def test_credentials_are_masked(text, expected):
    assert mask_credentials(text) == expected


def test_an_error_never_shows_credentials():
    assert "secret" not in str(problem("--index-url=https://user:secret@host --wrong"))
    assert "secret" not in str(problem("-r https://user:secret@host/x.txt"))


_FRAGMENTS = st.sampled_from(
    ["flask", "==", "1.0", " ", "\\\n", "\n", "#", " #", "-r", "-e", "--hash=", "--", "-", "@", "git+https://", "./",
     "../", ".whl", "[", "]", ";", "'", '"', "\\", "python_version<'3'", "https://u:p@h/", "\t", "\r", "coding: utf-7",
     "$", "${A}", "\u2028", "é", "--pre", "-c", "-i x", "other.txt", "\x00", "(", ")"]
)  # fmt: skip


@given(st.binary() | st.lists(_FRAGMENTS, max_size=12).map(lambda parts: "".join(parts).encode()))
@example(b"flask\\ ")
@example(b"\\\\\nflask \\")
def test_only_input_errors_escape_and_lines_can_be_written_back(data):
    lines = outcome(data, {"other.txt": "x"})
    if isinstance(lines, Problem):
        return
    texts = [line.text for line in lines]
    assert all(text and clean(text) == text for text in texts)
    assert [line.text for line in parse("\n".join(texts))] == texts


_PIP = textwrap.dedent(
    """
    import json, os, sys
    import pip
    if int(pip.__version__.partition(".")[0]) < 26:
        sys.exit("pip %s reads some of these lines in an older way" % pip.__version__)
    from pip._internal.req.constructors import install_req_from_parsed_requirement
    from pip._internal.req.req_file import RequirementsFileParser, get_line_parser, handle_line

    def read(path):
        parser = RequirementsFileParser(None, get_line_parser(None))
        result = []
        for line in parser.parse(path, False):
            requirement = handle_line(line)
            if requirement is not None:
                install_req_from_parsed_requirement(requirement)
            options = {k: repr(v) for k, v in vars(line.opts).items() if v}
            result.append([line.args, options, line.constraint])
        return result

    results = []
    for path in json.load(sys.stdin):
        os.chdir(os.path.dirname(path))
        try:
            results.append(read(path))
        except Exception as error:
            results.append(str(error))
    print(json.dumps(results))
    """
)


def pip_reads(paths: list[Path]) -> list[Any]:
    """What pip's own parser makes of each file: its lines, or its error message."""
    run = subprocess.run(
        [sys.executable, "-c", _PIP], input=json.dumps([str(p) for p in paths]), capture_output=True, text=True
    )
    if run.returncode:
        pytest.skip(f"pip's parser cannot be used here: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout)


CORPUS = [
    "",
    "flask",
    "flask # c\n#c\n   \nDash == 2.0  ",
    "flask#c",
    "flask \\\n>=2 \\\n# c\n,<3",
    "flask \\\n>=2 \\\n,<3 # c\ndash",
    "flask \\",
    "# c \\\nflask",
    "  # c \\\nflask",
    "\\\nflask",
    "\\flask\\\n==1",
    "flask>=2 ; python_version < '3' # c",
    "flask>=2;python_version<'3' and (os_name=='a' or os_name=='b')",
    "requests [security,tests] >= 2.8.1, == 2.8.* ; python_version < '2.7'",
    "flask==1 --hash=sha256:aa --hash sha256:bb",
    "flask==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb  # c",
    "flask --config-settings a=b --config-setting c=d",
    "flask --pre",
    "flask -r nothing.txt",
    "flask --hash",
    "flask --hash=sha256:aa extra words",
    "flask -- --pre",
    "--pre flask",
    "-i https://u:p@host/simple",
    "-ihttps://host/simple",
    "--index-url=https://host --extra-index-url https://b\n--extra-index-url='https://c'",
    "--index https://host",
    "--pypi-url https://host",
    "--no-index --find-links wheels --find-links more",
    "--no-binary :all: --only-binary=a\n--prefer-binary",
    "--require-hashes\n--trusted-host host:8080\n--use-feature=fast-deps",
    "--pre=1",
    "--pre\n--require",
    "--wrong",
    "-x",
    "--find-links 'unbalanced",
    "--find-links 'two words'",
    "--find-links",
    "-r other.txt\nlast",
    "-rother.txt",
    "--requirement=sub/a.txt",
    "--req other.txt",
    "-c other.txt\n-c sub/c.txt",
    "-r self.txt",
    "-r missing.txt",
    "-r other.txt --pre",
    "-r other.txt -r sub/a.txt",
    "-r other.txt -c sub/a.txt",
    "-r 'other.txt' # c",
    "-e ./project",
    "-e ./project[extra]",
    "-e git+https://host/x.git@v1#egg=x&subdirectory=y",
    "-e 'x @ git+https://host/x.git'",
    "--editable=./project --config-settings a=b",
    "./project",
    "project/",
    "https://host/a-1.0-py3-none-any.whl",
    "https://host/a-1.0.tar.gz#egg=a # c",
    "https://host/a.zip ; python_version < '3'",
    "git+https://user:p@host/x@1.0#egg=x",
    "hg+http://host/x#egg=x",
    "x @ https://host/x.zip#sha256=aa",
    "x@https://host/x.zip",
    "x @ git+ssh://git@host/x ; os_name == 'a'",
    "./wheels/a-1.0-py3-none-any.whl",
    "wheels/a-1.0-py3-none-any.whl",
    "a.tar.gz",
    "flask=2",
    "flask>>2",
    "flask=>2",
    "flask 2",
    "flask==",
    "flask; nonsense",
    "flask ;",
    "<<<<<<< HEAD",
    "[notice] new pip",
    "flask,dash",
    "flask~=1",
    "Flask-1_a.b==1!2.0rc1.post1.dev2+local",
    "flask===weird",
    "flask>=2.*",
    "-flask",
    "é",
    "flask\x0cdash",
    "flask\u2028dash",
    "flask\u00a0# c",
    "# -*- coding: utf-8 -*-\nflask",
    "\ufeffflask",
    "package-with-${NOT_SET_HERE}",
    "--index-url https://${NOT_SET_HERE}@host",
]


def test_pip_reads_the_same_before_and_after(tmp_path: Path):
    """What is refused here pip refuses too, and what is kept pip reads just as it reads the author's file."""
    nested: Files = {"other.txt": "b # c\n--pre\nd", "sub/a.txt": "e\n-r b.txt", "sub/b.txt": "g", "sub/c.txt": "h<2"}
    paths = []
    for number, text in enumerate(CORPUS):
        for name, content in ({"requirements.txt": text, "self.txt": "-r requirements.txt"} | nested).items():
            path = tmp_path / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(content))
        (path.parent.parent / "project").mkdir()
        (path.parent.parent / "project/setup.py").touch()
        paths.append(tmp_path / str(number) / "requirements.txt")
    expected = pip_reads(paths)

    rewritten = []
    for text, path, theirs in zip(CORPUS, paths, expected, strict=True):
        ours = outcome(text, nested | {"self.txt": "-r requirements.txt"})
        assert isinstance(ours, Problem) == isinstance(theirs, str), (text, ours, theirs)
        if not isinstance(ours, Problem):
            assert [line.constraint for line in ours] == [constraint for _, _, constraint in theirs], text
            path.write_text("\n".join(line.text for line in ours))
            rewritten.append((path, [line[:2] for line in theirs]))
    for (path, before), after in zip(rewritten, pip_reads([path for path, _ in rewritten]), strict=True):
        assert [line[:2] for line in after] == before, path.read_text()
