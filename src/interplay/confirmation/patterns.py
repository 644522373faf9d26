r"""All on/off patterns of a few players on a background, and the effects that they show.

For a set S of s players and a background B, a subset of all players, the discrete derivative is

.. math:: \Delta_S f(B) = \sum_{T \subseteq S} (-1)^{s-|T|} f((B \setminus S) \cup T):

For two players it is f(both) - f(first only) - f(second only) + f(neither), with everything else
as in B. Its mean over the backgrounds of a measure is an interaction index
(:mod:`interplay.confirmation.sample`), which a spectrum predicts in closed form.

If S lies in a larger set T and the patterns of T are evaluated too, the derivative on B can be
averaged over all patterns of T - S. The average has the same expectation, but not the variance that
comes from the interactions within T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from interplay._arrays import unpack
from interplay._types import BoolArray, FloatArray, Players
from interplay.confirmation.sample import Sample, containing_terms, pattern_chances
from interplay.confirmation.verdict import Removed
from interplay.designs.measures import Measure
from interplay.fourier.masks import every_mask
from interplay.fourier.spectrum import Spectrum

Values: TypeAlias = Callable[[BoolArray], FloatArray]
"""From masks ``(..., n)`` to their values ``(...)``."""


def patterns(backgrounds: BoolArray, players: Players) -> BoolArray:
    """The masks of all on/off patterns of s players on backgrounds ``(m, n)``: ``(m, 2**s, n)``.

    Bit i of a pattern's number is 1 if ``players[i]`` is kept.
    """
    masks = np.repeat(backgrounds[:, None], 1 << len(players), axis=1)
    masks[:, :, list(players)] = every_mask(len(players))
    return masks


def derivatives(values: FloatArray) -> FloatArray:
    """Delta_S f, ``(m,)``, from the values of the patterns of S, ``(m, 2**s)``."""
    n_kept = np.bitwise_count(np.arange(values.shape[1])).astype(np.int64)
    return np.asarray(values @ (-1.0) ** (n_kept[-1] - n_kept))


def averaged(
    value_of: Values, outside: BoolArray, players: Players, larger: Players, measure: Measure
) -> FloatArray:
    """The values of the patterns of S, ``(b, 2**s)``, as means over the patterns of T - S.

    Args:
        value_of: gives the values of masks.
        outside: backgrounds without the players of T, ``(b, n)``.
        players: S.
        larger: T, a set that contains S.
        measure: the measure, under which patterns of T - S are more or less likely.
    """
    values = value_of(patterns(outside, larger))
    values = values * pattern_chances(outside, players, larger, measure)
    # an axis for each player of T, in reverse: the last is that of larger[0]
    cube = values.reshape(-1, *[2] * len(larger))
    axes = tuple(
        len(larger) - place for place, player in enumerate(larger) if player not in players
    )
    return np.asarray(cube.sum(axis=axes).reshape(len(cube), -1))


def largest_containing(players: Players, sets: Sequence[Players]) -> Players:
    """The largest of the sets that contains the players."""
    return max((larger for larger in sets if set(players) <= set(larger)), key=len)


def removed(values: FloatArray, sample: Sample) -> Removed:
    """The mean effect of removing players, from the values of their patterns, ``(b, 2**s)``."""
    change = sample.mean(values - values[:, -1:])
    places = range(len(change).bit_length() - 1)
    return Removed(tuple(float(change[-1 - (1 << place)]) for place in places), float(change[0]))


def predicted_variance(spectrum: Spectrum, players: Players, larger: Players) -> float:
    """The variance over uniform backgrounds of Delta_S averaged over all patterns of T - S.

    It is the sum of 4^s F(U)^2 over all sets U that contain S and other players, but none of T - S.

    Args:
        spectrum: F.
        players: S, of s players.
        larger: T.
    """
    above = spectrum.orders > len(players)
    member = unpack(spectrum.supports[above], spectrum.n_players)
    excluded = list(set(larger) - set(players))
    counted = member[:, list(players)].all(axis=1) & ~member[:, excluded].any(axis=1)
    return float(4 ** len(players) * (spectrum.coefficients[above][counted] ** 2).sum())


def simulated_variance(
    spectrum: Spectrum, players: Players, larger: Players, sample: Sample, measure: Measure
) -> float:
    """The same under a measure, over the backgrounds of a sample that do not count exactly.

    Args:
        spectrum: F.
        players: S, of s players.
        larger: T.
        sample: many backgrounds of the measure without the players of T.
        measure: the measure.
    """
    containing = containing_terms(spectrum, players)
    if len(containing) < 2:
        return 0.0

    def value_of(masks: BoolArray) -> FloatArray:
        flat = containing.predict(masks.reshape(-1, masks.shape[-1]))
        return flat.reshape(masks.shape[:-1])

    drawn = sample.outside[len(sample.exact) :]
    effects = derivatives(averaged(value_of, drawn, players, larger, measure))
    return float(effects.var()) if len(effects) else 0.0
