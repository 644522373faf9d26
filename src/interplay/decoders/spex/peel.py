r"""Peeling: find the sets that explain the bins, and subtract what they explain, in rounds.

A bin in which one coefficient is large spells its set: the signs of the delays are the parity bits.
The public implementation accepts such a set if subtracting it leaves less than 0.9 of the energy of
this one bin. Here all bins of the set decide, and the q masks outside the code. The noise of each
bin is taken as normal, of unknown variance, and so is that of the other masks. With D delays, the
energy E_c of the bin in group c before and E_c' after, and the mean square E of the other masks'
values before and E' after, the log-likelihood rises by

.. math:: \mathrm{gain}(S) = \frac{D}{2} \sum_c \ln \frac{E_c}{E_c'}
    + \frac{q}{2} \ln \frac{E}{E'},

and the set is accepted if that exceeds

.. math:: \ln \binom{n}{|S|} + \ln k + \text{margin}

for k outputs: the more sets there are of an order, the more of them gain by chance. After each
round all coefficients are solved for together, so that an early error in one does not spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import lgamma

import numpy as np

from interplay._arrays import as_columns
from interplay._types import BoolArray, ByteArray, FloatArray, IntArray
from interplay.decoders.spex.bins import (
    Terms,
    alias,
    bins_of,
    correlate,
    first_bins,
    solve,
    transform,
)
from interplay.decoders.spex.design import CodedDesign
from interplay.decoders.spex.search import LONG, PAIRED, has_pairs, spelled, spelled_by_pairs
from interplay.fourier.sets import Members, collapse, pack_members

_MARGIN = 4.0
"""A set of pure chance is accepted with a probability of about exp(-4) for each decoded bin."""
_SLACK = 1.0
"""A term is dropped when its gain is below the threshold by more than this."""
_MOST_DROPPED = 2
"""A term that was dropped so many times is not accepted again."""
_QUIET = 1.2
"""A long search skips bins below this multiple of the median energy; that loses no recall."""
_CHANGED = 0.05
"""A bin is decoded again when the energy of its change exceeds this share of its energy."""
_LOUD = 3.0
"""A bin is unresolved if its energy is more than this multiple of the median."""
_MAX_ROUNDS = 60
_MOST_OUTSIDE = 2_000
"""The most masks outside the code that are used here; the regression uses all."""


@dataclass(frozen=True)
class Diagnosis:
    """How the peeling ended.

    Attributes:
        empty: for each group the bins that hold no term, and no more energy than noise has.
        single: for each group the bins that one term explains.
        multiple: for each group the bins that two or more terms explain.
        unresolved: for each group the bins with far more energy left than the others.
        explained: the share of the bins' energy that the terms explain; the empty set counts in
            neither. A small share means too many coefficients, too high an order, or too much noise
            for the budget.
        rounds: how many rounds there were until nothing changed.
        n_terms: how many sets were found, the empty set included.
        n_decoded: how many bins were decoded, over all rounds.
    """

    empty: tuple[int, ...]
    single: tuple[int, ...]
    multiple: tuple[int, ...]
    unresolved: tuple[int, ...]
    explained: float
    rounds: int
    n_terms: int
    n_decoded: int

    def __str__(self) -> str:
        return (
            f"{self.n_terms} terms after {self.rounds} rounds explain {self.explained:.1%} of the "
            f"coded energy; bins: {sum(self.empty)} empty, {sum(self.single)} single, "
            f"{sum(self.multiple)} multiple, {sum(self.unresolved)} unresolved"
        )


def decode_coded(
    design: CodedDesign,
    values: FloatArray,
    *,
    decoding: str = "soft",
    order: int | None = None,
) -> tuple[ByteArray, Diagnosis]:
    """Find the supports of the large Fourier coefficients.

    Args:
        design: the coded design.
        values: of its masks, ``(m,)`` or ``(m, k)``. With k outputs a set is accepted if its gain
            is large enough in any of them.
        decoding: ``"soft"`` flips up to 2t of the least reliable parity bits, ``"hard"`` none.
        order: the largest order; ``None``: t.

    Returns:
        The supports, packed, ``(s, ceil(n / 8))``, by order and then lexicographically; and the
        diagnosis.

    Raises:
        ValueError: ``decoding`` is unknown; the values do not belong to the masks or are not
            finite; or the design is a full table, which needs no decoding.
    """
    columns = _checked(design, values, decoding)
    outside = np.flatnonzero(~design.is_coded)[:_MOST_OUTSIDE]
    state = _Peeling(design, columns, outside, decoding, order)
    # a level of the search is tried when the one before it changes nothing
    rounds, level, n_levels = 0, 0, PAIRED + 1 if decoding == "soft" else 1
    while rounds < _MAX_ROUNDS and level < n_levels:
        rounds += 1
        has_changed = state.accept(*state.candidates(level))
        has_changed |= state.prune()
        level = 0 if has_changed else level + 1
    n_players = design.plan.n_players
    members, _ = collapse(state.terms.members, state.coefficients, n_players)
    return pack_members(members, n_players), state.diagnosis(rounds)


def _checked(design: CodedDesign, values: FloatArray, decoding: str) -> FloatArray:
    """Return the values as ``(m, k)``, or raise the errors of :func:`decode_coded`."""
    if decoding not in ("soft", "hard"):
        raise ValueError(f'decoding={decoding!r} is unknown; use "soft" or "hard"')
    if design.plan.kind != "coded":
        raise ValueError(
            "the design is a full table, not a code, and needs no decoding; "
            'use decoder="exact" on its values'
        )
    numbers = np.asarray(values, dtype=np.float64)
    n_masks = len(design.masks)
    if numbers.ndim not in (1, 2) or len(numbers) != n_masks or numbers.size == 0:
        raise ValueError(
            f"values of shape {np.shape(values)} do not fit {n_masks} masks; pass "
            f"({n_masks},) or ({n_masks}, k), in the order of design.masks"
        )
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(numbers))} of {numbers.size} values are not finite, "
            "and every coded mask needs a number; evaluate those masks again"
        )
    return as_columns(numbers)


class _Peeling:
    """The state of one peeling.

    Attributes:
        design: the coded design.
        bins: the bins, ``(bins, D, k)``.
        residual: what the terms leave of them, ``(bins, D, k)``.
        masks: outside the code, ``(q, n)``.
        values: theirs, ``(q, k)``.
        rest: what the terms leave of these values, ``(q, k)``.
        terms: the sets accepted so far.
        coefficients: theirs, ``(s, k)``.
        basic: the empty set and the single players, which are tried in every round.
        thresholds: the gain that a set must exceed, by its order.
        depth: how many parity bits may be flipped.
        order: the largest order.
        n_delays: D.
        scale: the mean energy of the bins, ``(k,)``.
        floor: an energy that is rounding error only, ``(k,)``.
        levels: at which level each bin was last decoded, -1 where it is to be decoded again,
            ``(bins, k)``.
        decoded: the residual when the bin was last decoded, ``(bins, D, k)``.
        n_dropped: how many times a term was dropped, by the bytes of its members.
        n_decoded: how many bins were decoded.
    """

    def __init__(
        self,
        design: CodedDesign,
        values: FloatArray,
        outside: IntArray,
        decoding: str,
        order: int | None,
    ) -> None:
        n_players, t = design.plan.n_players, design.plan.t
        bins = transform(design, values)
        n_bins, self.n_delays, n_outputs = bins.shape
        self.masks, self.values = design.masks[outside], values[outside]
        self.rest = self.values.copy()
        self.design, self.bins, self.residual = design, bins, bins.copy()
        self.depth = 2 * t if decoding == "soft" else 0
        self.order = min(t if order is None else order, n_players)
        energy = np.mean(bins**2, axis=(0, 1))
        self.floor = np.maximum(energy * 1e-20, np.finfo(np.float64).tiny * 1e20)
        self.scale = np.maximum(energy, self.floor)
        self.levels = np.full((n_bins, n_outputs), -1)
        self.decoded = np.zeros_like(bins)
        # ln of the number of sets of each order
        naming = [
            lgamma(n_players + 1) - lgamma(size + 1) - lgamma(n_players - size + 1)
            for size in range(self.order + 1)
        ]
        self.thresholds = np.array(naming) + (_MARGIN + np.log(n_outputs))
        basic = np.full((1 + n_players, t), n_players, dtype=np.int32)
        basic[1:, 0] = np.arange(n_players)
        self.basic = Terms.of(design, basic if self.order else basic[:1], self.masks)
        self.terms = self.basic[np.empty(0, dtype=np.int64)]
        self.coefficients: FloatArray = np.empty((0, n_outputs))
        self.n_dropped: dict[bytes, int] = {}
        self.n_decoded = 0

    def energy(self) -> FloatArray:
        """Compute each bin's mean residual energy over the delays, ``(bins, k)``."""
        return np.asarray(np.mean(self.residual**2, axis=1))

    def excess(self, terms: Terms, gains: FloatArray) -> FloatArray:
        """Compute by how much the best output's gain exceeds the threshold, ``(s,)``."""
        return np.asarray((gains - self.thresholds[terms.orders][:, None]).max(axis=1))

    def gains(self, terms: Terms) -> tuple[FloatArray, FloatArray]:
        """Estimate coefficients from the residual, and how much each raises the log-likelihood.

        Returns:
            Coefficients and gains, ``(s, k)`` each.
        """
        estimates = correlate(self.residual, terms)
        energy = self.energy()[terms.bins]  # (s, C, k)
        precision = self.n_delays / np.maximum(energy - estimates**2, self.floor)
        others, spread = self.correlate_rest(terms), self.spread()
        of_others = len(self.rest) / np.maximum(spread - others**2, self.floor)
        total = precision.sum(axis=1) + of_others
        coefficients = ((estimates * precision).sum(axis=1) + others * of_others) / total
        after = energy + coefficients[:, None] * (coefficients[:, None] - 2.0 * estimates)
        left = spread + coefficients * (coefficients - 2.0 * others)
        return coefficients, self.rise(energy, after, spread, left)

    def spread(self) -> FloatArray:
        """Compute the mean square of what is left of the values outside the code, ``(k,)``."""
        return np.asarray((self.rest**2).sum(axis=0) / max(1, len(self.rest)))

    def correlate_rest(self, terms: Terms) -> FloatArray:
        """Estimate each term's coefficient from the values outside the code, ``(s, k)``."""
        return np.asarray(terms.outside @ self.rest) / max(1, len(self.rest))

    def rise(
        self, before: FloatArray, after: FloatArray, spread: FloatArray, left: FloatArray
    ) -> FloatArray:
        """Compute by how much the log-likelihood rises, ``(s, k)``.

        Args:
            before: the energies of each term's bins without it, ``(s, C, k)``.
            after: those with it.
            spread: the mean square outside the code without it, ``(s, k)`` or ``(k,)``.
            left: that with it.
        """
        of_bins = np.log(self.ratio(before, after)).sum(axis=1)
        of_others = np.log(self.ratio(spread, left))
        return np.asarray(0.5 * (self.n_delays * of_bins + len(self.rest) * of_others))

    def ratio(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """Divide energies, those that are rounding errors aside."""
        return np.asarray(
            (np.maximum(before, 0.0) + self.floor) / (np.maximum(after, 0.0) + self.floor)
        )

    def candidates(self, level: int) -> tuple[Terms, IntArray]:
        """Decode the bins that have changed, or at the last level all pairs of bins.

        Returns:
            The sets whose hash is that of the bin, and a number for the bin and output that each
            was decoded from, ``(s,)``.
        """
        if level == PAIRED:
            return self.candidates_of_pairs()
        energy = self.energy()
        change = self.residual - self.decoded
        moved = np.einsum("bdk,bdk->bk", change, change) / self.n_delays
        self.levels[moved > _CHANGED * energy] = -1
        least = 1e3 * self.floor
        if level >= LONG:
            least = np.maximum(least, _QUIET * np.median(energy, axis=0))
        bins, outputs = np.nonzero((self.levels < level) & (energy > least))
        self.levels[bins, outputs] = level
        self.decoded[bins, :, outputs] = self.residual[bins, :, outputs]
        self.n_decoded += len(bins)
        words = self.residual[bins, :, outputs]
        rows, members = spelled(self.design.code, words, level, self.depth)
        terms, kept = self.allowed(members, bins[rows, None])
        return terms, (bins * self.bins.shape[2] + outputs)[rows[kept]]

    def candidates_of_pairs(self) -> tuple[Terms, IntArray]:
        """Decode the sums of two groups' bins, if there are few; returns as :meth:`candidates`."""
        n_bins = np.diff(first_bins(self.design))
        offers, sources = [self.basic[np.empty(0, dtype=np.int64)]], [np.empty(0, dtype=np.int64)]
        if has_pairs(n_bins):
            for j in range(self.bins.shape[2]):
                pairs, members = spelled_by_pairs(self.design.code, self.residual[:, :, j], n_bins)
                terms, kept = self.allowed(members, pairs)
                offers.append(terms)
                sources.append((j * n_bins.sum() + pairs[kept, 0]) * n_bins.sum() + pairs[kept, 1])
                self.n_decoded += int(np.prod(n_bins))
        return reduce(Terms.join, offers), np.concatenate(sources)

    def allowed(self, members: Members, bins: IntArray) -> tuple[Terms, IntArray]:
        """Keep sets of at most the largest order that hash to a bin that they were decoded from.

        Args:
            members: sets, ``(s, t)``.
            bins: of each, ``(s, b)``.

        Returns:
            Those that are left, and their rows.
        """
        small = np.flatnonzero((members < self.design.plan.n_players).sum(axis=1) <= self.order)
        hashed = bins_of(self.design, members[small])
        kept = small[(hashed[:, :, None] == bins[small, None, :]).any(axis=(1, 2))]
        return Terms.of(self.design, members[kept], self.masks), kept

    def accept(self, candidates: Terms, sources: IntArray) -> bool:
        """Add basic terms, and the best set of each decoded bin, that gain more than the threshold.

        Args:
            candidates: sets that were decoded.
            sources: a number for the bin and output that each came from, ``(s,)``.

        Returns:
            Whether any was added.
        """
        coefficients, gains = self.gains(self.basic)
        passes = self.excess(self.basic, gains) > 0
        offers = [(self.basic[passes], coefficients[passes])]
        if len(candidates):
            coefficients, gains = self.gains(candidates)
            excess = self.excess(candidates, gains)
            ranked = np.lexsort((-excess, sources))
            best = ranked[np.r_[True, np.diff(sources[ranked]) > 0]]
            best = best[excess[best] > 0]
            offers.append((candidates[best], coefficients[best]))
        known = {row.tobytes() for row in self.terms.members}
        has_added = False
        for terms, coefficients in offers:
            fresh = []
            for i, row in enumerate(terms.members):
                key = row.tobytes()
                if key not in known and self.n_dropped.get(key, 0) < _MOST_DROPPED:
                    known.add(key)
                    fresh.append(i)
            added = np.array(fresh, dtype=np.int64)
            self.terms = self.terms.join(terms[added])
            self.coefficients = np.concatenate([self.coefficients, coefficients[added]])
            has_added |= bool(fresh)
        if has_added:
            self.refresh()
            # the first solution makes the weights of the second
            self.resolve()
            self.resolve()
        return has_added

    def refresh(self) -> None:
        """Compute the residual anew."""
        self.residual = self.bins - alias(self.terms, self.coefficients, len(self.bins))
        self.rest = self.values - self.terms.outside.T @ self.coefficients

    def resolve(self) -> None:
        """Solve for all coefficients; a bin weighs the more, the less energy is left in it."""
        energy = (self.energy() / self.scale).mean(axis=1)
        n_held = np.bincount(self.terms.bins.ravel(), minlength=len(energy))
        # a fit leaves less than the noise: a term takes 1/C degrees of freedom from each of C bins
        freedom = self.n_delays - n_held / self.terms.bins.shape[1]
        energy *= self.n_delays / np.maximum(freedom, 0.25 * self.n_delays)
        least = max(1e-4 * float(energy.mean()), 1e-18)
        weights = 1.0 / np.maximum(energy, least)
        of_others = 1.0 / max(float((self.spread() / self.scale).mean()), least)
        mean = weights.mean()
        self.coefficients = solve(
            self.bins, self.terms, weights / mean, self.values, of_others / mean
        )
        self.refresh()

    def prune(self) -> bool:
        """Drop terms that gain too little by now, and say whether there were any."""
        if len(self.terms) == 0:
            return False
        estimates = correlate(self.residual, self.terms)
        after = self.energy()[self.terms.bins]
        coefficients = self.coefficients[:, None]
        before = after + coefficients * (coefficients + 2.0 * estimates)
        left, others = self.spread(), self.correlate_rest(self.terms)
        spread = left + self.coefficients * (self.coefficients + 2.0 * others)
        gains = self.rise(before, after, spread, left)
        is_poor = self.excess(self.terms, gains) < -_SLACK
        if not is_poor.any():
            return False
        for row in self.terms.members[is_poor]:
            self.n_dropped[row.tobytes()] = self.n_dropped.get(row.tobytes(), 0) + 1
        self.terms, self.coefficients = self.terms[~is_poor], self.coefficients[~is_poor]
        if len(self.terms):
            self.resolve()
        else:
            self.refresh()
        return True

    def diagnosis(self, rounds: int) -> Diagnosis:
        """Sort the bins by what they hold in the end, and compute the share of energy explained."""
        energy = (self.energy() / self.scale).sum(axis=1)
        empty_set = self.basic[np.array([0])]
        mean = correlate(self.bins, empty_set).mean(axis=1)
        varying = self.bins - alias(empty_set, mean, len(self.bins))
        total = (np.mean(varying**2, axis=1) / self.scale).sum(axis=1)
        n_held = np.bincount(self.terms.bins.ravel(), minlength=len(energy))
        is_loud = energy > max(_LOUD * float(np.median(energy)), 1e-9 * float(total.mean()))
        starts = first_bins(self.design)

        def count(chosen: BoolArray) -> tuple[int, ...]:
            return tuple(int(chosen[a:b].sum()) for a, b in pairwise(starts))

        left = float(energy.sum() / total.sum()) if total.sum() > 0 else 0.0
        return Diagnosis(
            empty=count(~is_loud & (n_held == 0)),
            single=count(~is_loud & (n_held == 1)),
            multiple=count(~is_loud & (n_held > 1)),
            unresolved=count(is_loud),
            explained=1.0 - left,
            rounds=rounds,
            n_terms=len(self.terms),
            n_decoded=self.n_decoded,
        )
