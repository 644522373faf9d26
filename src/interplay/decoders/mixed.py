"""The design of ``auto``: an optimal one with a code in it.

An optimal design suits functions whose interactions are among players that matter by themselves. A
function without that hierarchy, a parity for instance, looks like noise on it, but a code finds it
(:mod:`interplay.decoders.spex`). From a budget on the design therefore contains coded masks. Any
decoder may use them like others: by itself each is about as uniform as any.

The design is one sequence, and a budget takes its beginning:

1. the first masks of the optimal design, twice as many as the smallest code has;
2. the smallest code, of 2^2 + 2^2 bins, in random order;
3. more of the optimal design, as long as its masks are chosen;
4. from there on, where the optimal design would be uniform, in turn a uniform mask and one of the
   next larger code.

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
from interplay.designs.optimal import n_chosen, optimal_design
from interplay.fourier.masks import TABLE_LIMIT

ERRORS = 5
"""t, the errors that the code corrects; interactions of more players are not found by it."""
_BITS = 2
"""b of the two groups of the smallest code."""


def mixed_design(n_masks: int, n_players: int, rng: np.random.Generator) -> Design:
    """Choose masks of the optimal design, and from a budget on coded ones between them.

    For the same generator a larger design starts with the smaller one. Up to 14 players there is no
    code: most of their masks are affordable.

    Returns:
        The design; a :class:`interplay.decoders.spex.design.CodedDesign` if it has a whole code.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    start = first_level(n_players, _BITS, n_groups=2)
    if n_players <= TABLE_LIMIT or n_masks <= 2 * n_masks_of(start, n_players, ERRORS):
        return optimal_design(n_masks, n_players, rng)
    n_drawn = n_masks
    while True:  # equal masks count once, so there may have to be more
        design, n_distinct = _drawn(n_drawn, n_masks, n_players, start, rng)
        if n_distinct >= n_masks:
            return design
        n_drawn += 2 * (n_masks - n_distinct)


def _drawn(
    n_drawn: int,
    n_masks: int,
    n_players: int,
    start: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[Design, int]:
    """The first masks of so many drawn; and how many of these are distinct."""
    of_code = _turns(n_drawn, n_masks_of(start, n_players, ERRORS), n_chosen(n_players))
    n_coded = int(of_code.sum())
    fresh = deepcopy(rng)
    seed = int(fresh.spawn(1)[0].integers(1 << 63))
    sequence = CodedMasks.draw(n_players, ERRORS, start, n_coded, seed)
    others = optimal_design(n_drawn - n_coded, n_players, fresh).masks
    packed = np.empty((n_drawn, sequence.packed.shape[1]), dtype=np.uint8)
    packed[of_code], packed[~of_code] = sequence.packed[:n_coded], pack(others)
    packed, place = first_appearances(packed)
    masks = unpack(packed[:n_masks], n_players)
    places = np.full(len(sequence.packed), n_masks)  # beyond the design
    places[:n_coded] = place[of_code]
    whole = list(
        takewhile(lambda bits: sequence.is_whole(bits, places, n_masks), levels(start, n_players))
    )
    if not whole:
        return PlainDesign("optimal", masks), len(packed)
    plan = Plan.of_level(n_players, n_masks, ERRORS, start, whole[-1])
    return sequence.design(plan, masks, places, "optimal"), len(packed)


def _turns(n_drawn: int, n_first: int, n_before: int) -> BoolArray:
    """Which of the masks are of the code, ``(n_drawn,)``.

    Args:
        n_drawn: how many masks.
        n_first: of the smallest code.
        n_before: the masks of the optimal design that are chosen.
    """
    numbers = np.arange(n_drawn)
    is_first = (numbers >= 2 * n_first) & (numbers < 3 * n_first)
    is_later = (numbers >= max(3 * n_first, n_before + n_first)) & (numbers % 2 == 0)
    return np.asarray(is_first | is_later)
