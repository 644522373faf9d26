"""Answers are scored as the model reads them, whatever the tokenizer.

Each kind of tokenizer is trained here, on a few sentences, and each game is compared with plain
forward passes over the tokens of the whole string: the prompt with the answer behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import trainers as train
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaTokenizer, PreTrainedTokenizerFast

from interplay import components
from interplay.text import (
    Contrast,
    LogitDifference,
    LogitFunction,
    Options,
    Response,
    TextGame,
)
from tests.text.tiny import tiny

CORPUS = [
    "The film is not bad at all. I was never bored, and it is good.",
    "It is good. It is bad. It is not good and not bad (no). Answer: Yes\nAnswer: No\n",
    "Yes and No (yes) (no) [Yes] [No]\nNo\nYes\nit isnt good. It isnt bad",
    "Mrs Hill is allergic to penicillin (not to aspirin)\nno doubt: yes",
    "<s>user\nIs it good?\n<s>assistant\nYes it is good<s>assistant\nNo it is not",
] * 4
SPECIALS = ["<unk>", "<s>", "</s>", "<pad>"]
SPLIT = r"[^\s\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s*\n+|\s+(?!\S)|\s+"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def framed(begin: bool, end: bool) -> Any:
    return processors.TemplateProcessing(
        single=f"{'<s>:0 ' if begin else ''}$A:0{' </s>:0' if end else ''}",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )


def bpe(
    normalizer: Any = None,
    pre: Any = None,
    decoder: Any = None,
    begin: bool = False,
    end: bool = False,
    byte_level: bool = False,
    size: int = 420,
) -> Tokenizer:
    model = models.BPE(unk_token=None if byte_level else "<unk>", byte_fallback=not byte_level)
    backend = Tokenizer(model)
    if normalizer is not None:
        backend.normalizer = normalizer
    if pre is not None:
        backend.pre_tokenizer = pre
    backend.decoder = decoder
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    trainer = train.BpeTrainer(
        vocab_size=size + (0 if byte_level else 256),
        special_tokens=SPECIALS + ([] if byte_level else BYTES),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    # the trainer's special tokens that are bytes are plain entries of the vocabulary
    document = json.loads(backend.to_str())
    document["added_tokens"] = [t for t in document["added_tokens"] if t["content"] in SPECIALS]
    backend = Tokenizer.from_str(json.dumps(document))
    if begin or end:
        backend.post_processor = framed(begin, end)
    return backend


def byte_level(prefix: bool = False, **settings: Any) -> Tokenizer:
    pre = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    return bpe(None, pre, decoders.ByteLevel(), byte_level=True, **settings)


def metaspace(scheme: str, **settings: Any) -> Tokenizer:
    decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme)]
    )
    return bpe(None, pre_tokenizers.Metaspace(prepend_scheme=scheme), decoder, **settings)


def replaced(prepend: bool, **settings: Any) -> Tokenizer:
    """Spaces replaced, and nothing split, as in Llama 2 (which prepends) and Gemma."""
    steps = [normalizers.Prepend("▁")] * prepend + [normalizers.Replace(" ", "▁")]
    undo = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    pre = None if prepend else pre_tokenizers.Split(" ", "merged_with_previous")
    if prepend:  # merges must not cross words, or the few sentences become tokens themselves
        undo.append(decoders.Strip(" ", 1, 0))
    trained = bpe(
        normalizers.Sequence(steps),
        pre or pre_tokenizers.Split(Regex("▁"), "merged_with_next"),
        decoders.Sequence(undo),
        **settings,
    )
    if prepend:
        trained.pre_tokenizer = None
    return trained


def llama3() -> Tokenizer:
    pre = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return bpe(None, pre, decoders.ByteLevel(), byte_level=True, begin=True)


def unigram(end: bool) -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.train_from_iterator(
        CORPUS,
        train.UnigramTrainer(
            vocab_size=150, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False
        ),
    )
    backend.post_processor = framed(begin=False, end=end)
    return backend


def wordpiece() -> Tokenizer:
    backend = Tokenizer(models.WordPiece(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=False)
    backend.train_from_iterator(
        CORPUS, train.WordPieceTrainer(vocab_size=200, special_tokens=SPECIALS, show_progress=False)
    )
    backend.post_processor = framed(begin=True, end=True)
    return backend


def llama() -> Any:
    """Llama's own class, from the vocabulary and merges of another."""
    model = json.loads(replaced(prepend=False).to_str())["model"]
    return LlamaTokenizer(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])


KINDS: dict[str, Callable[[], Any]] = {
    "byte level": byte_level,
    "byte level, prefix space": lambda: byte_level(prefix=True),
    "byte level, begin": lambda: byte_level(begin=True),
    "byte level, end": lambda: byte_level(end=True),
    "byte level, begin and end": lambda: byte_level(begin=True, end=True),
    "llama 3": llama3,
    "metaspace always": lambda: metaspace("always"),
    "metaspace first, begin": lambda: metaspace("first", begin=True),
    "metaspace never": lambda: metaspace("never"),
    "prepend (llama 2)": lambda: replaced(prepend=True, begin=True),
    "prepend, begin and end": lambda: replaced(prepend=True, begin=True, end=True),
    "gemma": lambda: replaced(prepend=False, begin=True),
    "llama's own": llama,
    "unigram": lambda: unigram(end=False),
    "unigram, end": lambda: unigram(end=True),
    "word pieces, begin and end": wordpiece,
}
TEMPLATE = (
    "<s>{% for m in messages %}{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant\n{% endif %}"
)


@cache
def tokenizer_of(kind: str) -> Any:
    backend = KINDS[kind]()
    tokenizer = (
        PreTrainedTokenizerFast(
            tokenizer_object=backend,
            unk_token="<unk>",
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
        )
        if isinstance(backend, Tokenizer)
        else backend
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@cache
def model_of(kind: str) -> Any:
    config = LlamaConfig(
        vocab_size=len(tokenizer_of(kind)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    return tiny(AutoModelForCausalLM, config, scale=6.0)


# --- the reference: plain passes over the tokens of the whole string ----------------------------


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text that a model continues: one token begins it, none ends it."""
    add = not text.startswith("<s>")
    ids = tokenizer(text, add_special_tokens=add)["input_ids"]
    while add and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return ids  # type: ignore[no-any-return]


def logprobs(model: Any, ids: list[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()


def written(tokenizer: Any, tokens: list[int]) -> str:
    """The text of tokens inside a text."""
    a = tokenizer("a", add_special_tokens=False)["input_ids"]
    return tokenizer.decode(a + tokens)[len(tokenizer.decode(a)) :]  # type: ignore[no-any-return]


def answer_logprob(model: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """The log-probability of an answer, given the characters of the prompt."""
    before, joint = tokens_of(tokenizer, prompt), tokens_of(tokenizer, prompt + answer)
    n_same = next(
        (n for n, (a, b) in enumerate(zip(before, joint, strict=False)) if a != b),
        min(len(before), len(joint)),
    )
    table = logprobs(model, joint)
    total = sum(table[at - 1, joint[at]] for at in range(n_same, len(joint)))
    if n_same < len(before):
        total -= border_logprob(model, tokenizer, before, joint, n_same)
    return float(total)


@cache
def vocabulary_of(tokenizer: Any) -> dict[int, str]:
    specials = set(tokenizer.all_special_ids)
    return {t: written(tokenizer, [t]) for t in range(len(tokenizer)) if t not in specials}


def border_logprob(
    model: Any, tokenizer: Any, before: list[int], joint: list[int], n_same: int
) -> float:
    """The log-probability that the text goes on as the prompt's replaced tokens do."""
    rest = written(tokenizer, before[n_same:])
    vocabulary = vocabulary_of(tokenizer)
    ways: dict[tuple[int, ...], float] = {}
    for tokens in (before, joint):
        for n in range(n_same, len(tokens)):
            path = tokens[n_same:n]
            missing = rest[len(written(tokenizer, path)) :]
            if not missing:
                break
            table = logprobs(model, tokens[: n + 1])
            spent = sum(table[n_same - 1 + at, token] for at, token in enumerate(path))
            reaching = [t for t, text in vocabulary.items() if text.startswith(missing)]
            if reaching:
                ways[tuple(path)] = spent + np.logaddexp.reduce(table[n - 1, reaching])
    return float(np.logaddexp.reduce(list(ways.values())))


def greedy(model: Any, tokenizer: Any, ids: list[int], count: int) -> list[int]:
    answer: list[int] = []
    while len(answer) < count:
        token = int(logprobs(model, ids + answer)[-1].argmax())
        if token == tokenizer.eos_token_id:
            break
        answer.append(token)
    return answer


TEXT = "it is not good no"
BORDERS = {
    "space": ("The film: {text}. It is", " good", " not bad"),
    "no space": ("The film: {text}. It is", "nt", "nt bad"),
    "after a newline": ("The film: {text}\nAnswer:\n", "Yes", "No it"),
    "after a bracket": ("The film: {text} (", "no", "yes it"),
    "space in the prompt": ("The film: {text}. It is ", "good", "not bad"),
    "after the text": ("The film: {text}", " Yes", " No it"),
}


def masks_of(game: Any) -> Any:
    masks = np.array(list(product([False, True], repeat=game.n_players)))
    return masks[:: max(1, len(masks) // 5)]


def prompts_of(game: TextGame, masks: Any) -> list[str]:
    return [game.prompt(mask) for mask in masks]


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["string", "rendered chat", "chat"])
def test_answers_are_scored_as_the_model_reads_them(kind: str, border: str, form: str) -> None:
    model, tokenizer = model_of(kind), tokenizer_of(kind)
    prompt, one, two = BORDERS[border]
    asked: Any = prompt
    if form == "rendered chat":
        asked = f"<s>user\nIs it good?\n<s>assistant\n{prompt}"
    if form == "chat":
        asked = [
            {"role": "user", "content": "Is it good?"},
            {"role": "assistant", "content": prompt},
        ]
        if prompt.rstrip() != prompt:
            pytest.skip("a chat template ends a message where it likes")
    targets = [
        Response(one),
        Response(two, "logprob", "mean"),
        Options((one, two), "logprob"),
        Contrast(two, one),
        LogitFunction(lambda logits: logits[:, 5] - logits[:, 6], "function"),
    ]
    game = TextGame(model, tokenizer, TEXT, targets, by="word", prompt=asked)
    masks = masks_of(game)
    values = game(masks)
    for prompt, value in zip(prompts_of(game, masks), values, strict=True):
        first, second = (answer_logprob(model, tokenizer, prompt, a) for a in (one, two))
        ids = tokens_of(tokenizer, prompt)
        n_new = len(tokens_of(tokenizer, prompt + two))
        same = [a == b for a, b in zip(ids, tokens_of(tokenizer, prompt + two), strict=False)]
        n_new -= same.index(False) if False in same else len(same)
        last = logprobs(model, ids)[-1]
        wanted = [first, second / n_new, first, second, second - first, last[5] - last[6]]
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-5)
    assert values.std(axis=0).min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_own_answer_is_scored_as_it_was_generated(kind: str) -> None:
    model, tokenizer = model_of(kind), tokenizer_of(kind)
    game = TextGame(model, tokenizer, TEXT, Response(max_tokens=4), by="word", prompt="{text}\n")
    (target,) = game.targets
    whole = tokens_of(tokenizer, game.prompt(np.ones(game.n_players, dtype=bool)))
    answer = greedy(model, tokenizer, whole, 4)
    assert isinstance(target, Response)
    assert target.tokens is not None
    assert list(target.tokens) == answer[: len(target.tokens)]
    assert not written(tokenizer, answer[len(target.tokens) :]).strip()
    masks = masks_of(game)
    for prompt, value in zip(prompts_of(game, masks), game(masks), strict=True):
        ids = tokens_of(tokenizer, prompt)
        table = logprobs(model, ids + list(target.tokens))
        total = sum(table[len(ids) - 1 + at, token] for at, token in enumerate(target.tokens))
        assert value == pytest.approx(total, abs=1e-5)


def test_an_answer_cut_inside_a_character_is_scored_as_it_is() -> None:
    """Whether a model of bytes stops there: the tokens are scored, the text shows the cut."""
    kind = "byte level"
    tokenizer, model = tokenizer_of(kind), model_of(kind)
    cuts = 0
    for word in ("it", "is", "not", "good", "no", "film", "Mrs", "Hill"):
        game = TextGame(
            model, tokenizer, f"{word} is", Response(max_tokens=3), by="word", prompt="The {text}"
        )
        (target,) = game.targets
        assert isinstance(target, Response)
        assert target.text is not None
        text = written(tokenizer, list(target.tokens or ()))
        cuts += text.endswith("\ufffd")
        assert target.text == (text.rstrip("\ufffd") + "…" if text.endswith("\ufffd") else text)
        ids = tokens_of(tokenizer, f"The {word} is")
        table = logprobs(model, ids + list(target.tokens or ()))
        total = sum(table[len(ids) - 1 + at, t] for at, t in enumerate(target.tokens or ()))
        assert game(np.ones((1, 2), dtype=bool))[0] == pytest.approx(total, abs=1e-5)
    assert cuts


@pytest.mark.parametrize("kind", KINDS)
def test_masking_by_attention_reads_the_same_answer(kind: str) -> None:
    model, tokenizer = model_of(kind), tokenizer_of(kind)
    targets = [Response(" good"), Contrast(" not bad", " good")]
    settings: Any = {"by": "word", "prompt": "The film: {text}. It is"}
    game = TextGame(model, tokenizer, TEXT, targets, masking="attention", **settings)
    (value,) = game(np.ones((1, game.n_players), dtype=bool))
    prompt = game.prompt(np.ones(game.n_players, dtype=bool))
    good, bad = (answer_logprob(model, tokenizer, prompt, a) for a in (" good", " not bad"))
    np.testing.assert_allclose(value, [good, bad - good], rtol=0, atol=1e-5)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_items_are_scored_as_the_model_reads_them(kind: str, border: str) -> None:
    model, tokenizer = model_of(kind), tokenizer_of(kind)
    prompt, one, two = BORDERS[border]
    prompt = prompt.format(text=TEXT)
    chat = ({"role": "user", "content": prompt},)
    rendered = f"<s>user\n{prompt}"
    asked = [prompt, rendered] if one.startswith(" ") else [prompt, rendered, chat]
    items = tuple(components.Item(one_prompt, one, (two,)) for one_prompt in asked)
    scores = ("margin", "logprob", components.LogitScore(lambda logits, _: logits[:, 5], "fifth"))
    task = components.Task(items, scores)  # type: ignore[arg-type]
    game = components.ComponentGame(model, tokenizer, task, components.heads(model))
    (values,) = game.item_scores(np.ones((1, game.n_players), dtype=bool))
    texts = [prompt, rendered, f"<s>user\n{prompt}\nassistant\n"]
    for text, value in zip(texts, values, strict=False):
        first, second = (answer_logprob(model, tokenizer, text, a) for a in (one, two))
        with torch.inference_mode():
            logits = model(torch.tensor([tokens_of(tokenizer, text)])).logits[0, -1]
        np.testing.assert_allclose(
            value, [first - second, first, float(logits[5])], rtol=0, atol=1e-5
        )


def test_a_border_inside_a_character_is_refused() -> None:
    """Bytes of the prompt's last character are merged with the answer: nothing can be scored."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate([*SPECIALS, *alphabet, "©b"])}
    backend = Tokenizer(models.BPE(vocabulary, [("©", "b")]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    model = tiny(AutoModelForCausalLM, config, scale=6.0)
    with pytest.raises(ValueError, match=r"merges the end of the prompt .* inside a character"):
        TextGame(model, tokenizer, "it is", Response("b"), by="word", prompt="{text} é")
    game = TextGame(model, tokenizer, "it is", Response(" b"), by="word", prompt="{text} é")
    ids = tokenizer("it is é b")["input_ids"]
    total = sum(logprobs(model, ids)[at - 1, ids[at]] for at in (-2, -1))
    assert game(np.ones((1, 2), dtype=bool))[0] == pytest.approx(total, abs=1e-5)


WORDS = (" good", " bad", " not", " it", " is", "Yes", "No", "no", "yes", "It", ".")


@pytest.mark.parametrize(
    "prompt", ["The film: {text}. It", "The film: {text}\n", "Is it ({text} ("]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_logit_difference_is_of_the_tokens_in_their_place(kind: str, prompt: str) -> None:
    model, tokenizer = model_of(kind), tokenizer_of(kind)
    whole = prompt.format(text=TEXT)
    before = tokens_of(tokenizer, whole)
    single = {}
    for word in WORDS:
        joint = tokens_of(tokenizer, whole + word)
        if joint[:-1] == before:
            single.setdefault(joint[-1], word)
    if len(single) < 2:
        pytest.skip("no two of the words are one token here")
    one, two = list(single.values())[:2]
    game = TextGame(model, tokenizer, TEXT, LogitDifference(one, two), by="word", prompt=prompt)
    (value,) = game(np.ones((1, game.n_players), dtype=bool))
    with torch.inference_mode():
        logits = model(torch.tensor([before])).logits[0, -1].double()
    first, second = list(single)[:2]
    assert value == pytest.approx(float(logits[first] - logits[second]), abs=1e-5)
