"""Find the smallest set of players that decides an answer, and ask the game about it.

The spectrum proposes sets, by :mod:`interplay.optimize`; the game has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import comb, isfinite, nan

import numpy as np

from interplay._types import BoolArray, FloatArray
from interplay.explanation.decisive import DecisiveSet, Tried
from interplay.explanation.question import Question
from interplay.fourier.masks import distinct, keys
from interplay.optimize.smallest import SmallestSubset

BUDGET = 20
"""The most evaluations that a search makes by default."""
_RANKED = 50_000
"""Up to this number of sets of a size all of them are ranked by their prediction."""
_SIDE = 200
"""The most players on either side that are exchanged where there are more sets."""
_TRIES = 5
"""Sets of one size that are tried before a larger size is."""
_OTHERS = 3
"""Sets with one player exchanged that are measured beside the one that is returned."""
_STEP = 10
"""The next size is larger by a tenth, and at least by one player."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the game said, and how often it was asked.

    Attributes:
        question: what is looked for.
        known: the run's values of masks, by key.
        evaluate: gives the values of masks; ``None``: there is no game.
        budget: the most masks to evaluate.
        fresh: the masks that were evaluated.
        tried: the sets that were looked at, in order, by the mask's key.
    """

    question: Question
    known: dict[bytes, float]
    evaluate: Callable[[BoolArray], FloatArray] | None
    budget: int
    fresh: set[bytes] = field(default_factory=set)
    tried: dict[bytes, Tried] = field(default_factory=dict)

    def values(self, masks: BoolArray) -> FloatArray:
        """Measured values, in the order of the masks; NaN where the budget does not allow it."""
        names = keys(masks)
        new = [row for row, name in enumerate(names) if name not in self.known]
        new = [] if self.evaluate is None else new[: self.budget - len(self.fresh)]
        if new:
            assert self.evaluate is not None
            measured = self.evaluate(masks[new])
            for row, value in zip(new, measured, strict=True):
                self.known[names[row]] = float(value)
                self.fresh.add(names[row])
        values = np.array([self.known.get(name, nan) for name in names])
        predicted = self.question.spectrum.predict(masks)
        for name, mask, by_spectrum, value in zip(names, masks, predicted, values, strict=True):
            if isfinite(value):
                players = np.flatnonzero(self.question.members(mask)).tolist()
                self.tried[name] = Tried(tuple(players), float(by_spectrum), float(value))
        return values

    def enough(self, masks: BoolArray) -> tuple[BoolArray, BoolArray]:
        """Which masks are enough as measured, and which were measured, ``(m,)`` each."""
        values = self.values(masks)
        measured = np.isfinite(values)
        margins = self.question.sign * (values - self.question.threshold)
        return measured & self.question.enough(margins), measured


def decide(
    question: Question,
    known: dict[bytes, float],
    evaluate: Callable[[BoolArray], FloatArray] | None,
    budget: int,
    time_limit: float,
) -> DecisiveSet:
    """Find the smallest set, and ask the game about it.

    The best sets of the smallest size that is predicted to be enough are tried, up to five, then
    those of the next sizes, until one is enough by the game or the budget is spent. Each player is
    then left out of it: if that is still enough, the set is smaller by one, and so on.

    Args:
        question: what is looked for.
        known: the run's values of that output, by the mask's key.
        evaluate: gives the values of masks ``(m, n)``, ``(m,)``; ``None``: there is no game.
        budget: the most masks that it is called with.
        time_limit: seconds for each size that the optimiser tries.
    """
    asked = _Asked(question, dict(known), evaluate, budget)
    smallest = question.smallest(time_limit)
    if smallest.size is None:
        proof = "as is proven" if smallest.proven else "which is not proven"
        reason = f"By the explanation no set is enough, {proof}."
        return _result(question, asked, None, smallest, None, reason)
    mask = _tried(asked, smallest, time_limit)
    if mask is None:
        if not asked.tried:
            reason = (
                "The game was not asked: give game=..., the game that was explained."
                if evaluate is None
                else f"The game was not asked: the budget is {budget}."
            )
            return _result(question, asked, smallest.mask, smallest, None, reason)
        reason = "No set that was tried is enough by the game, though the explanation predicts it."
        return _result(question, asked, None, smallest, None, reason)
    mask, needed = _reduced(asked, mask)
    others = _exchanged(question, mask)
    asked.values(others[np.argsort(-question.merits(others), kind="stable")[:_OTHERS]])
    return _result(question, asked, mask, smallest, needed, "")


def refused(question: Question, budget: int) -> DecisiveSet:
    """What is said where no set is looked for."""
    nothing = SmallestSubset(np.ones(len(question.players), dtype=np.bool_), None, nan, False)
    return _result(
        question, _Asked(question, {}, None, budget), None, nothing, None, question.refusal
    )


def _tried(asked: _Asked, smallest: SmallestSubset, time_limit: float) -> BoolArray | None:
    """The first of the most promising sets that is enough by the game."""
    question, size, mask = asked.question, smallest.size, smallest.mask
    n_players = question.spectrum.n_players
    while size is not None:
        for number, candidate in enumerate(_ranked(question, mask, size)):
            if number == _TRIES:
                break
            hits, measured = asked.enough(candidate[None])
            if not measured[0]:
                return None
            if hits[0]:
                return candidate
        if size == n_players:
            return None
        size = min(size + max(1, size // _STEP), n_players)
        mask = question.best(size, time_limit)
    return None


def _ranked(question: Question, best: BoolArray, size: int) -> Iterator[BoolArray]:
    """Masks of sets of a size, the best one first, as far as they are predicted to be enough.

    Where there are too many to rank, each is the best neighbour, by one exchange, of those before.
    """
    yield best
    seen = set(keys(best[None]))
    rank_all = comb(question.spectrum.n_players, size) <= _RANKED
    pool = _all_of(question, size) if rank_all else _exchanged(question, best)
    merits = question.merits(pool)
    while True:
        order = np.argsort(-merits, kind="stable")
        names = keys(pool[order[: len(seen) + 1]])
        new = [row for row, name in zip(order, names, strict=False) if name not in seen]
        if not new or not question.enough(question.margins(pool[new[:1]]))[0]:
            return
        mask = pool[new[0]]
        seen.update(keys(mask[None]))
        yield mask
        if not rank_all:
            more = _exchanged(question, mask)
            more = distinct(np.concatenate([pool, more]))[0][len(pool) :]
            pool = np.concatenate([pool, more])
            merits = np.concatenate([merits, question.merits(more)])


def _all_of(question: Question, size: int) -> BoolArray:
    """The masks of all sets of a size."""
    n_players = question.spectrum.n_players
    chosen = np.array(list(combinations(range(n_players), size)), dtype=np.int64)
    sets = np.zeros((len(chosen), n_players), dtype=np.bool_)
    np.put_along_axis(sets, chosen, True, axis=1)
    return np.asarray(sets != question.is_removed)


def _exchanged(question: Question, mask: BoolArray) -> BoolArray:
    """The masks of sets in which one player is exchanged for another, of the most promising."""
    flipped = question.merits(mask ^ np.eye(len(mask), dtype=np.bool_))
    order = np.argsort(-flipped, kind="stable")
    kept, removed = (order[mask[order] == side][:_SIDE] for side in (True, False))
    pairs = np.stack(np.meshgrid(kept, removed, indexing="ij"), axis=-1).reshape(-1, 2)
    masks = np.repeat(mask[None], len(pairs), axis=0)
    np.put_along_axis(masks, pairs, ~np.take_along_axis(masks, pairs, axis=1), axis=1)
    return masks


def _reduced(asked: _Asked, mask: BoolArray) -> tuple[BoolArray, bool | None]:
    """Leave players out of a set while it is enough; and whether each of the rest is needed."""
    question = asked.question
    while True:
        members = np.flatnonzero(question.members(mask))
        if not len(members):
            return mask, True
        smaller = np.repeat(mask[None], len(members), axis=0)
        smaller[np.arange(len(members)), members] ^= True
        # the most promising first, should the budget end
        smaller = smaller[np.argsort(-question.merits(smaller), kind="stable")]
        hits, measured = asked.enough(smaller)
        if not hits.any():
            return mask, True if measured.all() else None
        mask = smaller[int(hits.argmax())]


def _result(
    question: Question,
    asked: _Asked,
    mask: BoolArray | None,
    smallest: SmallestSubset,
    needed: bool | None,
    reason: str,
) -> DecisiveSet:
    predicted = measured = nan
    players = None
    if mask is not None:
        predicted = float(question.spectrum.predict(mask))
        measured = asked.known.get(keys(mask[None])[0], nan)
        players = tuple(np.flatnonzero(question.members(mask)).tolist())
    return DecisiveSet(
        kind=question.kind,
        output=question.output,
        threshold=question.threshold,
        rule=question.rule,
        full=question.full,
        baseline=question.baseline,
        players=players,
        labels=tuple(question.players[player] for player in players or ()),
        predicted=predicted,
        measured=measured,
        predicted_size=smallest.size,
        proven=smallest.proven,
        needed=needed,
        tried=tuple(asked.tried.values()),
        n_evaluated=len(asked.fresh),
        budget=asked.budget,
        reason=" ".join(filter(None, (reason, question.caution))),
    )
