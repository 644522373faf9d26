"""Trees of token sequences."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from interplay.components.packing import Read, trees_of

SEQUENCES = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12
)


@given(SEQUENCES, st.integers(1, 15))
def test_a_tree_holds_every_sequence_once(sequences: list[tuple[int, ...]], n_tokens: int) -> None:
    """What a token sees, by its places, spells the sequence up to it."""
    reads = [(ids, Read(n, 0, tuple(range(len(ids))))) for n, ids in enumerate(sequences)]
    found = []
    for (tree,) in trees_of(reads, n_tokens):
        own = {sequences[read.item] for read in tree.reads}
        prefixes = {ids[:stop] for ids in own for stop in range(1, len(ids) + 1)}
        assert len(tree.ids) == len(prefixes)  # each token once
        assert len(prefixes) <= n_tokens or len(own) == 1
        assert tree.sees is not None
        assert tree.places is not None
        for read in tree.reads:
            found.append(read.item)
            ids = sequences[read.item]
            for stop, node in enumerate(read.positions, 1):
                seen = np.flatnonzero(tree.sees[node])
                seen = seen[np.argsort(tree.places[seen])]
                assert tuple(tree.ids[seen].tolist()) == ids[:stop]
                assert tree.places[seen].tolist() == list(range(stop))
    assert sorted(found) == list(range(len(sequences)))
