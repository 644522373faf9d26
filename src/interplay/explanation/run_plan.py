"""Run plan: the masks that a run evaluates, chosen and checked before the first evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, comb, log2, sqrt
from typing import Any

import numpy as np

from interplay._types import BoolArray, IntArray, Json, whole
from interplay.decoders.base import Decoder
from interplay.decoders.decode import check_request, get_decoder
from interplay.decoders.gaussian.learn import Prior
from interplay.designs.base import Design
from interplay.designs.measures import UNIFORM, AnyMeasure, Measure, get_measure, measure_of
from interplay.extensions import DecoderName
from interplay.fourier.masks import distinct, end_masks, first_of_pair, uniform
from interplay.game import Game, Hints, hints_of, measure_for, players_of

N_ENDS = 2
"""The full and the empty input, which every run evaluates."""
MIN_HELD_OUT = 10
"""The fewest held-out masks from which a score means anything."""
_HELD_IN_TURN = 100
"""Under measures other than uniform so many masks are held out in turn, or half of them all."""
_MOST_TURNS = 5
_STEP = sqrt(2.0) - 1.0
"""The steps of a sequence whose every beginning is spread evenly over 0 to 1, and that is not the
one by which sizes are drawn."""
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
        measure: the law of the masks. ``None``: the game's own, or the decoder's.
        options: the decoder's options.
        hints: the game's hints. ``None``: a run plan asks the game for them, if the decoder takes
            hints.
        cheaper_budget: the most evaluations of a cheaper game; ``None``: there is none.
        prior: what other games say of this one; ``None``: nothing.
    """

    decoder: DecoderName | str = "auto"
    budget: int | None = None
    until: float | None = None
    order: int | None = None
    holdout: float = 0.1
    random_state: int = 0
    measure: AnyMeasure | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    hints: Hints | None = None
    cheaper_budget: int | None = None
    prior: Prior | None = None

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
        recorded, prior = provenance.get("hints"), provenance.get("prior")
        return cls(
            **{"measure": UNIFORM} | provenance["request"],
            random_state=provenance["random_state"],
            hints=None if recorded is None else Hints.recorded(recorded),
            prior=None if prior is None else Prior.recorded(prior),
        )

    def _measure(self, game: Game, decoder: Decoder) -> Measure:
        """The measure that is asked for, or else the game's own, or the decoder's."""
        if self.measure is not None:
            return get_measure(self.measure)
        if decoder.most_missing is not None:
            return UNIFORM
        try:
            return get_measure(measure_for(game) or decoder.measure)
        except ValueError as error:
            raise ValueError(f"the attribute measure of {game!r}: {error}") from error

    def run_plan(self, game: Game, arguments: Iterable[str] = ()) -> RunPlan:
        """Check the request and choose its masks.

        Args:
            game: the game to explain.
            arguments: the names of the caller's arguments, to suggest one for a misspelt option.

        Raises:
            ValueError: a decoder or an option is unknown, the budget is below what the decoder
                needs, or the game's hints cannot be used.
            GameError: the game cannot give its hints.
        """
        requested = get_decoder(self.decoder)
        largest = check_request(requested, self.order, self.options, arguments)
        chosen = requested = requested.for_order(largest)
        measure = self._measure(game, requested)
        if measure != UNIFORM and requested.most_missing is not None:
            raise ValueError(
                f"decoder={requested.name!r} has masks of its own, so measure={str(measure)!r} "
                'does not go with it; use decoder="auto", or leave the measure out'
            )
        n_players, random_state = int(game.n_players), whole("random_state", self.random_state, 0)
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
        order, options, ends = largest, self.options, end_masks(n_players)
        if n_players < 63 and budget >= 1 << n_players:
            chosen, options = get_decoder("exact"), {}
            order = n_players if self.order is None else largest
            n_held, ends = 0, ends[:0]
            if self.measure is None:
                measure = UNIFORM
        else:
            n_held = _n_held_out(self.holdout, budget)
            _check_budget(budget, n_held, n_players, requested, smallest)
            requested.check(budget - n_held - N_ENDS, n_players, min(largest, n_players))
        n_fit = budget - n_held - len(ends)
        if measure == UNIFORM or chosen is not requested:
            design = chosen.design(UNIFORM, n_fit, n_players, design_rng)
            known = np.concatenate([ends, design.masks])
            held_out = uniform(n_held, n_players, held_rng, exclude=known)
            turns = np.zeros(len(held_out), dtype=np.int64)
        else:
            n_masks = n_fit + n_held
            drawn = chosen.design(measure, n_masks, n_players, design_rng)
            n_least = requested.min_masks(n_players)
            design, held_out, turns = _divided(drawn, self.holdout, n_least, n_held)
        hints = self.hints if requested.takes_hints else None
        if hints is None and chosen.takes_hints:
            hints = hints_of(game)
        if hints is not None and chosen.takes_hints:
            options = {**options, "hints": hints.values}
        prior = self.prior if chosen.takes_hints else None
        if prior is not None:
            if prior.along.shape != (n_players,):
                raise ValueError(
                    f"the prior is of {len(prior.along)} players; {n_players} are expected"
                )
            options = {**options, "prior": prior}
        planned = replace(
            self,
            budget=budget,
            order=None if self.order is None else largest,
            until=None,
            measure=measure,
            hints=hints,
            prior=prior,
            cheaper_budget=self.cheaper_budget if chosen is requested else None,
        )
        return RunPlan(
            request=planned,
            players=players_of(game),
            requested=requested,
            chosen=chosen,
            options=options,
            order=order,
            budget=budget,
            measure=measure,
            random_state=random_state,
            ends=ends,
            design=design,
            held_out=held_out,
            turns=turns,
            fit_rng=fit_rng,
            score_rng=score_rng,
            cheaper=planned._of_cheaper(requested, game),
        )

    def _of_cheaper(self, decoder: Decoder, game: Game) -> RunPlan | None:
        """The run plan of a cheaper game, whose masks contain most of this request's."""
        if self.cheaper_budget is None:
            return None
        if decoder.most_missing is not None:
            raise ValueError(
                f"decoder={decoder.name!r} needs masks of its own as a whole, so a cheaper game "
                'does not go with it; use decoder="auto"'
            )
        budget = whole("cheaper_budget", self.cheaper_budget)
        if self.budget is not None and budget < self.budget:
            raise ValueError(
                f"cheaper_budget={budget} is below budget={self.budget}; a cheaper game is "
                "evaluated on the masks of the other and on more, so give several times as many"
            )
        # a prior learned from runs of the game says nothing of the cheaper one
        return replace(self, budget=budget, cheaper_budget=None, prior=None).run_plan(game)

    def to_json(self) -> Json:
        """The request as JSON. The seed, ``until``, hints and the prior are recorded separately."""
        return {
            "decoder": self.decoder,
            "budget": self.budget,
            "order": self.order,
            "holdout": float(self.holdout),
            "options": dict(self.options),
            **({} if self.measure in (None, UNIFORM) else {"measure": str(self.measure)}),
            **({} if self.cheaper_budget is None else {"cheaper_budget": self.cheaper_budget}),
        }


@dataclass(frozen=True, eq=False)
class RunPlan:
    """Everything that is settled before the first ablation.

    Attributes:
        request: the request, with the budget and the game's hints filled in.
        players: the players' names.
        requested: the decoder that was requested.
        chosen: the decoder that runs. It is ``exact`` if the budget covers all 2^n masks.
        options: the decoder's options, and the values of the game's hints and the
            prior if it takes them.
        order: the largest order of interaction.
        budget: the most distinct evaluations.
        measure: the law of the masks.
        random_state: the seed.
        ends: the masks of the full and of the empty input, ``(2, n)``, which are no part of the fit
            unless the design has them too; ``(0, n)`` if the design is all 2^n masks.
        design: the masks of the fit.
        held_out: the held-out masks, ``(h, n)``. There are none if the design is all 2^n masks.
        turns: the number of the part that each belongs to, from 0 on, ``(h,)``. Under measures
            other than uniform a part is predicted by a fit to the design and to the other parts.
        fit_rng: the generator of the fit.
        score_rng: the generator of the score's bootstrap.
        cheaper: the run plan of a cheaper game, whose masks it is evaluated on beside those of this
            plan; ``None``: there is none, or all masks of this game are evaluated.
    """

    request: Request
    players: tuple[str, ...]
    requested: Decoder
    chosen: Decoder
    options: Mapping[str, object]
    order: int
    budget: int
    measure: Measure
    random_state: int
    ends: BoolArray
    design: Design
    held_out: BoolArray
    turns: IntArray
    fit_rng: np.random.Generator
    score_rng: np.random.Generator
    cheaper: RunPlan | None = None

    @property
    def masks(self) -> BoolArray:
        """All masks, ``(m, n)``: the ends, those of the fit, the held-out ones."""
        return np.concatenate([self.ends, self.design.masks, self.held_out])

    @property
    def in_turn(self) -> bool:
        """Whether held-out masks are fitted too, and predicted by fits to all others."""
        return measure_of(self.design.kind) != UNIFORM

    @property
    def n_decodings(self) -> int:
        """How often the decoder runs: once, or for each part in turn and once for all."""
        return 2 + int(self.turns.max(initial=0)) if self.in_turn else 1

    @property
    def n_masks(self) -> int:
        """How many distinct masks there are: a design may have an end too."""
        return len(distinct(self.masks)[0])


def _divided(
    whole: Design, holdout: float, n_least: int, n_at_once: int
) -> tuple[Design, BoolArray, IntArray]:
    """Divide a balanced design into the masks of a fit and held-out ones.

    Held-out masks are spread evenly over the design and over sizes: those of few masks are at its
    beginning only. A mask and its complement stay together. What a larger design holds out of the
    beginning, a smaller one holds out too. The explanation is fitted to all in the end, so that
    none of the balance is lost.

    Args:
        whole: the design.
        holdout: the share or number of masks that are held out at once; with a small budget more
            are, in turn.
        n_least: the fewest masks of a fit.
        n_at_once: about how many masks a turn is to have.

    Returns:
        The design of the fit; the held-out masks, ``(h, n)``; the turn of each, ``(h,)``.
    """
    first = first_of_pair(whole.masks)  # no larger design changes it
    n_drawn, n_players = int(whole.representative.sum()), whole.masks.shape[1]
    at_once = holdout if holdout < 1 else holdout / n_drawn
    # a size that is used up keeps the share that it had then
    used_up = [comb(n_players, size) * (n_players - 1) for size in range(n_players + 1)]
    by_size = [
        max(at_once, min(_HELD_IN_TURN / min(n_drawn, max(least, 1)), 0.5)) for least in used_up
    ]
    share = np.array(by_size)[whole.masks.sum(axis=1)]
    rows = np.flatnonzero(whole.representative & ((first * _STEP) % 1.0 < share))
    rows = rows[: len(whole.masks) - n_least]
    n_turns = min(max(1, round(len(rows) / n_at_once)), _MOST_TURNS)
    turns = np.unique(first[rows], return_inverse=True)[1] % n_turns
    return whole.without(rows), whole.masks[rows], turns


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
    fewest = decoder.min_masks(n_players) + N_ENDS
    share = holdout if holdout < 1 else 0.0
    budget = max(fewest + _n_held_out(holdout, 0), int(fewest / (1 - share)) - 2)
    while budget - _n_held_out(holdout, budget) < fewest:
        budget += 1
    return min(budget, 1 << n_players)


def _check_budget(budget: int, n_held: int, n_players: int, decoder: Decoder, needed: int) -> None:
    if budget < needed:
        raise ValueError(
            f"budget={budget} leaves {max(budget - n_held - N_ENDS, 0)} ablations for the fit "
            f"beside {n_held} held out and the full and the empty input, below the "
            f"{decoder.min_masks(n_players)} that decoder={decoder.name!r} needs for "
            f"n={n_players} players; use a budget of at least {needed}"
            + (
                f", or 2^n = {1 << n_players} for all masks"
                if needed < 1 << n_players < 5000
                else ""
            )
            + (', or decoder="proxyspex"' if decoder.name == "spex" else "")
        )
