"""``explanation.to_shap()``: SHAP's own numbers on complete games; what is estimated says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay import Spectrum
from interplay._types import BoolArray, FloatArray

shap = pytest.importorskip("shap", minversion="0.50")
N = 6
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(2**N, 3))


def values(masks: BoolArray) -> FloatArray:
    return TABLE[np.asarray(masks) @ (1 << np.arange(N)), 0]


def several(masks: BoolArray) -> FloatArray:
    return TABLE[np.asarray(masks) @ (1 << np.arange(N))]


def exactly(f: Callable[[BoolArray], FloatArray], **how: Any) -> Any:
    """SHAP's exact values of the same game: rows of ones over a background of zeros."""

    def of_rows(rows: FloatArray) -> FloatArray:
        return f(rows.astype(bool))

    explainer = shap.ExactExplainer(of_rows, shap.maskers.Independent(np.zeros((1, N))))
    return explainer(np.ones((1, N)), **how)[0]


@pytest.mark.parametrize("f", [values, several])
def test_shapley_values_are_those_of_shap(f: Callable[[BoolArray], FloatArray]) -> None:
    explanation = ip.explain(ip.FunctionGame(f, N))
    converted, theirs = explanation.to_shap(), exactly(f)
    np.testing.assert_allclose(converted.values, theirs.values, atol=1e-12, rtol=0)
    np.testing.assert_array_equal(converted.base_values, explanation.baseline)
    np.testing.assert_allclose(converted.base_values, theirs.base_values, atol=1e-12)
    full = converted.base_values + converted.values.sum(axis=0)
    np.testing.assert_allclose(full, explanation.full, atol=1e-12)


def test_stii_is_what_the_exact_explainer_has() -> None:
    explanation = ip.explain(ip.FunctionGame(values, N))
    converted, theirs = explanation.to_shap("STII"), exactly(values, interactions=True)
    np.testing.assert_allclose(converted.values, theirs.values, atol=1e-12, rtol=0)
    of_several = ip.explain(ip.FunctionGame(several, N)).to_shap("STII")
    assert of_several.shape == (N, N, 3)
    np.testing.assert_allclose(of_several.values[..., 0], theirs.values, atol=1e-12, rtol=0)


def test_k_sii_is_what_the_tree_explainer_has() -> None:
    # trees that were fitted to all rows of zeros and ones: their paths' averages over what is not
    # known are those over all rows
    from sklearn.tree import DecisionTreeRegressor

    rows = np.array(np.meshgrid(*[[0.0, 1.0]] * N)).reshape(N, -1).T
    tree = DecisionTreeRegressor(max_depth=5, random_state=0).fit(rows, TABLE[:, 0])
    theirs = shap.TreeExplainer(tree).shap_interaction_values(rows[5:6])[0]

    def over_all_rows(masks: BoolArray) -> FloatArray:
        mixed = np.where(masks[:, None], rows[5], rows)
        return np.array([tree.predict(some).mean() for some in mixed])

    converted = ip.explain(ip.FunctionGame(over_all_rows, N)).to_shap("k-SII")
    np.testing.assert_allclose(converted.values, theirs, atol=1e-12, rtol=0)


@pytest.fixture(scope="module")
def estimated() -> ip.Explanation:
    """Two outputs of 12 players, from 80 of the 4,096 masks."""

    def two(masks: BoolArray) -> FloatArray:
        return np.stack([np.tanh(masks @ np.arange(12.0) / 9), masks[:, 0] * masks[:, 1]], axis=1)

    return ip.explain(ip.FunctionGame(two, 12), budget=80)


@pytest.mark.parametrize("index", ["k-SII", "STII"])
def test_rows_of_pairs_add_up_to_shapley_values(index: str, estimated: ip.Explanation) -> None:
    pairs = estimated.to_shap(index)
    np.testing.assert_array_equal(pairs.values, pairs.values.swapaxes(0, 1))
    expected = estimated.to_shap().values
    np.testing.assert_allclose(pairs.values.sum(axis=1), expected, atol=1e-12)
    assert pairs.error_std.shape == (12, 12, 2)


def test_an_estimate_has_its_uncertainty(estimated: ip.Explanation) -> None:
    converted, expected = estimated.to_shap(), estimated.interactions("SV")
    assert converted.shape == (12, 2)
    for i in range(12):
        row = expected.sets.index((i,))
        assert expected.deviations is not None
        np.testing.assert_array_equal(converted.values[i], expected.values[row])
        np.testing.assert_array_equal(converted.error_std[i], expected.deviations[row])
        for bounds, ends in (("lower_bounds", expected.low), ("upper_bounds", expected.high)):
            assert ends is not None
            np.testing.assert_allclose(getattr(converted, bounds)[i], ends[row], atol=1e-14)
    assert (converted.error_std[:, 0] > 0).all()
    one = converted[:, 1]
    assert one.feature_names == list(estimated.players)
    assert one.base_values == 0.0
    assert one.lower_bounds.shape == (12,)


def test_exact_values_are_certain_and_a_decoder_without_uncertainty_has_no_bounds() -> None:
    exact = ip.explain(ip.FunctionGame(values, N)).to_shap()
    np.testing.assert_array_equal(exact.error_std, np.zeros(N))
    np.testing.assert_array_equal(exact.lower_bounds, exact.values)
    game = ip.FunctionGame(lambda masks: masks.sum(axis=1), 12)
    estimated = ip.explain(game, decoder="lasso", budget=60).to_shap("k-SII")
    assert estimated.error_std is None
    assert estimated.upper_bounds is None


def test_pairs_that_are_not_listed_have_what_the_ends_add() -> None:
    n = 110  # not all pairs are listed
    spectrum = Spectrum.from_dict(n, {(): 1.0, (0,): -0.5, (1, 2): 0.25, (3, 4, 5): 0.125})
    spectrum = replace(
        spectrum, deviations=np.full((4, 1), 0.01), ends=spectrum.predict(np.eye(2, n) > 0)
    )
    some = ip.explain(ip.FunctionGame(values, N))
    explanation = replace(
        some,
        spectrum=spectrum,
        players=tuple(map(str, range(n))),
        faithfulness=replace(some.faithfulness, exact=False),
    )
    converted, expected = explanation.to_shap("k-SII"), spectrum.to("k-SII", order=2)
    assert expected.rest is not None
    assert (7, 9) not in expected
    for pair in ((0, 1), (1, 2), (3, 5), (7, 9)):
        assert converted.values[pair] == pytest.approx(expected[pair] / 2, abs=1e-15)
        assert converted.error_std[pair] >= abs(expected.rest[2]) / 2 > 0
    shapley = explanation.to_shap().values
    np.testing.assert_allclose(converted.values.sum(axis=1), shapley, atol=1e-12)


def test_names_that_repeat_stay_apart_and_a_file_converts_alike(tmp_path: Path) -> None:
    names = ["the", "cat", "the", "mat", "the", "end"]
    explanation = ip.explain(ip.FunctionGame(values, N, players=names))
    converted = explanation.to_shap(data=np.arange(6))
    assert converted.feature_names == names
    assert converted[2].values == converted.values[2]
    assert converted.data.tolist() == list(range(6))
    assert explanation.to_shap().data is None
    loaded = ip.load(explanation.save(tmp_path / "a.interplay")).to_shap("STII")
    np.testing.assert_array_equal(loaded.values, explanation.to_shap("STII").values)


def test_one_player_and_a_constant() -> None:
    explanation = ip.explain(ip.FunctionGame(lambda masks: 3.0 * masks[:, 0] + 1.0, 1))
    assert explanation.to_shap().values.tolist() == [3.0]
    assert explanation.to_shap("STII").values.tolist() == [[3.0]]
    constant = ip.explain(ip.FunctionGame(lambda masks: np.ones((len(masks), 2)), 3))
    assert constant.to_shap().values.tolist() == [[0.0, 0.0]] * 3
    assert not constant.to_shap("k-SII").values.any()


def test_what_cannot_be_converted_is_refused() -> None:
    explanation = ip.explain(ip.FunctionGame(values, N))
    with pytest.raises(ValueError, match="index='FSII' is unknown; choose one of SV, k-SII, STII"):
        explanation.to_shap("fsii")
    assert explanation.to_shap("shapley").shape == (N,)
    without_ends = replace(explanation, faithfulness=replace(explanation.faithfulness, exact=False))
    with pytest.raises(ValueError, match="no measured value of the empty input"):
        without_ends.to_shap()
