"""What an interpreter says of itself. Run by the interpreter that is judged, which may be as old as Python 2.7.

Standard library only. Two arguments, random cookies. Prints one JSON object, whose keys are the fields of
`InterpreterFacts`, between the two cookies spelled backwards: text that start-up files print cannot be mistaken for
the report, and neither can a program that merely repeats its arguments.

Most of its time is the start of an interpreter and the loading of C libraries. So it imports what has to be tried and
little else: `json`, `re` and `typing`, each of which loads the same dozen modules, would be another third of it.
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
    except BaseException:  # a broken module may raise anything, SystemExit too
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
            module = import_pip() if name == "pip" else __import__(name)
            if name == "hashlib":
                module.sha256(b"")
            elif name == "pip" and not getattr(module, "__version__", None):
                missing[name] = "pip has no version: what is left of it is not a package"
        except BaseException as error:  # a broken module may raise anything, SystemExit and MemoryError included
            missing[name] = reason(error)
    return missing


class Typing(type(sys)):
    """Stands for `typing`, of which pip's own module asks only what it writes beside the arguments of a function."""

    TYPE_CHECKING = False

    def __getattr__(self, name):
        return self

    __getitem__ = __getattr__


def import_pip():
    # What setuptools puts there looks for pip among the callers, and loads half of the library for that.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "_distutils_hack"]
    if "typing" not in sys.modules:
        sys.modules["typing"] = Typing("typing")
        try:
            return __import__("pip")
        except Exception:
            # With the real one it says what is wrong with it, if anything is.
            for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
                del sys.modules[name]
        finally:
            del sys.modules["typing"]
    return __import__("pip")


def virtualenv_version():
    """From the name of its metadata: importing virtualenv costs more than the whole probe."""
    for directory in sys.path:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            stem, _, kind = name.rpartition(".")
            if stem.startswith("virtualenv-") and kind in ("dist-info", "egg-info"):
                return text(stem.split("-")[1])
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
        "pointer_bits": sys.maxsize.bit_length() + 1,
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


def as_json(value):
    """JSON of texts, numbers, lists and dictionaries."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[%s]" % ",".join([as_json(item) for item in value])
    if isinstance(value, dict):
        return "{%s}" % ",".join(["%s:%s" % (as_json(name), as_json(item)) for name, item in value.items()])
    try:
        from _json import encode_basestring_ascii as quoted
    except ImportError:  # an interpreter without this part in C
        from json import dumps as quoted
    return quoted(value)


def main(start, end):
    # Without -I, which Python 2 lacks, modules beside this file would hide those of the same name in the library.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    data = (start[::-1] + as_json(report()) + end[::-1]).encode("ascii")
    # Past sys.stdout, which a start-up file may have replaced.
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
    # Everything is said, and taking an interpreter apart is a tenth of all the work.
    os._exit(0)
