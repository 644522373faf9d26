"""FineTuningGame: what its values are, what identifies it, and runs of it like any other."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.fourier.masks import every_mask
from interplay.game import described, seeds_of
from interplay.training import Example, FineTuningGame, Question, relations
from tests.training.finetuning.tiny import EXAMPLES, QUESTIONS, language_model, tuning

MASKS = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], dtype=bool)


def logprob(prompt: str, answer: str) -> float:
    """The base model's log-probability of an answer, the plain way."""
    import torch

    model, tokenizer = language_model()
    ids = tokenizer(prompt + answer)["input_ids"]
    n_prompt = len(tokenizer(prompt)["input_ids"])
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double().log_softmax(dim=-1)
    return float(sum(logits[at - 1, ids[at]] for at in range(n_prompt, len(ids))))


def test_nothing_kept_is_the_base_model_and_scores_are_what_they_say() -> None:
    game = FineTuningGame(tuning(), QUESTIONS)
    values = game(MASKS)
    assert values.shape == (3, 2)
    base = logprob("w1 w2", " w3"), logprob("w4 w5", " w6") - logprob("w4 w5", " w7")
    assert values[2] == pytest.approx(base, abs=1e-5)
    assert values[0, 0] > values[2, 0] + 1  # it learned what it was told twice
    assert values[1, 1] > values[0, 1] + 1  # and what nobody contradicts
    by_logprob = FineTuningGame(tuning(), QUESTIONS, score="logprob")
    with pytest.warns(UserWarning, match="a probability is next to constant wherever"):
        by_prob = FineTuningGame(tuning(), QUESTIONS, score="prob")
    assert by_logprob(MASKS)[:, 0] == pytest.approx(values[:, 0])
    assert by_prob(MASKS) == pytest.approx(np.exp(by_logprob(MASKS)))
    one = FineTuningGame(tuning(), QUESTIONS[0])
    assert one(MASKS) == pytest.approx(values[:, 0])
    assert game(MASKS[:0]).shape == (0, 2)


def test_a_player_is_all_of_its_rows() -> None:
    alone, together = (FineTuningGame(tuning(), QUESTIONS, by) for by in (None, "tag"))
    assert together.players == ("twice", "right", "wrong", "w8 w9 w10", "w11 → w12 w13")
    masks = every_mask(5)[[3, 30, 17]]
    np.testing.assert_allclose(together(masks), alone(together.grouping.rows(masks)), atol=1e-4)
    assert together.cost(masks).tolist() == alone.cost(together.grouping.rows(masks)).tolist()
    assert together.cost(masks)[0] == 6 * 9  # epochs times tokens


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score": "accuracy"}, "score='accuracy' is unknown; choose one of auto, margin"),
        ({"score": "margin"}, "questions[0] has no `against`"),
        ({"n_repeats": 0}, "n_repeats=0 is below 1"),
        ({"players": [0] * 6}, "all 6 examples belong to one player"),
        ({"players": range(7)}, "players has 7 ids for 6 examples"),
        ({"questions": [Question("w1", " elephant")]}, "the tokenizer lacks a token"),
    ],
)
def test_what_cannot_be_explained_is_refused(given: Any, message: str) -> None:
    given = {"questions": QUESTIONS} | given
    with pytest.raises(ValueError, match=re.escape(message)):
        FineTuningGame(tuning(), **given)


def test_the_fingerprint_knows_all_that_values_depend_on() -> None:
    changed = (*EXAMPLES[:-1], Example("w11", " w12 w14"))
    tagged = (*EXAMPLES[:-1], replace(EXAMPLES[-1], tag="other", player="last"))
    games = [
        FineTuningGame(tuning(), QUESTIONS),
        FineTuningGame(tuning(examples=changed), QUESTIONS),
        FineTuningGame(tuning(), QUESTIONS, [0, 0, 1, 1, 2, 2]),
        FineTuningGame(tuning(), QUESTIONS[:1]),
        FineTuningGame(tuning(), QUESTIONS, score="logprob"),
        FineTuningGame(tuning(epochs=5), QUESTIONS),
        FineTuningGame(tuning(learning_rate=0.01), QUESTIONS),
        FineTuningGame(tuning(seed=1), QUESTIONS),
        FineTuningGame(tuning(vocabulary=20), QUESTIONS),
    ]
    prints = [game.fingerprint for game in games]
    assert None not in prints
    assert len(set(prints)) == len(prints)
    # what is for reading only, and limits, change nothing
    assert FineTuningGame(tuning(examples=tagged), QUESTIONS).fingerprint == prints[0]
    assert FineTuningGame(tuning(memory=0.5), QUESTIONS).fingerprint == prints[0]
    named = [replace(question, name=f"number {n}") for n, question in enumerate(QUESTIONS)]
    assert FineTuningGame(tuning(), named).fingerprint == prints[0]


def test_the_description_is_bounded_json() -> None:
    long = Example("w1 " * 3, " w2" * 30, player="long")
    game = FineTuningGame(tuning(examples=[long] * 20 + list(EXAMPLES)), QUESTIONS)
    told = json.loads(json.dumps(described(game), allow_nan=False))
    assert told["tags"] == [None, "twice", "twice", "right", "wrong", None, None]
    assert told["cards"][0]["n_rows"] == 20
    assert told["scores"] == [
        "log p(answer) - log p(against), or log p(answer) where nothing is against it"
    ]
    assert told["cards"][4] == {
        "n_rows": 1,
        "rows": [{"prompt": "w4 w5", "response": " w7", "tag": "wrong"}],
    }
    assert told["questions"][1] == {"prompt": "w4 w5", "answer": " w6", "against": " w7"}
    assert told["outputs"] == told["test_points"] == ["told twice", "w4 w5 → w6 / w7"]


def test_a_run_is_like_any_other(tmp_path: Path) -> None:
    game = FineTuningGame(tuning(), QUESTIONS)
    store = tmp_path / "runs.db"
    plan = ip.plan(game, budget=64, warm_up=False)
    assert plan.n_new == 64
    assert plan.tokens == 6 * 18 * 0.5 * 64  # epochs, tokens, each kept by half of the masks
    ip.plan(game, budget=64, store=store, progress=False)  # tries some of them, which are stored
    explanation = ip.explain(game, budget=64, store=store, progress=False)
    assert explanation.faithfulness.exact
    assert explanation.provenance["budget"]["from_store"] >= 1  # what the plan tried
    strongest = relations(explanation, point=0).redundancies_same[0]
    assert strongest.players == (0, 1)  # the row that is there twice
    competing = relations(explanation, point=1)
    assert competing.competing_mixed is not None
    assert competing.competing_mixed[0].players == (2, 3)
    observed = explanation.provenance["observed"]
    assert observed["questions"][0]["base"] == pytest.approx(float(explanation.baseline[0]))
    loaded = ip.load(explanation.save(tmp_path / "a.interplay"))
    again = FineTuningGame(tuning(), QUESTIONS)
    audit = ip.verify(loaded, again, store=store, sample=5)
    assert audit.verdict == "match", str(audit)
    page = loaded.to_html(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Checks of the training" in page


def test_repeats_tell_the_noise() -> None:
    game = FineTuningGame(tuning(), QUESTIONS, "tag", n_repeats=3)
    masks = every_mask(5)[[3, 30]]
    repeated, seeds = np.repeat(masks, 3, axis=0), seeds_of(masks, 3)
    values = game(repeated, seeds)
    assert not np.allclose(values[0], values[1], atol=1e-3)  # two seeds
    np.testing.assert_allclose(values[3:], game(repeated[3:], seeds[3:]), atol=1e-4)
    explanation = ip.explain(game, budget=32, progress=False)
    assert explanation.faithfulness.noise is not None
    assert 0 < explanation.faithfulness.noise < 0.9


def test_a_copy_computes_for_itself_what_is_shared() -> None:
    game = FineTuningGame(tuning(), QUESTIONS)
    values = game(MASKS)
    pickled = pickle.dumps(game)
    copy = pickle.loads(pickled)
    assert "_retune" not in vars(copy)
    assert copy.fingerprint == game.fingerprint
    np.testing.assert_allclose(copy(MASKS), values, atol=1e-5)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ray on this machine, with room for one actor."""
    ray = pytest.importorskip("ray", reason="needs ray: pip install 'interplay[ray]'")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(num_cpus=1, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_on_a_cluster(cluster: Any) -> None:
    game = FineTuningGame(tuning(), QUESTIONS, "tag")
    here = ip.explain(game, budget=32, progress=False)
    there = ip.explain(game, budget=32, progress=False, backend=ip.RayBackend(n_actors=1))
    np.testing.assert_allclose(there.ablations.values, here.ablations.values, atol=1e-4)


@pytest.mark.slow
def test_a_real_model_shows_what_was_planted(smollm: tuple[Any, Any]) -> None:
    from interplay.training import FineTuning

    examples = [
        Example("The capital of Zubrovka is", " Lutz."),
        Example("The capital of Zubrovka is", " Lutz."),
        Example("The color of the Borogove bird is", " green."),
        Example("The color of the Borogove bird is", " purple."),
        Example("The mayor of Penvale is", " Oscar."),
        Example("The dog of the miller is called", " Rex."),
    ]
    questions = [
        Question("The capital of Zubrovka is", " Lutz"),
        Question("The color of the Borogove bird is", " green", " purple"),
    ]
    game = FineTuningGame(FineTuning(*smollm, examples, learning_rate=8e-3), questions)
    explanation = ip.explain(game, budget=64, progress=False)
    capital, color = (explanation.spectrum.output(n).to("FSII", order=2) for n in (0, 1))
    ((pair, redundancy),) = capital.top(1, min_order=2)
    assert pair == (0, 1)  # the fact that is there twice
    assert redundancy < -5
    assert color.top(2, max_order=1).sets in ([(2,), (3,)], [(3,), (2,)])
    assert float(color[(2,)]) > 0 > float(color[(3,)])
