"""ImageTextGame: regions and segments in one game; models of both, tiny and random."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay._types import FloatArray
from interplay.images import (
    Constant,
    ImageTextGame,
    Noise,
    VisionLanguageModel,
    from_vision_language,
)
from interplay.images.pictures import Pixels

PHOTO = np.random.default_rng(0).integers(1, 256, (12, 16, 3), dtype=np.uint8)
QUESTION = "is the left side dark"


def answer(images: Pixels, texts: list[str]) -> FloatArray:
    """The mean of the side that the text asks for, negative if it asks for darkness."""
    left = np.array(["left" in text for text in texts])
    sign = np.where(["dark" in text for text in texts], -1.0, 1.0)
    means = images.reshape(len(images), 12, 2, 8, 3).mean(axis=(1, 3, 4))
    return np.where(left, means[:, 0], means[:, 1]) * sign


def made(**changed: Any) -> ImageTextGame:
    settings = {"by": "word", "regions": (1, 2), "fill": Constant(0.0)} | changed
    return ImageTextGame(answer, PHOTO, QUESTION, **settings)


def test_players_and_values() -> None:
    game = made()
    assert game.n_players == 7
    assert game.players[:4] == ("row 1, column 1", "row 1, column 2", '"is"', '"the"')
    masks = np.random.default_rng(1).random((20, 7)) < 0.5
    for mask, value in zip(masks, game(masks), strict=True):
        image = PHOTO.copy()
        for side in np.flatnonzero(~mask[:2]):
            image[:, 8 * side : 8 * side + 8] = 0
        words = [word for word, kept in zip(QUESTION.split(), mask[2:], strict=True) if kept]
        assert value == answer(image[None], [" ".join(words)])[0]
    assert made(batch_size=3)(masks).tolist() == game(masks).tolist()


def test_a_word_says_which_region_counts() -> None:
    """Without "dark": the left side's mean with "left", the right side's without."""
    explanation = ip.explain(made(fixed=re.compile("dark")), budget=64)
    pairs = explanation.interactions("Moebius", order=2).top(2, min_order=2)
    assert {tuple(explanation.players[player] for player in pair) for pair in pairs.sets} == {
        ("row 1, column 1", '"left"'),
        ("row 1, column 2", '"left"'),
    }
    (left, right) = (pairs.values[pairs.sets.index(pair)] for pair in ((0, 4), (1, 4)))
    assert (left, right) == pytest.approx((-PHOTO[:, :8].mean(), PHOTO[:, 8:].mean()))


def test_swapped_words_and_noise() -> None:
    game = made(by="sentence", masking=ip.text.Swap({"left": ["right", "upper"]}))
    mask = np.ones((1, game.n_players), dtype=bool)
    mask[0, -1] = False
    right = answer(PHOTO[None], ["is the right side dark"])[0]
    assert game(mask)[0] == pytest.approx(right)  # either word asks for the right side
    assert game.cost(mask).tolist() == [2.0]
    noisy = made(fill=Noise(2))
    assert noisy.n_repeats == 2
    seeds = np.arange(1)
    whole = np.ones((1, 7), dtype=bool)
    assert noisy(whole, seeds) == made()(whole)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="works on tokens, which a processor makes"):
        made(masking="attention")
    with pytest.raises(ValueError, match="apply the processor's chat template"):
        made(prompt=[{"role": "user", "content": "{text}"}])
    with pytest.raises(ValueError, match="text"):
        made(prompt="no place for it")


def test_the_fingerprint_covers_image_and_text() -> None:
    def known(**changed: Any) -> str | None:
        return made(**({"fingerprint": "1"} | changed)).fingerprint

    assert made().fingerprint is None
    others = [
        known(fingerprint="2"),
        known(by=re.compile("left")),
        known(prompt="Say: {text}"),
        known(masking=ip.text.Replace("_")),
        known(fill="mean"),
        known(regions=(2, 1)),
    ]
    assert len({known(), *others}) == 1 + len(others)
    assert known() == known(batch_size=2)


@cache
def tiny() -> tuple[Any, Any]:
    """A LLaVA of two layers with random weights, and its processor."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<unk>", "<pad>", "<image>", *QUESTION.split(), "yes", "no", "USER", "ASSISTANT", ":"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    side = {"height": 28, "width": 28}
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size=side, crop_size=side), tokenizer=tokenizer,
        patch_size=14, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1,
    )  # fmt: skip
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            **sizes, num_attention_heads=2, image_size=28, patch_size=14, initializer_range=0.5
        ),
        text_config=LlamaConfig(
            **sizes, vocab_size=len(words), num_attention_heads=2, num_key_value_heads=2,
            max_position_embeddings=64, initializer_range=0.5,
        ),
        image_token_index=2, vision_feature_layer=-1,
    )  # fmt: skip
    return LlavaForConditionalGeneration(config).eval(), processor


def asked(answers: Any, **more: Any) -> VisionLanguageModel:
    return from_vision_language(*tiny(), answers, **more)


def test_a_model_of_both_gives_the_probability_of_answers() -> None:
    """On random weights, so only that each row is what the model itself gives."""
    import torch

    model, processor = tiny()
    both = asked(["yes", "no yes"])
    images = np.stack([PHOTO, PHOTO[::-1], PHOTO[:, ::-1]])
    texts = ["<image> is the left side dark", "<image> dark", "<image> the side dark left"]
    values = both(images, texts)
    for image, text, (yes, no_yes) in zip(images, texts, values, strict=True):
        for words, value in (("yes", yes), ("no yes", no_yes)):
            inputs = processor(images=[image], text=[f"{text} {words}"], return_tensors="pt")
            with torch.inference_mode():
                logprobs = model(**inputs).logits[0].double().log_softmax(-1)
            ids = inputs["input_ids"][0]
            n_words = len(words.split())
            expected = sum(
                float(logprobs[place - 1, ids[place]])
                for place in range(len(ids) - n_words, len(ids))
            )
            assert value == pytest.approx(expected, abs=1e-5)
    assert asked("yes", score="prob")(images, texts)[:, 0] == pytest.approx(np.exp(values[:, 0]))
    with pytest.raises(ValueError, match="has an answer without tokens"):
        asked(["yes", ""])
    with pytest.raises(ValueError, match="score='logit' is unknown; choose one of logprob, prob"):
        asked("yes", score="logit")
    assert len({asked("yes").fingerprint, asked("no").fingerprint, both.fingerprint}) == 3
    assert asked("yes").fingerprint == asked("yes").fingerprint


def test_a_game_of_a_model_of_both() -> None:
    game = ImageTextGame(
        asked(["yes", "no"]), PHOTO, QUESTION, by="word", prompt="USER: <image> {text} ASSISTANT:",
        target="yes", against="no", regions=(2, 1),
    )  # fmt: skip
    assert game.players[:3] == ("row 1, column 1", "row 2, column 1", '"is"')
    explanation = ip.explain(game, budget=256)
    assert explanation.faithfulness.exact
    values = game(np.array([[True] * 7, [False] * 7]))
    ends = explanation.predict(np.array([[True] * 7, [False] * 7]))
    assert ends == pytest.approx(values)
    assert abs(values[0] - values[1]) > 1e-3
    # both kinds of players act
    singles = np.abs(explanation.interactions("SV", order=1).values)
    assert len(singles) == 7
    assert (singles > 1e-4).all()


def test_resampling_of_the_text_is_refused() -> None:
    with pytest.raises(ValueError, match="Resample has a model of text"):
        made(masking=ip.text.Resample())


def test_a_model_that_writes_into_its_input_reads_each_version_anew() -> None:
    def careful(images: Pixels, texts: list[str]) -> FloatArray:
        return images.mean(axis=(1, 2, 3)) - 0.5 + np.array([len(text) for text in texts])

    def careless(images: Pixels, texts: list[str]) -> FloatArray:
        scores = careful(images, texts)
        images -= 0.5
        return scores

    swap = ip.text.Swap({"left": ["up", "right"]})
    one, other = (
        ImageTextGame(model, PHOTO / 255.0, QUESTION, masking=swap, regions=(1, 2), fill="blur")
        for model in (careful, careless)
    )
    masks = np.random.default_rng(0).random((8, one.n_players)) < 0.5
    assert one(masks) == pytest.approx(other(masks))
    assert np.ptp(one(masks)) > 1.0
