"""What is wrong with a requirement line before pip sees it, and what can be done about it. Pure.

Lists frozen on a desktop name paths and builds that no server has (connect.md §5.4, and §10, rows 9, 11 and 13).
What is certain to fail is taken out or rewritten; what may surprise later is noted, and the line stays as it is. Lines
that mention ``rsconnect`` stay too: publishing clients drop them, even where a package only mentions the word, but a
server that did so would lose a dependency that the author wrote down. The publishing client itself is noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace
from packaging.requirements import Requirement

from engine.bundles.model import LineKind, RequirementLine
from engine.packages.options import options_text
from engine.text import mask_credentials, one_line

__all__ = ["Examined", "Treatment", "examine", "examine_all"]

_EDITABLE = re.compile(r"^(?:-e|--e[a-z]*=?)\s*")
_PATH_START = re.compile(r"\.{1,2}(?:[/\[]|$)|file:")
_DIRECT_REFERENCE = re.compile(r"^[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?\s*@\s*")
_VCS = re.compile(r"(?P<tool>git|hg|svn|bzr)\+(?P<transport>[a-z]+)://(?P<place>.*)", re.IGNORECASE)
_WINDOWS = re.compile(r"(?:file:/*)?[A-Za-z]:[\\/]|\\\\", re.IGNORECASE)
_HASH = re.compile(r"[#&](?:md5|sha1|sha224|sha256|sha384|sha512)=|\s--h[a-z]*[= ]")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
# What names one state for ever. Subversion and Bazaar number theirs.
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_REVISION = re.compile(r"[0-9]+")

_NOT_ENCRYPTED = "fetched without encryption: whoever is on the way can change it"
_UNTIL = "is not picked up until the line changes or the environment is rebuilt"


class Treatment(StrEnum):
    """What was done to a line that pip could not use as it is."""

    REWRITTEN = "rewritten"
    REFUSED = "refused"


class Examined(Struct, frozen=True):
    """The findings on one line."""

    effective: str
    """What pip is to be given; empty for a refused line. May hold a password: never show it."""
    action: Treatment | None = None
    """None when the line stays as the author wrote it."""
    notes: tuple[str, ...] = ()
    """One sentence each, safe to show. The first says why the line was rewritten or refused."""
    mutable: bool = False
    """True when the same text can mean something else tomorrow. The key follows the text (connect.md §6.3)."""


def examine(line: RequirementLine) -> Examined:
    """The findings on `line` by itself."""
    if line.kind is LineKind.OPTION:
        return _examine_option(line)
    target = _target(line)
    requirement = line.requirement
    if requirement is not None and target.lower().startswith("file:") and not line.local:
        # The form in which conda and pip freeze what was installed from a path, on any system.
        bare = _bare(requirement)
        note = f"the path exists only where the list was frozen, so the index provides {requirement.name}"
        examined = Examined(bare, Treatment.REWRITTEN, (note,), mutable=not line.constraint)
    elif refusal := _refusal(line, target):
        return Examined("", Treatment.REFUSED, (refusal,))
    elif plain := _not_editable(line):
        note = "installed as it is now: a build's copy of the bundle, where an editable one would stay, does not last"
        examined = Examined(plain, Treatment.REWRITTEN, (note,))
    else:
        mutability = _mutability(line, target)
        examined = Examined(line.text, None, (mutability,) if mutability else (), mutable=bool(mutability))
    notes = (*examined.notes, *_notes(line, target, examined.effective))
    return replace(examined, notes=tuple(one_line(mask_credentials(note)) for note in notes))


def examine_all(lines: Iterable[RequirementLine]) -> tuple[Examined, ...]:
    """The findings on each line, and on those that ask for a package in another way than an earlier line does.

    Lines with different markers may be meant for different systems and are not compared; neither are constraints.
    """
    first: dict[tuple[str, str], RequirementLine] = {}
    found = []
    for line in lines:
        examined = examine(line)
        requirement = line.requirement
        if requirement is not None and not line.constraint and examined.action is not Treatment.REFUSED:
            earlier = first.setdefault((line.name or "", str(requirement.marker or "")), line)
            if (asked := _asked(earlier)) != _asked(line):
                asked = one_line(mask_credentials(asked)) or "any version"
                note = f"{earlier.where} asks for {line.name} too ({asked}), and both have to hold"
                examined = replace(examined, notes=(*examined.notes, note))
        found.append(examined)
    return tuple(found)


def _examine_option(line: RequirementLine) -> Examined:
    value = line.text.partition("=" if "=" in line.text.split(" ")[0] else " ")[2].strip("\"' ")
    if line.option == "--find-links" and _is_windows(value):
        return Examined("", Treatment.REFUSED, ("a Windows path, which no server can read",))
    notes = tuple(dict.fromkeys(note for option in line.options for note in _option_notes(*option)))
    return Examined(line.text, notes=(*notes, *_variables(line.text)))


def _option_notes(name: str, value: str) -> Iterator[str]:
    if name == "--extra-index-url":
        yield "pip takes the highest version that any index has: whoever can publish a name on one of them is trusted"
    if name in ("--index-url", "--extra-index-url", "--find-links") and value.lower().startswith("http:"):
        yield _NOT_ENCRYPTED


def _target(line: RequirementLine) -> str:
    """The URL or path that a line installs from; empty when it leaves that to the index."""
    if line.requirement is not None:
        return line.requirement.url or ""
    text = _EDITABLE.sub("", line.text, count=1) if line.text.startswith("-") else line.text
    text = text.lstrip("\"'")
    return _DIRECT_REFERENCE.sub("", text, count=1).split(" ")[0].rstrip("\"'")


def _bare(requirement: Requirement) -> str:
    """The requirement without its URL: name, extras and marker. Hashes go as well, being those of another file."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}{marker}"


def _asked(line: RequirementLine) -> str:
    assert line.requirement is not None
    return line.requirement.url or str(line.requirement.specifier)


def _refusal(line: RequirementLine, target: str) -> str:
    """Why pip is certain to fail on the line here; empty when it may work."""
    vcs = _VCS.match(target)
    path = f"{vcs['transport']}://{vcs['place']}" if vcs else target
    if _is_windows(path):
        return "a Windows path, which no server can read"
    if not line.local and (path.startswith("/") or path.lower().startswith("file:")):
        return "the path is outside the bundle, and a server does not have the author's files"
    if path.startswith("${"):
        return "it begins with a variable, and builds do not have the author's"
    if vcs and unquote(_revision(vcs)).startswith("-"):
        return "its revision would be an option for the program that fetches it"
    if line.name == "setuptools" and line.requirement is not None:
        pins = [s.version for s in line.requirement.specifier if s.operator in ("==", "===")]
        if any("post" in version for version in pins):
            return "conda's own build of setuptools, which no package index has"
    return ""


def _revision(vcs: re.Match[str]) -> str:
    """What a VCS reference names behind the ``@`` of its path; empty for none."""
    path = re.split("[#?]", vcs["place"].partition("/")[2], maxsplit=1)[0]
    return path.rpartition("@")[2] if "@" in path else ""


def _not_editable(line: RequirementLine) -> str:
    """The line of an editable project of the bundle as one that is not; empty for any other line."""
    options = [option for option in line.options if option[0] != "--editable"]
    if not line.local or len(options) == len(line.options):
        return ""
    path = dict(reversed(line.options))["--editable"]
    if not _PATH_START.match(path):
        path = f"./{path}"  # or it would be the name of a package
    return f"{path} {options_text(options)}".rstrip()


def _is_windows(path: str) -> bool:
    return bool(_WINDOWS.match(path)) or ("\\" in path and "://" not in path)


def _mutability(line: RequirementLine, target: str) -> str:
    """Why the line can mean something else tomorrow; empty when it cannot. A bundle's own files are in the key."""
    if vcs := _VCS.match(target):
        fixed = _COMMIT if vcs["tool"].lower() in ("git", "hg") else _REVISION
        if fixed.fullmatch(_revision(vcs)):
            return ""
        return f"names no full commit: the key follows the text, so a later commit {_UNTIL}"
    if target:
        if line.local or _HASH.search(line.text):
            return ""
        return f"the archive has no hash: another file under the same URL {_UNTIL}"
    if line.requirement is None or line.constraint:
        return ""
    for specifier in line.requirement.specifier:
        if specifier.operator == "===" or (specifier.operator == "==" and not specifier.version.endswith(".*")):
            return ""
    return f"no version is pinned: a newer release {_UNTIL}"


def _notes(line: RequirementLine, target: str, effective: str) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    vcs = _VCS.match(target)
    if target.lower().startswith("http:") or (vcs and vcs["transport"].lower() in ("http", "git")):
        notes += (_NOT_ENCRYPTED,)
    if vcs and vcs["transport"].lower() == "ssh":
        notes += ("fetched over SSH: the account that builds needs the host's key and a key of its own",)
    if line.name and line.name.startswith("rsconnect"):
        notes += ("belongs to the publishing client, which content rarely needs to run",)
    return notes + _variables(effective)


def _variables(text: str) -> tuple[str, ...]:
    names = dict.fromkeys(_VARIABLE.findall(text))
    return tuple(f"${{{name}}} stays as it is: builds do not have the author's variables" for name in names)
