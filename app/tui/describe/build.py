"""A build: where it stands, and for a failed one what went wrong and what to do."""

from __future__ import annotations

from rich.text import Text

from app.tui.document import Document, Line
from app.tui.symbols import BUILD
from app.tui.text import clock, count, duration, safe
from engine import Build, BuildState, CancelPlan

__all__ = ["build_headline", "cancel_question", "describe_build", "progress", "remark"]


def progress(build: Build) -> str:
    """``3/12`` packages, or nothing while pip has not said."""
    return f"{build.packages_done}/{build.packages_total}" if build.packages_total else ""


def remark(build: Build) -> Text:
    """The one line to show beside a build: its fault, what it made, or the latest thing it said."""
    if build.fault is not None:
        return safe(build.fault, "red")
    if build.reused:
        return safe("the environment was there already")
    if build.state is BuildState.DONE:
        return safe(f"published {build.key[:8]}")
    return safe(build.message)


def build_headline(build: Build, now: float) -> Text:
    """State, bundle, phase and time in one line."""
    text = BUILD[build.state].text()
    text.append_text(safe(f"  {build.bundle}", "default bold"))
    details = [f"Python {build.python_version}"]
    if build.state is BuildState.RUNNING:
        details.append(" ".join(filter(None, (build.phase.value, progress(build)))))
    details.append(duration(build.seconds(now)))
    text.append_text(safe("  " + "  ".join(details), "default not bold"))
    return text


def describe_build(build: Build, now: float) -> list[Line]:
    """Everything about `build` at the time `now`."""
    document = Document()
    document.add(build_headline(build, now), hang=2)
    if build.fault is not None:
        document.heading("What went wrong", f"in phase {build.fault.phase.value}")
        package = f"{build.fault.package}: " if build.fault.package else ""
        document.add("  ", safe(package + build.fault.message, "bold red"), hang=4)
        if build.fault.advice:
            document.add("  ", safe("try  ", "dim"), build.fault.advice, hang=7)
    elif build.message or build.reused:
        document.blank()
        document.add("  ", remark(build) if build.reused else build.message, hang=4)
    document.heading("Build")
    document.field("Id", build.id)
    document.field("Key", build.key)
    document.field("Python", f"{build.python_version}  {build.python_path}")
    if build.executor:
        where = f"{build.executor}, in {build.image}" if build.image else build.executor
        document.field("Executor", f"{where}; its supervisor is on {build.host}")
    document.field("Phase", build.phase.value)
    if build.packages_total:
        document.field("Packages", f"{progress(build)} done")
    document.field("Started by", build.by)
    document.field("Submitted", clock(build.submitted_at, now))
    if build.started_at is not None:
        document.field("Started", clock(build.started_at, now))
    if build.finished_at is not None:
        document.field("Finished", f"{clock(build.finished_at, now)}, after {duration(build.seconds(now))}")
    document.field("Directory", str(build.directory))
    document.field("Log", str(build.log))
    return document.lines


def cancel_question(plan: CancelPlan, now: float) -> str:
    """What cancelling means, in one line."""
    build = plan.build
    lost = (
        count(build.packages_done, "package") + " installed so far" if build.packages_done else "nothing installed yet"
    )
    return f"Cancel the build of {build.bundle} ({duration(build.seconds(now))}, {lost})?"
