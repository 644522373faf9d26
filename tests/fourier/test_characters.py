"""The transform over given masks, and its inverse, against the matrix of characters."""

from __future__ import annotations

import numpy as np
import pytest

from interplay.fourier.characters import analyse, characters, synthesise
from interplay.fourier.masks import uniform
from tests.conftest import planted


@pytest.mark.parametrize("cells", [1, 350, 1 << 20])
def test_analysis_in_blocks(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    masks, values = uniform(150, 10, rng), rng.normal(size=(150, 2))
    packed = planted(10, 30, rng).supports
    monkeypatch.setattr("interplay.fourier.characters._CELLS_AT_ONCE", cells)
    expected = characters(masks, packed).T @ values
    np.testing.assert_allclose(analyse(masks, packed, values), expected, atol=1e-12)


def test_synthesis_is_the_transpose_of_analysis() -> None:
    rng = np.random.default_rng(1)
    masks, values = uniform(70, 12, rng), rng.normal(size=(70, 2))
    packed = planted(12, 25, rng).supports
    coefficients = rng.normal(size=(len(packed), 2))
    there = (analyse(masks, packed, values) * coefficients).sum()
    back = (synthesise(masks, packed, coefficients) * values).sum()
    assert there == pytest.approx(back, rel=1e-12)
