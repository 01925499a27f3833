"""An environment: what is in it, what it was built from, by whom, who uses it, and what its key covers."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text

from app.tui.describe.ingredients import ingredients
from app.tui.describe.reaping import kept_reasons
from app.tui.document import Document, Line
from app.tui.symbols import BUILD, ENVIRONMENT, FOREIGN
from app.tui.text import ago, clock, count, duration, safe, size
from engine import (
    LOCAL,
    Build,
    Environment,
    ForeignEnvironment,
    LastVerification,
    LockedPackage,
    Pin,
    Problem,
    ReapKind,
    ReapPlan,
)

__all__ = ["NOT_OURS", "Examined", "describe_environment", "describe_foreign"]

_FINDINGS = 5
"""How many findings are shown here; a verification tells all."""
NOT_OURS = "the server itself made it; envdeck only looks at it"


class Examined(Struct, frozen=True):
    """What only a look at the disk and at the processes tells of an environment."""

    reap: ReapPlan
    """What deleting it would do."""
    pin: Pin | None
    verification: LastVerification | None


def describe_environment(
    env: Environment,
    contents: Sequence[str],
    builds: Sequence[Build],
    examined: Examined | Problem | None,
    now: float,
) -> list[Line]:
    """Everything about `env` at the time `now`.

    `contents` are the names of the content whose active bundle uses it, `builds` those of its key, the newest first;
    `examined` is None while it is looked at.
    """
    document = Document()
    mark = ENVIRONMENT[env.state]
    document.add(mark.text(), "  ", safe(env.key, "bold"), hang=2)
    if env.reason:
        document.add("  ", safe(env.reason, mark.style), hang=2)
    document.blank()
    document.field("Path", str(env.path if env.attempt else env.key_dir))
    document.field("Python", f"{env.python_version}  {env.python_path}".rstrip())
    if env.target != LOCAL:
        document.field("Target", env.target)
    if env.attempt:
        _made(document, env, now)
        document.field("Verified", *_verification(env, examined, now))
    else:
        document.field("Not known", "which attempt counts, its size, lines and packages, when it was built, for what")
    _use(document, env, contents, examined, now)

    _history(document, env, builds, now)
    if not env.attempt:
        return document.lines
    document.heading("Lines", f"{count(len(env.lines), 'line')} given to {env.installer}")
    for line in env.lines:
        document.add("  ", line, hang=4)
    _packages(document, env.packages)
    if env.ingredients:
        document.heading("Ingredients", "the key is a digest of these")
        ingredients(document, env.ingredients)
    return document.lines


def describe_foreign(env: ForeignEnvironment, now: float) -> list[Line]:
    """Everything about an environment of the server itself."""
    document = Document()
    document.add(FOREIGN.text(), "  ", safe(env.name, "bold"), hang=2)
    document.add("  ", safe(NOT_OURS, "dim"), hang=2)
    document.blank()
    mark = ENVIRONMENT[env.state]
    document.field("State", Text.assemble(mark.text(), "  ", safe(env.reason, mark.style)))
    document.field("Path", str(env.path))
    document.field("Python", f"{env.python_version}  of {env.home or 'an unknown directory'}")
    if env.target != LOCAL:
        document.field("Target", env.target)
    document.field("Made", f"{clock(env.made_at, now)}, {ago(now - env.made_at)}, with {env.installer}")
    _packages(document, env.packages)
    return document.lines


def _made(document: Document, env: Environment, now: float) -> None:
    """What its record tells."""
    document.field("Size", f"{size(env.size)} in {count(env.files, 'file')}")
    if env.shared:
        others = "uv's cache" if env.installer == "uv" else "other environments"
        document.field("", f"{size(env.own)} its own, {size(env.shared)} shared with {others}")
    when = f"{clock(env.built_at, now)}, {ago(now - env.built_at)}" if env.built_at else "at a time that is not known"
    built = f"{when}, in {duration(env.seconds)}"
    document.field("Built", built + (f", by {env.built_by}" if env.built_by else ""))
    document.field("First for", env.bundle or "unknown")
    document.field("Attempt", env.attempt)


def _packages(document: Document, packages: Sequence[LockedPackage]) -> None:
    document.heading("Packages", count(len(packages), "package"))
    document.table([(package.name, safe(package.version, "dim")) for package in packages])


def _use(
    document: Document, env: Environment, contents: Sequence[str], examined: Examined | Problem | None, now: float
) -> None:
    document.heading("Use")
    document.field("Content", *contents or (safe("none uses it", "dim"),))
    document.field("Last used", f"{ago(now - env.last_used_at)}" if env.last_used_at else safe("never noted", "dim"))
    if examined is None:
        document.field("Pinned", "yes" if env.pinned else safe("no", "dim"))
        document.field("Processes", safe("looking at all of them...", "dim"))
        return
    if isinstance(examined, Problem):
        document.problem(examined)
        return
    document.field("Pinned", _pin(examined.pin, now))
    plan = examined.reap
    item = next((one for one in plan.items if one.kind is ReapKind.ENVIRONMENT), None)
    processes: list[Text | str] = [str(process) for process in item.in_use_by] if item is not None else []
    if not processes:
        processes.append(safe("none uses it", "dim"))
    if plan.unreadable:
        unseen = count(plan.unreadable, "process", "processes")
        processes.append(safe(f"{unseen} of this machine could not be seen into", "dim"))
    document.field("Processes", *processes)
    if item is not None:
        kept = [safe(reason, "yellow") for reason in kept_reasons(item)]
        freed = safe(f"yes, with all of its attempts: {size(item.bytes)}")
        document.field("Can be reaped", *([safe("no", "bold"), *kept] if kept else [freed]))
    attempts = [one for one in plan.items if one.kind is ReapKind.ATTEMPT]
    lines = [f"{one.path.name}  {size(one.bytes)}  {'; '.join(kept_reasons(one)) or 'x reaps it'}" for one in attempts]
    if lines:
        document.field("Old attempts", *lines)


def _verification(env: Environment, examined: Examined | Problem | None, now: float) -> list[Text]:
    """Whether it is still what was built, as far as anybody looked."""
    if not isinstance(examined, Examined):
        return [safe("looking it up...", "dim")]
    last = examined.verification
    if last is None:
        how = "" if env.seal else "; it was never sealed, so that only its packages' own hashes can be compared"
        return [safe(f"never; t in the list does it, or `envdeck environments verify {env.key}`{how}", "dim")]
    when = f"{clock(last.at, now)}{f', by {last.by}' if last.by else ''}"
    if last.ok:
        return [Text.assemble(safe("✓ intact", "green"), "  ", safe(when))]
    lines = [Text.assemble(safe(f"✗ {count(last.count, 'difference')}", "bold red"), "  ", safe(when))]
    lines += [safe(finding, "red") for finding in last.findings[:_FINDINGS]]
    if last.count > _FINDINGS:
        lines.append(safe(f"and {last.count - _FINDINGS} more", "dim"))
    return lines


def _history(document: Document, env: Environment, builds: Sequence[Build], now: float) -> None:
    """Every build of its key: what came of it, and where its log is."""
    document.heading("History", f"{count(len(builds), 'build')} of this key; in the list l shows the log")
    rows: list[list[Text]] = []
    notes: list[list[Text]] = []
    for one in builds:
        counts = one.id == env.attempt
        when = f"{clock(one.submitted_at, now)}, {duration(one.seconds(now))}, by {one.by}"
        rows.append([BUILD[one.state].text(), safe(one.id, "bold" if counts else ""), safe(when)])
        told = [safe("this is the one that counts")] if counts else []
        if one.fault is not None:
            told.append(safe(one.fault, "red"))
        notes.append([*told, safe(one.log, "dim")])
    document.table(rows, notes=notes)
    if env.attempt and all(one.id != env.attempt for one in builds):
        document.add("  ", safe(f"the record and the log of {env.attempt} are not there any more", "dim"), hang=4)


def _pin(pin: Pin | None, now: float) -> Text | str:
    if pin is None:
        return safe("no", "dim")
    when = f", {clock(pin.at, now)}" if pin.at else ""
    return f"by {pin.by or 'somebody'}{when}" + (f": {pin.note}" if pin.note else "")
