"""Checks of a fine-tuning: did the model learn, and do another seed and full depth agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay._types import BoolArray, FloatArray, Json, plain, visible

_FEWEST = 5
"""Subsets of an agreement: with fewer its interval is nearly everything."""
_FEW = 30
_LEVEL = 0.95
_LEARNED = 0.1
"""The share of the base model's loss on the responses that a training that learned takes away."""


@dataclass(frozen=True)
class Agreement:
    """How far two ways to train agree on which subsets score high.

    Attributes:
        spearman: Spearman's rank correlation of the two ways' scores over the subsets, the mean
            over the questions; NaN if no question's scores vary.
        low: the lower end of its interval, as if there were one question only.
        high: the upper end.
        n_subsets: the number of subsets.
    """

    spearman: float
    low: float
    high: float
    n_subsets: int

    def __str__(self) -> str:
        if not np.isfinite(self.spearman):
            return (
                f"over {self.n_subsets} random subsets no score varies, so there is nothing to say"
            )
        few = ", which are few" if self.n_subsets < _FEW else ""
        return (
            f"Spearman's correlation {self.spearman:.2f} ({self.low:.2f} to {self.high:.2f} with "
            f"{_LEVEL:.0%}) over {self.n_subsets} random subsets{few}"
        )


_SCALES = {
    "prob": (
        "probabilities are next to constant wherever an answer is learned or not learned at all; "
        "log-probabilities and margins are not",
        True,
    ),
    "auto": (
        "log-probabilities of answers, or their differences where another answer is given, in nats",
        False,
    ),
    "logprob": ("log-probabilities of answers, in nats", False),
    "margin": ("differences of log-probabilities, in nats", False),
}
"""What to know of a score, and whether that is a warning."""


@dataclass(frozen=True)
class TuningChecks:
    """What to know of a fine-tuning before its explanation is used. ``print`` shows it.

    Attributes:
        questions: their names.
        base: the base model's score at each.
        tuned: the score at each after training on all examples.
        responses: the mean log-probability per token of the examples' responses under the base
            model, and after training on all of them.
        score: what is scored.
        approximations: what is cheaper than ordinary fine-tuning, in words.
        seed: the agreement of two seeds; ``None``: not checked.
        depth: the agreement with ordinary fine-tuning of all layers; ``None``: not checked.
    """

    questions: tuple[str, ...]
    base: tuple[float, ...]
    tuned: tuple[float, ...]
    responses: tuple[float, float]
    score: str
    approximations: tuple[str, ...] = ()
    seed: Agreement | None = None
    depth: Agreement | None = None

    @property
    def learned(self) -> bool:
        """Whether training on all examples takes away a tenth or more of the loss on them."""
        before, after = self.responses
        return bool(after - before >= _LEARNED * abs(before))

    @property
    def advice(self) -> str:
        """What to give to a training that did not learn."""
        before, after = self.responses
        if after >= before:
            return "a larger learning rate, more epochs or layers"
        return "a smaller learning rate, or None to find one"  # it diverged, or went too far

    @property
    def lines(self) -> tuple[tuple[str, str, bool], ...]:
        """Each check's name, what came out, and whether that is a warning."""
        before, after = self.responses
        lines = [
            (
                "learned",
                f"mean log-probability of the examples' responses a token: {before:.3f} (base "
                f"model), {after:.3f} (tuned on all)"
                + ("" if self.learned else "; it did not learn, so there is little to explain"),
                not self.learned,
            )
        ]
        if self.approximations:
            lines.append(("approximations", "; ".join(self.approximations), False))
        for name, what, value in (
            ("another seed", "trained with another seed: ", self.seed),
            ("full depth", "trained in all layers, without approximations: ", self.depth),
        ):
            low = value is not None and not value.low > 0
            lines.append((name, "not checked" if value is None else f"{what}{value}", low))
        lines.append(("score", *_SCALES[self.score]))
        return tuple(lines)

    def to_json(self) -> Json:
        """The checks as JSON."""
        agreements = {"seed": self.seed, "depth": self.depth}
        document: Json = plain(
            {
                "checks": [
                    {"name": name, "text": text, "warning": warning}
                    for name, text, warning in self.lines
                ],
                "questions": [
                    {"name": name, "base": base, "tuned": tuned}
                    for name, base, tuned in zip(self.questions, self.base, self.tuned, strict=True)
                ],
                "responses": list(self.responses),
            }
            | {name: value and vars(value) for name, value in agreements.items()}
        )
        return document

    def __str__(self) -> str:
        lines = [f"{name:<14} {text}" for name, text, _ in self.lines]
        for number, name in enumerate(self.questions):
            first = "question" if not number else ""
            scores = f"{self.base[number]:+.3f} (base), {self.tuned[number]:+.3f} (tuned)"
            lines.append(f"{first:<14} {scores}: {name}")
        return visible("\n".join(lines))


def agreement(one: FloatArray, other: FloatArray) -> Agreement:
    """Compare two ways to train by the scores of the same subsets, ``(m, k)`` each.

    The interval is that of Fisher's transform with the variance 1.06 / (m - 3) that Fieller,
    Hartley and Pearson (1957) give for ranks. Questions share their trainings, so it does not
    shrink with their number.
    """
    from scipy.stats import norm, rankdata

    ranks = [rankdata(values, axis=0) for values in (one, other)]
    varies = [np.ptp(rank, axis=0) > 0 for rank in ranks]
    columns = np.flatnonzero(varies[0] & varies[1])
    n_subsets = len(one)
    if not len(columns) or not np.isfinite([one, other]).all():
        return Agreement(np.nan, np.nan, np.nan, n_subsets)
    centred = [rank[:, columns] - rank[:, columns].mean(axis=0) for rank in ranks]
    norms = [np.linalg.norm(rank, axis=0) for rank in centred]
    rho = float(((centred[0] * centred[1]).sum(axis=0) / norms[0] / norms[1]).mean())
    half = norm.ppf((1 + _LEVEL) / 2) * np.sqrt(1.06 / (n_subsets - 3))
    middle = np.arctanh(np.clip(rho, -1 + 1e-9, 1 - 1e-9))
    low, high = np.tanh([middle - half, middle + half]).tolist()
    return Agreement(rho, low, high, n_subsets)


def random_subsets(count: int, n_players: int, random_state: int) -> BoolArray:
    """Masks of about half of the players, ``(count, n)``, none of them full or empty.

    Raises:
        ValueError: they are too few to say anything.
    """
    if count < _FEWEST:
        raise ValueError(
            f"{count} subsets are too few to see whether two trainings agree; give {_FEWEST} or "
            "more, or 0 to do without"
        )
    rng = np.random.default_rng(random_state)
    masks = rng.random((count, n_players)) < 0.5
    for mask in masks:  # a full or an empty one, of few players
        if mask.all() or not mask.any():
            mask[rng.integers(n_players)] ^= True
    return masks
