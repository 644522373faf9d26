r"""All on/off patterns of a few players on a background, and what they say.

For a set S of s players and a background B, a subset of all players, the discrete derivative is

.. math:: \Delta_S f(B) = \sum_{T \subseteq S} (-1)^{s-|T|} f((B \setminus S) \cup T):

for two players f(both) - f(one) - f(other) + f(none), with everything else as in B. Its mean over
all backgrounds is the Banzhaf interaction index BII(S) = (-2)^s F(S), which a spectrum predicts in
closed form.

Where S lies in a larger set T whose patterns are there too, its derivative on B may be averaged
over all patterns of T - S: of equal expectation, and without the variance that the interactions
within T make.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from interplay._arrays import unpack
from interplay._types import BoolArray, FloatArray, Players
from interplay.confirmation.verdict import Removed
from interplay.fourier.masks import distinct, every_mask
from interplay.fourier.spectrum import Spectrum

Values: TypeAlias = Callable[[BoolArray], FloatArray]
"""From masks ``(..., n)`` to their values ``(...)``."""


def patterns(backgrounds: BoolArray, players: Players) -> BoolArray:
    """All on/off patterns of a set on backgrounds ``(m, n)``: ``(m, 2**s, n)``.

    Bit i of a pattern's number says whether ``players[i]`` is kept.
    """
    masks = np.repeat(backgrounds[:, None], 1 << len(players), axis=1)
    masks[:, :, list(players)] = every_mask(len(players))
    return masks


def derivatives(values: FloatArray) -> FloatArray:
    """Delta_S f, ``(m,)``, from the values of the patterns of S, ``(m, 2**s)``."""
    kept = np.bitwise_count(np.arange(values.shape[1])).astype(np.int64)
    return np.asarray(values @ (-1.0) ** (kept[-1] - kept))


def averaged(
    value_of: Values, backgrounds: BoolArray, players: Players, sets: Sequence[Players]
) -> FloatArray:
    """The values of the patterns of S, ``(m, 2**s)``, as means over the patterns of T - S.

    T is the largest of the sets that holds S, all of which are evaluated. Backgrounds that differ
    in nothing but T are the same and count once.
    """
    larger = around(players, sets)
    others = backgrounds.copy()
    others[:, list(larger)] = False
    values = value_of(patterns(distinct(others)[0], larger))
    # the last axis but the first is that of larger[0]
    cube = values.reshape(-1, *[2] * len(larger))
    axes = tuple(
        len(larger) - place for place, player in enumerate(larger) if player not in players
    )
    return np.asarray(cube.mean(axis=axes).reshape(len(cube), -1))


def around(players: Players, sets: Sequence[Players]) -> Players:
    """The largest of the sets that holds the players."""
    return max((other for other in sets if set(players) <= set(other)), key=len)


def removed(values: FloatArray) -> Removed:
    """The mean effect of removing players, from the values of their patterns."""
    change = (values - values[:, -1:]).mean(axis=0)
    places = range(len(change).bit_length() - 1)
    return Removed(tuple(float(change[-1 - (1 << place)]) for place in places), float(change[0]))


def predicted_variance(spectrum: Spectrum, players: Players, larger: Players) -> float:
    """The variance over backgrounds of Delta_S, averaged over all patterns of T - S.

    The sum of 4^s F(U)^2 over those supersets of S, other than S, that hold no player of T - S.
    """
    above = spectrum.orders > len(players)
    member = unpack(spectrum.supports[above], spectrum.n_players)
    others = list(set(larger) - set(players))
    counted = member[:, list(players)].all(axis=1) & ~member[:, others].any(axis=1)
    return float(4 ** len(players) * (spectrum.coefficients[above][counted] ** 2).sum())
