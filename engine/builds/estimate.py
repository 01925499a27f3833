"""How long a build will probably take, judged by earlier ones. Pure.

Decided when the build is started and kept in its ``spec.json``, so that whoever looks, from whatever machine, says the
same, and nobody has to read all earlier builds for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from engine.builds.model import Build, BuildState, Expectation, Phase
from engine.text import clean

__all__ = ["expect", "expectation_record", "read_expectation"]

_ENOUGH = 5
"""How many similar builds are asked; the newest ones count."""
_SIMILAR = 2.0
"""The greatest ratio of two numbers of requirement lines that are still called similar."""


def expect(
    history: Iterable[Build], *, key: str, installer: str, image: str, requested: int, replayed: bool | None = None
) -> Expectation | None:
    """What to expect of a build of `key` with so many requirement lines; None when nothing like it was built yet.

    `history` is newest first, and read no further than needed. `replayed` says whether it will be made from a lock, as
    far as that is known: then only builds that were judge it, or only those that were not. The last build of the same
    environment is the best judge. Without one, it is those of a similar number of lines, made by the same installer in
    the same place.
    """
    similar = []
    for build in history:
        if build.state is not BuildState.DONE or build.reused or not build.phases or build.installer != installer:
            continue
        from_lock = Phase.RESOLVE not in build.phases
        if build.key == key and replayed in (None, from_lock):
            return Expectation(_seconds([build]), build.packages_installed, "the last build of this environment")
        if from_lock is bool(replayed) and build.image == image and _is_similar(build.requested, requested):
            similar.append(build)
    similar = similar[:_ENOUGH]
    if not similar:
        return None
    counts = [build.packages_installed for build in similar if build.packages_installed]
    packages = round(_median(counts)) if counts else 0
    what = f"{len(similar)} builds" if len(similar) > 1 else "one build"
    return Expectation(_seconds(similar), packages, f"{what} of similar size")


def _is_similar(one: int, other: int) -> bool:
    return bool(one and other) and max(one, other) / min(one, other) <= _SIMILAR


def _median(values: Iterable[float]) -> float:
    # The module for that loads those of fractions, decimals and random numbers, which a build would wait for.
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _seconds(builds: list[Build]) -> dict[Phase, float]:
    taken = [build.phase_seconds(build.finished_at or 0.0) for build in builds]
    # A queue says nothing about the build that comes after it.
    phases = [phase for phase in Phase if phase is not Phase.QUEUE and any(phase in each for each in taken)]
    return {phase: _median(each.get(phase, 0.0) for each in taken) for phase in phases}


def expectation_record(expected: Expectation | None) -> dict[str, object] | None:
    """`expected` as ``spec.json`` has it."""
    if expected is None:
        return None
    seconds = {phase.value: round(value, 3) for phase, value in expected.seconds.items()}
    return {"seconds": seconds, "packages": expected.packages, "basis": expected.basis}


def read_expectation(record: object) -> Expectation | None:
    """The expectation of a ``spec.json``; None for anything that makes no sense."""
    if not isinstance(record, Mapping):
        return None
    seconds, packages, basis = record.get("seconds"), record.get("packages"), record.get("basis")
    if not isinstance(seconds, Mapping) or not isinstance(packages, int) or not isinstance(basis, str):
        return None
    read = {
        phase: float(value)
        for name, value in seconds.items()
        if (phase := Phase.read(name)) and isinstance(value, int | float) and math.isfinite(value) and value >= 0
    }
    return Expectation(read, max(0, packages), clean(basis)) if read else None
