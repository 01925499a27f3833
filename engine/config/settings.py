"""From entries to typed settings: the last value wins, lists add up, the environment overrides, every value keeps
where it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from packaging.version import Version

from engine.config.catalogue import (
    CATALOGUE,
    SERVER_SECTIONS,
    STRICT_SECTIONS,
    Kind,
    Setting,
    close_to,
    find,
    sections_of,
)
from engine.config.gcfg import Document, Entry, Header, place
from engine.config.model import EffectiveValue, Executable, ExecutorSettings, KeyLine, Settings
from engine.config.values import BadValue, Value, read_value, value_text
from engine.errors import Problem, Severity, Where
from engine.matching import Rule
from engine.text import clean

__all__ = ["Resolved", "resolve"]

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
"""The name of a package (PEP 508)."""


class Resolved(Struct, frozen=True):
    """What documents and environment amount to. Values that could not be read are left out of `settings`."""

    settings: Settings
    values: tuple[EffectiveValue, ...]
    """One per setting of the catalogue, in its order."""
    problems: tuple[Problem, ...]
    """Those of the documents and those found here, in the order of their places."""


class _Given(Struct, frozen=True):
    value: Value
    text: str
    origin: str
    where: Where
    """Where the text begins."""


class _Held(Struct, frozen=True):
    """What a setting holds so far; `origin` is where its last value, or its lack of any, comes from."""

    given: tuple[_Given, ...]
    origin: str
    is_default: bool = False


def resolve(documents: Sequence[Document], environ: Mapping[str, str]) -> Resolved:
    """The settings that `documents`, read in this order, and the variables ``CONNECT_<SECTION>_<PROPERTY>`` give.

    A variable wins over all documents; for a setting that can be repeated it holds the values separated by commas.
    A value that cannot be read is reported and skipped, so that an earlier value or the default stands.
    """
    held = {setting.name: _default(setting, environ) for setting in CATALOGUE}
    problems: list[Problem] = []
    for document in documents:
        found = list(document.problems)
        for header in document.headers:
            found.extend(_check_header(header, document.source))
        for entry in document.entries:
            found.extend(_apply(entry, document.source, held, environ))
        found.sort(key=place)
        problems.extend(found)
    for setting in CATALOGUE:
        if setting.variable in environ:
            problems.extend(_override(setting, held, environ))
    return Resolved(_settings(held), tuple(_effective(s, held[s.name]) for s in CATALOGUE), tuple(problems))


def _default(setting: Setting, environ: Mapping[str, str]) -> _Held:
    given = tuple(
        _Given(read_value(setting, text, environ), text, "default", Where("default")) for text in setting.default
    )
    return _Held(given, "default", is_default=True)


def _check_header(header: Header, source: str) -> Iterator[Problem]:
    where = Where(source, header.line, header.column)
    name = header.name.casefold()
    if any(name == strict.casefold() for strict in STRICT_SECTIONS):
        if header.subsection:
            yield Problem(
                "setting-subsection",
                f"[{header.name}] takes no subsection",
                expected=f"[{header.name}]",
                found=f'[{header.name} "{header.subsection}"]',
                where=where,
                hint="Its keys are ignored; remove the subsection name",
            )
    elif not any(name == known.casefold() for known in SERVER_SECTIONS):
        close = close_to(header.name, tuple({setting.section for setting in CATALOGUE}))
        if close:
            yield Problem(
                "section-unknown",
                f"section [{header.name}] is not known, its keys are ignored",
                where=where,
                hint=f"Did you mean [{close}]?",
                severity=Severity.WARNING,
            )


def _apply(entry: Entry, source: str, held: dict[str, _Held], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Let `entry` act on `held`; yields what is wrong with it."""
    if entry.subsection:
        return
    setting = find(entry.section, entry.key)
    key_place = Where(source, entry.line, entry.column)
    if setting is None:
        if any(entry.section.casefold() == strict.casefold() for strict in STRICT_SECTIONS):
            yield _unknown(entry, key_place)
        return
    if setting.deprecated:
        yield Problem(
            "setting-deprecated",
            f"{setting.name} {setting.deprecated}",
            where=key_place,
            hint="Remove it",
            severity=Severity.WARNING,
        )
    origin = str(Where(source, entry.line))
    if setting.multi and entry.value is None:
        held[setting.name] = _Held((), origin)
        return
    if setting.multi and entry.value == "":
        yield Problem(
            "setting-empty-item",
            f"{setting.name} is given without a value, the line is ignored",
            where=key_place,
            hint=f"Give it a value, or write {setting.key} without = to drop the values given before",
            severity=Severity.WARNING,
        )
        return
    try:
        place = Where(source, entry.line, entry.value_column)
        given = _read(setting, entry.value, origin, place, environ)
    except BadValue as bad:
        yield _bad_value(setting, entry.value, bad, place)
        return
    yield from _doubt(setting, given)
    before = held[setting.name]
    earlier = before.given if setting.multi and not before.is_default else ()
    held[setting.name] = _Held((*earlier, given), origin)


def _override(setting: Setting, held: dict[str, _Held], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Let the setting's environment variable replace what it holds; yields what is wrong with it."""
    origin = f"${setting.variable}"
    text = environ[setting.variable]
    texts = [part.strip() for part in text.split(",") if part.strip()] if setting.multi else [text.strip()]
    given: list[_Given] = []
    good = True
    for part in texts:
        try:
            given.append(_read(setting, part, origin, Where(origin), environ))
        except BadValue as bad:
            good = False
            yield _bad_value(setting, part, bad, Where(origin))
        else:
            yield from _doubt(setting, given[-1])
    if good:
        held[setting.name] = _Held(tuple(given), origin)


def _read(setting: Setting, text: str | None, origin: str, where: Where, environ: Mapping[str, str]) -> _Given:
    if text is None:
        # A blank key switches a boolean on; no other single value can be blank (connect.md §1.2).
        if setting.kind is not Kind.BOOLEAN:
            raise BadValue("a value", f"Write {setting.key} = value")
        text = "true"
    value = read_value(setting, text, environ)
    return _Given(value, value_text(value, text), origin, where)


def _unknown(entry: Entry, where: Where) -> Problem:
    elsewhere = sections_of(entry.key)
    names = tuple(s.key for s in CATALOGUE if s.section.casefold() == entry.section.casefold())
    close = close_to(entry.key, names)
    if elsewhere:
        hint = f"{entry.key} belongs under [{elsewhere[0]}]"
    elif close:
        hint = f"Did you mean {close}?"
    else:
        hint = f"[{entry.section}] has {', '.join(names)}"
    message = f"[{entry.section}] has no setting `{entry.key}`"
    return Problem("setting-unknown", message, found=entry.key, where=where, hint=hint)


def _bad_value(setting: Setting, text: str | None, bad: BadValue, where: Where) -> Problem:
    found = text or "nothing"
    message = f"{setting.name} has a value that cannot be used"
    return Problem("setting-bad-value", message, expected=bad.expected, found=found, where=where, hint=bad.hint)


def _doubt(setting: Setting, given: _Given) -> Iterator[Problem]:
    """A warning where nothing that bundles ask for can have the name that is given."""
    name = given.text.removeprefix("!").strip()
    if not setting.package or _NAME.fullmatch(name):
        return
    yield Problem(
        "setting-no-package",
        f"{setting.name} has a value that is the name of no package",
        expected="the name of one package, without a version",
        found=given.text,
        where=given.where,
        hint="Write a line for each package",
        severity=Severity.WARNING,
    )


def _effective(setting: Setting, held: _Held) -> EffectiveValue:
    return EffectiveValue(
        name=setting.name,
        values=tuple(clean(given.text) for given in held.given),
        origins=tuple(given.origin for given in held.given) or (held.origin,),
        is_default=held.is_default,
        meaning=setting.meaning,
        document=setting.document,
    )


def _settings(held: Mapping[str, _Held]) -> Settings:
    return Settings(
        python_enabled=_one(held, "Python.Enabled", bool),
        executables=tuple(Executable(str(g.value), g.origin) for g in held["Python.Executable"].given),
        version_matching=Rule(_one(held, "Python.VersionMatching", str)),
        prohibited=_every(held, "Python.ProhibitedPackage", str),
        data_dir=_one(held, "Server.DataDir", Path),
        read_only=_one(held, "Envdeck.ReadOnly", bool),
        keys=tuple(KeyLine(given.text, given.where) for given in held["Envdeck.Key"].given),
        minimum_version=_one(held, "Envdeck.MinimumVersion", Version),
        probe_timeout=_one(held, "Envdeck.ProbeTimeout", float),
        build_timeout=_one(held, "Envdeck.BuildTimeout", float),
        bundle_dirs=_every(held, "Envdeck.BundleDir", Path),
        manage_environments=_one(held, "Python.EnvironmentManagement", bool),
        externals=_every(held, "Python.External", str),
        external_version_matching=_one(held, "Python.ExternalVersionMatching", bool),
        externals_check_is_fatal=_one(held, "Python.ExternalsCheckIsFatal", bool),
        allow_uv=_one(held, "Python.AllowUv", bool),
        default_package_manager=_one(held, "Python.DefaultPackageManager", str),
        uv=_last(held, "Envdeck.Uv", Path),
        run_as=_last(held, "Applications.RunAs", str) or "",
        reaping=_one(held, "Applications.PythonEnvironmentReaping", bool),
        reap_frequency=_one(held, "Applications.PythonEnvironmentReapFrequency", float),
        reap_grace=_one(held, "Envdeck.ReapGracePeriod", float),
        bundle_retention=_one(held, "Applications.BundleRetentionLimit", int),
        content_management_selection=_one(held, "Applications.DefaultEnvironmentManagementSelection", bool),
        manifest_management_selection=_one(held, "Applications.ManifestEnvironmentManagementSelection", bool),
        environments_file=_last(held, "ExecutionEnvironments.ConfigFilePath", Path),
        cluster_definitions=_every(held, "Launcher.ClusterDefinition", Path),
        support_packages=_every(held, "Envdeck.SupportPackage", str),
        build_concurrency=_one(held, "Envdeck.BuildConcurrency", int),
        build_memory=_one(held, "Envdeck.BuildMemory", int),
        start_timeout=_one(held, "Envdeck.StartTimeout", float),
        space_reserve=_one(held, "Envdeck.SpaceReserve", int),
        allowed_options=_every(held, "Envdeck.AllowedOption", str),
        executor=_one(held, "Envdeck.Executor", str),
        replay=_one(held, "Envdeck.Replay", str),
        executors=ExecutorSettings(
            mounts=_every(held, "Envdeck.Mount", Path),
            container_command=_last(held, "Envdeck.ContainerCommand", str) or "",
            container_options=_every(held, "Envdeck.ContainerOption", str),
            slurm_options=_every(held, "Envdeck.SlurmOption", str),
            kubernetes_options=_every(held, "Envdeck.KubernetesOption", str),
            kubernetes_namespace=_one(held, "Envdeck.KubernetesNamespace", str),
            kubernetes_node_selectors=_every(held, "Envdeck.KubernetesNodeSelector", str),
            kubernetes_volumes=_every(held, "Envdeck.KubernetesVolume", str),
            kubernetes_service_account=_last(held, "Envdeck.KubernetesServiceAccount", str) or "",
            kubernetes_pull_secrets=_every(held, "Envdeck.KubernetesPullSecret", str),
        ),
    )


def _every(held: Mapping[str, _Held], name: str, kind: type[_T]) -> tuple[_T, ...]:
    values = tuple(given.value for given in held[name].given if isinstance(given.value, kind))
    assert len(values) == len(held[name].given), f"the catalogue and Settings disagree about {name}"
    return values


def _last(held: Mapping[str, _Held], name: str, kind: type[_T]) -> _T | None:
    """The value of a setting that may have none."""
    return next(iter(_every(held, name, kind)), None)


def _one(held: Mapping[str, _Held], name: str, kind: type[_T]) -> _T:
    (value,) = _every(held, name, kind)
    return value
