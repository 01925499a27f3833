"""An installation: the judgement, every check with its remedy, and what the interpreter said of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from app.tui.document import Document
from app.tui.symbols import CHECK, ENVIRONMENT, LIFE, USABILITY
from app.tui.text import safe
from app.tui.usage import content_name, users_by_key
from engine import (
    LOCAL,
    CheckStatus,
    Usability,
    lifespan_of,
)

if TYPE_CHECKING:
    from app.tui.document import Line
    from engine import (
        Content,
        Environment,
        Installation,
        InterpreterFacts,
    )

__all__ = ["describe_installation"]


def describe_installation(
    one: Installation, environments: Sequence[Environment], contents: Sequence[Content], now: float
) -> list[Line]:
    """Everything about `one` at the time `now`; `environments` and `contents` are all there are: which use it?"""
    document = Document()
    title = f"Python {one.version}" if one.version else "Python of unknown version"
    document.add(USABILITY[one.usability].text(), "  ", safe(title, "bold"), hang=2)
    document.blank()
    document.field("Path", one.executable or one.declared)
    if one.declared != one.executable:
        document.field("Declared as", one.declared)
    document.field("Declared in", one.origin)
    if one.target != LOCAL:
        document.field("Target", one.target)
    life = lifespan_of(one, now)
    if one.facts is not None:
        document.field("Security fixes", Text.assemble(LIFE[life.state].text(), "  ", safe(life.reason)))
    if one.usability is not Usability.PROBING:
        document.field(
            "Probe", f"{one.seconds:.2f} s" if one.seconds else "known from an earlier probe; t runs it again"
        )

    failed = sum(check.status is CheckStatus.FAILED for check in one.checks)
    document.heading("Checks", f"{len(one.checks)} made, {failed} failed" if one.checks else "none made yet")
    # What failed comes first: it is what the admin came for.
    order = (CheckStatus.FAILED, CheckStatus.WARNING, CheckStatus.OK)
    for check in sorted(one.checks, key=lambda check: order.index(check.status)):
        mark = CHECK[check.status]
        style = "" if check.status is CheckStatus.OK else mark.style
        document.add(
            "  ", mark.text(""), " ", safe(check.code.ljust(22), "dim"), " ", safe(check.finding, style), hang=27
        )
        if check.remedy:
            document.add(" " * 27, safe("remedy: ", "dim"), check.remedy, hang=27)
    _used(document, one, environments, contents)
    if one.facts is not None:
        _facts(document, one.facts)
    return document.lines


def _used(
    document: Document, one: Installation, environments: Sequence[Environment], contents: Sequence[Content]
) -> None:
    built = [env for env in environments if env.python_path == one.executable and env.target == one.target]
    users = users_by_key(contents)
    document.heading("Environments", f"{len(built)} built on it")
    document.table(
        [
            (
                ENVIRONMENT[env.state].text(),
                safe(env.key[:8]),
                safe(env.bundle or "-"),
                safe(f"used by {', '.join(users[env.key])}" if env.key in users else "no content uses it", "dim"),
            )
            for env in built
        ]
    )
    deployed = [
        item
        for item in contents
        if item.installation and (item.installation.path, item.installation.target) == (one.executable, one.target)
    ]
    document.heading("Content", f"{len(deployed)} deployed on it")
    for item in deployed:
        how = "" if item.managed else "  runs on it directly, without an environment"
        document.add("  ", content_name(item), safe(how, "dim"), hang=4)


def _facts(document: Document, facts: InterpreterFacts) -> None:
    document.heading("What it says of itself")
    document.field("Version", str(facts.version))
    document.field("Implementation", facts.implementation)
    document.field("Executable", facts.executable)
    if facts.real_executable not in ("", facts.executable):
        document.field("Behind its links", facts.real_executable)
    document.field("Prefix", facts.prefix)
    if facts.is_venv:
        document.field("Base prefix", facts.base_prefix)
    document.field("Packages in", facts.purelib)
    document.field("pip", facts.pip or safe("none", "bold red"))
    if facts.virtualenv:
        document.field("virtualenv", facts.virtualenv)
    document.field("ABI", facts.soabi or "unknown")
    document.field("Platform", f"{facts.platform}, {facts.pointer_bits} bit")
    document.field("C library", facts.libc or "unknown")
    flags = [
        word
        for word, is_so in (
            ("externally managed", facts.externally_managed),
            ("debug build", facts.debug),
            ("free-threaded", facts.free_threaded),
        )
        if is_so
    ]
    if flags:
        document.field("Special", ", ".join(flags))
    if facts.sys_path:
        document.field("Imports from", *facts.sys_path)
    if facts.missing:
        document.heading("Modules that cannot be imported")
        document.table([(name, reason) for name, reason in sorted(facts.missing.items())])
