"""Compiles the modules of unpacked wheels. Run by the interpreter that they are for, with nothing but its stdlib.

    <python> -I -S -B compile_script.py <directory> <processes>

Reads lines of "<path> <tab> <path>" from standard input: a module in the directory, and the name that its bytecode has
for it until it is imported. Prints for each the number of its line and the path of the bytecode, which is empty when it
does not compile, as pip passes over those too. A line that is not there was not tried: the compiler crashed.
Written for Python 3.6.
"""

import compileall
import importlib.util
import os
import sys
import warnings

MEMORY = 4 << 30
SECONDS = 900


def limit():
    """A module can be written to make the compiler eat everything."""
    try:
        import resource

        for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
            hard = resource.getrlimit(what)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (most, most))
    except (ImportError, ValueError, OSError):
        pass


def compile_one(root, line):
    path, _, name = line.partition("\t")
    full = os.path.join(root, path)
    directory = os.path.dirname(name)
    try:
        done = compileall.compile_file(full, ddir=directory, force=True, quiet=2)
    except (ValueError, RecursionError, MemoryError):
        done = False
    return importlib.util.cache_from_source(path) if done else ""


def work(root, lines, first, step, out):
    limit()
    for number in range(first, len(lines), step):
        # One write per line: what was done before a crash counts.
        os.write(out, ("%d\t%s\n" % (number, compile_one(root, lines[number]))).encode("utf-8", "surrogateescape"))


def main(root, processes):
    warnings.simplefilter("ignore")
    # A list of its own makes bytecode that proves itself by hash, which pip's does not.
    os.environ.pop("SOURCE_DATE_EPOCH", None)
    lines = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\n")[:-1]
    children = []
    for first in range(processes):
        child = os.fork()
        if not child:
            try:
                work(root, lines, first, processes, 1)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
