"""Keys and values of prefixes, in the form that transformers' models read.

Imported only where torch and transformers are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from interplay._types import IntArray
from interplay.text.inference.trie import Node


class Prefixes:
    """The keys and values of a tree's inner nodes, and the rows of a pass from them.

    Args:
        nodes: the inner nodes; each one's tokens have a place of their own.
        n_layers: how many layers the model has.
        device: where its tokens go.
    """

    def __init__(self, nodes: Sequence[Node], n_layers: int, device: torch.device) -> None:
        self.nodes = nodes
        self.device = device
        self.size = sum(node.stop - node.start for node in nodes)
        self.places: list[IntArray] = []
        """For each node the places of the whole prefix that it ends."""
        at = 0
        for node in nodes:
            fresh = np.arange(at, at + node.stop - node.start)
            before = self.places[node.parent] if node.parent >= 0 else fresh[:0]
            self.places.append(np.concatenate([before, fresh]))
            at += len(fresh)
        self._layers = [StoredLayer(self.size) for _ in range(n_layers)]

    def before(self, rows: Sequence[Node], past: int) -> Cache:
        """A cache for one forward pass, that holds what lies before each row."""
        # a row that is shorter than the longest reads place 0, which is masked out
        index = np.zeros((len(rows), past), dtype=np.int64)
        for row, node in enumerate(rows):
            if node.start:
                index[row, past - node.start :] = self.places[node.parent][: node.start]
        place = torch.from_numpy(index).to(self.device)
        for layer in self._layers:
            layer.begin(place)
        return Cache(layers=self._layers)

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep the keys and values of the nodes that the last pass evaluated, row by row."""
        width = max(self.nodes[n].stop - self.nodes[n].start for n in numbers)
        rows: list[int] = []
        columns: list[int] = []
        places: list[int] = []
        for row, n in enumerate(numbers):
            size = self.nodes[n].stop - self.nodes[n].start
            rows += [row] * size
            columns += range(width - size, width)
            places += self.places[n][-size:].tolist()
        for layer in self._layers:
            layer.keep(torch.tensor(rows), torch.tensor(columns), torch.tensor(places))


class StoredLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values by place; rows of a pass pick the places of what lies before.

    Rows are gathered layer by layer, when the layer's attention asks for them.

    Args:
        size: how many places there are.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._place = torch.zeros((0, 0), dtype=torch.long)
        self._stored: tuple[torch.Tensor, torch.Tensor] | None = None
        self._fresh: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin(self, place: torch.Tensor) -> None:
        """Start a pass: ``(b, past)`` places, read at the left of each row's own tokens."""
        self._place = place

    def get_seq_length(self, *args: Any, **kwargs: Any) -> int:
        """How many tokens lie before those of this pass, padding included."""
        return self._place.shape[1]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The keys and values, ``(b, heads, past + new, width)``, for one layer's attention."""
        self._fresh = key_states, value_states
        if not self._place.shape[1]:
            return self._fresh
        assert self._stored is not None, "a prefix is read before it was kept"
        keys, values = (
            torch.cat([stored[self._place].transpose(1, 2), fresh], dim=2)
            for stored, fresh in zip(self._stored, self._fresh, strict=True)
        )
        return keys, values

    def keep(self, rows: torch.Tensor, columns: torch.Tensor, places: torch.Tensor) -> None:
        """Keep tokens of the last pass: those at (row, column), at their places."""
        if self._fresh is None:
            return  # a layer that uses another's keys and values
        if self._stored is None:
            self._stored = tuple(  # type: ignore[assignment]
                states.new_zeros((self._size, states.shape[1], states.shape[3]))
                for states in self._fresh
            )
        assert self._stored is not None
        for stored, fresh in zip(self._stored, self._fresh, strict=True):
            stored[places] = fresh[rows, :, columns]
        self._fresh = None
