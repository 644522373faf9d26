"""Pruning: choose the players to keep by several methods, and judge them on other items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Protocol

import numpy as np

from interplay._types import BoolArray, FloatArray, whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.circuits import largest
from interplay.components.analysis.rounds import (
    Choice,
    Goal,
    Objective,
    adapted,
    check_explains,
    check_objective,
)
from interplay.confirmation.changes import share_interval
from interplay.explanation.explanation import Explanation
from interplay.extensions import BackendName
from interplay.fourier.interactions import checked_output
from interplay.fourier.spectrum import Spectrum
from interplay.game import Game, players_of

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
        method: ``"none"`` (nothing is removed), the name of a spectrum or an explanation,
            ``"single"`` or ``"random"``.
        mask: the players kept, ``(n,)``.
        train: the scores on the items that the choice is based on, ``(k,)``.
        test: the scores on other items, ``(k,)``.
        low: the lower end of a 95 % interval of ``test`` over items, ``(k,)``: by a bootstrap, or
            exact where each item is right or wrong.
        high: the upper end.
        note: how the choice was made: what is proven of it; after rounds their number, the
            ablations spent, and what was measured.
        predicted: the score that the spectrum predicts, or after rounds a Gaussian process, of the
            output that was optimised; to be compared with ``train``. NaN where neither chose.
        rounds: how often subsets were proposed.
        spent: the distinct ablations that the method took, for all sizes together, beyond those
            that its spectrum was first fitted to.
        objective: what was wanted of the players kept, ``"best"`` or ``"faithful"``.
    """

    method: str
    mask: BoolArray
    train: FloatArray
    test: FloatArray
    low: FloatArray
    high: FloatArray
    note: str = ""
    predicted: float = nan
    rounds: int = 0
    spent: int = 0
    objective: str = "best"

    @property
    def n_kept(self) -> int:
        """The number of players kept."""
        return int(self.mask.sum())


def prune(
    game: Game,
    test: ItemGame,
    keep: Sequence[int | float],
    spectra: Mapping[str, Spectrum | Explanation],
    *,
    rounds: int = 0,
    objective: Objective | str = "best",
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
    given size and keeps the best one by ``game``.

    An optimum is drawn to the errors of its spectrum. With ``rounds``, an explanation is therefore
    taken further: subsets of each size that its ablations promise to be best are evaluated by
    ``game``, so many times, each time by all ablations before. Kept is the best subset that was
    evaluated.

    Args:
        game: the game that the spectra explain; the choices are based on its values.
        test: a game of the same players on other items (``ComponentGame.on``).
        keep: how many players to keep: numbers, or shares below 1.
        spectra: spectra or explanations of ``game``'s outputs, by the name of the method.
        rounds: how often subsets are proposed from the ablations of explanations; 0: never. It
            takes at most ``4 * rounds + 1`` ablations for each size.
        objective: ``"best"``: the largest score. It may exceed that of the whole model.
            ``"faithful"``: the score nearest to that of the whole model; ``"single"`` then keeps
            the players whose removal changes the score most, in either direction.
        n_random: the draws for each number to keep; 0 leaves this method out.
        single: whether to compare with single importance, which takes n + 1 evaluations.
        output: which of several scores the objective is about.
        time_limit: seconds for each optimisation. The same seed gives the same choices as long as
            no optimisation takes so long.
        store: as for ``explain``; masks in the store are not evaluated again.
        random_state: seed of the random sets, of the proposals and of the bootstrap.
        backend: as for ``explain``.
        progress: as for ``explain``.

    Returns:
        The unpruned model, then all methods for each number to keep, the largest number first.

    Raises:
        ValueError: the games have different players, a number to keep is out of range, the
            objective is unknown, or there are rounds without an explanation, or with one of another
            game.
        GameError: a game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.
    """
    n_players = int(game.n_players)
    if players_of(test) != players_of(game):
        raise ValueError(
            f"{test!r} has other players than {game!r}; make it by the latter's on(task)"
        )
    sizes = sorted({number_to_keep(size, n_players) for size in keep}, reverse=True)
    check_objective(objective)
    for source in spectra.values():
        spectrum = source.spectrum if isinstance(source, Explanation) else source
        checked_output(output, spectrum.n_outputs)
    _check_rounds(rounds, spectra, game)
    rng = np.random.default_rng([*_KEYS, random_state])
    full = np.ones((1, n_players), dtype=np.bool_)

    with Evaluator.of(game, store=store, backend=backend, progress=progress) as evaluator:
        target = None if objective == "best" else float(evaluator.values(full)[0, output])
        goal = Goal(output, target, time_limit)
        importance = single_losses(evaluator, n_players, output) if single else None
        if importance is not None and objective == "faithful":
            importance = np.abs(importance)
        adaptive = {
            name: adapted(evaluator, source, sizes, goal, rounds, [*_KEYS, random_state])
            for name, source in spectra.items()
            if rounds
            and isinstance(source, Explanation)
            and sizes
            # where all subsets were evaluated, nothing is left to learn
            and not source.faithfulness.exact
        }
        chosen = [("none", Choice(full[0]))]
        for row, number in enumerate(sizes):
            for name, source in spectra.items():
                choice = adaptive[name][row] if name in adaptive else _optimum(source, number, goal)
                chosen.append((name, choice))
            if importance is not None:
                (mask,) = largest(importance, [number])
                count = n_players + 1
                chosen.append(("single", Choice(mask, f"{count} evaluations", spent=count)))
            if n_random:
                drawn = np.zeros((n_random, n_players), dtype=np.bool_)
                order = rng.permuted(np.tile(np.arange(n_players), (n_random, 1)), axis=1)
                np.put_along_axis(drawn, order[:, :number], True, axis=1)
                best = int(goal.merits(evaluator.values(drawn)).argmax())
                note, spent = f"best of {n_random}", n_random * len(sizes)
                chosen.append(("random", Choice(drawn[best], note, spent=spent)))
        masks = np.stack([choice.mask for _, choice in chosen])
        train = evaluator.values(masks)
    items = test.item_scores(masks)
    low, high = _interval(items, rng)
    return tuple(
        Pruned(
            method=name,
            mask=choice.mask,
            train=train[row],
            test=items[row].mean(axis=0),
            low=low[row],
            high=high[row],
            note=choice.note,
            predicted=choice.predicted,
            rounds=choice.rounds,
            spent=choice.spent,
            objective=objective,
        )
        for row, (name, choice) in enumerate(chosen)
    )


def most_ablations(
    n_players: int, n_sizes: int, n_spectra: int, *, rounds: int, n_random: int
) -> tuple[int, int]:
    """Count what :func:`prune` evaluates at most, by its arguments.

    Args:
        n_players: n.
        n_sizes: the different numbers to keep.
        n_spectra: the spectra and explanations to choose by. One of them is an explanation.
        rounds: see there.
        n_random: see there.

    Returns:
        The ablations of ``game``, and those of ``test``.
    """
    n_methods = n_spectra + 1 + bool(n_random)  # single importance
    proposed = 4 * rounds + 1 if rounds else 0
    n_chosen = 1 + n_sizes * n_methods
    return n_chosen + n_sizes * (proposed + n_random) + n_players, n_chosen


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


def _check_rounds(rounds: int, spectra: Mapping[str, Spectrum | Explanation], game: Game) -> None:
    """Refuse rounds that cannot be, before anything is evaluated."""
    if not whole("rounds", rounds, 0):
        return
    explanations = {name: e for name, e in spectra.items() if isinstance(e, Explanation)}
    if not explanations:
        raise ValueError(
            f"rounds={rounds} goes on from the ablations of explanations, and none of "
            f"{', '.join(spectra) or 'no spectra'} has any; give the explanation itself, "
            'as in {"gp": explanation}, or rounds=0'
        )
    for name, explanation in explanations.items():
        check_explains(f"{name!r}", explanation, game)


def _optimum(source: Spectrum | Explanation, number: int, goal: Goal) -> Choice:
    """The subset of that size that a spectrum predicts to be best."""
    spectrum = source.spectrum if isinstance(source, Explanation) else source
    best = goal.optimum(spectrum, number)
    return Choice(best.mask, str(best), best.value)


def single_losses(evaluator: Evaluator, n_players: int, output: int) -> FloatArray:
    """Compute the loss of score when each player alone is removed, ``(n,)``."""
    masks = np.vstack([np.ones((1, n_players), dtype=np.bool_), ~np.eye(n_players, dtype=np.bool_)])
    values = evaluator.values(masks)[:, output]
    return np.asarray(values[0] - values[1:])


def _interval(items: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Bootstrap the mean over items of ``(m, items, k)``: both ends of the interval, ``(m, k)``.

    The ends are percentiles. All masks share the same resamples. A score that is right or wrong on
    each item has the exact interval of a share (Clopper and Pearson 1934): where an output is right
    on all items, resamples are too, and know of no error.
    """
    count = items.shape[1]
    weights = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count
    means = np.einsum("ri,mik->rmk", weights, items)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    for output in np.flatnonzero(((items == 0) | (items == 1)).all(axis=(0, 1))):
        for row, right in enumerate(items[:, :, output].sum(axis=1).astype(int).tolist()):
            low[row, output], high[row, output] = share_interval(right, count, (1 - LEVEL) / 2)
    return low, high
