"""Removal: how the score changes when the players that hurt it most are removed."""

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
"""The share of the variance that the optimisation takes into account. The mean over many outputs
has thousands of terms, and most of them are close to zero."""
_KEY = 0x72656D
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


@dataclass(frozen=True, eq=False)
class Removal:
    """One method's curve.

    Attributes:
        method: the name of a spectrum, or ``"random"``.
        n_removed: how many players are removed, c numbers.
        masks: the players kept, ``(c, n)``; for ``"random"`` the first draw of each number.
        predicted: the score that the spectrum predicts, ``(c,)``; NaN for ``"random"``.
        actual: the score of the retrained model, ``(c,)``; for ``"random"`` the mean over draws.
        low: for ``"random"`` the 5th percentile of the actual scores over draws, ``(c,)``; for
            other methods the same as ``actual``.
        high: the 95th percentile, likewise.
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
    """Remove the players that hurt most by each spectrum, and compare with random removal.

    Args:
        game: the game that the spectra explain.
        counts: how many players to remove.
        spectra: spectra by name, such as ``{"proxyspex": s, "first order": s.truncate(order=1)}``.
        point: the output whose score counts; ``None``: the mean over all outputs.
        hurting: remove the players that lower the score most; ``False``: those that raise it most.
            For a loss, where lower is better, those that raise it are the ones that hurt.
        n_random: random draws for each number to remove.
        time_limit: seconds for each optimisation.
        store: as for ``explain``; masks in the store are not evaluated again.
        random_state: seed of the draws.
        backend: as for ``explain``.
        progress: as for ``explain``.

    Returns:
        One curve for each spectrum, in the order given, and one for random removal.

    Raises:
        ValueError: a number of players cannot be removed, or the output does not exist.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.

    Example:
        The last row has the wrong label, so its removal helps most.

        >>> import interplay as ip
        >>> from interplay.training import Ridge, TrainingData, TrainingGame, removal_curves
        >>> data = TrainingData.checked(
        ...     [[2.0], [1.0], [-1.0], [-2.0], [3.0]], ["a", "a", "b", "b", "b"], [[1.0]], ["a"]
        ... )
        >>> game = TrainingGame(Ridge(), data)
        >>> spectrum = ip.explain(game, progress=False).spectrum
        >>> (curve,) = removal_curves(game, [1], {"all": spectrum}, n_random=0, progress=False)
        >>> curve.masks
        array([[ True,  True,  True,  True, False]])
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
    for name, of_outputs in spectra.items():
        spectrum = at_point(of_outputs, point)
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
    for place, (name, kept) in enumerate(chosen.items()):
        actual = values[place * len(numbers) : (place + 1) * len(numbers)]
        curves.append(Removal(name, numbers, kept, predicted[name], actual, actual, actual))
    if n_random:
        random = values[len(chosen) * len(numbers) :].reshape(len(numbers), n_random)
        low, high = np.quantile(random, [0.05, 0.95], axis=1)
        unknown = np.full(len(numbers), np.nan)
        curves.append(
            Removal("random", numbers, drawn[:, 0], unknown, random.mean(axis=1), low, high)
        )
    return tuple(curves)
