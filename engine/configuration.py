"""The configuration in force, what other files or other text would make of it, and the editing of its files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from engine.config.default import default_data_dir, default_text
from engine.config.load import load
from engine.config.lookup import Sources, look_up, user_directory
from engine.config.model import ConfigState, Executable
from engine.errors import InputError, Problem, Refused, Severity, Where
from engine.installations.discovery import discover
from engine.installations.model import Usability

if TYPE_CHECKING:
    from engine.config.draft import ConfigDraft
    from engine.interpreters import Interpreters

__all__ = ["Configuration"]


class Configuration:
    """The configuration of one process. Methods may be called from any thread, `reload` from one at a time."""

    def __init__(self, files: Sequence[Path], environ: Mapping[str, str]) -> None:
        """Load it: `files` if given, else by the lookup order of `engine.config.lookup`.

        Raises `InputError` when a file that was asked for by name cannot be read.
        """
        self._files = tuple(files)
        self._environ = environ
        self.state = self._load(None)
        """What is in force, and what is wrong with the text that is on disk."""

    @property
    def watched_files(self) -> tuple[Path, ...]:
        """The files whose change, appearance or removal can change the configuration."""
        return self._sources().watch

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a command line that means this configuration."""
        return tuple(f"--config={path.absolute()}" for path in self._files)

    def reload(self) -> bool:
        """Load it again; with errors in it the last good settings stay in force. Returns whether anything differs."""
        before, fresh = self.state, self._load(self.state)
        if (fresh.files, fresh.texts, fresh.problems) == (before.files, before.texts, before.problems):
            return False
        self.state = fresh
        return True

    def read(self, files: Sequence[Path]) -> ConfigState:
        """What the configuration would be if it were read from `files`. Raises `InputError`."""
        paths = tuple(path.absolute() for path in files)
        return _checked(load(Sources(paths, by_name=True, watch=paths), self._environ, None, time.time(), ""))

    def default(self, interpreters: Interpreters) -> str:
        """The embedded default for this machine as text to edit, with the interpreters it cannot use as comments."""
        probed = interpreters.probe(
            [Executable(path, "default") for path in discover(self._environ)], self.state.settings
        )
        usable = [i.declared for i in probed if i.usability is Usability.USABLE]
        unusable = [(i.declared, i.reason) for i in probed if i.usability is Usability.UNUSABLE]
        return self._default_text(usable, unusable)

    def draft(self, path: Path | None, interpreters: Interpreters) -> ConfigDraft:
        """A configuration file to edit: that one, else the last in force, else a new one of this account's.

        Raises `InputError` (also `no-home`, when there is no place for a new one).
        """
        files = self._sources().files
        if path is None and files:
            path = files[-1]
        if path is None:
            base = user_directory(self._environ, "XDG_CONFIG_HOME", ".config")
            if base is None:
                raise InputError(
                    Problem(
                        "no-home", "neither XDG_CONFIG_HOME nor HOME says where to write", hint="Start with --config"
                    )
                )
            path = base / "envdeck" / "envdeck.gcfg"
        from engine.config.draft import take

        return take(path, "" if files else self.default(interpreters))

    def check(self, draft: ConfigDraft, text: bytes) -> ConfigState:
        """What the configuration would be with `text` as the content of the draft's file, as against the one now."""
        sources = self._sources()
        if draft.path not in sources.files:
            sources = Sources((*sources.files, draft.path), by_name=False, watch=())
        return _checked(load(sources, self._environ, self.state, time.time(), "", {draft.path: text}))

    def put(self, draft: ConfigDraft, text: bytes) -> None:
        """Put `text` in place of the draft's file, unless there are errors in it or somebody was faster.

        Raises `Refused` (`config-errors`, `config-changed`), `StorageError`.
        """
        from engine.config.draft import put

        errors = self.check(draft, text).errors
        if errors:
            raise Refused(Problem("config-errors", f"this would not be taken over: {errors[0]}"))
        put(draft, text)

    def _sources(self) -> Sources:
        return look_up(self._files, self._environ)

    def _load(self, previous: ConfigState | None) -> ConfigState:
        sources = self._sources()
        default = "" if sources.files else self._default_text(discover(self._environ), ())
        return _checked(load(sources, self._environ, previous, time.time(), default))

    def _default_text(self, usable: Sequence[str], unusable: Sequence[tuple[str, str]]) -> str:
        return default_text(usable, unusable, default_data_dir(self._environ))


_VALUES_OF_PLANS = {
    "Envdeck.AllowedOption": "an option, or OPTION=VALUE for that value alone",
    "Envdeck.SupportPackage": "APPMODE: REQUIREMENT, or APPMODE: !name",
}
"""Settings whose values mean something to the package plan only, and what they should be."""


def _checked(state: ConfigState) -> ConfigState:
    """`state` with what is wrong with the values that the reading of a configuration knows nothing of."""
    return replace(state, problems=(*state.problems, *_value_problems(state)))


def _value_problems(state: ConfigState) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            "setting-bad-value",
            f"{value.name} is passed over: {fault}",
            expected=expected,
            found=text,
            where=Where(origin),
            severity=Severity.WARNING,
        )
        for value in state.values
        if (expected := _VALUES_OF_PLANS.get(value.name))
        for text, origin in zip(value.values, value.origins, strict=False)
        if (fault := _fault(value.name, text))
    )


def _fault(name: str, text: str) -> str:
    """What is wrong with a value of one of `_VALUES_OF_PLANS`; empty when nothing is."""
    # Only here: by default neither has a value.
    if name == "Envdeck.AllowedOption":
        from engine.packages.options import option_error

        return option_error(text)
    from engine.packages.support import support_error

    return support_error(text)
