"""How the faithfulness of an explanation grows with the number of its ablations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay.decoders.decode import get_decoder, run_decoder
from interplay.decoders.gaussian.learn import Prior
from interplay.designs.base import PlainDesign, grows
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.faithfulness import Faithfulness, faithfulness
from interplay.explanation.run_plan import MIN_HELD_OUT
from interplay.game import Hints


@dataclass(frozen=True)
class BudgetCurve:
    """The scores of fits to growing numbers of ablations.

    Attributes:
        decoder: the name of the decoder.
        order: the largest order of the fits.
        n_fit: the number of ablations in each fit.
        scores: the score of each fit, all on the same held-out ablations.
        n_held_out: the number of held-out ablations.
    """

    decoder: str
    order: int
    n_fit: tuple[int, ...]
    scores: tuple[Faithfulness, ...]
    n_held_out: int


def budget_curve(explanation: Explanation, *, points: int = 6) -> BudgetCurve:
    """Fit growing parts of an explanation's ablations, and score each fit on the held-out ones.

    No mask is evaluated. The parts of a uniform or optimal design are its first ablations. The
    parts of any other design are drawn at random by the explanation's seed.

    The decoder is that of the explanation if it works with any masks. For a uniform or optimal
    design, the last point is then the score of the explanation itself. So it is where masks were
    held out in turn: of fits to nearly all of its ablations. SPEX and the exact transform
    need all of their masks; ProxySPEX takes their place. If the explanation is of all 2^n masks and
    none is held out, a tenth of them, at least 10, is held out here.

    Args:
        explanation: an explanation, from ``explain`` or loaded.
        points: the number of fits, at least 2.

    Returns:
        The scores, one for each number of ablations.

    Raises:
        ValueError: ``points`` is below 2, a cheaper game took part, or there are too few ablations
            for a smaller fit.
    """
    if points < 2:
        raise ValueError(f"points={points} is below 2; a curve has at least two")
    if explanation.cheaper is not None:
        raise ValueError(
            "a curve is of the ablations of one game, and a cheaper one took part in this "
            "explanation; explain without cheaper="
        )
    provenance = explanation.provenance
    ran, settings = provenance["decoder"]["ran"], provenance["decoder"]["settings"]
    decoder = get_decoder(ran)
    if decoder.most_missing is not None:  # it needs its whole design, so it cannot fit a part
        decoder = get_decoder("proxyspex")
    hints, options = provenance.get("hints"), dict[str, object]()
    if hints is not None and decoder.takes_hints:
        options = {"hints": Hints.recorded(hints).values}
    if provenance.get("prior") is not None and decoder.takes_hints:
        options["prior"] = Prior.recorded(provenance["prior"])
    order = settings.get("order", decoder.order)
    if ran == "exact":
        order = min(order, decoder.order)
    fit, held, exact = explanation.fit, explanation.held_out, explanation.faithfulness.exact
    # as in explain: the seed's third and fourth generators are those of the fit and of the score
    draw, _, fit_seed, score_seed = np.random.SeedSequence(provenance["random_state"]).spawn(4)
    if exact or not grows(provenance["design"]["kind"]):
        rows = np.random.default_rng(draw).permutation(len(fit))
        if exact:
            count = max(MIN_HELD_OUT, len(fit) // 10)
            rows, last = rows[:-count], rows[-count:]
            held = Ablations(fit.masks[last], fit.values[last])
        fit = Ablations(fit.masks[rows], fit.values[rows])
    fewest = decoder.min_masks(fit.masks.shape[1])
    if len(fit) <= fewest:
        raise ValueError(
            f"{len(fit)} ablations are in the fit, too few for a curve: {decoder.name} needs at "
            f"least {fewest} for its first point; explain with a larger budget"
        )
    n_fits = points - (explanation.held_predictions is not None)
    sizes = np.unique(
        np.geomspace(max(fewest, len(fit) / 32), len(fit), n_fits).round().astype(int)
    )
    scores = []
    for size in sizes.tolist():
        decoded = run_decoder(
            decoder,
            PlainDesign("part of the fit", fit.masks[:size]),
            fit.values[:size],
            order,
            np.random.default_rng(fit_seed),
            options,
        )
        scores.append(
            faithfulness(
                held.masks,
                held.values,
                decoded.spectrum.predict(held.masks),
                np.random.default_rng(score_seed),
                measure=explanation.faithfulness.measure,
                outputs=explanation.judged_outputs,
            )
        )
    numbers = sizes.tolist()
    if explanation.held_predictions is not None:
        numbers.append(len(fit) + len(held))
        scores.append(explanation.faithfulness)
    return BudgetCurve(decoder.name, order, tuple(numbers), tuple(scores), len(held))
