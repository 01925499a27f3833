"""``python -m tests.benchmarks scale``: large caches, probing and start-up, each in processes of their own."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.readme import BlockMissing, replace_block
from tests.benchmarks.scratch import ROOT, machine
from tests.benchmarks.synthetic import fill
from tests.pty.terminal_harness import Terminal

__all__ = ["Figure", "add_command", "measure", "run", "table"]

_MATCH = ("match", "--python", "3.11")
_LOADED = (
    "import sys; sys.argv = ['envdeck', *{arguments!r}]\n"
    "from app.__main__ import main\n"
    "main()\n"
    "names = [n for n in sys.modules if n.partition('.')[0] not in ('app', 'engine', '__main__')]\n"
    "print(*names, file=sys.stderr)"
)
_IMPORTING = (
    "from contextlib import suppress\n"
    "from importlib import import_module\n"
    "for name in {names!r}:\n"
    "    with suppress(ImportError):\n"
    "        import_module(name)"
)
_TEXTUAL = "import textual.app, textual.screen, textual.containers, textual.widget, textual.drivers.linux_driver"


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured: the median, its unit and what it should be."""

    name: str
    value: float
    unit: str = "ms"
    goal: str = ""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("scale", help="large caches, probing, start-up")
    parser.add_argument("--environments", type=int, default=10_000, metavar="N", help="in the cache (10000)")
    parser.add_argument("--contents", type=int, default=100_000, metavar="N", help="deployed (100000)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="of each kind (7)")
    parser.add_argument("--scratch", type=Path, help="a directory to work in and to keep; a new one by default")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="replace the table in this file")


def run(options: argparse.Namespace) -> int:
    where = options.scratch or Path(tempfile.mkdtemp(prefix="envdeck-scale-"))
    where.mkdir(parents=True, exist_ok=True)
    try:
        figures = measure(where.resolve(), options.environments, options.contents, max(1, options.rounds))
        text = table(figures, machine(where.resolve()))
    finally:
        if options.scratch is None:
            shutil.rmtree(where, ignore_errors=True)
    print(text)
    if options.readme:
        try:
            replace_block(options.readme, "scale", text)
        except BlockMissing as error:
            print(error, file=sys.stderr)
            return 2
    return 0


def measure(where: Path, environments: int, contents: int, rounds: int) -> list[Figure]:
    """Every figure, measured in `where`, where what an earlier run made is used again."""
    data_dir = where / f"data-{environments}-{contents}"
    if not data_dir.is_dir():
        _tell(f"making {environments} environments and {contents} content items")
        fill(data_dir, environments, contents)
    return [
        *_cache(data_dir, environments, rounds),
        *_content(data_dir, contents, rounds),
        *_probing(where, rounds),
        *_starting(where, rounds),
    ]


def table(figures: Sequence[Figure], about: str) -> str:
    """The figures as Markdown."""
    lines = ["| what | median | goal |", "|---|---:|---:|"]
    lines += [f"| {f.name} | {_number(f.value)} {f.unit} | {f.goal} |" for f in figures]
    return "\n".join([*lines, "", f"{about}, Python {sys.version.split()[0]}."])


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _cache(data_dir: Path, number: int, rounds: int) -> list[Figure]:
    _tell("looking at the cache")
    index = data_dir / "environments.index"

    def afresh() -> None:
        index.unlink(missing_ok=True)

    cold = _inside("environments", data_dir, min(rounds, 3), afresh)
    warm = _inside("environments", data_dir, rounds)
    return [
        Figure(f"{number} environments, read for the first time", 1000 * cold["unindexed"]),
        Figure(f"{number} environments, by a process that has just started", 1000 * warm["indexed"], goal="500 ms"),
        Figure("the next look, nothing changed", 1000 * warm["unchanged"], goal="50 ms"),
        Figure("the next look, one changed", 1000 * warm["one changed"], goal="50 ms"),
        Figure("memory of that process", warm["megabytes"], "MB"),
    ]


def _content(data_dir: Path, number: int, rounds: int) -> list[Figure]:
    if not number:
        return []
    _tell("looking at the content")

    def afresh() -> None:
        shutil.rmtree(data_dir / ".cache", ignore_errors=True)

    cold = _inside("contents", data_dir, 1, afresh)
    warm = _inside("contents", data_dir, min(rounds, 3))
    return [
        Figure(f"{number} content items, read for the first time", 1000 * cold["content unindexed"]),
        Figure(f"{number} content items, by a process that has just started", 1000 * warm["content indexed"]),
        Figure("the next look, nothing changed", 1000 * warm["content unchanged"]),
        Figure("who uses which environment", 1000 * warm["who uses what"]),
        Figure("memory of that process", warm["megabytes"], "MB"),
    ]


def _probing(where: Path, rounds: int) -> list[Figure]:
    _tell("probing interpreters")
    seconds = _inside("probing", where, rounds)
    number = int(seconds["interpreters"])
    return [
        Figure(f"{number} interpreters, run", 1000 * seconds["probed"], goal="300 ms"),
        Figure(f"{number} interpreters, recalled", 1000 * seconds["recalled"], goal="20 ms"),
    ]


def _starting(where: Path, rounds: int) -> list[Figure]:
    _tell("starting")
    home = where / "home"
    home.mkdir(exist_ok=True)
    environ = _environ() | {"HOME": str(home), "PYENV_ROOT": str(Path.home() / ".pyenv")}
    python = sys.executable
    runs: dict[str, list[str]] = {"bare": [python, "-c", "pass"], "textual": [python, "-c", _TEXTUAL]}
    for name, arguments in (("json", (*_MATCH, "--json")), ("text", _MATCH)):
        loaded = subprocess.run(
            [python, "-c", _LOADED.format(arguments=arguments)], env=environ, cwd=ROOT, capture_output=True, text=True
        )
        # What it loads that is neither ours nor the interpreter's own: what it would take without a line of ours.
        needed = loaded.stderr.splitlines()[-1].split()
        runs[f"{name} needs"] = [python, "-c", _IMPORTING.format(names=needed)]
        runs[name] = [python, "-m", "app", *arguments]
    times: dict[str, list[float]] = {name: [] for name in runs}
    paints = []
    for _ in range(rounds):
        for name, argv in runs.items():
            began = time.perf_counter()
            subprocess.run(argv, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
        paints.append(_first_paint([python, "-m", "app"], environ))
    took = {name: statistics.median(values) for name, values in times.items()}
    paint = statistics.median(paints)
    figures = [Figure("`python -c pass`", 1000 * took["bare"])]
    for name, words in (("json", "`envdeck match --json`"), ("text", "`envdeck match`")):
        figures += [
            Figure(f"the imports that {words} needs", 1000 * took[f"{name} needs"]),
            Figure(words, 1000 * took[name]),
            Figure(f"{words} to the imports it needs", took[name] / took[f"{name} needs"], "x", "2.5 x"),
        ]
    return [
        *figures,
        Figure("`import textual`", 1000 * took["textual"]),
        Figure("first paint of the terminal UI", 1000 * paint),
        Figure("first paint beyond `import textual`", 1000 * (paint - took["textual"]), goal="350 ms"),
    ]


def _first_paint(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    """Seconds until a terminal shows the first view."""
    began = time.perf_counter()
    with Terminal(argv, environ={**environ, "PYTHONPATH": str(ROOT)}) as terminal:
        terminal.until(lambda: "Installations" in terminal.text, "the first view", 60)
        return time.perf_counter() - began


def _inside(what: str, place: Path, rounds: int, before: Callable[[], None] = lambda: None) -> dict[str, float]:
    """The medians of what `tests.benchmarks.looking` says in as many processes."""
    said = []
    for _ in range(rounds):
        before()
        argv = [sys.executable, "-m", "tests.benchmarks.looking", what, str(place)]
        done = subprocess.run(argv, cwd=ROOT, env=_environ(), stdout=subprocess.PIPE, check=True)
        said.append(json.loads(done.stdout))
    return {name: statistics.median(one[name] for one in said) for name in said[0]}


def _environ() -> dict[str, str]:
    """As in a shell: bytecode is kept, and nothing speeds up or slows down the interpreter."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
