"""Which interpreter a project runs on at its author's.

package-management-posit.txt, "Package Installation", 2: for a notebook that of its kernel, in RStudio that of
``RETICULATE_PYTHON``. What is named but cannot be run is an error: the packages of another interpreter would be a
wrong answer, and a silent one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.capture.model import Choice
from engine.errors import InputError, Problem, Where
from engine.files import read_json, read_limited
from engine.installations.programs import is_program, resolve_executable

__all__ = ["choose_interpreter", "kernel_directories"]

_NOTEBOOK_LIMIT = 256 * 1024 * 1024
_VARIABLES = ("RETICULATE_PYTHON", "RETICULATE_PYTHON_FALLBACK")


def choose_interpreter(asked: str, notebook: Path | None, environ: Mapping[str, str]) -> Choice:
    """The absolute path of the interpreter to inspect; `asked` is a path or a name on PATH, or empty.

    Raises `InputError`: `capture-python-missing`, `capture-notebook-invalid`.
    """
    if asked:
        return Choice(_program(asked, "--python", environ), "--python names it")
    looked_at: list[str] = []
    if notebook is not None:
        name = _kernel_name(notebook)
        if not name:
            looked_at.append(f"{notebook.name} names no kernel")
        elif (found := _kernel_python(name, environ)) is not None:
            program, spec = found
            return Choice(_program(program, str(spec), environ), f"the notebook's kernel {name}, from {spec}")
        else:
            looked_at.append(f"the notebook's kernel {name} is not installed")
    for variable in _VARIABLES:
        if value := environ.get(variable):
            return Choice(_program(value, variable, environ), f"{variable} names it", tuple(looked_at))
        looked_at.append(f"{variable} is not set")
    return Choice(_program("python3", "PATH", environ), "python3 on PATH", tuple(looked_at))


def kernel_directories(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Where Jupyter's data directories are: named ones, the active environment's, the user's, Jupyter's, the system's.

    The order is Jupyter's own, as far as it can be told from outside of a running Jupyter.
    """
    found = [Path(part) for part in environ.get("JUPYTER_PATH", "").split(":") if part]
    prefixes = [Path(environ[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if environ.get(name)]
    found += [prefix / "share" / "jupyter" for prefix in prefixes]
    home = environ.get("HOME", "")
    if environ.get("JUPYTER_DATA_DIR"):
        found.append(Path(environ["JUPYTER_DATA_DIR"]))
    elif environ.get("XDG_DATA_HOME"):
        found.append(Path(environ["XDG_DATA_HOME"]) / "jupyter")
    elif home:
        found += [Path(home) / ".local" / "share" / "jupyter", Path(home) / "Library" / "Jupyter"]
    for program in ("jupyter", "python3"):
        if path := shutil.which(program, path=environ.get("PATH", "")):
            found.append(Path(path).parent.parent / "share" / "jupyter")
    found += [Path("/usr/local/share/jupyter"), Path("/usr/share/jupyter")]
    return tuple(dict.fromkeys(found))


def _kernel_name(notebook: Path) -> str:
    """The kernel that a notebook was last used with; empty when it names none."""
    try:
        document = json.loads(read_limited(notebook, _NOTEBOOK_LIMIT))
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid_notebook(notebook, "the notebook cannot be read as JSON") from error
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict):
        raise _invalid_notebook(notebook, "the file is not a notebook")
    spec = metadata.get("kernelspec")
    if not isinstance(spec, dict):
        return ""
    language = spec.get("language")
    if isinstance(language, str) and language.lower() != "python":
        raise _invalid_notebook(notebook, f"the notebook's kernel runs {language}, not Python")
    name = spec.get("name")
    # It becomes part of a path.
    return name.lower() if isinstance(name, str) and "/" not in name and name not in (".", "..") else ""


def _kernel_python(name: str, environ: Mapping[str, str]) -> tuple[str, Path] | None:
    """The program that the kernel `name` runs, and the file that says so."""
    for directory in kernel_directories(environ):
        for spec in _specs(directory / "kernels", name):
            document = read_json(spec) or {}
            command = document.get("argv")
            if not isinstance(command, list) or not command or not isinstance(command[0], str) or "\0" in command[0]:
                continue
            program = command[0]
            # A kernel that is installed with its interpreter names it without a path, and Jupyter knows where it is.
            own = directory.parent.parent / "bin" / program
            return (str(own) if "/" not in program and is_program(own) else program), spec
    return None


def _specs(kernels: Path, name: str) -> Iterator[Path]:
    """The kernel's file in one directory of kernels, whose names Jupyter compares without regard to case."""
    try:
        directories = sorted(kernels.iterdir())
    except OSError:
        return
    for directory in directories:
        if directory.name.lower() == name and (directory / "kernel.json").is_file():
            yield directory / "kernel.json"


def _program(value: str, source: str, environ: Mapping[str, str]) -> str:
    """The absolute path of the interpreter named by `source` as `value`; links are kept, they tell venvs apart."""
    found: Path | None = None
    if "/" in value:
        found = resolve_executable(str(Path(value).expanduser().absolute()))
    elif path := shutil.which(value, path=environ.get("PATH", "")):
        found = Path(path).absolute()
    if found is not None and is_program(found):
        return str(found)
    raise InputError(
        Problem(
            "capture-python-missing",
            f"the interpreter named by {source} is not there or cannot be run",
            found=value,
            hint="Name the interpreter of the project with --python",
        )
    )


def _invalid_notebook(notebook: Path, message: str) -> InputError:
    return InputError(Problem("capture-notebook-invalid", message, where=Where(str(notebook))))
