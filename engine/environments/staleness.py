"""Whether an environment still belongs to the installation it was built on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from engine.columns import changed
from engine.environments.model import Environment, EnvironmentState
from engine.targets import LOCAL

__all__ = ["judge"]

_HELD = 256
"""How many reasons are held once, of thousands of environments that have lost the same few installations."""


def judge(
    environments: Iterable[Environment], interpreters: Mapping[str, Mapping[str, object]]
) -> tuple[Environment, ...]:
    """`environments`, each stale one marked and told why.

    `interpreters` maps the path of every usable local installation to its identity (see
    `engine.installations.identity.interpreter_identity`).
    """
    identities = list(interpreters.values())
    known: dict[int, bool] = {}

    def still_there(interpreter: object) -> bool:
        # Thousands of environments share one object (`engine.environments.store`).
        if id(interpreter) not in known:
            known[id(interpreter)] = interpreter in identities
        return known[id(interpreter)]

    return tuple(_judge(environment, interpreters, still_there) for environment in environments)


def _judge(
    environment: Environment,
    interpreters: Mapping[str, Mapping[str, object]],
    still_there: Callable[[object], bool],
) -> Environment:
    if environment.state is not EnvironmentState.READY or environment.target != LOCAL:
        return environment
    if still_there(environment.ingredients.get("interpreter")):
        return environment
    reason = _reason(environment.python_path, environment.python_path in interpreters)
    return changed(environment, state=EnvironmentState.STALE, reason=reason)


@lru_cache(_HELD)
def _reason(python_path: str, there: bool) -> str:
    if there:
        return f"{python_path} is not the interpreter any more that it was built on"
    return f"its installation {python_path} is not configured or not usable any more"
