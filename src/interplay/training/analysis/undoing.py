"""Undoing: the smallest set of training data whose removal undoes an answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path

import numpy as np

from interplay._types import BoolArray, Json, Players, visible, whole
from interplay.ablation.backends.base import Backend
from interplay.ablation.evaluator import Evaluator
from interplay.components.analysis.rounds import (
    PROPOSALS,
    Goal,
    Wanted,
    check_explains,
    first_ablations,
    hints_of,
    proposed,
)
from interplay.explanation.explanation import Ablations, Explanation
from interplay.extensions import BackendName
from interplay.fourier.masks import keys
from interplay.game import Game
from interplay.optimize.smallest import smallest_subset
from interplay.training.analysis.relations import described_training, point_name

_ENERGY = 0.999
"""The share of the variance that the optimisation takes into account (as in removal curves)."""
_UNMOVED = 1e-4
"""The share of a score below which what training adds to it may be rounding."""
_KEY = 0x756E646F
"""Part of the seed: separates these draws from all others with the same ``random_state``."""


@dataclass(frozen=True, eq=False)
class Undoing:
    """A set of players without which an answer is undone.

    Attributes:
        question: the name of the question.
        level: the score at which its answer counts as undone: there or beyond, as seen from
            ``full``.
        base: the score without any player.
        full: the score with all.
        removed: the players to remove; ``None``: no set was verified. Each of them is needed: the
            answer came back, by retraining, when any one of them was put back alone.
        names: their names.
        predicted: the score that the explanation predicts without them; NaN if none was verified.
        actual: the score of the model that was trained without them; NaN likewise.
        predicted_size: the size of the smallest set that is enough by the explanation; ``None``:
            it predicts that no allowed one is.
        proven: whether the optimiser proved that: no smaller set is enough by the explanation.
        n_trained: how many retrainings it took, those that put players back included.
    """

    question: str
    level: float
    base: float
    full: float
    removed: Players | None
    names: tuple[str, ...]
    predicted: float
    actual: float
    predicted_size: int | None
    proven: bool
    n_trained: int

    def __str__(self) -> str:
        size = "no set" if self.predicted_size is None else str(self.predicted_size)
        proof = "" if self.proven else ", not proven"
        lines = [
            f"{self.question}: {self.full:.3g} with all, {self.base:.3g} with none; undone at "
            f"{self.level:.3g}",
            f"  smallest set that is enough by the explanation: {size}{proof}",
        ]
        if self.removed is None:
            lines.append(f"  trained: none was found that brings it to {self.level:.3g}")
        else:
            lines.append(
                f"  trained: {self.actual:.3g} without {'; '.join(self.names)} (predicted "
                f"{self.predicted:.3g}); each is needed"
            )
        return visible("\n".join(lines) + f" ({self.n_trained} retrainings)")


def undoing_set(
    explanation: Explanation,
    game: Game,
    point: int = 0,
    *,
    level: float | None = None,
    most: int | None = None,
    n_tries: int = 20,
    time_limit: float = 10.0,
    store: str | Path | None = None,
    random_state: int = 0,
    backend: BackendName | str | Backend = "local",
    progress: bool | None = None,
) -> Undoing:
    """Find the smallest set of players whose removal undoes an answer, and retrain without it.

    An answer is undone where its score comes to a level: a right answer falls to it, and a wrong
    one, that poison taught, rises to it.

    For up to so many players the optimiser finds the removal that moves the predicted score most
    towards the level, with a bound on what any other of that size could do. Predictions are
    corrected by their error at the full training set, from which few players are removed. The
    smallest size at which the prediction reaches the level is tried by retraining.

    An explanation of halves of the data says less of nearly all of them. Where the first set is not
    enough, each measured failure therefore joins the ablations, and a Gaussian process of them
    proposes other sets of that size, then of the next sizes. What is returned has been trained.
    Then each player of the set is put back alone: if the answer stays undone without it, the set is
    smaller by one, and so on, until each player is needed.

    Args:
        explanation: of a ``FineTuningGame`` or ``TrainingGame``.
        game: the game that it explains.
        point: the number of the question.
        level: the score at which the answer is undone. By default 0 for a margin, where the two
            answers change places, unless the base model's is above 0 too; then, and for other
            scores, the middle between the scores with all players and with none.
        most: the most players to remove; by default half of them.
        n_tries: the most sets to retrain without before the search is given up, those that only
            test whether each player is needed not counted.
        time_limit: seconds for each size that the optimiser tries.
        store: as for ``explain``; masks in the store are not evaluated again.
        random_state: seed of the proposals.
        backend: as for ``explain``.
        progress: as for ``explain``.

    Returns:
        The set, with what was predicted and measured; ``removed`` is ``None`` if none was verified.

    Raises:
        ValueError: the explanation is of another game or of something else, the question does not
            exist, or training did not change its score or left it at the level, so that there is
            nothing to undo.
        GameError: the game failed; what was evaluated is in the store.
        KeyboardInterrupt: interrupted; what was evaluated is in the store.

    Example:
        Rows 0 and 1 are duplicates: without one of them the other is enough.

        >>> import interplay as ip
        >>> from interplay.training import Ridge, TrainingData, TrainingGame, undoing_set
        >>> data = TrainingData.checked(
        ...     [[2.0], [2.0], [-1.0], [-0.5]], ["a", "a", "a", "b"], [[1.0]], ["a"]
        ... )
        >>> game = TrainingGame(Ridge(), data)
        >>> print(undoing_set(ip.explain(game, progress=False), game, progress=False))
        0 (a): 0.597 with all, 0 with none; undone at 0
          smallest set that is enough by the explanation: 2
          trained: -0.778 without 0; 1 (predicted -0.778); each is needed (3 retrainings)
    """
    description = described_training(explanation)
    check_explains("the explanation", explanation, game)
    n_players = int(game.n_players)
    spectrum = replace(explanation.spectrum.output(point), ends=None, end_doubts=None)
    most = n_players // 2 if most is None else min(whole("most", most, 1), n_players)
    n_tries = whole("n_tries", n_tries, 1)
    name = point_name(description, point)
    with Evaluator.of(game, store=store, backend=backend, progress=progress) as evaluator:
        ends = np.repeat([[True], [False]], n_players, axis=1)
        full, base = map(float, evaluator.values(ends)[:, point])
        level = _level(level, _is_margin(description, point), full, base, name)
        # from here on a lower number is one that is nearer to the level, or beyond it
        sign = 1.0 if full > level else -1.0
        signed = sign * spectrum
        shift = sign * full - float(signed.predict(ends[:1])[0])
        search = smallest_subset(
            signed.truncate(energy=_ENERGY),
            sign * level - shift,
            below=True,
            few="removed",
            most=most,
            time_limit=time_limit,
        )
        trained = _Trained(evaluator, point, sign, sign * level)
        mask = trained.enough(search.mask[None])
        if mask is None:
            removes = int((~search.mask).sum())
            mask = _proposed(explanation, trained, removes, most, n_tries, random_state)
        needed = False
        while mask is not None and not needed:
            put_back = mask | np.eye(n_players, dtype=np.bool_)[~mask]
            fewer = trained.enough(put_back) if len(put_back) else None
            needed = fewer is None
            mask = mask if fewer is None else fewer
    removed = None if mask is None else tuple(np.flatnonzero(~mask).tolist())
    predicted = actual = nan
    if mask is not None:
        predicted = float(spectrum.predict(mask[None])[0]) + sign * shift
        actual = sign * trained.scores[keys(mask[None])[0]]
    return Undoing(
        question=name,
        level=level,
        base=base,
        full=full,
        removed=removed,
        names=tuple(explanation.players[player] for player in removed or ()),
        predicted=predicted,
        actual=actual,
        predicted_size=search.size,
        proven=search.proven,
        n_trained=len(trained.scores),
    )


def _is_margin(description: Json, point: int) -> bool:
    """Whether a question's score compares two answers, so that 0 is where they change places."""
    if description["score"] == "auto":
        return description["questions"][point]["against"] is not None
    return bool(description["score"] == "margin")


def _level(level: float | None, is_margin: bool, full: float, base: float, name: str) -> float:
    """The score at which an answer is undone; checked to be another than that with all players."""
    if level is None:
        changes_places = is_margin and (full < 0 or base <= 0)
        level = 0.0 if changes_places else (full + base) / 2
        if not changes_places and abs(full - base) <= _UNMOVED * max(abs(full), abs(base)):
            raise ValueError(
                f"{name} has the score {full:.6g} with all players and {base:.6g} with none: "
                "training did not change the answer, so there is nothing to undo; choose a level, "
                "or a question that training changed"
            )
    if full == level:
        raise ValueError(
            f"{name} has the score {full:.4g} with all players, which is the level itself, so "
            "there is nothing to undo; choose another level, or a question that training changed"
        )
    return float(level)


@dataclass(frozen=True, eq=False)
class _Trained:
    """Retrainings: what was measured, by the mask's key.

    Attributes:
        evaluator: of the game.
        point: the question.
        sign: what scores are multiplied by, so that low ones are wanted.
        level: the signed score that is low enough.
        scores: signed.
        masks: in the order of their training.
    """

    evaluator: Evaluator
    point: int
    sign: float
    level: float
    scores: dict[bytes, float] = field(default_factory=dict)
    masks: list[BoolArray] = field(default_factory=list)

    def enough(self, masks: BoolArray) -> BoolArray | None:
        """Retrain, and return the mask with the lowest signed score if that is low enough."""
        values = self.sign * self.evaluator.values(masks)[:, self.point]
        for key, mask, value in zip(keys(masks), masks, values, strict=True):
            if key not in self.scores:
                self.scores[key] = float(value)
                self.masks.append(mask)
        best = int(values.argmin())
        return masks[best] if values[best] <= self.level else None

    def negated(self) -> Ablations:
        """All that was measured, negated, since proposals are for the largest values."""
        masks = np.array(self.masks)
        return Ablations(masks, -np.array([[self.scores[key]] for key in keys(masks)]))


def _proposed(
    explanation: Explanation,
    trained: _Trained,
    size: int,
    most: int,
    n_tries: int,
    random_state: int,
) -> BoolArray | None:
    """Sets that a Gaussian process proposes, from a size on, until one is enough."""
    first = first_ablations(explanation)
    first = Ablations(first.masks, -trained.sign * first.values[:, [trained.point]])
    rng = np.random.default_rng([_KEY, random_state])
    for removes in range(max(size, 1), most + 1):
        count = min(PROPOSALS, n_tries - len(trained.masks))
        if count < 1:
            break
        wanted = Wanted(first.masks.shape[1] - removes, Goal(0, None), count)
        masks = proposed(first + trained.negated(), hints_of(explanation), [wanted], rng)
        mask = trained.enough(masks) if len(masks) else None
        if mask is not None:
            return mask
    return None
