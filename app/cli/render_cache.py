"""What people see of the cache: environments, reaping, runtime caches and rebuilds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from app.cli.blocks import count, grid, mark, pairs, problem, safe, stack, titled
from app.cli.units import duration, moment, size
from engine import (
    LOCAL,
    ItemState,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine import (
        Build,
        BulkPlan,
        CachePlan,
        Change,
        Difference,
        Environment,
        ForeignEnvironment,
        LastVerification,
        Pin,
        PinPlan,
        ReapItem,
        ReapPlan,
        ReapResult,
        RebuildForecast,
        RebuildList,
        RebuildPlan,
        RuntimeCache,
        Users,
    )

__all__ = [
    "bulk",
    "cache_plan",
    "caches",
    "difference",
    "environment",
    "environments",
    "foreign",
    "pinning",
    "reap_plan",
    "reaped",
    "rebuild_list",
    "rebuild_plan",
]


def environments(items: Sequence[Environment], used_by: Mapping[str, Sequence[str]]) -> RenderableType:
    """The cache; `used_by` are the names of the contents that use each key."""
    if not items:
        return safe("The cache holds no environment.")
    table = grid("STATE", "PYTHON", "SIZE", "BUILT", "ENVIRONMENT")
    for item in items:
        table.add_row(
            mark(item.state),
            safe(item.python_version),
            # Of one whose record cannot be read, nothing is known of what that says.
            safe(size(item.size) if item.attempt else "-"),
            safe(moment(item.built_at or None)),
            stack(
                safe(item.key),
                safe(f"{count(len(item.packages), 'package')}, built for {item.bundle} by {item.built_by}", "dim")
                if item.attempt
                else None,
                safe(_use(item, used_by), "dim"),
                safe(item.reason, "dim"),
            ),
        )
    total, own = sum(item.size for item in items), sum(item.own for item in items)
    freed = f", of which {size(own)} are theirs alone" if own != total else ""
    return Group(table, safe(f"{count(len(items), 'environment')}, {size(total)}{freed}", "dim"))


def _made(item: Environment) -> list[tuple[str, RenderableType]]:
    """What the record of an environment says of its making."""
    return [
        ("size", safe(f"{size(item.size)} in {count(item.files, 'file')}{_shared(item)}")),
        ("built", safe(f"{moment(item.built_at)} in {duration(item.seconds)}, for {item.bundle} by {item.built_by}")),
    ]


def _use(item: Environment, used_by: Mapping[str, Sequence[str]]) -> str:
    names = ", ".join(used_by.get(item.key, ()))
    parts = [f"used by {names}" if names else "used by no content"]
    if item.last_used_at:
        parts.append(f"last used {moment(item.last_used_at)}")
    if item.pinned:
        parts.append("pinned")
    return ", ".join(parts)


def foreign(items: Sequence[ForeignEnvironment]) -> RenderableType:
    """The environments of the server itself."""
    if not items:
        return safe("The server itself has made no environment here.")
    table = grid("STATE", "PYTHON", "MADE", "ENVIRONMENT")
    for item in items:
        table.add_row(
            mark(item.state),
            safe(item.python_version),
            safe(moment(item.made_at)),
            stack(
                safe(item.name),
                safe(f"{count(len(item.packages), 'package')}, {item.installer}, {item.target}", "dim"),
                safe(item.path, "dim"),
                safe(item.reason, "dim"),
            ),
        )
    return Group(table, safe(f"{count(len(items), 'environment')} that envdeck only looks at", "dim"))


def environment(
    item: Environment,
    pin: Pin | None,
    contents: Sequence[str],
    users: Users,
    builds: Sequence[Build] = (),
    verification: LastVerification | None = None,
    now: float = 0.0,
) -> RenderableType:
    """One environment: its record, who uses it, its history, what it was asked for and what is in it."""
    target = f" in {item.target}" if item.target != LOCAL else ""
    processes = users.by_path.get(item.key_dir, ())
    unreadable = f"{count(users.unreadable, 'process', 'processes')} could not be seen into"
    facts: list[tuple[str, RenderableType]] = [
        ("key", safe(item.key)),
        ("state", stack(mark(item.state), safe(item.reason, "dim"))),
        ("path", safe(item.path if item.attempt else item.key_dir)),
        ("python", safe(f"{item.python_version}  {item.python_path}{target}")),
        *(_made(item) if item.attempt else ()),
        ("installer", safe(item.installer)),
        ("verified", _verification(verification)),
        ("history", stack(*(_build(build, item, now) for build in builds)) or safe("no record of a build is there")),
        ("last used", safe(moment(item.last_used_at or None))),
        ("pinned", safe(_pin(pin))),
        ("content", safe(", ".join(contents) or "none uses it")),
        (
            "processes",
            stack(
                *(safe(process) for process in processes),
                None if processes else Text("none uses it"),
                safe(unreadable, "dim") if users.unreadable else None,
            ),
        ),
        ("asked for", stack(*map(safe, item.lines)) if item.lines else safe("nothing")),
        ("packages", stack(*(safe(f"{p.name} {p.version}") for p in item.packages)) if item.packages else safe("none")),
    ]
    return pairs(facts)


def _shared(item: Environment) -> str:
    return f", {size(item.own)} its own, {size(item.shared)} shared" if item.shared else ""


def _verification(last: LastVerification | None) -> Text:
    if last is None:
        return safe("never")
    by = f" by {last.by}" if last.by else ""
    if last.ok:
        return Text.assemble(mark("intact"), safe(f"  {moment(last.at or None)}{by}"))
    return stack(
        safe(f"✗ {count(last.count, 'difference')}  {moment(last.at or None)}{by}", "bold red"),
        *(safe(finding, "dim") for finding in last.findings),
    )


def _build(build: Build, item: Environment, now: float) -> Text:
    """One build of the key: what came of it, and its log."""
    counts = ", the one that counts" if build.id == item.attempt else ""
    told = f"  {build.id}  {moment(build.submitted_at)}, {duration(build.seconds(now))}, by {build.by}{counts}"
    return stack(
        Text.assemble(mark(build.state), safe(told)),
        safe(build.fault, "red") if build.fault else None,
        safe(build.log, "dim"),
    )


def difference(found: Difference) -> RenderableType:
    """How two environments differ, the first as ``-``, the second as ``+``."""
    head = stack(
        *(
            Text.assemble((sign, style), safe(f" {env.key}  {env.bundle}, Python {env.python_version}"))
            for sign, style, env in (("-", "red", found.one), ("+", "green", found.other))
        )
    )
    if found.none:
        return Group(head, safe("Nothing differs: the same packages, lines and ingredients."))
    parts: list[RenderableType] = [head]
    if found.packages:
        table = grid("PACKAGE", "-", "+", folded=("PACKAGE", "-"))
        for change in found.packages:
            table.add_row(safe(change.name), safe(change.one or "-", "red"), safe(change.other or "-", "green"))
        parts += titled(f"packages: {len(found.packages)} differ, {found.same_packages} are the same", table)
    if found.only_one or found.only_other:
        lines = [safe(f"- {line}", "red") for line in found.only_one]
        lines += [safe(f"+ {line}", "green") for line in found.only_other]
        parts += titled("lines", stack(*lines))
    if found.ingredients:
        parts += titled("interpreter, index and other ingredients", *(_ingredient(one) for one in found.ingredients))
    return Group(*parts)


def _ingredient(change: Change) -> Text:
    one, other = (
        safe(f"  {sign} {text or 'none'}", style)
        for sign, text, style in (("-", change.one, "red"), ("+", change.other, "green"))
    )
    return stack(safe(change.name), one, other)


def _pin(pin: Pin | None) -> str:
    if pin is None:
        return "no"
    return ", ".join(filter(None, [f"by {pin.by or 'somebody'} on {moment(pin.at or None)}", pin.note]))


def pinning(plan: PinPlan) -> Text:
    """What pinning or unpinning would do."""
    if plan.pin is None:
        return safe(f"would unpin  {plan.environment.key}, pinned {_pin(plan.before)}")
    return safe(f"would pin  {plan.environment.key}" + (f": {plan.pin.note}" if plan.pin.note else ""))


def _items(items: Sequence[ReapItem], verdict: str) -> RenderableType:
    table = grid("VERDICT", "SIZE", "WHAT")
    for item in items:
        reapable = item.verdict.reapable
        name = f"{item.kind.value} {item.name}"
        if item.kind == "attempt":
            name += f"/{item.path.name}"
        table.add_row(
            mark(verdict if reapable else "keep"),
            safe(size(item.bytes)),
            stack(
                safe(name),
                safe(_origin(item.environment), "dim") if item.environment and item.kind == "environment" else None,
                *(safe(_because(reason.message, reason.names), "dim") for reason in item.verdict.reasons),
                safe(f"used by {', '.join(item.used_by)}", "dim") if reapable and item.used_by else None,
            ),
        )
    return table


def _origin(item: Environment) -> str:
    return f"Python {item.python_version}, built for {item.bundle}"


def _because(message: str, names: Sequence[str]) -> str:
    return f"{message}: {', '.join(names)}" if names else message


def _unreadable(processes: int) -> Text | None:
    if not processes:
        return None
    told = count(processes, "process", "processes")
    return safe(f"! {told} could not be seen into, whose use may go unnoticed", "yellow")


def reap_plan(plan: ReapPlan) -> RenderableType:
    """Every environment with its verdict and all reasons, and the totals."""
    if not plan.items:
        return safe("There is nothing to reap: the cache is empty.")
    kept, going = plan.kept, plan.reapable
    total = stack(
        _unreadable(plan.unreadable),
        safe(f"{len(going)} to reap, {size(plan.bytes)}; {len(kept)} to keep; grace {duration(plan.grace)}", "bold"),
    )
    return Group(_items((*going, *kept), "reap"), total)


def cache_plan(plan: CachePlan) -> RenderableType:
    """What deleting a runtime cache would delete and what that costs."""
    cache = plan.cache
    head = safe(f"{cache.language} {cache.version} {cache.image_name}", "bold")
    going = plan.deletable
    lines = [
        _unreadable(plan.unreadable),
        safe(f"{len(going)} to delete, {size(plan.bytes)}; {len(plan.kept)} to keep", "bold"),
        safe(f"{count(cache.foreign, 'environment')} of the server itself stay") if cache.foreign else None,
    ]
    if plan.contents:
        lines.append(
            safe(f"! {', '.join(plan.contents)} would wait for rebuilds of {duration(plan.rebuild_seconds)}", "yellow")
        )
    body = [_items((*going, *plan.kept), "delete")] if plan.items else []
    return Group(head, *body, stack(*lines))


def reaped(result: ReapResult) -> RenderableType:
    """What was deleted, and each thing that was not with the reason."""
    parts: list[RenderableType] = []
    for item in result.refused:
        why = "; ".join(_because(reason.message, reason.names) for reason in item.verdict.reasons)
        parts.append(safe(f"kept  {item.kind.value} {item.name}: {why}"))
    parts += [problem(found) for _, found in result.failed]
    parts.append(
        safe(
            f"deleted  {len(result.removed)}, {size(result.bytes)}; "
            f"{len(result.refused)} kept after all, {len(result.failed)} failed"
        )
    )
    return Group(*parts)


def caches(items: Sequence[RuntimeCache]) -> RenderableType:
    """The runtime caches as the server's API has them."""
    if not items:
        return safe("There is no runtime cache.")
    table = grid("LANGUAGE", "VERSION", "ENVIRONMENTS", "SIZE", "IMAGE")
    for item in items:
        table.add_row(
            safe(item.language),
            safe(item.version),
            safe(f"{item.environments} + {item.foreign} foreign" if item.foreign else item.environments),
            safe(size(item.bytes)),
            safe(item.image_name),
        )
    return table


def rebuild_plan(plan: RebuildPlan, forecast: RebuildForecast) -> RenderableType:
    """Each environment that would be rebuilt, on what and how, or every reason why it cannot be; and what all takes."""
    table = grid("VERDICT", "PYTHON", "ENVIRONMENT")
    told = {item.key: item for item in forecast.items}
    for item in plan.items:
        on = item.installation.executable if item.installation else item.environment.python_path
        each = told.get(item.environment.key)
        table.add_row(
            mark("refused" if item.problems else "rebuild"),
            safe(item.environment.python_version),
            stack(
                safe(item.environment.key),
                safe(f"on {on}, built for {item.environment.bundle}", "dim"),
                safe(f"joins the build {item.running.id}", "dim") if item.running else None,
                safe(f"about {duration(each.seconds)}: {each.supply}", "dim") if each else None,
                *(safe(found.message, "dim") for found in item.problems),
            ),
        )
    fresh = "; everything is fetched anew, nothing comes from the wheel store" if plan.fresh else ""
    took = f"{count(len(plan.items), 'rebuild')}, which took {duration(plan.seconds)} last time{fresh}"
    return Group(table, safe(took, "dim"), *_taking(forecast))


def _taking(forecast: RebuildForecast) -> list[RenderableType]:
    """What the rebuilds will take, all together."""
    if not forecast.items:
        return []
    one, most = forecast.seconds_with(1), forecast.at_once
    together = f", {duration(forecast.seconds)} with {most} at once" if len(forecast.items) > 1 and most > 1 else ""
    free = f" of {size(forecast.free)} that are free" if forecast.free is not None else ""
    kept = f"; what is there now keeps {size(forecast.kept)} until it is reaped"
    return [
        safe(forecast.ways),
        safe(f"takes about {duration(one)}{together}"),
        safe(f"needs about {size(forecast.space)}{free}{kept}", "" if forecast.fits else "bold red"),
    ]


def bulk(plan: BulkPlan, forecast: RebuildForecast) -> RenderableType:
    """What a run over a list would work on."""
    head = safe(
        f"list {plan.name}: {count(len(plan.keys), 'environment')} to rebuild, {len(plan.added)} put on it", "bold"
    )
    parts: list[RenderableType] = [head]
    if plan.plan.items:
        parts.append(rebuild_plan(plan.plan, forecast))
    parts += [safe(f"gone from the cache, will be an error: {key}", "yellow") for key in plan.gone]
    return Group(*parts)


def rebuild_list(item: RebuildList) -> RenderableType:
    """A list with the state of each of its items."""
    parts: list[RenderableType] = []
    if item.items:
        table = grid("STATE", "CHANGED", "ENVIRONMENT")
        for entry in item.items:
            table.add_row(
                mark(entry.state),
                safe(moment(entry.changed_at or None)),
                stack(
                    safe(entry.key),
                    safe(f"build {entry.build_id}", "dim") if entry.build_id else None,
                    # What was published where is no news: the environments tell.
                    safe(entry.message, "dim") if entry.state is not ItemState.COMPLETE else None,
                ),
            )
        parts.append(table)
    runner = item.runner
    if runner and item.alive:
        parts.append(safe(f"process {runner.pid} of {runner.by} on {runner.host} works on it", "bold yellow"))
    parts.append(safe(f"{count(len(item.items), 'environment')} on the list {item.name}", "dim"))
    return Group(*parts)
