"""The builder: makes one attempt at an environment. Run by the matched interpreter, with nothing but its stdlib.

    <python> -I -B builder.py <job>/spec.json

Runs alike in a process, a container or a scheduler's job, under any Python that envdeck manages, which is why it is
written for 2.7 and imports nothing of ours. What it and pip print is the build's log; its own events are lines that
begin with the mark the spec names, which nobody who wrote a package can know in advance. Its verdict is the file
``outcome.json`` beside the spec, written last: an exit code or the end of the output proves nothing.
"""

from __future__ import print_function, unicode_literals

import io
import json
import os
import subprocess
import sys
import time

# Run by the new environment's own interpreter: proves that it starts, and says what is in it.
INVENTORY = """
import json, sys
try:
    from importlib.metadata import distributions
    found = [(d.metadata["Name"], d.version) for d in distributions()]
except ImportError:
    import pkg_resources
    found = [(d.project_name, d.version) for d in pkg_resources.working_set]
found = sorted(set((n, v) for n, v in found if n), key=lambda p: p[0].lower())
print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "prefix": sys.prefix, "packages": found}))
"""


class Failed(Exception):
    """A step did not succeed; `code` is the exit code to end with."""

    def __init__(self, phase, message, code=1):
        Exception.__init__(self, message)
        self.phase = phase
        self.message = message
        self.code = code


class Builder(object):
    def __init__(self, spec_path):
        with io.open(spec_path, encoding="utf-8") as file:
            self.spec = json.load(file)
        self.job = os.path.dirname(os.path.abspath(spec_path))
        self.env_dir = self.spec["attempt_dir"]
        self.env_python = os.path.join(self.env_dir, "bin", "python")
        self.pip_version = tuple(self.spec["pip_version"])
        self.shared_pip = self.pip_version >= (22, 3)

    def event(self, **fields):
        fields["at"] = time.time()
        print(self.spec["mark"] + json.dumps(fields, sort_keys=True))
        sys.stdout.flush()

    def say(self, text):
        print(text)
        sys.stdout.flush()

    def call(self, argv):
        sys.stdout.flush()
        return subprocess.call(argv)

    def pip(self, *arguments):
        """pip for the environment: the installation's own where it can work on another interpreter.

        That saves installing and compiling a pip into every environment, which takes longer than many a build.
        """
        if self.shared_pip:
            return [sys.executable, "-I", "-m", "pip", "--python", self.env_python] + list(arguments)
        return [self.env_python, "-m", "pip"] + list(arguments)

    def create(self):
        self.event(type="phase", phase="venv")
        self.say("Building environment using Python %s at %s" % (sys.version.split()[0], sys.executable))
        argv = [sys.executable, "-I", "-m", "venv"]
        if self.shared_pip:
            argv.append("--without-pip")
        code = self.call(argv + [self.env_dir])
        if code:
            raise Failed("venv", "python -m venv ended with exit code %d" % code, code)

    def install(self):
        if not self.spec["installs"]:
            self.say("Nothing to install: the package plan is empty")
            return
        self.event(type="phase", phase="resolve")
        arguments = ["install", "--no-input", "--disable-pip-version-check", "--progress-bar"]
        # Parseable progress through a pipe came with pip 24.1; older ones would print one finished bar per file.
        arguments.append("raw" if self.pip_version >= (24, 1) else "off")
        # Relative, because pip names the file in every other line of its log.
        arguments += ["-r", os.path.relpath(os.path.join(self.job, "requirements.txt"))]
        if self.spec["constrains"]:
            arguments += ["-c", os.path.relpath(os.path.join(self.job, "constraints.txt"))]
        if self.pip_version >= (22, 2):
            arguments += ["--report", os.path.join(self.job, "pip-report.json")]
        code = self.call(self.pip(*arguments))
        if code:
            raise Failed("install", "pip install failed with exit code %d" % code, code)

    def verify(self):
        """Prove that the environment starts and is itself; return its packages and what `pip check` objects to."""
        self.event(type="phase", phase="verify")
        process = subprocess.Popen([self.env_python, "-I", "-B", "-c", INVENTORY], stdout=subprocess.PIPE)
        output = process.communicate()[0].decode("utf-8", "replace")
        if process.returncode:
            raise Failed("verify", "the environment's python ended with exit code %d" % process.returncode)
        try:
            # Last line: a package may print on start-up.
            inventory = json.loads(output.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise Failed("verify", "the environment's python did not say what is in it")
        if os.path.realpath(inventory["prefix"]) != os.path.realpath(self.env_dir):
            raise Failed("verify", "the environment's python runs from %s" % inventory["prefix"])
        conflicts = []
        if self.spec["installs"]:
            process = subprocess.Popen(self.pip("check"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output = process.communicate()[0].decode("utf-8", "replace")
            if process.returncode:
                conflicts = output.strip().splitlines()
                for line in conflicts:
                    self.say("WARNING: pip check: " + line)
        return inventory["packages"], conflicts

    def lock(self, packages):
        """Write what was installed in the form that pip can read back."""
        self.say("Packages in the environment: " + ", ".join("%s==%s" % tuple(p) for p in packages))
        path = os.path.join(self.env_dir, "requirements.txt.lock")
        self.say("Creating lockfile: requirements.txt.lock")
        with io.open(path, "w", encoding="utf-8") as file:
            for name, version in packages:
                file.write("%s==%s\n" % (name, version))

    def finish(self, **outcome):
        path = os.path.join(self.job, "outcome.json")
        with io.open(path + ".tmp", "w", encoding="utf-8") as file:
            file.write("%s\n" % json.dumps(outcome, sort_keys=True))
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".tmp", path)

    def run(self):
        try:
            self.create()
            self.install()
            packages, conflicts = self.verify()
            self.lock(packages)
        except Failed as failure:
            self.say("ERROR: " + failure.message)
            self.finish(ok=False, phase=failure.phase, message=failure.message)
            return failure.code
        self.finish(ok=True, packages=packages, conflicts=conflicts)
        self.say("Completed Python build against Python version: '%s'" % sys.version.split()[0])
        return 0


if __name__ == "__main__":
    sys.exit(Builder(sys.argv[1]).run())
