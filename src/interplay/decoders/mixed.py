"""The design of ``auto``: that of the measure with a code in it.

The optimal design, and the flat one, suit functions whose interactions are among players that
matter by themselves. A function without that hierarchy, a parity for instance, looks like noise on
them, but a code finds it (:mod:`interplay.decoders.spex`). From a budget on the design therefore
contains coded masks. Any decoder may use them like others: by itself each is about as uniform as
any. Under measures other than ``"uniform"`` and ``"shapley"``, which have hardly a mask like that,
there are none.

The design is one sequence, and a budget takes its beginning:

1. the first masks of the optimal (or flat) design, twice as many as the smallest code has;
2. the smallest code, of 2^2 + 2^2 bins, in random order;
3. more of the first, as long as an optimal design has masks that are chosen;
4. from there on, where it would be uniform, in turn a further mask of it and one of the next larger
   code; of the flat design, three further masks for each of these.

So the smallest code is whole at the smallest budget of ``spex``. Masks outside the code help to
decide what it finds, and judge that. For a function that has the hierarchy, coded masks tell less
than chosen ones, about as much as uniform masks; therefore the code is small and comes late.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import takewhile

import numpy as np

from interplay._arrays import pack, unpack
from interplay._types import BoolArray
from interplay.decoders.spex.design import CodedMasks, first_appearances
from interplay.decoders.spex.plan import Plan, first_level, levels, n_masks_of
from interplay.designs.base import Design, PlainDesign
from interplay.designs.measures import SHAPLEY, UNIFORM, Measure
from interplay.designs.optimal import design_under, n_chosen
from interplay.fourier.masks import TABLE_LIMIT

ERRORS = 5
"""t, the errors that the code corrects; interactions of more players are not found by it."""
_BITS = 2
"""b of the two groups of the smallest code."""
_EVERY = 4
"""Under ``"shapley"`` every fourth of the later masks is coded: they tell less than flat ones."""


def mixed_design(
    measure: Measure, n_masks: int, n_players: int, rng: np.random.Generator
) -> Design:
    """Choose masks for a measure, and from a budget on coded ones between them.

    For the same generator a larger design starts with the smaller one. Up to 14 players there is no
    code: most of their masks are affordable.

    Returns:
        The design; a :class:`interplay.decoders.spex.design.CodedDesign` if it has a whole code.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    start = first_level(n_players, _BITS, n_groups=2)
    has_code = n_players > TABLE_LIMIT and measure in (UNIFORM, SHAPLEY)
    if not has_code or n_masks <= 2 * n_masks_of(start, n_players, ERRORS):
        return design_under(measure, n_masks, n_players, rng)
    n_drawn = n_masks
    while True:  # equal masks count once, so there may have to be more
        design, n_distinct = _drawn(measure, n_drawn, n_masks, n_players, start, rng)
        if n_distinct >= n_masks:
            return design
        n_drawn += 2 * (n_masks - n_distinct)


def _drawn(
    measure: Measure,
    n_drawn: int,
    n_masks: int,
    n_players: int,
    start: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Design, int]:
    """The first masks of so many drawn; and how many of these are distinct."""
    every = 2 if measure == UNIFORM else _EVERY
    of_code = _turns(n_drawn, n_masks_of(start, n_players, ERRORS), n_chosen(n_players), every)
    n_coded = int(of_code.sum())
    fresh = deepcopy(rng)
    seed = int(fresh.spawn(1)[0].integers(1 << 63))
    sequence = CodedMasks.draw(n_players, ERRORS, start, n_coded, seed)
    others = design_under(measure, n_drawn - n_coded, n_players, fresh)
    packed = np.empty((n_drawn, sequence.packed.shape[1]), dtype=np.uint8)
    packed[of_code], packed[~of_code] = sequence.packed[:n_coded], pack(others.masks)
    packed, place = first_appearances(packed)
    masks = unpack(packed[:n_masks], n_players)
    places = np.full(len(sequence.packed), n_masks)  # beyond the design
    places[:n_coded] = place[of_code]
    representative = np.zeros(len(packed), dtype=np.bool_)
    representative[place[~of_code]] = True
    representative[place[of_code]] = False  # where both have the same mask
    whole = list(
        takewhile(lambda bits: sequence.is_whole(bits, places, n_masks), levels(start, n_players))
    )
    if not whole:
        return PlainDesign(others.kind, masks, representative[:n_masks]), len(packed)
    plan = Plan.of_level(n_players, n_masks, ERRORS, start, whole[-1])
    design = sequence.design(plan, masks, places, representative[:n_masks], others.kind)
    return design, len(packed)


def _turns(n_drawn: int, n_first: int, n_before: int, every: int) -> BoolArray:
    """Which of the masks are of the code, ``(n_drawn,)``.

    Args:
        n_drawn: how many masks.
        n_first: of the smallest code.
        n_before: the masks of an optimal design that are chosen.
        every: one of so many later masks is of a larger code.
    """
    numbers = np.arange(n_drawn)
    is_first = (numbers >= 2 * n_first) & (numbers < 3 * n_first)
    is_later = (numbers >= max(3 * n_first, n_before + n_first)) & (numbers % every == 0)
    return np.asarray(is_first | is_later)
