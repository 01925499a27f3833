"""All executors keep the same promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.executors.bench import BENCHES, Bench
from tests.executors.suite import CASES, NotApplicable

NAMES = [pytest.param(name, marks=() if name == "local" else pytest.mark.slow) for name in BENCHES]


@pytest.mark.parametrize("case", CASES, ids=[case.__name__.removeprefix("case_") for case in CASES])
@pytest.mark.parametrize("name", NAMES)
def test_conformance(name: str, case: Callable[[Bench], str], bench_of: Callable[[str], Bench]) -> None:
    try:
        case(bench_of(name))
    except NotApplicable as reason:
        pytest.skip(f"{name}: {reason}")
