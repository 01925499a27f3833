"""What reaping would do and did, in a line or in full."""

from __future__ import annotations

from app.tui.document import Document, Line
from app.tui.text import count, named, safe, size
from engine import ReapItem, ReapKind, ReapPlan, ReapResult

__all__ = ["blind", "kept_reasons", "reap_lines", "reap_name", "reap_question", "reap_summary", "reaped"]


def reap_name(item: ReapItem) -> str:
    """What an item is, in a few words."""
    match item.kind:
        case ReapKind.ENVIRONMENT:
            return named(item.key, item.environment.bundle if item.environment else "")
        case ReapKind.ATTEMPT:
            return f"old attempt {item.path.name} of {item.key[:8]}"
        case ReapKind.TRASH:
            return f"trash {item.path.name}"
        case ReapKind.WHEEL:
            return f"wheel {item.name}"


def kept_reasons(item: ReapItem) -> list[str]:
    """Every reason why an item stays; nothing when it may go."""
    return [
        f"{reason.message}: {', '.join(reason.names)}" if reason.names else reason.message
        for reason in item.verdict.reasons
    ]


def reap_question(plan: ReapPlan) -> str:
    """What deleting the one item of a plan means."""
    return f"Delete {reap_name(plan.reapable[0])} and free {size(plan.bytes)}?"


def reap_summary(plan: ReapPlan) -> str:
    """What goes and what it frees."""
    return f"{count(len(plan.reapable), 'item')}, {size(plan.bytes)}"


def blind(plan: ReapPlan) -> str:
    """Through what a use may have gone unnoticed, as a remark; "" when nothing was hidden."""
    return f" ({count(plan.unreadable, 'process', 'processes')} could not be seen into)" if plan.unreadable else ""


def reap_lines(plan: ReapPlan) -> list[Line]:
    """The whole plan: what would go, and what stays for which reasons."""
    document = Document()
    document.heading("Would be deleted", f"{reap_summary(plan)}; files that others share stay")
    document.table([(safe("✗", "red"), reap_name(item), size(item.bytes), str(item.path)) for item in plan.reapable])
    if not plan.reapable:
        document.add("  ", safe("nothing", "dim"))
    if plan.unreadable:
        document.add("  ", safe(f"! a use may have gone unnoticed{blind(plan)}", "yellow"), hang=4)
    document.heading("Stays", count(len(plan.kept), "item"))
    for item in plan.kept:
        document.add("  ", safe("✓", "green"), " ", reap_name(item), safe(f"  {size(item.bytes)}", "dim"), hang=4)
        for reason in kept_reasons(item):
            document.add("      ", safe(reason, "dim"), hang=8)
    return document.lines


def reaped(result: ReapResult) -> str:
    """What came of it, in one line."""
    done = (
        f"deleted {count(len(result.removed), 'item')}, {size(result.bytes)}" if result.removed else "nothing deleted"
    )
    parts = [done, *(f"{reap_name(item)}: {'; '.join(kept_reasons(item))}" for item in result.refused)]
    parts += [f"{reap_name(item)}: {problem}" for item, problem in result.failed]
    return "; ".join(parts)
