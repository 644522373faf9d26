"""A set of prompts on a Ray cluster: the same bits as in this process, and going on there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay import RayBackend
from interplay._types import BoolArray, FloatArray

ray = pytest.importorskip("ray", reason="needs ray: pip install 'interplay[ray]'")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

NAMES = [f"part {number}" for number in range(7)]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=1, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def value(number: int, masks: BoolArray) -> FloatArray:
    weights = np.random.default_rng(number).normal(size=(7, 7))
    return np.asarray(np.einsum("mi,ij,mj->m", 1.0 * masks, weights, 1.0 * masks))


def games(stop: int | None = None) -> Iterator[ip.Game]:
    for number in range(3):
        if number == stop:
            raise KeyboardInterrupt
        scored = partial(value, number)
        yield ip.FunctionGame(scored, 7, players=NAMES, fingerprint=f"game {number}")


def contents(audit: ip.Audit) -> list[Any]:
    explanations = [audit.explanation(prompt.number) for prompt in audit.prompts]
    return [
        (one.provenance["ablations"]["sha256"], one.spectrum.coefficients.tobytes())
        for one in explanations
    ]


def test_the_same_bits_as_in_this_process_also_after_an_interruption(tmp_path: Path) -> None:
    settings: Any = {"budget": 60, "decoder": "lasso", "progress": False}
    here = ip.audit_prompts(games(), folder=tmp_path / "here", **settings)
    cluster = RayBackend(n_actors=1)
    part = ip.audit_prompts(games(stop=1), folder=tmp_path / "there", backend=cluster, **settings)
    assert (part.interrupted, part.n_evaluated) == (True, 1)
    whole = ip.audit_prompts(games(), folder=tmp_path / "there", backend=cluster, **settings)
    assert (whole.interrupted, whole.n_evaluated) == (False, 2)
    assert contents(whole) == contents(here)
    assert whole.results == here.results
