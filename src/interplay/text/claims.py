"""Claims: the sentences of a long answer as outputs, scored by the model or by a judge.

The log-probability of a claim says how likely the model is to *write* it, in these words and after
what the answer says before it (``Response(text, reduction="sentence")``). A judge says whether the
answer that the model writes instead still *supports* it, in whatever words (:func:`judge_claims`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from interplay._types import FloatArray
from interplay.text.inference.generation import Generated
from interplay.text.prompts.segments import Unit, split
from interplay.text.prompts.token_texts import TokenTexts
from interplay.text.prompts.tokens import Continuation
from interplay.text.readouts import Readout, answers_readout, tokens_of_part
from interplay.text.targets import Response


@dataclass(frozen=True)
class _Claims:
    """The score of a response, with an output for each of its claims.

    Attributes:
        target: the response.
        names: the claims' texts.
        places: of each claim its tokens.
    """

    target: Response
    names: tuple[str, ...]
    places: tuple[range, ...]

    @property
    def answers(self) -> tuple[str, ...]:
        """The response."""
        return self.target.answers

    def outputs(self, tokens: Sequence[Sequence[str]], /) -> tuple[str, ...]:
        """The claims."""
        return self.names

    def combine(self, logprobs: Sequence[FloatArray], /) -> FloatArray:
        """The score of each claim, ``(b, claims)``, from ``(b, tokens)``."""
        (whole,) = logprobs
        scored = [self.target.combine([whole[:, list(place)]]) for place in self.places]
        return np.stack(scored, axis=1)


def claims_readout(target: Response, written: Continuation, texts: TokenTexts) -> Readout:
    """The readout of a response with an output for each of its claims, named by its text.

    Args:
        target: the response; its reduction is the unit of the claims.
        written: the response as it is written after a prompt.
        texts: of the model's tokenizer.
    """
    whole = target.text or ""
    spans = [claim.span for claim in target.claims(target.reduction) if claim.span is not None]
    claims = _Claims(
        replace(target, reduction="sum"),
        tuple(whole[start:stop] for start, stop in spans),
        tuple(tokens_of_part(whole, span, written, texts) for span in spans),
    )
    return answers_readout(claims, [written], texts)


@dataclass(frozen=True)
class _Judged:
    """The scores of an answer by a judge, one for each claim."""

    judge: Callable[[str, str], float]
    claims: tuple[str, ...]

    def __call__(self, answer: str, original: str) -> list[float]:
        return [float(self.judge(answer, claim)) for claim in self.claims]


def judge_claims(
    claims: str | Sequence[str],
    judge: Callable[[str, str], float],
    *,
    name: str | None = None,
    max_tokens: int = 64,
    by: Unit = "sentence",
    language: str | None = None,
) -> Generated:
    """A target that has the model answer each ablated prompt, and a judge score the claims.

    Which segments does it take for the answer to support this claim? Each claim is an output. The
    judge may be an entailment model, a similarity of embeddings, a rule, or a call of another
    model; equal answers are judged once.

    Example:
        >>> def says(answer, claim):
        ...     return float(claim.split()[-1].strip(".") in answer)
        >>> target = judge_claims("The key is red. It is old.", says, name="last word")
        >>> target.outputs
        ('The key is red.', 'It is old.')
        >>> target.score("An old key.", "")
        array([0., 1.])

    Args:
        claims: texts, or a long answer that is split into them, such as the model's own.
        judge: from an answer and a claim to a number: how far the answer supports the claim.
        name: identifies the judge, for the fingerprint. Without a name the values are held for the
            run only and never written to a store.
        max_tokens: the most tokens of an answer.
        by: the unit of the claims of a long answer, as for :func:`interplay.text.split`.
        language: for sentences, its code, such as ``"de"``; by default it is guessed.

    Raises:
        ValueError: there are no claims, or two are the same.
    """
    if isinstance(claims, str):
        claims = [claims[start:stop] for start, stop in split(claims, by, language)]
    texts = tuple(claims)
    if not texts or len(set(texts)) < len(texts) or not all(texts):
        raise ValueError(
            f"the claims {texts!r} are none, or have an empty one, or one twice; give different "
            "texts, an output each"
        )
    return Generated(_Judged(judge, texts), name, max_tokens, texts)
