"""Steps that the model writes again: what stays, what is drawn, and from where on."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import interplay as ip
from interplay.game import call
from interplay.text import ApiGame, Contrast, Replace, Resample, Swap, TextGame
from interplay.text.prompts.resample import end_of_segment

STEPS = "Tom has 3 apples. He buys 4. So he has 7."
ASKED = "Ann has 2 pears. She eats 1. So she has 1.\n{text}\nAnswer:"
TARGET = Contrast(" 7", " 3")


def game(smollm: Any, masking: Resample, **settings: Any) -> TextGame:
    return TextGame(*smollm, STEPS, TARGET, prompt=ASKED, masking=masking, **settings)


@pytest.mark.model
def test_kept_steps_stay_and_removed_ones_are_written_again(smollm: Any) -> None:
    made = game(smollm, Resample(n_repeats=3, max_tokens=6))
    assert made.n_repeats == 3
    before, after = ASKED.split("{text}")
    masks = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [1, 0, 0]], dtype=bool)
    seeds = np.arange(4)
    whole, second, first, rest = made.rewritten(masks, seeds)
    assert whole == made.prompt(masks[0])
    assert second.startswith(before + "Tom has 3 apples.")
    assert second.endswith("So he has 7." + after)
    assert "He buys 4." not in second
    assert first.startswith(before)
    assert first.endswith("He buys 4. So he has 7." + after)
    assert rest.startswith(before + "Tom has 3 apples. ")
    assert not any("  " in text for text in (second, first, rest))
    # by the seed alone, whatever else is written at the same time
    assert made.rewritten(masks[[3, 1]], seeds[[3, 1]]) == [rest, second]
    assert made.rewritten(masks[[3]], np.array([7])) != [rest]
    every = np.array([[int(bit) for bit in f"{number:03b}"] for number in range(8)], dtype=bool)
    together = made.rewritten(every, np.arange(8) * 7)
    for number, text in enumerate(together):
        part = slice(number, number + 1)
        assert made.rewritten(every[part], np.arange(8)[part] * 7) == [text]

    values = made(masks[:2], seeds[:2])
    left_out = TextGame(*smollm, STEPS, TARGET, prompt=ASKED)
    assert values[0] == pytest.approx(left_out(masks[:1])[0], abs=1e-4)
    assert values[1] != values[0]


@pytest.mark.model
def test_the_rest_is_written_again_from_the_first_removed_step_on(smollm: Any) -> None:
    step, rest = (game(smollm, Resample(rest=rest, max_tokens=6)) for rest in (False, True))
    masks = np.array([[1, 0, 1], [1, 0, 0]], dtype=bool)
    seeds = np.array([5, 5])
    one, other = rest.rewritten(masks, seeds)
    assert one == other == step.rewritten(masks, seeds)[1]
    assert step.fingerprint != rest.fingerprint
    assert rest.describe()["masking"] == {
        "kind": "resample",
        "version": 2,
        "rest": True,
        "temperature": 1.0,
        "max_tokens": 6,
    }


@pytest.mark.model
def test_an_explanation_says_how_much_is_noise(smollm: Any) -> None:
    made = TextGame(
        *smollm,
        "Tom has 3 apples. So he has 7.",
        TARGET,
        prompt="Count.\n{text}\nAnswer:",
        masking=Resample(n_repeats=2, max_tokens=6),
    )
    explanation = ip.explain(made)
    assert "noise" in str(explanation.faithfulness)
    masks = np.array([[True, False]])
    np.testing.assert_array_equal(call(made, masks, 2), call(made, masks, 2))


def test_where_a_segment_ends() -> None:
    sentence = partial(end_of_segment, by="sentence", language="en")
    assert sentence(" He buys 3.5 kg") is None
    assert sentence(" He buys 4. So") == len(" He buys 4.")
    assert sentence(" He buys 4.\n") == len(" He buys 4.")
    assert sentence("\n") == 0
    line = partial(end_of_segment, by="line", language="en")
    assert line("One. Two") is None
    assert line("One. Two.\nThree") == len("One. Two.")


@pytest.mark.model
def test_what_cannot_be_written_again(smollm: Any) -> None:
    with pytest.raises(ValueError, match="by='word' has segments"):
        game(smollm, Resample(), by="word")
    with pytest.raises(ValueError, match="fixed words before"):
        TextGame(*smollm, STEPS, TARGET, prompt="{text}\nAnswer:", masking=Resample())(
            np.array([[False, True, True]])
        )
    with pytest.raises(ValueError, match="needs a local model"):
        ApiGame("m", STEPS, TARGET, prompt=ASKED, masking=Resample())
    with pytest.raises(ValueError, match="make a game for each"):
        game(smollm, Swap({"Tom": "Ben"}, Resample()))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give masking=Resample"):
        TextGame(*smollm, STEPS, TARGET, prompt=ASKED, masking=Replace("_")).rewritten(
            np.ones((1, 3), dtype=bool), np.zeros(1, dtype=np.int64)
        )
    for wrong in ({"n_repeats": 0}, {"temperature": 0.0}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match="Resample"):
            Resample(**wrong)  # type: ignore[arg-type]
