"""Tasks, what replaces a removed unit, and how a game describes itself."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

import interplay as ip
from interplay import components
from interplay.components.architecture import find_architecture
from interplay.explanation.titles import question
from tests.components.test_units import SMALL, made, task, tokenizer
from tests.text.tiny import tiny, word_tokenizer

WORDS = word_tokenizer(framed=False)


def game(
    model: Any, players: Any, ablation: Any = "zero", items: components.Task | None = None
) -> components.ComponentGame:
    return components.ComponentGame(model, WORDS, items or task("llama"), players, ablation)


def logits(model: Any, prompt: str) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=WORDS(prompt, return_tensors="pt")["input_ids"]).logits[0].double()


# --- scores --------------------------------------------------------------------------------------


def test_scores_follow_from_the_logits() -> None:
    model = made("llama")
    items = (
        components.Item("w1 w2", " w3", (" w4", " w5 w6")),
        components.Item("w1 w7 w8", " w9 w10", (" w11",)),
    )
    scores = ("margin", "correct", "logprob", "logprob_per_token", "prob")
    whole = game(model, components.heads(model), items=components.Task(items, scores))
    found = whole.item_scores(np.ones((1, 12), dtype=bool))[0]
    for row, item in zip(found, items, strict=True):
        answers = {}
        for answer in (item.answer, *item.wrong):
            ids = WORDS(answer)["input_ids"]
            after = logits(model, item.prompt + answer).log_softmax(-1)[-len(ids) - 1 : -1]
            answers[answer] = float(sum(after[n, token] for n, token in enumerate(ids)))
        right = answers.pop(item.answer)
        margin = right - max(answers.values())
        length = len(item.answer.split())
        expected = (margin, float(margin > 0), right, right / length, np.exp(right))
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole(np.ones((1, 12), dtype=bool))[0], found.mean(axis=0))
    assert whole.describe()["outputs"] == list(scores)


def test_a_user_defined_score_sees_the_logits_and_the_item() -> None:
    model = made("llama")
    seen = []

    def entropy(values: torch.Tensor, item: components.Item) -> torch.Tensor:
        seen.append(item.answer)
        return torch.distributions.Categorical(logits=values).entropy()

    own = components.LogitScore(entropy, name="entropy")
    items = components.Task((components.Item("w1 w2", " w3"), components.Item("w4", " w5")), own)
    both = components.Task(items.items, ("logprob", own))
    masks = np.ones((2, 12), dtype=bool)
    found = game(model, components.heads(model), items=items).item_scores(masks)
    for column, item in enumerate(items.items):
        truth = entropy(logits(model, item.prompt)[-1:], item)
        np.testing.assert_allclose(found[:, column, 0], float(truth), rtol=1e-5)
    assert set(seen) == {" w3", " w5"}
    with_logprob = game(model, components.heads(model), items=both)
    np.testing.assert_allclose(with_logprob.item_scores(masks)[:, :, 1:], found)
    assert with_logprob.fingerprint is not None
    nameless = components.Task(items.items, components.LogitScore(entropy))
    assert game(model, components.heads(model), items=nameless).fingerprint is None
    wrong = components.LogitScore(lambda values, item: values)
    with pytest.raises(ValueError, match="one number each"):
        game(model, components.heads(model), items=components.Task(items.items, wrong))(masks)


def test_classifiers_answer_with_their_classes() -> None:
    config = hf.LlamaConfig(**SMALL, num_labels=3, id2label={0: "bad", 1: "fair", 2: "good"})
    config.label2id = {"bad": 0, "fair": 1, "good": 2}
    model = tiny(hf.AutoModelForSequenceClassification, config)
    items = components.Task(
        (
            components.Item("w1 w2", "good", ("bad", "fair")),
            components.Item("w5 w1", "fair", ("bad",)),
        ),
        ("margin", "prob"),
    )
    players = components.heads(model, [1, 2])
    own = game(model, players, items=items)
    found = own.item_scores(np.ones((1, 8), dtype=bool))[0]
    for row, (prompt, right, wrong) in zip(
        found, (("w1 w2", 2, [0, 1]), ("w5 w1", 1, [0])), strict=True
    ):
        with torch.inference_mode():
            ids = WORDS(prompt, return_tensors="pt")["input_ids"]
            logprobs = model(input_ids=ids).logits[0].double().log_softmax(-1)
        expected = (float(logprobs[right] - logprobs[wrong].max()), float(logprobs[right].exp()))
        np.testing.assert_allclose(row, expected, rtol=1e-4)
    assert model.config.pad_token_id is None
    with pytest.raises(ValueError, match="'great' is no class of the classifier; it has 'bad'"):
        game(model, players, items=components.Task((components.Item("w1", "great", ("bad",)),)))


def test_masked_prompts_need_their_mask() -> None:
    model = made("bert")
    words = tokenizer("bert")
    players = components.heads(model)

    def of(*items: components.Item) -> Any:
        return components.ComponentGame(model, words, components.Task(items), players)

    with pytest.raises(ValueError, match="item 1 holds 0 mask tokens; put w39 once"):
        of(
            components.Item("w1 w39", "w2", ("w3",)),
            components.Item("w1 w2", "w2", ("w3",)),
        )
    with pytest.raises(ValueError, match="'w2 w4' is 2 tokens, but a mask token stands"):
        of(components.Item("w1 w39", "w2 w4", ("w3",)))


def test_answers_of_the_same_tokens_are_refused() -> None:
    model = made("llama")
    for answers in ((" w2", (" w3", "  w2")), (" never", (" seen",))):
        items = components.Task((components.Item("w1", *answers),))
        with pytest.raises(ValueError, match="are the same tokens to this tokenizer"):
            game(model, components.heads(model), items=items)


def test_chats_go_through_the_template() -> None:
    model = made("llama")
    words = word_tokenizer(framed=False)
    words.chat_template = "{% for m in messages %}w30 {{ m.content }} {% endfor %}w31"
    chat = components.Item(({"role": "user", "content": "w1 w2"},), " w3", (" w4",))
    plain = components.Item("w30 w1 w2 w31", " w3", (" w4",))
    values = [
        components.ComponentGame(model, words, components.Task((item,)), components.heads(model))(
            np.ones((1, 12), dtype=bool)
        )[0]
        for item in (chat, plain)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_the_prompts_of_chats_as_reference_have_their_special_tokens_once() -> None:
    model = made("llama")
    words = word_tokenizer()  # [CLS] and [SEP] around a text, of which [SEP] would end the prompt
    words.chat_template = "[CLS] {% for m in messages %}{{ m.content }} {% endfor %}"
    chat = components.Item([{"role": "user", "content": "w1 w2"}], " w3", " w4")  # type: ignore[arg-type]
    plain = components.Item("w1 w2", " w3", (" w4",))
    players = components.heads(model)
    masks = np.random.default_rng(0).random((3, 12)) < 0.5
    games = [
        components.ComponentGame(model, words, components.Task((item,)), players, "mean")
        for item in (chat, plain)
    ]
    np.testing.assert_allclose(games[0](masks), games[1](masks), rtol=1e-6)
    twice = components.Mean(("[CLS] w1 w2 [SEP]",))
    other = components.ComponentGame(model, words, components.Task((chat,)), players, twice)
    assert np.abs(other(masks) - games[0](masks)).max() > 1e-3
    assert other.fingerprint != games[0].fingerprint


# --- what replaces a removed unit ----------------------------------------------------------------


def recorded(model: Any, texts: tuple[str, ...], layer: int) -> tuple[Any, Any, Any]:
    """What goes into the output projection, comes out of the MLP, and the layer adds, by text."""
    found: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    own = model.model.layers[layer]
    handles = [
        own.self_attn.o_proj.register_forward_pre_hook(lambda _, a: found[0].append(a[0][0])),
        own.mlp.register_forward_hook(lambda _, a, o: found[1].append(o[0])),
        own.register_forward_hook(lambda _, a, o: found[2].append(o[0] - a[0][0])),
    ]
    for text in texts:
        logits(model, text)
    for handle in handles:
        handle.remove()
    return found


TEXTS = ("w1 w2 w3 w4", "w9 w8", "w7 w6 w5")


def test_the_mean_of_a_head_is_a_bias_of_the_projection() -> None:
    model = made("llama")
    players = components.heads(model, [1])
    means = torch.cat(recorded(model, TEXTS, 1)[0]).mean(dim=0)
    edited = deepcopy(model)
    projection = edited.model.layers[1].self_attn.o_proj
    own = slice(16, 24)  # head 2, 8 wide
    with torch.no_grad():
        bias = projection.weight[:, own] @ means[own]
        projection.bias = torch.nn.Parameter(bias)
        projection.weight[:, own] = 0
    mask = np.array([[True, True, False, True]])
    found = game(model, players, components.Mean(TEXTS)).item_scores(mask)
    reference = game(edited, players).item_scores(np.ones((1, 4), dtype=bool))
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-4)
    assert np.abs(found - game(model, players).item_scores(mask)).max() > 1e-3


@pytest.mark.parametrize("kind", ["mlp", "layer"])
def test_the_mean_of_what_an_mlp_or_a_layer_adds(kind: str) -> None:
    model = made("llama")
    players = (components.mlps if kind == "mlp" else components.layers)(model, [1])
    means = torch.cat(recorded(model, TEXTS, 1)[1 if kind == "mlp" else 2]).mean(dim=0)
    found = game(model, players, components.Mean(TEXTS)).item_scores(np.zeros((1, 1), dtype=bool))
    own = model.model.layers[1]
    module, hook = {
        "mlp": (own.mlp, lambda _, a, o: means.expand_as(o)),
        "layer": (own, lambda _, a, o: a[0] + means),
    }[kind]
    handle = module.register_forward_hook(hook)
    reference = game(model, players).item_scores(np.ones((1, 1), dtype=bool))
    handle.remove()
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", ["w1 w2 w3", "w4 w9 w1 w2 w3", "w8"])
@pytest.mark.parametrize("second", ["", " w23"])
def test_resampling_takes_what_another_text_has_at_the_same_place(text: str, second: str) -> None:
    """Aligned at the prompt's end; where a text has no token its first or its last stands."""
    model = made("llama")
    items = components.Task((components.Item("w5 w6 w7", " w20" + second, (" w21",)),))
    players = components.heads(model, [1]) + components.mlps(model, [1])
    own = model.model.layers[1]
    heads, mlp, _ = (each[0] for each in recorded(model, (text,), 1))
    length = 4 if second else 3
    at = [min(max(0, len(heads) - 3 + n), len(heads) - 1) for n in range(length)]

    def patched(_: Any, args: Any) -> Any:
        given = args[0].clone()
        given[..., 8:16] = heads[at, 8:16]
        return (given,)

    hooks = [
        own.self_attn.o_proj.register_forward_pre_hook(patched),
        own.mlp.register_forward_hook(lambda _, a, o: mlp[at].expand_as(o)),
    ]
    after = logits(model, "w5 w6 w7" + (" w20" if second else "")).log_softmax(-1)
    for hook in hooks:
        hook.remove()
    twenty, one, more = WORDS.convert_tokens_to_ids(["w20", "w21", "w23"])
    reference = float(after[2, twenty] - after[2, one])
    if second:
        reference += float(after[3, more])
    mask = np.array([[True, False, True, True, False]])
    found = game(model, players, components.Resample((text,)), items)(mask)
    np.testing.assert_allclose(found, reference, rtol=1e-4)


def test_a_draw_depends_on_the_seed_alone() -> None:
    model = made("llama")
    players = components.heads(model, [0])
    masks = np.random.default_rng(0).random((6, 4)) < 0.5
    values = [
        game(model, players, components.Resample(TEXTS, random_state=seed))(masks)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(values[0], values[1])
    assert np.abs(values[0] - values[2]).max() > 1e-3
    one_by_one = [game(model, players, components.Resample(TEXTS))(mask[None])[0] for mask in masks]
    np.testing.assert_allclose(one_by_one, values[0], rtol=1e-4, atol=1e-5)


def test_an_item_keeps_its_draw_whatever_stands_beside_it() -> None:
    model = made("llama")
    players = components.heads(model)
    item = components.Item("w5 w6 w7", " w22 w23", (" w21",))
    nothing = np.zeros((1, 12), dtype=bool)
    for seed in range(4):
        margins = [
            game(
                model,
                players,
                components.Resample((*TEXTS, "w11 w12 w13"), random_state=seed),
                components.Task((components.Item(prompt, " w2", (" w3",)), item)),
            ).item_scores(nothing)[0, 1, 0]
            for prompt in ("w1 w9 w9", item.prompt)
        ]
        assert margins[0] == pytest.approx(margins[1], rel=1e-4)


def test_an_item_does_not_draw_its_own_prompt() -> None:
    model = made("llama")
    players = components.heads(model)
    items = tuple(components.Item(f"w{n} w2", " w3", (" w4",)) for n in range(8))
    masks = np.array([[False] * 12, [True] * 12])
    own = game(model, players, "resample", components.Task(items)).item_scores(masks)[:, :, 0]
    assert np.abs(own[0] - own[1]).min() > 1e-3
    for task_of in ((items[0],), (items[0], items[0])):
        with pytest.raises(ValueError, match="the prompt of item 0 is the only one there is"):
            game(model, players, "resample", components.Task(task_of))
    own_prompt = components.Resample((items[0].prompt,))
    with pytest.raises(ValueError, match=r"give a task of more items, or Resample\(texts\)"):
        game(model, players, own_prompt, components.Task(items[:1]))
    game(model, players, "resample", components.Task(items)).on(components.Task(items[:1]))


def test_by_default_the_reference_is_the_task_itself() -> None:
    model = made("llama")
    players = components.heads(model, [0])
    masks = np.random.default_rng(0).random((6, 4)) < 0.5
    prompts = tuple(item.prompt for item in task("llama").items)
    own = game(model, players, "mean")
    given = game(model, players, components.Mean(prompts))
    np.testing.assert_array_equal(own(masks), given(masks))
    # on other items the reference stays the same
    other = components.Task((components.Item("w9 w9", " w1", (" w2",)),))
    moved, anew = own.on(other), game(model, players, "mean", other)
    assert moved.describe()["ablation"] == own.describe()["ablation"]
    assert np.abs(moved(masks) - anew(masks)).max() > 1e-4


def test_rescaling_is_a_projection_with_larger_weights() -> None:
    model = made("llama")
    players = components.heads(model, [1])
    edited = deepcopy(model)
    with torch.no_grad():
        edited.model.layers[1].self_attn.o_proj.weight *= 4 / 3
    mask = np.array([[True, True, False, True]])
    found = game(model, players, components.Zero(rescale=True)).item_scores(mask)
    np.testing.assert_allclose(found, game(edited, players).item_scores(mask), rtol=1e-4, atol=1e-5)
    nothing = np.zeros((1, 4), dtype=bool)
    np.testing.assert_allclose(
        game(model, players, components.Zero(rescale=True))(nothing), game(model, players)(nothing)
    )


def test_references_that_are_none_are_refused() -> None:
    model = made("llama")
    for texts in ((), ("",), "text"):
        with pytest.raises(ValueError, match="no texts, or some of them are empty"):
            game(model, components.heads(model), components.Mean(texts))  # type: ignore[arg-type]
    listed = game(model, components.heads(model), components.Mean(["w1"]))  # type: ignore[arg-type]
    assert (
        listed.fingerprint
        == game(model, components.heads(model), components.Mean(("w1",))).fingerprint
    )
    with pytest.raises(ValueError, match="ablation='noise' is unknown; choose one of zero"):
        game(model, components.heads(model), "noise")


# --- tasks ---------------------------------------------------------------------------------------


def test_items_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "task.jsonl"
    lines = [
        {"prompt": "w1", "answer": " w2", "wrong": [" w3"]},
        {"prompt": "w1", "answer": " w2", "wrong": " w3"},
        {"prompt": [{"role": "user", "content": "w4"}], "answer": "w5"},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    found = components.Task.from_file(file, "logprob")
    assert [item.wrong for item in found.items] == [(" w3",), (" w3",), ()]
    assert found.scores == ("logprob",)
    with pytest.raises(ValueError, match=r"item 2 .* has none; give some, or use score='logprob'"):
        components.Task.from_file(file)
    for text, message in (
        ("", "holds no items"),
        ('{"prompt": "w1"}', "line 1 is not"),
        ("[1]", "line 1 is not"),
        ('{"prompt": "w1", "answer": 3}', "line 1: the prompt, the answer"),
        ('{"prompt": ["w1"], "answer": "w"}', "line 1: the messages of a chat must be"),
        ('{"prompt": "", "answer": "w"}', "item 0 has an empty prompt"),
        ('{"prompt": "a", "answer": "w", "wrong": ["w"]}', "not all different"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            components.Task.from_file(file, "logprob")


def test_a_wrong_answer_is_not_taken_for_letters() -> None:
    one = components.Item("w1", " w2", " w3")  # type: ignore[arg-type]
    assert one == components.Item("w1", " w2", (" w3",))


def test_a_task_is_split_at_random_and_for_good() -> None:
    items = tuple(components.Item(f"w{n}", " w1", (" w2",)) for n in range(20))
    whole = components.Task(items, ("margin", "correct"))
    train, test = whole.split(0.25, random_state=3)
    assert (len(train.items), len(test.items)) == (15, 5)
    assert {*train.items, *test.items} == set(items)
    assert train.scores == test.scores == whole.scores
    assert whole.split(0.25, random_state=3) == (train, test)
    assert whole.split(0.25, random_state=4) != (train, test)
    with pytest.raises(ValueError, match="test=1 is not a share"):
        whole.split(1)
    with pytest.raises(ValueError, match="1 item cannot be split"):
        components.Task(items[:1]).split()
    with pytest.raises(ValueError, match="two items have the prompt 'w3'"):
        components.Task((*items, components.Item("w3", " w9", (" w2",)))).split()


def test_tasks_without_items_or_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="the task has no items; give at least one"):
        components.Task(())
    item = components.Item("w1", " w2")
    with pytest.raises(ValueError, match="the task has no score"):
        components.Task((item,), ())
    with pytest.raises(ValueError, match="two of the scores logprob, logprob have one name"):
        components.Task((item,), ("logprob", components.LogitScore(lambda v, i: v, "logprob")))
    with pytest.raises(ValueError, match="score='accuracy' is unknown; choose one of margin"):
        components.Task((item,), "accuracy")  # type: ignore[arg-type]
    model = made("llama")
    long = components.Task((components.Item("w1 " * 64, " w2 w3"),), "logprob")
    with pytest.raises(ValueError, match="are 65 tokens, above the model's context of 64"):
        game(model, components.heads(model), items=long)


# --- the game ------------------------------------------------------------------------------------


def test_the_fingerprint_knows_everything_that_is_computed() -> None:
    model = made("llama")
    heads = components.heads(model)
    items = task("llama")
    other = components.Task(items.items[:-1], items.scores)
    games = [
        game(model, heads),
        game(model, heads[:-1]),
        game(model, (components.Group("a", heads[:2]), *heads[2:])),
        game(model, heads, "mean"),
        game(model, heads, components.Mean(TEXTS)),
        game(model, heads, components.Resample(TEXTS)),
        game(model, heads, components.Resample(TEXTS, random_state=1)),
        game(model, heads, components.Zero(rescale=True)),
        game(model, heads, items=other),
        game(model, heads, items=components.Task(items.items, ("margin",))),
        game(made("mistral"), heads),
    ]
    prints = [each.fingerprint for each in games]
    assert len(set(prints)) == len(prints)
    assert None not in prints
    assert game(made("llama"), components.heads(model)).fingerprint == prints[0]
    called = components.Task(items.items, items.scores, "agreement")
    assert game(model, heads, items=called).fingerprint == prints[0]  # a name changes no value
    json.dumps([each.describe() for each in games], allow_nan=False)
    hook = model.model.layers[0].register_forward_hook(lambda *_: None)
    assert games[0].fingerprint is None
    hook.remove()


def test_a_game_describes_its_task_by_an_example(tmp_path: Path) -> None:
    model = made("llama")
    file = tmp_path / "two_words.jsonl"
    file.write_text('{"prompt": "w1 w2", "answer": " w3", "wrong": [" w4"]}\n')
    read = components.Task.from_file(file)
    described = game(model, components.heads(model), items=read).describe()
    assert described["task"]["name"] == "two_words"
    example = {"prompt": "w1 w2", "role": None, "answer": " w3", "wrong": [" w4"]}
    assert described["task"]["example"] == example
    assert question(described, "") == "Two words: margin of ' w3' over ' w4' after 'w1 w2'"
    copy = tmp_path / "task-two_words.jsonl"  # as a run's folder has it
    copy.write_bytes(file.read_bytes())
    assert components.Task.from_file(copy) == read
    chat = components.Item(({"role": "user", "content": "w1"},), " w3")
    assert chat.describe() == {"prompt": "w1", "role": "user", "answer": " w3", "wrong": []}
    four = components.Task(
        tuple(replace(read.items[0], prompt=f"w{n}") for n in range(4)), name="a"
    )
    assert [part.name for part in four.split()] == ["a", "a"]


def test_no_masks_no_values() -> None:
    model = made("llama")
    one = components.Task(task("llama").items)
    assert game(model, components.heads(model), items=one)(np.empty((0, 12), bool)).shape == (0,)
    assert game(model, components.heads(model))(np.empty((0, 12), bool)).shape == (0, 2)


def test_an_explanation_of_components_and_its_structure(tmp_path: Path) -> None:
    model = made("llama")
    players = components.heads(model, [0, 1])
    own = game(model, players, items=components.Task(task("llama").items))
    explanation = ip.explain(own, budget=256, order=8)
    assert explanation.faithfulness.exact
    found = components.structure(explanation)
    assert found.linear + found.within + found.between == pytest.approx(1)
    energy = {"linear": 0.0, "within": 0.0, "between": 0.0}
    for members, value in explanation.spectrum:
        layers = {player // 4 for player in members}
        if members:
            kind = "linear" if len(members) == 1 else "within" if len(layers) == 1 else "between"
            energy[kind] += float(value) ** 2
    total = sum(energy.values())
    for kind, share in energy.items():
        assert getattr(found, kind) == pytest.approx(share / total)
    assert [each.layer for each in found.layers] == [0, 1]
    assert sum(each.between for each in found.layers) == pytest.approx(found.between)
    for named, sign in ((found.synergies, 1), (found.redundancies, -1)):
        assert all(value * sign > 0 and " × " in name for name, value in named)
    deviations = np.full((len(explanation.spectrum), 1), 1e3)
    vague = replace(explanation.spectrum, deviations=deviations)
    none = components.structure(replace(explanation, spectrum=vague))
    assert none.synergies == none.redundancies == ()
    assert "none that can be told from zero" in str(none)
    explanation.save(tmp_path / "a.interplay")
    assert components.structure(ip.load(tmp_path / "a.interplay")) == found
    page = explanation.to_html(tmp_path / "a.html").read_text()
    title = re.search("<h1[^>]*>(.*)</h1>", page)
    assert title is not None
    asked = "Margin of ' w20' over ' w21' or ' w22' after 'w1 w2 w3' (the first of 4 questions)"
    assert html.unescape(title[1]) == asked
    with pytest.raises(ValueError, match="output=1 is not one of the 1 outputs"):
        components.structure(explanation, output=1)
    plain = ip.explain(ip.FunctionGame(lambda masks: masks[:, 0], 3))
    with pytest.raises(ValueError, match="this explains a game, which has no layers"):
        components.structure(plain)


def test_memory_that_does_not_suffice_makes_passes_smaller(monkeypatch: Any) -> None:
    model = made("llama")
    own = game(model, components.heads(model))
    masks = np.random.default_rng(0).random((20, 12)) < 0.5
    whole = own(masks)
    forward: Callable[..., Any] = model.model.forward
    sizes = []

    def scarce(*args: Any, **kwargs: Any) -> Any:
        sizes.append(len(kwargs["input_ids"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", scarce)
    np.testing.assert_allclose(own(masks), whole, rtol=1e-5, atol=1e-6)
    assert max(sizes) > 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_is_left_as_it_was_after_an_error() -> None:
    model = made("llama")
    layer = model.model.layers[0]
    layer.forward = own_forward = layer.forward  # as accelerate does

    def fails(values: torch.Tensor, item: components.Item) -> torch.Tensor:
        raise ZeroDivisionError

    items = components.Task(task("llama").items, components.LogitScore(fails))
    late = game(model, components.heads(model, [2]), items=items)
    with pytest.raises(ZeroDivisionError):
        late(np.zeros((2, 4), dtype=bool))
    assert late._passes._cuts == (1, 2)
    assert layer.__dict__["forward"] is own_forward
    assert all("forward" not in each.__dict__ for each in model.model.layers[1:])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model.config.pad_token_id is None


def test_threads_that_share_a_model_do_not_interfere() -> None:
    model = made("llama")
    own = game(model, components.heads(model))
    masks = np.random.default_rng(0).random((200, 12)) < 0.5
    values = own(masks)
    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(own, np.split(masks, 4)))
        list(threads.map(lambda _: components.mlps(model), range(4)))
    np.testing.assert_allclose(np.concatenate(parts), values, rtol=1e-4, atol=1e-5)
    assert model.config.pad_token_id is None


@pytest.mark.model
def test_the_head_that_knows_the_capital_of_france(smollm: tuple[Any, Any]) -> None:
    """Layer 23, head 4 carries most of the difference of the logits of Paris and London."""
    model, words = smollm
    items = components.Task((components.Item("The capital of France is", " Paris", (" London",)),))
    players = components.heads(model, [23])
    own = components.ComponentGame(model, words, items, players)
    masks = np.vstack([np.ones((1, 9), dtype=bool), ~np.eye(9, dtype=bool)])
    values = own(masks)
    with torch.inference_mode():
        ids = words("The capital of France is", return_tensors="pt")["input_ids"]
        after = model(input_ids=ids).logits[0, -1]
    paris, london = (words(name)["input_ids"][0] for name in (" Paris", " London"))
    assert values[0] == pytest.approx(float(after[paris] - after[london]), abs=1e-4)
    assert values[1:].argmin() == 4
    assert values[0] - values[5] > 0.9 * values[0] > 3.5
    own._passes._cuts, own._passes._shares_prefixes = (), False
    np.testing.assert_allclose(own(masks), values, atol=2e-4)
    assert find_architecture(model).layers[23].n_heads == 9
