r"""Test the interactions that an explanation claims, by fresh ablations.

All on/off patterns of each claimed set are evaluated on the same few random backgrounds of the
explanation's measure and on the whole input. The patterns of some random sets are evaluated too,
for comparison (see :mod:`interplay.confirmation.patterns`).
"""

from __future__ import annotations

import numpy as np

from interplay._arrays import as_columns, rounding_error
from interplay._types import BoolArray, FloatArray
from interplay.ablation.evaluator import Evaluator
from interplay.ablation.progress import say
from interplay.confirmation.design import DEFAULT_BUDGET, Design, choose_design, of_size
from interplay.confirmation.patterns import (
    Values,
    averaged,
    derivatives,
    patterns,
    predicted_variance,
    removed,
    simulated_variance,
)
from interplay.confirmation.sample import Sample, mean_derivative
from interplay.confirmation.verdict import LEVEL, UNCLEAR, Confirmation, Tested, half_width, judge
from interplay.designs.measures import UNIFORM, Measure
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import keys
from interplay.fourier.spectrum import Spectrum

_ROUNDING = 1e-9
"""The rounding error of a mean derivative, as a share of the values' range."""


def confirm(
    evaluator: Evaluator,
    spectrum: Spectrum,
    claims: Interactions,
    known: tuple[BoolArray, FloatArray],
    *,
    output: int,
    budget: int | None,
    random_state: int,
    measure: Measure,
    min_order: int = 2,
) -> Confirmation:
    """Test claims about a game (see ``Explanation.confirm``).

    The masks depend on nothing but the arguments. With a store, a confirmation that was interrupted
    therefore goes on where it was.

    Args:
        evaluator: evaluates the game that was explained.
        spectrum: the spectrum of the output in question.
        claims: the interactions to test, each of one player or more.
        known: the masks of the explanation, ``(m, n)``, and their values, ``(m,)`` or ``(m, k)``.
            These values are not evaluated again. Under ``"uniform"`` the masks serve as backgrounds
            only if there are no others.
        output: the number of the output in question.
        budget: the most masks to evaluate beyond the known ones; ``None``: 500.
        random_state: seed of the backgrounds and of the random sets.
        measure: the measure of the explanation, from which backgrounds are drawn.
        min_order: the fewest players of a claim, for the record.
    """
    budget = DEFAULT_BUDGET if budget is None else budget
    design = choose_design(claims.sets, known[0], budget, random_state, measure)
    masks = design.masks
    values = dict(zip(keys(known[0]), as_columns(known[1])[:, output], strict=True))
    missing = masks[[key not in values for key in keys(masks)]]
    if evaluator.progress and len(masks):
        say(
            f"Confirming {len(claims)} {'set' if len(claims) == 1 else 'sets'} of players by "
            f"{len(masks):,} ablations, on {len(design.backgrounds)} backgrounds and on "
            f"{_beside(design)}"
        )
    n_new = 0
    if len(missing):
        before = len(evaluator.evaluated)
        values |= zip(keys(missing), evaluator.values(missing)[:, output], strict=True)
        n_new = len(evaluator.evaluated) - before

    def value_of(masks: BoolArray) -> FloatArray:
        flat = keys(masks.reshape(-1, masks.shape[-1]))
        return np.array([values[key] for key in flat]).reshape(masks.shape[:-1])

    noisy = evaluator.n_repeats > 1
    return Confirmation(
        tested=tuple(
            _test(claims, row, spectrum, design, value_of, noisy) for row in range(len(claims))
        ),
        index=claims.index,
        order=claims.order,
        output=output,
        level=LEVEL,
        n_backgrounds=len(design.backgrounds),
        n_fresh=design.n_fresh,
        exact=design.complete and not noisy,
        n_ablations=len(masks),
        n_evaluated=n_new,
        random_state=random_state,
        budget=budget,
        measure=str(measure),
        min_order=min_order,
    )


def _beside(design: Design) -> str:
    """The ends that are evaluated beside the backgrounds, in words."""
    both = any(not end.any() for end in design.ends)
    return "both ends" if both else "the whole input"


def _test(
    claims: Interactions,
    row: int,
    spectrum: Spectrum,
    design: Design,
    value_of: Values,
    noisy: bool,
) -> Tested:
    """Compare one claim with the values of its patterns."""
    exact = design.complete and not noisy
    players, value = claims.sets[row], float(claims.values[row])
    larger, sample = design.sample(players)
    on_average = averaged(value_of, sample.outside, players, larger, design.measure)
    on_whole_input = value_of(patterns(design.whole_input, players))
    effects = derivatives(on_average)
    predicted = mean_derivative(spectrum, players, design.measure)
    measured = low = high = float(sample.mean(effects))
    varying = effects if design.complete else effects[len(sample.exact) :]
    if not exact and len(varying) > 1:
        if design.measure == UNIFORM:
            floor = predicted_variance(spectrum, players, larger)
        else:
            imagined = design.simulated(larger)
            floor = simulated_variance(spectrum, players, larger, imagined, design.measure)
        half = half_width(varying, floor, len(claims), sample.count(noisy))
        low, high = measured - half, measured + half
    # an offset, which cancels in a derivative, leaves the rounding errors of its own size
    rounding = _ROUNDING * float(np.ptp(on_average))
    rounding += 4 * on_average.shape[1] * float(rounding_error(on_average).max())
    low, high = low - rounding, high + rounding
    random = []
    for control in of_size(design.controls, len(players)):
        around, compared = design.compared(control)
        values = averaged(value_of, compared.outside, control, around, design.measure)
        random.append(float(compared.mean(derivatives(values))))
    verdict, reason = judge(value, predicted, measured, low, high, random)
    if not exact and len(varying) < 2:
        verdict, reason = UNCLEAR, "one background does not show the noise of a random game"
        if not design.complete:
            reason = "there are too few backgrounds for an interval; a larger budget may help"
    return Tested(
        players=players,
        labels=tuple(claims.players[player] for player in players),
        value=value,
        predicted=predicted,
        measured=measured,
        low=low,
        high=high,
        whole=float(derivatives(on_whole_input)[0]),
        random=tuple(random),
        removed=removed(on_average, sample),
        removed_from_whole=removed(on_whole_input, Sample(design.whole_input, np.zeros(0))),
        verdict=verdict,
        reason=reason,
    )
