"""What jobs make of an explanation: confirmed, with more ablations, with what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.cli.options import with_tables
from interplay.confirmation.design import DEFAULT_BUDGET
from interplay.confirmation.verdict import Confirmation
from interplay.explanation.explain import explain
from interplay.explanation.explanation import Ablations, Explanation
from interplay.explanation.run_plan import Request
from interplay.explanation.truth import joined
from interplay.explanation.verdict import claims_of
from interplay.fourier.masks import keys
from interplay.game import Game

MOST_TESTED = 12
"""The most interactions that one confirmation tests."""
_MOST_TO_CONFIRM = 2_000
"""No larger budget is tried for a confirmation."""
MOST_ABLATIONS = 100_000
"""The most ablations of a run that goes on."""
_KEPT = ("answers", "shown")
"""Entries of the provenance that the commands add, and that hold for the same game."""


@dataclass(frozen=True)
class Source:
    """Where values come from.

    Attributes:
        game: the game that was explained.
        store: the file of its ablations.
    """

    game: Game
    store: Path


def confirmed(
    explanation: Explanation, source: Source, top: int, settings: dict[str, Any]
) -> Confirmation:
    """Test the strongest interactions, with the smallest budget of several that pays for all.

    Args:
        explanation: of the game.
        source: of values.
        top: how many interactions.
        settings: arguments of :meth:`interplay.Explanation.confirm`.

    Raises:
        ValueError: no budget pays for them.
    """
    settings = settings | {"random_state": explanation.provenance["random_state"]}
    budget = min(DEFAULT_BUDGET, int(explanation.provenance["budget"]["spent"]))
    while True:  # the budget of --confirm-budget, doubled until it pays for all
        try:
            cost = explanation.confirmation_cost(top, budget=budget, **settings)
            break
        except ValueError:
            if budget > _MOST_TO_CONFIRM:
                raise
            budget *= 2
    return explanation.confirm(
        cost.n_claims,
        game=source.game,
        budget=cost.budget,
        store=source.store,
        progress=False,
        **settings,
    )


def request_until(explanation: Explanation, until: float, budget: int | None) -> Request:
    """What the explanation was asked for, but until a goal."""
    return replace(Request.recorded(explanation.provenance), until=until, budget=budget)


def continued(before: Explanation, source: Source, until: float, budget: int) -> Explanation:
    """The explanation of a longer run, with all of the shorter one that holds for it too.

    What was asked later stays. Truth tables are completed and decisive sets searched again, since
    other interactions may be the strongest now; a stop leaves that out. A confirmation was of the
    shorter run's claims, and goes.

    Args:
        before: the explanation so far.
        source: of values.
        until: the goal of the cross-validated R2.
        budget: the most ablations.
    """
    request = request_until(before, until, budget)
    options: dict[str, Any] = dict(request.options)
    explanation = explain(
        source.game,
        decoder=request.decoder,
        budget=budget,
        until=until,
        order=request.order,
        holdout=request.holdout,
        measure=request.measure,
        random_state=request.random_state,
        store=source.store,
        progress=False,
        **options,
    )
    kept = {name: before.provenance[name] for name in _KEPT if name in before.provenance}
    explanation = replace(
        explanation,
        provenance=explanation.provenance | kept,
        asked=_beside(explanation, before.asked),
    )
    settings: dict[str, Any] = {"game": source.game, "store": source.store, "progress": False}
    try:
        explanation = with_tables(explanation, **settings)
        sets = tuple(
            getattr(explanation, one.kind)(
                threshold=one.threshold if one.rule == "given" else None,
                output=one.output,
                budget=one.budget,
                **settings,
            )
            for one in before.decisive
        )
        return replace(explanation, decisive=sets)
    except KeyboardInterrupt:  # a stop: what was explained is not lost by it
        return explanation


def with_asked(explanation: Explanation, masks: BoolArray, values: FloatArray) -> Explanation:
    """The explanation with answers of its game.

    Args:
        explanation: of the game.
        masks: what was asked, ``(m, n)``, each once.
        values: what the game answered, ``(m, k)``.
    """
    shaped = values.reshape(len(masks), *explanation.fit.values.shape[1:])
    new = _beside(explanation, Ablations(masks, shaped))
    if new is None:
        return explanation
    return replace(explanation, asked=joined(explanation.asked, new.masks, new.values))


def known(explanation: Explanation) -> set[bytes]:
    """The masks whose values an explanation has, as keys."""
    used = explanation.ablations.masks
    asked = [] if explanation.asked is None else keys(explanation.asked.masks)
    return {*keys(used), *asked}


def _beside(explanation: Explanation, asked: Ablations | None) -> Ablations | None:
    """Those answers that the explanation does not have; ``None``: there are none."""
    if asked is None:
        return None
    has = known(explanation)
    new = asked[np.array([key not in has for key in keys(asked.masks)], dtype=np.bool_)]
    return new if len(new) else None


def rank(
    explanation: Explanation, chosen: tuple[int, ...], settings: dict[str, Any]
) -> tuple[int, str]:
    """How many interactions are tested before one, itself included, and its name.

    Raises:
        ValueError: there is no such interaction, or too many are stronger.
    """
    output = explanation.first_output or 0
    spectrum = explanation.spectrum.output(output)
    nothing = f"the explanation has no interaction of the players {list(chosen)[:MOST_TESTED]}"
    if not 1 <= len(chosen) <= spectrum.orders.max(initial=1):
        raise ValueError(nothing)  # before all sets up to that size are listed
    interactions = spectrum.to(
        explanation.index, order=settings["order"], players=explanation.players
    )
    ranked = claims_of(
        interactions,
        len(interactions),
        min_order=settings["min_order"],
        spread=explanation.verdict.ranges[output],
    )
    if chosen not in ranked.sets:
        raise ValueError(nothing)
    place = ranked.sets.index(chosen) + 1
    if place > MOST_TESTED:
        raise ValueError(
            f"{place - 1} interactions come before this one; the page tests it with those, "
            f"at most {MOST_TESTED}. Call explanation.confirm({place}, ...) in Python"
        )
    return place, interactions.label(chosen)


def checked(players: Sequence[int], n_players: int) -> list[int]:
    """Numbers of players, each once.

    Raises:
        ValueError: they are not.
    """
    whole = all(type(player) is int and 0 <= player < n_players for player in players)
    if not whole or len(set(players)) != len(players):
        raise ValueError(f"players are distinct whole numbers from 0 to {n_players - 1}")
    return list(players)


def mask_without(removed: Sequence[int], n_players: int) -> BoolArray:
    """The mask without some players, ``(n,)``."""
    mask = np.ones(n_players, dtype=np.bool_)
    mask[checked(removed, n_players)] = False
    return mask
