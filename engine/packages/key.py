"""The key of an environment: a digest of everything that decides what is in it.

The documents promise reuse for "the same list of dependencies" and the same Python (package-management-posit.txt,
"Environment Caching"). What else must enter is connect.md §6.3 and builds.md, section D: an interpreter that was
replaced, another index, or another content of a local project gives another environment.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from engine.digest import sha256
from engine.packages.plan import Action, PackagePlan
from engine.text import mask_credentials

__all__ = ["environment_key", "key_ingredients", "key_lines", "normalize_line"]

_FORMAT = 1
"""Raised when the meaning of an ingredient changes, so that no old entry is taken for a new one."""

_FIRST_OPTION = re.compile(r"\s+(?=--?[A-Za-z])")


@lru_cache(maxsize=2048)
def normalize_line(text: str) -> str:
    """A requirement line in the one spelling that all equal lines share; anything else unchanged.

    The name is canonical (PEP 503), extras, specifiers and ``--hash`` options are sorted. Credentials are masked:
    they decide who may fetch a package, not which one it is.
    """
    requirement_text, *rest = _FIRST_OPTION.split(text, maxsplit=1)
    options = " ".join(sorted(_FIRST_OPTION.split(rest[0]))) if rest else ""
    try:
        requirement = Requirement(requirement_text)
    except InvalidRequirement:
        return mask_credentials(text)
    requirement.name = canonicalize_name(requirement.name)
    return mask_credentials(f"{requirement} {options}".rstrip())


def key_lines(plan: PackagePlan) -> tuple[str, ...]:
    """The requirement lines that the key covers: normalised, sorted, each once. Safe to show."""
    return tuple(sorted({normalize_line(line.effective) for line in plan.requested}))


def key_ingredients(
    plan: PackagePlan,
    *,
    installer: str,
    target: str,
    interpreter: Mapping[str, object],
    index: Mapping[str, str],
    source_digest: str = "",
    externals: Iterable[tuple[str, str, str]] = (),
    external_version_matching: bool = False,
) -> dict[str, object]:
    """Everything the key is a digest of, as plain JSON values that can be compared and shown.

    `interpreter` is the result of `interpreter_identity`, `index` is pip's configuration of where packages come from,
    `source_digest` the content of the bundle where a line refers to a relative path. `externals` are name, version and
    location of every package of the installation that the environment sees; without any, their setting says nothing
    and is left out. The order of options matters to pip and is kept; the order of requirements does not.
    """
    ingredients: dict[str, object] = {
        "format": _FORMAT,
        "installer": installer,
        "target": target,
        "interpreter": dict(interpreter),
        "index": {name: mask_credentials(value) for name, value in sorted(index.items())},
        "requirements": list(key_lines(plan)),
        "constraints": sorted({normalize_line(line.effective) for line in plan.of(Action.CONSTRAINT)}),
        "options": [mask_credentials(line.effective) for line in plan.of(Action.OPTION)],
        "source": source_digest,
    }
    if visible := sorted(list(external) for external in externals):
        ingredients["externals"] = {"packages": visible, "version_matching": external_version_matching}
    return ingredients


def environment_key(ingredients: Mapping[str, object]) -> str:
    """22 characters of URL-safe base64: 16 bytes of the SHA-256 of `ingredients` as canonical JSON.

    The first 16 that do not give a leading dash, which a command line would take for an option.
    """
    text = json.dumps(dict(ingredients), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = sha256(text.encode("ascii"))
    name = ""
    for start in range(len(digest) - 15):
        name = base64.urlsafe_b64encode(digest[start : start + 16]).rstrip(b"=").decode("ascii")
        if not name.startswith("-"):
            break
    return name
