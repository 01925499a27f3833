"""``manifest.json``: bytes in, a checked `Manifest` out. Pure.

Field reference: connect.md §5.1. What other clients write and this product does not need is tolerated.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import NoReturn

from msgspec import Struct
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from engine.bundles.model import Manifest
from engine.errors import InputError, Problem, Where
from engine.text import clean, one_line

__all__ = ["MANIFEST_LIMIT", "parse_manifest"]

MANIFEST_LIMIT = 10 * 1024 * 1024
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(-?Infinity|NaN)', re.DOTALL)
"""A string, to be skipped, or what Python takes for a number and JSON does not."""
"""Bytes; a manifest lists every file of the bundle, so a large one is legal."""

_VERSION = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}", re.ASCII)
_WHITESPACE = re.compile(r"[ \t\n\r]*")
# Python turns longer digit strings into numbers only under protest; no real constraint comes near.
_CONSTRAINT_LENGTH = 200
# How deep a duplicate key is searched for, each level costing one more reading of the text.
_DUPLICATE_DEPTH = 4
_DECODER = json.JSONDecoder()

_PYTHON_MODES = frozenset(
    {
        "jupyter-static",
        "jupyter-voila",
        "python-api",
        "python-bokeh",
        "python-dash",
        "python-fastapi",
        "python-gradio",
        "python-panel",
        "python-shiny",
        "python-streamlit",
    }
)


def parse_manifest(text: bytes, source: str) -> Manifest:
    """The manifest in `text`, read from `source`, which places in problems and in the result begin with.

    Raises `InputError`: `manifest-too-large`, `manifest-not-utf8`, `manifest-not-json` (also for a key that appears
    twice), `manifest-not-object`, `manifest-wrong-type`, `manifest-no-python`, `manifest-bad-version`,
    `manifest-bad-constraint`, `manifest-bad-path`, `package-manager-unsupported`.
    """
    document = _Document.load(text, source)
    for path in ("files", "packages", "users"):
        document.section(path)
    app_mode = one_line(document.string("metadata.appmode"))
    if document.section("python") is None:
        document.fail("manifest-no-python", "", "the manifest has no `python` section", hint=_no_python_hint(app_mode))
    version = _version(document)
    requires = _requires(document)
    if version is None and requires is None:
        document.fail("manifest-bad-version", "python", "`python.version` is missing", expected="such as 3.11.4")
    manager, package_file = _package_manager(document)
    return Manifest(
        app_mode=app_mode,
        entrypoint=one_line(document.string("metadata.entrypoint")),
        python_version=version,
        requires=requires,
        package_manager=manager,
        package_file=package_file,
        allow_uv=document.boolean("python.package_manager.allow_uv"),
        manage_environment=document.boolean("environment.environment_management.python"),
        image=one_line(document.string("environment.image")),
        environment_guid=one_line(document.string("environment.identifier")),
        title=_title(document),
        where=document.where("python.version" if requires is None else "environment.python.requires"),
    )


class _Document(Struct, frozen=True):
    """The parsed JSON object with its text, so that a problem can say on which line a key is."""

    root: dict[str, object]
    text: str
    source: str

    @classmethod
    def load(cls, data: bytes, source: str) -> _Document:
        if len(data) > MANIFEST_LIMIT:
            raise InputError(
                Problem(
                    "manifest-too-large",
                    "the manifest is larger than envdeck reads",
                    expected=f"at most {MANIFEST_LIMIT} bytes",
                    where=Where(source),
                )
            )
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8", "replace")
            raise InputError(
                Problem(
                    "manifest-not-utf8",
                    "the manifest is not UTF-8",
                    found=f"byte 0x{data[error.start]:02x}",
                    where=_place(before, len(before), source),
                    hint="Save it as UTF-8",
                )
            ) from None
        duplicates: list[str] = []

        def pairs_hook(pairs: list[tuple[str, object]]) -> dict[str, object]:
            result: dict[str, object] = {}
            for key, value in pairs:
                if key in result:
                    duplicates.append(key)
                result[key] = value
            return result

        def refuse_constant(name: str) -> NoReturn:
            """Python reads ``NaN`` and ``Infinity`` as numbers; no other reader of JSON does (RFC 8259, section 6)."""
            at = next(found.start() for found in _CONSTANT.finditer(text) if found[1])
            raise json.JSONDecodeError(f"{name} is not a number", text, at)

        try:
            root = json.loads(text, object_pairs_hook=pairs_hook, parse_constant=refuse_constant)
        except json.JSONDecodeError as error:
            raise InputError(
                Problem(
                    "manifest-not-json",
                    f"the manifest is not JSON: {error.msg}",
                    found=text[error.pos : error.pos + 20] or "the end of the file",
                    where=Where(source, error.lineno, error.colno),
                )
            ) from None
        except RecursionError:
            raise InputError(
                Problem("manifest-not-json", "the manifest is nested too deeply", where=Where(source))
            ) from None
        except ValueError as error:  # a number of more digits than Python converts
            raise InputError(
                Problem("manifest-not-json", f"the manifest is not JSON: {error}", where=Where(source))
            ) from None
        if not isinstance(root, dict):
            raise InputError(
                Problem(
                    "manifest-not-object",
                    "the manifest is not a JSON object",
                    expected="an object",
                    found=_type_name(root),
                    where=Where(source, 1, 1),
                )
            )
        if duplicates:
            at = _find_duplicate(text)
            raise InputError(
                Problem(
                    "manifest-not-json",
                    f"the key `{duplicates[0]}` appears twice in one object",
                    where=Where(source) if at is None else _place(text, at, source),
                    hint="Keep one of them",
                )
            )
        return cls(root, text, source)

    def get(self, path: str) -> object:
        """The value at a dotted path, None when it or a section on the way is absent or null.

        Raises `InputError` (`manifest-wrong-type`) when a section on the way is no object.
        """
        value: object = self.root
        keys = path.split(".")
        for depth, key in enumerate(keys):
            if value is None:
                return None
            if not isinstance(value, dict):
                self.wrong_type(".".join(keys[:depth]), "an object", value)
            value = value.get(key)
        return value

    def section(self, path: str) -> dict[str, object] | None:
        value = self.get(path)
        if value is not None and not isinstance(value, dict):
            self.wrong_type(path, "an object", value)
        return value

    def string(self, path: str) -> str:
        value = self.get(path)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.wrong_type(path, "a string", value)
        return value

    def boolean(self, path: str) -> bool | None:
        value = self.get(path)
        if value is not None and not isinstance(value, bool):
            self.wrong_type(path, "true or false", value)
        return value

    def where(self, path: str) -> Where:
        """The line and column of the key at `path`, or of the last section on the way that is there."""
        key_at = at = _skip(self.text, 0)
        try:
            for key in path.split("."):
                if self.text[at] != "{":
                    break
                member = next((m for m in _members(self.text, at) if m[0] == key), None)
                if member is None:
                    break
                _, key_at, at = member
        except RecursionError:  # nested as deeply as could just be parsed; the place found so far will do
            pass
        return _place(self.text, key_at, self.source)

    def wrong_type(self, path: str, expected: str, value: object) -> NoReturn:
        hint = "Put the value in double quotes" if expected == "a string" and isinstance(value, int | float) else ""
        self.fail(
            "manifest-wrong-type",
            path,
            f"`{path}` has the wrong type",
            expected=expected,
            found=_type_name(value),
            hint=hint,
        )

    def fail(
        self, code: str, path: str, message: str, *, expected: str = "", found: str = "", hint: str = ""
    ) -> NoReturn:
        raise InputError(Problem(code, message, expected, found, self.where(path), hint))


def _version(document: _Document) -> Version | None:
    text = document.string("python.version")
    if not text:
        return None
    if not _VERSION.fullmatch(text):
        document.fail(
            "manifest-bad-version",
            "python.version",
            "`python.version` is not a full Python version",
            expected="three numbers, such as 3.11.4",
            found=text,
        )
    return Version(text)


def _requires(document: _Document) -> SpecifierSet | None:
    """``environment.python.requires``; the server demands an operator in it (connect.md §3.3)."""
    path = "environment.python.requires"
    text = document.string(path).strip()
    if not text:
        return None
    try:
        if len(text) > _CONSTRAINT_LENGTH:
            raise InvalidSpecifier
        requires = SpecifierSet(text)
        if not len(requires):
            raise InvalidSpecifier
    except InvalidSpecifier:
        bare = re.fullmatch(r"\d+(\.\d+)*", text, re.ASCII)
        minor = ".".join(text.split(".")[:2])
        document.fail(
            "manifest-bad-constraint",
            path,
            f"`{path}` is not a version constraint",
            expected="an operator and a version, such as ~=3.11.0 or >=3.8,<3.13",
            found=text,
            hint=f"Write ~={minor}.0 for any {minor}, or >={text}" if bare and "." in text else "",
        )
    return requires


def _package_manager(document: _Document) -> tuple[str, str]:
    """The package manager's name and the requirements file; ``none`` and no file when none is declared."""
    if document.section("python.package_manager") is None:
        return "none", ""
    name = document.string("python.package_manager.name") or "pip"
    if name not in ("pip", "uv", "none"):
        document.fail(
            "package-manager-unsupported",
            "python.package_manager.name",
            "this package manager is not supported",
            expected="pip, uv or none",
            found=name,
            hint="List the packages in a requirements.txt and write the manifest again",
        )
    path = "python.package_manager.package_file"
    file = document.string(path) or "requirements.txt"
    if name == "none":
        return "none", ""
    normal = posixpath.normpath(file)
    if posixpath.isabs(file) or normal in (".", "..") or normal.startswith("../") or clean(file) != file:
        document.fail(
            "manifest-bad-path",
            path,
            f"`{path}` does not name a file inside the bundle",
            expected="a relative path such as requirements.txt",
            found=file,
        )
    return name, normal


def _title(document: _Document) -> str:
    """``extension.title``, which gallery manifests carry. Only for show, so a wrong type does not count."""
    extension = document.root.get("extension")
    title = extension.get("title") if isinstance(extension, dict) else None
    return one_line(title) if isinstance(title, str) else ""


def _no_python_hint(app_mode: str) -> str:
    if app_mode in _PYTHON_MODES:
        return f"Content of the mode {app_mode} needs Python: write the manifest again with the publishing client"
    return f"envdeck manages Python only; content of the mode {app_mode or 'unknown'} does not ask for it here"


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "true or false"), (int | float, "a number"), (str, "a string"), (list, "a list")):
        if isinstance(value, kind):
            return name
    return "an object"


def _skip(text: str, at: int) -> int:
    """The offset of the first character from `at` on that is not JSON whitespace."""
    found = _WHITESPACE.match(text, at)
    return found.end() if found else at


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Key, offset of the key and offset of the value for each member of the object at `at`, in text known to parse."""
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, end = _DECODER.raw_decode(text, at)
        value_at = _skip(text, _skip(text, end) + 1)
        yield key, at, value_at
        _, end = _DECODER.raw_decode(text, value_at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _find_duplicate(text: str) -> int | None:
    """The offset of a key that appears twice in one object; None when it is too deep, or in a list."""

    def search(at: int, depth: int) -> int | None:
        seen: set[str] = set()
        for key, key_at, value_at in _members(text, at):
            if key in seen:
                return key_at
            seen.add(key)
            if text[value_at] == "{" and depth > 1:
                inner = search(value_at, depth - 1)
                if inner is not None:
                    return inner
        return None

    try:
        return search(_skip(text, 0), _DUPLICATE_DEPTH)
    except RecursionError:
        return None


def _place(text: str, at: int, source: str) -> Where:
    return Where(source, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
