"""inseq: explanations as its output, which it shows, saves and aggregates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import interplay as ip
from interplay.text import Response

inseq = pytest.importorskip("inseq")
data = pytest.importorskip("inseq.data")
bridge = ip.toolkits.inseq


@pytest.fixture(scope="module")
def estimated() -> ip.Explanation:
    """A function of 8 players with three outputs; 256 masks are all."""
    weights = np.random.default_rng(0).normal(size=(8, 3))

    def values(masks: Any) -> Any:
        return masks @ weights + (masks[:, 0] & masks[:, 1])[:, None] * [1.0, 0.0, -2.0]

    names = ["the", "cat", "sat", "on", "the", "mat", "a", "b"]
    game = ip.FunctionGame(values, 8, players=names)
    return ip.explain(game, budget=60, decoder="gp", order=2)


def test_values_ends_and_intervals(estimated: ip.Explanation) -> None:
    output = estimated.to_inseq()
    (sequence,) = output.sequence_attributions
    values = estimated.interactions("SV")
    scores = sequence.source_attributions.numpy()
    assert scores.shape == (8, 3)
    for player in range(8):
        np.testing.assert_allclose(scores[player], values[(player,)], rtol=1e-6)
    assert [token.token for token in sequence.source] == list(estimated.players)
    assert [token.token for token in sequence.target] == ["0", "1", "2"]
    steps = {name: scores.numpy() for name, scores in sequence.step_scores.items()}
    assert list(steps) == ["full", "baseline", "R2"]
    np.testing.assert_allclose(scores.sum(axis=0), steps["full"] - steps["baseline"], atol=1e-5)
    np.testing.assert_allclose(steps["R2"], estimated.faithfulness.by_output, rtol=1e-6)
    low, high = (sequence.sequence_scores[name].numpy() for name in ("low", "high"))
    assert values.low is not None
    row = values.sets.index((3,))
    np.testing.assert_allclose(low[3], values.low[row], rtol=1e-6)
    assert (low <= scores).all()
    assert (scores <= high).all()
    assert output.info["estimated"]
    assert output.info["n_ablations"] == 60
    assert output.info["faithfulness"]["r2"] == estimated.faithfulness.r2


def test_what_inseq_makes_of_it(estimated: ip.Explanation, tmp_path: Path) -> None:
    output = estimated.to_inseq()
    with np.printoptions(legacy="1.25"):  # inseq writes numbers of numpy 2 into colours
        page = output.show(display=False, return_html=True)
    colours = re.findall(r'style="background:([^"]*)"', page)
    assert len(colours) == 24
    assert all(re.fullmatch(r"rgba\((\d+\.\d+, ){3}[\d.e-]+\)", colour) for colour in colours)
    assert page.count(">the<") == 2
    path = tmp_path / "output.json"
    output.save(path)
    loaded = data.FeatureAttributionOutput.load(path)
    assert (loaded[0].source_attributions == output[0].source_attributions).all()
    assert (loaded[0].sequence_scores["low"] == output[0].sequence_scores["low"]).all()
    assert loaded.info["faithfulness"]["r2"] == output.info["faithfulness"]["r2"]
    merged = output[0].aggregate("spans", "sum", source_spans=[(0, 2)])
    first = output[0].source_attributions[:2].sum(dim=0)
    np.testing.assert_allclose(merged.source_attributions[0], first, rtol=1e-6)
    assert len(merged.source) == 7
    (scores,) = output.get_scores_dicts()
    assert scores["step_scores"][(0, "0")]["R2"] == pytest.approx(
        estimated.faithfulness.by_output[0], rel=1e-6
    )


def test_tokens_of_a_response(smollm: tuple[Any, Any]) -> None:
    target = Response(" Warsaw, Poland", reduction="token")
    text = "Marie was born in Warsaw"
    game = ip.text.TextGame(*smollm, text, target, by="word", prompt="{text}. Marie came from")
    explanation = ip.explain(game)
    output = explanation.to_inseq("BV")
    (sequence,) = output.sequence_attributions
    assert [token.token for token in sequence.target] == [" Warsaw", ",", " Poland"]
    full = explanation.full
    assert full is not None
    np.testing.assert_allclose(sequence.step_scores["probability"], np.exp(full), rtol=1e-6)
    assert not output.info["estimated"]
    assert output.info["generated_texts"] == [" Warsaw, Poland"]
    # no intervals: the values are exact
    assert not sequence.sequence_scores
    banzhaf = explanation.interactions("BV")
    np.testing.assert_allclose(sequence.source_attributions[4], banzhaf[(4,)], rtol=1e-5)


def test_a_single_output() -> None:
    explanation = ip.explain(
        ip.FunctionGame(lambda masks: masks[:, 0] * 2.0, 2, players=["a", "b"])
    )
    (sequence,) = explanation.to_inseq().sequence_attributions
    assert sequence.source_attributions.tolist() == [[2.0], [0.0]]
    assert [token.token for token in sequence.target] == ["value"]
    with pytest.raises(ValueError, match=r"index='k-SII' is unknown; choose one of SV, BV"):
        explanation.to_inseq("k-SII")


@pytest.fixture(scope="module")
def registered(smollm: tuple[Any, Any]) -> Any:
    return inseq.load_model(smollm[0], "interplay", tokenizer=smollm[1])


def test_the_method_is_registered(registered: Any) -> None:
    passes = []
    hook = registered.model.register_forward_pre_hook(lambda *_: passes.append(1))
    prompt, whole = "The capital of France is", "The capital of France is Paris."
    try:
        output = registered.attribute(prompt, whole, show_progress=False)
    finally:
        hook.remove()
    assert len(passes) < 32  # 32 ablations, each with both tokens; many share a pass
    (sequence,) = output.sequence_attributions
    (explanation,) = registered.attribution_method.interplay
    assert len(explanation.ablations) == 32
    assert explanation.faithfulness.exact
    assert explanation.interactions("SII", order=3).order == 3
    scores = sequence.target_attributions.numpy()
    assert scores.shape == (7, 2)
    assert np.isnan(scores[5:]).all()
    ends = [sequence.step_scores[name].numpy() for name in ("full", "baseline")]
    np.testing.assert_allclose(scores[:5].sum(axis=0), ends[0] - ends[1], atol=1e-6)

    expected = registered.attribute(
        prompt, whole, method="dummy", step_scores=["probability"], show_progress=False
    )
    assert sequence.source == expected[0].target[:5]
    assert sequence.target == expected[0].target
    assert (sequence.attr_pos_start, sequence.attr_pos_end) == (5, 7)
    of_inseq = expected[0].step_scores["probability"]
    np.testing.assert_allclose(sequence.step_scores["probability"], of_inseq, atol=1e-5)

    encoded = registered.encode([whole], return_baseline=True)
    ids = encoded.input_ids.clone()
    ids[0, [1, 3]] = encoded.baseline_ids[0, [1, 3]]
    with torch.no_grad():
        by_hand = registered.model(ids).logits[0].softmax(dim=-1)[[4, 5], ids[0, 5:]]
    predicted = explanation.predict([True, False, True, False, True])
    np.testing.assert_allclose(predicted, by_hand, atol=1e-5)


def test_the_method_takes_a_budget_and_settings(smollm: tuple[Any, Any]) -> None:
    model = inseq.load_model(
        smollm[0], "interplay", tokenizer=smollm[1], decoder="lasso", order=2, random_state=3
    )
    prompts = ["A cat", "Two and two are four, and three and three are"]
    wholes = [f"{prompts[0]} is an", f"{prompts[1]} six"]
    output = model.attribute(prompts, wholes, n_samples=60, show_progress=False)
    small, large = model.attribution_method.interplay
    assert (len(small.ablations), len(large.ablations)) == (4, 60)
    assert large.provenance["request"]["decoder"] == "lasso"
    assert large.provenance["random_state"] == 3
    assert large.measure == "shapley"
    assert output.info["input_texts"] == prompts
    assert output[1].target_attributions.shape == (12, 1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"attributed_fn": "logit"}, "attributes each token's probability"),
        ({"step_scores": ["entropy"]}, r"step_scores=\['entropy'\]"),
        ({"attr_pos_start": 6}, "attr_pos_start=6"),
    ],
)
def test_what_the_method_refuses(registered: Any, asked: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        registered.attribute("A", "A b c", show_progress=False, **asked)
