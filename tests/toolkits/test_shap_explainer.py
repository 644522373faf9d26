"""``ip.toolkits.shap.Explainer``: exact where SHAP is, with every masker, and its plots draw it."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from interplay._types import FloatArray

shap = pytest.importorskip("shap", minversion="0.50")

from interplay.errors import GameError  # noqa: E402
from interplay.explanation.explanation import Explanation  # noqa: E402
from interplay.toolkits._shap_game import clusters_of, flips, region  # noqa: E402
from interplay.toolkits.shap import Explainer  # noqa: E402

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(6, 6))
BACKGROUND = RNG.integers(0, 3, (12, 6)).astype(float)  # many entries are those of a row
ROWS = RNG.integers(0, 3, (3, 6)).astype(float)


def single(rows: FloatArray) -> FloatArray:
    return np.asarray(np.tanh(rows @ WEIGHTS).sum(axis=1) + rows[:, 0] * rows[:, 1] * rows[:, 2])


def several(rows: FloatArray) -> FloatArray:
    return np.stack([single(rows), rows.prod(axis=1), single(rows) ** 2], axis=1)


def probability(rows: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-single(rows))))


def explained(model: Any, masker: Any, rows: Any, **how: Any) -> Any:
    settings = {key: how.pop(key) for key in ("link", "linearize_link") if key in how}
    return Explainer(model, masker, **settings)(rows, silent=True, **how)


def test_values_are_those_of_the_exact_explainer() -> None:
    masker = shap.maskers.Independent(BACKGROUND)
    for model in (single, several):
        ours = explained(model, masker, ROWS)
        theirs = shap.ExactExplainer(model, masker)(ROWS, silent=True)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-9, rtol=0)
        np.testing.assert_allclose(ours.base_values, theirs.base_values, atol=1e-12)
        assert ours.feature_names == theirs.feature_names
        assert ours.output_names == theirs.output_names
        np.testing.assert_array_equal(ours.error_std, np.zeros(ours.shape))
        np.testing.assert_array_equal(ours.data, ROWS)
        assert all(isinstance(row, Explanation) for row in ours.interplay)


@pytest.mark.parametrize("linearize", [True, False])
def test_links_are_those_of_shap(linearize: bool) -> None:
    masker, how = shap.maskers.Independent(BACKGROUND), {"linearize_link": linearize}
    ours = explained(probability, masker, ROWS, link=shap.links.logit, **how)
    theirs = shap.ExactExplainer(probability, masker, link=shap.links.logit, **how)(ROWS)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-9, rtol=0)
    np.testing.assert_allclose(ours.base_values, theirs.base_values, atol=1e-9)


@pytest.mark.parametrize("asked", [True, 2])
def test_pairs_are_those_of_the_exact_explainer(asked: bool | int) -> None:
    masker = shap.maskers.Independent(BACKGROUND)
    ours = explained(several, masker, ROWS, interactions=asked)
    theirs = shap.ExactExplainer(several, masker)(ROWS, interactions=True).values
    assert ours.shape == (3, 6, 6, 3)
    # theirs has the pairs of all outputs in one axis
    np.testing.assert_allclose(ours.values, theirs.reshape(ours.shape), atol=1e-9, rtol=0)
    vector = explained(several, masker, ROWS).values
    np.testing.assert_allclose(ours.values.sum(axis=2), vector, atol=1e-9, rtol=0)
    assert ours[0, :, :, 1].base_values == ours.base_values[0, 1]


def test_boosted_trees() -> None:
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor

    features, target = load_diabetes(return_X_y=True, as_frame=True)
    trees = GradientBoostingRegressor(n_estimators=30, random_state=0).fit(features, target)
    background = features.sample(20, random_state=0)
    rows = features.iloc[:2]
    ours = explained(trees.predict, background, rows, max_evals=2**10)
    theirs = shap.ExactExplainer(trees.predict, shap.maskers.Independent(background))(rows)
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-9, rtol=0)
    assert ours.feature_names == list(features.columns)
    assert ours.interplay[0].players == tuple(features.columns)


def test_the_budget_and_the_batches_are_respected() -> None:
    asked: list[FloatArray] = []

    def model(rows: FloatArray) -> FloatArray:
        asked.append(rows.copy())
        return np.asarray(rows[:, 0] * rows[:, 1] + rows[:, 2:].sum(axis=1))

    masker, row = shap.maskers.Independent(np.zeros((1, 14))), np.ones((1, 14))
    ours = Explainer(model, masker, decoder="lasso")(
        row, max_evals=60, batch_size=7, outputs=None, silent=True
    )
    evaluated = np.concatenate(asked)
    assert len(evaluated) == len(np.unique(evaluated, axis=0)) == 60
    assert max(map(len, asked)) == 7
    assert len(ours.interplay[0].ablations) == 60
    assert ours.error_std is None  # lasso has no uncertainty
    with pytest.raises(ValueError, match="budget=12 leaves") as caught:
        Explainer(model, masker)(row, max_evals=12, silent=True)
    assert "max_evals" in caught.value.__notes__[0]


def test_an_estimate_has_bounds_and_a_seed() -> None:
    masker, row = shap.maskers.Independent(np.zeros((1, 12))), np.ones((1, 12))

    def model(rows: FloatArray) -> FloatArray:
        return np.asarray(np.tanh(rows.sum(axis=1)) + rows[:, :3].prod(axis=1))

    first, again = (
        Explainer(model, masker, seed=seed)(row, max_evals=150, silent=True) for seed in (1, 1)
    )
    assert first.values.tobytes() == again.values.tobytes()
    assert (first.error_std > 0).all()
    assert ((first.lower_bounds < first.values) & (first.values < first.upper_bounds)).all()
    total = first.values.sum() + first.base_values[0]
    assert total == pytest.approx(model(row)[0], abs=1e-12)
    assert first.interplay[0].interactions("FSII", order=3).orders.max() == 3


def test_a_row_that_may_not_be_used_is_told() -> None:
    def noise(rows: FloatArray) -> FloatArray:
        return np.array([crc32(row.tobytes()) % 1000 / 1000 for row in rows])

    explainer = Explainer(noise, np.zeros((1, 12)), decoder="lasso")
    with pytest.warns(UserWarning, match="1 of 1 rows may not be used; of row 0: It predicts"):
        result = explainer(np.ones((1, 12)), max_evals=100, silent=True)
    assert result.interplay[0].verdict.level == "not usable"


def test_outputs_are_chosen_and_named() -> None:
    explainer = Explainer(several, BACKGROUND, output_names=["x", "y", "z"])
    best = explainer(ROWS, outputs=shap.Explanation.argsort.flip[:2], silent=True)
    everything = explainer(ROWS, silent=True)
    assert best.shape == (3, 6, 2)
    for row, names in enumerate(best.output_names):
        columns = ["xyz".index(name) for name in names]
        np.testing.assert_array_equal(
            columns, np.argsort(several(ROWS[row : row + 1])[0])[::-1][:2]
        )
        expected = everything.values[row][:, columns]
        np.testing.assert_allclose(best.values[row], expected, atol=1e-12)
        assert best.interplay[row].outputs == tuple(names)
    chosen = explainer(ROWS, outputs=[1], silent=True)
    assert chosen.output_names == ["y"]
    np.testing.assert_allclose(chosen.values[..., 0], everything.values[..., 1], atol=1e-12)

    column = explained(lambda rows: single(rows)[:, None], BACKGROUND, ROWS)
    np.testing.assert_array_equal(column.values, explained(single, BACKGROUND, ROWS).values)


def test_inputs_that_do_not_vary_are_no_players() -> None:
    background = np.repeat(ROWS[:1], 3, axis=0)
    rows = np.stack([ROWS[0], ROWS[0] + [0, 1, 0, 2, 0, 0]])
    ours = explained(single, background, rows, interactions=2)
    assert ours.interplay[0] is None
    assert not ours.values[0].any()
    assert ours.interplay[1].players == ("Feature 1", "Feature 3")
    assert not ours.values[1][[0, 2, 4, 5]].any()
    change = single(rows)[1] - single(rows)[0]
    assert ours.values[1].sum() == pytest.approx(change, abs=1e-12)


def test_a_clustering_does_not_constrain_values_but_makes_groups() -> None:
    frame = pd.DataFrame(RNG.normal(size=(40, 5)), columns=list("abcde"))
    frame["e"] = frame["a"] + 0.1 * frame["e"]

    def model(rows: Any) -> FloatArray:
        return np.asarray(rows["a"] * rows["b"] + rows["e"])

    masker = shap.maskers.Partition(frame)
    ours = explained(model, masker, frame[:2])
    theirs = explained(model, shap.maskers.Independent(frame), frame[:2])
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-12)
    assert ours.clustering.shape == (2, 4, 4)
    grouped = Explainer(model, masker, groups=4)(frame[:2], silent=True)
    assert grouped.interplay[0].players == ("a + e", "b", "c", "d")
    np.testing.assert_array_equal(grouped.values[:, 0], grouped.values[:, 4])
    with pytest.raises(ValueError, match="cannot be shared among the inputs"):
        Explainer(model, masker, groups=4)(frame[:2], interactions=2, silent=True)
    with pytest.raises(ValueError, match=r"Independent has none; take shap\.maskers\.Partition"):
        Explainer(model, shap.maskers.Independent(frame), groups=4)(frame[:2], silent=True)


def test_images_are_explained_by_regions() -> None:
    image = RNG.uniform(size=(8, 12, 3))

    def model(images: FloatArray) -> FloatArray:
        corner, rest = images[:, :4, :6].mean((1, 2, 3)), images[:, 4:].mean((1, 2, 3))
        return np.stack([corner * rest, rest], axis=1)

    masker = shap.maskers.Image(np.zeros(image.shape))
    explainer = Explainer(model, masker, groups=4)
    ours = explainer(image[None], silent=True)
    assert ours.shape == (1, 8, 12, 3, 2)
    assert ours.interplay[0].players == ("[0:4, 0:6]", "[0:4, 6:12]", "[4:8, 0:6]", "[4:8, 6:12]")
    np.testing.assert_allclose(ours.values.sum((0, 1, 2, 3)), model(image[None])[0], atol=1e-12)
    top = ours.interplay[0].interactions("FSII", order=2)
    assert top[(0, 2)][0] > 0.1
    assert abs(top[(0, 1)]).max() < 1e-12
    assert np.ptp(ours.values[0, :4, :6, :, 0]) == 0.0
    default = Explainer(model, masker, decoder="lasso")(image[None], max_evals=70, silent=True)
    assert len(default.interplay[0].players) == 64


def test_calls_that_are_not_possible_say_why() -> None:
    with pytest.raises(ValueError, match=r"interactions=3 is not 1, 2, .* has larger ones"):
        explained(single, BACKGROUND, ROWS, interactions=3)
    with pytest.raises(ValueError, match=r"fixed_context=1 .* leave it out"):
        explained(single, BACKGROUND, ROWS, fixed_context=1)
    with pytest.raises(ValueError, match="groups=0"):
        Explainer(single, BACKGROUND, groups=0)

    def broken(rows: FloatArray) -> FloatArray:
        return single(rows) if len(rows) == 24 else rows[:, 0] * np.nan  # the ends are fine

    with pytest.raises(GameError, match="nan"):
        explained(broken, BACKGROUND, ROWS[:1])


def test_masks_are_coded_as_shap_does() -> None:
    masks = RNG.permutation(RNG.random((40, 7)) < 0.5)
    keep = np.r_[True, (masks[1:] != masks[:-1]).any(axis=1)]
    masks = masks[keep]
    decoded = np.zeros((len(masks), 7), dtype=bool)
    shap.utils._masked_model._convert_delta_mask_to_full(flips(masks), decoded)
    np.testing.assert_array_equal(decoded, masks)
    assert flips(np.zeros((1, 7), dtype=bool)) == shap.utils.MaskedModel.delta_mask_noop_value


def test_clusters_are_cut_from_the_top() -> None:
    clustering = shap.maskers.Image(np.zeros((4, 4, 1))).clustering
    clusters = clusters_of(clustering, 4)
    names = [region(cluster, (4, 4, 1)) for cluster in clusters]
    assert names == ["[0:2, 0:2]", "[0:2, 2:4]", "[2:4, 0:2]", "[2:4, 2:4]"]
    assert len(clusters_of(clustering, 99)) == 16
    assert sorted(np.concatenate(clusters_of(clustering, 7)).tolist()) == list(range(16))


class Unclustered(shap.maskers.Text):  # type: ignore[misc]
    """SHAP's exact explainer takes no clustering that depends on the text."""

    clustering = None


def count(texts: Any) -> FloatArray:
    found = [[word in str(text) for word in ("is", "not", "good")] for text in texts]
    return np.array(
        [1.0 * being + good - 2.0 * (negated and good) for being, negated, good in found]
    )


def test_texts() -> None:
    texts = ["it is not good", "good"]
    ours = explained(count, shap.maskers.Text(), texts)
    theirs = shap.ExactExplainer(count, Unclustered())(texts, silent=True)
    for row in range(2):
        np.testing.assert_allclose(ours.values[row], theirs.values[row], atol=1e-12)
        assert list(ours.data[row]) == list(theirs.data[row])
        assert ours.error_std[row].shape == ours.lower_bounds[row].shape == ours.values[row].shape
    explanation = ours.interplay[0]
    assert explanation.players == ("it", "is", "not", "good")
    assert "".join(explanation.to_shap().data) == "it is not good"
    assert explanation.interactions("FSII", order=2).top(1, min_order=2).sets == [(2, 3)]
    assert "<mark" in (page := explanation._repr_html_()) or "good" in page


def brute_force(model: Any, masker: Any, text: str) -> FloatArray:
    """Shapley values of a masked model, from all its masks one by one."""
    masked = shap.utils.MaskedModel(model, masker, shap.links.identity, True, text)
    n = len(masked)
    masks = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 > 0
    values: FloatArray = np.array([masked(mask[None])[0] for mask in masks])
    result = np.zeros((n, *values.shape[1:]))
    for player in range(n):
        others = [i for i in range(n) if i != player]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for chosen in combinations(others, size):
                row = sum(1 << i for i in chosen)
                result[player] += weight * (values[row | 1 << player] - values[row])
    return result


def test_a_pipeline(smollm: tuple[Any, Any]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification, pipeline

    torch.manual_seed(0)
    labels = {0: "bad", 1: "fair", 2: "good"}
    tokenizer = smollm[1]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        id2label=labels,
        label2id={name: number for number, name in labels.items()},
        pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
    )
    classifier = LlamaForSequenceClassification(config).eval()
    pipe = pipeline("text-classification", model=classifier, tokenizer=tokenizer, top_k=None)
    explainer = Explainer(pipe, seed=7)
    assert explainer.seed == 7
    texts = ["The film is not bad", "I liked it"]
    ours = explainer(texts, silent=True)
    assert ours.output_names == ["bad", "fair", "good"]
    wrapped = shap.models.TransformersPipeline(pipe)
    for row, text in enumerate(texts):
        expected = brute_force(wrapped, shap.maskers.Text(tokenizer), text)
        np.testing.assert_allclose(ours.values[row], expected, atol=1e-9, rtol=0)
    assert ours.interplay[0].outputs == ("bad", "fair", "good")
    assert ours[0, :, "good"].shape == (5,)


@pytest.mark.slow
def test_a_language_model_and_what_it_generates(smollm: tuple[Any, Any]) -> None:
    model, tokenizer = smollm
    explainer = Explainer(model, tokenizer)
    texts, answers = ["The capital of France is", "Rome is"], ["Paris.", " so"]
    explainer.masker.model = shap.models.TextGeneration(target_sentences=answers)
    ours = explainer(texts, batch_size=1, silent=True)  # in batches float32 rounds otherwise
    assert [row.shape for row in ours.values] == [(5, 2), (2, 1)]
    assert [list(names) for names in ours.output_names] == [["Paris", "."], ["so"]]
    explainer.masker.model = shap.models.TextGeneration(target_sentences=answers[:1])
    expected = brute_force(explainer.model, explainer.masker, texts[0])
    np.testing.assert_allclose(ours.values[0], expected, atol=1e-9, rtol=0)
    ours = ours[0]
    strongest = np.argsort(-ours.values[:, 0])[:2]
    assert {ours.data[token].strip() for token in strongest} == {"capital", "France"}


@pytest.fixture(scope="module")
def drawn() -> Any:
    rows = pd.DataFrame(ROWS, columns=list("abcdef"))
    return explained(several, BACKGROUND, rows, outputs=[0])[..., 0]


@pytest.mark.parametrize("plot", ["bar", "beeswarm", "waterfall", "force", "heatmap"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_plots_draw(plot: str, drawn: Any) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    one_row = plot in ("waterfall", "force")
    how = {"matplotlib": True} if plot == "force" else {}
    getattr(shap.plots, plot)(drawn[0] if one_row else drawn, show=False, **how)
    figure = plt.gcf()
    figure.canvas.draw()
    texts = [text.get_text() for axes in figure.axes for text in axes.findobj(mpl.text.Text)]
    assert any(text.endswith("a") or text.startswith("a =") for text in texts), texts
    plt.close("all")


def test_the_plot_of_a_text_draws() -> None:
    ours = explained(count, shap.maskers.Text(), ["it is not good", "so good"])
    page = shap.plots.text(ours, display=False)
    assert all(f">{word}" in page for word in ("it", "not", "good"))
    page = shap.plots.text(ours.interplay[0].to_shap(), display=False)
    assert ">not " in page
