"""Run plan: the masks that a run evaluates, chosen and checked before the first evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, log2
from operator import index
from typing import Any

import numpy as np

from interplay._types import BoolArray, Json
from interplay.decoders.base import Decoder
from interplay.decoders.decode import check_request, get_decoder
from interplay.designs.base import Design
from interplay.designs.flat import FLAT, flat_design
from interplay.designs.measures import SHAPLEY, UNIFORM, MeasureName, get_measure, held_out_masks
from interplay.extensions import DecoderName
from interplay.fourier.interactions import names_of
from interplay.game import Game

MIN_HELD_OUT = 10
"""The fewest held-out masks from which a score means anything."""
_SEED_BITS = 512
_FULL_TABLE = 256
"""Without a budget all masks are evaluated if there are at most so many."""


@dataclass(frozen=True)
class Request:
    """The arguments of ``explain`` that determine which masks are evaluated.

    Attributes:
        decoder: the decoder's name.
        budget: the most distinct evaluations. ``None``: the default.
        until: the cross-validated R2 at which adaptive sampling stops. ``None``: the run is not
            adaptive.
        order: the largest order of interaction. ``None``: the decoder's own.
        holdout: the share or number of evaluations that are held out.
        random_state: the seed.
        measure: the law of the masks.
        options: the decoder's options.
    """

    decoder: DecoderName | str = "auto"
    budget: int | None = None
    until: float | None = None
    order: int | None = None
    holdout: float = 0.1
    random_state: int = 0
    measure: MeasureName | str = UNIFORM
    options: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, budget: int | str | None, until: float | None, **others: Any) -> Request:
        """Make a request. Its budget may be ``"auto"``, which means ``until=1``.

        Raises:
            ValueError: the budget is another word.
        """
        if budget == "auto":
            return cls(budget=None, until=1.0 if until is None else until, **others)
        if isinstance(budget, str):
            raise ValueError(f'budget={budget!r} is neither a number of evaluations nor "auto"')
        return cls(budget=budget, until=until, **others)

    @classmethod
    def recorded(cls, provenance: Json) -> Request:
        """Read the request of a run from its provenance.

        Raises:
            KeyError: the provenance does not contain it.
        """
        return cls(**provenance["request"], random_state=provenance["random_state"])

    def run_plan(self, game: Game, arguments: Iterable[str] = ()) -> RunPlan:
        """Check the request and choose its masks.

        Args:
            game: the game to explain.
            arguments: the names of the caller's arguments, to suggest one for a misspelt option.

        Raises:
            ValueError: a decoder or an option is unknown, or the budget is below what the decoder
                needs.
        """
        chosen = requested = get_decoder(self.decoder)
        largest = check_request(requested, self.order, self.options, arguments)
        measure = get_measure(self.measure)
        if measure != UNIFORM and requested.most_missing is not None:
            raise ValueError(
                f"decoder={requested.name!r} has masks of its own, so measure={measure!r} does not "
                'go with it; use decoder="auto", or leave the measure out'
            )
        n_players, random_state = int(game.n_players), index(self.random_state)
        if random_state.bit_length() > _SEED_BITS:
            raise ValueError(
                f"random_state has {random_state.bit_length()} bits; give a seed of at most "
                f"{_SEED_BITS}, which a file can hold"
            )
        smallest = needed(requested, n_players, self.holdout)
        if self.budget is None:
            budget = max(default_budget(n_players), smallest)
        else:
            budget = _as_integer(self.budget)
        design_rng, held_rng, fit_rng, score_rng = (
            np.random.default_rng(seed) for seed in np.random.SeedSequence(random_state).spawn(4)
        )
        order, options = largest, self.options
        if n_players < 63 and budget >= 1 << n_players:
            chosen, options = get_decoder("exact"), {}
            order = n_players if self.order is None else largest
            n_held = 0
        else:
            n_held = _n_held_out(self.holdout, budget)
            _check_budget(budget, n_held, n_players, requested, smallest)
            requested.check(budget - n_held, n_players, min(largest, n_players))
        make = flat_design if measure == SHAPLEY and chosen is requested else chosen.design
        design = make(budget - n_held, n_players, design_rng)
        return RunPlan(
            request=replace(
                self, budget=budget, order=None if self.order is None else largest, until=None
            ),
            players=names_of(game.players, n_players),
            requested=requested,
            chosen=chosen,
            options=options,
            order=order,
            budget=budget,
            random_state=random_state,
            design=design,
            held_out=held_out_masks(measure, n_held, n_players, held_rng, design.masks),
            fit_rng=fit_rng,
            score_rng=score_rng,
        )

    def to_json(self) -> Json:
        """The request as JSON. The provenance records it, and the seed and ``until`` separately."""
        return {
            "decoder": self.decoder,
            "budget": self.budget,
            "order": self.order,
            "holdout": float(self.holdout),
            "options": dict(self.options),
            **({} if self.measure == UNIFORM else {"measure": self.measure}),
        }


@dataclass(frozen=True, eq=False)
class RunPlan:
    """Everything that is settled before the first ablation.

    Attributes:
        request: the request, with the budget filled in.
        players: the players' names.
        requested: the decoder that was requested.
        chosen: the decoder that runs. It is ``exact`` if the budget covers all 2^n masks.
        options: the decoder's options.
        order: the largest order of interaction.
        budget: the most distinct evaluations.
        random_state: the seed.
        design: the masks of the fit.
        held_out: the held-out masks, ``(h, n)``. There are none if the design is all 2^n masks.
        fit_rng: the generator of the fit.
        score_rng: the generator of the score's bootstrap.
    """

    request: Request
    players: tuple[str, ...]
    requested: Decoder
    chosen: Decoder
    options: Mapping[str, object]
    order: int
    budget: int
    random_state: int
    design: Design
    held_out: BoolArray
    fit_rng: np.random.Generator
    score_rng: np.random.Generator

    @property
    def has_ends(self) -> bool:
        """Whether the first two masks are the ends, which no decoder is given."""
        return self.design.kind == FLAT

    @property
    def masks(self) -> BoolArray:
        """All masks, ``(m, n)``: first those of the fit, then the held-out ones."""
        return np.concatenate([self.design.masks, self.held_out])


def default_budget(n_players: int) -> int:
    """4 n log2 n, but at least 100, and all 2^n masks up to 8 players.

    4 n log2 n is the middle of the budgets of ProxySPEX (arXiv 2505.17495). All masks give the
    exact answer, and up to :data:`_FULL_TABLE` of them cost little more.
    """
    budget = max(100, ceil(4 * n_players * log2(max(n_players, 2))))
    return max(budget, 1 << n_players) if n_players <= log2(_FULL_TABLE) else budget


def _as_integer(budget: float) -> int:
    if int(budget) != budget:
        raise ValueError(f"budget={budget} is not a whole number of evaluations")
    return int(budget)


def _n_held_out(holdout: float, budget: int) -> int:
    """The number of held-out masks for a share below 1 or a whole number."""
    if 0.0 < holdout < 1.0:
        return max(MIN_HELD_OUT, round(float(holdout) * budget))
    if holdout != int(holdout) or holdout < MIN_HELD_OUT:
        raise ValueError(
            f"holdout={holdout} is neither a share between 0 and 1 nor a whole number from "
            f"{MIN_HELD_OUT} on, the fewest masks that a held-out score needs"
        )
    return int(holdout)


def needed(decoder: Decoder, n_players: int, holdout: float) -> int:
    """The smallest budget that leaves the decoder enough masks after some are held out."""
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
