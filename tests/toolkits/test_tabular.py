"""The tabular lens against SHAP and shapiq themselves, on the same background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor

import interplay as ip

shap = pytest.importorskip("shap")
TABLE, TARGET = load_diabetes(return_X_y=True)
# trees compare in float32: with these numbers SHAP's in float64 agree
TABLE = TABLE.astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def model() -> Any:
    return GradientBoostingRegressor(n_estimators=30, random_state=0).fit(TABLE, TARGET)


def by_player(explanation: ip.Explanation) -> Any:
    listed = explanation.interactions("SV", order=1)
    values = np.zeros(len(explanation.players))
    values[[players[0] for players in listed.sets]] = listed.values
    return values


@pytest.mark.slow
def test_all_masks_equal_the_tree_explainer(model: Any) -> None:
    background = TABLE[:40]
    game = ip.tabular.TabularGame(model.predict, TABLE[50], background=background)
    explanation = ip.explain(game, budget=2**10)
    trees = shap.TreeExplainer(model, background)  # interventional
    np.testing.assert_allclose(by_player(explanation), trees.shap_values(TABLE[50]), atol=1e-5)
    assert explanation.baseline == pytest.approx(float(np.ravel(trees.expected_value)[0]), abs=1e-5)


@pytest.mark.slow
def test_a_few_masks_are_nearer_than_kernel_shap(model: Any) -> None:
    background = TABLE[:40]
    game = ip.tabular.TabularGame(model.predict, TABLE[50], background=background)
    exact = by_player(ip.explain(game, budget=2**10))
    ours = by_player(ip.explain(game, budget=133))
    np.random.seed(0)  # noqa: NPY002 - SHAP draws from the global generator
    kernel = shap.KernelExplainer(model.predict, background)
    theirs = kernel.shap_values(TABLE[50], nsamples=133, l1_reg=0, silent=True)
    assert np.linalg.norm(ours - exact) < 0.3 * np.linalg.norm(theirs - exact)


def test_the_values_are_those_of_shapiqs_imputer(model: Any) -> None:
    imputer = pytest.importorskip("shapiq.imputer")
    background = TABLE[:40]
    masks = np.random.default_rng(0).random((50, 10)) < 0.5
    game = ip.tabular.TabularGame(model.predict, TABLE[50], background=background)
    marginal = imputer.MarginalImputer(
        model.predict, background, x=TABLE[50], sample_size=None, normalize=False
    )
    np.testing.assert_allclose(game(masks), marginal(masks), rtol=1e-12)
