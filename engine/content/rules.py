"""The rules about content. Pure: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from engine.content.model import Content, ContentBundle, PickedInstallation, Reason
from engine.errors import InputError, Problem
from engine.text import one_line

__all__ = [
    "Present",
    "Standing",
    "app_mode_problem",
    "beyond_retention",
    "checked_name",
    "find_bundle",
    "find_content",
    "named",
    "standing",
]

_NAME_LENGTH = 100
_UNKNOWN_MODES = ("", "unknown")


def find_content(contents: Sequence[Content], reference: str) -> Content:
    """The content of that GUID, of that name, or the only one with `reference` as a part of its GUID or name.

    Raises `InputError` (`content-unknown`, `content-ambiguous`).
    """
    matching = (
        [c for c in contents if c.guid == reference]
        or [c for c in contents if c.name == reference]
        or [c for c in contents if reference in c.guid or reference in c.name]
    )
    if not reference or not matching:
        raise InputError(
            Problem(
                "content-unknown",
                f"there is no content {reference}",
                expected="a GUID, a name, or a part of one",
                found=", ".join(c.name or c.guid for c in contents[:5]) or "no content",
            )
        )
    if len(matching) > 1:
        raise InputError(
            Problem(
                "content-ambiguous",
                f"{len(matching)} pieces of content have {reference} in their GUID or name",
                found=", ".join(f"{c.name} ({c.guid})" for c in matching[:5]),
                hint="Give more of it, or the GUID",
            )
        )
    return matching[0]


def find_bundle(content: Content, number: int | None) -> ContentBundle:
    """The bundle of that number, or the newest of those before the active one.

    Raises `InputError` (`content-bundle-unknown`).
    """
    if number is None:
        number = max((b.number for b in content.bundles if b.number < content.active), default=0)
    bundle = next((b for b in content.bundles if b.number == number), None)
    if bundle is not None:
        return bundle
    there = ", ".join(f"{b.number} (active)" if b.number == content.active else str(b.number) for b in content.bundles)
    name = content.name or content.guid
    raise InputError(
        Problem(
            "content-bundle-unknown",
            f"{name} has no bundle {number}" if number else f"{name} has no bundle before the active one",
            expected="the number of one of its bundles",
            found=there or "no bundles",
            hint="`envdeck content show` lists them; old ones are dropped by Applications.BundleRetentionLimit",
        )
    )


def named(contents: Iterable[Content], name: str) -> Content | None:
    """The content of exactly that name; None when there is none. Raises `InputError` (`content-ambiguous`)."""
    matching = [c for c in contents if c.name == name]
    return find_content(matching, name) if matching else None


def checked_name(name: str) -> str:
    """`name` if it can be one. Raises `InputError` (`content-name-bad`)."""
    if name and name == one_line(name, _NAME_LENGTH):
        return name
    raise InputError(
        Problem(
            "content-name-bad",
            "this cannot be the name of content",
            expected=f"1 to {_NAME_LENGTH} visible characters on one line, without blanks around them",
            found=name or "nothing",
        )
    )


def app_mode_problem(content: Content, app_mode: str) -> Problem | None:
    """Why a bundle of `app_mode` cannot be deployed to `content`; None when it can.

    The mode cannot change, except from ``unknown`` (connect.md §5.2).
    """
    if content.app_mode in _UNKNOWN_MODES or content.app_mode == app_mode:
        return None
    return Problem(
        "app-mode-changed",
        f"{content.name} was deployed in another app mode, which cannot change",
        expected=content.app_mode,
        found=app_mode or "none",
        hint="Deploy the bundle as new content, under another name",
    )


def beyond_retention(bundles: Sequence[ContentBundle], active: int, limit: int) -> tuple[ContentBundle, ...]:
    """The bundles that go when at most `limit` stay, the active one among them; none when `limit` is 0.

    ``Applications.BundleRetentionLimit`` (connect.md §2.2). The newest stay.
    """
    if limit <= 0:
        return ()
    others = sorted((b for b in bundles if b.number != active), key=lambda b: b.number)
    return tuple(others[: max(0, len(others) - (limit - 1))])


class Present(Struct, frozen=True):
    """An installation as it is found now: its version is empty when it is not known."""

    installation: PickedInstallation
    unusable: str = ""
    """Why it cannot be used; empty when it can."""


class Standing(Struct, frozen=True):
    """What has become of a picked installation. `installation` is None when it has vanished."""

    installation: PickedInstallation | None
    reason: Reason


def standing(picked: PickedInstallation, present: Sequence[Present]) -> Standing:
    """Whether the installation picked at deployment is still there, to be "used any time Python is needed".

    python-posit.txt, "Off-Host Execution"; connect.md §3.1. The path and the full version make it the same one. Another
    build of the same version keeps it, though its environments have to be built anew; the same interpreter under
    another path keeps both.
    """
    here = [p for p in present if p.installation.target == picked.target]
    at_path = next((p for p in here if p.installation.path == picked.path), None)
    same = [p for p in here if not p.unusable and p.installation.identity == picked.identity]
    python = f"Python {picked.version} at {picked.path}, picked at deployment,"
    if at_path is not None and at_path in same:
        return Standing(at_path.installation, Reason("installation-kept", f"{python} is still there"))
    if same:
        moved = same[0].installation
        return Standing(moved, Reason("installation-moved", f"{python} is configured as {moved.path} now"))
    if at_path is None:
        return Standing(None, Reason("installation-gone", f"{python} is not configured any more"))
    if at_path.unusable:
        return Standing(None, Reason("installation-unusable", f"{python} cannot be used now: {at_path.unusable}"))
    version = at_path.installation.version
    if version == picked.version:
        text = f"{python} is another build of the same version now"
        return Standing(at_path.installation, Reason("installation-rebuilt", text))
    return Standing(None, Reason("installation-replaced", f"{python} is Python {version} now"))
