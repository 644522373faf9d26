"""Segments of a prompt and units of its model as players of one game, against separate games."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

import interplay as ip
from interplay import components
from interplay._types import BoolArray, FloatArray
from interplay.components.architecture import find_architecture
from interplay.game import PlannedGame, described
from tests.components.test_units import CAUSAL, N_HEADS, SMALL, made, without_columns
from tests.text.tiny import tiny, word_tokenizer

WORDS = word_tokenizer(framed=False)
TEXT = "w1 w2 w9 w4 w7"
SEGMENTS = 5
PROMPT = "w11 {text} w12"
ANSWER = ip.text.Response(" w20 w25")


def smooth(family: str = "llama") -> Any:
    """A small random model in double precision."""
    return tiny(hf.AutoModelForCausalLM, CAUSAL[family](), scale=4.0).double()


def text_game(model: Any, target: Any = ANSWER, **options: Any) -> ip.text.TextGame:
    return ip.text.TextGame(model, WORDS, TEXT, target, by="word", prompt=PROMPT, **options)


def joint(model: Any, units: Any = None, *args: Any, **options: Any) -> components.Joint:
    return components.Joint(text_game(model), units or components.heads(model), *args, **options)


def drawn(game: components.Joint, count: int, seed: int = 0) -> BoolArray:
    masks = np.random.default_rng(seed).random((count, game.n_players)) < 0.6
    masks[0] = True
    masks[1, :SEGMENTS] = masks[2, :SEGMENTS]
    masks[3, SEGMENTS:] = masks[4, SEGMENTS:]
    return masks


def by_edited_weights(game: components.Joint, masks: BoolArray) -> FloatArray:
    """Each mask's value by the text game, with the output weights of removed heads set to zero."""
    model = game.text_game.model
    layers, before = find_architecture(model).layers, deepcopy(model.state_dict())
    values = []
    for mask in masks:
        for unit, kept in zip(components.heads(model), mask[SEGMENTS:], strict=True):
            if not kept:
                width = model.config.hidden_size // N_HEADS
                without_columns(layers[unit.layer].projection, unit.head, width)
        values.append(game.text_game(mask[None, :SEGMENTS])[0])
        model.load_state_dict(before)
    return np.array(values)


def by_component_games(game: components.Joint, ablation: Any, masks: BoolArray) -> FloatArray:
    """Each mask's value by a component game on the prompt that the mask leaves."""
    values = []
    for mask in masks:
        item = components.Item(game.text_game.prompt(mask[:SEGMENTS]), " w20 w25")
        own = components.ComponentGame(
            game.text_game.model, WORDS, components.Task((item,), "logprob"), game._units, ablation
        )
        values.append(own(mask[None, SEGMENTS:])[0])
    return np.array(values)


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "mistral", "mixtral"])
def test_scores_are_those_of_the_prompt_left_by_the_model_left(family: str) -> None:
    model = smooth(family) if family in ("llama", "gpt2") else made(family)
    game = joint(model, components.heads(model, [1]) + components.mlps(model, [0, 2]))
    masks = drawn(game, 24)
    expected = by_component_games(game, "zero", masks)
    np.testing.assert_allclose(game(masks), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(game(masks[:1]), game.text_game(masks[:1, :SEGMENTS]), rtol=1e-4)


@pytest.mark.parametrize(
    "ablation",
    [
        components.Zero(rescale=True),
        components.Mean(("w9 w8 w7", "w6")),
        components.Resample(("w9 w8 w7 w6 w5",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["units", "layers", "groups", "parts"])
def test_every_ablation_and_kind_of_unit(ablation: Any, kind: str) -> None:
    model = smooth()
    heads = components.heads(model)
    units = {
        "units": components.heads(model, [1, 2]) + components.mlps(model, [1]),
        "layers": components.layers(model, [0, 2]),
        "groups": (*components.by_layers(heads), components.Unit(0, "mlp")),
        "parts": components.neurons(model, [1], blocks=3) + components.kv_groups(model, [2]),
    }[kind]
    game = joint(model, units, ablation)
    masks = drawn(game, 16)
    expected = by_component_games(game, ablation, masks)
    np.testing.assert_allclose(game(masks), expected, rtol=1e-6, atol=1e-8)


def test_without_texts_the_whole_prompt_is_the_reference() -> None:
    model = smooth()
    text, heads = text_game(model, ip.text.Response(" w20")), components.heads(model)
    for kind in (components.Mean, components.Resample):
        mine = components.Joint(text, heads, kind())
        told = components.Joint(text, heads, kind(("w11 " + TEXT + " w12",)))
        masks = drawn(mine, 8)
        np.testing.assert_allclose(mine(masks), told(masks), rtol=1e-9)
        assert mine.fingerprint != told.fingerprint  # what was asked for differs
    kept = np.ones((2, mine.n_players), dtype=bool)
    kept[1, SEGMENTS:] = False  # heads then do what they do in the whole prompt
    np.testing.assert_allclose(*mine(kept), rtol=1e-9)


def test_one_text_is_drawn_for_all_masks() -> None:
    model, texts = smooth(), ("w11 " + TEXT + " w12", "w9 w8 w7", "w6 w5 w4 w3")
    games = [joint(model, None, components.Resample(texts, seed)) for seed in range(8)]
    masks = drawn(games[0], 8)
    by_text = [joint(model, None, components.Resample((text,)))(masks) for text in texts]
    chosen = set()
    for game in games:
        fits = [np.allclose(game(masks), values, rtol=1e-9) for values in by_text]
        assert sum(fits) == 1
        chosen.add(fits.index(True))
    assert chosen == {1, 2}  # never the prompt itself


OTHERS = {
    "attention": lambda model: text_game(model, masking="attention"),
    "label": lambda model: text_game(model, ip.text.Label("good")),
    "labels": lambda model: text_game(model, ip.text.Labels("logprob")),
    "embedding": lambda model: text_game(model, ip.text.EmbeddingSimilarity("w3 w5")),
    "generated": lambda model: text_game(
        model, ip.text.Generated(lambda answer, _: sum(map(ord, answer)), "letters", 3)
    ),
}


def other_model(name: str) -> Any:
    names = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    if name == "label":
        config = hf.LlamaConfig(**SMALL, pad_token_id=0, **names)
        return tiny(hf.AutoModelForSequenceClassification, config, scale=4.0).double()
    if name == "labels":
        config = hf.BertConfig(**SMALL, **names)
        return tiny(hf.AutoModelForSequenceClassification, config, scale=4.0).double()
    if name == "embedding":
        return tiny(hf.AutoModel, hf.BertConfig(**SMALL), scale=4.0).double()
    return smooth()


@pytest.mark.parametrize("name", OTHERS)
def test_scores_that_are_read_off_something_else(name: str) -> None:
    model = other_model(name)
    game = components.Joint(OTHERS[name](model), components.heads(model))
    masks = drawn(game, 10)
    masks[5, SEGMENTS:] = masks[6, SEGMENTS:] = False
    expected = by_edited_weights(game, masks)
    np.testing.assert_allclose(game(masks), expected, rtol=1e-6, atol=1e-9)
    assert len(np.unique(expected.round(6), axis=0)) > 4


@pytest.mark.parametrize("name", ["label", "labels", "embedding"])
def test_whole_layers_and_means_where_the_text_game_makes_the_passes(name: str) -> None:
    model = other_model(name)
    units = (
        components.layers(model, [0]) + components.heads(model, [1]) + components.mlps(model, [2])
    )
    for ablation in ("zero", components.Zero(rescale=True), "mean"):
        game = components.Joint(OTHERS[name](model), units, ablation)
        masks = drawn(game, 12)
        alone = np.stack([game(mask[None])[0] for mask in masks])
        np.testing.assert_allclose(game(masks), alone, rtol=1e-6, atol=1e-9)
        whole, without = masks[:1], masks[:1].copy()
        without[0, SEGMENTS] = False
        assert not np.allclose(game(whole), game(without), rtol=1e-3)


def test_several_outputs_and_answers_of_several_tokens() -> None:
    model = smooth()
    targets = [
        ip.text.Options((" w20 w25", " w21"), "prob"),
        ip.text.LogitDifference(" w3", " w4"),
        ip.text.Response(" w6 w7", reduction="token"),
    ]
    game = components.Joint(text_game(model, targets), components.heads(model))
    masks = drawn(game, 12)
    expected = by_edited_weights(game, masks)
    assert expected.shape == (12, len(game.describe()["outputs"]))
    np.testing.assert_allclose(game(masks), expected, rtol=1e-6, atol=1e-9)
    assert game(masks[:0]).shape == (0, expected.shape[1])


def test_values_do_not_depend_on_the_call() -> None:
    game = joint(smooth())
    masks = drawn(game, 20)
    values = game(masks)
    np.testing.assert_allclose(np.concatenate([game(mask[None]) for mask in masks]), values)
    order = game.arrange(masks)
    assert sorted(order) == list(range(20))
    np.testing.assert_allclose(game(masks[order]), values[order])
    prompts = [bytes(mask) for mask in masks[order, :SEGMENTS]]
    assert len({*prompts}) == 1 + sum(a != b for a, b in pairwise(prompts))


def test_lower_layers_run_once_for_each_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    model = smooth()
    game = joint(model, components.heads(model, [2]))
    game(np.ones((1, game.n_players), dtype=bool))  # the equivalence check
    rows: dict[int, int] = {0: 0, 2: 0}
    for layer in rows:
        projection = model.model.layers[layer].self_attn.q_proj

        def count(_: Any, args: Any, layer: int = layer) -> None:
            rows[layer] += len(args[0])

        projection.register_forward_pre_hook(count)
    masks = drawn(game, 30)
    masks[:, :SEGMENTS] = masks[np.arange(30) % 3, :SEGMENTS]
    game(masks)
    assert rows[0] == len(np.unique(masks[:, :SEGMENTS], axis=0))
    assert rows[2] == len(np.unique(masks, axis=0))


def test_the_real_model(smollm: tuple[Any, Any]) -> None:
    model, words = smollm
    # this tokenizer writes "is " and "Paris" as "is", " Paris": the answer replaces a token
    text = ip.text.TextGame(
        model,
        words,
        "In truth, the capital of France is ",
        ip.text.Options(("Paris", "Rome is old"), "logprob"),
        by="word",
    )
    game = components.Joint(text, components.heads(model, [22, 23]))
    n_words, rng = text.n_players, np.random.default_rng(0)
    masks = rng.random((12, game.n_players)) < 0.7
    masks[:4, n_words:] = True
    masks[4:6, :n_words] = True
    values = game(masks)
    np.testing.assert_allclose(values[:4], text(masks[:4, :n_words]), atol=1e-4)
    item = components.Item(text.prompt(masks[4, :n_words]), "Paris", ("Rome is old",))
    task = components.Task((item,), "logprob")
    heads = components.ComponentGame(model, words, task, game._units)
    np.testing.assert_allclose(values[4:6, 0], heads(masks[4:6, n_words:]), atol=1e-4)


# --- a game like others --------------------------------------------------------------------------


def test_an_explanation_of_it_is_saved_audited_and_shown(tmp_path: Path) -> None:
    model = smooth()
    game = joint(model, components.heads(model, [1])[1:])
    assert isinstance(game, PlannedGame)
    assert game.players == ('"w1"', '"w2"', '"w9"', '"w4"', '"w7"', "L1.H1", "L1.H2", "L1.H3")
    store = tmp_path / "runs.db"
    explanation = ip.explain(game, budget=50, store=store, random_state=1)
    again = ip.explain(game, budget=50, store=store, random_state=1)
    assert again.provenance["budget"]["evaluated"] == 0
    loaded = ip.load(explanation.save(tmp_path / "joint.interplay"))
    assert ip.verify(loaded, game, store=store).matches
    page = explanation.to_html(tmp_path / "joint.html").read_text(encoding="utf-8")
    assert "The input and the components" in page
    assert "L1.H3" in page
    exact = ip.explain(game, budget=2**8, store=store)
    for tested in exact.confirm(2, budget=2**8, store=store).tested:
        assert tested.measured == pytest.approx(tested.predicted, rel=1e-6)


def test_the_fingerprint_holds_all_that_values_depend_on() -> None:
    model, other = smooth(), smooth()
    with torch.no_grad():
        other.lm_head.weight[0, 0] += 1
    heads = components.heads(model)
    games = [
        joint(model),
        joint(model, heads[:3]),
        joint(model, heads[1:4]),
        joint(model, (components.Group("two", heads[:2]), heads[2])),
        joint(model, None, "mean"),
        joint(model, None, components.Mean(("w3",))),
        joint(model, None, components.Zero(rescale=True)),
        joint(model, None, components.Resample(("w3", "w4"), 1)),
        joint(model, None, components.Resample(("w3", "w4"), 2)),
        joint(other),
        components.Joint(text_game(model, ip.text.Response(" w3")), heads),
        components.Joint(text_game(model, masking=ip.text.Replace("w5")), heads),
    ]
    prints = [game.fingerprint for game in games]
    assert None not in prints
    assert len(set(prints)) == len(prints)
    assert joint(model).fingerprint == prints[0] != games[0].text_game.fingerprint
    nameless = ip.text.LogitFunction(lambda logits: logits[:, 0])
    assert components.Joint(text_game(model, nameless), heads).fingerprint is None
    assert json.loads(json.dumps(described(games[3])))["components"]["units"][0] == [
        [0, "head", 0],
        [0, "head", 1],
    ]


def test_the_model_stays_as_it_was() -> None:
    for name in OTHERS:
        model = other_model(name)
        game = components.Joint(OTHERS[name](model), components.heads(model))
        before = game.text_game.fingerprint
        game(drawn(game, 6))
        assert game.text_game.fingerprint == before is not None


def test_passes_are_laid_out_by_the_intact_model() -> None:
    # without attention, rows padded on the wrong side would look right
    model = other_model("label")
    game = components.Joint(OTHERS["label"](model), components.heads(model))
    masks = drawn(game, 12)
    masks[:, SEGMENTS:] = False
    game(masks)
    masks[:, SEGMENTS:] = True
    np.testing.assert_allclose(game(masks), OTHERS["label"](model)(masks[:, :SEGMENTS]), rtol=1e-9)


def test_what_cannot_be_joined_is_refused() -> None:
    model = smooth()
    heads = components.heads(model)
    with pytest.raises(ValueError, match=r"is no TextGame.*give an interplay\.text\.TextGame"):
        components.Joint(ip.FunctionGame(lambda m: m[:, 0], 2), heads)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there are no players"):
        components.Joint(text_game(model), ())
    t5 = hf.T5Config(vocab_size=44, d_model=32, d_kv=8, num_heads=4, d_ff=48, num_layers=2)
    t5.decoder_start_token_id = 0
    with pytest.raises(ValueError, match="has an encoder and a decoder"):
        components.Joint(text_game(tiny(hf.AutoModelForSeq2SeqLM, t5)), heads)
    label = other_model("label")
    with pytest.raises(ValueError, match=r"ablation='resample' aligns.*use 'zero' or 'mean'"):
        components.Joint(OTHERS["label"](label), components.heads(label), "resample")
    with pytest.raises(ValueError, match=r"is 0 tokens, and the model reads 1 to 64"):
        joint(model, None, components.Mean((" ",)))
    with pytest.raises(ValueError, match="ablation='half' is unknown"):
        joint(model, None, "half")
