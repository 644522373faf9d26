"""Encoder-decoders are scored as their decoder reads an answer, compared with plain passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForCausalLM,
    FSMTConfig,
    LlamaConfig,
    LongT5Config,
    M2M100Config,
    MarianConfig,
    MBart50Tokenizer,
    MBartConfig,
    MBartTokenizer,
    NllbTokenizer,
    PegasusConfig,
    T5Config,
)
from typer.testing import CliRunner

import interplay as ip
from interplay.cli.app import app
from interplay.components import ComponentGame
from interplay.fourier.masks import end_masks
from interplay.text import Contrast, Generated, LogitDifference, LogitFunction, Options, Response
from interplay.text.answers import ends
from interplay.text.inference.seq2seq import AnswerTokens, Seq2SeqReader
from interplay.text.models import context_length
from interplay.text.prompts.token_texts import TokenTexts
from interplay.text.prompts.tokens import Continuation
from interplay.text.readouts import answers_readout
from tests.text.test_tokenizers import tokenizer_of, unigram
from tests.text.tiny import tiny

TEXT = "it is not good no is bad and good"
PROMPT = "Is it? {text} so:"
BARTISH = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
T5ISH = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}


def of_languages(kind: Any, **settings: Any) -> Any:
    """A tokenizer of many languages, from the vocabulary of another."""
    pieces = json.loads(unigram(end=False).to_str())["model"]["vocab"][4:]
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary: Any = [*specials, *map(tuple, pieces)]
    if kind is NllbTokenizer:
        split = tokenizer_of("metaspace always").backend_tokenizer
        model = json.loads(split.to_str())["model"]
        words = [word for word in model["vocab"] if word not in dict(specials)]
        vocabulary = {word: at for at, word in enumerate([*dict(specials), *words])}
        settings["merges"] = [tuple(merge) for merge in model["merges"]]
    return kind(vocab=vocabulary, **settings)


def t5(tokenizer: Any, kind: Any = T5Config, **settings: Any) -> Any:
    return kind(**special(tokenizer), **T5ISH, decoder_start_token_id=3, **settings)


def special(tokenizer: Any) -> Any:
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def bartish(kind: Any, start: int) -> Callable[[Any], Any]:
    return lambda tokenizer: kind(
        **special(tokenizer), **BARTISH, decoder_start_token_id=start, init_std=0.1
    )


FRENCH = {"src_lang": "en_XX", "tgt_lang": "fr_XX"}
FAMILIES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], tuple[Any, ...]]] = {
    # the tokenizer, the configuration, and what the decoder begins with
    "t5": (lambda: tokenizer_of("unigram, end"), t5, ("<pad>",)),
    "t5, untied": (
        lambda: tokenizer_of("unigram, end"),
        lambda t: t5(t, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        ("<pad>",),
    ),
    "long t5": (
        lambda: tokenizer_of("unigram, end"),
        lambda t: t5(t, LongT5Config, local_radius=3),
        ("<pad>",),
    ),
    "bart": (
        lambda: tokenizer_of("byte level, begin and end"),
        bartish(BartConfig, 2),
        ("</s>", "<s>"),
    ),
    "pegasus": (lambda: tokenizer_of("unigram, end"), bartish(PegasusConfig, 3), ("<pad>",)),
    "marian": (lambda: tokenizer_of("unigram, end"), bartish(MarianConfig, 3), ("<pad>",)),
    "mbart": (
        lambda: of_languages(MBartTokenizer, **FRENCH),
        lambda t: bartish(MBartConfig, t.convert_tokens_to_ids("fr_XX"))(t),
        ("fr_XX",),
    ),
    "mbart 50": (
        lambda: of_languages(MBart50Tokenizer, **FRENCH),
        bartish(MBartConfig, 2),
        ("</s>", "fr_XX"),
    ),
    "nllb": (
        lambda: of_languages(NllbTokenizer, src_lang="eng_Latn", tgt_lang="fra_Latn"),
        bartish(M2M100Config, 2),
        ("</s>", "fra_Latn"),
    ),
}


@cache
def loaded(family: str) -> tuple[Any, Any]:
    """A random model, large enough in its matrices that every token matters, and its tokenizer."""
    make_tokenizer, configure, _ = FAMILIES[family]
    tokenizer = make_tokenizer()
    scale = 3.0 if "t5" in family else 6.0
    return tiny(AutoModelForSeq2SeqLM, configure(tokenizer), scale), tokenizer


def begin_of(family: str) -> list[int]:
    _, tokenizer = loaded(family)
    ids: list[int] = tokenizer.convert_tokens_to_ids(list(FAMILIES[family][2]))
    return ids


def answer_of(tokenizer: Any, answer: str) -> list[int]:
    """The tokens of a target between those that frame it."""
    framed = tokenizer(text_target=answer)["input_ids"]
    specials = set(tokenizer.all_special_ids)
    return [token for token in framed if token not in specials]


def logprobs(
    model: Any, begin: list[int], ids: list[int], answer: list[int], kept: Any = None
) -> Any:
    """A plain pass: the log-probabilities of the tokens of an answer, and its first logits."""
    attention = {} if kept is None else {"attention_mask": torch.tensor(kept[None].astype(int))}
    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([begin + answer]),
            **attention,
        ).logits[0, len(begin) - 1 :].double()  # fmt: skip
    table = logits.log_softmax(-1).numpy()
    return np.array([table[at, token] for at, token in enumerate(answer)]), logits[0].numpy()


def masks_of(game: Any, count: int = 10) -> Any:
    masks = np.random.default_rng(0).random((count, game.n_players)) < 0.5
    masks[0], masks[1] = True, False
    return masks


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("masking", ["delete", "attention"])
def test_answers_are_scored_as_the_decoder_reads_them(family: str, masking: str) -> None:
    model, tokenizer = loaded(family)
    begin = begin_of(family)
    targets = [
        Response("Yes it is"),
        Response("No it", "logprob", "mean"),
        Response("Yes it is", reduction="token"),
        Response("Yes it is", part="it"),
        Options(("Yes", "No it"), "logprob"),
        Contrast("No it", "Yes it is"),
        LogitFunction(lambda logits: logits[:, 5] - logits[:, 6], "function"),
        Response(max_tokens=3),
    ]
    game = ip.text.TextGame(
        model, tokenizer, TEXT, targets, by="word", prompt=PROMPT, masking=masking
    )
    yes, no, short = (answer_of(tokenizer, text) for text in ("Yes it is", "No it", "Yes"))
    own = game.targets[-1].tokens
    assert own is not None
    masks = masks_of(game)
    values = game(masks)
    rows = game._rows(masks)
    part = slice(1, -1)  # between "Yes" and "is", each a token
    worst = 0.0
    for number, (mask, value) in enumerate(zip(masks, values, strict=True)):
        kept = None
        ids = tokenizer(game.prompt(mask))["input_ids"]
        if masking == "attention":
            assert rows.kept is not None
            ids, kept = tokenizer(game.prompt(masks[0]))["input_ids"], rows.kept[number]
        of_yes, first = logprobs(model, begin, ids, yes, kept)
        of_no, _ = logprobs(model, begin, ids, no, kept)
        wanted = [
            of_yes.sum(),
            of_no.mean(),
            *of_yes,
            of_yes[part].sum(),
            logprobs(model, begin, ids, short, kept)[0].sum(),
            of_no.sum(),
            of_no.sum() - of_yes.sum(),
            first[5] - first[6],
            logprobs(model, begin, ids, list(own), kept)[0].sum(),
        ]
        if number == 0:  # the likeliest tokens, one after the other
            for at, token in enumerate(own):
                table = logprobs(model, [*begin, *own[:at]], ids, [])[1]
                assert table[token] == pytest.approx(table.max(), abs=1e-4)
        worst = max(worst, float(np.abs(value - wanted).max()))
    assert worst < 1e-5 * max(1.0, float(np.abs(values).max()))
    assert values.std(axis=0).min() > 1e-3


@pytest.mark.parametrize("family", ["t5", "bart", "pegasus", "marian", "mbart", "mbart 50"])
def test_the_scores_are_those_that_the_model_is_trained_with(family: str) -> None:
    model, tokenizer = loaded(family)
    game = ip.text.TextGame(model, tokenizer, TEXT, Response("No it is"), by="word", prompt=PROMPT)
    labels = tokenizer(text_target="No it is")["input_ids"]
    answer = answer_of(tokenizer, "No it is")
    at = labels.index(answer[0])
    masks = masks_of(game, 4)
    for mask, value in zip(masks, game(masks), strict=True):
        ids = tokenizer(game.prompt(mask), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            table = model(input_ids=ids, labels=torch.tensor([labels])).logits[0].double()
        table = table.log_softmax(-1)
        total = sum(float(table[at + n, token]) for n, token in enumerate(answer))
        assert value == pytest.approx(total, abs=1e-5 * max(1, abs(total)))


def test_an_answer_after_a_forced_beginning() -> None:
    tokenizer = of_languages(MBart50Tokenizer, src_lang="en_XX")
    model = tiny(AutoModelForSeq2SeqLM, bartish(MBartConfig, 2)(tokenizer))
    with pytest.raises(ValueError, match=r"many languages.*set tokenizer\.tgt_lang"):
        AnswerTokens(model, tokenizer)
    assert tokenizer.tgt_lang is None  # as it was
    french = tokenizer.convert_tokens_to_ids("fr_XX")
    model.generation_config.forced_bos_token_id = french
    tokens = AnswerTokens(model, tokenizer)
    assert tokens.begin == (2, french)
    assert list(tokens("Yes it")) == tokenizer("Yes it", add_special_tokens=False)["input_ids"]
    tokenizer.tgt_lang = "de_DE"
    with pytest.raises(ValueError, match=r"fr_XX.*de_DE.*so that they agree"):
        AnswerTokens(model, tokenizer)
    tokenizer.tgt_lang = "fr_XX"
    for config in (model.generation_config, model.config):
        config.decoder_start_token_id = config.bos_token_id = None
    with pytest.raises(ValueError, match=r"set model\.generation_config\.decoder_start_token_id"):
        AnswerTokens(model, tokenizer)


def test_the_language_of_an_answer_is_what_mbart_begins_with() -> None:
    tokenizer = of_languages(MBartTokenizer, **FRENCH)
    french = tokenizer.convert_tokens_to_ids("fr_XX")
    model = tiny(AutoModelForSeq2SeqLM, bartish(MBartConfig, french)(tokenizer))
    assert AnswerTokens(model, tokenizer).begin == (french,)
    model.generation_config.decoder_start_token_id = None
    assert AnswerTokens(model, tokenizer).begin == (french,)  # as the configuration says
    model.config.decoder_start_token_id = None
    assert AnswerTokens(model, tokenizer).begin == (french,)  # as the tokenizer says
    model.generation_config.decoder_start_token_id = tokenizer.convert_tokens_to_ids("de_DE")
    with pytest.raises(ValueError, match=r"begins with de_DE.*in fr_XX.*so that they agree"):
        AnswerTokens(model, tokenizer)


def test_what_the_decoder_begins_with_is_in_the_fingerprint() -> None:
    model, tokenizer = loaded("bart")

    def fingerprint(target: Any) -> str:
        game = ip.text.TextGame(model, tokenizer, TEXT, target, by="word", prompt=PROMPT)
        assert game.fingerprint is not None
        return game.fingerprint

    targets = [Response("Yes"), Generated(lambda a, b: float(len(a)), "length", 5)]
    before = [fingerprint(target) for target in targets]
    model.generation_config.forced_bos_token_id = 1  # what the tokenizer says too
    assert [fingerprint(target) for target in targets] == before
    model.generation_config.decoder_start_token_id = 3
    try:
        assert not {fingerprint(target) for target in targets} & set(before)
    finally:
        model.generation_config.decoder_start_token_id = 2
        model.generation_config.forced_bos_token_id = None


@pytest.mark.parametrize("family", ["t5", "bart", "marian"])
def test_answers_that_are_written(family: str) -> None:
    model, tokenizer = loaded(family)
    answers: list[str] = []

    def length(answer: str, original: str) -> float:
        answers.append(answer)
        return float(len(answer))

    game = ip.text.TextGame(
        model, tokenizer, TEXT, Generated(length, "length", max_tokens=5), by="word", prompt=PROMPT
    )
    masks = masks_of(game, 6)
    values = game(masks)
    begin = begin_of(family)
    for mask, value in zip(masks, values, strict=True):
        ids = tokenizer(game.prompt(mask))["input_ids"]
        written: list[int] = []
        while len(written) < 5:
            logits = logprobs(model, begin + written, ids, [])[1]
            written.append(int(logits.argmax()))
            if written[-1] == tokenizer.eos_token_id:
                break
        assert value == len(tokenizer.decode(written, skip_special_tokens=True))
    with pytest.raises(ValueError, match="masking='attention' cannot be used with Generated"):
        ip.text.TextGame(
            model, tokenizer, TEXT, Generated(length, "length", 5), by="word", masking="attention"
        )(masks)


def test_tokens_that_are_never_written_stay_so() -> None:
    model, tokenizer = loaded("marian")
    game = ip.text.TextGame(model, tokenizer, TEXT, Response(max_tokens=4), by="word")
    first = game.targets[0].tokens[0]
    model.generation_config.bad_words_ids = [[first]]
    try:
        game = ip.text.TextGame(model, tokenizer, TEXT, Response(max_tokens=4), by="word")
        assert first not in game.targets[0].tokens
    finally:
        model.generation_config.bad_words_ids = None


def test_a_game_of_an_encoder_decoder_is_explained() -> None:
    model, tokenizer = loaded("t5")
    game = ip.text.TextGame(model, tokenizer, TEXT, Response("Yes it"), by="word", prompt=PROMPT)
    assert game.batch_size > 1
    masks = masks_of(game)
    n_answer = len(answer_of(tokenizer, "Yes it"))
    n_read = [len(tokenizer(game.prompt(mask))["input_ids"]) + n_answer for mask in masks]
    np.testing.assert_allclose(game.cost(masks), n_read, atol=4)
    explanation = ip.explain(game, budget=2**game.n_players, progress=False)
    assert explanation.faithfulness.r2 == pytest.approx(1.0)
    described = ends(game, game(end_masks(game.n_players)))
    assert described.own_answer is not None
    assert game.describe()["architecture"] == "T5ForConditionalGeneration"
    LogitDifference("Yes", "No")  # of one token each, as for causal models
    with pytest.raises(ValueError, match="needs answers of one token"):
        ip.text.TextGame(model, tokenizer, TEXT, LogitDifference("Yes it", "No"), by="word")
    with pytest.raises(ValueError, match="has no tokens; give a response to score"):
        ip.text.TextGame(model, tokenizer, TEXT, Response(""), by="word")


def test_longer_texts_and_answers_than_the_model_reads_are_refused() -> None:
    model, tokenizer = loaded("bart")
    assert context_length(model) == context_length(model, of_decoder=True) == 64
    with pytest.raises(ValueError, match="above the model's context of 64; shorten it"):
        ip.text.TextGame(model, tokenizer, "it is good " * 40, Response("Yes"), by="word")
    with pytest.raises(ValueError, match="above the decoder's context of 64; shorten it"):
        ip.text.TextGame(model, tokenizer, TEXT, Response("it is good " * 40), by="word")
    with pytest.raises(ValueError, match="above the decoder's context of 64; shorten it"):
        ip.text.TextGame(model, tokenizer, TEXT, Response(max_tokens=64), by="word")
    game = ip.text.TextGame(model, tokenizer, TEXT, Response(max_tokens=62), by="word")
    assert game.targets[0].tokens
    t5_model, _ = loaded("t5")
    assert context_length(t5_model) is None


def test_small_passes_give_the_same_values() -> None:
    model, tokenizer = loaded("t5")
    target = Options(("Yes it is", "No"))
    game = ip.text.TextGame(model, tokenizer, TEXT, target, by="word", prompt=PROMPT)
    masks = masks_of(game)
    # "No" is read in the pass of the longer answer
    longest = len(answer_of(tokenizer, "Yes it is"))
    assert sorted(map(len, game._scorer.feeds)) == [1, longest]
    tokens = AnswerTokens(model, tokenizer)
    reader = Seq2SeqReader(model, tokenizer, tokens.begin)
    written = [Continuation(tokens(answer)) for answer in target.texts]
    readout = answers_readout(target, written, TokenTexts(tokenizer))
    reader.passes.batches.tokens = 1
    values = reader.values(game._rows(masks).ids, readout)
    np.testing.assert_allclose(values, game(masks), rtol=1e-4)
    assert reader.passes.strategy == "padded"


def test_a_model_whose_parts_give_something_else_is_refused() -> None:
    tokenizer = tokenizer_of("unigram, end")
    sizes = {"src_vocab_size": len(tokenizer), "tgt_vocab_size": len(tokenizer)}
    config = FSMTConfig(
        langs=["en", "de"], **sizes, **BARTISH, decoder_start_token_id=2, pad_token_id=3,
        eos_token_id=2, bos_token_id=1,
    )  # fmt: skip
    model = tiny(AutoModelForSeq2SeqLM, config)
    game = ip.text.TextGame(model, tokenizer, TEXT, Response("Yes it is"), by="word")
    with pytest.raises(ValueError, match="do not give what the whole model gives"):
        game(masks_of(game))


def test_loading_finds_out_what_a_model_is(tmp_path: Path) -> None:
    for family in ("t5", "bart"):
        model, tokenizer = loaded(family)
        folder = tmp_path / family
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        again, _ = ip.text.load_model(str(folder))
        assert type(again) is type(model)
        assert ip.text.load_model(str(folder), task="seq2seq")[0].config.is_encoder_decoder
        with pytest.raises(ValueError, match="has an encoder and a decoder"):
            ComponentGame(again, tokenizer, [], players="heads")
    # the decoder of a BART by itself is a causal model
    decoder = tiny(AutoModelForCausalLM, bartish(BartConfig, 2)(tokenizer))
    assert isinstance(decoder, BartForCausalLM)
    decoder.save_pretrained(tmp_path / "decoder")
    tokenizer.save_pretrained(tmp_path / "decoder")
    assert isinstance(ip.text.load_model(str(tmp_path / "decoder"))[0], BartForCausalLM)
    causal = tiny(
        AutoModelForCausalLM,
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
            intermediate_size=32,
        ),
    )  # fmt: skip
    causal.save_pretrained(tmp_path / "causal")
    tokenizer.save_pretrained(tmp_path / "causal")
    with pytest.raises(ValueError, match="is no encoder-decoder; load it with task='causal'"):
        ip.text.load_model(str(tmp_path / "causal"), task="seq2seq")


def test_the_command_line_explains_an_encoder_decoder(tmp_path: Path) -> None:
    model, tokenizer = loaded("t5")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text("it is not good no", encoding="utf-8")
    command = [
        "text", "--model", str(tmp_path / "model"), "--file", str(tmp_path / "text.txt"),
        "--by", "word", "--prompt", "Is it? {text}", "--out", str(tmp_path / "out"), "--response",
        "Yes it", "--target", "prob",
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    game = ip.text.TextGame(
        model, tokenizer, "it is not good no", Response("Yes it", "prob"), by="word",
        prompt="Is it? {text}",
    )  # fmt: skip
    assert game.n_players == 5
    explanation = ip.load(tmp_path / "out" / "explanation.interplay")
    masks = masks_of(game, 4)
    np.testing.assert_allclose(explanation.predict(masks), game(masks), rtol=1e-4, atol=1e-6)
