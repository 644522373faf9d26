"""Whether the answer that is scored is one that the model would give.

A score of an answer whose probability is negligible says nothing about the model, however well a
spectrum predicts it. Mostly only the form is wrong: a leading space or a capital.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from interplay._arrays import as_columns
from interplay._types import FloatArray, Json
from interplay.text.game import TextGame
from interplay.text.inference.generation import AnswerReader
from interplay.text.scoring import score_by
from interplay.text.targets import AnswerTarget, Response

NEGLIGIBLE = 1e-3
"""A probability below which an answer is not one that the model gives."""
_BETTER = 10.0
"""So many times likelier must another form be to be suggested."""
_MAX_TOKENS = 12


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer that a target scores, at the whole input.

    Attributes:
        text: the answer.
        probability: its probability; of several tokens the geometric mean of theirs.
        likelier: the form of it that is likeliest, if that is much likelier; else ``None``.
        likelier_probability: its probability.
    """

    text: str
    probability: float
    likelier: str | None = None
    likelier_probability: float | None = None

    def to_json(self) -> Json:
        """Its fields, and the warning."""
        return asdict(self) | {"warning": self.warning}

    @property
    def is_negligible(self) -> bool:
        """Whether the model would hardly ever give it."""
        return self.probability < NEGLIGIBLE

    @property
    def warning(self) -> str | None:
        """What to say of it; ``None`` if all is well."""
        if not self.is_negligible:
            return None
        text = (
            f"the answer {self.text!r} has the probability {self.probability:.1e} a token at the "
            "whole input: the model hardly ever gives it, so its changes say little"
        )
        if self.likelier is None:
            return text
        return f"{text}; {self.likelier!r} has {self.likelier_probability:.1e}: is that meant?"


@dataclass(frozen=True, eq=False)
class Ends:
    """The whole input and the empty one, and what the model answers to the whole one.

    Attributes:
        full: the values with every player kept, ``(k,)``.
        empty: the values with every player removed, ``(k,)``.
        own_answer: the model's own greedy answer to the whole input, at most twelve tokens;
            ``None`` for a model that gives none.
        answers: the answers that the targets score.
    """

    full: FloatArray
    empty: FloatArray
    own_answer: str | None
    answers: tuple[ScoredAnswer, ...]


def ends(game: TextGame, values: FloatArray) -> Ends:
    """Describe the ends of a game.

    Args:
        game: of a local model.
        values: of :func:`interplay.fourier.masks.end_masks`, ``(2,)`` or ``(2, k)``.
    """
    full, empty = as_columns(values)
    answers = [
        answer
        for target in game.targets
        if isinstance(target, AnswerTarget)
        for answer in target.answers
    ]
    if not answers:
        return Ends(full, empty, None, ())
    prompt = game.unmasked_ids
    (own_answer,) = AnswerReader(game.model, game.tokenizer).answers([prompt], _MAX_TOKENS)
    return Ends(full, empty, own_answer, _scored(game, list(dict.fromkeys(answers))))


def _scored(game: TextGame, answers: list[str]) -> tuple[ScoredAnswer, ...]:
    """The probability of each answer, and of the forms that it may be mistaken for."""
    forms = list(dict.fromkeys(form for answer in answers for form in _forms(answer)))
    targets = [Response(form, score="prob", reduction="mean") for form in forms]
    scorer = score_by(targets, game.model, game.tokenizer, game.whole())
    values = as_columns(scorer.values(game.whole()))[0]
    probability = dict(zip(forms, values.tolist(), strict=True))
    scored = []
    for answer in answers:
        best = max(_forms(answer), key=probability.__getitem__)
        if probability[best] < _BETTER * probability[answer]:
            scored.append(ScoredAnswer(answer, probability[answer]))
        else:
            scored.append(ScoredAnswer(answer, probability[answer], best, probability[best]))
    return tuple(scored)


def _forms(answer: str) -> list[str]:
    """An answer as it is, and with and without a leading space and a capital."""
    words = answer.strip()
    if not words:
        return [answer]
    variants = (words, words[0].upper() + words[1:], words[0].lower() + words[1:])
    return [answer, *(f"{space}{form}" for form in variants for space in ("", " "))]
