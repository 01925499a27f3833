"""What people see of content and of bundles that are made. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from app.cli.blocks import count, grid, pairs, safe, stack, titled
from app.cli.render_plan import management, plan, provenance
from app.cli.units import moment, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine import (
        ActivatePlan,
        BuildPlan,
        Captured,
        Choice,
        Content,
        ContentBundle,
        DeployPlan,
        ProvenanceStep,
        RemovePlan,
        Resolution,
        RunPlan,
        SetPlan,
    )

__all__ = ["activating", "captured", "content", "contents", "deploying", "removing", "running", "setting"]

_LEVEL = {True: "on", False: "off", None: "not set"}


def contents(items: Sequence[Content]) -> RenderableType:
    if not items:
        return safe("Nothing is deployed. `envdeck deploy BUNDLE` does it.")
    table = grid("PYTHON", "BUNDLES", "DEPLOYED", "CONTENT")
    for item in items:
        active = item.active_bundle
        table.add_row(
            safe(item.installation.version if item.installation else "-"),
            safe(len(item.bundles)),
            safe(moment(active.deployed_at if active else None)),
            stack(
                safe(item.name or "(no name)"),
                safe(item.guid, "dim"),
                safe(", ".join(filter(None, [item.app_mode, item.key or "without an environment"])), "dim"),
                safe(item.problem.message, "bold red") if item.problem else None,
            ),
        )
    return Group(table, safe(count(len(items), "content item"), "dim"))


def content(item: Content, resolution: Resolution) -> RenderableType:
    """One content item: its settings, its bundles, and how it would run now with every reason."""
    picked = item.installation
    facts: list[tuple[str, RenderableType]] = [
        ("content", safe(item.name or "(no name)")),
        ("guid", safe(item.guid)),
        ("mode", safe(item.app_mode or "-")),
        ("created", safe(f"{moment(item.created_at)} by {item.created_by}")),
        ("last run", safe(moment(item.last_used_at))),
        ("picked", safe(f"Python {picked.version}  {picked.path}  {picked.target}" if picked else "-")),
        ("managed", safe(f"{'yes' if item.managed else 'no'}, decided at the last deployment")),
        ("own level", safe(_LEVEL[item.management])),
        ("image", safe(item.default_image or "not set")),
    ]
    parts: list[RenderableType] = [pairs(facts)]
    if item.bundles:
        parts += titled("bundles", _bundles(item.bundles, item.active))
    parts += titled("how it would run now", _resolution(resolution))
    return Group(*parts)


def _bundles(items: Sequence[ContentBundle], active: int) -> RenderableType:
    table = grid("NUMBER", "DEPLOYED", "SIZE", "BUNDLE")
    for item in reversed(items):
        table.add_row(
            Text(f"✓ {item.number} active" if item.number == active else f"· {item.number}"),
            safe(moment(item.deployed_at)),
            safe(size(item.size)),
            stack(
                safe(f"{item.name}, by {item.deployed_by}"),
                safe(f"Python {item.python_version}, " + (item.key or "without an environment"), "dim"),
            ),
        )
    return table


def _resolution(found: Resolution) -> RenderableType:
    rows: list[tuple[str, RenderableType]] = [("·", safe(reason.text)) for reason in found.reasons]
    if found.problem:
        rows.append(("✗", safe(found.problem.message, "bold red")))
    elif found.build:
        rows.append(("↻", safe(f"builds {found.build.key} first", "bold yellow")))
    elif found.environment:
        rows.append(("✓", stack(Text("ready", "green"), safe(found.environment.path))))
    elif found.installation:
        rows.append(("✓", stack(Text("ready", "green"), safe(f"on {found.installation.path} itself"))))
    return pairs(rows)


def setting(item: SetPlan) -> RenderableType:
    """What changing settings would change; a changed one shows both values."""
    before = item.content
    rows = [
        ("name", before.name, item.name),
        ("own level", _LEVEL[before.management], _LEVEL[item.management]),
        ("image", before.default_image or "not set", item.default_image or "not set"),
    ]
    parts: list[RenderableType] = [
        pairs([(label, safe(old if old == new else f"{old} → {new}")) for label, old, new in rows])
    ]
    if item.decision:
        parts += titled("environment management at the next deployment", management(item.decision))
    return Group(*parts)


def removing(item: RemovePlan) -> RenderableType:
    """What removing content would delete."""
    found = item.content
    environment = f"its environment {found.key} stays until it is reaped" if found.key else "it has no environment"
    return stack(
        safe(f"content {found.name or '(no name)'}  {found.guid}", "bold"),
        safe(f"with {count(len(found.bundles), 'bundle')}, {size(item.size)}; {environment}"),
    )


def deploying(item: DeployPlan, steps: Sequence[ProvenanceStep]) -> RenderableType:
    """What deploying would do: to which content, as which bundle, what goes, and the plan of the build."""
    where = f"content {item.content.name}  {item.content.guid}" if item.content else f"new content {item.name}"
    facts: list[tuple[str, RenderableType]] = [("deploys to", safe(where)), ("as bundle", safe(item.number))]
    if item.renames:
        facts.append(("renamed", safe(item.name)))
    if item.drops:
        numbers = ", ".join(str(bundle.number) for bundle in item.drops)
        when = " once it does not run any more" if item.drops_wait else ""
        facts.append(("drops", safe(f"bundle {numbers}{when}, by Applications.BundleRetentionLimit")))
    facts.append(("builds", safe(_first(item.build))))
    return Group(pairs(facts), plan(item.build, steps))


def _first(build: BuildPlan) -> str:
    """What has to be built before the bundle becomes active."""
    if not build.management.managed:
        return "nothing: it runs on the installation itself"
    if build.hit:
        return "nothing: its environment is there"
    return "its environment, which takes as long as pip takes"


def activating(item: ActivatePlan) -> RenderableType:
    """What making another bundle the active one would do, with every reason, and the plan of the build."""
    bundle = item.bundle
    deployed = f"{bundle.name}, deployed {moment(bundle.deployed_at)} by {bundle.deployed_by}"
    facts: list[tuple[str, RenderableType]] = [
        ("content", safe(f"{item.content.name}  {item.content.guid}")),
        ("activates", safe(f"bundle {bundle.number}, {deployed}")),
        ("because", stack(*(safe(reason.text) for reason in item.reasons))),
        ("builds", safe(_first(item.build) if item.build else "nothing: its files cannot be read")),
    ]
    if item.running:
        facts.append(("runs now", safe(f"and goes on with bundle {item.content.active} until it is started again")))
    return Group(pairs(facts), *([plan(item.build)] if item.build else []))


def running(item: RunPlan, argv: Sequence[str]) -> RenderableType:
    """How a command would be run."""
    facts: list[tuple[str, RenderableType]] = [
        ("content", safe(f"{item.content.name}  {item.content.guid}")),
        ("command", safe(shlex.join(argv) if argv else "(none given)")),
        ("directory", safe(item.cwd)),
        ("python", safe(item.python or "(its environment is built first)")),
        *([("image", safe(item.image.name))] if item.image else []),
        ("account", safe(item.account or "that of whoever runs it")),
    ]
    if item.variables:
        facts.append(("sets", stack(*(safe(f"{name}={value}") for name, value in sorted(item.variables.items())))))
    return Group(pairs(facts), *titled("why", _resolution(item.resolution)))


def captured(item: Captured, archive: Path) -> RenderableType:
    """Every choice about a bundle with its reason, and what is left out of it."""
    facts = [
        ("project", safe(item.directory)),
        ("archive", safe(archive)),
        ("app mode", _choice(item.app_mode)),
        ("entrypoint", _choice(item.entrypoint)),
        ("interpreter", _choice(item.interpreter)),
        ("packages", _choice(item.requirements)),
    ]
    parts: list[RenderableType] = [pairs(facts)]
    parts += titled("version constraint", provenance(item.provenance.steps))
    changed = [line for line in item.frozen if line.reason]
    if changed:
        lines = grid("ACTION", "LINE OF PIP FREEZE")
        for line in changed:
            word = Text("⊘ dropped", "yellow") if not line.kept else Text("+ changed")
            lines.add_row(word, stack(safe(line.original), safe(line.reason, "dim")))
        parts += titled("changed lines", lines)
    if item.left_out:
        parts += titled("left out", *(safe(f"{entry.name}: {entry.reason}") for entry in item.left_out))
    total = sum(file.size for file in item.files)
    parts += [Text(), safe(f"{count(len(item.files), 'file')}, {size(total)}", "dim")]
    return Group(*parts)


def _choice(choice: Choice) -> Text:
    return stack(
        safe(choice.value or "(none)"),
        safe(choice.reason, "dim"),
        *(safe(f"before: {sentence}", "dim") for sentence in choice.looked_at),
    )
