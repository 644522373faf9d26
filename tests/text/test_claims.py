"""The claims of a long answer as outputs: by the model's own probabilities, and by a judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interplay.fourier.masks import every_mask
from interplay.text import Contrast, Response, TextGame, judge_claims
from interplay.text.api.targets import check_target
from interplay.text.targets import settings_of

CONTEXT = "The key is red. The box is old."
ANSWER = " The key is red. It is in the old box."


@pytest.mark.model
def test_sentences_of_a_response_are_outputs_of_one_pass(smollm: Any) -> None:
    masks = every_mask(2)[1:]
    target = Response(ANSWER, reduction="sentence")
    game = TextGame(*smollm, CONTEXT, target, prompt="{text} So:")
    assert game.describe()["outputs"] == ["The key is red.", "It is in the old box."]
    by_claim = TextGame(*smollm, CONTEXT, Response(ANSWER).claims(), prompt="{text} So:")
    np.testing.assert_allclose(game(masks), by_claim(masks), atol=1e-3)
    whole = TextGame(*smollm, CONTEXT, Response(ANSWER), prompt="{text} So:")
    np.testing.assert_allclose(game(masks).sum(axis=1), whole(masks), atol=1e-3)

    probable = TextGame(*smollm, CONTEXT, Response(ANSWER, "prob", "sentence"), prompt="{text} So:")
    np.testing.assert_allclose(probable(masks), np.exp(game(masks)), rtol=1e-2)
    lines = Response("Red.\nOld. Box.", reduction="line")
    listed = TextGame(*smollm, CONTEXT, lines, prompt="{text} So:\n")
    assert listed.describe()["outputs"] == ["Red.", "Old. Box."]


@pytest.mark.model
def test_the_claims_of_the_models_own_answer(smollm: Any) -> None:
    own = Response(reduction="sentence", max_tokens=12)
    game = TextGame(*smollm, CONTEXT, own, prompt="{text} The box is")
    (target,) = game.targets
    assert isinstance(target, Response)
    assert target.text
    assert "".join(game.describe()["outputs"]) in target.text.replace(". ", ".")


@pytest.mark.model
def test_why_a_long_answer_says_this_and_not_that(smollm: Any) -> None:
    given = " The key is"
    why = Contrast(" red", " blue", given=given)
    assert str(why) == "logprob of ' red' - logprob of ' blue' after '… The key is'"
    parts = [Response(given + word, part=word) for word in (" red", " blue")]
    values = [
        TextGame(*smollm, CONTEXT, target, prompt="{text} So:")(every_mask(2))
        for target in (why, parts)
    ]
    np.testing.assert_allclose(values[0], values[1] @ [1, -1], atol=1e-3)


def test_a_setting_that_came_later_leaves_fingerprints_as_they_were() -> None:
    before = {"kind": "Contrast", "positive": "a", "negative": "b"}
    assert settings_of(Contrast("a", "b")) == before
    assert settings_of(Contrast("a", "b", "c")) == before | {"given": "c"}


@pytest.mark.model
def test_a_judge_scores_what_is_written_instead(smollm: Any) -> None:
    asked = []

    def says(answer: str, claim: str) -> float:
        asked.append((answer, claim))
        return float("red" in answer)

    target = judge_claims(["It is red.", "It is a key."], says, name="red", max_tokens=4)
    game = TextGame(*smollm, "The key is red.", target, by="word", prompt="{text} The key is")
    values = game(np.array([[True] * 4, [False] * 4]))
    assert values.shape == (2, 2)
    assert values[0].tolist() == [1, 1]
    assert game.fingerprint is not None
    assert {claim for _, claim in asked} == {"It is red.", "It is a key."}


def test_claims_are_texts_or_a_long_answer() -> None:
    assert judge_claims(ANSWER, lambda a, c: 0.0).outputs == (
        "The key is red.",
        "It is in the old box.",
    )
    for claims in ([], ["a", "a"], [""]):
        with pytest.raises(ValueError, match="give different texts"):
            judge_claims(claims, lambda a, c: 0.0)


def test_a_server_is_asked_for_claims_by_a_judge() -> None:
    with pytest.raises(ValueError, match="judge_claims"):
        check_target(Response(ANSWER, reduction="sentence"))
