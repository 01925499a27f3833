"""Which interpreter an environment belongs to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.installations.model import Installation, InterpreterFacts, Usability

__all__ = ["identities", "interpreter_identity"]


def interpreter_identity(facts: InterpreterFacts) -> dict[str, object]:
    """What makes two interpreters interchangeable for the content of an environment.

    The full version is part of it: after a patch upgrade in place an old environment must not be taken for a new one.
    """
    return {
        "implementation": facts.implementation,
        "version": str(facts.version),
        "soabi": facts.soabi,
        "platform": facts.platform,
        "libc": facts.libc,
        "pointer_bits": facts.pointer_bits,
        "base_prefix": facts.base_prefix,
    }


def identities(installations: Sequence[Installation]) -> dict[str, Mapping[str, object]]:
    """The identity of the interpreter at each usable installation's path."""
    return {
        i.executable: interpreter_identity(i.facts)
        for i in installations
        if i.facts and i.usability is Usability.USABLE
    }
