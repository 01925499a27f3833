"""Overlays: directories through which an environment sees chosen packages of an installation, and no others.

externals/<digest>/
    <entry>              a link to what one package owns; a real directory where several packages share one
    envdeck-commands.json    the commands of those packages, for the builder

An overlay lies outside of every environment and is added to the path of one by ``site.addsitedir``. pip then counts its
packages as installed and never touches them, being outside of the environment. With the same links in the
environment's own directory it writes through them into the installation (builds.md, section C, T5 and T6).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from engine.files import StorageError, write_problem
from engine.installations.externals import ExternalPackage

__all__ = ["COMMANDS_FILE", "make_overlay", "overlay_digest", "overlay_links"]

COMMANDS_FILE = "envdeck-commands.json"
"""Holds a list of [command, module, function]; the builder writes each into an environment's bin."""

_FORMAT = 1
"""Raised when the meaning of an overlay's content changes."""


def overlay_links(packages: Iterable[ExternalPackage]) -> dict[PurePosixPath, str]:
    """The links of an overlay: path inside it to what it points to.

    Where two packages have an entry of one name, the first by name has it. Nothing is put below a link, because that
    place is in the installation.
    """
    links: dict[PurePosixPath, str] = {}
    for package in sorted(packages, key=lambda p: p.name):
        for entry in package.entries:
            links.setdefault(PurePosixPath(entry), f"{package.location.rstrip('/')}/{entry}")
    return {path: source for path, source in sorted(links.items()) if not any(p in links for p in path.parents)}


def overlay_digest(packages: Iterable[ExternalPackage]) -> str:
    """The name of the overlay for `packages`: equal for the same versions and files at the same places."""
    content = [
        [p.name, str(p.version), p.location, sorted(p.entries), [[c.name, c.module, c.function] for c in p.commands]]
        for p in sorted(packages, key=lambda p: p.name)
    ]
    return hashlib.sha256(json.dumps([_FORMAT, content]).encode()).hexdigest()[:32]


def make_overlay(root: Path, packages: Iterable[ExternalPackage]) -> Path:
    """The overlay for `packages` in the directory `root`, made unless it is there already.

    It appears complete or not at all, also when several processes make it at once. Raises `StorageError`
    (`storage-write`).
    """
    packages = tuple(packages)
    overlay = root / overlay_digest(packages)
    if overlay.is_dir():
        return overlay
    try:
        if not root.is_dir():
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o755)
        temporary = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
        try:
            _fill(temporary, overlay_links(packages), packages)
            _publish(temporary, overlay)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StorageError(write_problem("make the overlay of external packages", overlay, error)) from error
    return overlay


def _fill(directory: Path, links: Mapping[PurePosixPath, str], packages: Iterable[ExternalPackage]) -> None:
    """Write everything, for all accounts to read whatever the umask: content may run as another one."""
    for shared in sorted({parent for path in links for parent in path.parents}):
        place = directory / shared
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
    for path, source in links.items():
        (directory / path).symlink_to(source)
    commands = sorted({command for package in packages for command in package.commands})
    content = json.dumps([[c.name, c.module, c.function] for c in commands], indent=2)
    file = directory / COMMANDS_FILE
    file.write_text(content + "\n", encoding="utf-8")
    file.chmod(0o644)


def _publish(temporary: Path, overlay: Path) -> None:
    try:
        temporary.rename(overlay)
    except OSError:
        # Not empty: another process was faster, and its overlay is the same.
        if not overlay.is_dir():
            raise
