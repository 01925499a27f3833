"""What an interpreter says of itself. Run by the interpreter that is judged, which may be as old as Python 2.7.

Standard library only. Two arguments, random cookies. Prints one JSON object, whose keys are the fields of
`InterpreterFacts`, between the two cookies spelled backwards: text that start-up files print cannot be mistaken for
the report, and neither can a program that merely repeats its arguments.
"""

import os
import sys

MODULES = ("zlib", "ssl", "hashlib", "ctypes", "sqlite3", "bz2", "lzma", "venv", "ensurepip", "pip")
# What of a module is imported for real: a part whose C library is missing is found all the same, and fails only then.
# The rest of these is Python, which nearly half of the time would go into; that it is there says enough.
PARTS = {
    "ssl": "_ssl",
    "ctypes": "_ctypes",
    "sqlite3": "_sqlite3",
    "bz2": "_bz2",
    "lzma": "_lzma",
    "venv": None,
    "ensurepip": None,
}
IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy"}
RELEASE_LEVELS = {"alpha": "a", "beta": "b", "candidate": "rc"}


def text(value):
    """`value` as text; Python 2 has paths as bytes in whatever encoding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def reason(error):
    try:
        return "%s: %s" % (type(error).__name__, text(str(error)))
    except BaseException:  # an exception may fail to describe itself
        return type(error).__name__


def is_whole(name, part):
    """Whether the Python of a module is there and its `part` in C works; if not, importing it says why."""
    places = [os.path.join(entry, name) for entry in sys.path]
    if not any(os.path.isfile(place + ".py") or os.path.isfile(place + "/__init__.py") for place in places):
        return False
    try:
        return part is None or bool(__import__(part))
    except BaseException:
        return False


def implementation():
    known = IMPLEMENTATIONS.get(getattr(getattr(sys, "implementation", None), "name", ""))
    if known is None:
        import platform

        known = platform.python_implementation()
    return known


def missing_modules():
    missing = {}
    for name in MODULES:
        # When the import takes the process down, this line says which one did.
        sys.stderr.write("importing %s\n" % name)
        sys.stderr.flush()
        if name in PARTS and is_whole(name, PARTS[name]):
            continue
        try:
            module = __import__(name)
            if name == "hashlib":
                module.sha256(b"")
            elif name == "pip" and not getattr(module, "__version__", None):
                missing[name] = "pip has no version: what is left of it is not a package"
        except BaseException as error:  # a broken module may raise anything, SystemExit and MemoryError included
            missing[name] = reason(error)
    return missing


def virtualenv_version():
    """From the name of its metadata: importing virtualenv costs more than the whole probe."""
    import re

    for directory in sys.path:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            found = re.match(r"virtualenv-([^-]+?)(-.*)?\.(dist|egg)-info$", name)
            if found:
                return text(found.group(1))
    return None


def libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):
        import platform
        import sysconfig

        musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
        return "musl" if musl else " ".join(platform.libc_ver()).strip()


def version():
    info = sys.version_info
    release = "%d.%d.%d" % tuple(info[:3])
    return release if info[3] == "final" else "%s%s%d" % (release, RELEASE_LEVELS[info[3]], info[4])


def report():
    import struct
    import sysconfig

    config = sysconfig.get_config_var
    missing = missing_modules()
    base_prefix = getattr(sys, "real_prefix", None) or getattr(sys, "base_prefix", sys.prefix)
    stdlib = sysconfig.get_path("stdlib") or ""
    return {
        "version": version(),
        "implementation": implementation(),
        "executable": text(sys.executable),
        "real_executable": text(os.path.realpath(sys.executable)),
        "prefix": text(sys.prefix),
        "base_prefix": text(base_prefix),
        "soabi": config("SOABI") or "",
        "platform": sysconfig.get_platform(),
        "machine": os.uname()[4],
        "pointer_bits": struct.calcsize("P") * 8,
        "libc": libc(),
        "pip": None if "pip" in missing else text(sys.modules["pip"].__version__),
        "purelib": text(sysconfig.get_path("purelib")),
        "sys_path": [text(entry) for entry in sys.path if isinstance(entry, str) and os.path.isabs(entry)],
        "missing": missing,
        "externally_managed": os.path.exists(os.path.join(stdlib, "EXTERNALLY-MANAGED")),
        "debug": bool(config("Py_DEBUG")),
        "free_threaded": bool(config("Py_GIL_DISABLED")),
        "virtualenv": virtualenv_version(),
    }


def main(start, end):
    # Without -I, which Python 2 lacks, modules beside this file would hide those of the same name in the library.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    import json

    data = (start[::-1] + json.dumps(report()) + end[::-1]).encode("ascii")
    # Past sys.stdout, which a start-up file may have replaced.
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
