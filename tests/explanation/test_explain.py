from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

import interplay as ip
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.explanation.run_plan import default_budget
from interplay.fourier.masks import keys
from tests.conftest import planted

TRUTH = planted(30, 8, np.random.default_rng(0), max_order=2)


class Recorder:
    """A planted function that records the masks it evaluates."""

    def __init__(self, truth: ip.Spectrum = TRUTH) -> None:
        self.truth = truth
        self.keys: list[bytes] = []

    def __call__(self, masks: BoolArray) -> FloatArray:
        self.keys += keys(masks)
        return self.truth.predict(masks)


@pytest.mark.parametrize("decoder", ["gp", "proxyspex", "lasso"])
def test_explains_within_the_budget(decoder: str) -> None:
    recorder = Recorder()
    game = ip.FunctionGame(recorder, 30)
    explanation = ip.explain(
        game, decoder=decoder, measure="uniform", budget=500, order=2, holdout=0.2
    )
    assert len(recorder.keys) == len(set(recorder.keys)) == 500
    assert (len(explanation.fit), len(explanation.held_out)) == (398, 100)
    assert not set(keys(explanation.fit.masks)) & set(keys(explanation.held_out.masks))
    np.testing.assert_allclose(
        TRUTH.predict(explanation.held_out.masks), explanation.held_out.values, atol=1e-12
    )
    score = explanation.faithfulness
    assert score.r2 > 0.97
    assert score.low <= score.r2 <= score.high
    assert score.n_masks == 100
    top = explanation.interactions("Fourier").top(8)
    assert set(top.sets) == set(TRUTH.sets) - {()}
    provenance = explanation.provenance
    assert provenance["budget"] == {
        "limit": 500,
        "planned": 500,
        "skipped": 0,
        "interrupted": False,
        "left_out": 0,
        "spent": 500,
        "fit": 398,
        "held_out": 100,
        "evaluated": 500,
        "from_store": 0,
    }
    assert provenance["decoder"]["ran"] == decoder
    assert provenance["versions"]["interplay"] == ip.__version__


def test_spex_explains_within_the_budget() -> None:
    recorder = Recorder(planted(40, 25, np.random.default_rng(1), max_order=5))
    explanation = ip.explain(ip.FunctionGame(recorder, 40), decoder="spex", budget=4000)
    assert len(recorder.keys) == len(set(recorder.keys)) == 4000
    assert explanation.faithfulness.r2 > 1 - 1e-9
    interactions = explanation.interactions("Fourier").top(25)
    assert set(interactions.sets) == set(recorder.truth.sets) - {()}
    ran = explanation.provenance["decoder"]
    assert ran["ran"] == "spex"
    assert ran["settings"]["decoding"] == "soft"
    assert ran["settings"]["coded_masks"] + ran["settings"]["further_masks"] == 3598
    assert ran["diagnosis"]["explained"] > 1 - 1e-9
    assert "terms after" in ran["diagnosis"]["summary"]


def test_spex_decodes_hard_if_requested() -> None:
    game = ip.FunctionGame(TRUTH.predict, 30)
    explanation = ip.explain(game, decoder="spex", budget=2000, decoding="hard")
    assert explanation.provenance["decoder"]["settings"]["decoding"] == "hard"
    assert explanation.faithfulness.r2 > 1 - 1e-9


def test_spex_says_when_a_function_is_not_sparse_enough() -> None:
    dense = planted(40, 400, np.random.default_rng(1), max_order=5)
    explanation = ip.explain(ip.FunctionGame(dense.predict, 40), decoder="spex", budget=2000)
    diagnosis = explanation.provenance["decoder"]["diagnosis"]
    assert diagnosis["explained"] < 0.9
    assert explanation.faithfulness.r2 < 0.9


@pytest.mark.parametrize("n_players", range(2, 11))
def test_spex_takes_the_table_where_that_is_cheaper(n_players: int) -> None:
    table = np.random.default_rng(0).normal(size=1 << n_players)
    game = ip.FunctionGame(lambda masks: table[masks @ (1 << np.arange(n_players))], n_players)
    explanation = ip.explain(game, decoder="spex", budget=1100, order=5)
    assert explanation.provenance["decoder"]["requested"] == "spex"
    assert explanation.provenance["decoder"]["ran"] == "exact"
    assert len(explanation.fit) == 1 << n_players


def test_spex_several_outputs() -> None:
    truth = planted(30, 20, np.random.default_rng(1))
    game = ip.FunctionGame(lambda m: np.stack([truth.predict(m), 1e-3 * m[:, 4]], axis=1), 30)
    explanation = ip.explain(game, decoder="spex", budget=3000)
    assert min(explanation.faithfulness.by_output) > 1 - 1e-6
    assert explanation.spectrum.output(1)[(4,)] == pytest.approx(-5e-4)


def test_a_second_run_evaluates_nothing_and_a_larger_budget_only_the_difference(
    tmp_path: Path,
) -> None:
    store = tmp_path / "a.db"
    first, second, third = Recorder(), Recorder(), Recorder()
    one, two, three = (
        ip.explain(ip.FunctionGame(f, 30, fingerprint="f"), budget=budget, store=store)
        for f, budget in ((first, 200), (second, 200), (third, 300))
    )
    assert len(first.keys) == 200
    assert second.keys == []
    assert two.provenance["budget"]["from_store"] == 200
    assert one.spectrum.coefficients.tobytes() == two.spectrum.coefficients.tobytes()
    assert one.faithfulness == two.faithfulness
    assert len(third.keys) == 100
    assert three.provenance["budget"]["evaluated"] == 100


@pytest.mark.slow
def test_the_seed_decides() -> None:
    same, again, other = (
        ip.explain(ip.FunctionGame(Recorder(), 30), budget=150, random_state=seed)
        for seed in (0, 0, 1)
    )
    masks = [run.provenance["design"]["masks_sha256"] for run in (same, again, other)]
    assert masks[0] == masks[1] != masks[2]


def test_games_without_a_fingerprint_are_never_stored(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    for slope in (1.0, 2.0):
        game = ip.FunctionGame(lambda masks, slope=slope: slope * masks[:, 0], 30)
        with pytest.warns(UserWarning, match="has no fingerprint, so its values are kept for this"):
            explanation = ip.explain(game, budget=100, store=store)
        assert explanation.spectrum[(0,)] == pytest.approx(-slope / 2, rel=0.01)
    assert not store.exists()


@pytest.mark.parametrize("n_players", [1, 2, 5])
def test_small_games_are_transformed_exactly(n_players: int) -> None:
    table = np.random.default_rng(0).normal(size=1 << n_players)
    game = ip.FunctionGame(lambda masks: table[masks @ (1 << np.arange(n_players))], n_players)
    explanation = ip.explain(game, order=n_players)
    assert explanation.provenance["decoder"]["requested"] == "auto"
    assert explanation.provenance["decoder"]["ran"] == "exact"
    assert explanation.provenance["budget"]["spent"] == 1 << n_players
    assert explanation.faithfulness.exact
    assert explanation.faithfulness.r2 == pytest.approx(1.0)
    assert "on all" in str(explanation.faithfulness)
    shapley = explanation.interactions("SV")
    assert np.sum(shapley.values) == pytest.approx(table[-1] - table[0])


def test_of_all_masks_the_order_is_only_what_is_listed() -> None:
    game = ip.FunctionGame(lambda masks: (masks.sum(axis=1) % 2) + masks[:, 0], 4)
    explanation, whole = ip.explain(game, order=1), ip.explain(game)
    assert explanation.spectrum.orders.max() == 4
    assert explanation.faithfulness.r2 == pytest.approx(1.0)
    assert explanation.interactions().orders.max() == 1
    shapley = explanation.interactions("SV")
    np.testing.assert_allclose(shapley.values, whole.interactions("SV").values, atol=1e-12)
    assert whole.faithfulness.r2 == pytest.approx(1.0)
    assert ip.explain(game, decoder="lasso").faithfulness.r2 == pytest.approx(1.0)


def test_orders_beyond_five() -> None:
    """Six players that count only together, often enough seen together for trees to find them."""
    game = ip.FunctionGame(lambda masks: 1.0 * masks[:, :6].all(axis=1), 13)
    explanation = ip.explain(game, decoder="proxyspex", budget=5000, order=6)
    assert explanation.spectrum.orders.max() == 6
    assert explanation.faithfulness.r2 > 0.99


def test_a_score_that_never_varied_is_not_called_faithful() -> None:
    game = ip.FunctionGame(lambda masks: 1.0 * masks[:, :20].all(axis=1), 30)
    score = ip.explain(game, budget=200, measure="uniform").faithfulness
    assert not score.varies
    assert "not known: the score is the same on all 20 masks" in str(score)


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    explanation = ip.explain(
        ip.FunctionGame(TRUTH.predict, np.int64(30)),  # type: ignore[arg-type]
        budget=np.int64(200),  # type: ignore[arg-type]
        order=np.int64(2),  # type: ignore[arg-type]
        random_state=np.int64(3),  # type: ignore[arg-type]
        holdout=20.0,
    )
    explanation.to_html(tmp_path / "a.html")
    assert ip.load(explanation.save(tmp_path / "a.interplay")).provenance["random_state"] == 3
    assert explanation.measure == "shapley"
    assert len(explanation.held_out) == 98  # in turn


@pytest.mark.parametrize("decoder", ["auto", "proxyspex", "spex", "lasso"])
@pytest.mark.parametrize("holdout", [0.1, 0.3, 15])
def test_the_budget_that_an_error_names_is_the_smallest_that_works(
    decoder: str, holdout: float
) -> None:
    game = ip.FunctionGame(TRUTH.predict, 30)
    with pytest.raises(ValueError, match="use a budget of at least") as caught:
        ip.explain(game, decoder=decoder, budget=1, holdout=holdout)
    needed = int(str(caught.value).split("at least ")[1].split(",")[0])
    assert ip.explain(game, decoder=decoder, budget=needed, holdout=holdout, order=1)
    with pytest.raises(ValueError, match=f"at least {needed}"):
        ip.explain(game, decoder=decoder, budget=needed - 1, holdout=holdout)


def test_spex_has_a_budget_of_its_own_by_default() -> None:
    explanation = ip.explain(ip.FunctionGame(TRUTH.predict, 30), decoder="spex")
    assert explanation.provenance["budget"]["fit"] >= 672


@pytest.mark.parametrize("n_players", [4, 40])
def test_a_constant_game(n_players: int, tmp_path: Path) -> None:
    explanation = ip.explain(ip.FunctionGame(lambda masks: np.full(len(masks), 3.0), n_players))
    assert explanation.spectrum.sets == [()]
    assert np.isnan(explanation.faithfulness.r2)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert np.isnan([again.faithfulness.r2, *again.faithfulness.by_output]).all()
    assert (
        json.loads(explanation.to_json(tmp_path / "a.json").read_text())["explanations"][0][
            "faithfulness"
        ]["r2"]
        is None
    )
    assert explanation.verdict.level == "unknown"
    assert explanation.verdict.codes == ("constant",)
    assert len(explanation.interactions("FSII", order=2).top(5)) == 0
    page = explanation.to_html(tmp_path / "a.html").read_text()
    assert "The score does not vary." in page


def test_duplicate_names_stay_two_players() -> None:
    names = ["the", "cat", "the", "dog"]
    game = ip.FunctionGame(lambda masks: 1.0 * masks[:, 0] + 5.0 * masks[:, 2], 4, players=names)
    shapley = ip.explain(game).interactions("SV")
    assert shapley[(0,)] == pytest.approx(1.0)
    assert shapley[(2,)] == pytest.approx(5.0)
    assert shapley.to_frame()["label"].tolist().count("the") == 2


@pytest.mark.slow
def test_several_outputs_from_one_pass(tmp_path: Path) -> None:
    recorder = Recorder()

    def f(masks: BoolArray) -> FloatArray:
        one = recorder(masks)
        return np.stack([one, -one, masks[:, 3]], axis=1)

    explanation = ip.explain(ip.FunctionGame(f, 30), budget=300)
    assert len(recorder.keys) == 300
    assert explanation.spectrum.n_outputs == 3
    assert len(explanation.faithfulness.by_output) == 3
    assert explanation.interactions("SV").output(2)[(3,)] == pytest.approx(1.0, rel=0.01)
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    np.testing.assert_array_equal(again.spectrum.coefficients, explanation.spectrum.coefficients)
    page = explanation.to_html(tmp_path / "a.html").read_text()
    assert all(f"<td><bdi>{output}</bdi></td>" in page for output in explanation.outputs)


def test_an_error_keeps_what_was_evaluated() -> None:
    calls = 0

    def f(masks: BoolArray) -> FloatArray:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise ConnectionError("the model went away")
        return TRUTH.predict(masks)

    with pytest.raises(
        ip.GameError, match=r"17. of 400 masks are evaluated; the error carries"
    ) as caught:
        ip.explain(ip.FunctionGame(f, 30), budget=400)
    assert caught.value.masks is not None
    spectrum = ip.decode(caught.value.masks, caught.value.values, order=2)
    assert len(spectrum) > 1


def test_save_and_load(tmp_path: Path) -> None:
    explanation = ip.explain(ip.FunctionGame(Recorder(), 30), budget=200)
    path = explanation.save(tmp_path / "deep" / "a.interplay")
    again = ip.load(path)
    assert again.players == explanation.players
    assert again.faithfulness == explanation.faithfulness
    assert again.provenance == json.loads(json.dumps(explanation.provenance))
    for name in ("masks", "values"):
        for part in ("fit", "held_out"):
            np.testing.assert_array_equal(
                getattr(getattr(again, part), name), getattr(getattr(explanation, part), name)
            )
    assert again.spectrum.sets == explanation.spectrum.sets
    assert not list(tmp_path.glob("**/*.part"))


def test_load_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    junk = tmp_path / "junk.interplay"
    junk.write_bytes(b"junk")
    with pytest.raises(ValueError, match="is not a saved explanation"):
        ip.load(junk)
    with pytest.raises(FileNotFoundError):
        ip.load(tmp_path / "none.interplay")
    other = tmp_path / "other.interplay"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("explanation.json", '{"format": 99}')
    with pytest.raises(ValueError, match="has format 99, but this version"):
        ip.load(other)


def test_bad_requests(tmp_path: Path) -> None:
    game = ip.FunctionGame(Recorder(), 30)
    with pytest.raises(
        ValueError, match="decoder='magic' is unknown; choose one of auto, gp, proxyspex"
    ):
        ip.explain(game, decoder="magic")
    with pytest.raises(
        ValueError,
        match=r"budget=25 leaves 13 ablations for the fit beside 10 held out and the full and the "
        r"empty input, below the 20 that decoder='auto' needs for n=30 players; use a budget of at "
        r"least 32",
    ):
        ip.explain(game, budget=25)
    with pytest.raises(
        ValueError,
        match=r"budget=300 leaves 268 .* below the 672 that decoder='spex' needs for n=30 players; "
        r'use a budget of at least 749, or decoder="proxyspex"',
    ):
        ip.explain(game, decoder="spex", budget=300)
    with pytest.raises(ValueError, match=r"order=11 is not 1 to 10, .*decoder='spex'"):
        ip.explain(game, decoder="spex", budget=3000, order=11)
    with pytest.raises(ValueError, match="decoder='lasso' has no option 'decoding'; it has none"):
        ip.explain(game, decoder="lasso", decoding="hard")
    with pytest.raises(ValueError, match="decoding='firm' is unknown; choose one of soft, hard"):
        ip.explain(game, decoder="spex", budget=1000, decoding="firm")
    with pytest.raises(ValueError, match="budget=0 leaves 0 ablations"):
        ip.explain(game, budget=0)
    with pytest.raises(
        ValueError, match="use a budget of at least 32, or 2\\^n = 64 for all masks"
    ):
        ip.explain(ip.FunctionGame(Recorder(), 6), budget=10)
    for holdout in (1.5, 3, 0, -0.1):
        with pytest.raises(ValueError, match=f"holdout={holdout} is neither a share between 0"):
            ip.explain(game, holdout=holdout)
    with pytest.raises(ValueError, match=r"budget=99\.5 is not a whole number"):
        ip.explain(game, budget=99.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend='moon' is unknown; choose one of local"):
        ip.explain(game, backend="moon")
    with pytest.raises(ValueError, match="index='SHAP' is unknown; choose one of"):
        ip.explain(game, budget=100).interactions("SHAP")
    (tmp_path / "not.db").write_text("x" * 2000)
    named = ip.FunctionGame(Recorder(), 30, fingerprint="f")
    with pytest.raises(ip.StoreError, match="file is not a database"):
        ip.explain(named, store=tmp_path / "not.db")


def test_bad_requests_cost_nothing() -> None:
    """What can be refused is refused before the game is evaluated."""
    recorder = Recorder()
    game = ip.FunctionGame(recorder, 30)
    for bad in (
        {"decoder": "lasso", "order": 3},
        {"order": 0},
        {"budget": 12},
        {"order": 2.5},
        {"decoder": "spex", "decoding": "firm"},
    ):
        with pytest.raises(ValueError, match=r"order|budget|decoding"):
            ip.explain(game, **bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beyond its limit"):
        ip.explain(ip.FunctionGame(recorder, 700), decoder="lasso", order=2, budget=1000)
    with pytest.raises(ValueError, match=r"describe\(\) of .* is not JSON"):
        ip.explain(_Undescribed())
    assert recorder.keys == []


class _Undescribed(ip.FunctionGame):
    batch_size = 10

    def __init__(self) -> None:
        super().__init__(TRUTH.predict, 30)

    def arrange(self, masks: BoolArray, /) -> IntArray:
        return np.arange(len(masks))

    def cost(self, masks: BoolArray, /) -> FloatArray:
        return np.ones(len(masks))

    def describe(self) -> dict[str, object]:
        return {"array": np.ones(3)}


def test_a_table_too_large_for_the_budget_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="budget=1000 leaves"):
        ip.explain(ip.FunctionGame(Recorder(), 40), decoder="exact", budget=1000)


@pytest.mark.slow
def test_held_out_masks_that_all_failed_are_replaced() -> None:
    game = ip.FunctionGame(Recorder(), 30)
    held = ip.explain(game, decoder="lasso", budget=1500, holdout=10).held_out.masks

    def f(masks: BoolArray) -> FloatArray:
        bad = (masks[:, None] == held[None]).all(axis=2).any(axis=1)
        return np.where(bad, np.nan, TRUTH.predict(masks))

    explanation = ip.explain(
        ip.FunctionGame(f, 30),
        decoder="proxyspex",
        budget=1500,
        holdout=10,
        on_error="skip",
        progress=False,
    )
    assert explanation.provenance["budget"]["skipped"] == 10
    assert explanation.faithfulness.n_masks >= 10
    assert explanation.faithfulness.r2 > 0.9
    # ten failed, and two are the ends
    assert len(explanation.fit) + len(explanation.held_out) == 1488


@pytest.mark.slow
def test_default_budget() -> None:
    assert default_budget(64) == 4 * 64 * 6
    assert default_budget(2) == 100
    assert [default_budget(n) for n in (6, 7, 8, 9)] == [100, 128, 256, 115]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = ip.explain(ip.FunctionGame(Recorder(), 30))
    assert explanation.provenance["budget"]["spent"] == default_budget(30)


@pytest.mark.slow
def test_a_surrogate_predicts_what_the_spectrum_leaves_out(tmp_path: Path) -> None:
    """Every player and pair matters a little: more terms than the 200 that people read."""
    rng = np.random.default_rng(0)
    pairs = {(i, j): float(rng.normal()) for i in range(30) for j in range(i + 1, 30)}
    truth = ip.Spectrum.from_dict(30, {(i,): 3 * float(rng.normal()) for i in range(30)} | pairs)
    game = ip.FunctionGame(truth.predict, 30)
    explanation = ip.explain(game, decoder="gp", measure="uniform", budget=600)
    surrogate = explanation.surrogate
    assert surrogate is not None
    assert len(surrogate) > len(explanation.spectrum) == 201
    held = explanation.held_out
    np.testing.assert_array_equal(explanation.predict(held.masks), surrogate.predict(held.masks))
    assert explanation.predict(held.masks[0]).shape == ()
    assert explanation.surrogate_r2 is not None
    assert explanation.surrogate_r2 > explanation.faithfulness.r2 + 0.01
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert again.surrogate is not None
    assert again.surrogate.sets == surrogate.sets
    assert again.surrogate.coefficients.tobytes() == surrogate.coefficients.tobytes()
    assert again.surrogate_r2 == explanation.surrogate_r2
    np.testing.assert_array_equal(again.predict(held.masks), explanation.predict(held.masks))
    # the uncertainty is saved too, in single precision
    assert again.spectrum.deviations is not None
    assert explanation.spectrum.deviations is not None
    np.testing.assert_allclose(
        again.spectrum.deviations, explanation.spectrum.deviations, rtol=1e-6, atol=1e-9
    )
    assert again.interactions("FSII", order=2).low is not None


def test_without_a_surrogate_the_spectrum_predicts(tmp_path: Path) -> None:
    explanation = ip.explain(ip.FunctionGame(Recorder(), 30), decoder="lasso", budget=200)
    assert explanation.surrogate is None
    assert explanation.surrogate_r2 is None
    masks = explanation.held_out.masks
    np.testing.assert_array_equal(explanation.predict(masks), explanation.spectrum.predict(masks))
    again = ip.load(explanation.save(tmp_path / "a.interplay"))
    assert again.surrogate is None
    assert again.spectrum.deviations is None
