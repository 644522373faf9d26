"""Explanations for Shapley values: measured ends, flat sizes, and what is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay.fourier.masks import every_mask
from tests.fourier.efficiency import efficiency_gap

N = 11


def far_from_nothing(masks: np.ndarray) -> np.ndarray:
    """A game in which any player at all is worth a lot, with a few interactions."""
    main = masks @ np.linspace(0.02, 0.12, masks.shape[1])
    return (
        masks.any(axis=1) * 2.0 + main + 0.3 * (masks[:, 0] & masks[:, 3]) - 0.2 * masks.all(axis=1)
    )


def error(interactions: ip.Interactions, exact: ip.Interactions) -> float:
    gaps = [interactions[players] - value for players, value in exact if players]
    return float(np.square(gaps).sum() / np.square([v for s, v in exact if s]).sum())


@pytest.fixture(scope="module")
def game() -> ip.FunctionGame:
    return ip.FunctionGame(far_from_nothing, N, fingerprint="far from nothing")


@pytest.fixture(scope="module")
def explanation(game: ip.FunctionGame) -> ip.Explanation:
    return ip.explain(game, budget=150, measure="shapley", random_state=1, progress=False)


def test_the_indices_are_those_of_the_game(
    game: ip.FunctionGame, explanation: ip.Explanation
) -> None:
    masks = every_mask(N)
    exact = ip.decode(masks, far_from_nothing(masks), decoder="exact", order=N)
    uniform = ip.explain(game, budget=150, measure="uniform", random_state=1, progress=False)
    for index in ("SV", "SII", "FSII", "STII", "k-SII"):
        wanted = exact.to(index, order=2)  # type: ignore[arg-type]
        estimate = explanation.interactions(index, order=2)  # type: ignore[arg-type]
        assert error(estimate, wanted) < 0.01, index
        with pytest.warns(ip.ExtrapolationWarning, match=f"{index} is extrapolated"):
            uniform.interactions(index, order=2)  # type: ignore[arg-type]


def test_efficient_indices_add_up(explanation: ip.Explanation) -> None:
    assert explanation.baseline == far_from_nothing(np.zeros((1, N), dtype=bool))[0]
    assert explanation.full == far_from_nothing(np.ones((1, N), dtype=bool))[0]
    for index in ("SV", "k-SII", "STII", "FSII"):
        for order in (1, 2, 3, N - 1, N, N + 3, None):
            interactions = explanation.interactions(index, order=order)  # type: ignore[arg-type]
            gap = efficiency_gap(interactions, explanation.full, explanation.baseline)
            assert gap == pytest.approx(0, abs=1e-9), (index, order)


def test_the_masks(explanation: ip.Explanation) -> None:
    assert explanation.measure == "shapley"
    assert explanation.provenance["request"]["measure"] == "shapley"
    assert explanation.provenance["design"]["kind"] == "flat"
    assert explanation.provenance["budget"]["spent"] == 150
    sizes = np.bincount(explanation.fit.masks.sum(axis=1), minlength=N + 1)
    assert sizes[0] == sizes[N] == 0  # both ends stand beside the masks of the fit
    held = explanation.held_out.masks.sum(axis=1)
    assert held.min() >= 1
    assert held.max() <= N - 1


def test_it_is_saved_and_verified(
    game: ip.FunctionGame, explanation: ip.Explanation, tmp_path: Path
) -> None:
    loaded = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert loaded.measure == "shapley"
    wanted = explanation.interactions("SV")
    np.testing.assert_array_equal(loaded.interactions("SV").values, wanted.values)
    assert explanation.to_html(tmp_path / "a.html").exists()
    assert explanation.to_json(tmp_path / "a.json").exists()
    store = tmp_path / "a.db"
    again = ip.explain(
        game, budget=150, measure="shapley", random_state=1, store=store, progress=False
    )
    np.testing.assert_array_equal(again.spectrum.coefficients, loaded.spectrum.coefficients)
    assert ip.verify(loaded, game, store=store).matches
    claimed = replace(loaded, spectrum=loaded.spectrum * 1.01)
    assert not ip.verify(claimed, game, store=store).matches


def test_several_outputs_and_a_stopping_rule() -> None:
    def two(masks: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [far_from_nothing(masks), masks[:, 1] * 1.0 - masks[:, 2] * masks[:, 5]]
        )

    game = ip.FunctionGame(two, N)
    found = ip.explain(game, measure="shapley", budget=300, until=0.999, progress=False)
    masks = every_mask(N)
    exact = ip.decode(masks, two(masks), decoder="exact", order=N).to("SV")
    estimate = found.interactions("SV")
    np.testing.assert_allclose(estimate.values, exact.values, atol=0.03)
    gap = efficiency_gap(estimate, found.full, found.baseline)
    np.testing.assert_allclose(gap, 0, atol=1e-9)
    assert found.provenance["until"]["steps"]


def test_what_cannot_be(game: ip.FunctionGame) -> None:
    with pytest.raises(ValueError, match=r"measure='shaply' is unknown.*did you mean 'shapley'"):
        ip.explain(game, measure="shaply")
    with pytest.raises(ValueError, match="'spex' has masks of its own, so measure='shapley' does"):
        ip.explain(ip.FunctionGame(far_from_nothing, 20), decoder="spex", measure="shapley")

    def nothing_fails(masks: np.ndarray) -> np.ndarray:
        if not masks.any(axis=1).all():
            raise RuntimeError("no value at the empty input")
        return far_from_nothing(masks)

    for measure in ("shapley", "uniform"):  # an end that fails is not one of the 1 %
        without = ip.explain(
            ip.FunctionGame(nothing_fails, N), measure=measure, budget=60, on_error="skip"
        )
        assert without.ends is without.baseline is None
        assert without.provenance["budget"]["spent"] == 58
        (skipped,) = (w for w in without.verdict.warnings if w.code == "skipped")
        assert "SV, k-SII, STII and FSII do not add up" in skipped.message


@pytest.mark.parametrize("decoder", ["gp", "proxyspex", "lasso"])
def test_other_decoders_and_the_whole_table(game: ip.FunctionGame, decoder: str) -> None:
    part = ip.explain(game, decoder=decoder, measure="shapley", budget=120, progress=False)
    gap = efficiency_gap(part.interactions("SV"), part.full, part.baseline)
    assert gap == pytest.approx(0, abs=1e-9)
    whole = ip.explain(game, decoder=decoder, measure="shapley", budget=1 << N, progress=False)
    assert whole.faithfulness.exact
    gap = efficiency_gap(whole.interactions("SV"), whole.full, whole.baseline)
    assert gap == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("measure", "index"),
    [
        ("uniform", "FSII"),
        ("shapley", "FSII"),
        (ip.Keep(0.9), "Co-Moebius"),
        (("uniform", ip.Keep(0.9)), "Co-Moebius"),
        (ip.Keep(0.05, 0.5), "Moebius"),
    ],
)
def test_the_index_that_is_read_looks_where_the_masks_are(
    tmp_path: Path, measure: object, index: str
) -> None:
    game = ip.FunctionGame(lambda masks: masks[:, 0] * 1.0 + (masks[:, 1] & masks[:, 2]), N)
    explanation = ip.explain(game, budget=120, measure=measure, progress=False)  # type: ignore[arg-type]
    assert explanation.index == index
    read = explanation.interactions(order=2)
    assert read.index == index
    assert np.array_equal(read.values, explanation.spectrum.to(index, order=2).values)  # type: ignore[arg-type]
    assert explanation.confirm(2, budget=200, progress=False).index == index
    page = explanation.to_html(tmp_path / "page.html").read_text()
    assert f'"index":"{index}"' in page
