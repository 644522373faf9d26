"""A cheaper game before it is decoded: whether it can be used, how much of it, and its values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2

from interplay._types import Json
from interplay.ablation.evaluator import Evaluator
from interplay.explanation.cheaper import cheaper_masks
from interplay.explanation.reading import Ablations
from interplay.explanation.run_plan import Request, RunPlan, default_budget
from interplay.game import Game, fingerprint_of, players_of

_DEFAULT, _MOST = 6, 3000
"""The default budget as a multiple of n log2 n, and the most."""


@dataclass(frozen=True, eq=False)
class CheaperRun:
    """The ablations of a cheaper game, and what they are of.

    Attributes:
        ablations: on the masks of the game that is explained and on more.
        fingerprint: the cheaper game's; ``None``: it has none.
        n_repeats: how often each mask was evaluated.
        description: the cheaper game's, as JSON.
        n_new: how many masks were evaluated.
        n_stored: how many came from the store.
    """

    ablations: Ablations
    fingerprint: str | None
    n_repeats: int
    description: Json
    n_new: int
    n_stored: int

    def to_json(self) -> Json:
        """What a provenance says of it, beside what follows from the ablations."""
        return {
            "fingerprint": self.fingerprint,
            "n_repeats": self.n_repeats,
            "description": self.description,
            "evaluated": self.n_new,
            "from_store": self.n_stored,
        }


def with_cheaper(
    request: Request, game: Game, cheaper: Game | None, cheaper_budget: int | None
) -> Request:
    """The request with the budget of a cheaper game, after a check of what was asked for.

    Raises:
        ValueError: the games have other players, or are the same; there is a stopping rule, or a
            budget without a game.
    """
    if cheaper is None:
        if cheaper_budget is not None:
            raise ValueError(
                f"cheaper_budget={cheaper_budget} was given without a cheaper game; give cheaper="
            )
        return request
    if request.until is not None:
        raise ValueError(
            "a cheaper game does not go with until or budget='auto', which watch the score without "
            "it; give a number of ablations as budget"
        )
    n_players, n_cheap = int(game.n_players), int(cheaper.n_players)
    if n_players != n_cheap:
        raise ValueError(
            f"the cheaper game has {n_cheap} players, and the game {n_players}; give both the same"
        )
    pairs = zip(players_of(game), players_of(cheaper), strict=True)
    for number, (name, other) in enumerate(pairs):
        if name != other:
            raise ValueError(
                f"player {number} of the cheaper game is {other!r}, and of the game {name!r}; give "
                "both the same players, in the same order"
            )
    fingerprint = fingerprint_of(game)
    if cheaper is game or (fingerprint is not None and fingerprint == fingerprint_of(cheaper)):
        raise ValueError("the cheaper game is the game itself; give one that costs less")
    if cheaper_budget is None:
        budget = default_budget(n_players) if request.budget is None else int(request.budget)
        usual = ceil(_DEFAULT * n_players * log2(max(n_players, 2)))
        cheaper_budget = max(budget, min(usual, _MOST))
    return replace(request, cheaper_budget=cheaper_budget)


def evaluate_cheaper(plan: RunPlan, evaluator: Evaluator) -> CheaperRun:
    """Evaluate a cheaper game on its masks.

    Raises:
        GameError: the game failed.
        KeyboardInterrupt: the run was interrupted; the game that is explained was not evaluated.
    """
    masks = cheaper_masks(plan)
    evaluated = evaluator(masks)
    if evaluated.interrupted:
        raise KeyboardInterrupt(
            "interrupted among the ablations of the cheaper game; if a store was given, they are "
            "stored, and the same call goes on where it was"
        )
    return CheaperRun(
        Ablations(masks, evaluated.values),
        evaluator.fingerprint,
        evaluator.n_repeats,
        evaluator.description,
        evaluated.n_new,
        evaluated.n_stored,
    )
