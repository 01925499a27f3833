"""What uv is to be asked for, so that it does what pip would do with the same plan. Pure.

uv reads no pip.conf, and where its own configuration and a requirements file both name an index it lets the first one
win, where pip lets the last. So pip's configuration and the options of the requirements file are put together here by
pip's rules, and handed over as one configuration file of uv, beside which uv reads no other. A file and not arguments,
because the URL of an index may hold a password and everybody sees the arguments of a process.

What uv has no equal of is an obstacle: one sentence, for which pip is used instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from msgspec import Struct, field

from engine.bundles.model import LineKind, RequirementLine
from engine.bundles.requirements import parse_requirements
from engine.errors import InputError, Problem, Where
from engine.text import mask_credentials, one_line

__all__ = ["UvRequest", "uv_request"]

_HARMLESS = frozenset(
    {
        "break-system-packages",
        "cache-dir",
        "compile",
        "disable-pip-version-check",
        "exists-action",
        "force-reinstall",
        "ignore-installed",
        "log",
        "no-color",
        "no-compile",
        "no-input",
        "no-python-version-warning",
        "no-warn-conflicts",
        "no-warn-script-location",
        "progress-bar",
        "quiet",
        "report",
        "require-virtualenv",
        "root-user-action",
        "upgrade",
        "upgrade-strategy",
        "use-pep517",
        "verbose",
    }
)
"""Options of pip.conf that make no difference to what is in a new environment."""

_SWITCHES = frozenset({"no-index", "pre", "require-hashes", "no-deps", "no-cache-dir", "prefer-binary"})
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off", ""})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", re.ASCII)
_OF_ONE_LINE = frozenset({"--hash", "--editable"})
"""What uv reads next to a requirement as pip does."""
_VCS = re.compile(r"(?:^|@\s*)(?P<vcs>hg|svn|bzr)\+", re.ASCII)


class UvRequest(Struct, frozen=True):
    """What uv is given. Neither text may be shown: they may hold a password."""

    requirements: str = ""
    """The requirements file without the options that are in `config`."""
    config: str = ""
    """The ``uv.toml``."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that say what the file cannot."""
    obstacles: tuple[str, ...] = ()
    """Why it must not be used; empty when it may."""


class _Asked(Struct):
    """What is asked for, in pip's terms, put together step by step."""

    indexes: list[str] = field(default_factory=list)
    default_index: bool = True
    """Whether the first of `indexes` is still that of pip itself, which has no name here."""
    no_index: bool = False
    links: list[str] = field(default_factory=list)
    no_binary: list[str] = field(default_factory=list)
    only_binary: list[str] = field(default_factory=list)
    trusted: list[str] = field(default_factory=list)
    pre: bool = False
    hashes: bool = False
    no_deps: bool = False
    no_cache: bool = False
    shares: bool = False
    constraints: list[str] = field(default_factory=list)
    keyring: str = ""
    env: dict[str, str] = field(default_factory=dict)
    obstacles: list[str] = field(default_factory=list)


def uv_request(
    requirements: str,
    constraints: str,
    options: Mapping[str, str],
    is_there: Callable[[str], bool],
    *,
    shares: bool = False,
) -> UvRequest:
    """What to ask uv for to install `requirements` under `constraints`, the files for pip, as pip would.

    `options` is pip's configuration; the constraints are given to uv as they are. `is_there` says whether there is
    anything at a path: pip passes over a directory of packages that is missing, and uv stops there. `shares` is whether
    an environment may have its files in common with uv's cache.
    """
    asked = _Asked(shares=shares)
    try:
        lines = parse_requirements(requirements.encode(), "requirements.txt", _no_include)
        limits = parse_requirements(constraints.encode(), "constraints.txt", _no_include)
    except InputError as error:
        return UvRequest(obstacles=(f"the requirements cannot be read again: {error.problem.message}",))
    for name, value in sorted(options.items()):
        _configured(asked, name, value)
    kept = []
    for line in lines:
        if line.kind is LineKind.OPTION:
            _option_line(asked, line)
        else:
            _requirement_line(asked, line)
            kept.append(line.text)
    for limit in limits:
        _requirement_line(asked, limit)
    _insecure(asked)
    if asked.no_binary and asked.only_binary:
        asked.obstacles.append("only-binary and no-binary are both set, which pip and uv combine differently")
    kept = [f"-c {path}" for path in asked.constraints] + kept
    text = "".join(f"{line}\n" for line in kept)
    return UvRequest(text, _config(asked, is_there), asked.env, tuple(dict.fromkeys(asked.obstacles)))


def _no_include(_path: str, where: Where) -> bytes:
    raise InputError(Problem("requirement-bad-include", "they name another file", where=where))


def _configured(asked: _Asked, name: str, value: str) -> None:
    """One option of pip's configuration files."""
    words = value.split()
    if name in _SWITCHES:
        if value.lower() not in _TRUE | _FALSE:
            asked.obstacles.append(f"pip.conf has a value for {name} that is neither true nor false")
        elif value.lower() in _TRUE:
            _switch(asked, name)
    elif name == "index-url":
        asked.indexes[:0] = [value]
        asked.default_index = False
    elif name == "extra-index-url":
        asked.indexes += words
    elif name == "find-links":
        for place in words:
            _add_links(asked, place, "pip.conf")
    elif name in ("no-binary", "only-binary"):
        _add_formats(asked, name, value, "pip.conf")
    elif name == "trusted-host":
        asked.trusted += words
    elif name == "constraint":
        for path in words:
            if path.startswith("/") or _URL.match(path):
                asked.constraints.append(path)
            else:
                asked.obstacles.append("pip.conf names a constraints file by a relative path")
    elif name == "keyring-provider" and value in ("disabled", "subprocess"):
        asked.keyring = value
    elif name in ("timeout", "default-timeout", "retries") and value.isdecimal():
        asked.env["UV_HTTP_RETRIES" if name == "retries" else "UV_HTTP_TIMEOUT"] = value
    elif name == "cert":
        asked.env["SSL_CERT_FILE"] = value
    elif name == "client-cert":
        asked.env["SSL_CLIENT_CERT"] = value
    elif name == "proxy":
        proxy = value if "://" in value else f"http://{value}"
        asked.env |= {"http_proxy": proxy, "https_proxy": proxy, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    elif name not in _HARMLESS:
        asked.obstacles.append(f"pip.conf sets {one_line(name, 40)}, which uv has no equal of")


def _switch(asked: _Asked, name: str) -> None:
    if name == "no-index":
        asked.no_index = True
    elif name == "pre":
        asked.pre = True
    elif name == "require-hashes":
        asked.hashes = True
    elif name == "no-deps":
        asked.no_deps = True
    elif name == "no-cache-dir":
        asked.no_cache = True
    else:
        asked.obstacles.append("pip.conf sets prefer-binary, which uv has no equal of")


def _option_line(asked: _Asked, line: RequirementLine) -> None:
    """A line of options, as pip's ``handle_option_line`` heeds it: an index replaces all that were named before."""
    given: dict[str, list[str]] = {}
    for name, value in line.options:
        given.setdefault(name, []).append(value)
        if "${" in value:
            asked.obstacles.append(f"{name} in the requirements takes a value from a variable, which only pip fills in")
    if "--no-index" in given:
        asked.no_index = True
    if "--index-url" in given:
        asked.indexes, asked.default_index = [given["--index-url"][-1]], False
    asked.indexes += given.get("--extra-index-url", [])
    for place in given.get("--find-links", [])[:1]:
        _add_links(asked, place, "a line of the requirements")
    for name in ("no-binary", "only-binary"):
        for value in given.get(f"--{name}", []):
            _add_formats(asked, name, value, "a line of the requirements")
    asked.trusted += given.get("--trusted-host", [])
    asked.pre |= "--pre" in given
    asked.hashes |= "--require-hashes" in given
    known = {"--no-index", "--index-url", "--extra-index-url", "--find-links", "--no-binary", "--only-binary"}
    known |= {"--trusted-host", "--pre", "--require-hashes"}
    for name in given.keys() - known:
        asked.obstacles.append(f"the requirements have the option {name}, which uv has no equal of")


def _requirement_line(asked: _Asked, line: RequirementLine) -> None:
    names = {name for name, _ in line.options}
    asked.hashes |= "--hash" in names
    for name in names - _OF_ONE_LINE:
        asked.obstacles.append(f"a requirement has the option {name}, which uv has no equal of")
    if match := _VCS.search(line.text):
        asked.obstacles.append(f"uv cannot fetch from {match['vcs']}: {_shown(line.text)}")
    elif "--editable" in names and not line.local:
        asked.obstacles.append(f"uv makes only local projects editable: {_shown(line.text)}")
    elif "ftp://" in line.text.lower():
        asked.obstacles.append(f"uv cannot fetch by ftp: {_shown(line.text)}")


def _shown(text: str) -> str:
    return one_line(mask_credentials(text), 80)


def _add_links(asked: _Asked, place: str, origin: str) -> None:
    if place.startswith("/") or _URL.match(place):
        asked.links.append(place)
    else:
        asked.obstacles.append(f"{origin} names a directory of packages by a relative path")


def _add_formats(asked: _Asked, name: str, value: str, origin: str) -> None:
    names = [each.strip() for each in value.split(",") if each.strip()]
    if ":none:" in names:
        asked.obstacles.append(f"{origin} takes {name} back with :none:, which uv does not")
    (asked.no_binary if name == "no-binary" else asked.only_binary).extend(names)


def _insecure(asked: _Asked) -> None:
    """pip passes over a place that it cannot be sure of, and uv would take packages from there."""
    for place in (*asked.indexes, *asked.links):
        try:
            url = urlsplit(place)
            host, port = url.hostname or "", url.port
        except ValueError:
            asked.obstacles.append("an index has an address that cannot be read")
            continue
        if url.scheme.lower() != "http" or host in ("localhost", "127.0.0.1", "::1"):
            continue
        if not {host, f"{host}:{port}"} & set(asked.trusted):
            asked.obstacles.append(f"{host} is not asked over https and no trusted-host, so that pip passes over it")


def _config(asked: _Asked, is_there: Callable[[str], bool]) -> str:
    """The text of ``uv.toml``."""
    top: dict[str, object] = {"python-downloads": "never", "no-cache": asked.no_cache}
    if asked.trusted:
        top["allow-insecure-host"] = asked.trusted
    pip: dict[str, object] = {
        # Same versions as pip: the best of all indexes, and no word of uv's own in a project's files.
        "index-strategy": "unsafe-best-match",
        "no-sources": True,
        "compile-bytecode": True,
        "link-mode": "hardlink" if asked.shares else "copy",
        "no-index": asked.no_index,
        "require-hashes": asked.hashes,
        "no-deps": asked.no_deps,
    }
    if not asked.no_index:
        extra = asked.indexes if asked.default_index else asked.indexes[1:]
        if not asked.default_index:
            pip["index-url"] = asked.indexes[0]
        pip["extra-index-url"] = extra
    pip["find-links"] = [place for place in asked.links if not place.startswith("/") or is_there(place)]
    if asked.pre:
        pip["prerelease"] = "allow"
    if asked.keyring:
        pip["keyring-provider"] = asked.keyring
    if asked.no_binary:
        pip["no-binary"] = asked.no_binary
    if asked.only_binary:
        pip["only-binary"] = asked.only_binary
    return "".join((*_toml(top), "\n[pip]\n", *_toml(pip)))


def _toml(table: Mapping[str, object]) -> Iterable[str]:
    for name, value in table.items():
        if value is False or value == []:
            continue
        # What JSON writes is TOML as well for these, once no character is written as a pair of surrogates.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        yield f"{name} = {text}\n"
