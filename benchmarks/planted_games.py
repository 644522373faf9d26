"""Planted functions of 50 and 100 players, and the exact indices of set functions.

The indices of planted terms follow from the spectrum in closed form (:mod:`interplay.fourier`).
Those of a counted part follow from its Moebius transform, which depends on the size of a set only:
they are summed in exact fractions here, by the definitions, and not by the library.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import chain, combinations
from math import comb, log2
from typing import Any

import numpy as np

import interplay as ip
from common import hierarchical
from interplay import Spectrum
from interplay._types import FloatArray, Players
from interplay.fourier.masks import every_mask
from set_functions import SetFunction

INDICES = ("SV", "SII", "FSII", "STII", "BII")
ORDER = 2
SIZES = (50, 100)


def sets_of(index: str, n_players: int) -> list[Players]:
    """The sets that an index is judged on: singles, pairs (SII), or both."""
    sizes = {"SV": (1,), "SII": (2,)}.get(index, (1, 2))
    return [players for size in sizes for players in combinations(range(n_players), size)]


def exact(function: SetFunction) -> dict[str, FloatArray]:
    """The exact indices of a function, each over its sets."""
    n = function.n_players
    spectrum = spectrum_of(function)
    found = {}
    for index in INDICES:
        sets = sets_of(index, n)
        listed = dict(spectrum.to(index, order=ORDER))
        values = np.array([float(listed.get(players, 0.0)) for players in sets])
        for carrier, counted in zip(function.carriers, function.counted, strict=True):
            members = frozenset(np.flatnonzero(carrier).tolist())
            by_size = _of_counted(index, [Fraction(v) for v in counted[: len(members) + 1]])
            values += [by_size[len(s)] if members.issuperset(s) else 0.0 for s in sets]
        found[index] = values
    return found


def spectrum_of(function: SetFunction) -> Spectrum:
    """The Fourier spectrum of a table, or of the terms of a planted function."""
    n = function.n_players
    if len(function.values):
        return ip.decode(every_mask(n), function.values, decoder="exact", order=n)
    terms: dict[Players, float] = {}
    for row, coefficient in zip(function.members, function.coefficients, strict=True):
        players = tuple(row[row < n].tolist())
        if function.fourier:
            terms[players] = float(coefficient)
            continue
        # a kept player i is (1 - chi_i) / 2
        share = float(coefficient) / 2 ** len(players)
        for subset in chain.from_iterable(
            combinations(players, size) for size in range(len(players) + 1)
        ):
            terms[subset] = terms.get(subset, 0.0) + (-1) ** len(subset) * share
    return Spectrum.from_dict(n, terms or {(): 0.0})


def _of_counted(index: str, values: Sequence[Fraction]) -> list[float]:
    """An index of sets of 0, 1 and 2 players of A, for a function of the number kept of A."""
    size = len(values) - 1
    moebius = [
        sum(((-1) ** (t - j) * comb(t, j) * values[j] for j in range(t + 1)), Fraction(0))
        for t in range(size + 1)
    ]
    return [
        float(
            sum(
                (
                    comb(size - s, t - s) * _weight(index, s, t) * moebius[t]
                    for t in range(s, size + 1)
                ),
                Fraction(0),
            )
        )
        for s in range(min(ORDER, size) + 1)
    ]


def _weight(index: str, s: int, t: int) -> Fraction:
    """The weight of the Moebius transform of a set of t players in the index of s of them.

    SII and SV: Grabisch and Roubens 1999; BII: the same; STII: Sundararajan et al. 2020; FSII: Tsai
    et al. 2023, all up to order 2.
    """
    if index in ("SV", "SII"):
        return Fraction(1, t - s + 1)
    if index == "BII":
        return Fraction(1, 2 ** (t - s))
    if t <= ORDER:
        return Fraction(int(s == t))
    if index == "STII":
        return Fraction(int(s == ORDER), comb(t, ORDER))
    share = Fraction(s, ORDER + s) * comb(ORDER, s)
    return (
        (-1) ** (ORDER - s) * share * Fraction(comb(t - 1, ORDER), comb(t + ORDER - 1, ORDER + s))
    )


def planted(n_players: int) -> dict[str, SetFunction]:
    """The planted functions of a size, by name."""
    makers = {
        "hierarchical": _hierarchical,
        "dividends": _dividends,
        "far-empty": _far_empty,
        "any-of": _any_of,
    }
    return {
        f"{name}-{n_players}": make(n_players, np.random.default_rng([number, n_players]))
        for number, (name, make) in enumerate(makers.items())
    }


def _of(spectrum: Spectrum, carriers: Any = None, counted: Any = None) -> SetFunction:
    return SetFunction(
        spectrum.n_players,
        members=spectrum.members,
        coefficients=spectrum.coefficients,
        fourier=True,
        carriers=carriers,
        counted=counted,
    )


def _hierarchical(n_players: int, rng: np.random.Generator) -> SetFunction:
    """Some players matter, and those also interact, in orders up to 4."""
    return _of(hierarchical(n_players, rng))


def _dividends(n_players: int, rng: np.random.Generator) -> SetFunction:
    """What sets of up to five players add once all of them are there, with no hierarchy."""
    n_sets = 2 * n_players // 3
    sizes = rng.choice([1, 2, 3, 4, 5], n_sets, p=[0.4, 0.25, 0.15, 0.1, 0.1])
    members = np.full((n_sets, 5), n_players)
    for row, size in enumerate(sizes):
        members[row, :size] = np.sort(rng.choice(n_players, size, replace=False))
    return SetFunction(n_players, members=members, coefficients=rng.normal(size=n_sets))


def _far_empty(n_players: int, rng: np.random.Generator) -> SetFunction:
    """As the hierarchical one, but nothing at all is worth ten standard deviations less."""
    spectrum = hierarchical(n_players, rng)
    counted = np.zeros((1, n_players + 1))
    counted[0, 0] = -10.0 * np.sqrt((spectrum.coefficients[spectrum.orders > 0] ** 2).sum())
    return _of(spectrum, np.ones((1, n_players), dtype=np.bool_), counted)


def _any_of(n_players: int, rng: np.random.Generator) -> SetFunction:
    """Evidence that is there several times: any one, two or three of five to eight players do."""
    spectrum = hierarchical(n_players, rng)
    n_parts = int(log2(n_players))
    carriers = np.zeros((n_parts, n_players), dtype=np.bool_)
    counted = np.zeros((n_parts, n_players + 1))
    for part in range(n_parts):
        carriers[part, rng.choice(n_players, int(rng.integers(5, 9)), replace=False)] = True
        counted[part, int(rng.integers(1, 4)) :] = 4.0 * rng.choice([-1, 1]) * rng.uniform(0.5, 1.5)
    return _of(spectrum, carriers, counted)
