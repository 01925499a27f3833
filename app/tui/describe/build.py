"""A build: where it stands, and for a failed one what went wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.text import Text

from app.tui.document import Document, Line
from app.tui.symbols import BUILD
from app.tui.text import clock, count, duration, safe, size
from engine import Build, BuildState, CancelPlan, LogLevel, LogLine, Phase, Problem, log_level

__all__ = [
    "LogErrors",
    "advice",
    "build_headline",
    "cancel_lines",
    "cancel_question",
    "describe_build",
    "fetched",
    "log_ending",
    "log_errors",
    "progress",
    "remaining",
    "remark",
    "stage",
    "where",
]


class LogErrors(Struct, frozen=True):
    """The first lines of a log that tell of an error, each with its number from 1, and how many there are."""

    first: tuple[tuple[int, str], ...]
    total: int


def log_errors(lines: Iterable[LogLine], most: int = 8) -> LogErrors:
    """Those of `lines`, which are a whole log."""
    found: list[tuple[int, str]] = []
    total = 0
    for number, line in enumerate(lines, 1):
        if log_level(line.text) is LogLevel.ERROR:
            total += 1
            if total <= most:
                found.append((number, line.text))
    return LogErrors(tuple(found), total)


def progress(build: Build) -> str:
    """``3/12`` packages, or nothing while pip has not said."""
    return f"{build.packages_done}/{build.packages_total}" if build.packages_total else ""


def fetched(build: Build) -> str:
    """How many bytes of packages are there, of how many as far as that is known; nothing before the first."""
    if build.bytes_total > build.bytes_done:
        return f"{size(build.bytes_done)}/{size(build.bytes_total)}"
    return size(build.bytes_done) if build.bytes_done else ""


def remaining(build: Build, now: float) -> str:
    """How long it will still take, by earlier builds and its own pace; nothing where neither tells.

    ``late`` once they were done by now and it has no pace of its own: nobody knows how long it takes.
    """
    left = build.left(now)
    return "" if left is None else "late" if _late(build, now) else duration(round(left))


def _late(build: Build, now: float) -> bool:
    """Whether it takes longer than earlier builds tell, while its own pace tells nothing yet."""
    installs = build.phase is Phase.INSTALL and build.packages_done > build.packages_supplied
    return build.expected is not None and not installs and build.seconds(now) > build.expected.total


def remark(build: Build) -> Text:
    """The one line to show beside a build: its fault, what it made, or the latest thing it said."""
    if build.fault is not None:
        return safe(build.fault, "red")
    if build.reused:
        return safe("the environment was there already")
    if build.state is BuildState.DONE:
        return safe(f"published {build.key[:8]}")
    return safe(build.message)


def advice(build: Build) -> Text:
    """What to do about a build that failed, in one line."""
    if build.fault is None or not build.fault.advice:
        return Text("")
    return safe(f"try {build.fault.advice}")


def stage(build: Build) -> str:
    """Where a build that has not ended is: its phase, or its place in the waiting line."""
    if build.state.final:
        return ""
    return f"line #{build.place}" if build.place else build.phase.value


def where(build: Build) -> str:
    """Where its process runs, in a word or two."""
    return build.image or build.executor


def build_headline(build: Build, now: float) -> Text:
    """State, bundle, phase, time and Python in one line, what matters most first."""
    text = BUILD[build.state].text()
    text.append_text(safe(f"  {build.bundle}", "default bold"))
    details: list[str] = []
    if not build.state.final:
        details += filter(None, (stage(build), progress(build), fetched(build)))
    if build.started_at is None and not build.state.final:
        details.append(f"waiting {duration(now - build.submitted_at)}")
    else:
        details.append(duration(build.seconds(now)))
    left = remaining(build, now)
    if left == "late" and build.expected is not None:
        details.append(f"longer than the {duration(build.expected.total)} expected")
    elif left:
        details.append(f"about {left} left")
    if build.state is not BuildState.RUNNING:
        # While it runs there is more to say than 80 cells hold.
        details.append(f"Python {build.python_version}")
    text.append_text(safe("  " + "  ".join(details), "default not bold"))
    return text


def describe_build(build: Build, now: float, errors: LogErrors | Problem | None = None) -> list[Line]:
    """Everything about `build` at the time `now`. `errors` are those of its log; None while they are looked up."""
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
    if isinstance(errors, LogErrors) and errors.total and build.state is not BuildState.DONE:
        _first_errors(document, errors.first, errors.total)
    document.heading("Build")
    document.field("Id", build.id)
    document.field("Key", build.key)
    document.field("Python", f"{build.python_version}  {build.python_path}")
    if build.executor:
        where = f"{build.executor}, in {build.image}" if build.image else build.executor
        document.field("Executor", f"{where}; its supervisor is on {build.host}")
    document.field("Installer", build.installer)
    document.field("Phase", build.phase.value)
    if build.phases:
        document.field("Took", _phases(build, now))
    if build.packages_total:
        document.field("Packages", f"{progress(build)} done")
    if build.bytes_total:
        document.field("Downloaded", fetched(build))
    if build.expected is not None and not build.state.final:
        document.field("Expected", f"{duration(build.expected.total)} in all, by {build.expected.basis}")
    if build.place:
        document.field("Waiting line", f"place {build.place} on {build.host}")
    document.field("Started by", build.by)
    if build.bundle_path:
        document.field("Bundle", build.bundle_path)
    if build.content:
        document.field("For content", f"{build.content}, with its settings")
    if build.replaces:
        document.field("Rebuilds", f"attempt {build.replaces}")
    document.field("Submitted", clock(build.submitted_at, now))
    if build.started_at is not None:
        document.field("Started", clock(build.started_at, now))
    if build.finished_at is not None:
        document.field("Finished", f"{clock(build.finished_at, now)}, after {duration(build.seconds(now))}")
    document.field("Directory", str(build.directory))
    document.field("Log", str(build.log))
    return document.lines


def _phases(build: Build, now: float) -> str:
    """How long each phase took."""
    return ", ".join(f"{phase.value} {duration(seconds)}" for phase, seconds in build.phase_seconds(now).items())


def _first_errors(document: Document, errors: Sequence[tuple[int, str]], total: int) -> None:
    """The first lines of the log that tell of an error."""
    document.heading("Errors in the log", "l shows it, e goes from one to the next")
    for number, text in errors:
        document.add("  ", safe(f"{number:>6}  ", "dim"), safe(text, "red"), hang=10)
    if total > len(errors):
        document.add("  ", safe(f"and {total - len(errors)} more", "dim"))


def log_ending(build: Build, now: float, first_error: int) -> list[Line]:
    """What is said below the last line of a log: the verdict, and what the keys can do about it.

    `first_error` is the number of the first line that tells of an error, 0 for none.
    """
    verdict = Document()
    after = f"  after {duration(build.seconds(now))}  " if build.started_at is not None else "  "
    what = remark(build)
    what.style = "default not bold"
    verdict.add(safe("╌╌ ", "dim"), BUILD[build.state].text(), after, what, hang=3)
    if advice(build).plain:
        verdict.add("   ", advice(build), hang=7)
    keys = []
    if build.state is BuildState.DONE:
        keys.append("2 environments")
    else:
        if first_error:
            keys.append(f"e first error, line {first_error}")
        keys.append("r retry")
    keys += ["s save", "q back"]
    verdict.add(safe("   " + "   ".join(keys), "dim"), hang=3)
    return verdict.lines


def cancel_lines(plans: Sequence[CancelPlan], now: float) -> list[Line]:
    """What cancelling several builds would do: which would be, and which cannot for which reason."""
    document = Document()
    good = [plan.build for plan in plans if plan.problem is None]
    document.heading("Would be cancelled", f"{count(len(good), 'build')}; what a build has made goes, its log stays")
    document.table(
        [
            (safe("✗", "red"), build.bundle, BUILD[build.state].word, duration(build.seconds(now)), build.by)
            for build in good
        ]
    )
    bad = [plan for plan in plans if plan.problem is not None]
    if bad:
        document.heading("Cannot be cancelled", count(len(bad), "build"))
    for plan in bad:
        document.add("  ", safe(plan.build.bundle, "bold"), "  ", str(plan.problem), hang=4)
    return document.lines


def cancel_question(plan: CancelPlan, now: float) -> str:
    """What cancelling means, in one line."""
    build = plan.build
    # Before the installer says how many it will install, it counts those that it has collected.
    installed = build.packages_done if build.packages_total else 0
    lost = f", {count(installed, 'package')} installed" if installed else ""
    return f"Cancel the build of {build.bundle} ({duration(build.seconds(now))}{lost})?"
