"""What is installed of some packages and of all they may depend on. Run by the interpreter that has them, 2.7 or newer.

Standard library only; ``importlib.metadata`` is not in every interpreter. Arguments: two random cookies and their use
as for `probe_script`, then the names of packages. The report has what markers are evaluated against, and per package
its version, where it is, what it requires (markers not evaluated), its commands, and the entries it owns: paths below
its location that together are all of it and nothing of any other package.
"""

import io
import os
import re
import sys


def text(value):
    """`value` as text; Python 2 has paths as bytes in whatever encoding."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def read(*path):
    """The text of a file, empty when there is none."""
    try:
        with io.open(os.path.join(*path), encoding="utf-8", errors="replace") as file:
            return file.read()
    except (IOError, OSError):
        return ""


def names_in(directory):
    try:
        return sorted(text(name) for name in os.listdir(directory))
    except OSError:
        return []


def headers(info):
    """The header lines of a package's metadata as pairs; empty for what is not a package."""
    content = read(info) or read(info, "METADATA") or read(info, "PKG-INFO")
    pairs = (line.partition(":") for line in content.split("\n\n")[0].splitlines())
    return [(name.lower(), value.strip()) for name, colon, value in pairs if colon]


def installed():
    """Every package on the path: canonical name to what is known of it. As for imports, the first one found counts."""
    found = {}
    for location in map(text, sys.path):
        for info in names_in(location):
            if not info.endswith((".dist-info", ".egg-info")):
                continue
            path = os.path.join(location, info)
            pairs = headers(path)
            fields = dict(reversed(pairs))
            if fields.get("name") and fields.get("version"):
                package = {
                    "name": fields["name"],
                    "version": fields["version"],
                    "location": os.path.abspath(location),
                    "info": info,
                    "requires": [value for name, value in pairs if name == "requires-dist"] or egg_requires(path),
                }
                found.setdefault(canonical(fields["name"]), package)
    return found


def egg_requires(info):
    """What an ``.egg-info`` directory requires, in the form of ``Requires-Dist``."""
    section, requires = "", []
    for line in read(info, "requires.txt").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            extra, _, marker = section.partition(":")
            conditions = ["(%s)" % marker] if marker else []
            conditions += ['extra == "%s"' % extra] if extra else []
            requires.append(line + (" ; " + " and ".join(conditions) if conditions else ""))
    return requires


def reachable(found, names):
    """The installed ones among `names` and everything that they name as required, whatever its marker."""
    reached, pending = set(), [canonical(text(name)) for name in names]
    while pending:
        name = pending.pop()
        if name in found and name not in reached:
            reached.add(name)
            for line in found[name]["requires"]:
                required = re.match(r"[A-Za-z0-9._-]+", line)
                if required:
                    pending.append(canonical(required.group()))
    return reached


def files_of(package):
    """The files of a package as tuples of path components below its location; what lies elsewhere is left out."""
    location, info = package["location"], package["info"]
    record = read(location, info, "RECORD")
    legacy = read(location, info, "installed-files.txt")
    if record:
        rows = (re.match(r'"((?:[^"]|"")*)"|([^,]*)', row) for row in record.splitlines())
        paths = [(row.group(1) or "").replace('""', '"') or row.group(2) or "" for row in rows]
    elif legacy:
        paths = [os.path.join(info, path) for path in legacy.splitlines()] + [info]
    else:
        paths = unrecorded(package) + [info]
    files = (tuple(os.path.normpath(path).split(os.sep)) for path in paths if path and not os.path.isabs(path))
    return [file for file in files if file[0] not in ("..", ".", "")]


def unrecorded(package):
    """The files of a package that left no list of them (Debian's, distutils'), told by the names of its modules."""
    location = package["location"]
    tops = read(location, package["info"], "top_level.txt").split() or [package["name"].replace("-", "_")]
    tops = set(top.split("/")[0] for top in tops)
    paths = []
    for name in names_in(location):
        # The stem, so that six.py, six.cpython-311.so and the libraries in six.libs belong to six.
        if name.split(".")[0] not in tops or name.endswith((".dist-info", ".egg-info")):
            continue
        path = os.path.join(location, name)
        if not os.path.isdir(path):
            paths.append(name)
        for directory, _, files in os.walk(path):
            paths += [os.path.relpath(os.path.join(directory, file), location) for file in files]
    return paths


def owned_entries(found, reached):
    """For each package in `reached` the shortest paths that belong to it alone, a whole directory where possible.

    A directory that several packages share (a namespace package) is entered. So is the cache of bytecode: whoever
    was given it whole would write into the installation.
    """
    files = dict((name, files_of(package)) for name, package in found.items())
    tops = set(file[0] for name in reached for file in files[name])
    owners = {}
    for name, paths in files.items():
        for path in paths:
            if path[0] in tops:
                for length in range(1, len(path)):
                    owners.setdefault(path[:length], set()).add(name)
    owned = {}
    for name in reached:
        entries = owned.setdefault(name, set())
        for path in files[name]:
            for length in range(1, len(path) + 1):
                entry = path[:length]
                if length == len(path) or (owners[entry] == set([name]) and entry[-1] != "__pycache__"):
                    entries.add(entry)
                    break
    return owned


def commands(package):
    """The commands of a package as pairs: name, and the function as ``module:attribute``."""
    section, pairs = "", []
    for line in read(package["location"], package["info"], "entry_points.txt").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section in ("console_scripts", "gui_scripts") and "=" in line and line[0] not in "#;":
            name, _, function = line.partition("=")
            pairs.append((name.strip(), function.partition("[")[0].strip()))
    return pairs


def marker_environment():
    """What dependency specifiers (PEP 508) are evaluated against."""
    import platform

    info = sys.version_info
    release = platform.python_version()
    if hasattr(sys, "implementation"):
        info = sys.implementation.version
        release = "%d.%d.%d" % tuple(info[:3])
        if info[3] != "final":
            release += info[3][0] + str(info[4])
    return {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
        "implementation_name": sys.implementation.name if hasattr(sys, "implementation") else "cpython",
        "implementation_version": release,
    }


def report(names):
    found = installed()
    reached = reachable(found, names)
    packages = {}
    for name, entries in owned_entries(found, reached).items():
        package = found[name]
        location = package["location"]
        packages[name] = {
            "version": package["version"],
            "location": location,
            "requires": package["requires"],
            "commands": commands(package),
            # A file can be listed and yet be gone, such as bytecode.
            "entries": sorted("/".join(e) for e in entries if os.path.lexists(os.path.join(location, *e))),
        }
    return {"environment": marker_environment(), "packages": packages}


def main(start, end, names):
    # Without -I, which Python 2 lacks, modules beside this file would hide those of the same name in the library.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    import json

    data = (start[::-1] + json.dumps(report(names)) + end[::-1]).encode("ascii")
    # Past sys.stdout, which a start-up file may have replaced.
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
