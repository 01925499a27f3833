"""Compiles what pip installs, beside it and on every core.

    <python> -I -S -B bytecode.py <environment>

pip itself compiles one module after the other once it has unpacked them, which takes longer than all the rest of its
work (builds.md, A.3). Run by the interpreter that the environment is made of, with nothing but its stdlib; written for
Python 3.7. pip goes on while the standard input is open, and one core is left to it. In the end the RECORDs are
completed, so that all is as if pip had compiled. Prints how many modules there are.
"""

from __future__ import annotations

import compileall
import csv
import os
import select
import stat
import sys
import warnings
from collections import deque
from collections.abc import Iterable
from glob import glob
from importlib.util import cache_from_source

BATCH = 64
"""Modules per process: enough that its start does not count, and no core is left alone at the end."""
LOOK = 0.2
"""Seconds between two looks at what pip has installed."""


class Compiler:
    """Compiles in processes that are forked for a few modules each, because the compiler needs Python's lock."""

    def __init__(self) -> None:
        self.pending: deque[str] = deque()
        self.queued: set[str] = set()
        self.done: dict[str, tuple[int, ...]] = {}
        """Module to the file that was there when its compilation began: pip may still have been writing it."""
        self.running: dict[int, int] = {}
        """The end of a pipe that each process holds the other end of, and its id."""

    def add(self, modules: Iterable[str]) -> None:
        """Have those compiled that are not what was compiled already."""
        for path in modules:
            if path not in self.queued and self.done.get(path, ()) != stamp(path):
                self.queued.add(path)
                self.pending.append(path)

    def start(self, most: int) -> None:
        """Let processes run, `most` at once."""
        while self.pending and len(self.running) < most:
            batch = [self.pending.popleft() for _ in range(min(BATCH, len(self.pending)))]
            self.queued.difference_update(batch)
            self.done.update((path, stamp(path)) for path in batch)
            ended, holding = os.pipe()
            child = os.fork()
            if not child:
                try:
                    compile_modules(batch)
                except BaseException as error:
                    # Nothing may go on as the program that this is a fork of.
                    os.write(2, f"ERROR: modules cannot be compiled: {error!r}\n".encode("utf-8", "replace"))
                    os._exit(1)
                os._exit(0)
            os.close(holding)
            self.running[ended] = child

    def collect(self, ended: int) -> None:
        """Take leave of a process. Raises `SystemExit` when it could not do its work, as pip would have failed too."""
        os.close(ended)
        status = os.waitpid(self.running.pop(ended), 0)[1]
        if status:
            raise SystemExit(f"ERROR: a compiler of modules ended with status {status}")


def stamp(path: str) -> tuple[int, ...]:
    """Which file is at `path`, as far as a change of it shows; nothing when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def compile_modules(paths: list[str]) -> None:
    warnings.simplefilter("ignore")
    for path in paths:
        try:
            compileall.compile_file(path, force=True, quiet=2)
        except (ValueError, RecursionError, ImportError):
            continue  # a module that cannot be compiled is no obstacle, as long as nobody imports it


class Arrivals:
    """The modules that turn up below the directories `roots`, whatever package they are of."""

    def __init__(self, roots: Iterable[str]) -> None:
        self.changed = dict.fromkeys(roots, 0)
        """Directory to its time of change when it was looked into."""
        self.seen: set[str] = set()

    def look(self) -> list[str]:
        """Those that have come since the last look."""
        new = []
        pending = list(self.changed)
        while pending:
            directory = pending.pop()
            try:
                changed = os.stat(directory).st_mtime_ns
                if changed == self.changed.get(directory):
                    continue
                with os.scandir(directory) as listing:
                    entries = list(listing)
            except FileNotFoundError:
                self.changed.pop(directory, None)
                continue
            self.changed[directory] = changed
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.path not in self.changed and entry.name != "__pycache__":
                        pending.append(entry.path)
                elif entry.name.endswith(".py") and entry.path not in self.seen:
                    self.seen.add(entry.path)
                    new.append(entry.path)
        return new


def records_in(env: str) -> dict[str, tuple[int, ...]]:
    """The RECORD of every package in `env`, and which file it is. pip writes it last, and in one step."""
    # Of what pip replaces it puts a ~ in the place of the first letter, and soon removes it.
    directories = os.path.join(env, "lib", "*", "site-packages", "[!~]*.dist-info")
    return {path: stamp(path) for path in glob(os.path.join(directories, "RECORD"))}


def rows_of(record: str) -> list[tuple[str, ...]]:
    with open(record, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [tuple(row) for row in csv.reader(file) if row]


def modules_of(record: str, env: str) -> list[str]:
    """The modules that pip would compile for a package; not the commands that it makes itself, whatever their names."""
    info = os.path.dirname(record)
    site = os.path.dirname(info)
    commands = set()
    if os.path.isfile(os.path.join(info, "entry_points.txt")):
        with open(os.path.join(info, "entry_points.txt"), encoding="utf-8", errors="replace") as file:
            commands = {line.partition("=")[0].strip() for line in file}
    found = []
    for path in sorted({row[0] for row in rows_of(record)}):
        full = os.path.join(site, path)
        made = path.startswith("..") and os.path.basename(path) in commands
        # A RECORD can name anything.
        inside = os.path.normpath(full).startswith(env + os.sep)
        if path.endswith(".py") and not made and inside and os.path.isfile(full):
            found.append(full)
    return found


def complete(record: str, modules: list[str]) -> None:
    """Add the bytecode of `modules` to a RECORD, without digests, as pip does."""
    site = os.path.dirname(os.path.dirname(record))
    compiled = [path for path in map(cache_from_source, modules) if os.path.exists(path)]
    rows = rows_of(record) + [(os.path.relpath(path, site), "", "") for path in compiled]
    new = record + ".envdeck"
    with open(new, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows(sorted(rows))
    os.chmod(new, stat.S_IMODE(os.stat(record).st_mode))
    os.replace(new, record)


def main(env: str) -> None:
    cores = len(os.sched_getaffinity(0))
    compiler = Compiler()
    known = records_in(env)
    # Where packages are there already, pip moves aside what it replaces: bytecode would be in its way there.
    arrivals = Arrivals([] if known else glob(os.path.join(env, "lib", "*", "site-packages")))
    packages: dict[str, list[str]] = {}
    goes_on = True
    while True:
        if goes_on:
            compiler.add(arrivals.look())
        for record, found in records_in(env).items():
            if known.get(record) != found:
                known[record] = found
                packages[record] = modules_of(record, env)
                compiler.add(packages[record])
        compiler.start(cores - 1 if goes_on else cores)
        if not goes_on and not compiler.running:
            break
        waited_for = [*compiler.running, 0] if goes_on else [*compiler.running]
        for ready in select.select(waited_for, [], [], LOOK if goes_on else None)[0]:
            if ready:
                compiler.collect(ready)
            else:
                goes_on = bool(os.read(0, 1))
    # One that two packages bring may have been replaced after it was compiled.
    for modules in packages.values():
        compiler.add(modules)
    compile_modules(list(compiler.pending))
    for record, modules in packages.items():
        complete(record, modules)
    print(f"Compiled {sum(map(len, packages.values()))} modules")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
