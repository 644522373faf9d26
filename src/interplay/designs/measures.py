"""Measures: the laws under which masks are drawn, errors averaged and scores told."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from interplay._types import BoolArray
from interplay.designs.flat import FLAT, flat
from interplay.extensions import unknown
from interplay.fourier.masks import uniform

MeasureName: TypeAlias = Literal["uniform", "shapley"]
"""``"uniform"``: each player is kept with probability 1/2, as for the Fourier transform, Banzhaf
values and the R2 of the papers. ``"shapley"``: all sizes alike, as for Shapley values and SII,
k-SII, STII and FSII."""
MEASURES: tuple[str, ...] = get_args(MeasureName)
UNIFORM, SHAPLEY = MEASURES


def get_measure(name: str) -> str:
    """The measure of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in MEASURES:
        raise unknown("measure", name, MEASURES)
    return name


def measure_of(kind: str) -> str:
    """The measure that a kind of design is for."""
    return SHAPLEY if kind.endswith(FLAT) else UNIFORM


def held_out_masks(
    measure: str, n_masks: int, n_players: int, rng: np.random.Generator, exclude: BoolArray
) -> BoolArray:
    """Distinct masks of a measure that a design does not have, ``(n_masks, n)``."""
    return (flat if measure == SHAPLEY else uniform)(n_masks, n_players, rng, exclude=exclude)


def draw(measure: str, n_masks: int, n_players: int, rng: np.random.Generator) -> BoolArray:
    """Independent masks of a measure, ``(n_masks, n)``."""
    if measure == UNIFORM or n_players < 2:
        return np.asarray(rng.random((n_masks, n_players)) < 0.5)
    sizes = rng.integers(1, n_players, n_masks)
    ranks = rng.random((n_masks, n_players)).argsort(axis=1).argsort(axis=1)
    return np.asarray(ranks < sizes[:, None])
