"""Whether environments are managed for a bundle: three levels, of which the highest that counts decides. Pure.

package-management-posit.txt, "Environment management"; the two settings that keep a level from counting are
connect.md §5.5.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

__all__ = ["Level", "LevelDecision", "ManagementDecision", "Standing", "decide"]


class Level(StrEnum):
    """Where environment management can be set, from the highest precedence to the lowest."""

    BUNDLE = "bundle"
    """``environment.environment_management.python`` of the manifest."""
    CONTENT = "content"
    """``default_py_environment_management`` of the content."""
    SERVER = "server"
    """``Python.EnvironmentManagement``."""


class Standing(StrEnum):
    """What became of one level."""

    DECIDES = "decides"
    UNSET = "unset"
    NOT_ALLOWED = "not allowed"
    """A setting of the server says that this level does not count."""
    OVERRIDDEN = "overridden"
    """It would have counted, but a higher level decides."""


_SOURCE = {
    Level.BUNDLE: "environment.environment_management.python",
    Level.CONTENT: "the content's own setting",
    Level.SERVER: "Python.EnvironmentManagement",
}
_GATE = {
    Level.BUNDLE: "Applications.ManifestEnvironmentManagementSelection",
    Level.CONTENT: "Applications.DefaultEnvironmentManagementSelection",
}


class LevelDecision(Struct, frozen=True):
    """One level: what is set there, what became of it, and why in one sentence."""

    level: Level
    value: bool | None
    """None when the level leaves it open."""
    standing: Standing
    reason: str

    @property
    def counted(self) -> bool:
        return self.standing is Standing.DECIDES


class ManagementDecision(Struct, frozen=True):
    """Whether an environment is created and packages are installed, which level decided, and what the others say."""

    managed: bool
    level: Level
    levels: tuple[LevelDecision, ...]
    """From the highest precedence to the lowest."""

    @property
    def reason(self) -> str:
        """Why, in one sentence: that of the level that decided."""
        return next(level.reason for level in self.levels if level.counted)


def decide(
    bundle: bool | None, content: bool | None, server: bool, *, manifest_allowed: bool, content_allowed: bool
) -> ManagementDecision:
    """Whether the environment is managed, given what each level says; None is a level that says nothing.

    `manifest_allowed` and `content_allowed` are ``Applications.ManifestEnvironmentManagementSelection`` and
    ``Applications.DefaultEnvironmentManagementSelection``.
    """
    decided: LevelDecision | None = None
    levels: list[LevelDecision] = []
    for level, value, allowed in (
        (Level.BUNDLE, bundle, manifest_allowed),
        (Level.CONTENT, content, content_allowed),
        (Level.SERVER, server, True),
    ):
        judged = _judge(level, value, allowed, decided)
        levels.append(judged)
        if judged.counted:
            decided = judged
    assert decided is not None, "the server always says something"
    assert decided.value is not None
    return ManagementDecision(decided.value, decided.level, tuple(levels))


def _judge(level: Level, value: bool | None, allowed: bool, decided: LevelDecision | None) -> LevelDecision:
    source = _SOURCE[level]
    if value is None:
        return LevelDecision(level, None, Standing.UNSET, f"{source} is not set")
    if not allowed:
        reason = f"{source} is ignored, because {_GATE[level]} is false"
        return LevelDecision(level, value, Standing.NOT_ALLOWED, reason)
    if decided is not None:
        reason = f"the {decided.level.value} level has precedence"
        return LevelDecision(level, value, Standing.OVERRIDDEN, reason)
    return LevelDecision(level, value, Standing.DECIDES, f"{source} is {str(value).lower()}")
