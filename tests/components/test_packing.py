"""Prefix trees of token sequences."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from interplay.components.packing import LogitQuery, prefix_trees

SEQUENCES = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=12
)


@given(SEQUENCES, st.integers(1, 15))
def test_a_tree_holds_every_sequence_once(sequences: list[tuple[int, ...]], n_tokens: int) -> None:
    """The tokens that a token attends to, by their position ids, spell the sequence up to it."""
    queries = [(ids, LogitQuery(n, 0, tuple(range(len(ids))))) for n, ids in enumerate(sequences)]
    items = []
    for (tree,) in prefix_trees(queries, n_tokens):
        in_tree = {sequences[query.item] for query in tree.queries}
        prefixes = {ids[:stop] for ids in in_tree for stop in range(1, len(ids) + 1)}
        assert len(tree.ids) == len(prefixes)  # each token once
        assert len(prefixes) <= n_tokens or len(in_tree) == 1
        assert tree.attends is not None
        assert tree.position_ids is not None
        for query in tree.queries:
            items.append(query.item)
            ids = sequences[query.item]
            for stop, node in enumerate(query.positions, 1):
                attended = np.flatnonzero(tree.attends[node])
                attended = attended[np.argsort(tree.position_ids[attended])]
                assert tuple(tree.ids[attended].tolist()) == ids[:stop]
                assert tree.position_ids[attended].tolist() == list(range(stop))
    assert sorted(items) == list(range(len(sequences)))
