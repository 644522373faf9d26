"""Peeling: find the supports that explain the bins, one layer after the other.

The public implementation accepts a decoded support when peeling it leaves less than 0.9 of one
bin's energy. Here a support must pay for itself in all its bins at once: with noise of unknown size
in each bin, D delays, residual energy E_c before and E_c' after, its log-likelihood gain is

    gain(S) = D/2 sum_c ln(E_c / E_c'),

and it is accepted if that exceeds ln C(n, |S|), the cost of naming it, plus a margin. After every
round all amplitudes are solved for anew, so an early mistake in one is not handed on to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from interplay._arrays import as_columns
from interplay.decoders.spex.bch import Bits, Ints
from interplay.decoders.spex.bins import (
    Floats,
    Terms,
    correlate,
    describe,
    first_bins,
    model,
    solve,
    transform,
)
from interplay.decoders.spex.chase import decode_parity
from interplay.decoders.spex.design import CodedDesign
from interplay.fourier.sets import collapse, pack_members

MARGIN = 4.0  # a support of pure chance passes with probability of about exp(-4) a decoding
PATTERNS = (1, 64, 512)  # test patterns a bin; more only for bins that fewer did not resolve
QUIET = (
    1.2  # the longest search skips bins below this multiple of the median energy: no recall lost
)
MAX_ROUNDS = 60


@dataclass(frozen=True)
class Diagnosis:
    """How the peeling ended.

    Attributes:
        empty: for each group, bins that hold no term and no more than noise.
        single: for each group, bins explained by one term.
        multiple: for each group, bins explained by two or more terms.
        unresolved: for each group, bins whose residual stands out from the other bins'.
        explained: share of the bins' energy that the terms explain, the empty set's left out of
            both. Low means: not sparse enough, of too high an order, or too noisy for this budget.
        rounds: rounds until nothing changed.
        n_terms: supports found, the empty set included.
        n_decoded: bins decoded, over all rounds.
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
    values: NDArray[np.floating],
    *,
    decoding: str = "soft",
    order: int | None = None,
) -> tuple[NDArray[np.uint8], Diagnosis]:
    """Supports of the large Fourier coefficients, from the values of a design's masks.

    Args:
        design: from ``design``.
        values: (m,) or (m, k); row i belongs to ``design.masks[i]``. With k outputs a support
            counts when it pays for itself in any of them.
        decoding: "soft" flips up to 2t of the least reliable parity bits (Chase), "hard" none.
        order: supports of more players are dropped.

    Returns:
        Packed supports uint8 (s, ceil(n / 8)) as ``numpy.packbits(.., axis=1, bitorder="little")``
        gives them, by order and then by players, and the diagnosis.

    Raises:
        ValueError: an unknown decoding, values that do not fit the masks or are not finite, or
            an exact design, which needs no decoding.
    """
    checked = _check(design, values, decoding)
    state = _Peeling(design, transform(design, checked), decoding, order)
    rounds, level, top = 0, 0, len(PATTERNS) if decoding == "soft" else 1
    while rounds < MAX_ROUNDS and level < top:
        rounds += 1
        changed = state.accept(*state.candidates(level))
        changed |= state.prune()
        level = 0 if changed else level + 1
    n = design.plan.n
    players = np.where(state.terms.players < 0, n, state.terms.players).astype(np.int32)
    players, _ = collapse(players, state.amplitudes, n)
    return pack_members(players, n), state.diagnosis(rounds)


def _check(design: CodedDesign, values: NDArray[np.floating], decoding: str) -> Floats:
    """Values as float64 (m, k), or the errors of ``decode_coded``."""
    if decoding not in ("soft", "hard"):
        raise ValueError(f'decoding={decoding!r} is unknown; use "soft" or "hard".')
    if design.plan.kind != "coded":
        raise ValueError(
            "the design is a full table, not a code, and needs no decoding; "
            "take the exact transform of its values."
        )
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or len(array) != len(design.masks) or array.size == 0:
        raise ValueError(
            f"values of shape {np.shape(values)} do not fit {len(design.masks)} masks; pass "
            f"({len(design.masks)},) or ({len(design.masks)}, k), in the order of design.masks."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(array))} of {array.size} values are not finite; every "
            f"coded mask needs a number. Evaluate those masks again."
        )
    return as_columns(array)


class _Peeling:
    """The state of one peeling: bins, what is left of them, and the terms found."""

    def __init__(self, design: CodedDesign, bins: Floats, decoding: str, order: int | None) -> None:
        n = design.plan.n
        self.design, self.bins = design, bins
        self.depth = 2 * design.plan.t if decoding == "soft" else 0
        self.order = min(design.plan.t if order is None else order, n)
        self.n_delays = bins.shape[1]
        energy = np.mean(bins**2, axis=(0, 1))
        self.floor = np.maximum(energy * 1e-20, np.finfo(np.float64).tiny * 1e20)  # (k,)
        self.scale = np.maximum(energy, self.floor)
        self.residual = bins.copy()
        self.tried = np.full((bins.shape[0], bins.shape[2]), -1)  # level a bin was decoded at
        self.seen = np.zeros_like(bins)  # the residual when the bin was last decoded
        self.price = np.array(
            [lgamma(n + 1) - lgamma(w + 1) - lgamma(n - w + 1) for w in range(self.order + 1)]
        ) + (MARGIN + np.log(bins.shape[2]))
        blank = np.full((1 + n, max(design.plan.t, 1)), -1, dtype=np.intp)
        blank[1:, 0] = np.arange(n)
        self.simple = describe(design, blank if self.order else blank[:1])
        self.terms = self.simple.pick(np.empty(0, dtype=np.intp))
        self.amplitudes = np.empty((0, bins.shape[2]))
        self.strikes: dict[bytes, int] = {}
        self.n_decoded = 0

    def gain(self, terms: Terms) -> tuple[Floats, Floats]:
        """Best amplitude (s, k) over all bins of each term and its log-likelihood gain (s, k)."""
        seen = correlate(self.residual, terms)
        energy = self.energy()[terms.bins]  # (s, C, k)
        noise = np.maximum(energy - seen**2, self.floor)
        amplitude = (seen / noise).sum(axis=1) / (1.0 / noise).sum(axis=1)
        after = energy + amplitude[:, None] * (amplitude[:, None] - 2.0 * seen)
        ratio = (energy + self.floor) / (np.maximum(after, 0.0) + self.floor)
        return amplitude, 0.5 * self.n_delays * np.log(ratio).sum(axis=1)

    def energy(self) -> Floats:
        """Mean residual energy of each bin over its delays, (bins, k)."""
        return np.asarray(np.mean(self.residual**2, axis=1))

    def candidates(self, level: int) -> tuple[Terms, Ints]:
        """Decodes the bins that changed; supports that hash to their bin, and those bins."""
        energy = self.energy()
        moved = np.einsum("bdk,bdk->bk", *2 * (self.residual - self.seen,)) / self.n_delays
        self.tried[moved > 0.05 * energy] = -1
        least = 1e3 * self.floor
        if level > 1:  # long searches only where there is more than in most bins
            least = np.maximum(least, QUIET * np.median(energy, axis=0))
        bins, outputs = np.nonzero((self.tried < level) & (energy > least))
        self.tried[bins, outputs] = level
        self.seen[bins, :, outputs] = self.residual[bins, :, outputs]
        self.n_decoded += len(bins)
        word = self.residual[bins, :, outputs]
        first = np.where(word[:, :1] < 0, -1.0, 1.0)
        rows, players = decode_parity(
            self.design.code,
            word[:, 1:] * first,
            depth=self.depth,
            n_patterns=PATTERNS[level],
        )
        kept = (players >= 0).sum(axis=1) <= self.order
        rows, players = rows[kept], players[kept]
        terms = describe(self.design, players)
        hit = (terms.bins == bins[rows, None]).any(axis=1)
        return terms.pick(hit), bins[rows[hit]] * self.bins.shape[2] + outputs[rows[hit]]

    def accept(self, found: Terms, origin: Ints) -> bool:
        """Adds what pays for itself: any simple term, and the best support of each decoded bin."""
        chosen = []
        amplitude, gain = self.gain(self.simple)
        passed = (gain - self.price[self.simple.orders][:, None]).max(axis=1) > 0
        chosen.append((self.simple.pick(passed), amplitude[passed]))
        if len(found):
            amplitude, gain = self.gain(found)
            profit = (gain - self.price[found.orders][:, None]).max(axis=1)
            ranked = np.lexsort((-profit, origin))
            best = ranked[np.r_[True, np.diff(origin[ranked]) > 0]]
            best = best[profit[best] > 0]
            chosen.append((found.pick(best), amplitude[best]))
        known = {p.tobytes() for p in self.terms.players}
        added = False
        for terms, amplitude in chosen:
            fresh = []
            for i, players in enumerate(terms.players):
                key = players.tobytes()
                if key not in known and self.strikes.get(key, 0) < 2:
                    known.add(key)
                    fresh.append(i)
            index = np.array(fresh, dtype=np.intp)
            self.terms = self.terms.join(terms.pick(index))
            self.amplitudes = np.concatenate([self.amplitudes, amplitude[index]])
            added |= bool(fresh)
        if added:
            self.refresh()
            self.resolve()
            self.resolve()
        return added

    def refresh(self) -> None:
        """Recomputes the residual."""
        self.residual = self.bins - model(self.terms, self.amplitudes, len(self.bins))

    def resolve(self) -> None:
        """Solves for all amplitudes, weighting bins by what is left in them."""
        energy = (self.energy() / self.scale).mean(axis=1)
        held = np.bincount(self.terms.bins.ravel(), minlength=len(energy))
        freedom = self.n_delays - held / self.terms.bins.shape[1]
        energy *= self.n_delays / np.maximum(freedom, 0.25 * self.n_delays)
        weights = 1.0 / np.maximum(energy, max(1e-4 * float(energy.mean()), 1e-18))
        self.amplitudes = solve(self.bins, self.terms, weights / weights.mean())
        self.refresh()

    def prune(self) -> bool:
        """Drops terms that no longer pay for themselves; True if any was dropped."""
        if len(self.terms) == 0:
            return False
        seen = correlate(self.residual, self.terms)
        energy = self.energy()[self.terms.bins]
        before = energy + self.amplitudes[:, None] * (self.amplitudes[:, None] + 2.0 * seen)
        ratio = (np.maximum(before, 0.0) + self.floor) / (energy + self.floor)
        gain = 0.5 * self.n_delays * np.log(ratio).sum(axis=1)
        poor = (gain - self.price[self.terms.orders][:, None]).max(axis=1) < -1.0
        if not poor.any():
            return False
        for players in self.terms.players[poor]:
            self.strikes[players.tobytes()] = self.strikes.get(players.tobytes(), 0) + 1
        self.terms, self.amplitudes = self.terms.pick(~poor), self.amplitudes[~poor]
        if len(self.terms):
            self.resolve()
        else:
            self.refresh()
        return True

    def diagnosis(self, rounds: int) -> Diagnosis:
        """Bins by what they hold in the end, and the share of energy explained."""
        starts = first_bins(self.design)
        energy = (self.energy() / self.scale).sum(axis=1)
        centre = self.simple.pick(np.array([0]))
        amplitude = correlate(self.bins, centre).mean(axis=1)
        rest = self.bins - model(centre, amplitude, len(self.bins))
        total = (np.mean(rest**2, axis=1) / self.scale).sum(axis=1)
        held = np.bincount(self.terms.bins.ravel(), minlength=len(energy))
        loud = energy > max(3.0 * float(np.median(energy)), 1e-9 * float(total.mean()))

        def count(flag: Bits) -> tuple[int, ...]:
            return tuple(int(flag[a:b].sum()) for a, b in pairwise(starts))

        left = float(energy.sum() / total.sum()) if total.sum() > 0 else 0.0
        return Diagnosis(
            empty=count(~loud & (held == 0)),
            single=count(~loud & (held == 1)),
            multiple=count(~loud & (held > 1)),
            unresolved=count(loud),
            explained=1.0 - left,
            rounds=rounds,
            n_terms=len(self.terms),
            n_decoded=self.n_decoded,
        )
