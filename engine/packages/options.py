"""Which of pip's options a requirements file may use. Pure.

"Content authors can use any of the options that pip supports in requirements files" is the server's rule (connect.md
§9), and an author runs code on the server anyway. So the list is not about that code, which runs in the author's own
environment. It is about options that reach further: that switch off a check, or leave something behind in the cache of
pip, which all content shares. These an admin can allow, one by one (``Envdeck.AllowedOption``).

An option about where or how packages are fetched is taken out of its line when it is not allowed: without it pip is
stricter, and says so where that matters. An option about how one package is built stops the plan: without it pip would
build something else than was asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engine.bundles.model import LineKind, RequirementLine
from engine.bundles.requirements import OPTIONS
from engine.errors import Problem
from engine.text import mask_credentials, one_line

__all__ = ["LIMITED_OPTIONS", "SAFE_OPTIONS", "Ruling", "option_error", "options_text", "rule_on_options"]

SAFE_OPTIONS = frozenset(
    {
        "--all-releases",
        "--constraint",
        "--editable",
        "--extra-index-url",
        "--find-links",
        "--hash",
        "--index-url",
        "--no-binary",
        "--no-index",
        "--only-binary",
        "--only-final",
        "--pre",
        "--prefer-binary",
        "--require-hashes",
        "--requirement",
    }
)
"""The options that every bundle may use: they say which packages, and from where."""

_BUILDS_OTHERWISE = "it changes how a package is built, and pip keeps the result for other content that asks for it"
LIMITED_OPTIONS = {
    "--config-settings": _BUILDS_OTHERWISE,
    "--global-option": _BUILDS_OTHERWISE,
    "--install-option": _BUILDS_OTHERWISE,
    "--no-require-hashes": "it switches off a check of hashes that pip's configuration may demand",
    "--trusted-host": "it switches off the check of the host's certificate, and pip keeps what comes from there",
    "--use-feature": "it switches on what pip calls experimental",
}
"""The options that need an admin's leave, each with the reason."""

_OF_ONE_PACKAGE = frozenset({"--hash", "--config-settings", "--global-option", "--install-option"})
"""What pip heeds next to a requirement, and there alone; all other options it heeds alone on their line."""


class Ruling(Struct, frozen=True):
    """What becomes of the options of one line."""

    line: RequirementLine
    left: RequirementLine
    """The line with the options that pip is to be given; its text is empty when nothing is left of it."""
    reason: str = ""
    """Why options were taken out; empty when none were."""
    notes: tuple[str, ...] = ()
    """By whose leave options stay that need it, one sentence each."""
    problem: Problem | None = None
    """`option-not-allowed`: why there can be no plan with this line."""


def rule_on_options(line: RequirementLine, allowed: Iterable[tuple[str, str]] = ()) -> Ruling:
    """What becomes of the options of `line`.

    `allowed` are pairs (value of ``Envdeck.AllowedOption``, its origin): the name of an option, or ``NAME=VALUE`` for
    that value alone.
    """
    origins = {value.strip(): origin for value, origin in allowed}
    stays: list[tuple[str, str]] = []
    refused: list[str] = []
    notes: list[str] = []
    for name, value in line.options:
        if not _is_heeded(name, line) or name not in LIMITED_OPTIONS:
            stays.append((name, value))
        elif (origin := origins.get(name) or origins.get(f"{name}={value}")) is not None:
            stays.append((name, value))
            notes.append(f"{name} is allowed by {one_line(origin)}")
        else:
            refused.append(name)
    if not refused:
        return Ruling(line, line, notes=tuple(dict.fromkeys(notes)))
    name = refused[0]
    if name in _OF_ONE_PACKAGE:
        problem = Problem(
            "option-not-allowed",
            f"{name} is not among the options that bundles may use: {LIMITED_OPTIONS[name]}",
            found=mask_credentials(line.text),
            where=line.where,
            hint=f"Take it out of the line, or let an admin allow it: AllowedOption = {name} under [Envdeck]",
        )
        return Ruling(line, line, problem=problem)
    reason = "; ".join(f"{name} is left out: {LIMITED_OPTIONS[name]}" for name in dict.fromkeys(refused))
    reason += "; an admin can allow it with Envdeck.AllowedOption"
    left = replace(line, text=options_text(stays), options=tuple(stays))
    return Ruling(line, left, reason, tuple(dict.fromkeys(notes)))


def options_text(options: Sequence[tuple[str, str]]) -> str:
    """The pairs as pip reads them on a line."""
    return " ".join(f"{name}={shlex.quote(value)}" if OPTIONS[name] else name for name, value in options)


def option_error(value: str) -> str:
    """What is wrong with a value of ``Envdeck.AllowedOption``; empty when it is well-formed."""
    name = value.strip().partition("=")[0]
    if name in LIMITED_OPTIONS:
        return ""
    if name in SAFE_OPTIONS:
        return f"{name} may be used anyway"
    return f"{one_line(name, 80) or 'nothing'} is not an option that a requirements file can have"


def _is_heeded(name: str, line: RequirementLine) -> bool:
    """Whether pip takes any notice of the option `name` on a line of this kind."""
    return (name in _OF_ONE_PACKAGE) != (line.kind is LineKind.OPTION)
