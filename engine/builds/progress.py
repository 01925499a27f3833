"""How far an installer is, as far as its output tells; the same for pip and uv. Pure."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from engine.builds.model import Phase

__all__ = ["Progress", "bytes_in"]

_UNITS = {"bytes": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


class Progress(Struct, frozen=True):
    """What the lines so far say."""

    phase: Phase = Phase.RESOLVE
    collected: int = 0
    """How many requirements pip has looked at."""
    installing: int = 0
    """How many distributions are written; 0 before that phase."""
    installed: int = 0
    replaced: int = 0
    """How many of them take the place of one that was there already."""
    message: str = ""
    fetched: int = 0
    """Bytes of the package files that are there, from an index or out of the installer's cache."""
    fetching: tuple[tuple[str, int, int], ...] = ()
    """What is under way: name, bytes done, bytes of all of it (0 when nobody said)."""
    noise: bool = False
    """True when the last line was machine-readable progress that does not belong in a log for people."""

    @property
    def bytes_done(self) -> int:
        return self.fetched + sum(done for _, done, _ in self.fetching)

    @property
    def bytes_total(self) -> int:
        """Bytes of all files named so far."""
        return self.fetched + sum(max(done, total) for _, done, total in self.fetching)

    def fetches(self, name: str, total: int) -> Progress:
        """The file `name` of `total` bytes is fetched from now on."""
        return replace(self, fetching=(*self.fetching, (name, 0, total)))

    def has_fetched(self, *names: str) -> Progress:
        """The files `names` are there, or all that are under way without any."""
        ended = [each for each in self.fetching if not names or each[0] in names]
        return replace(
            self,
            fetched=self.fetched + sum(max(done, total) for _, done, total in ended),
            fetching=tuple(each for each in self.fetching if each not in ended),
        )


def bytes_in(number: str, unit: str) -> int:
    """The bytes of ``16.1`` and ``MiB``; 0 for a unit that nobody knows."""
    return round(float(number) * _UNITS.get(unit.lower(), 0))
