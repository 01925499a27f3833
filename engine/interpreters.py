"""The interpreters that a configuration names: run as far as they are not known, and judged by its rules."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.model import Executable, Settings
from engine.installations.inventory import probe_all
from engine.installations.model import Installation, Usability
from engine.user_cache import cache_file

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from engine.installations.externals import ExternalPackage
    from engine.installations.model import ProbeFailure
    from engine.planning import Externals

__all__ = ["Interpreters"]


class Interpreters:
    """Runs interpreters, and remembers what they said. Methods may be called from any thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._surveys: dict[str, tuple[Hashable, Mapping[NormalizedName, ExternalPackage]]] = {}

    def installations(self, settings: Settings, *, force: bool = False) -> tuple[tuple[Installation, ...], Externals]:
        """The installations that `settings` name, and what each has of the external packages.

        Runs every interpreter that is not known already, or all of them with `force`.
        """
        return self._with_externals(self.probe(settings.executables, settings, force=force), settings)

    def probe(
        self, executables: Sequence[Executable], settings: Settings, *, force: bool = False
    ) -> tuple[Installation, ...]:
        """Those installations, judged by everything in `settings` but the external packages."""
        return probe_all(
            executables,
            minimum_version=settings.minimum_version,
            timeout=settings.probe_timeout,
            cache_path=cache_file(self._environ, "probes.json"),
            force=force,
        )

    def _with_externals(
        self, installations: tuple[Installation, ...], settings: Settings
    ) -> tuple[tuple[Installation, ...], Externals]:
        """The usable installations checked for the external packages, and what each has of them.

        package-management-posit.txt, "External package installation": one that lacks any of them is an error, unless
        ``Python.ExternalsCheckIsFatal`` is off.
        """
        if not settings.externals:
            return installations, {}
        # Only here: few servers name any.
        from concurrent.futures import ThreadPoolExecutor

        from engine.installations.externals import external_checks
        from engine.installations.model import CheckStatus, ProbeFailure

        usable = [i for i in installations if i.usability is Usability.USABLE and i.facts]
        with ThreadPoolExecutor() as pool:
            surveys = dict(
                zip((i.executable for i in usable), pool.map(partial(self._survey, settings), usable), strict=True)
            )
        checked = []
        for installation in installations:
            if installation.executable in surveys:
                checks = external_checks(
                    surveys[installation.executable],
                    settings.externals,
                    fatal=settings.externals_check_is_fatal,
                    executable=installation.executable,
                )
                failed = any(check.status is CheckStatus.FAILED for check in checks)
                usability = Usability.UNUSABLE if failed else installation.usability
                installation = replace(installation, checks=(*installation.checks, *checks), usability=usability)
            checked.append(installation)
        return tuple(checked), {path: found for path, found in surveys.items() if not isinstance(found, ProbeFailure)}

    def _survey(
        self, settings: Settings, installation: Installation
    ) -> Mapping[NormalizedName, ExternalPackage] | ProbeFailure:
        """What `installation` has of the external packages; asked again only when its packages may have changed."""
        from engine.installations.externals import externals_identity, probe_externals
        from engine.installations.model import ProbeFailure

        assert installation.facts is not None
        identity = externals_identity(installation.facts, settings.externals)
        known = self._surveys.get(installation.executable)
        if known is not None and known[0] == identity:
            return known[1]
        found = probe_externals(Path(installation.executable), settings.externals, settings.probe_timeout)
        if not isinstance(found, ProbeFailure):
            self._surveys[installation.executable] = (identity, found)
        return found
