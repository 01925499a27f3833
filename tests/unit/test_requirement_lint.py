from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.bundles.model import RequirementLine
from engine.bundles.requirements import parse_requirements
from engine.errors import InputError, Problem, Where
from engine.packages.lint import Examined, Treatment, examine, examine_all

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = "git+https://example.test/o/p.git"
KEPT, REWRITTEN, REFUSED = None, Treatment.REWRITTEN, Treatment.REFUSED


def parse(text: str, constraints: str = "") -> tuple[RequirementLine, ...]:
    def include(path: str, where: Where) -> bytes:
        if not constraints:
            raise InputError(Problem("test-missing", "missing", where=where))
        return constraints.encode()

    return parse_requirements(text.encode(), "requirements.txt", include)


def only(text: str) -> Examined:
    (line,) = parse(text)
    return examine(line)


# connect.md §5.4 (client filters), §10 rows 9, 11 and 13; builds.md D.
@pytest.mark.parametrize(
    ("line", "action", "effective"),
    [
        # What conda and pip freeze write for a package installed from a path.
        ("numpy @ file:///croot/numpy_1/work", REWRITTEN, "numpy"),
        ("numpy@file:///croot/numpy_1/work", REWRITTEN, "numpy"),
        ("certifi @ file:///C:/b/abs_1/certifi", REWRITTEN, "certifi"),
        ("certifi @ file://localhost/b/certifi", REWRITTEN, "certifi"),
        ("Dask[array,all] @ file:///b/dask", REWRITTEN, "Dask[all,array]"),
        ('x @ file:///b/x ; python_version < "3.9"', REWRITTEN, 'x ; python_version < "3.9"'),
        ("x @ file:///b/x.whl --hash=sha256:aa", REWRITTEN, "x"),
        ("x @ FILE:///b/x.whl", REWRITTEN, "x"),
        # Windows paths.
        (r"C:\Users\me\p-1.0-py3-none-any.whl", REFUSED, ""),
        (r"-e C:\Users\me\p", REFUSED, ""),
        (r'-e "C:\Users\me\my p"', REFUSED, ""),
        ("C:/Users/me/p-1.0-py3-none-any.whl", REFUSED, ""),
        ("file:///C:/Users/me/p", REFUSED, ""),
        ("-e git+file:///C:/Users/me/p", REFUSED, ""),
        (r"\\server\share\p.whl", REFUSED, ""),
        (r"..\p.whl", REFUSED, ""),
        (r"p @ C:\b\p.whl", REFUSED, ""),
        (r"--find-links C:\wheels", REFUSED, ""),
        (r"--find-links=C:\wheels", REFUSED, ""),
        # Absolute paths outside the bundle.
        ("/home/me/p", REFUSED, ""),
        ("-e /home/me/p", REFUSED, ""),
        ("--editable=/home/me/p", REFUSED, ""),
        ("--edit /home/me/p", REFUSED, ""),
        ("file:///home/me/p", REFUSED, ""),
        ("-e file:///home/me/p#egg=p", REFUSED, ""),
        ("p @ git+file:///home/me/p", REFUSED, ""),
        # The bundle's own files.
        ("./wheels/p-1.0-py3-none-any.whl", KEPT, "./wheels/p-1.0-py3-none-any.whl"),
        ("p @ file:wheels/p.whl", KEPT, "p @ file:wheels/p.whl"),
        # An editable project of the bundle would stay where the build's copy of the bundle was.
        ("-e .", REWRITTEN, "."),
        ("--editable=.[dev]", REWRITTEN, ".[dev]"),
        ("-e src/p[dev]", REWRITTEN, "./src/p[dev]"),
        ("-e file:src/p", REWRITTEN, "file:src/p"),
        ("-e './my project'", REWRITTEN, "./my project"),
        ("-e .hidden --config-settings 'a=b c'", REWRITTEN, "./.hidden --config-settings='a=b c'"),
        (f"-e {GIT}@{COMMIT}#egg=p", KEPT, f"-e {GIT}@{COMMIT}#egg=p"),
        # Variables stand for something that builds do not have.
        ("${WHEELS}/p-1.0-py3-none-any.whl", REFUSED, ""),
        ("-e ${HOME}/p", REFUSED, ""),
        ("--find-links ${WHEELS}", KEPT, "--find-links ${WHEELS}"),
        # CVE-2023-5752: a revision that Mercurial takes for an option.
        ("hg+https://example.test/p@--config=alias.clone=!x", REFUSED, ""),
        ("git+https://example.test/p@%2D-upload-pack=x#egg=p", REFUSED, ""),
        # An administrator may have put packages there.
        ("--find-links /srv/wheels", KEPT, "--find-links /srv/wheels"),
        # conda's own builds of setuptools.
        ("setuptools==65.5.0.post20221011", REFUSED, ""),
        ("setuptools==65.5.0", KEPT, "setuptools==65.5.0"),
        ("setuptools-scm==8.0.post1", KEPT, "setuptools-scm==8.0.post1"),
        ("setuptools>=65.post1", KEPT, "setuptools>=65.post1"),
        # Lines that a publishing client drops because of a substring.
        ("rsconnect-python==1.20", KEPT, "rsconnect-python==1.20"),
        ("shiny-rsconnect-helper==1", KEPT, "shiny-rsconnect-helper==1"),
    ],
)
def test_lines_that_no_server_can_install_are_rewritten_or_refused(line, action, effective):
    examined = only(line)
    assert (examined.action, examined.effective) == (action, effective)
    assert (action is None) or examined.notes


# connect.md §6.3 and §10 row 9: the key follows the text, so a line that can change its meaning is told apart.
@pytest.mark.parametrize(
    ("line", "mutable"),
    [
        ("flask", True),
        ("flask>=3", True),
        ("flask~=3.0.1", True),
        ("flask==3.*", True),
        ("flask==3.0.1", False),
        ("flask===3.0.1", False),
        ("flask>=2,==3.0.1", False),
        ("flask==3.0.1 --hash=sha256:aa", False),
        (f"p @ {GIT}", True),
        (f"p @ {GIT}@main", True),
        (f"p @ {GIT}@v1.0", True),
        (f"p @ {GIT}@refs/pull/7/head", True),
        (f"p @ {GIT}@{COMMIT[:12]}", True),
        (f"p @ {GIT}@{COMMIT}", False),
        (f"-e {GIT}@{COMMIT}#egg=p&subdirectory=a", False),
        (f"-e p @ {GIT}@{COMMIT}", False),
        (f"-e {GIT}@main#egg=p", True),
        (f"git+ssh://git@example.test/o/p.git@{COMMIT.upper()}", False),
        ("git+ssh://git@example.test/o/p.git", True),
        ("svn+https://example.test/p@2019#egg=p", False),
        ("svn+https://example.test/p@trunk#egg=p", True),
        ("p @ https://example.test/p.tar.gz", True),
        ("p @ https://example.test/p.tar.gz#sha256=aa", False),
        ("https://example.test/p-1.0.zip#egg=p&md5=aa", False),
        ("https://example.test/p-1.0-py3-none-any.whl", True),
        ("https://example.test/p-1.0-py3-none-any.whl --hash=sha256:aa", False),
        ("p @ file:///croot/p", True),
        ("-e .", False),
        ("./p.whl", False),
        ("--pre", False),
    ],
)
def test_a_line_whose_meaning_can_change_is_mutable_and_says_so(line, mutable):
    examined = only(line)
    assert examined.mutable is mutable
    assert bool(examined.notes) is mutable or "ssh" in line or examined.action is REWRITTEN


@pytest.mark.parametrize(
    ("line", "note"),
    [
        # §10 row 13
        (f"p @ git+ssh://git@example.test/o/p.git@{COMMIT}", "host's key"),
        (f"p @ git+https://${{TOKEN}}@example.test/o/p.git@{COMMIT}", "${TOKEN} stays as it is"),
        ("--index-url https://${USER}:${PASSWORD}@example.test/simple", "${PASSWORD} stays"),
        ("rsconnect-python==1.20", "publishing client"),
        ("flask", "no version is pinned"),
        (f"p @ {GIT}@main", "names no full commit: the key follows the text"),
        ("p @ https://example.test/p.zip", "has no hash"),
        ("p @ http://example.test/p.zip", "without encryption"),
        (f"git+git://example.test/p@{COMMIT}", "without encryption"),
        ("-i http://example.test/simple", "without encryption"),
        ("--extra-index-url https://example.test/simple", "highest version that any index has"),
    ],
)
def test_what_may_surprise_later_is_noted(line, note):
    examined = only(line)
    assert any(note in said for said in examined.notes)
    assert examined.action is None


def test_a_constraint_may_be_open_but_not_a_moving_target():
    lines = parse("-c c.txt\n", constraints=f"flask<4\np @ {GIT}@main\nq @ file:///b/q\n")
    assert [e.mutable for e in examine_all(lines)] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("flask==3.0\nflask==2.0\n", [False, True]),
        ("flask\nFlask>=2\n", [False, True]),
        ("flask==3.0\nflask==3.0\n", [False, False]),
        ("flask==3.0\ndash==3.0\n", [False, False]),
        ("flask==3.0 ; python_version<'3.9'\nflask==2.0 ; python_version>='3.9'\n", [False, False]),
        (f"p @ {GIT}@a\np @ {GIT}@b\n", [False, True]),
        ("flask==3.0\n-c c.txt\n", [False, False]),
    ],
)
def test_a_package_asked_for_in_two_ways_is_noted_at_the_second(text, noted):
    found = examine_all(parse(text, constraints="flask<3"))
    assert [any("both have to hold" in note for note in e.notes) for e in found] == noted


def test_the_note_on_a_second_way_names_the_place_and_hides_passwords():
    lines = parse(f"p @ https://me:secret@example.test/p@{COMMIT}.zip\np==1\n")
    (note,) = examine_all(lines)[1].notes
    assert note.startswith("requirements.txt:1:1 asks for p too")
    assert "secret" not in note


@given(st.text(alphabet="ab@:/\\.-=+ #egsfilht;<>~'\"$C{}[]1", max_size=40))
def test_whatever_the_parser_takes_is_examined_without_fail(text):
    try:
        lines = parse(text)
    except InputError:
        return
    for examined, line in zip(examine_all(lines), lines, strict=True):
        assert (examined.effective == "") == (examined.action is Treatment.REFUSED)
        if examined.action is None:
            assert examined.effective == line.text
        else:
            assert examined.notes
        if examined.action is Treatment.REWRITTEN:
            assert only(examined.effective).action is None
