r"""Measures: the laws under which masks are drawn, errors averaged and scores told.

Every measure here is made in the same way. For each mask a probability p is drawn evenly from a
range [low, high], and each player is kept with probability p:

=================  ==============  =================================================================
measure            p               what looks there
=================  ==============  =================================================================
``"uniform"``      1/2             Fourier coefficients, Banzhaf values, the R2 of the papers
``"shapley"``      0 to 1          Shapley values, SII, k-SII, STII, FSII: all sizes alike, since
                                   C(n, k) times the integral of p^k (1 - p)^(n-k) is 1 / (n + 1)
``Keep(p)``        p               what removing a few players does to the intact input, for p
                                   near 1
``Keep(low,        low to high     the same at several distances
high)``
=================  ==============  =================================================================

A tuple of measures is their mixture: each gives an equal share of the masks. Both ends, the full
and the empty input, are evaluated in every run beside the masks of its measure; the masks that
measures other than ``"uniform"`` draw are never ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, TypeAlias

import numpy as np

from interplay._types import BoolArray, FloatArray, shown
from interplay.designs.base import STRATA, PlainDesign, uniform_design
from interplay.designs.flat import FLAT, flat_design
from interplay.designs.strata import stratified
from interplay.extensions import IndexName, unknown
from interplay.fourier.biased import Law, variances
from interplay.fourier.sets import Members
from interplay.fourier.spectrum import Spectrum

MeasureName: TypeAlias = Literal["uniform", "shapley"]
"""The measures that have a name; the text of another is that of :class:`Measure`."""
KEEP = "keep:"
"""How the text of ``Keep`` begins: ``keep:0.9``, ``keep:0.5-0.97``."""
_AND = "+"
_MOST_PARTS = 8
_DIGITS = 30
_NUMBER = rf"(?:0|1|0?\.[0-9]{{1,{_DIGITS}}})"
_PART = re.compile(rf"{KEEP}({_NUMBER})(?:-({_NUMBER}))?")

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Measure:
    """A law of masks under which all masks of one size are equally likely.

    Its text, ``str(measure)``, is its name in a provenance, on the command line and in reports:
    ``"uniform"``, ``"shapley"``, ``"keep:0.9"``, ``"keep:0.5-0.97"``, and for a mixture
    ``"uniform+keep:0.9"``. A measure equals its text.

    Attributes:
        ranges: for each part of a mixture, the range of the probability that a player is kept; most
            measures have one part.
    """

    ranges: tuple[Range, ...]

    def __str__(self) -> str:
        return _AND.join(map(_text, self.ranges))

    def __repr__(self) -> str:
        return f"Measure({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Measure | str) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def description(self) -> str:
        """The law in words, to follow "masks"."""
        return ", or ".join(map(_in_words, self.ranges))

    def size_law(self, n_players: int) -> FloatArray:
        """The probability of each size from 0 to n, ``(n + 1,)``; zero for both ends."""
        law = np.mean([_sizes(n_players, *part) for part in self.ranges], axis=0)
        law[[0, -1]] = 0.0
        return np.asarray(law / (law.sum() or 1.0))

    def law(self, degree: int) -> Law:
        """Probabilities that a player is kept, and their weights.

        Means over them are exact for polynomials of that degree.
        """
        nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
        share = 1.0 / len(self.ranges)
        pairs: list[tuple[float, float]] = []
        for low, high in self.ranges:
            if low == high:
                pairs.append((low, share))
            else:
                points = low + (high - low) * (1.0 + nodes) / 2.0
                pairs += zip(points.tolist(), (share * weights / 2.0).tolist(), strict=True)
        return tuple(pairs)

    @property
    def mean(self) -> float:
        """The probability that a player is kept."""
        return float(np.mean(self.ranges))

    @property
    def index(self) -> IndexName:
        """The interaction index that looks where most masks are.

        It is read where no index is asked for: ``"FSII"`` where as many masks keep more than half
        of the players as less; ``"Co-Moebius"``, what is lost when players are removed from the
        intact input, where most are nearer to it; ``"Moebius"``, what is gained when they are added
        to the empty one, where most are nearer to that.

        Example:
            >>> import interplay as ip
            >>> print(ip.Keep(0.9).index)
            Co-Moebius
        """
        if np.isclose(self.mean, 0.5):
            return "FSII"
        return "Co-Moebius" if self.mean > 0.5 else "Moebius"

    def variances(self, spectrum: Spectrum) -> tuple[Members, FloatArray]:
        """What each set has of a spectrum's variance over the masks of the measure.

        Over uniform masks, and those of ``Keep(p)``, it is the energy of the set in an orthonormal
        basis (see :func:`interplay.fourier.biased.variances`). The ends belong to the law here.

        Returns:
            Members of the sets, and for each output its variance, ``(s, k)``.
        """
        return variances(spectrum, self.law(2 * int(spectrum.orders.max(initial=0))))

    def variance_by_order(self, spectrum: Spectrum) -> FloatArray:
        """The same by order, ``(largest order + 1, k)``; the rows add up to the variance.

        Example:
            >>> import interplay as ip
            >>> spectrum = ip.Spectrum.from_dict(9, {(0,): 1.0, (0, 1): 1.0})
            >>> shares = ip.Keep(0.9).variance_by_order(spectrum)
            >>> print((shares[:, 0] / shares.sum()).round(2))
            [0.   0.65 0.35]
        """
        sets, parts = self.variances(spectrum)
        order = (sets < spectrum.n_players).sum(axis=1)
        by_order = np.zeros((int(order.max(initial=0)) + 1, parts.shape[1]))
        np.add.at(by_order, order, parts)
        return by_order

    def draw(self, n_masks: int, n_players: int, rng: np.random.Generator) -> BoolArray:
        """Draw independent masks, ``(n_masks, n)``."""
        if self == UNIFORM or n_players < 2:
            return np.asarray(rng.random((n_masks, n_players)) < 0.5)
        if self == SHAPLEY:
            sizes = rng.integers(1, n_players, n_masks)
        else:
            sizes = rng.choice(n_players + 1, n_masks, p=self.size_law(n_players))
        ranks = rng.random((n_masks, n_players)).argsort(axis=1).argsort(axis=1)
        return np.asarray(ranks < sizes[:, None])

    def design(self, n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
        """Choose masks for a fit: balanced, and nested by their number.

        Where there are not so many masks, it has fewer.
        """
        if self == UNIFORM:
            return uniform_design(n_masks, n_players, rng)
        if self == SHAPLEY:
            return flat_design(n_masks, n_players, rng)
        masks = stratified(self.size_law(n_players), n_masks, n_players, rng)
        return PlainDesign(f"{STRATA}{self}", masks)


def Keep(low: float, high: float | None = None) -> Measure:  # noqa: N802
    """A measure near the intact input: each player is kept with a high probability.

    Example:
        >>> import interplay as ip
        >>> str(ip.Keep(0.9)), str(ip.Keep(0.5, 0.97))
        ('keep:0.9', 'keep:0.5-0.97')

    Args:
        low: the probability p that a player is kept.
        high: p is drawn evenly from ``low`` to ``high``, for each mask anew. ``None``: p is
            ``low``.

    Raises:
        ValueError: the probabilities are not in order, or one of them keeps all or nothing.
    """
    high = low if high is None else high
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float | np.number):
            raise ValueError(
                f"Keep has {shown(end)}, which is no probability; give a number between 0 and 1"
            )
    measure = _between(low, high)
    if str(measure) not in MEASURES and not _PART.fullmatch(str(measure)):
        raise ValueError(
            f"Keep({low}, {high}) has probabilities of more than {_DIGITS} digits; round them"
        )
    return measure


def _between(low: float, high: float) -> Measure:
    if not 0.0 <= low <= high <= 1.0 or (low == high and low in (0.0, 1.0)):
        raise ValueError(
            f"Keep({low}, {high}) is no range of the probability that a player is kept; give one "
            "between 0 and 1, or the lower and the upper end of a range"
        )
    return Measure(((float(low), float(high)),))


UNIFORM = Measure(((0.5, 0.5),))
SHAPLEY = Measure(((0.0, 1.0),))
_NAMED: dict[Range, str] = {(0.5, 0.5): "uniform", (0.0, 1.0): "shapley"}
MEASURES: tuple[str, ...] = tuple(_NAMED.values())
_EXAMPLES = (*MEASURES, f"{KEEP}0.9", f"{KEEP}0.5-0.97")
AnyMeasure: TypeAlias = Measure | MeasureName | str | Sequence[Measure | MeasureName | str]
"""What users may write: a measure, its text, or several of them, which are mixed."""


def get_measure(measure: AnyMeasure) -> Measure:
    """The measure that is meant.

    Args:
        measure: it, its text, or a sequence of these: a mixture, with equal shares.

    Raises:
        ValueError: there is no such measure.
    """
    if isinstance(measure, Measure):
        return measure
    if not isinstance(measure, Sequence):
        raise unknown("measure", str(measure), _EXAMPLES)
    parts = measure.split(_AND, _MOST_PARTS) if isinstance(measure, str) else list(measure)
    if not 0 < len(parts) <= _MOST_PARTS:
        raise ValueError(
            f"measure={shown(measure)} mixes {len(parts)} measures; give 1 to {_MOST_PARTS}"
        )
    if len(parts) > 1:
        ranges = reduce(lambda known, part: known + get_measure(part).ranges, parts, ())
        return Measure(ranges)
    (part,) = parts
    if not isinstance(part, str):
        return get_measure(part)
    for known, name in _NAMED.items():
        if part == name:
            return Measure((known,))
    ends = _PART.fullmatch(part)
    if ends is None:
        raise unknown("measure", part[:40], _EXAMPLES)
    low, high = ends.groups()
    return _between(float(low), float(high or low))


def measure_of(kind: str) -> Measure:
    """The measure that a kind of design is for."""
    if kind.endswith(FLAT):
        return SHAPLEY
    _, strata, measure = kind.partition(STRATA)
    return get_measure(measure) if strata else UNIFORM


def _text(part: Range) -> str:
    if part in _NAMED:
        return _NAMED[part]
    low, high = (np.format_float_positional(end, trim="-") for end in part)
    return f"{KEEP}{low}" if low == high else f"{KEEP}{low}-{high}"


def _in_words(part: Range) -> str:
    if part == SHAPLEY.ranges[0]:
        return "of all sizes alike"
    low, high = part
    if low == high:
        return f"that keep each player with probability {low:g}"
    return f"that keep each player with a probability between {low:g} and {high:g}"


def _sizes(n_players: int, low: float, high: float) -> FloatArray:
    """The probability of each size, ``(n + 1,)``: the binomial law, averaged over its p."""
    from scipy.special import betainc, gammaln

    kept = np.arange(n_players + 1.0)
    removed = n_players - kept
    if low < high:
        upper, lower = (betainc(kept + 1, removed + 1, end) for end in (high, low))
        return np.asarray((upper - lower) / ((n_players + 1) * (high - low)))
    ways = gammaln(n_players + 1) - gammaln(kept + 1) - gammaln(removed + 1)
    return np.asarray(np.exp(ways + kept * np.log(low) + removed * np.log1p(-low)))
