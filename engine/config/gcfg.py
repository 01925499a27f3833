"""The gcfg format: text to entries with their places, and every mistake in it.

The format is that of Go's gcfg package, which the server reads its configuration with (connect.md §1.2-1.4): sections,
quoted subsections, ``Key = value``, comments from ``;`` or ``#`` anywhere outside quotes. A mistake costs its own line
only; reading resumes on the next one, so that all mistakes are seen at once. No problem quotes a value: a
configuration file holds passwords.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import islice

from msgspec import Struct

from engine.config.catalogue import sections_of
from engine.errors import Problem, Severity, Where

__all__ = ["MAX_ERRORS", "Document", "Entry", "Header", "parse", "parse_bytes", "place", "quote"]

MAX_ERRORS = 100
"""Reading a text stops after this many errors: it is then no configuration file."""

_BLANK = " \t\r"
_COMMENT = ";#"
_ESCAPES = {"\\": "\\", '"': '"', "n": "\n", "t": "\t"}
# NUL is not allowed. A lone surrogate is what `surrogateescape` makes of a byte that is not UTF-8.
_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")
_LINE_WITH_NOT_TEXT = re.compile(r"([\x00\ud800-\udfff]).*")
_NEEDS_QUOTES = re.compile(r'["\\;#\n\t]|^\s|\s$|^$')
_NOT_WRITABLE = re.compile(r"[\x00\r\ud800-\udfff]")


class Header(Struct, frozen=True):
    """One ``[Name]`` or ``[Name "subsection"]`` line. Line and column count from 1, columns in characters."""

    name: str
    subsection: str
    line: int
    column: int


class Entry(Struct, frozen=True):
    """One ``Key = value`` or ``Key`` line, names as written (they compare without case, subsections with it)."""

    section: str
    subsection: str
    """Empty when there is none."""
    key: str
    value: str | None
    """None for a blank key: one without ``=``."""
    line: int
    column: int
    """Where the key starts."""
    value_column: int
    """Where the value starts; for a blank key where it ends."""


class Document(Struct, frozen=True):
    """What one text says, in its order, and what is wrong with it. Lines with a mistake give no entry."""

    source: str
    headers: tuple[Header, ...]
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]


def parse_bytes(data: bytes, source: str) -> Document:
    """Like `parse`, for the bytes of a file; bytes that are not UTF-8 are problems with their place."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = Problem(
            "gcfg-encoding",
            "the text is UTF-16",
            expected="UTF-8",
            where=Where(source, 1, 1),
            hint="Save the file as UTF-8",
        )
        return Document(source, (), (), (problem,))
    return parse(data.decode("utf-8", "surrogateescape"), source)


def parse(text: str, source: str) -> Document:
    """Read gcfg `text`; `source` names it in problems. Never raises: mistakes are in the result's `problems`."""
    return _Parser(text.removeprefix("\ufeff"), source).run()


def quote(value: str) -> str:
    """`value` as it is written after ``=`` so that it reads back the same, in quotes only where they are needed.

    Raises `ValueError` for a carriage return, NUL or lone surrogate: the format cannot hold them.
    """
    if _NOT_WRITABLE.search(value):
        raise ValueError("gcfg cannot hold a carriage return, NUL or text that is not UTF-8")
    if not _NEEDS_QUOTES.search(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def place(problem: Problem) -> tuple[int, int]:
    """Line and column of `problem`, to sort by; zeros where there is none."""
    where = problem.where
    return (where.line or 0, where.column or 0) if where else (0, 0)


class _Mistake(Exception):
    """Ends the reading of a line."""


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.problems: list[Problem] = []
        self.errors = 0
        self.headers: list[Header] = []
        self.entries: list[Entry] = []
        self.header: Header | None = None
        # True after a header that could not be read: what follows belongs to no section that we know of.
        self.section_lost = False
        self.missing_headers: set[str] = set()
        self.bad_lines: set[int] = set()
        self.at = 0
        self.text = text
        for match in islice(_LINE_WITH_NOT_TEXT.finditer(text), MAX_ERRORS):
            self.report_not_text(match.start(), match.group(1))
        self.text = _NOT_TEXT.sub("\ufffd", text)

    def run(self) -> Document:
        while self.skip(_BLANK + "\n") is not None and self.errors < MAX_ERRORS:
            try:
                self.statement()
            except _Mistake:
                self.skip_line()
        self.problems.sort(key=place)
        if self.peek() is not None:
            message = "too many errors, the rest was not read"
            where = Where(self.source, self.line_column(self.at)[0])
            self.problems.append(Problem("gcfg-too-many-errors", message, where=where, hint="Is this a gcfg file?"))
        return Document(self.source, tuple(self.headers), tuple(self.entries), tuple(self.problems))

    def line_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def report(
        self,
        code: str,
        message: str,
        offset: int,
        *,
        expected: str = "",
        found: str = "",
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        line, column = self.line_column(offset)
        if line not in self.bad_lines:
            where = Where(self.source, line, column)
            self.problems.append(Problem(code, message, expected, found, where, hint, severity))
            self.errors += severity is Severity.ERROR

    def mistake(
        self, code: str, message: str, offset: int, *, expected: str = "", found: str = "", hint: str = ""
    ) -> _Mistake:
        self.report(code, message, offset, expected=expected, found=found, hint=hint)
        return _Mistake()

    def illegal(self, offset: int, expected: str, hint: str) -> _Mistake:
        char = self.text[offset]
        message = f"illegal character U+{ord(char):04X} '{char}'"
        return self.mistake("gcfg-illegal-character", message, offset, expected=expected, hint=hint)

    def report_not_text(self, offset: int, char: str) -> None:
        """Report a line's first character that is not text; whatever else is wrong with the line follows from it."""
        if char == "\x00":
            message, found, hint = "the text contains NUL", "NUL", "Is this a text file?"
        else:
            message = "the text is not UTF-8"
            byte = ord(char) - 0xDC00
            found = f"byte 0x{byte:02x}" if 0x80 <= byte <= 0xFF else f"U+{ord(char):04X}"
            hint = "Save the file as UTF-8"
        self.report("gcfg-encoding", message, offset, expected="UTF-8 text", found=found, hint=hint)
        self.bad_lines.add(self.line_column(offset)[0])

    def peek(self) -> str | None:
        """The next character, None at the end."""
        return self.text[self.at] if self.at < len(self.text) else None

    def skip(self, chars: str) -> str | None:
        """Skip any of `chars`; the character that comes next."""
        while (char := self.peek()) is not None and char in chars:
            self.at += 1
        return char

    def skip_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end + 1

    def at_line_end(self) -> bool:
        """Whether nothing but a comment is left of the line."""
        char = self.peek()
        return char is None or char == "\n" or char in _COMMENT

    def identifier(self) -> str:
        """A letter, then letters, digits and hyphens; empty if there is none."""
        start = self.at
        while (char := self.peek()) is not None and (
            char.isalpha() or (self.at > start and (char.isdecimal() or char == "-"))
        ):
            self.at += 1
        return self.text[start : self.at]

    def statement(self) -> None:
        """One header, variable or comment; `at` is at its first character."""
        char = self.text[self.at]
        expected = "a section header such as [Python], Key = value, or a comment"
        if char in _COMMENT:
            self.skip_line()
        elif char == "[":
            self.section_header()
        elif char.isalpha():
            self.variable()
        elif char in '"=]':
            message = "expected section header or variable declaration"
            hint = "A line starts with the name of a key" if char != "]" else "A section header starts with ["
            raise self.mistake("gcfg-statement", message, self.at, expected=expected, found=char, hint=hint)
        else:
            raise self.illegal(self.at, expected, "Start a comment with ; or #")

    def section_header(self) -> None:
        start = self.at
        self.header, self.section_lost = None, True
        self.at += 1
        self.skip(_BLANK)
        name = self.identifier()
        if not name:
            self.refuse_section_name()
        subsection = ""
        char = self.skip(_BLANK)
        if char == '"':
            subsection = self.subsection(name)
            char = self.skip(_BLANK)
        if char == "]" or self.at_line_end():
            self.header = Header(name, subsection, *self.line_column(start))
            self.headers.append(self.header)
            self.section_lost = False
        if char != "]":
            self.refuse_missing_bracket(name, subsection)
        self.at += 1
        self.skip(_BLANK)
        if not self.at_line_end():
            raise self.mistake(
                "gcfg-junk",
                "text after a section header",
                self.at,
                expected="end of line or a comment",
                found=self.text[self.at],
                hint="Put the key on a line of its own",
            )

    def refuse_section_name(self) -> None:
        hint = "A section name is letters, digits and hyphens, starting with a letter"
        if self.at_line_end() or self.text[self.at] in ']"[=':
            message = "expected section name"
            raise self.mistake("gcfg-section-name", message, self.at, expected="a section name", hint=hint)
        raise self.illegal(self.at, "a section name", hint)

    def refuse_missing_bracket(self, name: str, subsection: str) -> None:
        if self.at_line_end():
            hint = f'Write [{name} "{subsection}"]' if subsection else f"Write [{name}]"
            raise self.mistake("gcfg-bracket", "the section header is not closed", self.at, expected="]", hint=hint)
        char = self.text[self.at]
        if subsection:
            message = "expected right bracket"
            raise self.mistake("gcfg-bracket", message, self.at, expected="]", found=char)
        if char.isalnum() or char in '["=':
            message = "expected subsection name or right bracket"
            hint = f'A subsection is written in quotes: [{name} "subsection"]'
            expected = "a quoted subsection or ]"
            raise self.mistake("gcfg-bracket", message, self.at, expected=expected, found=char, hint=hint)
        hint = "A section name is letters, digits and hyphens"
        if char == ".":
            hint += f'; a subsection is written [{name} "subsection"]'
        raise self.illegal(self.at, "a quoted subsection or ]", hint)

    def subsection(self, name: str) -> str:
        """A quoted subsection name, in which only the backslash and the quote can be escaped."""
        start = self.at
        chars: list[str] = []
        self.at += 1
        while (char := self.peek()) != '"':
            if char is None or char == "\n":
                raise self.unterminated(start)
            if char == "\\":
                self.at += 1
                char = self.peek()
                if char is None or char not in '\\"':
                    hint = r"Only \\ and \" have a meaning in a subsection name"
                    mistake = self.mistake("gcfg-escape", "unknown escape sequence", self.at - 1, hint=hint)
                    raise self.skip_continuation(mistake)
            if char != "\r":
                chars.append(char)
            self.at += 1
        self.at += 1
        if not chars:
            hint = f"Write [{name}] for the section itself"
            raise self.mistake("gcfg-subsection", "empty subsection name", start, expected="a name", hint=hint)
        return "".join(chars)

    def variable(self) -> None:
        start = self.at
        key = self.identifier()
        if self.header is None and not self.section_lost:
            self.report_missing_header(key, start)
        char = self.skip(_BLANK)
        value: str | None = None
        value_start = start + len(key)
        if char == "=":
            self.at += 1
            self.skip(_BLANK)
            value_start = self.at
            value = self.value(key)
        elif not self.at_line_end():
            self.refuse_missing_assignment(key)
        line, column = self.line_column(start)
        if self.header is not None and self.bad_lines.isdisjoint(range(line, self.line_column(self.at)[0] + 1)):
            value_column = self.line_column(value_start)[1]
            entry = Entry(self.header.name, self.header.subsection, key, value, line, column, value_column)
            self.entries.append(entry)
        self.skip_line()

    def report_missing_header(self, key: str, offset: int) -> None:
        # One missing header is one mistake, however many keys stand under where it should be.
        section = next(iter(sections_of(key)), "")
        if section in self.missing_headers:
            return
        self.missing_headers.add(section)
        header = f"the section header [{section}]" if section else "a section header such as [Python]"
        self.report(
            "gcfg-no-section",
            f"`{key}` stands before any section",
            offset,
            expected="a section header",
            found=key,
            hint=f"Put {header} on a line above it",
        )

    def refuse_missing_assignment(self, key: str) -> None:
        char = self.text[self.at]
        hint = f"Write {key} = value"
        if char.isalnum() or char in '["]\\':
            raise self.mistake("gcfg-assignment", f"expected '=' after `{key}`", self.at, expected="=", hint=hint)
        if self.text[self.at - 1] not in _BLANK and char != ":":
            hint = "A key is letters, digits and hyphens, starting with a letter"
        raise self.illegal(self.at, "=", hint)

    def value(self, key: str) -> str:
        """Text up to the end of the line or a comment: quoted and bare pieces, joined, blanks at the end dropped."""
        chars: list[str] = []
        kept = 0  # how many of `chars` come before trailing blanks
        bare_end = -1  # where the last bare, non-blank character ended
        while not self.at_line_end():
            char = self.text[self.at]
            if char == '"':
                chars.extend(self.quoted())
                kept = len(chars)
                continue
            if char == "\\":
                chars.extend(self.bare_backslash())
                kept, bare_end = len(chars), self.at
                continue
            self.at += 1
            if char != "\r":
                chars.append(char)
            if char not in _BLANK:
                kept, bare_end = len(chars), self.at
        if self.at == bare_end and self.peek() not in (None, "\n"):
            comment = self.text[self.at]
            self.report(
                "gcfg-value-cut",
                f"the value of `{key}` ends at `{comment}`, which starts a comment",
                self.at,
                hint=f"Put the value in double quotes if it goes on, or a blank before `{comment}` if it does not",
                severity=Severity.WARNING,
            )
        return "".join(chars[:kept])

    def quoted(self) -> list[str]:
        start = self.at
        chars: list[str] = []
        self.at += 1
        while (char := self.peek()) != '"':
            if char is None or char == "\n":
                raise self.unterminated(start)
            self.at += 1
            if char == "\\":
                chars.append(self.escape(start))
            elif char != "\r":
                chars.append(char)
        self.at += 1
        return chars

    def escape(self, quote_start: int) -> str:
        """The character that the escape means whose backslash was just read."""
        char = self.peek()
        if char is None or self.text.startswith(("\n", "\r\n"), self.at):
            raise self.unterminated(quote_start)
        if char not in _ESCAPES:
            offset = self.at - 1
            hint = r"Write \\ for a backslash; besides it \", \n and \t have a meaning"
            raise self.skip_continuation(self.mistake("gcfg-escape", "unknown escape sequence", offset, hint=hint))
        self.at += 1
        return _ESCAPES[char]

    def bare_backslash(self) -> str:
        r"""What a backslash outside quotes stands for: a quote for ``\"``, nothing before the end of a line."""
        for following, meaning in (('"', '"'), ("\n", ""), ("\r\n", "")):
            if self.text.startswith(following, self.at + 1):
                self.at += 1 + len(following)
                return meaning
        mistake = self.mistake(
            "gcfg-backslash",
            "unquoted '\\' must be followed by new line or double quote",
            self.at,
            hint=r"Put the value in double quotes and write \\ for a backslash",
        )
        raise self.skip_continuation(mistake)

    def unterminated(self, quote_start: int) -> _Mistake:
        mistake = self.mistake(
            "gcfg-unterminated",
            "string not terminated",
            quote_start,
            expected='a closing "',
            found="end of line",
            hint='Close it with " on the same line; write \\n for a line break',
        )
        return self.skip_continuation(mistake)

    def skip_continuation(self, mistake: _Mistake) -> _Mistake:
        """Skip the lines that continue one with a mistake in it, which are none of their own; returns `mistake`."""
        self.at = self.text.rfind("\n", 0, self.at) + 1
        while (end := self.text.find("\n", self.at)) >= 0:
            line = self.text[self.at : end].removesuffix("\r")
            backslashes = len(line) - len(line.rstrip("\\"))
            if backslashes % 2 == 0:
                break
            self.at = end + 1
        return mistake
