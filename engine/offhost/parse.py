"""The text of a file of execution environments: YAML in, checked environments and all problems out. Pure.

Two forms (connect.md §7.2): a list of environments, and the older mapping with ``name: Kubernetes`` and ``images``.
The form is told by its shape, so that either setting may name either.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import yaml
from msgspec import Struct, field
from packaging.version import Version

from engine.errors import Problem, Severity, Where
from engine.offhost.model import RUNTIMES, DeclaredInstallation, ExecutionEnvironment, Matching
from engine.targets import LOCAL
from engine.text import clean, one_line

__all__ = ["MAX_NODES", "parse_environments"]

MAX_NODES = 20_000
"""Values in one file, those that aliases repeat counted each time: room for hundreds of environments."""
_MAX_DEPTH = 20

_PYTHON = "python"
_MAX_PROBLEMS = 100
_ACTED_ON = ("name", "title", "description", "matching", "supervisor", "guid", "identifier", _PYTHON, *RUNTIMES)
# Known to the server's API (connect.md §7.4), so no mistakes, but nothing here depends on them.
_NOT_ACTED_ON = (
    "volume_mounts",
    "id",
    "created_time",
    "updated_time",
    "cluster_name",
    "environment_type",
    "managed_by",
)

# The name is handed to container tools, where a leading `-` would be an option, and becomes part of a directory's name.
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,219}", re.ASCII)
_VERSION = re.compile(r"\d{1,4}\.\d{1,4}\.\d{1,4}", re.ASCII)

_STRING = "tag:yaml.org,2002:str"
_TAGS = {
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
}


class _TooLarge(Exception):
    """The text holds more values, or nests them deeper, than any real file."""

    def __init__(self, mark: yaml.Mark) -> None:
        super().__init__()
        self.mark = mark


class _Loader(yaml.SafeLoader):
    """Composes nodes, which know their places, and gives up early on a text that is out of all proportion."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._composed = 0
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._composed += 1
        self._depth += 1
        if self._composed > MAX_NODES or self._depth > _MAX_DEPTH:
            raise _TooLarge(self.get_mark())
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def parse_environments(data: bytes, source: str) -> tuple[tuple[ExecutionEnvironment, ...], tuple[Problem, ...]]:
    """The execution environments that `data`, read from `source`, declares, and everything that is wrong with it.

    An entry with an error is left out. Never raises. Codes: ``environments-not-utf8``, ``environments-not-yaml``,
    ``environments-too-large``, ``environments-wrong-type``, ``environments-missing-key``, ``environments-unknown-key``,
    ``environments-duplicate-key``, ``environments-duplicate``, ``environments-bad-value``, ``environments-more``.
    """
    reader = _Reader(source)
    try:
        root = _compose(data.decode("utf-8-sig"))
        entries = reader.entries(root) if root is not None else ()
        found = tuple(environment for entry in entries if (environment := reader.environment(entry)))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        reader.add(
            "environments-not-utf8", "the file is not UTF-8", _place(before), found=f"byte 0x{data[error.start]:02x}"
        )
        found = ()
    except yaml.reader.ReaderError as error:
        before = data.decode("utf-8-sig")[: error.position]
        character = clean(chr(error.character)) if isinstance(error.character, int) else ""
        reader.add("environments-not-yaml", "a character that YAML does not allow", _place(before), found=character)
        found = ()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"the file is not YAML: {error.problem or error.context}"
        reader.add("environments-not-yaml", message, (mark.line + 1, mark.column + 1) if mark else None)
        found = ()
    except _TooLarge as error:
        reader.add(
            "environments-too-large",
            "the file holds more values, or nests them deeper, than envdeck reads",
            (error.mark.line + 1, error.mark.column + 1),
            expected=f"at most {MAX_NODES} values, {_MAX_DEPTH} levels deep",
        )
        found = ()
    return found, reader.told()


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _place(before: str) -> tuple[int, int]:
    """The line and column that the text `before` ends at."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


class _Reader(Struct):
    """Reads nodes and collects what is wrong with them."""

    source: str
    problems: list[Problem] = field(default_factory=list)
    errors: int = 0
    _visited: int = 0
    _titles: dict[tuple[str, str], Where] = field(default_factory=dict)
    _guids: dict[str, Where] = field(default_factory=dict)

    # Problems

    def add(
        self,
        code: str,
        message: str,
        place: tuple[int, int] | None,
        *,
        expected: str = "",
        found: str = "",
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.errors += severity is Severity.ERROR
        where = Where(self.source, *place) if place else Where(self.source)
        self.problems.append(Problem(code, message, expected, found, where, hint, severity))

    def told(self) -> tuple[Problem, ...]:
        """The problems, and how many more there are when nobody would read them all."""
        told, rest = self.problems[:_MAX_PROBLEMS], len(self.problems) - _MAX_PROBLEMS
        if rest > 0:
            where = Where(self.source)
            told.append(Problem("environments-more", f"{rest} more problems are not listed", where=where))
        return tuple(told)

    def report(
        self,
        code: str,
        message: str,
        node: yaml.Node,
        *,
        expected: str = "",
        found: str = "",
        hint: str = "",
        severity: Severity = Severity.ERROR,
    ) -> None:
        place = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.add(code, message, place, expected=expected, found=found, hint=hint, severity=severity)

    def wrong_type(self, node: yaml.Node, what: str, expected: str, hint: str = "") -> None:
        message = f"{what} has the wrong type"
        self.report("environments-wrong-type", message, node, expected=expected, found=_describe(node), hint=hint)

    def where(self, node: yaml.Node) -> Where:
        return Where(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    # Shapes

    def charge(self, node: yaml.Node, count: int) -> None:
        """Count the values in `node`. An alias is read again each time, so a small text can stand for a huge one."""
        self._visited += count
        if self._visited > MAX_NODES:
            raise _TooLarge(node.start_mark)

    def mapping(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, yaml.Node]] | None:
        """Key to the nodes of key and value; None, reported, when `node` is no mapping of names."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong_type(node, what, "a mapping")
            return None
        self.charge(node, len(node.value))
        pairs: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong_type(key, f"a key of {what}", "a name")
            elif key.tag == "tag:yaml.org,2002:merge":
                self.report(
                    "environments-unknown-key",
                    "merge keys are not read",
                    key,
                    found="<<",
                    hint="Repeat the keys, or use an alias for one value",
                )
            elif key.value in pairs:
                first = pairs[key.value][0].start_mark.line + 1
                self.report(
                    "environments-duplicate-key",
                    f"`{one_line(key.value, 40)}` appears twice in {what}",
                    key,
                    hint=f"It is on line {first}, too: keep one of them",
                )
            else:
                pairs[key.value] = (key, value)
        return pairs

    def sequence(self, node: yaml.Node, what: str, hint: str = "") -> list[yaml.Node]:
        if _is_null(node):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.wrong_type(node, what, "a list", hint)
            return []
        self.charge(node, len(node.value))
        return list(node.value)

    def string(self, node: yaml.Node, what: str, hint: str = "Put it in quotes") -> str:
        """The text of a scalar; empty for null, and, reported, for anything else."""
        if isinstance(node, yaml.ScalarNode) and node.tag == _STRING:
            return str(node.value)
        if not _is_null(node):
            self.wrong_type(node, what, "a string", hint if isinstance(node, yaml.ScalarNode) else "")
        return ""

    def check_keys(self, pairs: dict[str, tuple[yaml.Node, yaml.Node]], known: Sequence[str], what: str) -> None:
        """Report unknown keys: what looks like a misspelling as an error, anything else may be news to us only."""
        for name, (key, _) in pairs.items():
            if name in known:
                continue
            close = _close_to(name, known)
            self.report(
                "environments-unknown-key",
                f"{what} has no key `{one_line(name, 40)}`",
                key,
                found=name,
                hint=f"Did you mean {close}?" if close else f"It is ignored; known are {', '.join(known)}",
                severity=Severity.ERROR if close else Severity.WARNING,
            )

    # The file

    def entries(self, root: yaml.Node) -> Iterator[yaml.Node]:
        """The node of each environment, in either form of the file."""
        if _is_null(root):
            return
        if not isinstance(root, yaml.MappingNode):
            yield from self.sequence(root, "the file", "List the environments, each beginning with `- name: IMAGE`")
            return
        what = "the cluster definition"
        pairs = self.mapping(root, what) or {}
        self.check_keys(pairs, ("name", "images"), what)
        for name in ("name", "images"):
            if name not in pairs:
                self.report(
                    "environments-missing-key",
                    f"{what} has no `{name}`",
                    root,
                    hint="A mapping needs `name: Kubernetes` and `images`; otherwise write a list of environments",
                )
        if "name" in pairs and (cluster := self.string(pairs["name"][1], "`name`")) != "Kubernetes" and cluster:
            self.report(
                "environments-bad-value",
                "the cluster is not known",
                pairs["name"][1],
                expected="Kubernetes",
                found=cluster,
            )
        if "images" in pairs:
            yield from self.sequence(pairs["images"][1], "`images`")

    def environment(self, node: yaml.Node) -> ExecutionEnvironment | None:
        """The environment that an entry declares; None, reported, when anything in it is an error."""
        before = self.errors
        pairs = self.mapping(node, "an environment")
        if pairs is None:
            return None
        self.check_keys(pairs, (*_ACTED_ON, *_NOT_ACTED_ON), "an environment")
        name = self.image(node, pairs)

        def text(key: str) -> str:
            return one_line(self.string(pairs[key][1], f"`{key}`"), 1000) if key in pairs else ""

        python = self.installations(pairs[_PYTHON][1], _PYTHON) if _PYTHON in pairs else ()
        runtimes = {
            key: tuple(installation.version for installation in declared)
            for key in RUNTIMES
            if key in pairs and (declared := self.installations(pairs[key][1], key))
        }
        environment = ExecutionEnvironment(
            name=name,
            where=self.where(node),
            title=text("title"),
            description=text("description"),
            matching=self.matching(pairs["matching"][1]) if "matching" in pairs else Matching.ANY,
            supervisor=text("supervisor"),
            python=python,
            runtimes=runtimes,
            guid=(text("guid") or text("identifier")).lower(),
        )
        if self.errors > before or not self.unique(node, environment):
            return None
        return environment

    def image(self, node: yaml.Node, pairs: dict[str, tuple[yaml.Node, yaml.Node]]) -> str:
        value = pairs["name"][1] if "name" in pairs else None
        if value is None or _is_null(value):
            self.report(
                "environments-missing-key",
                "an environment has no `name`",
                value or node,
                expected="the image",
                hint="Add `name: IMAGE`",
            )
            return ""
        before = self.errors
        name = self.string(value, "`name`")
        if self.errors == before and (not _IMAGE.fullmatch(name) or name.casefold() == LOCAL.casefold()):
            self.report(
                "environments-bad-value",
                "`name` is not the name of an image",
                value,
                expected="such as registry.example/content:tag",
                found=name or "an empty string",
                hint=f"{LOCAL} is this machine" if name.casefold() == LOCAL.casefold() else "",
            )
        return name

    def matching(self, node: yaml.Node) -> Matching:
        text = self.string(node, "`matching`", "")
        if text in tuple(Matching) or _is_null(node):
            return Matching(text or Matching.ANY)
        if isinstance(node, yaml.ScalarNode) and node.tag == _STRING:
            close = _close_to(text, tuple(Matching))
            self.report(
                "environments-bad-value",
                "`matching` has a value that is not known",
                node,
                expected="any, exact or none",
                found=text or "an empty string",
                hint=f"Did you mean {close}?" if close else "",
            )
        return Matching.NONE

    def installations(self, node: yaml.Node, runtime: str) -> tuple[DeclaredInstallation, ...]:
        """The installations of one runtime; those with an error are left out, reported."""
        if _is_null(node):
            return ()
        what = f"`{runtime}`"
        pairs = self.mapping(node, what)
        if pairs is None:
            return ()
        self.check_keys(pairs, ("installations",), what)
        if "installations" not in pairs:
            return ()
        declared = self.sequence(pairs["installations"][1], f"`installations` of {what}")
        return tuple(one for entry in declared if (one := self.installation(entry, runtime)))

    def installation(self, node: yaml.Node, runtime: str) -> DeclaredInstallation | None:
        what = f"an installation of `{runtime}`"
        pairs = self.mapping(node, what)
        if pairs is None:
            return None
        self.check_keys(pairs, ("version", "path"), what)
        for key in ("version", "path"):
            if key not in pairs:
                self.report("environments-missing-key", f"{what} has no `{key}`", node, hint=f"Add `{key}`")
        version = self.version(pairs["version"][1]) if "version" in pairs else None
        path = self.path(pairs["path"][1]) if "path" in pairs else None
        return DeclaredInstallation(version, path, self.where(node)) if version and path else None

    def version(self, node: yaml.Node) -> Version | None:
        hint = ""
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _STRING and _VERSION.fullmatch(node.value):
                return Version(node.value)
            if node.tag.endswith((":float", ":int")):
                example = _full(node.value)
                hint = f'YAML reads {node.value} as a number: write the full version in quotes, such as "{example}"'
        self.report(
            "environments-bad-value",
            "`version` is not a full version",
            node,
            expected="three numbers, such as 3.11.4",
            found=node.value if isinstance(node, yaml.ScalarNode) and node.value else _describe(node),
            hint=hint,
        )
        return None

    def path(self, node: yaml.Node) -> str | None:
        before = self.errors
        text = self.string(node, "`path`")
        if self.errors == before and (not PurePosixPath(text).is_absolute() or clean(text) != text):
            self.report(
                "environments-bad-value",
                "`path` is not an absolute path",
                node,
                expected="such as /opt/python/3.11.4/bin/python3",
                found=text or "nothing",
            )
        return text if self.errors == before else None

    def unique(self, node: yaml.Node, environment: ExecutionEnvironment) -> bool:
        """Whether no earlier entry has the same image and title, or the same guid; reported when one has."""
        names = (environment.name, environment.title)
        earlier = self._titles.setdefault(names, environment.where)
        what = f"an environment of {environment.name} " + (
            f"titled {environment.title}" if environment.title else "without a title"
        )
        if earlier is environment.where and environment.guid:
            earlier = self._guids.setdefault(environment.guid, environment.where)
            what = f"an environment with the guid {environment.guid}"
        if earlier is environment.where:
            return True
        self.report(
            "environments-duplicate",
            f"{what} is declared twice",
            node,
            hint=f"The first is on line {earlier.line}: remove one of them, or tell them apart by their titles",
        )
        return False


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _describe(node: yaml.Node) -> str:
    """What a node is, in plain words, with its text if it is short."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if node.tag == _STRING:
        return f"the text {one_line(node.value, 40)}" if node.value else "an empty string"
    kind = _TAGS.get(node.tag, f"a value tagged {one_line(node.tag, 40)}")
    return f"{one_line(node.value, 40)}, {kind}" if node.value else kind


def _full(number: str) -> str:
    """An example of a full version for the number that stands in its place."""
    return f"{number}.4" if re.fullmatch(r"\d+\.\d+", number) else "3.11.4"


def _close_to(word: str, names: Sequence[str]) -> str | None:
    """The one of `names` that `word` looks like a misspelling of, if any."""
    matches = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.7)
    return matches[0] if matches else None
