"""How the faithfulness of an explanation grows with its ablations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interplay.decoders.decode import get_decoder, run_decoder
from interplay.designs.base import GROWING, PlainDesign
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.faithfulness import Faithfulness, faithfulness
from interplay.explanation.run_plan import MIN_HELD_OUT


@dataclass(frozen=True)
class BudgetCurve:
    """Scores of fits to more and more ablations.

    Attributes:
        decoder: which decoder fitted them.
        order: the largest order that it was asked for.
        n_fit: how many ablations each fit had.
        scores: each fit's score, all on the same ablations.
        n_held_out: how many these are.
    """

    decoder: str
    order: int
    n_fit: tuple[int, ...]
    scores: tuple[Faithfulness, ...]
    n_held_out: int


def budget_curve(explanation: Explanation, *, points: int = 6) -> BudgetCurve:
    """Fit growing parts of an explanation's own ablations, and score them on those held out.

    The parts are the first ablations of a uniform or spread design; of any other they are drawn by
    the explanation's seed. The decoder is the explanation's own where that takes any masks, so that
    the last point of such a design is the explanation's own score; in place of SPEX and of
    the exact transform, which need all their masks, it is ProxySPEX. Where all masks were made and
    none held out, a tenth of them, at least 10, is held out here. The game is asked nothing.

    Args:
        explanation: made here or loaded.
        points: how many fits, at least 2.

    Raises:
        ValueError: ``points`` is below 2, or there are too few ablations for a smaller fit.
    """
    if points < 2:
        raise ValueError(f"points={points} is below 2; a curve has at least two")
    provenance = explanation.provenance
    ran, settings = provenance["decoder"]["ran"], provenance["decoder"]["settings"]
    decoder = get_decoder(ran)
    if decoder.most_missing is not None:  # its masks belong together
        decoder = get_decoder("proxyspex")
    order = min(settings["order"], decoder.order if ran == "exact" else settings["order"])
    fit, held, exact = explanation.fit, explanation.held_out, explanation.faithfulness.exact
    # as in explain: the fit's and the score's generators are the third and fourth of the seed's
    draw, _, fit_seed, score_seed = np.random.SeedSequence(provenance["random_state"]).spawn(4)
    if exact or not provenance["design"]["kind"].endswith(GROWING):
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
    sizes = np.unique(
        np.geomspace(max(fewest, len(fit) / 32), len(fit), points).round().astype(int)
    )
    scores = []
    for size in sizes.tolist():
        decoded = run_decoder(
            decoder,
            PlainDesign("part of the fit", fit.masks[:size]),
            fit.values[:size],
            order,
            np.random.default_rng(fit_seed),
            {},
        )
        scores.append(
            faithfulness(
                decoded.spectrum, held.masks, held.values, np.random.default_rng(score_seed)
            )
        )
    return BudgetCurve(decoder.name, order, tuple(sizes.tolist()), tuple(scores), len(held))
