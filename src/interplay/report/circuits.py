"""Circuits on the page: which players to keep, at each size, and what the game scores with them.

Some were measured (:mod:`interplay.explanation.circuits`). The others are the subsets that the
spectrum predicts to be best, which nothing measured.
"""

from __future__ import annotations

import numpy as np

from interplay._arrays import as_columns
from interplay.explanation.circuits import Series, recorded_values
from interplay.explanation.explanation import Explanation
from interplay.fourier.spectrum import Spectrum
from interplay.optimize.subset import best_subset

_SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_EACH = 16
"""Up to this number of players there is a circuit of each size, beyond it at these shares."""
_MOST_TERMS = 3000
"""The terms, the strongest ones, by which predicted circuits are searched."""
_BEST = (
    "Predicted best",
    "At each size the components with the largest predicted score, by a search that proves "
    "nothing. An optimum is drawn to the errors of its spectrum, so what is predicted of it is "
    "usually too good. Measure it before it is used: prune(..., rounds=2).",
)
_FAITHFUL = (
    "Predicted most faithful",
    "At each size the components whose predicted score is nearest to that of the whole model, by a "
    "search that proves nothing. Often many others are predicted to be as near. Measure it before "
    "it is used: prune(..., rounds=2, objective='faithful').",
)


def series_of(explanation: Explanation, spectrum: Spectrum) -> tuple[Series, ...]:
    """The circuits that a page shows: those that were measured, by method, then predicted ones.

    Args:
        explanation: of the game.
        spectrum: what the page predicts by.
    """
    return (*explanation.circuits, *_predicted(explanation, spectrum))


def _predicted(explanation: Explanation, spectrum: Spectrum) -> list[Series]:
    """What the spectrum predicts to be best, and most faithful; nothing if it predicts nothing."""
    verdict, n = explanation.verdict, spectrum.n_players
    if explanation.compared is not None:
        return []  # what keeps a difference is no circuit of either
    if not verdict.trusted[0] or verdict.level == "not usable":
        return []
    by_spectrum = as_columns(spectrum.predict(np.ones((1, n), dtype=np.bool_)))[0, 0]
    full = np.nan if explanation.full is None else np.ravel(explanation.full)[0]
    target = float(full if np.isfinite(full) else by_spectrum)
    searched = spectrum.output(0)
    if n > _EACH and len(searched) > _MOST_TERMS:
        searched = searched.truncate(n_terms=_MOST_TERMS)
    made, used = [], explanation.ablations
    for (name, about), aim in ((_BEST, None), (_FAITHFUL, target)):
        # nothing need be proven, so that a greedy search does
        masks = np.stack(
            [best_subset(searched, keep=size, target=aim, gap=np.inf).mask for size in _sizes(n)]
        )
        measured = recorded_values((used.masks, used.values), masks)
        none = np.full_like(measured, np.nan)
        made.append(Series(name, about, masks, measured, none, none, none, none[0], none[0]))
    return made


def _sizes(n: int) -> list[int]:
    """The sizes of predicted circuits, ascending, the empty and the whole model included."""
    if n <= _EACH:
        return list(range(n + 1))
    return sorted({0, n, *(max(1, round(share * n)) for share in _SHARES)})
