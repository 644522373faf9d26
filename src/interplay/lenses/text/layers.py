"""One layer's keys and values of shared prefixes, in the form that transformers' models read.

Imported only where torch and transformers are there.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer


class StoredLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values by place; rows of a pass pick the places of what lies before them.

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
