"""Adaptive circuits: subsets that a spectrum predicts to be best are evaluated, and it is refitted.

A spectrum is optimised far from the masks that it was fitted to, and the optimum is drawn to its
errors. A round therefore evaluates, for each wanted size, the optimum of the spectrum and those of
a few spectra that are fitted to random subsets of the ablations, as a bootstrap has them: where
these disagree, the spectrum is uncertain. Then the same decoder is fitted to all ablations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal, TypeAlias, get_args

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, FloatArray, IntArray
from interplay.ablation.evaluator import Evaluator
from interplay.decoders.base import Decoder
from interplay.decoders.decode import check_request, get_decoder, run_decoder
from interplay.designs.base import PlainDesign
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.run_plan import Request
from interplay.extensions import unknown
from interplay.fourier.masks import distinct, keys
from interplay.fourier.spectrum import Spectrum
from interplay.optimize.subset import BestSubset, best_subset

Objective: TypeAlias = Literal["best", "faithful"]
"""What is wanted of a subset: the largest score, or the score of the whole model."""
_SAMPLES = 3
"""Spectra of subsets of the ablations, in each round."""
_SHARE = 0.632
"""The share of the ablations that each is fitted to: that of distinct ones in a bootstrap."""


@dataclass(frozen=True)
class Goal:
    """What is wanted of a subset of a given size.

    Attributes:
        output: which of several scores is meant.
        target: the score of the whole model, which the subset's is to be near to; ``None``: the
            subset's is to be large.
        time_limit: seconds for each optimisation.
    """

    output: int
    target: float | None
    time_limit: float

    def optimum(self, spectrum: Spectrum, n_kept: int, gap: float = 0.0) -> BestSubset:
        """The subset of that size that a spectrum predicts to be best."""
        return best_subset(
            spectrum,
            keep=n_kept,
            target=self.target,
            output=self.output,
            time_limit=self.time_limit,
            gap=gap,
        )

    def merits(self, values: FloatArray) -> FloatArray:
        """How good values ``(m, k)`` are, larger being better, ``(m,)``."""
        scores = values[:, self.output]
        return scores if self.target is None else -np.abs(scores - self.target)


@dataclass(frozen=True, eq=False)
class Choice:
    """Players to keep, and how they were chosen.

    Attributes:
        mask: ``(n,)``.
        note: how they were chosen.
        predicted: the score that a spectrum predicts; NaN without a spectrum.
        rounds: how often the spectrum was refitted.
        spent: the ablations that the choice took, for all sizes together, beyond those that the
            spectrum was first fitted to.
    """

    mask: BoolArray
    note: str = ""
    predicted: float = nan
    rounds: int = 0
    spent: int = 0


def check_objective(objective: str) -> None:
    """Refuse an unknown objective.

    Raises:
        ValueError: it is unknown.
    """
    if objective not in get_args(Objective):
        raise unknown("objective", objective, get_args(Objective))


def check_refits(decoder: Decoder) -> None:
    """Refuse a decoder that cannot be fitted to further ablations.

    Raises:
        ValueError: it needs masks of its own.
    """
    if decoder.most_missing is not None:
        raise ValueError(
            f"decoder={decoder.name!r} has masks of its own and cannot be refitted to proposed "
            'subsets; explain the game by decoder="gp" or "auto", or give rounds=0'
        )


def adapted(
    evaluator: Evaluator,
    explanation: Explanation,
    sizes: Sequence[int],
    goal: Goal,
    rounds: int,
    seed: Sequence[int],
) -> list[Choice]:
    """Choose subsets by rounds of evaluation and refitting.

    The choice is the optimum of the last spectrum, which is evaluated too, or a subset of its size
    that was evaluated before, if that has a better value.

    Args:
        evaluator: of the explained game.
        explanation: its ablations and its decoder are taken further.
        sizes: how many players to keep, distinct numbers.
        goal: what is wanted.
        rounds: how many. They end early if nothing new is proposed.
        seed: of folds, trees and subsets of the ablations.

    Returns:
        One choice for each size.

    Raises:
        ValueError: the decoder cannot be refitted.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    spectrum, first = explanation.spectrum, _first(explanation)
    known, n_rounds = first, 0
    # where all subsets were evaluated nothing is left to learn
    for number in range(0 if explanation.faithfulness.exact else rounds):
        rngs = [np.random.default_rng([*seed, number, part]) for part in range(_SAMPLES + 1)]
        samples = [_of_a_part(explanation, known, len(first), rng) for rng in rngs[1:]]
        more = _measured(evaluator, _proposed([spectrum, *samples], sizes, goal, known), known)
        if not len(more):
            break
        known += more
        spectrum = _fitted(explanation, known, len(first), rngs[0])
        n_rounds += 1
    optima = [goal.optimum(spectrum, size) for size in sizes]
    known += _measured(evaluator, np.stack([optimum.mask for optimum in optima]), known)
    spent = len(known) - len(first)
    return [_chosen(goal, optimum, spectrum, known, n_rounds, spent) for optimum in optima]


def _proposed(
    spectra: Sequence[Spectrum], sizes: Sequence[int], goal: Goal, known: Ablations
) -> BoolArray:
    """The optimum of each size by each spectrum, or the best new subset near it if it is known."""
    seen, proposed = set(keys(known.masks)), []
    for spectrum in spectra:
        for size in sizes:
            # nothing need be proven of a proposal, so that a greedy search does
            mask = goal.optimum(spectrum, size, gap=np.inf).mask
            if keys(mask[None])[0] in seen:
                near = _swapped(mask)
                near = near[[key not in seen for key in keys(near)]]
                if not len(near):
                    continue
                mask = near[int(goal.merits(as_columns(spectrum.predict(near))).argmax())]
            proposed.append(mask)
            seen.update(keys(mask[None]))
    return np.array(proposed, dtype=np.bool_).reshape(-1, known.masks.shape[1])


def _swapped(mask: BoolArray) -> BoolArray:
    """All masks with one kept player in exchange for a removed one."""
    kept, removed = np.meshgrid(np.flatnonzero(mask), np.flatnonzero(~mask), indexing="ij")
    masks = np.tile(mask, (kept.size, 1))
    rows = np.arange(kept.size)
    masks[rows, kept.ravel()], masks[rows, removed.ravel()] = False, True
    return masks


def _chosen(
    goal: Goal,
    optimum: BestSubset,
    spectrum: Spectrum,
    known: Ablations,
    n_rounds: int,
    spent: int,
) -> Choice:
    """The optimum, or a better subset of its size among the ablations."""
    alike = np.flatnonzero(known.masks.sum(axis=1) == optimum.mask.sum())
    merits = goal.merits(known.values[alike])
    same = (known.masks[alike] == optimum.mask).all(axis=1)
    best = int(np.flatnonzero(same)[0])
    if merits.max() > merits[best]:
        best = int(merits.argmax())
    mask, measured = known.masks[alike[best]], known.values[alike, goal.output]
    predicted = float(spectrum.output(goal.output).predict(mask))
    note = f"{n_rounds} round{'s' * (n_rounds != 1)}, {spent} further ablations: "
    if same[best]:
        note += f"measured {measured[best]:.4g}; {optimum}"
    else:
        note += (
            f"the best evaluated subset, predicted value {predicted:.6g}, measured "
            f"{measured[best]:.4g}; the spectrum's optimum was measured {measured[same][0]:.4g} "
            f"({optimum})"
        )
    return Choice(mask, note, predicted, n_rounds, spent)


def _first(explanation: Explanation) -> Ablations:
    """The ablations of the measure, values in columns; a fit leaves the ends out."""
    used = explanation.fit
    if not explanation.faithfulness.exact:
        used += explanation.held_out
    return Ablations(used.masks, as_columns(used.values))


def _measured(evaluator: Evaluator, masks: BoolArray, known: Ablations) -> Ablations:
    """Evaluate the masks that are not known, each once."""
    unique = distinct(masks)[0]
    before = set(keys(known.masks))
    new = unique[[key not in before for key in keys(unique)]]
    return Ablations(new, evaluator.values(new)) if len(new) else known[:0]


def _of_a_part(
    explanation: Explanation, known: Ablations, n_first: int, rng: np.random.Generator
) -> Spectrum:
    """A spectrum of a random part of the ablations."""
    decoder = get_decoder(explanation.provenance["request"]["decoder"])
    size = max(round(_SHARE * len(known)), decoder.min_masks(known.masks.shape[1]))
    rows: IntArray = np.sort(rng.choice(len(known), min(size, len(known)), replace=False))
    return _fitted(explanation, known[rows], int((rows < n_first).sum()), rng)


def _fitted(
    explanation: Explanation, known: Ablations, n_first: int, rng: np.random.Generator
) -> Spectrum:
    """Fit the explanation's decoder to ablations, of which the first are those of the measure."""
    request = Request.recorded(explanation.provenance)
    decoder = get_decoder(request.decoder)
    check_refits(decoder)
    order = check_request(decoder, request.order, request.options)
    options = dict(request.options)
    if decoder.takes_hints and request.hints is not None:
        options["hints"] = request.hints.values
    kind = explanation.provenance["design"]["kind"]
    design = PlainDesign(kind, known.masks, np.arange(len(known)) < n_first)
    return run_decoder(decoder.for_order(order), design, known.values, order, rng, options).spectrum
