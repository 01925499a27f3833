"""The bundles that ship with envdeck, to look at and to try things on."""

from __future__ import annotations

from pathlib import Path

__all__ = ["samples"]

_DIRECTORY = Path(__file__).parent.parent / "samples"


def samples() -> tuple[Path, ...]:
    """The sample bundles' directories in order of name. Read as bundles, their titles say what each shows."""
    return tuple(sorted(manifest.parent for manifest in _DIRECTORY.glob("*/manifest.json")))
