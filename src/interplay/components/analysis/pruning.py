"""Pruning: choose the players to keep by several methods, and judge them on other items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.extensions import BackendName
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game
from interplay.optimize.subset import best_subset

LEVEL = 0.95
_RESAMPLES = 2000
_KEYS = (0x70, 0x72)
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


class ItemGame(Game, Protocol):
    """A game whose value is a mean over items."""

    def item_scores(self, masks: BoolArray, /) -> FloatArray:
        """Evaluate each item's k scores under each mask: ``(m, items, k)``."""
        ...


@dataclass(frozen=True, eq=False)
class Pruned:
    """One method's choice of players, and its scores.

    Attributes:
        method: ``"none"`` (nothing is removed), the name of a spectrum, ``"single"`` or
            ``"random"``.
        mask: the players kept, ``(n,)``.
        train: the scores on the items that the choice is based on, ``(k,)``.
        test: the scores on other items, ``(k,)``.
        low: the lower end of a 95 % bootstrap interval of ``test`` over items, ``(k,)``.
        high: the upper end.
        note: how the choice was made.
    """

    method: str
    mask: BoolArray
    train: FloatArray
    test: FloatArray
    low: FloatArray
    high: FloatArray
    note: str = ""

    @property
    def n_kept(self) -> int:
        """The number of players kept."""
        return int(self.mask.sum())


def prune(
    game: Game,
    test: ItemGame,
    keep: Sequence[int | float],
    spectra: Mapping[str, Spectrum],
    *,
    n_random: int = 0,
    single: bool = True,
    output: int = 0,
    time_limit: float = 60.0,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: BackendName | str | Backend = "local",
    progress: bool | None = None,
) -> tuple[Pruned, ...]:
    """Choose the players to keep by several methods, and judge each choice on other items.

    Each spectrum chooses by ``interplay.optimize.best_subset``. ``"single"`` removes each player
    alone and keeps those whose removal costs most. ``"random"`` draws ``n_random`` sets of the
    given size and keeps the one with the best score on ``game``.

    Args:
        game: the game that the spectra explain; the choices are based on its values.
        test: a game of the same players on other items (``ComponentGame.on``).
        keep: how many players to keep: numbers, or shares below 1.
        spectra: spectra of ``game``'s outputs, by the name of the method.
        n_random: the draws for each number to keep; 0 leaves this method out.
        single: whether to compare with single importance, which takes n + 1 evaluations.
        output: which of several scores to maximise.
        time_limit: seconds for each optimisation.
        store: as for ``explain``; masks in the store are not evaluated again.
        random_state: seed of the random sets and of the bootstrap.
        backend: as for ``explain``.
        progress: as for ``explain``.

    Returns:
        The unpruned model, then all methods for each number to keep, the largest number first.

    Raises:
        ValueError: the games have different players, or a number to keep is out of range.
        GameError: a game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    n_players = int(game.n_players)
    if tuple(test.players) != tuple(game.players):
        raise ValueError(
            f"{test!r} has other players than {game!r}; make it by the latter's on(task)"
        )
    numbers = [number_to_keep(size, n_players) for size in keep]
    rng = np.random.default_rng([*_KEYS, random_state])

    with Evaluator.of(game, store=store, backend=backend, progress=progress) as evaluator:
        chosen: list[tuple[str, BoolArray, str]] = [
            ("none", np.ones(n_players, dtype=np.bool_), "")
        ]
        importance = _single(evaluator, n_players, output) if single else None
        for number in sorted(set(numbers), reverse=True):
            for name, spectrum in spectra.items():
                best = best_subset(spectrum, keep=number, output=output, time_limit=time_limit)
                chosen.append((name, best.mask, str(best)))
            if importance is not None:
                mask = np.zeros(n_players, dtype=np.bool_)
                mask[np.argsort(-importance, kind="stable")[:number]] = True
                chosen.append(("single", mask, f"{n_players + 1} evaluations"))
            if n_random:
                drawn = np.zeros((n_random, n_players), dtype=np.bool_)
                order = rng.permuted(np.tile(np.arange(n_players), (n_random, 1)), axis=1)
                np.put_along_axis(drawn, order[:, :number], True, axis=1)
                values = evaluator.values(drawn)[:, output]
                chosen.append(("random", drawn[int(values.argmax())], f"best of {n_random}"))
        masks = np.stack([mask for _, mask, _ in chosen])
        train = evaluator.values(masks)
    items = test.item_scores(masks)
    low, high = _interval(items, rng)
    return tuple(
        Pruned(name, mask, train[row], items[row].mean(axis=0), low[row], high[row], note)
        for row, (name, mask, note) in enumerate(chosen)
    )


def number_to_keep(keep: float, n_players: int) -> int:
    """Turn a number or a share into a number of players.

    Raises:
        ValueError: it is neither.
    """
    number = round(keep * n_players) if 0 < keep < 1 else int(keep)
    if 0 < keep < 1 and not number:
        raise ValueError(f"keep={keep} of {n_players} players is none; keep a larger share")
    if not 1 <= number <= n_players or (keep >= 1 and number != keep):
        raise ValueError(
            f"keep={keep} is neither a share between 0 and 1 nor a number from 1 to the "
            f"{n_players} players"
        )
    return number


def _single(evaluator: Evaluator, n_players: int, output: int) -> FloatArray:
    """Compute the loss of score when each player alone is removed, ``(n,)``."""
    masks = np.vstack([np.ones((1, n_players), dtype=np.bool_), ~np.eye(n_players, dtype=np.bool_)])
    values = evaluator.values(masks)[:, output]
    return np.asarray(values[0] - values[1:])


def _interval(items: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Bootstrap the mean over items of ``(m, items, k)``: both ends of the interval, ``(m, k)``.

    The ends are percentiles. All masks share the same resamples.
    """
    count = items.shape[1]
    weights = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count
    means = np.einsum("ri,mik->rmk", weights, items)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
