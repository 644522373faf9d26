"""Check what evaluated masks one after the other: the stopping rule and the confirmation.

Both run again, on a game that gives the recorded values.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np

from interplay._types import BoolArray, FloatArray, IntArray, Json, plain
from interplay.ablation.evaluator import Evaluator
from interplay.audit.checks import Check, checked, documents, texts, unchecked
from interplay.audit.derivation import Derivation
from interplay.audit.record import SCORE_TOLERANCE
from interplay.audit.stored import Lookup
from interplay.confirmation.run import confirm
from interplay.designs.measures import UNIFORM
from interplay.errors import GameError
from interplay.explanation.adaptive import evaluate_until
from interplay.explanation.explanation import Explanation
from interplay.explanation.extrapolation import ranges_of
from interplay.explanation.run_plan import Request
from interplay.explanation.verdict import claims_of
from interplay.fourier.masks import keys
from interplay.game import FunctionGame

_MOST_PLANNED = 16
"""A confirmation is planned for at most so many times the ablations that there are ..."""
_FEWEST_ALLOWED = 10_000
"""... and for up to so many in any case."""


def check_stopping(explanation: Explanation, lookup: Lookup) -> list[Check]:
    """Check that adaptive sampling stops where it stopped, after the same scores.

    There is no check of a run that was not adaptive.
    """
    recorded = explanation.provenance.get("until")
    if recorded is None:
        return []
    name = "stopping rule"
    if "budget" not in recorded or explanation.provenance.get("request") is None:
        return [unchecked(name, "the explanation does not record what was asked for")]
    if explanation.provenance["budget"]["interrupted"]:
        return [unchecked(name, "the run was interrupted before the rule was met")]
    try:
        request = Request.recorded(explanation.provenance)
        request = replace(
            request,
            budget=recorded["budget"],
            until=recorded["goal"],
            measure=recorded.get("measure", request.measure),
        )
        game = _recorded_game(explanation, lookup, n_repeats=1)
        with Evaluator.of(game, on_error="skip", progress=False) as evaluator:
            plan, stopped, _ = evaluate_until(request, evaluator)
    except (GameError, ValueError, TypeError, KeyError) as error:
        detail = "adaptive sampling by the recorded goal and budget makes other ablations"
        return [checked(name, f"{detail}: {error}", [texts("until", _written(recorded), None)])]
    limit = explanation.provenance["budget"]["limit"]
    entries = [
        *documents("provenance.until", plain(recorded), plain(stopped), SCORE_TOLERANCE),
        *documents("provenance.budget.limit", limit, plan.budget),
    ]
    return [checked(name, "adaptive sampling stops there, after the same scores", entries)]


def check_confirmation(
    explanation: Explanation, derivation: Derivation, lookup: Lookup, n_stored: int
) -> list[Check]:
    """Check the confirmation: its design, its figures and its verdicts.

    There is no check of an explanation without one.

    Args:
        explanation: the explanation.
        derivation: its spectrum, derived again.
        lookup: gives what the store has of masks.
        n_stored: how many ablations of its game the store has.
    """
    recorded, name = explanation.confirmation, "confirmation"
    if recorded is None:
        return []
    if derivation.derived is None:
        return [unchecked(name, "the spectrum whose interactions it tests could not be derived")]
    game = _recorded_game(explanation, lookup, explanation.provenance["game"]["n_repeats"])
    used = explanation.ablations
    # a design takes as many masks as the budget allows, and the store must have them all
    most = _MOST_PLANNED * (n_stored + len(used)) + _FEWEST_ALLOWED
    budget = None if recorded.budget is None else min(recorded.budget, most)
    # backgrounds are masks of the explanation's measure; those of earlier versions were uniform
    measure = UNIFORM if recorded.measure == UNIFORM else explanation.measure
    try:
        spectrum = derivation.derived.decoded.spectrum.output(recorded.output)
        claims = spectrum.to(recorded.index, order=recorded.order, players=explanation.players)
        with Evaluator.of(game, progress=False) as evaluator:
            again = confirm(
                evaluator,
                spectrum,
                claims_of(
                    claims,
                    max(len(recorded.tested), 1),
                    min_order=recorded.min_order,
                    spread=ranges_of(used.values)[recorded.output],
                ),
                (used.masks, used.values),
                output=recorded.output,
                budget=budget,
                random_state=recorded.random_state,
                measure=measure,
                min_order=recorded.min_order,
            )
    except GameError:
        reason = "the store lacks ablations that the confirmation needs"
        return [unchecked(name, f"{reason}, or no store was given")]
    except (ValueError, TypeError, IndexError) as error:
        detail = f"its recorded settings cannot be what ran: {error}"
        return [checked(name, detail, [texts("settings", recorded.index, None)])]
    # how many were known before is not recorded anywhere else
    if budget == most:
        again = replace(again, budget=recorded.budget)
    old, new = (plain(asdict(replace(side, n_evaluated=0))) for side in (recorded, again))
    return [
        checked(
            name,
            "the tested interactions, what was measured and the verdicts are those that the "
            "stored ablations give",
            documents(name, old, new, SCORE_TOLERANCE),
        )
    ]


def _recorded_game(explanation: Explanation, lookup: Lookup, n_repeats: int) -> FunctionGame:
    """A game that gives the recorded values, of the explanation or of the store; else NaN."""
    used = explanation.ablations
    known = dict(zip(keys(used.masks), used.values, strict=True))

    def recorded(masks: BoolArray, *seeds: IntArray) -> FloatArray:
        values = np.full((len(masks), *used.values.shape[1:]), np.nan)
        stored = lookup(masks)
        if stored is not None and stored.values.shape == values.shape:
            values = stored.values.copy()
        for row, key in enumerate(keys(masks)):
            if key in known:
                values[row] = known[key]
        return values

    n_players = explanation.provenance["game"]["n_players"]
    return FunctionGame(recorded, n_players, players=explanation.players, n_repeats=n_repeats)


def _written(document: Json) -> str:
    return json.dumps(document, sort_keys=True)
