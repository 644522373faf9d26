"""Spectrum: a sparse Fourier representation of a set function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from interplay._arrays import as_columns, unit_of
from interplay._types import ByteArray, FloatArray, IntArray, Players, whole
from interplay.extensions import INDICES, IndexName
from interplay.fourier.characters import synthesise
from interplay.fourier.ends import by_size, through_ends
from interplay.fourier.indices import convert
from interplay.fourier.interactions import Interactions, checked_output, names_of
from interplay.fourier.masks import as_masks, end_masks
from interplay.fourier.sets import (
    Members,
    as_players,
    collapse,
    members,
    pack_members,
    pack_sets,
    sizes,
    tuples,
)

_COLUMNS_AT_ONCE = 64
"""Columns of the covariance's factor that are converted at a time."""
_ANCHORS = {"Co-Moebius": 0, "Moebius": 1}
"""The end that each Moebius transform is anchored at: the full input, the empty one."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""A set function, given by its few non-zero Fourier coefficients.

    .. math:: f(m) = \sum_S F(S) \chi_S(m), \qquad \chi_S(m) = (-1)^{\sum_{i \in S} m_i}

    with the sign and scale of SPEX (arXiv 2502.13870); ``F(S) = 2^-n sum_m f(m) chi_S(m)``.
    Terms are distinct and sorted by order, then lexicographically. :meth:`from_terms`,
    :meth:`from_dict` and :meth:`from_members` sort them.

    Attributes:
        n_players: n.
        supports: the sets S, packed, ``(s, ceil(n / 8)) uint8`` (see
            :mod:`interplay.fourier.sets`).
        coefficients: F(S), ``(s,)`` float64, or ``(s, k)`` for k outputs.
        deviations: the uncertainty of the coefficients, ``(s, r)`` or ``(s, k, r)``: a factor L of
            their covariance L L^T, output by output; ``None`` where the decoder gives none.
            Arithmetic with other spectra drops it.
        ends: the measured values of the full and of the empty input, ``(2,)`` or ``(2, k)``. An
            index then passes through them (see :mod:`interplay.fourier.ends`). ``None``: it is the
            spectrum's own. Arithmetic with other spectra drops them.
        end_doubts: how far the error at each end is that of the masks near it too, and so of some
            players more than of others: a standard deviation, in the shape of ``ends``. ``None``:
            all of it may be.
    """

    n_players: int
    supports: ByteArray
    coefficients: FloatArray
    deviations: FloatArray | None = None
    ends: FloatArray | None = None
    end_doubts: FloatArray | None = None

    def __post_init__(self) -> None:
        if len(self.supports) != len(self.coefficients):
            raise ValueError(
                f"{len(self.supports)} supports came with {len(self.coefficients)} coefficients; "
                "give one coefficient (or one row of k) per support"
            )
        if self.supports.shape[1:] != ((self.n_players + 7) // 8,):
            raise ValueError(
                f"supports of shape {self.supports.shape} are not packed for "
                f"{self.n_players} players; use Spectrum.from_terms"
            )
        if self.deviations is not None and self.deviations.shape[:-1] != self.coefficients.shape:
            raise ValueError(
                f"deviations of shape {self.deviations.shape} do not belong to coefficients of "
                f"shape {self.coefficients.shape}; give {self.coefficients.shape} and one more axis"
            )

    @classmethod
    def from_members(cls, n_players: int, sets: Members, coefficients: FloatArray) -> Spectrum:
        """Build from members; equal sets are summed, and terms are sorted."""
        merged, values = collapse(sets, coefficients, n_players)
        return cls(n_players, pack_members(merged, n_players), values)

    @classmethod
    def from_terms(
        cls, n_players: int, supports: Iterable[Iterable[int]], coefficients: npt.ArrayLike
    ) -> Spectrum:
        """Build from sets of players and their coefficients; equal sets are summed."""
        packed = pack_sets(supports, n_players)
        values = np.asarray(coefficients, dtype=np.float64)
        if len(values) != len(packed):
            raise ValueError(f"{len(packed)} supports came with {len(values)} coefficients")
        return cls.from_members(n_players, members(packed, n_players), values)

    @classmethod
    def from_dict(cls, n_players: int, terms: Mapping[Players, npt.ArrayLike]) -> Spectrum:
        """Build from a mapping such as ``{(): 1.0, (0, 3): -0.5}``."""
        return cls.from_terms(n_players, terms.keys(), [np.asarray(v) for v in terms.values()])

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def n_outputs(self) -> int | None:
        """k, or ``None`` where the values are one-dimensional."""
        return None if self.coefficients.ndim == 1 else self.coefficients.shape[1]

    @cached_property
    def orders(self) -> IntArray:
        """The order of each term, shape ``(s,)``."""
        return sizes(self.supports)

    @cached_property
    def sets(self) -> list[Players]:
        """The supports as ascending tuples, in the order of ``coefficients``."""
        return tuples(self.members, self.n_players)

    @cached_property
    def members(self) -> Members:
        """The supports as members (see :mod:`interplay.fourier.sets`), ``(s, d)``."""
        return members(self.supports, self.n_players)

    @cached_property
    def _rows(self) -> dict[Players, int]:
        return {players: row for row, players in enumerate(self.sets)}

    def __getitem__(self, players: Iterable[int]) -> FloatArray:
        """F(S); zero for a set outside the support."""
        row = self._rows.get(as_players(players, self.n_players))
        zero: FloatArray = np.zeros_like(self.coefficients, shape=self.coefficients.shape[1:])[()]
        return zero if row is None else self.coefficients[row]

    def __contains__(self, players: Iterable[int]) -> bool:
        return as_players(players, self.n_players) in self._rows

    def __iter__(self) -> Iterator[tuple[Players, FloatArray]]:
        """Pairs of a set and its coefficient (a float64, or ``(k,)`` for k outputs)."""
        return iter(zip(self.sets, self.coefficients, strict=True))

    def predict(self, masks: npt.ArrayLike) -> FloatArray:
        """Predict f(m) for each mask.

        Args:
            masks: ``(m, n) bool``, or one mask ``(n,)``.

        Returns:
            ``(m,)``, or ``(m, k)`` for k outputs; for a single mask, without the first axis.
        """
        array = np.asarray(masks)
        values = synthesise(
            as_masks(np.atleast_2d(array), self.n_players), self.supports, self.coefficients
        )
        result: FloatArray = values[0] if array.ndim == 1 else values
        return result

    def output(self, column: int) -> Spectrum:
        """The spectrum of one of the k outputs, counted from 0.

        Raises:
            ValueError: there is no such output.
        """
        column = checked_output(column, self.n_outputs)
        deviations = self.deviations
        if deviations is not None and self.n_outputs is not None:
            deviations = deviations[:, column]
        coefficients = as_columns(self.coefficients)[:, column]
        ends, doubts = (
            None if of_ends is None else as_columns(of_ends)[:, column]
            for of_ends in (self.ends, self.end_doubts)
        )
        return replace(
            self,
            coefficients=coefficients,
            deviations=deviations,
            ends=ends,
            end_doubts=doubts,
        )

    def mean_output(self) -> Spectrum:
        """The spectrum of the mean over the outputs.

        It has no uncertainty: ``deviations`` lack the covariance between outputs.
        """
        mean = as_columns(self.coefficients).mean(axis=1)
        ends = None if self.ends is None else as_columns(self.ends).mean(axis=1)
        return replace(self, coefficients=mean, deviations=None, ends=ends, end_doubts=None)

    # --- arithmetic -----------------------------------------------------------------------------

    def __add__(self, other: Spectrum) -> Spectrum:
        if not isinstance(other, Spectrum):
            return NotImplemented
        if (other.n_players, other.n_outputs) != (self.n_players, self.n_outputs):
            raise ValueError(
                f"spectra of {self.n_players} and {other.n_players} players with {self.n_outputs} "
                f"and {other.n_outputs} outputs do not add; they must be over the same players"
            )
        width = max(self.members.shape[1], other.members.shape[1])
        both = [
            np.pad(
                spectrum.members,
                ((0, 0), (0, width - spectrum.members.shape[1])),
                constant_values=self.n_players,
            )
            for spectrum in (self, other)
        ]
        return Spectrum.from_members(
            self.n_players,
            np.concatenate(both),
            np.concatenate([self.coefficients, other.coefficients]),
        )

    def with_added(self, other: Spectrum) -> Spectrum:
        """Add a spectrum that is certain: the deviations and the ends stay as they are."""
        total = self + other
        deviations = None
        if self.deviations is not None:
            rows = {packed.tobytes(): row for row, packed in enumerate(total.supports)}
            places = [rows[packed.tobytes()] for packed in self.supports]
            deviations = np.zeros((len(total), *self.deviations.shape[1:]))
            deviations[places] = self.deviations
        return replace(total, deviations=deviations, ends=self.ends, end_doubts=self.end_doubts)

    __array_ufunc__ = None  # a NumPy number times a spectrum is a spectrum

    def __mul__(self, factor: float) -> Spectrum:
        if not isinstance(factor, int | float | np.number):
            return NotImplemented
        deviations = None if self.deviations is None else self.deviations * abs(factor)
        return replace(
            self,
            coefficients=self.coefficients * factor,
            deviations=deviations,
            ends=None if self.ends is None else self.ends * factor,
            end_doubts=None if self.end_doubts is None else self.end_doubts * abs(factor),
        )

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Spectrum:
        return self * (1.0 / divisor)

    def __neg__(self) -> Spectrum:
        return self * -1.0

    def __sub__(self, other: Spectrum) -> Spectrum:
        return self + (-other)

    # --- energy ---------------------------------------------------------------------------------

    @cached_property
    def energies(self) -> FloatArray:
        """F(S)^2 of each term, summed over outputs, shape ``(s,)``."""
        columns = as_columns(self.coefficients)
        return np.asarray((columns**2).sum(axis=1))

    def energy_by_order(self) -> FloatArray:
        """The energy at each order, shape ``(largest order + 1,)``.

        By Parseval the entries from order 1 on add up to the variance of f over uniform masks.
        """
        return np.asarray(
            np.bincount(self.orders, weights=self.energies, minlength=1), dtype=np.float64
        )

    @cached_property
    def relative(self) -> Spectrum:
        """The spectrum without the mean, divided by a power of two of about its largest size.

        Shares and ranks of energies are taken of this one: squares of very small coefficients are
        zero. The empty set stays, with the coefficient 0.
        """
        coefficients = self.coefficients.copy()
        coefficients[self.orders == 0] = 0.0
        relative = coefficients / unit_of(coefficients)
        return replace(self, coefficients=relative, deviations=None, ends=None)

    def truncate(
        self, *, energy: float | None = None, n_terms: int | None = None, order: int | None = None
    ) -> Spectrum:
        """Keep the strongest terms. The empty set (the mean of f) always stays and is not counted.

        Args:
            energy: share in (0, 1] of the variance to keep; the term that reaches it stays.
            n_terms: the most terms to keep, the empty set not counted.
            order: the largest order to keep.

        Raises:
            ValueError: ``energy`` is not in (0, 1], or ``n_terms`` or ``order`` is no whole number
                from 0 on.
        """
        if energy is not None and not 0.0 < energy <= 1.0:
            raise ValueError(f"energy={energy} is not a share in (0, 1]")
        for name, value in (("n_terms", n_terms), ("order", order)):
            if value is not None:
                whole(name, value, 0)
        keep = np.ones(len(self), dtype=np.bool_)
        if order is not None:
            keep &= self.orders <= order
        rows = np.flatnonzero(keep & (self.orders > 0))
        energies = self.relative.energies
        rows = rows[np.argsort(-energies[rows], kind="stable")]
        if energy is not None and len(rows):
            reached = np.cumsum(energies[rows])
            rows = rows[: int(np.searchsorted(reached, energy * reached[-1])) + 1]
        if n_terms is not None:
            rows = rows[:n_terms]
        chosen = np.sort(np.concatenate([np.flatnonzero(self.orders == 0), rows]))
        return replace(
            self,
            supports=self.supports[chosen],
            coefficients=self.coefficients[chosen],
            deviations=None if self.deviations is None else self.deviations[chosen],
        )

    # --- indices --------------------------------------------------------------------------------

    def to(
        self,
        index: IndexName | str,
        *,
        order: int | None = None,
        players: Sequence[str] | None = None,
    ) -> Interactions:
        """Compute the interactions under an index (see :mod:`interplay.fourier.indices`).

        They follow in closed form. If the spectrum has an uncertainty, they have one too, since an
        index is linear in the coefficients. If it has measured ends, the interactions pass through
        them. What the ends add to a set is uncertain as far as the error at an end may not belong
        to all players alike (``end_doubts``). A Moebius transform compares masks with the end that
        it is anchored at, so the error there counts as uncertain, and changes nothing: it may be
        that of the masks near the end too.

        Args:
            index: ``"Fourier"``, ``"Moebius"``, ``"Co-Moebius"``, ``"SII"``, ``"k-SII"``,
                ``"STII"``, ``"FSII"``, ``"FBII"``, ``"BII"``, ``"SV"`` or ``"BV"``, in upper or
                lower case, or an alias such as ``"shapley"``.
            order: the largest order; ``None``: the largest in the spectrum.
            players: names for the labels.
        """
        index = INDICES.named(index)
        interactions = self._interactions(self.coefficients, index, order)
        interactions = replace(interactions, players=names_of(players, self.n_players))
        doubt = None
        if self.ends is not None and self.end_errors.any():  # else it passes through them already
            interactions = through_ends(interactions, *self.end_errors)
            doubt = self._doubt(index, interactions)
        deviations = self._deviations(index, order, doubt)
        if deviations is not None and index in _ANCHORS:
            deviations = np.hypot(deviations, self.end_errors[_ANCHORS[index]])
        return replace(interactions, deviations=deviations)

    def _interactions(
        self, coefficients: FloatArray, index: IndexName | str, order: int | None
    ) -> Interactions:
        """The index of other coefficients of the same sets, ``(s,)`` or ``(s, c)``."""
        sets, values, used = convert(self.members, coefficients, self.n_players, index, order)
        return Interactions(index, used, self.n_players, sets, values, ())

    @property
    def end_errors(self) -> FloatArray:
        """What the measured ends are above the predicted ones, ``(2,)`` or ``(2, k)``."""
        predicted = self.predict(end_masks(self.n_players))
        return np.zeros_like(predicted) if self.ends is None else self.ends - predicted

    def _doubt(self, index: IndexName | str, interactions: Interactions) -> FloatArray | None:
        """The standard deviation of what the ends add to each interaction; ``None``: nothing."""
        doubts = np.abs(self.end_errors)
        if self.end_doubts is not None:
            doubts = np.minimum(doubts, self.end_doubts)
        none, shape = np.zeros_like(doubts[0]), (self.n_players, interactions.order)
        of_full = by_size(index, *shape, doubts[0], none)
        of_empty = by_size(index, *shape, none, doubts[1])
        if of_full is None or of_empty is None:
            return None
        return np.asarray(np.hypot(of_full, of_empty)[interactions.orders])

    def _deviations(
        self, index: IndexName | str, order: int | None, doubt: FloatArray | None
    ) -> FloatArray | None:
        """Compute the standard deviations of the interactions.

        The index is applied to each column of the factor L, less what the measured ends take of its
        error; the squares are summed over columns.

        Args:
            index: the index.
            order: its largest order.
            doubt: the standard deviation of what the ends add to each interaction; ``None``: they
                add nothing.
        """
        if self.deviations is None:
            return None
        width = self.deviations.shape[-1]
        # of each output: squares of very small numbers are zero
        outputs = np.moveaxis(self.deviations, (0, -1), (-2, -1)).reshape(-1, len(self), width)
        unit = np.array([unit_of(part) for part in outputs]).reshape(self.deviations.shape[1:-1])
        total: FloatArray | None = None
        for start in range(0, width, _COLUMNS_AT_ONCE):
            block = self.deviations[..., start : start + _COLUMNS_AT_ONCE] / unit[..., None]
            columns = block.reshape(len(block), -1)
            part = self._interactions(columns, index, order)
            if doubt is not None:
                errors = synthesise(end_masks(self.n_players), self.supports, columns)
                part = through_ends(part, *-errors)
            squares = (part.values.reshape(len(part), *block.shape[1:]) ** 2).sum(axis=-1)
            total = squares if total is None else total + squares
        if total is not None and doubt is not None:
            total = total + (doubt / unit) ** 2
        return None if total is None else np.sqrt(total) * unit

    def __str__(self) -> str:
        energies = self.relative.energy_by_order()[1:]
        total = energies.sum()
        by_order = ", ".join(
            f"{order}: {energy / total:.1%}" for order, energy in enumerate(energies, 1) if energy
        )
        return (
            f"Spectrum of {self.n_players} players, {len(self)} terms (energy {by_order or 'none'})"
        )


def join_outputs(spectra: Sequence[Spectrum]) -> Spectrum:
    """Join spectra of one output each to one of k outputs, over the union of their terms."""
    n_players = spectra[0].n_players
    width = max(s.members.shape[1] for s in spectra)
    sets = [
        np.pad(s.members, ((0, 0), (0, width - s.members.shape[1])), constant_values=n_players)
        for s in spectra
    ]
    blocks = [np.outer(s.coefficients, np.arange(len(spectra)) == j) for j, s in enumerate(spectra)]
    return Spectrum.from_members(n_players, np.concatenate(sets), np.concatenate(blocks))
