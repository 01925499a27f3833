"""How long it takes to make an environment: peers side by side in one run, interleaved, medians and ratios."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.contenders import CONTENDERS, Contender, Failed, Run
from tests.benchmarks.scratch import Scratch

__all__ = ["CACHES", "SETS", "Budget", "Measured", "measure", "table"]

SETS = ("tiny", "medium", "large")
_SPACE = 15 * 2**30
"""Bytes that must be free for spent directories to be kept."""
_REQUIREMENTS = Path(__file__).with_name("requirements")
CACHES = _WARM, _COLD = "warm", "cold"


@dataclass(slots=True)
class Budget:
    """When to stop. A round is begun only if one as long as the longest so far still fits."""

    rounds: int
    """At most so many of a kind."""
    seconds: float
    began: float = field(default_factory=time.monotonic)

    def allows(self, done: int, longest: float, share: float) -> bool:
        left = self.began + self.seconds * share - time.monotonic()
        return done < self.rounds and longest <= left


@dataclass(slots=True)
class Measured:
    """The runs of one contender on one requirement set."""

    contender: str
    requirements: str
    caches: str
    seconds: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    """The same without the start of the command line, where that can be told apart."""
    bytecode: bool = False
    packages: int = 0
    failure: str = ""

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


def measure(
    scratch: Scratch,
    sets: Sequence[str],
    budget: Budget,
    *,
    caches: Sequence[str] = CACHES,
    names: Iterable[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Measured]:
    """Run every contender on every set, warm first, then cold, as far as the budget goes. Small sets come first.

    `caches` says which of the two, `names` which contenders; all by default.
    """
    chosen = [c for c in CONTENDERS if c.available() and (not names or c.name in names)]
    # So much of the time may be gone after each set: the large one gets what the small ones leave.
    shares = dict(zip(sets, _shares(len(sets)), strict=True))
    return [
        measured
        for requirements in sets
        for measured in _measure_set(scratch, requirements, chosen, budget, shares[requirements], caches, tell)
    ]


def _shares(count: int) -> list[float]:
    """0.1, 0.3 and 1.0 for three sets."""
    return {1: [1.0], 2: [0.25, 1.0], 3: [0.1, 0.3, 1.0]}[count]


def _measure_set(
    scratch: Scratch,
    requirements: str,
    contenders: Sequence[Contender],
    budget: Budget,
    share: float,
    states: Sequence[str],
    tell: Callable[[str], None],
) -> list[Measured]:
    found = []
    for caches in [state for state in CACHES if state in states]:
        results = [Measured(c.name, requirements, caches) for c in contenders if caches == _WARM or c.cold]
        by_name = {c.name: c for c in contenders}
        # Warm runs end early enough that cold ones have a third of the set's time.
        until = share if caches == _COLD else share * 0.7
        longest = 0.0
        if caches == _WARM:
            _round(scratch, [each for each in results if by_name[each.contender].warms], by_name, tell, count=False)
        done = 0
        while done == 0 or budget.allows(done, longest, until):
            began = time.monotonic()
            if done == 0 and caches == _COLD and not budget.allows(0, longest, share):
                break
            # There and back again, so that what grows over time hits none more than the others.
            _round(scratch, results if done % 2 == 0 else results[::-1], by_name, tell)
            longest = max(longest, time.monotonic() - began)
            done += 1
        found += [each for each in results if each.seconds or each.failure]
    return found


def _round(
    scratch: Scratch,
    results: Sequence[Measured],
    contenders: dict[str, Contender],
    tell: Callable[[str], None],
    *,
    count: bool = True,
) -> None:
    for result in results:
        if not result.failure:
            _once(scratch, contenders[result.contender], result, count)
            shown = result.failure or (f"{result.seconds[-1]:.2f} s" if count else "warmed up")
            tell(f"{result.requirements} {result.caches}  {result.contender}: {shown}")


def _once(scratch: Scratch, contender: Contender, result: Measured, count: bool) -> None:
    """One run, timed from the start of its first process to the end of its last."""
    work = scratch.root / "work"
    home = scratch.root / "home" if result.caches == _WARM else work / "home"
    kept = scratch.root / "kept" / result.requirements
    for directory in (work, home, kept):
        directory.mkdir(parents=True, exist_ok=True)
    lists = [_REQUIREMENTS / f"{result.requirements}{suffix}.txt" for suffix in ("", "-changed")]
    run = Run(scratch, work, kept, home, *lists)
    try:
        contender.before(run)
        began = time.perf_counter()
        made = contender.make(run)
        seconds = (time.perf_counter() - began) / contender.makes
        contender.after(run)
        _inspect(made.path, run.requirements, result)
        if count:
            result.seconds.append(seconds)
            if made.alone is not None:
                result.alone.append(made.alone)
    except Failed as failure:
        result.failure = str(failure)
    finally:
        _clear(scratch, contender, work)


def _clear(scratch: Scratch, contender: Contender, work: Path) -> None:
    """Make room for the next run, without work for the disk that would slow that down.

    What was never written to the disk is gone at once. What was takes some disks milliseconds per file to free, so that
    is put aside for the end.
    """
    spent = scratch.root / "spent"
    if contender.on_disk and shutil.disk_usage(scratch.root).free > _SPACE:
        spent.mkdir(exist_ok=True)
        work.rename(Path(tempfile.mkdtemp(dir=spent)) / work.name)
        return
    shutil.rmtree(work, ignore_errors=True)
    if contender.on_disk:
        shutil.rmtree(spent, ignore_errors=True)


def _inspect(env: Path, requirements: Path, result: Measured) -> None:
    """Raise `Failed` unless everything that is asked for is in the environment; note what else is to know of it."""
    site = next(env.glob("lib/python*/site-packages"))
    there = {path.name.rpartition("-")[0].partition("-")[0].lower() for path in site.glob("*.dist-info")}
    wanted = [line.partition("==")[0] for line in requirements.read_text().splitlines() if "==" in line]
    missing = [name for name in wanted if name.lower().replace("-", "_").replace(".", "_") not in _names(there)]
    if missing:
        raise Failed(f"{len(missing)} packages are missing, {missing[0]} among them")
    result.packages = len(wanted)
    package = next(path for path in site.iterdir() if (path / "__init__.py").is_file() and path.name != "pip")
    result.bytecode = bool(list(package.glob("__pycache__/*.pyc")))


def _names(distributions: Iterable[str]) -> set[str]:
    return {name.replace("-", "_").replace(".", "_") for name in distributions}


# The table


def table(measured: Sequence[Measured], machine: str, versions: str) -> str:
    """What was measured as Markdown: a row for each contender, a pair of columns for each set and state of caches."""
    columns = list(dict.fromkeys((m.requirements, m.caches) for m in measured))
    found = {(m.contender, m.requirements, m.caches): m for m in measured}
    names = [c.name for c in CONTENDERS if any(m.contender == c.name for m in measured)]
    packages = {m.requirements: m.packages for m in measured if m.packages}
    heads = [f"{one} ({packages.get(one, 0)}) {caches}" for one, caches in columns]
    lines = [
        f"{machine}; {versions}. Median seconds of whole processes, interleaved, and × the ratio to the first row. In "
        "brackets, of sets the number of packages, of times the build alone, without the start of the command line.",
        "",
        "| | bytecode | " + " | ".join(f"{head} | ×" for head in heads) + " |",
        "|---|---|" + "--:|--:|" * len(columns),
    ]
    for name in names:
        runs = [m for m in measured if m.contender == name]
        cells = [name, "yes" if any(m.bytecode for m in runs) else "no"]
        for one, caches in columns:
            cells += _cells(found.get((name, one, caches)), found.get((names[0], one, caches)))
        lines.append("| " + " | ".join(cells) + " |")
    counted = {len(m.seconds) for m in measured if m.seconds}
    lines += (
        ["", f"Rounds: {min(counted)} to {max(counted)}, after one of pip and of uv that filled the caches."]
        if counted
        else []
    )
    failures = dict.fromkeys(f"{m.contender}, {m.requirements}: {m.failure}" for m in measured if m.failure)
    lines += ["", *(f"* failed: {failure}" for failure in failures)] if failures else []
    return "\n".join(lines) + "\n"


def _cells(one: Measured | None, first: Measured | None) -> list[str]:
    median, base = one and one.median, first and first.median
    if median is None:
        return ["–", ""]
    alone = f" ({statistics.median(one.alone):.2f})" if one and one.alone else ""
    return [f"{median:.2f}{alone}", f"{median / base:.3g}" if base else ""]
