"""Games of training data: checks, scores, groups, and what is found in planted data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

import interplay as ip
from interplay import training
from interplay.explanation.faithfulness import lds
from interplay.training import Ridge, TrainingData, TrainingGame


def small(**changes: Any) -> TrainingData:
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "features": rng.normal(size=(12, 3)),
        "labels": ["a", "b", "c"] * 4,
        "test_features": rng.normal(size=(4, 3)),
        "test_labels": ["a", "b", "c", "a"],
        "groups": [0, 1, 2, 3, 4, 5] * 2,
    } | changes
    return TrainingData.checked(**given)


def test_data_that_do_not_match_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"group ids of shape \(3,\) do not match 12 training"):
        small(groups=[0, 1, 2])
    features = rng.normal(size=(12, 3))
    features[[4, 7], 1] = np.nan
    with pytest.raises(ValueError, match="not finite in 2 rows, the first of them row 4"):
        small(features=features)
    with pytest.raises(ValueError, match="test_features has numbers that are not finite"):
        small(test_features=np.full((4, 3), np.inf))
    with pytest.raises(ValueError, match="all labels are 'a'; a classifier needs two classes"):
        small(labels=["a"] * 12)
    with pytest.raises(ValueError, match="test point 1 is of class 'd', which no training row"):
        small(test_labels=["a", "d", "c", "a"])
    with pytest.raises(ValueError, match="do not match"):
        small(labels=["a", "b"])
    with pytest.raises(ValueError, match="must be of one shape"):
        small(test_features=rng.normal(size=(4, 2)))
    with pytest.raises(ValueError, match=r"groups\[2\] is nan; give each row one"):
        small(groups=[0, 1, np.nan] * 4)
    with pytest.raises(ValueError, match=r"groups\[1\] is None"):
        small(groups=["a", None, "b"] * 4)
    with pytest.raises(ValueError, match=r"labels\[1\] is ''"):
        small(labels=["a", "", "b"] * 4)
    with pytest.raises(ValueError, match=r"test_labels\[0\] is None"):
        small(test_labels=[None, "a", "b", "c"])


def test_scores_of_logits() -> None:
    logits = np.array([[[1.0, 3.0, 2.0], [0.0, -1.0, 5.0]]])
    labels = np.array([1, 0])
    from interplay.training.scores import ScoreFunction, check_score, scored

    np.testing.assert_allclose(scored("margin", logits, labels), [[1.0, -5.0]])
    np.testing.assert_allclose(scored("correct", logits, labels), [[1.0, 0.0]])
    logprob = [[3 - np.log(np.exp([1, 3, 2]).sum()), -np.log(np.exp([0, -1, 5]).sum())]]
    np.testing.assert_allclose(scored("logprob", logits, labels), logprob)
    np.testing.assert_allclose(scored("loss", logits, labels), -np.array(logprob))
    first = ScoreFunction(lambda values, at: values[:, :, 0], "first")
    np.testing.assert_allclose(scored(first, logits, labels), [[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"it must return \(1, 2\)"):
        scored(ScoreFunction(lambda values, at: values), logits, labels)
    with pytest.raises(ValueError, match="score='accuracy' is unknown; choose one of margin"):
        check_score("accuracy")  # type: ignore[arg-type]


def test_a_game_is_its_trainer_on_what_is_kept() -> None:
    data = small()
    game = TrainingGame(Ridge(penalty=0.5), data)
    masks = np.random.default_rng(1).random((5, 6)) < 0.6
    masks[0] = False
    values = game(masks)
    assert values.shape == (5, 4)
    np.testing.assert_array_equal(values[0], 0)  # trained on nothing, it knows no class
    from sklearn.linear_model import Ridge as SklearnRidge

    for mask, value in zip(masks[1:], values[1:], strict=True):
        rows = mask[data.owners]
        own = SklearnRidge(alpha=0.5).fit(data.features[rows], np.eye(3)[data.labels[rows]])
        logits = own.predict(data.test_features)
        right = logits[np.arange(4), data.test_labels]
        logits[np.arange(4), data.test_labels] = -np.inf
        np.testing.assert_allclose(value, right - logits.max(axis=1), atol=1e-8)
    one = small(test_features=data.test_features[:1], test_labels=["a"])
    assert TrainingGame(Ridge(), one)(masks).shape == (5,)


def test_the_fingerprint_knows_data_players_trainer_and_score() -> None:
    data = small()
    games = [
        TrainingGame(Ridge(), data),
        TrainingGame(Ridge(penalty=2.0), data),
        TrainingGame(Ridge(), data, "loss"),
        TrainingGame(Ridge(), small(groups=[5, 4, 3, 2, 1, 0] * 2)),
        TrainingGame(Ridge(), small(features=data.features + 1e-9)),
        TrainingGame(Ridge(), small(labels=["c", "b", "a"] * 4)),
        TrainingGame(Ridge(), data, training.ScoreFunction(lambda values, at: values[..., 0], "x")),
    ]
    prints = [game.fingerprint for game in games]
    assert None not in prints
    assert len(set(prints)) == len(prints)
    assert TrainingGame(Ridge(), small()).fingerprint == prints[0]
    nameless = training.ScoreFunction(lambda values, at: values[..., 0])
    assert TrainingGame(Ridge(), data, nameless).fingerprint is None
    json.dumps([game.describe() for game in games], allow_nan=False)


def test_groups_within_classes() -> None:
    labels = np.array(["a"] * 10 + ["b"] * 30)
    ids = training.within_classes(labels, 8)
    assert set(ids[:10].tolist()) == {"a #0", "a #1"}
    assert set(ids[10:].tolist()) == {f"b #{n}" for n in range(6)}
    sizes = np.unique(ids, return_counts=True)[1]
    assert sizes.max() - sizes.min() <= 1
    many = np.unique(training.within_classes(["a"] * 30, 12))
    assert many[[0, 1, -1]].tolist() == ["a #00", "a #01", "a #11"]  # in the order of their numbers
    np.testing.assert_array_equal(ids, training.within_classes(labels, 8))
    assert (ids != training.within_classes(labels, 8, random_state=1)).any()
    with pytest.raises(ValueError, match="n_groups=1 is not between the 2 classes and the 40 rows"):
        training.within_classes(labels, 1)


def test_clusters_and_near_duplicates() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6)) * 20
    rows = np.repeat(centres, 5, axis=0) + rng.normal(size=(20, 6)) * 0.01
    for ids in (training.clusters(rows, 4), training.near_duplicates(rows, 1.0)):
        assert len(set(ids.tolist())) == 4
        assert (ids.reshape(4, 5) == ids.reshape(4, 5)[:, :1]).all()
    twice = np.vstack([centres, centres[:1]])
    assert training.near_duplicates(twice, 0.0).tolist() == [0, 1, 2, 3, 0]
    with pytest.raises(ValueError, match="radius=-1 is negative"):
        training.near_duplicates(rows, -1)
    with pytest.raises(ValueError, match="n_groups=21 is not between 1 and the 20 rows"):
        training.clusters(rows, 21)


def test_lds_is_spearmans_correlation() -> None:
    rng = np.random.default_rng(0)
    spectrum = ip.Spectrum.from_terms(6, [(0,), (1, 2)], rng.normal(size=(2, 3)))
    masks = rng.random((40, 6)) < 0.5
    values = rng.normal(size=(40, 3)) + spectrum.predict(masks)
    truth = [spearmanr(values[:, k], spectrum.predict(masks)[:, k]).statistic for k in range(3)]
    np.testing.assert_allclose(lds(spectrum, masks, values), truth)
    assert np.isnan(lds(spectrum, masks, np.ones((40, 3)))).all()


# --- what is found in planted data ----------------------------------------------------------------


@pytest.mark.slow
def test_near_duplicates_are_found_as_redundant() -> None:
    """A copy, a little noisier, of the images that matter to a test point: either will do."""
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(labels))[:400]
    threes = rows[labels[rows] == 3]
    rest = rows[labels[rows] != 3]
    original = images[threes[:15]]
    copy = np.clip(original + rng.normal(size=original.shape) * 0.02, 0, 1)
    features = np.vstack([original, copy, images[rest]])
    targets = np.concatenate([np.full(30, 3), labels[rest]])
    groups = np.concatenate(
        [["#original"] * 15, ["#copy"] * 15, training.within_classes(labels[rest], 28)]
    )
    test = np.setdiff1d(np.flatnonzero(labels == 3), rows)[:6]
    data = TrainingData.checked(features, targets, images[test], labels[test], groups)
    game = TrainingGame(Ridge(penalty=1.0), data)
    explanation = ip.explain(game, budget=600)
    assert explanation.faithfulness.r2 > 0.9
    found = training.relations(explanation)
    assert found.redundancies_same[0].label == "#copy × #original"
    assert abs(found.redundancies_same[0].value) > 2 * abs(found.redundancies_same[1].value)
    assert found.redundancies_same[0].rms >= abs(found.redundancies_same[0].value)


def test_a_pair_that_only_together_teaches_a_class_is_found_as_synergistic() -> None:
    """Exclusive or: each of two groups of a class has one of its corners."""
    rng = np.random.default_rng(0)

    def around(corner: tuple[int, int], count: int) -> Any:
        return np.array(corner) + rng.normal(size=(count, 2)) * 0.2

    def seen(points: Any) -> Any:  # with the product the corners are linearly separable
        return np.hstack([points, points[:, :1] * points[:, 1:]])

    corners = [(1, 1), (-1, -1), (1, -1), (-1, 1)]
    kinds = ["same", "same", "other", "other"]
    features = np.vstack([around(corner, 20) for corner in corners for _ in range(2)])
    labels = np.repeat(np.repeat(kinds, 2), 20)
    groups = np.repeat(np.arange(8), 20)
    test = np.vstack([around(corner, 5) for corner in corners])
    data = TrainingData.checked(seen(features), labels, seen(test), np.repeat(kinds, 5), groups)
    game = TrainingGame(Ridge(penalty=20.0), data)
    explanation = ip.explain(game, budget=256, order=8)
    assert explanation.faithfulness.exact
    strongest = training.relations(explanation)
    best = strongest.synergies_mixed[0]
    # a corner of one class with one of the other: only together they show the border
    classes = {"same" if player < 4 else "other" for player in best.players}
    assert classes == {"same", "other"}
    assert best.value > 0


@pytest.mark.slow
def test_removal_does_what_was_predicted(tmp_path: Path) -> None:
    """Groups with wrong labels hurt; by the spectrum they go first, and the score rises."""
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    rows, test = order[:600], order[600:608]
    groups = training.within_classes(labels[rows], 40)
    targets = labels[rows].copy()
    wrong = {0, 11, 22, 33}
    for group in wrong:
        own = groups == np.unique(groups)[group]
        targets[own] = (targets[own] + 1 + group) % 10
    data = TrainingData.checked(images[rows] / 16, targets, images[test] / 16, labels[test], groups)
    game = TrainingGame(Ridge(), data)
    explanation = ip.explain(game, budget=600, store=tmp_path / "a.db")
    spectra = {"all": explanation.spectrum, "first order": explanation.spectrum.truncate(order=1)}
    curves = training.removal_curves(
        game, [0, 4], spectra, n_random=30, time_limit=1, store=tmp_path / "a.db"
    )
    by = {curve.method: curve for curve in curves}
    whole = float(game(np.ones((1, 40), dtype=bool)).mean())
    for name in spectra:
        assert len(wrong & set(np.flatnonzero(~by[name].masks[1]).tolist())) >= 2
        assert by[name].actual[0] == pytest.approx(whole)
        assert by[name].actual[1] > by["random"].high[1]
    off = {name: abs(by[name].actual[1] - by[name].predicted[1]) for name in spectra}
    assert off["all"] < 0.05 < off["first order"]  # without interactions it promises too much
    needed = training.removal_curves(game, [4], spectra, hurting=False, n_random=0, time_limit=1)
    assert needed[0].actual[0] < by["random"].low[1]
    with pytest.raises(ValueError, match="40 of 40 players cannot be removed"):
        training.removal_curves(game, [40], spectra)


def test_relations_are_of_training_data() -> None:
    plain = ip.explain(ip.FunctionGame(lambda masks: masks[:, 0], 3))
    with pytest.raises(ValueError, match="this explains a game, which has no training data"):
        training.relations(plain)
    explanation = ip.explain(TrainingGame(Ridge(), small()))
    one = training.relations(explanation, point=1)
    assert one.point == "1 (b)"
    assert "test point 1 (b)" in str(one)
    with pytest.raises(ValueError, match="output=4 is not one of the 4"):
        training.relations(explanation, point=4)
    with pytest.raises(ValueError, match="min_order=3 is not between 2 and order=2"):
        training.relations(explanation, min_order=3)
    single = small(test_features=np.ones((1, 3)), test_labels=["c"])
    alone = ip.explain(TrainingGame(Ridge(), single, test_names=["the one"]))
    assert training.relations(alone, point=0).point == "the one"


def test_relations_by_size_and_over_test_points() -> None:
    """What cancels in the mean shows in the root mean square; pairs and larger sets apart."""
    data = small()

    class Planted(TrainingGame):
        def __call__(self, masks: Any, /, *seeds: Any) -> Any:
            kept = masks.astype(float)
            pair = kept[:, 0] * kept[:, 3]  # of one class
            three = kept[:, 1] * kept[:, 2] * kept[:, 4]  # of two
            return np.stack([pair + three, 0.5 * pair - three, pair, pair], axis=1)

    explanation = ip.explain(Planted(Ridge(), data))
    whole = training.relations(explanation, order=3)
    assert [each.players for each in whole.synergies_same] == [(0, 3)]
    assert whole.synergies_same[0].value == pytest.approx(3.5 / 4)
    assert str(whole.synergies_same[0]) == "0 × 3 +0.875 (rms 0.901)"
    triples = training.relations(explanation, point=1, order=3, min_order=3)
    assert [each.players for each in triples.redundancies_mixed] == [(1, 2, 4)]
    assert triples.redundancies_mixed[0].value == pytest.approx(-1)
    assert not triples.synergies_same
    assert not triples.synergies_mixed


def test_three_copies_are_redundant_whatever_the_sign_of_their_interaction() -> None:
    """Of an OR the pairs are negative and the triple is positive; of an AND only it is there."""
    data = small()

    class Planted(TrainingGame):
        tags: tuple[str, ...] | None = None

        def __call__(self, masks: Any, /, *seeds: Any) -> Any:
            one, two, three = masks[:, :3].T.astype(float)
            return np.stack([1 - (1 - one) * (1 - two) * (1 - three), one * two * three], axis=1)

        def describe(self) -> Any:
            tags = {} if self.tags is None else {"tags": self.tags}
            return super().describe() | tags

    game = Planted(Ridge(), data)
    for tags in (None, ("copy",) * game.n_players):
        game.tags = tags
        explanation = ip.explain(game, progress=False)
        either, both = (
            training.relations(explanation, point=point, order=3, min_order=3) for point in (0, 1)
        )
        redundant = (*either.redundancies_same, *either.redundancies_mixed)
        assert [relation.players for relation in redundant] == [(0, 1, 2)]
        assert redundant[0].value == pytest.approx(1)
        together = (*both.synergies_same, *both.synergies_mixed)
        assert [relation.players for relation in together] == [(0, 1, 2)]
        assert not (*either.synergies_same, *either.synergies_mixed)


def test_a_loss_is_better_low() -> None:
    by = {
        score: training.relations(ip.explain(TrainingGame(Ridge(), small(), score)), top=3)
        for score in ("loss", "logprob")
    }
    for one, other in zip(by["loss"].kinds, by["logprob"].kinds, strict=True):
        assert one[0] == other[0]
        assert [each.players for each in one[1]] == [each.players for each in other[1]]
        for here, there in zip(one[1], other[1], strict=True):
            assert here.value == pytest.approx(-there.value)


def test_what_reports_need_is_described(tmp_path: Path) -> None:
    game = TrainingGame(
        Ridge(), small(), snippets=["first", None, "", "x", "y", "z"], thumbnails=[None] * 6
    )
    ip.explain(game).save(tmp_path / "a.interplay")
    loaded = ip.load(tmp_path / "a.interplay")
    description = loaded.provenance["game"]["description"]
    assert loaded.players == ("0", "1", "2", "3", "4", "5")
    assert description["classes"] == ["a", "b", "c"]
    assert description["rows_by_class"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]] * 2
    assert description["test_points"] == ["0 (a)", "1 (b)", "2 (c)", "3 (a)"]
    assert description["snippets"] == ["first", None, "", "x", "y", "z"]
    assert description["thumbnails"] == [None] * 6
    assert "snippets" not in TrainingGame(Ridge(), small()).describe()
    assert game.fingerprint == TrainingGame(Ridge(), small()).fingerprint
    with pytest.raises(ValueError, match="2 snippets were given for 6 players; give one per"):
        TrainingGame(Ridge(), small(), snippets=["a", "b"])


def test_a_training_that_diverges_is_no_value() -> None:
    """It stops the run, saying on what, or is left out; it is never a number."""
    pytest.importorskip("torch")
    features = small().features
    features[0] = 1e30  # squares beyond float32
    data = small(features=features, groups=np.arange(12))
    network = training.Network(hidden=(4,), steps=30, batch=6)
    with pytest.raises(ip.GameError, match="nan"):
        ip.explain(TrainingGame(network, data), budget=100, on_error="raise")
    values = TrainingGame(network, data)(np.eye(12, dtype=bool)[:2])
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1]).all()


@pytest.mark.slow
def test_repeats_measure_the_noise() -> None:
    """A part of a network's scores is random; the mean over more seeds has less of it."""
    pytest.importorskip("torch")
    images, labels = load_digits(n_class=3, return_X_y=True)
    data = TrainingData.checked(
        images[:60] / 16,
        labels[:60],
        images[60:63] / 16,
        labels[60:63],
        training.within_classes(labels[:60], 9),
    )
    network = training.Network(hidden=(8,), steps=20, batch=16)
    few, many = (
        ip.explain(TrainingGame(network, data, n_repeats=n), budget=100).faithfulness
        for n in (2, 6)
    )
    assert few.noise is not None
    assert many.noise is not None
    assert 0 < many.noise < few.noise
    assert "is the most to be expected" in str(few)
    assert ip.explain(TrainingGame(network, data), budget=100).faithfulness.noise is None


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        ([1, "1", 2, 2], "groups has 1 and '1', which would become one"),
        (["a", "a\0", "b", "b"], "which would become one"),
        ([2**60, 2**60 + 1, 0.5, 0.5], "which would become one"),
        (np.array([1, "1", 2, 2], dtype=object), "groups cannot be compared with each other"),
    ],
)
def test_ids_that_would_become_one_are_refused(ids: Any, told: str) -> None:
    features, labels = np.arange(8.0).reshape(4, 2), ["a", "b", "a", "b"]
    with pytest.raises(ValueError, match=told):
        TrainingData.checked(features, labels, features[:1], ["a"], ids)
    with pytest.raises(ValueError, match=told.replace("groups", "labels")):
        training.within_classes(ids, 3)
    with pytest.raises(ValueError, match=told.replace("groups", "labels")):
        TrainingData.checked(features, ids, features[:1], ["a"])


def test_ids_of_one_kind_are_kept_apart() -> None:
    features, labels = np.arange(8.0).reshape(4, 2), ["a", "b", "a", "b"]
    for ids in ([1, 1.0, True, 2], ["1", "01", "1", "2"], [1.5, 2, 2, 1.5]):
        data = TrainingData.checked(features, labels, features[:1], ["a"], ids)
        assert data.n_players == len(set(ids))


def test_complex_scores_are_refused() -> None:
    score = training.ScoreFunction(lambda logits, labels: 1j * logits[:, :, 0], "spin")
    game = TrainingGame(Ridge(), small(), score)
    with pytest.raises(ip.GameError, match=r"the scores of spin are complex .*; give real ones"):
        ip.explain(game, budget=40, progress=False)
