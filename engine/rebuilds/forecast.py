"""What rebuilding environments will take: how each will be made, how long that takes, how much space. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.builds.estimate import expect

if TYPE_CHECKING:
    from engine.builds.model import Build
    from engine.environments.model import Environment
    from engine.wheels.deciding import Forecast

__all__ = ["ItemForecast", "RebuildForecast", "Way", "forecast_item"]


class Way(StrEnum):
    """How an environment is made."""

    REPLAYED = "replayed"
    """By its lock out of the wheel store, without pip and index."""
    SEEDED = "seeded"
    """What the wheel store holds is linked, then the installer does the rest."""
    INSTALLED = "installed"
    """By the installer alone."""


class ItemForecast(Struct, frozen=True):
    """What rebuilding one environment will take."""

    key: str
    supply: Forecast
    """What comes from the wheel store, and why no more."""
    seconds: float
    """How long it will probably take."""
    basis: str
    """What that is judged by, such as ``the last build of this environment``."""
    space: int
    """Bytes that it will probably take, besides the attempt that is there."""
    kept: int
    """Bytes of the attempt that is there, which stay until it is reaped."""

    @property
    def way(self) -> Way:
        if self.supply.replayed:
            return Way.REPLAYED
        return Way.SEEDED if self.supply.stored else Way.INSTALLED


class RebuildForecast(Struct, frozen=True):
    """What rebuilding several environments will take."""

    items: tuple[ItemForecast, ...] = ()
    at_once: int = 1
    """How many builds may run at once."""
    unseen: int = 0
    """How many more there are: too many to look at, and taken to be like those that were."""
    free: int | None = None
    """Bytes that are free in the data directory; None when that cannot be told."""

    def count(self, way: Way) -> int:
        """How many are made in that way."""
        return sum(item.way is way for item in self.items)

    @property
    def ways(self) -> str:
        """How many are made in which way: ``2 replayed, 1 seeded``."""
        told = ", ".join(f"{count} {way.value}" for way in Way if (count := self.count(way)))
        return f"{told}, and {self.unseen} more that are taken to be like these" if self.unseen else told

    @property
    def seconds(self) -> float:
        """How long they will probably take, `at_once` at a time."""
        return self.seconds_with(self.at_once)

    def seconds_with(self, at_once: int) -> float:
        """The same with so many at a time: no less than the longest of them."""
        each = [item.seconds for item in self.items]
        return max(max(each, default=0.0), sum(each) * self._scale / max(1, at_once))

    @property
    def space(self) -> int:
        """Bytes that they will probably take."""
        return round(sum(item.space for item in self.items) * self._scale)

    @property
    def kept(self) -> int:
        """Bytes of the attempts that are there, which stay until they are reaped."""
        return round(sum(item.kept for item in self.items) * self._scale)

    @property
    def _scale(self) -> float:
        return 1 + self.unseen / len(self.items) if self.items else 1.0

    @property
    def fits(self) -> bool:
        """Whether there is room for them, as far as that can be told."""
        return self.free is None or self.space <= self.free


def forecast_item(
    environment: Environment, supply: Forecast, history: Iterable[Build], *, fresh: bool = False
) -> ItemForecast:
    """What rebuilding `environment` will take with that `supply`; `history` are the builds, newest first.

    Without a build to judge by that was made in the same way, it is as long as the last one took.
    """
    expected = expect(
        history,
        key=environment.key,
        installer=environment.installer,
        image="",
        requested=len(environment.lines),
        replayed=False if fresh else supply.replayed,
    )
    seconds, basis = (expected.total, expected.basis) if expected else (environment.seconds, "its last build took that")
    return ItemForecast(environment.key, supply, seconds, basis, _space(environment, supply), environment.own)


def _space(environment: Environment, supply: Forecast) -> int:
    """What the attempt has of its own, and what of the rest the wheel store does not hold yet."""
    if supply.replayed:
        return environment.own
    missing = 1 - supply.stored / supply.total if supply.total else 1.0
    return environment.own + round(environment.shared * missing)
