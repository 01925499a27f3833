"""The builder: makes one attempt at an environment. Run by the matched interpreter, with nothing but its stdlib.

    <python> -I -S -B builder.py <job>/spec.json [late]       (-E -s instead of -I -S for Python 2)

Runs alike in a process, a container or a scheduler's job, under any Python that envdeck manages, which is why it is
written for 2.7 and imports nothing of ours. What it and pip print is the build's log; its own events are lines that
begin with the mark the spec names, which nobody who wrote a package can know in advance. Its verdict is the file
``outcome.json`` in the spec's work directory, written last: an exit code or the end of the output proves nothing.
"""

from __future__ import print_function, unicode_literals

import ast
import io
import json
import os
import re
import subprocess
import sys
import time

PYTHON_2 = sys.version_info[0] == 2
ISOLATED = ["-E", "-s"] if PYTHON_2 else ["-I"]
# Text with any character, whatever encoding the locale gives to standard output.
STDOUT = getattr(sys.stdout, "buffer", sys.stdout)

# Run by the new environment's own interpreter: proves that it starts, and says what is in it.
INVENTORY = """
# Without json and re, which take longer to be imported than most else here to be done.
import os, sys
def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        # Of a file that holds a whole description, only what comes before it is parsed.
        return file.read(65536).partition("\\n\\n")[0].split("\\n")
def value(lines, field):
    for line in lines:
        name, _, found = line.partition(":")
        if name == field and found.strip(" \\t"):
            return found.strip(" \\t")
    raise ValueError(field)
def told(directory):
    # Of each distribution in a plain directory; whatever cannot be told so simply is an error.
    for name in os.listdir(directory):
        if name.lower().endswith((".dist-info", ".egg-info")):
            path = os.path.join(directory, name)
            if os.path.isdir(path):
                path = os.path.join(path, "METADATA" if name.lower().endswith(".dist-info") else "PKG-INFO")
            lines = read(path)
            yield value(lines, "Name"), value(lines, "Version")
try:
    if sys.version_info < (3, 8):
        raise ImportError("importlib.metadata")
    if any(place.endswith(".egg") or os.path.isfile(place) for place in sys.path):
        raise ValueError("not only plain directories")
    found = [pair for place in sys.path if os.path.isdir(place) for pair in told(place)]
except (OSError, ValueError):
    # This one takes all there is, and as long to be imported as all else here to be done.
    from importlib.metadata import distributions
    found = [(distribution.metadata["Name"], distribution.version) for distribution in distributions()]
except ImportError:
    import pkg_resources
    # The first two are the interpreter's own, as is argparse for Python 2; pip leaves them out of its lists too.
    found = [(d.project_name, d.version) for d in pkg_resources.working_set]
    found = [(n, v) for n, v in found if n.lower() not in ("python", "wsgiref", "argparse")]
first = {}
for name, version in found:
    # The first on the path counts, as for imports: the environment's own copy hides an external.
    parts = (name or "").lower().replace("_", "-").replace(".", "-").split("-")
    first.setdefault("-".join(filter(None, parts)), (name, version))
found = [first[key] for key in sorted(first) if key]
found = {"version": "%d.%d.%d" % sys.version_info[:3], "prefix": sys.prefix, "packages": found}
print(repr(found) if str is bytes else ascii(found))
"""

# How the lines of `uv pip check` begin that name no conflict.
UV_TALK = ("Using Python", "Checked ", "Found ")


class Failed(Exception):
    """A step did not succeed; `code` is the exit code to end with."""

    def __init__(self, phase, message, code=1):
        Exception.__init__(self, message)
        self.phase = phase
        self.message = message
        self.code = code


def name_of(text):
    """The name of a package as it is compared (PEP 503)."""
    return re.sub("[-_.]+", "-", text).lower()


def pip_runner():
    """The program by which the installation's own pip works on another interpreter, which saves one start of pip."""
    import importlib.util
    import site

    # The builder itself runs without them, and without what their .pth files do at every start.
    sys.path += site.getsitepackages()
    spec = importlib.util.find_spec("pip")
    if spec is None:
        site.main()
        spec = importlib.util.find_spec("pip")
    return os.path.join(os.path.dirname(spec.origin), "__pip-runner__.py")


def pip_version(pip):
    """The first two numbers of the version of the pip that the command `pip` runs; nothing when there is none."""
    # From the root, because Python 2 looks for modules in the current directory first, and that is the bundle's.
    process = subprocess.Popen(pip + ["--version"], stdout=subprocess.PIPE, cwd="/")
    found = re.match(r"pip ([0-9]+)\.([0-9]+)", process.communicate()[0].decode("utf-8", "replace"))
    return () if process.returncode or not found else tuple(int(number) for number in found.groups())


class Builder(object):
    def __init__(self, spec_path, late=False):
        """`late` says that the environment is still being filled, which is so only beside the supervisor."""
        self.late = late
        with io.open(spec_path, encoding="utf-8") as file:
            self.spec = json.load(file)
        self.job = os.path.dirname(os.path.abspath(spec_path))
        self.work = self.spec["work_dir"]
        self.env_dir = self.spec["attempt_dir"]
        self.env_python = os.path.join(self.env_dir, "bin", "python")
        # Nobody has asked an interpreter in an image yet.
        self.pip_version = tuple(self.spec["pip_version"]) or pip_version([sys.executable] + ISOLATED + ["-m", "pip"])
        self.shared_pip = self.pip_version >= (22, 3)
        # Before, pip had setup.py install some packages.
        self.compiles = self.spec["compiles"] and self.pip_version >= (23, 1)
        self.checking = None
        self.uv = self.spec["uv"]
        # What the supervisor has put into the environment already.
        self.supplied = {}
        supplied = os.path.join(self.job, "supplied.json")
        if late:
            self.wait_for(supplied)
        if os.path.exists(supplied):
            with io.open(supplied, encoding="utf-8") as file:
                self.supplied = json.load(file)
        self.replayed = bool(self.supplied.get("replay"))

    def wait_for(self, path):
        """Wait for the file at `path`: the supervisor, who is to write it, ends us if it does not come to that."""
        try:
            import venv  # noqa: F401 - takes the longest of all that is still to be imported
        except ImportError:
            pass
        while not os.path.exists(path):
            time.sleep(0.002)

    def event(self, **fields):
        fields["at"] = time.time()
        self.say(self.spec["mark"] + json.dumps(fields, sort_keys=True))

    def say(self, text):
        STDOUT.write((text + "\n").encode("utf-8", "replace"))
        STDOUT.flush()

    def pip(self, *arguments):
        """pip for the environment: the installation's own where it can work on another interpreter.

        That saves installing and compiling a pip into every environment, which takes longer than many a build.
        """
        if self.shared_pip:
            # What `pip --python` runs, and says to it.
            os.environ["_PIP_RUNNING_IN_SUBPROCESS"] = "1"
            pip = [self.env_python, "-I", pip_runner()]
        elif PYTHON_2:
            # Its -m would look for pip in the current directory first.
            pip = [self.env_python] + ISOLATED + [os.path.join(self.env_dir, "bin", "pip")]
        else:
            pip = [self.env_python, "-I", "-m", "pip"]
        return pip + list(arguments)

    def uv_pip(self, *arguments):
        """uv for the environment, with the configuration that was written for this build and no other."""
        argv = [self.uv, "pip"] + list(arguments) + ["--python", self.env_python]
        argv += ["--config-file", os.path.join(self.job, "uv.toml")]
        cache = os.path.join(os.path.expanduser("~"), ".cache", "uv")
        while not os.path.lexists(cache):
            cache = os.path.dirname(cache)
        # pip goes on without a cache in this case, uv would stop.
        return argv if os.access(cache, os.W_OK | os.X_OK) else argv + ["--no-cache"]

    def create(self):
        self.event(type="phase", phase="venv")
        self.say("Building environment using Python %s at %s" % (sys.version.split()[0], sys.executable))
        try:
            import venv
        except ImportError:
            self.create_by_virtualenv()
        else:
            self.create_by_venv(venv)
        if not self.shared_pip and not self.uv:
            self.pip_version = pip_version(self.pip())
            if not self.pip_version:
                raise Failed("venv", "the environment's pip does not tell its version")
        if self.spec["overlay"]:
            self.add_overlay(self.spec["overlay"])

    def create_by_venv(self, venv):
        """As by `python -m venv`, without another start of Python."""
        options = ["--without-pip"] if self.shared_pip or self.uv else []
        try:
            code = venv.main(options + [self.env_dir])
        except Exception as error:
            # Whatever it is, as `python -m venv` itself only tells it.
            raise Failed("venv", "venv failed: %s" % error)
        except SystemExit as error:
            code = error.code
        if code:
            raise Failed("venv", "venv ended with exit code %s" % code)

    def create_by_virtualenv(self):
        """For the installations of older servers: python-rstudio.txt, 15.2. The environment gets a pip of its own."""
        self.shared_pip = False
        # Seeds from the wheels that virtualenv brings along: no index is asked, and none later in the background.
        os.environ["VIRTUALENV_NO_PERIODIC_UPDATE"] = "1"
        argv = [sys.executable] + ISOLATED + ["-m", "virtualenv", "--no-download", self.env_dir]
        # From the root, because Python 2 looks for modules in the current directory first, and that is the bundle's.
        code = subprocess.call(argv, cwd="/")
        if code:
            raise Failed("venv", "python -m virtualenv ended with exit code %d" % code, code)
        marker = os.path.join(self.env_dir, "pyvenv.cfg")
        if not os.path.exists(marker):
            # virtualenv before 20 made none. Without `home` it says nothing to Python, but all see an environment.
            with io.open(marker, "w", encoding="utf-8") as file:
                file.write("version = %d.%d.%d\n" % sys.version_info[:3])

    def add_overlay(self, overlay):
        """Let the environment see the external packages in the directory `overlay`, behind its own packages.

        Their commands are written before pip runs: should it install a copy of its own, its commands count too.
        """
        self.say("External packages come from " + overlay)
        lib = os.path.join(self.env_dir, "lib")
        for python in os.listdir(lib):
            packages = os.path.join(lib, python, "site-packages")
            if os.path.isdir(packages):
                # Named to be read last. Not a plain path: the overlay may hold .pth files itself.
                with io.open(os.path.join(packages, "zzz_externals.pth"), "w", encoding="ascii") as file:
                    file.write("import site; site.addsitedir(%s)\n" % (repr if PYTHON_2 else ascii)(overlay))
        with io.open(os.path.join(overlay, "envdeck-commands.json"), encoding="utf-8") as file:
            commands = json.load(file)
        for name, module, function in commands:
            path = os.path.join(self.env_dir, "bin", name)
            if os.path.lexists(path):
                continue
            with io.open(path, "w", encoding="utf-8") as file:
                # Through the shell, because a path in a first line may hold no space and not be long.
                file.write("#!/bin/sh\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''\n" % self.env_python)
                file.write("import importlib, sys\n")
                file.write("sys.exit(importlib.import_module('%s').%s())\n" % (module, function))
            os.chmod(path, 0o755)

    def install(self):
        if not self.spec["installs"]:
            self.say("Nothing to install: the package plan is empty")
            return
        if self.replayed:
            return
        if self.spec["installer_reason"]:
            self.say("Packages are installed by %s: %s" % (self.spec["installer"], self.spec["installer_reason"]))
        self.event(type="phase", phase="resolve")
        # Relative, because pip names the file in every other line of its log.
        files = ["-r", os.path.relpath(os.path.join(self.job, "requirements.txt"))]
        if self.spec["constrains"]:
            files += ["-c", os.path.relpath(os.path.join(self.job, "constraints.txt"))]
        if self.uv:
            code = subprocess.call(self.uv_pip("install", *files))
            if code:
                raise Failed("install", "uv pip install failed with exit code %d" % code, code)
            self.begin_check()
            return
        # It would look for conflicts as `pip check` does, which is asked afterwards.
        arguments = ["install", "--no-input", "--disable-pip-version-check", "--no-warn-conflicts", "--progress-bar"]
        # Parseable progress through a pipe came with pip 24.1; older ones would print one finished bar per file.
        arguments.append("raw" if self.pip_version >= (24, 1) else "off")
        arguments += files
        if self.pip_version >= (22, 2):
            arguments += ["--report", os.path.join(self.work, "pip-report.json")]
        if self.supplied.get("packages"):
            self.begin_check()
        if not self.compiles:
            self.run_pip(*arguments)
            return
        compiler = self.begin_compiling()
        try:
            self.run_pip(*(arguments + ["--no-compile"]))
            self.event(type="phase", phase="compile")
            compiler.communicate()
        finally:
            if compiler.poll() is None:
                compiler.kill()
        if compiler.returncode:
            raise Failed("compile", "the modules could not be compiled, with exit code %d" % compiler.returncode)

    def run_pip(self, *arguments):
        code = subprocess.call(self.pip(*arguments))
        if code:
            raise Failed("install", "pip install failed with exit code %d" % code, code)
        if self.checking is None or self.has_changed():
            self.begin_check()

    def begin_compiling(self):
        """Start what compiles beside pip, and goes on when its standard input ends."""
        program = os.path.join(self.job, "bytecode.py")
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", program, self.env_dir], stdin=subprocess.PIPE, cwd="/"
        )

    def has_changed(self):
        """Whether pip has installed something, or there is no telling."""
        try:
            with io.open(os.path.join(self.work, "pip-report.json"), encoding="utf-8") as file:
                return json.load(file)["install"] != []
        except (IOError, ValueError, KeyError, TypeError):
            return True

    def begin_check(self):
        """Start `pip check` beside whatever else there is to do."""
        self.end_check()
        check = self.uv_pip("check") if self.uv else self.pip("check")
        self.checking = subprocess.Popen(check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end_check(self):
        """Stop it."""
        if self.checking is not None:
            self.checking.kill()
            self.checking.communicate()
            self.checking = None

    def verify(self):
        """Prove that the environment starts and is itself; return its packages and what `pip check` objects to."""
        self.event(type="phase", phase="verify")
        packages = self.inventory()
        if self.replayed and self.differs(packages):
            self.replayed = False
            self.install()
            return self.verify()
        conflicts = self.supplied.get("conflicts", []) if self.replayed else self.check()
        for line in conflicts:
            self.say("WARNING: pip check: " + line)
        return packages, conflicts

    def inventory(self):
        """What the environment's own interpreter finds in it."""
        argv = [self.env_python] + ISOLATED + ["-B", "-c", INVENTORY]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/")
        output = process.communicate()[0].decode("utf-8", "replace")
        if process.returncode:
            raise Failed("verify", "the environment's python ended with exit code %d" % process.returncode)
        try:
            # Last line: a package may print on start-up.
            inventory = ast.literal_eval(output.strip().splitlines()[-1])
        except (ValueError, SyntaxError, IndexError):
            raise Failed("verify", "the environment's python did not say what is in it")
        if os.path.realpath(inventory["prefix"]) != os.path.realpath(self.env_dir):
            raise Failed("verify", "the environment's python runs from %s" % inventory["prefix"])
        planned = re.match(r"\d+\.\d+\.\d+", self.spec["python_version"])
        if planned and inventory["version"] != planned.group():
            raise Failed("verify", "it is Python %s, not %s as planned" % (inventory["version"], planned.group()))
        return inventory["packages"]

    def differs(self, packages):
        """Whether the environment is not what the lock says, and then say so."""
        found = dict((name_of(name), version) for name, version in packages)
        # The environment's own packages come first, as they do on its path.
        wanted = {}
        for name, version in self.supplied["packages"]:
            wanted.setdefault(name_of(name), version)
        names = sorted(name for name in set(found) | set(wanted) if found.get(name) != wanted.get(name))
        for name in names:
            sides = (name, found.get(name, "nothing"), wanted.get(name, "nothing"))
            self.say("WARNING: %s is %s, and the lock says %s" % sides)
        if names:
            self.say("The environment is not what its lock says, so pip has a look at it")
        return bool(names)

    def check(self):
        """What `pip check` objects to."""
        if not self.spec["installs"]:
            return []
        if self.checking is None:
            self.begin_check()
        output = self.checking.communicate()[0].decode("utf-8", "replace")
        if not self.checking.returncode:
            return []
        return [line for line in output.strip().splitlines() if not (self.uv and line.startswith(UV_TALK))]

    def lock(self, packages):
        """Write what was installed in the form that pip can read back."""
        self.say("Packages in the environment: " + ", ".join("%s==%s" % tuple(p) for p in packages))
        path = os.path.join(self.env_dir, "requirements.txt.lock")
        self.say("Creating lockfile: requirements.txt.lock")
        with io.open(path, "w", encoding="utf-8") as file:
            for name, version in packages:
                file.write("%s==%s\n" % (name, version))

    def finish(self, **outcome):
        path = os.path.join(self.work, "outcome.json")
        with io.open(path + ".tmp", "w", encoding="utf-8") as file:
            file.write("%s\n" % json.dumps(outcome, sort_keys=True))
            if not self.late:
                # Whoever reads it may be on another machine. Else that is done at once, and all is synced then.
                file.flush()
                os.fsync(file.fileno())
        os.rename(path + ".tmp", path)

    def run(self):
        name = os.environ.get("USER", "")
        self.say("Running as user: uid=%d%s gid=%d" % (os.getuid(), "(%s)" % name if name else "", os.getgid()))
        try:
            self.create()
            self.install()
            packages, conflicts = self.verify()
            self.lock(packages)
        except Failed as failure:
            self.end_check()
            self.say("ERROR: " + failure.message)
            self.finish(ok=False, phase=failure.phase, message=failure.message)
            return failure.code
        self.finish(ok=True, packages=packages, conflicts=conflicts, replayed=self.replayed)
        self.say("Completed Python build against Python version: '%s'" % sys.version.split()[0])
        return 0


if __name__ == "__main__":
    sys.exit(Builder(sys.argv[1], late=sys.argv[2:] == ["late"]).run())
