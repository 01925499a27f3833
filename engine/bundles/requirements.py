"""Requirements files as pip reads them: bytes in, `RequirementLine`s out. Pure; nested files come through a callback.

The order of steps is that of the requirements file format in pip's documentation: decode, join continuations, strip
comments, split a line into a requirement and options. ``${VARIABLE}`` stays as it is: only the build may know values.
A line is never rewritten, so that pip is given what the author wrote. builds.md §D says why no library is used.
"""

from __future__ import annotations

import codecs
import posixpath
import re
import shlex
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NoReturn

from msgspec import Struct
from msgspec.structs import replace
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename

from engine.bundles.model import LineKind, RequirementLine
from engine.errors import InputError, Problem, Where
from engine.text import clean, mask_credentials

__all__ = ["OPTIONS", "SIZE_LIMIT", "origin", "parse_requirements"]

SIZE_LIMIT = 5 * 1024 * 1024
"""Bytes of a requirements file together with everything it includes."""
_LINE_LIMIT = 20_000
_LINE_LENGTH = 64 * 1024
_DEPTH_LIMIT = 10
_VERSION_LENGTH = 100

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
# Encodings of escapes and host names: not what a text editor writes, slow or noisy on hostile input.
_NO_TEXT_ENCODINGS = frozenset({"unicode-escape", "raw-unicode-escape", "punycode", "idna"})
_COMMENT = re.compile(r"(?:^|(?<=\s))#")
_URL_SCHEMES = frozenset({"http", "https", "file", "ftp"})
_VCS_SCHEME = re.compile(r"(?:git|hg|svn|bzr)(?:\+[a-z]+)?", re.ASCII)
_ARCHIVE_SUFFIXES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz")
_EGG = re.compile(r"[#&]egg=([^&\[]+)")

OPTIONS = {
    "--index-url": True,
    "--pypi-url": True,
    "--extra-index-url": True,
    "--no-index": False,
    "--find-links": True,
    "--requirement": True,
    "--constraint": True,
    "--editable": True,
    "--no-binary": True,
    "--only-binary": True,
    "--prefer-binary": False,
    "--require-hashes": False,
    "--no-require-hashes": False,
    "--pre": False,
    "--all-releases": True,
    "--only-final": True,
    "--trusted-host": True,
    "--use-feature": True,
    "--hash": True,
    "--config-settings": True,
    "--global-option": True,
    "--install-option": True,
}
"""What pip knows in requirements files: the long name of an option, and whether it takes a value."""

_SHORT_OPTIONS = {
    "-i": "--index-url",
    "-f": "--find-links",
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-C": "--config-settings",
}
_SYNONYMS = {"--pypi-url": "--index-url"}


def parse_requirements(data: bytes, source: str, include: Callable[[str, Where], bytes]) -> tuple[RequirementLine, ...]:
    """The logical lines of a requirements file, those of files it names by ``-r`` and ``-c`` in their place.

    `source` is the file's path inside the bundle. `include` is called with the path inside the bundle of a nested
    file and the place that names it; it returns the content or raises `InputError`.

    Raises `InputError`: `requirements-too-large`, `requirements-not-text`, `requirement-invalid`,
    `requirement-unknown-option`, `requirement-bad-include` (not a file of the bundle, a cycle, too deep),
    `requirement-outside-bundle`.
    """
    return tuple(_Reader(include).read(data, source, constraint=False, chain=(source,)))


class _Reader(Struct):
    """Counts what was read over all nested files, since a small file can include another many times."""

    include: Callable[[str, Where], bytes]
    size: int = 0
    lines: int = 0

    def read(self, data: bytes, source: str, *, constraint: bool, chain: tuple[str, ...]) -> Iterator[RequirementLine]:
        """The lines of one file; `chain` are the files that led to it, itself last."""
        self.size += len(data)
        if self.size > SIZE_LIMIT:
            raise _too_large(source, f"at most {SIZE_LIMIT} bytes with all included files")
        physical = _decode(data, source).splitlines()
        self.lines += len(physical)
        if self.lines > _LINE_LIMIT:
            raise _too_large(source, f"at most {_LINE_LIMIT} lines with all included files")
        for line in _logical_lines(physical, source):
            parsed = _parse_line(line)
            if isinstance(parsed, RequirementLine):
                yield replace(parsed, constraint=constraint)
                continue
            path = _nested_path(parsed.path, chain, line.where)
            content = self.include(path, line.where)
            # As in pip, a file that a constraints file names by -r holds requirements again.
            yield from self.read(content, path, constraint=parsed.constraint, chain=(*chain, path))


class _Line(Struct, frozen=True):
    """A logical line on its way through the parser."""

    text: str
    where: Where
    joined: bool
    """True when it was continued over several physical lines, so that offsets in it are no columns."""

    def invalid(
        self, message: str, *, offset: int = 0, code: str = "requirement-invalid", hint: str = ""
    ) -> InputError:
        """The error for this line; `offset` is where in its text the trouble begins."""
        column = self.where.column
        if column is not None and not self.joined:
            column += max(offset, 0)
        return InputError(
            Problem(
                code,
                mask_credentials(message),
                found=mask_credentials(self.text),
                where=replace(self.where, column=column),
                hint=hint,
            )
        )


class _Include(Struct, frozen=True):
    """What a line asks to be read in its place."""

    path: str
    constraint: bool


def _decode(data: bytes, source: str) -> str:
    encoding, start = "utf-8", 0
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            encoding, start = name, len(mark)
            break
    else:
        for head in data.split(b"\n", 2)[:2]:
            declared = _CODING.search(head) if head.startswith(b"#") else None
            if declared:
                encoding = declared[1].decode("ascii", "replace")
                break
    try:
        if codecs.lookup(encoding).name in _NO_TEXT_ENCODINGS:
            raise LookupError
        return data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, start + error.start) + 1
        raise InputError(
            Problem(
                "requirements-not-text",
                f"the requirements file is not {encoding} text",
                found=f"byte 0x{data[start + error.start]:02x}",
                where=Where(source, line),
                hint="Save the file as UTF-8, or declare its encoding in the first line: # -*- coding: latin-1 -*-",
            )
        ) from None
    except (LookupError, ValueError):
        raise InputError(
            Problem(
                "requirements-not-text",
                "the requirements file declares an encoding that is not one",
                expected="such as utf-8",
                found=encoding,
                where=Where(source, 1),
            )
        ) from None


def _logical_lines(physical: list[str], source: str) -> Iterator[_Line]:
    """The lines that are left after joining continuations and stripping comments."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(physical, 1):
        comment = line.lstrip().startswith("#")
        if not parts:
            first = number
        if line.endswith("\\") and not comment:
            parts.append(line.strip("\\"))
            if number < len(physical):
                continue
        else:
            # A comment ends a continued line; the space keeps it recognisable as a comment.
            parts.append(" " + line if comment and parts else line)
        text = "".join(parts)
        joined = len(parts) > 1
        parts = []
        start = _COMMENT.search(text)
        text = text[: start.start()] if start else text
        column = len(text) - len(text.lstrip()) + 1
        text = text.strip().replace("\t", " ")
        if text:
            yield _checked(_Line(text, Where(source, first, column), joined))


def _checked(line: _Line) -> _Line:
    """`line`, if it can be shown and written back to a file as it is."""
    text = line.text
    if len(text) > _LINE_LENGTH:
        raise _too_large(line.where.file, f"lines of at most {_LINE_LENGTH} characters")
    if clean(text) != text:
        at = next(at for at, character in enumerate(text) if clean(character) != character)
        hint = f"Remove the {clean(text[at])}"
        raise line.invalid("the line contains a control or invisible character", offset=at, hint=hint)
    if text.endswith("\\"):
        raise line.invalid("the line ends in a backslash that continues nothing", offset=len(text) - 1)
    return line


def _parse_line(line: _Line) -> RequirementLine | _Include:
    tokens = line.text.split(" ")
    split = next((n for n, token in enumerate(tokens) if token.startswith("-")), len(tokens))
    requirement = " ".join(tokens[:split]).strip()
    options = _parse_options(line, " ".join(tokens[split:]))
    first = dict(reversed(options))  # of an option given twice on one line, pip takes the first
    editable = first.get("--editable")
    if requirement and editable is not None:
        raise line.invalid("a requirement and an editable one cannot be on one line", hint="Write them on two lines")
    if requirement:
        read = _source if _is_source(requirement) else _requirement
        return replace(read(line, requirement), options=tuple(options))
    if editable is not None:
        return replace(_source(line, editable), options=tuple(options))
    for name in ("--requirement", "--constraint"):
        if name in first:
            return _Include(first[name], constraint=name == "--constraint")
    if not options:
        raise line.invalid("the line holds neither a requirement nor an option")
    links = first.get("--find-links", "/")
    return RequirementLine(
        line.text,
        line.where,
        LineKind.OPTION,
        option=options[0][0],
        options=tuple(options),
        local=_is_bundle_path(line, links),
    )


def _parse_options(line: _Line, text: str) -> list[tuple[str, str]]:
    """Long names and values (empty for a flag) in their order.

    Understands ``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, and long names cut short where that is
    unambiguous. As in pip, words that belong to no option are ignored.
    """
    options: list[tuple[str, str]] = []
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise line.invalid(f"the options cannot be split into words: {error}") from None
    for word in words:
        if word == "--":
            break
        if word.startswith("--"):
            written, attached, value = word.partition("=")
            name = _long_name(line, written)
        elif word.startswith("-") and len(word) > 1:
            written, attached, value = word[:2], word[2:], word[2:]
            name = _SHORT_OPTIONS.get(written) or _unknown_option(line, written)
        else:
            continue
        if attached and not OPTIONS[name]:
            raise line.invalid(f"the option {name} takes no value", offset=line.text.find(word))
        if OPTIONS[name] and not attached:
            following = next(words, None)
            if following is None:
                raise line.invalid(f"the option {name} needs a value", offset=line.text.rfind(word))
            value = following
        options.append((_SYNONYMS.get(name, name), value))
    return options


def _long_name(line: _Line, written: str) -> str:
    if written in OPTIONS:
        return written
    candidates = [name for name in OPTIONS if name.startswith(written)]
    if len(candidates) == 1:
        return candidates[0]
    return _unknown_option(line, written)


def _unknown_option(line: _Line, written: str) -> NoReturn:
    import difflib

    close = difflib.get_close_matches(written, OPTIONS, 1)
    raise line.invalid(
        f"{written} is not an option of requirements files",
        offset=line.text.find(written),
        code="requirement-unknown-option",
        hint=f"Did you mean {close[0]}?" if close else "",
    )


def _requirement(line: _Line, text: str) -> RequirementLine:
    try:
        requirement = _read_requirement(text.removesuffix(";"))  # pip takes nothing after it for no marker
    except InvalidRequirement as error:
        message, offset = _explain(error)
        raise line.invalid(f"not a requirement: {message}", offset=offset, hint=_requirement_hint(text)) from None
    except RecursionError:
        raise line.invalid("not a requirement: the marker is nested too deeply") from None
    # Numbers of thousands of digits make the version comparison fail later on, far from this line.
    if any(len(specifier.version) > _VERSION_LENGTH for specifier in requirement.specifier):
        raise line.invalid(f"not a requirement: a version has more than {_VERSION_LENGTH} characters")
    return RequirementLine(
        line.text,
        line.where,
        LineKind.REQUIREMENT,
        name=canonicalize_name(requirement.name),
        requirement=requirement,
        local=requirement.url is not None and _is_bundle_path(line, requirement.url),
    )


@lru_cache(maxsize=2048)
def _read_requirement(text: str) -> Requirement:
    """As packaging reads it; never changed. Remembered, as plan, wheel store and supervisor read the same lines."""
    return Requirement(text)


def _source(line: _Line, text: str) -> RequirementLine:
    """The line for a project given by its URL or path, editable or not."""
    local = not _is_direct_reference(text) and _is_bundle_path(line, text)
    return RequirementLine(line.text, line.where, LineKind.SOURCE, name=_source_name(text), local=local)


def _is_source(text: str) -> bool:
    """Whether pip would take `text` for a URL or a path. A pure answer: pip itself also looks at the disk."""
    if _is_url(text):
        return True
    subject = text.partition(";")[0].strip()
    if _is_direct_reference(subject):
        return False
    path = subject.partition("[")[0]
    if path.startswith(("./", "../", "/")) or path in (".", ".."):
        return True
    return not re.search(r"[\s<>=~!,()]", path) and ("/" in path or path.lower().endswith(_ARCHIVE_SUFFIXES))


def _is_bundle_path(line: _Line, text: str) -> bool:
    """Whether the URL or path `text` is relative. Raises `InputError` when it then leaves the bundle."""
    path = text.removeprefix("file:")
    if _is_url(path) or posixpath.isabs(path) or path.startswith("${"):  # what the variable says, only the build knows
        return False
    if posixpath.normpath(path).split("/")[0] == "..":
        raise line.invalid("the path leaves the bundle", code="requirement-outside-bundle")
    return True


def origin(line: RequirementLine) -> str:
    """Where the package of a line comes from that names more than it and its versions, in words."""
    named = line.requirement.url if line.requirement is not None else None
    text = named or _subject(line.text)
    scheme = text.partition(":")[0].lower() if _is_url(text) else ""
    path = re.split(r"[#?;\[]", text, maxsplit=1)[0].strip()
    if _VCS_SCHEME.fullmatch(scheme):
        return "a version control repository"
    if scheme not in ("", "file"):
        return "an address"
    what = "an archive" if path.lower().endswith(_ARCHIVE_SUFFIXES) else "a project directory"
    return f"{what} in the bundle" if line.local else f"{what} on the machine that builds"


def _subject(text: str) -> str:
    """What a source line names, without the option in front of it and the ``name @``."""
    text = re.sub(r"^(?:--editable[\s=]+|-e\s*)", "", text.strip())
    return text if _is_url(text) or not _is_direct_reference(text) else text.partition("@")[2].strip()


def _is_url(text: str) -> bool:
    scheme, colon, _ = text.partition(":")
    return bool(colon) and (scheme.lower() in _URL_SCHEMES or bool(_VCS_SCHEME.fullmatch(scheme.lower())))


def _is_direct_reference(text: str) -> bool:
    """Whether `text` has the form ``name @ URL``, whose URL may hold what looks like a path."""
    name, at, _ = text.partition("@")
    return bool(at) and "/" not in name and not name.startswith(".")


def _source_name(text: str) -> NormalizedName | None:
    """The package's name where `text` tells it: ``name @ URL``, ``#egg=name``, or a wheel's file name."""
    egg = _EGG.search(text)
    try:
        if egg:
            return canonicalize_name(egg[1].strip(), validate=True)
        if not _is_url(text) and _is_direct_reference(text):
            return canonicalize_name(re.split(r"[\[@]", text, maxsplit=1)[0].strip(), validate=True)
        file = posixpath.basename(re.split(r"[#?;\[]", text, maxsplit=1)[0].strip())
        return parse_wheel_filename(file)[0] if file.endswith(".whl") else None
    except (InvalidName, InvalidWheelFilename, ValueError):
        return None


def _nested_path(path: str, chain: tuple[str, ...], where: Where) -> str:
    """The path inside the bundle of what the last file of `chain` includes as `path`."""
    full = posixpath.normpath(posixpath.join(posixpath.dirname(chain[-1]), path))
    if _is_url(path) or posixpath.isabs(path) or full in (".", "..") or full.startswith("../"):
        message, hint = "an included file must be part of the bundle", "Copy the file into the bundle"
    elif full in chain:
        message, hint = "the file includes itself", f"The way to it is {' -> '.join(chain)}"
    elif len(chain) > _DEPTH_LIMIT:
        message, hint = f"files include each other more than {_DEPTH_LIMIT} levels deep", ""
    else:
        return full
    found = mask_credentials(path)
    raise InputError(Problem("requirement-bad-include", message, found=found, where=where, hint=hint))


def _explain(error: InvalidRequirement) -> tuple[str, int]:
    """What packaging says in one line, and the offset it points to in its drawing (text, source, ``~~^``)."""
    said = str(error).splitlines() or ["it cannot be parsed"]
    drawing = said[-1]
    return said[0], max(len(drawing) - len(drawing.lstrip()) - 4, 0) if drawing.strip(" ~") == "^" else 0


def _requirement_hint(text: str) -> str:
    if re.fullmatch(r"[\w.-]+\s*=[^=].*", text):
        return "Write == to pin a version; one = is conda's form"
    if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return "Resolve the merge conflict in this file"
    return "A line is a name with an optional version, such as flask==3.0.3"


def _too_large(source: str, expected: str) -> InputError:
    return InputError(
        Problem(
            "requirements-too-large",
            "the requirements file is larger than envdeck reads",
            expected=expected,
            where=Where(source),
        )
    )
