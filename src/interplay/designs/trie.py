r"""The trie design: masks that share their beginnings, so that a model reads fewer tokens for each.

A language model that keeps what it has read computes a beginning that two prompts share only once.
What an ablation then costs are the tokens after the beginning that it shares. Masks of the optimal
design share about log2(m) players with a neighbour. Here each mask shares its first d players with
an earlier one, in the players' own order, and d runs through 0 to n - 1: of m masks m d / n have a
beginning of d players of their own. The tokens of the text that are read are about halved.

Players at the beginning are varied less often by that than those at the end. Two things keep them
apart nevertheless. The first 2 n masks are those of the optimal design, nearly orthogonal and with
their complements, and share nothing on purpose. And there is not one large tree but a sequence of
small ones, of n masks each, whose roots differ: m masks need no more tokens in m / n trees than in
one, because a tree of n masks has one new beginning at each depth. It also costs nothing to cut
such a design into calls.

Where a mask branches off is settled by its place in the tree; with which earlier mask it shares its
beginning, and how it goes on, is the best of 20 candidates by predictive variance, as in
:func:`interplay.designs.optimal.most_informative`.
"""

from __future__ import annotations

import numpy as np

from interplay._types import BoolArray
from interplay.designs.base import PlainDesign, uniform_design
from interplay.designs.optimal import MAX_OPTIMAL, Informed, foldover
from interplay.fourier.masks import keys, uniform

TRIE = "trie"
_CANDIDATES = 20
_TRIES = 10
"""After so many times 20 candidates that were all chosen before, a uniform mask is drawn."""


def trie_design(n_masks: int, n_players: int, rng: np.random.Generator) -> PlainDesign:
    """Choose distinct masks that share their beginnings (see the module).

    For the same generator a larger design starts with the smaller one.

    Raises:
        ValueError: there are not so many distinct masks.
    """
    if n_masks > 1 << n_players:
        return uniform_design(n_masks, n_players, rng)  # raises the error
    head = foldover(min(n_masks, 2 * n_players), n_players, rng)
    masks = np.zeros((n_masks, n_players), dtype=np.bool_)
    masks[: len(head)] = head
    seen = set(keys(head))
    informed = Informed(head, max(min(n_masks, MAX_OPTIMAL) - len(head), 0))
    depths = branching_depths(n_players)
    for row in range(len(head), n_masks):
        place = (row - len(head)) % n_players
        candidates = _new(masks[row - place : row], depths[place], n_players, seen, rng)
        best = 0
        if candidates is None:
            candidates = uniform(1, n_players, rng, exclude=masks[:row])
        if row < MAX_OPTIMAL:
            best = informed.take(np.where(candidates, -1.0, 1.0))
        masks[row] = candidates[best]
        seen.update(keys(candidates[best : best + 1]))
    return PlainDesign(TRIE, masks)


def branching_depths(n_players: int) -> list[int]:
    """How many players each mask of a tree shares with an earlier one: 0 to n - 1, spread evenly.

    The depths are ordered by their bits read backwards, so that the first masks of a tree are
    spread over all depths too.

    Example:
        >>> from interplay.designs.trie import branching_depths
        >>> branching_depths(6)
        [0, 4, 2, 1, 5, 3]
    """
    n_bits = max(n_players - 1, 1).bit_length()
    return sorted(range(n_players), key=lambda depth: f"{depth:0{n_bits}b}"[::-1])


def _new(
    tree: BoolArray, depth: int, n_players: int, seen: set[bytes], rng: np.random.Generator
) -> BoolArray | None:
    """Masks that branch off from masks of a tree at a depth, and that were not chosen before.

    Args:
        tree: the tree's masks so far, ``(t, n)``; with none there is nothing to branch off from.
        depth: how many players are shared.
        n_players: n.
        seen: the keys of the masks chosen before.
        rng: draws them.

    Returns:
        ``(c, n)`` with c at most 20, or ``None`` if none was found.
    """
    for _ in range(_TRIES):
        drawn = rng.random((_CANDIDATES, n_players)) < 0.5
        if len(tree):
            parents = tree[rng.integers(len(tree), size=_CANDIDATES)]
            drawn[:, :depth] = parents[:, :depth]
            drawn[:, depth] = ~parents[:, depth]
        new = np.array([key not in seen for key in keys(drawn)])
        if new.any():
            return np.asarray(drawn[new])
    return None
