"""Study: which ablations a run makes, decided and checked before anything is paid for."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2
from operator import index
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, Json
from interplay.ablation.store import Store
from interplay.decoders import check_request, get_decoder
from interplay.decoders.base import Decoder
from interplay.designs.spread import Design
from interplay.fourier.interactions import names_of
from interplay.fourier.masks import uniform
from interplay.game import Game, PlannedGame, fingerprint_of

MIN_HELD_OUT = 10
"""The fewest held-out masks that a score is worth anything on."""


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that is settled before the first ablation.

    Attributes:
        game: what is explained.
        players: its players' names.
        fingerprint: the game's.
        description: what the game says of itself.
        request: what was asked for, as ``explain`` takes it, the budget filled in. JSON.
        requested: the decoder that was asked for.
        chosen: the one that runs: ``exact`` where the budget covers all masks.
        options: the decoder's options.
        order: the largest order of interaction.
        budget: the most distinct evaluations.
        random_state: the seed.
        design: the masks of the fit.
        held: the masks held out, ``(h, n)``; none where the design is all masks.
        fit_rng: for the fit.
        score_rng: for the score.
    """

    game: Game
    players: tuple[str, ...]
    fingerprint: str | None
    description: Json
    request: Json
    requested: Decoder
    chosen: Decoder
    options: Mapping[str, object]
    order: int
    budget: int
    random_state: int
    design: Design
    held: BoolArray
    fit_rng: np.random.Generator
    score_rng: np.random.Generator

    @property
    def masks(self) -> BoolArray:
        """All masks, those of the fit first."""
        return np.concatenate([self.design.masks, self.held])

    def open_store(self, path: str | Path | None) -> Store:
        """See :func:`open_store`."""
        return open_store(self.game, path)


def open_store(game: Game, path: str | Path | None) -> Store:
    """A store at ``path``; in memory, with a warning, for a game without a fingerprint."""
    if path is not None and fingerprint_of(game) is None:
        warnings.warn(
            f"{game!r} has no fingerprint, so its values are kept for this run only and "
            f"not written to {path}; give the game a fingerprint to store them",
            stacklevel=4,
        )
        path = None
    return Store(path)


def prepare(
    game: Game,
    decoder: str,
    budget: int | None,
    order: int | None,
    holdout: float,
    random_state: int,
    options: Mapping[str, object],
) -> Study:
    """Check a request and choose its masks; the arguments are those of ``explain``.

    Raises:
        ValueError: an unknown decoder, or a budget below what the decoder needs.
    """
    chosen = requested = get_decoder(decoder)
    largest = check_request(requested, order, options)
    n_players, random_state = int(game.n_players), index(random_state)
    smallest = needed(requested, n_players, holdout)
    budget = max(default_budget(n_players), smallest) if budget is None else _whole(budget)
    request = {
        "decoder": decoder,
        "budget": budget,
        "order": None if order is None else largest,
        "holdout": float(holdout),
        "options": dict(options),
    }
    design_rng, held_rng, fit_rng, score_rng = (
        np.random.default_rng(seed) for seed in np.random.SeedSequence(random_state).spawn(4)
    )
    if n_players < 63 and budget >= 1 << n_players:
        chosen, options = get_decoder("exact"), {}
        largest = n_players if order is None else largest
        n_held = 0
    else:
        n_held = _n_held_out(holdout, budget)
        _check_budget(budget, n_held, n_players, requested, smallest)
        requested.check(budget - n_held, n_players, min(largest, n_players))
    design = chosen.design(budget - n_held, n_players, design_rng)
    return Study(
        game=game,
        players=names_of(game.players, n_players),
        fingerprint=fingerprint_of(game),
        description=described(game),
        request=request,
        requested=requested,
        chosen=chosen,
        options=options,
        order=largest,
        budget=budget,
        random_state=random_state,
        design=design,
        held=uniform(n_held, n_players, held_rng, exclude=design.masks),
        fit_rng=fit_rng,
        score_rng=score_rng,
    )


def default_budget(n_players: int) -> int:
    """4 n log2 n, the middle of the budgets of ProxySPEX (arXiv 2505.17495), at least 100."""
    return max(100, ceil(4 * n_players * log2(max(n_players, 2))))


def _whole(budget: float) -> int:
    if int(budget) != budget:
        raise ValueError(f"budget={budget} is not a whole number of evaluations")
    return int(budget)


def described(game: Game) -> Json:
    """What the game says of itself, checked to be JSON before anything is paid for."""
    description = {"lens": None} | (game.describe() if isinstance(game, PlannedGame) else {})
    try:
        json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"describe() of {game!r} is not JSON: {error}") from error
    return description


def _n_held_out(holdout: float, budget: int) -> int:
    """How many masks are held out: a share below 1, or a whole number."""
    if 0.0 < holdout < 1.0:
        return max(MIN_HELD_OUT, round(float(holdout) * budget))
    if holdout != int(holdout) or holdout < MIN_HELD_OUT:
        raise ValueError(
            f"holdout={holdout} is neither a share between 0 and 1 nor a whole number from "
            f"{MIN_HELD_OUT} on, the fewest masks that a held-out score needs"
        )
    return int(holdout)


def needed(decoder: Decoder, n_players: int, holdout: float) -> int:
    """The smallest budget that leaves the decoder enough beside what is held out."""
    fewest = decoder.min_masks(n_players)
    share = holdout if holdout < 1 else 0.0
    budget = max(fewest + _n_held_out(holdout, 0), int(fewest / (1 - share)) - 2)
    while budget - _n_held_out(holdout, budget) < fewest:
        budget += 1
    return min(budget, 1 << n_players)


def _check_budget(budget: int, n_held: int, n_players: int, decoder: Decoder, needed: int) -> None:
    if budget < needed:
        raise ValueError(
            f"budget={budget} leaves {max(budget - n_held, 0)} ablations for the fit beside "
            f"{n_held} held out, below the {decoder.min_masks(n_players)} that "
            f"decoder={decoder.name!r} needs for n={n_players} players; use a budget of at least "
            f"{needed}"
            + (
                f", or 2^n = {1 << n_players} for all masks"
                if needed < 1 << n_players < 5000
                else ""
            )
            + (', or decoder="proxyspex"' if decoder.name == "spex" else "")
        )
