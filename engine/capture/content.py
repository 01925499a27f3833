"""What kind of content a project is and where it starts. Pure.

App modes and the order in which entry points are looked for: connect.md §5.2.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from engine.capture.model import Choice
from engine.errors import InputError, Problem

__all__ = ["APP_MODES", "NOTEBOOK_MODES", "choose_app_mode", "choose_entrypoint", "imported"]

NOTEBOOK_MODES = frozenset({"jupyter-static", "jupyter-voila"})
APP_MODES = NOTEBOOK_MODES | {
    "python-api",
    "python-bokeh",
    "python-dash",
    "python-fastapi",
    "python-gradio",
    "python-panel",
    "python-shiny",
    "python-streamlit",
}
"""The modes whose content always needs Python."""

# What an app imports tells what it is. The first that is found counts: a Dash app may import flask as well, a
# Panel app bokeh.
_FRAMEWORKS = {
    "dash": "python-dash",
    "streamlit": "python-streamlit",
    "gradio": "python-gradio",
    "shiny": "python-shiny",
    "panel": "python-panel",
    "bokeh": "python-bokeh",
    "fastapi": "python-fastapi",
    "starlette": "python-fastapi",
    "flask": "python-api",
    "falcon": "python-api",
    "bottle": "python-api",
    "pyramid": "python-api",
}

_ENTRYPOINTS = ("app", "application", "main", "api")
_APP_NAME = re.compile(r"app[-_].*\.py|.*[-_]app\.py")
_IMPORT = re.compile(r"^(?:from[ \t]+(\w+)|import[ \t]+([\w., \t]+))", re.MULTILINE)


def imported(source: str) -> frozenset[str]:
    """The top-level names of the modules that the text of a module imports outside of any block."""
    names: set[str] = set()
    for match in _IMPORT.finditer(source):
        names.update(part.split(".")[0].split()[0] for part in (match[1] or match[2]).split(",") if part.strip())
    return frozenset(names)


def choose_app_mode(asked: str, entrypoint: str, names: Collection[str], sources: Mapping[str, str]) -> Choice:
    """The app mode: `asked` for, or told by a notebook or by what the entry point's module imports.

    `entrypoint` is the one asked for or empty, `names` are all files of the project, `sources` the texts of the
    modules at its top. Raises `InputError` (`capture-mode-unknown`).
    """
    if asked:
        if asked not in APP_MODES:
            close = difflib.get_close_matches(asked, APP_MODES, 1)
            raise _unknown_mode(f"{asked} is not an app mode of Python content", close[0] if close else "")
        return Choice(asked, "asked for")
    if entrypoint.endswith(".ipynb"):
        return Choice("jupyter-static", "the entry point is a notebook")
    looked_at = []
    file = _module_file(entrypoint, names) if entrypoint else _guess_module(names)[0]
    if file in sources:
        imports = imported(sources[file])
        for framework, mode in _FRAMEWORKS.items():
            if framework in imports:
                return Choice(mode, f"{file} imports {framework}")
        looked_at.append(f"{file} imports no framework that tells")
    notebooks = _notebooks(names)
    if len(notebooks) == 1 and not entrypoint:
        return Choice("jupyter-static", f"{notebooks[0]} is the only notebook", tuple(looked_at))
    raise _unknown_mode("what kind of content this is cannot be told from its files", "")


def choose_entrypoint(asked: str, app_mode: str, names: Collection[str]) -> Choice:
    """The entry point as the manifest has it: a notebook's file, else ``module`` or ``module:object``.

    Raises `InputError`: `capture-entrypoint-unknown`, `capture-entrypoint-missing`.
    """
    if app_mode in NOTEBOOK_MODES:
        if asked:
            return _existing(asked, asked if asked in names else "")
        notebooks = _notebooks(names)
        if len(notebooks) == 1:
            return Choice(notebooks[0], "the only notebook")
        raise _unknown_entrypoint("notebook", notebooks)
    if asked:
        return _existing(asked, _module_file(asked, names))
    file, reason = _guess_module(names)
    if file:
        return Choice(file.removesuffix(".py"), reason)
    raise _unknown_entrypoint("module", sorted(name for name in names if _is_top_module(name)))


def _guess_module(names: Collection[str]) -> tuple[str, str]:
    """The file of the module that looks like the entry point, and why; empty when none does."""
    for candidate in _ENTRYPOINTS:
        if f"{candidate}.py" in names:
            return f"{candidate}.py", f"{candidate}.py is one of the usual names"
    modules = [name for name in names if _is_top_module(name)]
    if len(modules) == 1:
        return modules[0], "the only module"
    apps = [name for name in modules if _APP_NAME.fullmatch(name)]
    if len(apps) == 1:
        return apps[0], "the only module named like an app"
    return "", ""


def _module_file(entrypoint: str, names: Collection[str]) -> str:
    """The file that holds an entry point; empty when the project has none."""
    module = entrypoint.partition(":")[0]
    path = module.replace(".", "/")
    return next((name for name in (module, f"{path}.py", f"{path}/__init__.py") if name in names), "")


def _is_top_module(name: str) -> bool:
    return name.endswith(".py") and "/" not in name


def _notebooks(names: Collection[str]) -> list[str]:
    return sorted(name for name in names if name.endswith(".ipynb") and "/" not in name)


def _existing(entrypoint: str, file: str) -> Choice:
    if file:
        return Choice(entrypoint, "asked for")
    raise InputError(
        Problem(
            "capture-entrypoint-missing",
            "the project does not contain the entry point",
            expected="a file, module or module:object of the project",
            found=entrypoint,
        )
    )


def _unknown_entrypoint(kind: str, found: list[str]) -> InputError:
    return InputError(
        Problem(
            "capture-entrypoint-unknown",
            f"the {kind} to start with cannot be told from the project's files",
            found=", ".join(found[:5]) or f"no {kind} at the top of the project",
            hint="Name it with --entrypoint",
        )
    )


def _unknown_mode(message: str, close: str) -> InputError:
    hint = f"Did you mean {close}?" if close else "Name it with --app-mode"
    return InputError(Problem("capture-mode-unknown", message, expected=", ".join(sorted(APP_MODES)), hint=hint))
