r"""Attribution patching: what removing each player would change the scores by, from gradients.

Every unit u of player i has a gate g_i. It adds :math:`g_i z_u + (1 - g_i) \tilde z_u`: z_u is what
it adds in the pass, and :math:`\tilde z_u` what stands in for it. The gate is 1 where the player is
kept and 0 where it is removed, so removal moves it by -1. To first order, at the mask m,

.. math:: a_i = -\frac{\partial f}{\partial g_i}
              = -\sum_{u \in i} \frac{\partial f}{\partial x_u} \cdot (z_u - \tilde z_u),

where x_u is what is added in the place of u (attribution patching: Nanda 2023; Syed et al. 2023,
arXiv 2310.10348). The ablations differ in :math:`\tilde z_u`:

============  ====================================================================
ablation      :math:`\tilde z_u`
============  ====================================================================
zero          0, so :math:`a_i = -\sum_u \partial f / \partial x_u \cdot z_u`
mean          the mean of z_u over all tokens of the reference
resample      z_u in the text drawn for the item
============  ====================================================================

A removed layer is passed by: z_u is what it adds to its input. ``Zero(rescale=True)`` also
multiplies the heads of a layer of H heads by :math:`H / \sum_h g_h`, so that a gate that closes
makes the others larger; that is a part of a_i.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.components.packing import TokenSequence
from interplay.components.passes import Passes, Reading
from interplay.text.readouts import Readout, derivatives


def attributions(
    passes: Passes,
    sequences: Sequence[TokenSequence],
    readouts: Sequence[Readout],
    masks: BoolArray | FloatArray,
    is_step: Sequence[bool],
    from_layer: int = 0,
) -> tuple[FloatArray, int]:
    """Compute every mask's first-order effects of removing each player, on the mean over items.

    The model is run twice under each mask: for what the readouts read, which gives the derivatives
    of the scores with respect to it, and again for its derivatives with respect to the gates. That
    takes one backward pass for each output whose derivative is not zero.

    Args:
        passes: the model's passes.
        sequences: the token sequences of all items and their feeds.
        readouts: the readout of each item, whose values are ``(b, k)``.
        masks: where the derivatives are taken, ``(m, n)``: masks, or gates of floats.
        is_step: which of the k outputs are step functions, whose derivative is 0. A difference
            across the step would say otherwise.
        from_layer: the first layer whose players are meant; others have 0 or their effect.

    Returns:
        :math:`a` for each mask, ``(m, n, k)``, and the number of backward passes for each mask.

    Raises:
        ValueError: a user's score has no derivative that torch knows.
    """
    import torch

    readings = passes.readings(sequences, readouts, masks)
    slopes = [
        [slope / len(readouts) for slope in derivatives(readout.combine, by_feed)]
        for readout, by_feed in zip(readouts, readings, strict=True)
    ]
    n_outputs = len(is_step)
    varying = [
        output
        for output in range(n_outputs)
        if not is_step[output] and any(slope[..., output].any() for of in slopes for slope in of)
    ]
    gates = passes.gates(masks).double().requires_grad_()

    def differentiate(passed: list[Reading]) -> FloatArray:
        gradients = np.zeros((*gates.shape, n_outputs))
        for output in varying:
            score = torch.zeros((), dtype=torch.float64, device=gates.device)
            for query, rows, values in passed:
                weights = torch.from_numpy(slopes[query.item][query.feed][rows, :, output])
                if weights.any() and not values.requires_grad:
                    raise ValueError(
                        f"a score of item {query.item} has no derivative: a LogitScore's function "
                        "left torch, or is a step function; give one that is differentiable"
                    )
                score = score + (values * weights.to(values.device)).sum()
            if score.requires_grad:
                (gradient,) = torch.autograd.grad(score, gates, retain_graph=output != varying[-1])
                gradients[..., output] = gradient.cpu().numpy()
        return gradients

    total = sum(
        passes.run(sequences, readouts, gates, differentiate, from_layer=from_layer),
        np.zeros((*gates.shape, n_outputs)),
    )
    return -total[:, :-1], len(varying)


def relevance(effects: FloatArray) -> FloatArray:
    """How much each player is likely to matter, ``(n,)``, by its effects on k scores, ``(n, k)``.

    The root of the sum of squares, each score's effects divided by their norm over all players.
    """
    squares = effects**2
    norms = squares.sum(axis=0)
    return np.asarray(np.sqrt((squares / np.where(norms > 0, norms, 1.0)).sum(axis=1)))
