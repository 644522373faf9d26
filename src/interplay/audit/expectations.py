"""What is expected of a game, and whether fresh ablations show it: a gate for audits and upgrades.

That something was not found does not show that it is not there. Each expectation is therefore
*met*, *not met* or *not shown*, and only the first lets a gate pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import numpy as np

from interplay._arrays import as_columns
from interplay._types import Players, visible, whole
from interplay.ablation.evaluator import Evaluator
from interplay.audit.wanted import (
    SHARE,
    Expectations,
    Indifferent,
    Matters,
    check_players,
    enough_masks,
    expectations_of,
    player_named,
    players_named,
)
from interplay.confirmation.changes import DIFFERENT, EQUIVALENT, Equivalence
from interplay.confirmation.design import DEFAULT_BUDGET, least_budget
from interplay.confirmation.equivalence import equivalence_of
from interplay.confirmation.run import confirm
from interplay.confirmation.verdict import Tested
from interplay.explanation.explanation import Explanation
from interplay.explanation.faithfulness import faithfulness
from interplay.fourier.interactions import Interactions
from interplay.fourier.masks import describe
from interplay.game import Game

MET, NOT_MET, NOT_SHOWN = "met", "not met", "not shown"
_SEED = 0x6A7E


@dataclass(frozen=True)
class Expected:
    """One expectation, and what came of it.

    Attributes:
        what: the expectation, in words.
        outcome: ``"met"``; ``"not met"``: the opposite is shown; ``"not shown"``: neither is.
        reason: what was measured.
    """

    what: str
    outcome: str
    reason: str

    @property
    def is_met(self) -> bool:
        """Whether it is shown."""
        return self.outcome == MET

    def __str__(self) -> str:
        return visible(f"{self.outcome}: {self.what} ({self.reason})")


def expect(
    explanation: Explanation,
    expectations: Expectations | str | Path,
    *,
    game: Game | None = None,
    output: int = 0,
    store: str | Path | None = None,
    random_state: int = 0,
) -> tuple[Expected, ...]:
    """Check what is expected of a game, by its explanation and by fresh ablations.

    Intervals of all ``matters`` together hold with 95 %. A player that is not ``indifferent``
    passes for it by mistake in at most 5 % of the runs.

    Args:
        explanation: of the game.
        expectations: them, or a file of them in TOML.
        game: the game that was explained; a loaded explanation needs it.
        output: which of several outputs.
        store: as for :func:`interplay.explain`.
        random_state: the seed of the fresh masks.

    Raises:
        ValueError: no such player or output, no game, or ``unchanged``, which is expected of two
            games (see :func:`interplay.compare`).
        GameError: the game failed.

    Example:
        >>> import interplay as ip
        >>> game = ip.FunctionGame(lambda m: m[:, 0] * m[:, 1] + 0.001 * m[:, 2], n_players=12)
        >>> explanation = ip.explain(game, budget=100)
        >>> wanted = {"matters": [{"players": [0, 1]}],
        ...           "indifferent": [{"players": [2, 0], "margin": 0.01}]}
        >>> for expected in ip.expect(explanation, wanted):
        ...     print(expected.outcome, "|", expected.what)
        met | 0 × 1 matters
        met | 2 changes the value by at most 0.01
        not met | 0 changes the value by at most 0.01
    """
    wanted = expectations_of(expectations)
    whole("random_state", random_state, 0)
    if "unchanged" in wanted:
        raise ValueError("unchanged is expected of two games; compare them for it")
    check_players(wanted, explanation.players)
    game = explanation.game if game is None else game
    if game is None:
        raise ValueError(
            "fresh ablations are needed, and this explanation has no game, since it was loaded "
            "from a file; give expect(game=...) the game that was explained"
        )
    count = explanation.spectrum.n_outputs or 1
    if not 0 <= output < count:
        raise ValueError(f"output={output}; there are {count}, counted from 0")
    with Evaluator.of(game, store=store, progress=False) as evaluator:
        return examined(explanation, wanted, evaluator, output, output, random_state)


def examined(
    explanation: Explanation,
    wanted: Expectations,
    evaluator: Evaluator,
    output: int,
    column: int,
    random_state: int,
) -> tuple[Expected, ...]:
    """What :func:`expect` gives, by an open evaluator.

    Args:
        explanation: it.
        wanted: checked expectations.
        evaluator: evaluates the game.
        output: the number of the output in the explanation.
        column: its number among the evaluator's values.
        random_state: the seed.
    """
    names = explanation.players
    sets = [players_named(names, entry["players"]) for entry in wanted.get("matters", ())]
    singles = [
        (player_named(names, player), entry)
        for entry in wanted.get("indifferent", ())
        for player in entry["players"]
    ]
    results: list[Expected] = []
    if "r2" in wanted:
        results.append(_of_r2(explanation, output, wanted["r2"]))
    if sets:
        claims = _claims(explanation, output, sets)
        used = explanation.ablations
        known = np.zeros((len(used), column + 1))
        known[:, column] = as_columns(used.values)[:, output]
        least = least_budget(sets, used.masks, random_state, explanation.measure)
        tested = confirm(
            evaluator,
            explanation.spectrum.output(output),
            claims,
            (used.masks, known),
            output=column,
            budget=max(DEFAULT_BUDGET, least),
            random_state=random_state,
            measure=explanation.measure,
            min_order=1,
        ).tested
        results += [
            _matters(test, entry) for test, entry in zip(tested, wanted["matters"], strict=True)
        ]
    results += [
        _is_indifferent(explanation, evaluator, player, entry, column, random_state)
        for player, entry in singles
    ]
    return tuple(results)


def _of_r2(explanation: Explanation, output: int, least: float) -> Expected:
    score, held = explanation.faithfulness, explanation.held_out
    known, is_one_of_several = score.by_output[output], len(score.by_output) > 1
    if is_one_of_several and (score.exact or not isfinite(known)):
        score = replace(score, r2=known, low=known, high=known, varies=isfinite(known))
    elif is_one_of_several:
        predictions = as_columns(explanation.predict_held_out())[:, output]
        rng = np.random.default_rng([_SEED, output])
        score = faithfulness(held.masks, as_columns(held.values)[:, output], predictions, rng)
    reason = f"R2 {score.r2:.3f}, {score.level:.0%} interval {score.low:.3f} to {score.high:.3f}"
    outcome = MET if score.known and score.low >= least else NOT_SHOWN
    if score.known and score.high < least:
        outcome = NOT_MET
    return Expected(f"R2 is at least {least:g}", outcome, reason if score.known else "not known")


def _claims(explanation: Explanation, output: int, sets: Sequence[Players]) -> Interactions:
    """Sets as interactions, with the values that the explanation gives them."""
    spectrum, largest = explanation.spectrum.output(output), max(map(len, sets))
    fitted = spectrum.to(explanation.index, order=largest)
    members = np.full((len(sets), largest), spectrum.n_players, dtype=np.int32)
    for row, players in enumerate(sets):
        members[row, : len(players)] = players
    values = np.array([float(fitted[players]) for players in sets])
    names = explanation.players
    return Interactions(fitted.index, largest, spectrum.n_players, members, values, names)


def _matters(test: Tested, entry: Matters) -> Expected:
    """Whether a set has a joint effect, by the interval of its mean."""
    least = entry.get("at_least", 0.0)
    nearest = max(test.low, -test.high)  # how far the interval is from zero, on either side
    farthest = max(abs(test.low), abs(test.high))
    outcome = NOT_SHOWN
    if nearest > 0 and nearest >= least:
        outcome = MET
    elif farthest < least:
        outcome = NOT_MET
    size = f" by at least {least:g}" if least else ""
    reason = f"joint effect {test.measured:+.3g}, interval {test.low:+.3g} to {test.high:+.3g}"
    return Expected(f"{' × '.join(test.labels)} matters{size}", outcome, reason)


def _is_indifferent(
    explanation: Explanation,
    evaluator: Evaluator,
    player: int,
    entry: Indifferent,
    column: int,
    random_state: int,
) -> Expected:
    """Whether a player changes next to nothing, alone and in any interaction."""
    share, margin = entry.get("share", SHARE), entry["margin"]
    n_backgrounds = enough_masks(share)
    rng = np.random.default_rng([_SEED, random_state, player])
    masks = explanation.measure.draw(n_backgrounds, len(explanation.players), rng)
    masks[0] = True
    without = masks.copy()
    masks[:, player], without[:, player] = True, False
    kept, removed = np.split(
        as_columns(evaluator.values(np.vstack([masks, without])))[:, column], 2
    )
    test = equivalence_of(
        kept - removed,
        margin=margin,
        share=share,
        player=explanation.players[player],
        titles=[describe(mask) for mask in masks],
        unit="backgrounds",
    )
    worst = max(test.changes, key=lambda change: abs(change.largest))
    reason = (
        f"within it on {test.n_within} of {n_backgrounds} backgrounds, at most "
        f"{worst.largest:+.3g}; the share that is has the interval {test.interval[0]:.1%} to "
        f"{test.interval[1]:.1%}, asked for were {share:.0%}"
    )
    what = f"{explanation.players[player]} changes the value by at most {margin:g}"
    return Expected(what, _OUTCOMES.get(test.verdict, NOT_SHOWN), reason)


def is_unchanged(test: Equivalence) -> Expected:
    """Whether two games agree, as an expectation."""
    low, high = test.interval
    reason = f"{test.n_within} of {len(test.changes)} masks, interval {low:.1%} to {high:.1%}"
    what = f"the values agree within {test.margin:g} on {test.share:.0%} of the masks"
    return Expected(what, _OUTCOMES.get(test.verdict, NOT_SHOWN), reason)


_OUTCOMES = {EQUIVALENT: MET, DIFFERENT: NOT_MET}
