"""The cached keys and values of prefixes, in the form that models of transformers read.

Imported only where torch and transformers are installed.
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
    """A cache of the keys and values of a tree's inner nodes, which gives a pass its prefixes.

    Each token of each node has a slot in the cache.

    Args:
        nodes: the inner nodes.
        n_layers: how many layers the model has.
        device: the model's device.
    """

    def __init__(self, nodes: Sequence[Node], n_layers: int, device: torch.device) -> None:
        self.nodes = nodes
        self.device = device
        self.size = sum(node.stop - node.start for node in nodes)
        self.slots: list[IntArray] = []
        """For each node, the slots of the whole prefix that ends with it."""
        at = 0
        for node in nodes:
            new = np.arange(at, at + node.stop - node.start)
            before = self.slots[node.parent] if node.parent >= 0 else new[:0]
            self.slots.append(np.concatenate([before, new]))
            at += len(new)
        self._layers = [StoredLayer(self.size) for _ in range(n_layers)]

    def before(self, rows: Sequence[Node], past: int) -> Cache:
        """Make the cache of one forward pass: it holds the prefix of each row.

        Args:
            rows: the nodes that the pass evaluates.
            past: the length of the longest prefix among them, in tokens.
        """
        # where a row's prefix is shorter than the longest it reads slot 0, which is masked out
        index = np.zeros((len(rows), past), dtype=np.int64)
        for row, node in enumerate(rows):
            if node.start:
                index[row, past - node.start :] = self.slots[node.parent][: node.start]
        slots = torch.from_numpy(index).to(self.device)
        for layer in self._layers:
            layer.begin(slots)
        return Cache(layers=self._layers)

    def store(self, numbers: Sequence[int]) -> None:
        """Store the keys and values of the last pass.

        Args:
            numbers: the numbers of the nodes that it evaluated, row by row.
        """
        width = max(self.nodes[n].stop - self.nodes[n].start for n in numbers)
        rows: list[int] = []
        columns: list[int] = []
        slots: list[int] = []
        for row, n in enumerate(numbers):
            size = self.nodes[n].stop - self.nodes[n].start
            rows += [row] * size
            columns += range(width - size, width)
            slots += self.slots[n][-size:].tolist()
        for layer in self._layers:
            layer.store(torch.tensor(rows), torch.tensor(columns), torch.tensor(slots))


class StoredLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, by slot; each row of a pass reads the slots of its prefix.

    Rows are gathered layer by layer, when the layer's attention needs them.

    Args:
        size: the number of slots.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._slots = torch.zeros((0, 0), dtype=torch.long)
        self._stored: tuple[torch.Tensor, torch.Tensor] | None = None
        self._new: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin(self, slots: torch.Tensor) -> None:
        """Start a pass.

        Args:
            slots: ``(b, past)``, the slots that each of b rows reads before its new tokens.
        """
        self._slots = slots

    def get_seq_length(self, *args: Any, **kwargs: Any) -> int:
        """The number of tokens before those of this pass, padding included."""
        return self._slots.shape[1]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The keys and values, ``(b, heads, past + new, width)``, for one layer's attention."""
        self._new = key_states, value_states
        if not self._slots.shape[1]:
            return self._new
        assert self._stored is not None, "a prefix is read before it was stored"
        keys, values = (
            torch.cat([stored[self._slots].transpose(1, 2), new], dim=2)
            for stored, new in zip(self._stored, self._new, strict=True)
        )
        return keys, values

    def store(self, rows: torch.Tensor, columns: torch.Tensor, slots: torch.Tensor) -> None:
        """Store t tokens of the last pass.

        Args:
            rows: ``(t,)``, the row of each token in the pass.
            columns: ``(t,)``, its column in the pass.
            slots: ``(t,)``, the slot that it goes to.
        """
        if self._new is None:
            return  # a layer that uses another layer's keys and values
        if self._stored is None:
            self._stored = tuple(  # type: ignore[assignment]
                states.new_zeros((self._size, states.shape[1], states.shape[3]))
                for states in self._new
            )
        assert self._stored is not None
        for stored, new in zip(self._stored, self._new, strict=True):
            stored[slots] = new[rows, :, columns]
        self._new = None
