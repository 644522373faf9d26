"""An audit's tolerances are in units of what varies: an offset does not widen them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import interplay as ip
from interplay.audit.checks import documents


def game(scale: float, offset: float) -> ip.FunctionGame:
    def values(masks: np.ndarray) -> np.ndarray:
        return np.asarray(scale * (masks[:, 0] + 0.5 * (masks[:, 1] & masks[:, 2]) + offset))

    return ip.FunctionGame(values, 12, fingerprint=f"{scale} {offset}")


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1.0, 1e10), (1e-140, 1e9), (1e140, 0)])
def test_a_changed_coefficient_or_value_is_a_mismatch(scale: float, offset: float) -> None:
    explanation = ip.explain(game(scale, offset), budget=120, progress=False)
    audited = ip.verify(explanation, game=game(scale, offset))
    assert not audited.named("mismatch")
    spectrum = explanation.spectrum
    changed = spectrum.coefficients.copy()
    changed[np.flatnonzero(spectrum.orders == 1)[0]] *= 1.01
    wrong = replace(explanation, spectrum=replace(spectrum, coefficients=changed))
    assert ip.verify(wrong)["spectrum"].status == "mismatch"
    shifted = explanation.fit.values + 0.1 * scale
    wrong = replace(explanation, fit=replace(explanation.fit, values=shifted))
    assert ip.verify(wrong, game=game(scale, offset))["model"].status == "mismatch"
    if spectrum.deviations is not None:
        smaller = replace(spectrum, deviations=0.9 * spectrum.deviations)
        wrong = replace(explanation, spectrum=smaller)
        assert ip.verify(wrong)["uncertainty"].status == "mismatch"


def test_small_numbers_are_compared_beside_large_counts() -> None:
    derived = {"ablations": 10**12, "tested": [{"measured": 1e-150, "level": 3e-150}], "r2": 0.5}
    for wrong in (
        {"tested": [{"measured": 1.01e-150, "level": 3e-150}]},
        {"r2": 0.5001},
    ):
        assert not all(e.matches for e in documents("a", derived | wrong, derived, 1e-6))
    rounded = {"tested": [{"measured": 1e-150, "level": 3e-150 * (1 + 1e-8)}], "r2": 0.5 + 1e-9}
    assert all(e.matches for e in documents("a", derived | rounded, derived, 1e-6))
