"""The score by the share of players that masks keep."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay import Faithfulness, Keep
from interplay.designs.measures import SHAPLEY, UNIFORM, AnyMeasure, get_measure
from interplay.explanation.faithfulness import faithfulness
from tests.conftest import planted

N = 40


def scored(
    measure: AnyMeasure, n_masks: int, seed: int, trouble: tuple[float, float] | None = None
) -> Faithfulness:
    """A score with errors of one size, and of four times that in a range of shares kept."""
    rng = np.random.default_rng(seed)
    spectrum = planted(N, 20, rng)
    masks = get_measure(measure).design(n_masks, N, rng).masks
    values = spectrum.predict(masks)
    errors = 0.2 * values.std() * rng.normal(size=len(masks))
    if trouble is not None:
        share = masks.mean(axis=1)
        errors[(share >= trouble[0]) & (share <= trouble[1])] *= 4.0
    return faithfulness(
        masks, values + errors, spectrum.predict(masks), rng, measure=str(get_measure(measure))
    )


@pytest.mark.parametrize("n_players", [10, 20, 40])
def test_uniform_masks_are_in_one_band(n_players: int) -> None:
    rng = np.random.default_rng(0)
    masks = UNIFORM.design(100, n_players, rng).masks
    score = faithfulness(masks, masks @ np.ones(n_players), masks[:, 0] * 1.0, rng)
    assert score.bands == ()
    assert not score.uneven
    assert "bands" not in score.to_json()
    assert "measure" not in score.to_json()
    assert "measure" not in str(score)


@pytest.mark.parametrize(
    "measure", [SHAPLEY, Keep(0.5, 0.97), get_measure(("uniform", Keep(0.95)))], ids=str
)
def test_bands_add_up_to_the_score(measure: ip.Measure) -> None:
    score = scored(measure, 200, 0)
    assert len(score.bands) > 1
    shares = np.array([band.n_masks for band in score.bands]) / score.n_masks
    assert shares.sum() == pytest.approx(1.0)
    assert min(band.n_masks for band in score.bands) >= 10
    assert shares @ [band.error for band in score.bands] == pytest.approx(1 - score.r2)
    assert score.bands[-1].high == 1.0
    assert score.bands[0].low == 0.0
    assert not score.uneven
    assert str(score).endswith(f"held-out masks {measure.description}")
    written = json.dumps(score.to_json(), allow_nan=False)
    assert asdict(Faithfulness.from_json(json.loads(written))) == asdict(score)


def test_few_masks_are_joined_towards_the_middle() -> None:
    assert scored(SHAPLEY, 15, 0).bands == ()
    spans = [(band.low, band.high) for band in scored(SHAPLEY, 70, 0).bands]
    assert spans == [(0.0, 0.25), (0.25, 0.75), (0.75, 1.0)]
    spans = [(band.low, band.high) for band in scored(SHAPLEY, 400, 0).bands]
    assert spans == [(0.0, 0.1), (0.1, 0.25), (0.25, 0.75), (0.75, 0.9), (0.9, 1.0)]
    spans = [(band.low, band.high) for band in scored(Keep(0.9), 400, 0).bands]
    assert spans == [(0.0, 0.9), (0.9, 1.0)]


@pytest.mark.parametrize("trouble", [(0.0, 0.24), (0.3, 0.7), (0.76, 1.0)])
def test_a_band_that_fails_is_told(trouble: tuple[float, float]) -> None:
    told = [scored("shapley", 80, seed, trouble) for seed in range(20)]
    assert sum(score.uneven for score in told) >= 16
    assert "the share of the variance that is missed: " in str(next(s for s in told if s.uneven))
    quiet = [scored("shapley", 80, seed) for seed in range(100)]
    assert sum(score.uneven for score in quiet) <= 2


def failing(masks: np.ndarray) -> np.ndarray:
    """A parity of five players that only counts where few are removed."""
    near = masks.mean(axis=1) > 0.85
    parity = 1.0 - 2.0 * (masks[:, :7].sum(axis=1) % 2)
    return masks @ np.linspace(0.1, 1.0, N) / 6 + 2.5 * near * parity


@pytest.fixture(scope="module")
def explanation(tmp_path_factory: pytest.TempPathFactory) -> ip.Explanation:
    game = ip.FunctionGame(failing, N, fingerprint="failing near the intact input")
    return ip.explain(
        game, measure=Keep(0.5, 0.97), decoder="lasso", budget=500, holdout=0.2, progress=False
    )


def test_the_bands_of_a_run_are_shown_recorded_and_audited(
    explanation: ip.Explanation, tmp_path: Path
) -> None:
    score = explanation.faithfulness
    assert score.uneven
    assert score.measure == "keep:0.5-0.97"
    assert explanation.measure == Keep(0.5, 0.97)
    assert explanation.provenance["design"]["kind"] == "strata of keep:0.5-0.97"
    loaded = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert loaded.faithfulness == score
    assert loaded.measure == explanation.measure
    worst = f"{max(band.error for band in score.bands):.2f} where"
    for path in (loaded.to_html(tmp_path / "a.html"), loaded.to_markdown(tmp_path / "a.md")):
        text = path.read_text(encoding="utf-8")
        assert worst in text
        assert "keep:0.5-0.97" in text
    document = json.loads(loaded.to_json(tmp_path / "a.json").read_text(encoding="utf-8"))
    assert document["explanations"][0]["faithfulness"]["bands"][0]["error"] == score.bands[0].error
    game = explanation.game
    assert ip.verify(loaded, game)["faithfulness"].status == "match"
    for claim in (
        replace(score, uneven=False),
        replace(score, bands=()),
        replace(score, measure="uniform"),
        replace(score, bands=(replace(score.bands[0], error=0.01), *score.bands[1:])),
    ):
        claimed = replace(loaded, faithfulness=claim)
        assert ip.verify(claimed, game)["faithfulness"].status == "mismatch"


def test_bands_of_a_file_are_data(explanation: ip.Explanation, tmp_path: Path) -> None:
    score = explanation.faithfulness
    for claim, message in (
        (replace(score, bands=(score.bands[0],)), "faithfulness.bands has 1 bands"),
        (replace(score, bands=score.bands[::-1]), "ascending shares of players"),
        (replace(score, bands=(*score.bands, score.bands[-1])), "held_out masks|masks in all"),
        (replace(score, measure="<b>"), "faithfulness.measure is '<b>'; measure='<b>' is unknown"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(explanation, faithfulness=claim).save(tmp_path / "b.interplay")
    for name, entry in (("design", {"kind": "strata of all"}), ("request", {"measure": "keep:7"})):
        provenance = explanation.provenance | {name: explanation.provenance[name] | entry}
        with pytest.raises(ValueError, match=f"provenance.{name}"):
            replace(explanation, provenance=provenance).save(tmp_path / "b.interplay")
