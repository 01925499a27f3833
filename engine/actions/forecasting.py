"""What carrying out a plan of rebuilds will take, asked before it is decided about, since it takes a look at much."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.version import Version

from engine.actions.rebuild import PlannedRebuild, RebuildPlan, request_of
from engine.builds.pip_config import configuration
from engine.environments.space import free_bytes
from engine.executors.registry import choose
from engine.rebuilds.forecast import ItemForecast, RebuildForecast, forecast_item
from engine.wheels.deciding import Asked, Forecast, forecast
from engine.wheels.locks import LockRecords
from engine.wheels.store import WheelStore
from engine.world import World

__all__ = ["forecast_rebuild"]


_MOST = 100
"""How many environments are looked at: one of 150 packages takes some 50 ms, and nobody waits a minute to be asked."""


def forecast_rebuild(world: World, plan: RebuildPlan) -> RebuildForecast:
    """What rebuilding those environments of `plan` that can be rebuilt will take, by what there is now."""
    settings, who = world.config.settings, world.builder
    pip = configuration(who.home, account=who.account)
    store, locks = WheelStore(settings.data_dir), LockRecords(settings.data_dir)
    builds = world.builds()

    def one(item: PlannedRebuild) -> ItemForecast:
        supply = _supply(world, item, pip, store, locks, fresh=plan.fresh)
        return forecast_item(item.environment, supply, builds, fresh=plan.fresh)

    good = [item for item in plan.items if not item.problems]
    items = tuple(one(item) for item in good[:_MOST])
    return RebuildForecast(items, settings.build_concurrency, len(good) - len(items), free_bytes(settings.data_dir))


def _supply(
    world: World,
    item: PlannedRebuild,
    pip: Mapping[str, str],
    store: WheelStore,
    locks: LockRecords,
    *,
    fresh: bool,
) -> Forecast:
    """What the rebuild would get from the wheel store now."""
    environment, settings = item.environment, world.config.settings
    made_from = environment.ingredients
    interpreter, externals = made_from.get("interpreter"), made_from.get("externals")
    visible = externals.get("packages", ()) if isinstance(externals, Mapping) else ()
    requirements, constraints = request_of(environment) or ("", "")
    facts = item.installation.facts if item.installation else None
    asked = Asked(
        key=environment.key,
        installer=environment.installer,
        target=environment.target,
        executor=choose(settings.executor, environment.target),
        pip_version=Version((facts.pip if facts else None) or "0").release,
        interpreter=interpreter if isinstance(interpreter, Mapping) else {},
        requirements=requirements,
        constraints=constraints,
        settings=pip,
        externals=[name for name, *_ in visible],
        replay=settings.replay,
        fresh=fresh,
    )
    return forecast(asked, store, locks)
