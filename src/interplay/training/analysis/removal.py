"""Removal: what becomes of the score without the players that are said to hurt it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.extensions import BackendName
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game
from interplay.optimize.subset import best_subset
from interplay.training.analysis.relations import at_point

_ENERGY = 0.999
"""The share of the variance that the optimum minds: the mean over many outputs has thousands of
terms, most of them next to nothing."""
_KEY = 0x72656D
"""Sets the random removals apart from all other draws with the same seed."""


@dataclass(frozen=True, eq=False)
class Removal:
    """One method's curve.

    Attributes:
        method: the name of a spectrum, or ``"random"``.
        n_removed: how many players are removed, ``(c,)``.
        masks: what is kept, ``(c, n)``; of ``"random"`` the first draw of each number.
        predicted: the score that the spectrum predicts, ``(c,)``; NaN for ``"random"``.
        actual: the score of the retrained model, ``(c,)``; of ``"random"`` the mean over draws.
        low: of the actual scores of random draws the 5th percentile, ``(c,)``; else ``actual``.
        high: the 95th percentile.
    """

    method: str
    n_removed: tuple[int, ...]
    masks: BoolArray
    predicted: FloatArray
    actual: FloatArray
    low: FloatArray
    high: FloatArray


def removal_curves(
    game: Game,
    counts: Sequence[int],
    spectra: Mapping[str, Spectrum],
    *,
    point: int | None = None,
    hurting: bool = True,
    n_random: int = 20,
    time_limit: float = 10.0,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: BackendName | str | Backend = "local",
    progress: bool | None = None,
) -> tuple[Removal, ...]:
    """Remove what hurts most by each spectrum, evaluate, and compare with random removal.

    Args:
        game: what the spectra explain.
        counts: how many players to remove.
        spectra: by name; ``{"proxyspex": s, "first order": s.truncate(order=1)}``, say.
        point: the output whose score counts; ``None``: the mean over all outputs.
        hurting: remove what lowers the score most; ``False``: what raises it most (also for a loss,
            which is better low).
        n_random: draws for each number.
        time_limit: seconds for each optimum.
        store: as for ``explain``: what it holds is not asked for again.
        random_state: seed of the draws.
        backend: as for ``explain``.
        progress: as for ``explain``.

    Raises:
        ValueError: a number of players that cannot be removed, or an output that does not exist.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; likewise.
    """
    n_players = int(game.n_players)
    for count in counts:
        if count != int(count) or not 0 <= count < n_players:
            raise ValueError(
                f"{count} of {n_players} players cannot be removed; give numbers from 0 to "
                f"{n_players - 1}"
            )
    rng = np.random.default_rng([_KEY, random_state])
    drawn = np.ones((len(counts), n_random, n_players), dtype=np.bool_)
    for row, count in enumerate(counts):
        for draw in drawn[row]:
            draw[rng.choice(n_players, int(count), replace=False)] = False
    chosen: dict[str, BoolArray] = {}
    predicted: dict[str, FloatArray] = {}
    for name, whole in spectra.items():
        spectrum = at_point(whole, point)
        best = [
            best_subset(
                spectrum.truncate(energy=_ENERGY),
                keep=n_players - int(count),
                maximize=hurting,
                time_limit=time_limit,
            ).mask
            for count in counts
        ]
        chosen[name] = np.stack(best)
        predicted[name] = spectrum.predict(chosen[name])
    masks = np.concatenate([*chosen.values(), drawn.reshape(-1, n_players)])
    with Evaluator.of(game, store=store, backend=backend, progress=progress) as evaluator:
        columns = evaluator.values(masks)
    values = columns.mean(axis=1) if point is None else columns[:, point]
    numbers = tuple(map(int, counts))
    curves = []
    for place, (name, own) in enumerate(chosen.items()):
        actual = values[place * len(numbers) : (place + 1) * len(numbers)]
        curves.append(Removal(name, numbers, own, predicted[name], actual, actual, actual))
    if n_random:
        random = values[len(chosen) * len(numbers) :].reshape(len(numbers), n_random)
        low, high = np.quantile(random, [0.05, 0.95], axis=1)
        unknown = np.full(len(numbers), np.nan)
        curves.append(
            Removal("random", numbers, drawn[:, 0], unknown, random.mean(axis=1), low, high)
        )
    return tuple(curves)
