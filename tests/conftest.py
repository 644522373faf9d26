"""What several tests need: planted functions, brute force, and the packaged model."""

from __future__ import annotations

import os
import signal
import sys

# before torch: with two threads and another process on a core it gets many times slower
os.environ["OMP_NUM_THREADS"] = "1"
# rich would take the width of the developer's terminal instead of the one that a test sets
os.environ.pop("COLUMNS", None)

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import interplay as ip
from interplay import Spectrum
from interplay._types import Players
from interplay.cli.demo import CASES, Case

# a run in the background of a shell is started with Ctrl-C ignored, which some tests are about
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile(
    "interplay", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
settings.load_profile("interplay")

MARKER_OF_FIXTURE = {
    "smollm": "model",
    "demo": "model",
    "minilm": "model",
    "browser": "browser",
    "cluster": "ray",
    "llama": "server",
}
"""What a test needs that asks for a fixture, directly or by another one."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what its fixtures need, so that none is forgotten."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKER_OF_FIXTURE:
                item.add_marker(MARKER_OF_FIXTURE[fixture])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch keeps to one thread, whatever an earlier test or a library made of it.

    With two, rows of one batch may differ in their last bits.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def subsets(n_players: int, up_to: int | None = None) -> Iterator[Players]:
    """All subsets of the players, by order and then lexicographically: the slow, plain way."""
    for size in range((n_players if up_to is None else up_to) + 1):
        yield from combinations(range(n_players), size)


def planted(n_players: int, n_terms: int, rng: np.random.Generator, max_order: int = 4) -> Spectrum:
    """A sparse function: supports of order 1 to ``max_order``, coefficients of size 1 to 2."""
    terms: dict[Players, float] = {(): 0.5}
    while len(terms) <= n_terms:
        size = int(rng.integers(1, max_order + 1))
        members = tuple(sorted(rng.choice(n_players, size, replace=False).tolist()))
        terms[members] = float(rng.choice([-1, 1]) * rng.uniform(1, 2))
    return Spectrum.from_dict(n_players, terms)


def replaced(module: ModuleType, **names: Any) -> SimpleNamespace:
    """A module with some of its names replaced: a clock, for one user of it and not for others."""
    return SimpleNamespace(**vars(module) | names)


@pytest.fixture(scope="session")
def smollm() -> tuple[Any, Any]:
    """The packaged language model and its tokenizer, float32, one thread."""
    return ip.text.load_model("smollm2", threads=1)


@pytest.fixture(scope="session")
def demo(smollm: tuple[Any, Any]) -> Callable[[str, int], tuple[Case, ip.Explanation]]:
    """A case of the demo by its name, explained by so many ablations: 160 take half a minute."""

    @cache
    def explained(name: str, budget: int) -> tuple[Case, ip.Explanation]:
        case = next(case for case in CASES if case.name == name)
        return case, ip.explain(case.game(*smollm), budget=budget)

    return explained
