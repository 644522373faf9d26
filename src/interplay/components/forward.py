"""Forward: one forward pass over packs, as a whole or in stages, and whether these are equivalent.

A stage begins at a layer with the states that the layer reads, or ends before one. Not every model
can be cut at its layers, and not every one takes trees of prompts. So both are checked on the model
at hand before they are used: the logits must equal those of a full pass over each sequence alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interplay.components.architecture import Architecture, without_cache
from interplay.components.packing import Pack
from interplay.components.patching import ending_before, starting_at
from interplay.text.inference.batches import relative_tolerance

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Forward:
    """Forward passes over packs of one length, or over one tree several times.

    Attributes:
        model: the model.
        architecture: its layers and outputs.
    """

    model: PreTrainedModel
    architecture: Architecture

    def logits(
        self,
        packs: Sequence[Pack],
        positions: Sequence[int],
        first: int = 0,
        states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return logits, ``(b, positions, vocabulary)``; of a classifier, ``(b, positions, c)``.

        Args:
            packs: the b rows.
            positions: the positions, ascending.
            first: the layer to begin with.
            states: what it reads, ``(b, tokens, width)``; ``None``: the pass is whole.
        """
        import torch

        inputs = self._inputs(packs)
        n_tokens = inputs["input_ids"].shape[1]
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            at_end = list(positions) == list(range(positions[0], n_tokens))
            inputs["logits_to_keep"] = (
                len(positions) if at_end else torch.tensor(positions, device=self.model.device)
            )
        with ExitStack() as stack:
            if states is not None:
                stack.enter_context(starting_at(self.architecture, first, states))
            logits: torch.Tensor = self.model(**inputs).logits
        if logits.ndim == 2:
            return logits[:, None].expand(-1, len(positions), -1)
        return logits if logits.shape[1] == len(positions) else logits[:, list(positions)]

    def states(
        self,
        packs: Sequence[Pack],
        stop: int,
        first: int = 0,
        states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return what a layer reads, ``(b, tokens, width)``, and run no layer from it on.

        Args:
            packs: the b rows.
            stop: the layer.
            first: the layer to begin with.
            states: as for :meth:`logits`.
        """
        with ExitStack() as stack:
            if states is not None:
                stack.enter_context(starting_at(self.architecture, first, states))
            read = stack.enter_context(ending_before(self.architecture, stop))
            self.model(**self._inputs(packs))
        return read[0]

    def run(self, packs: Sequence[Pack]) -> None:
        """Run the whole model, for what hooks record of it."""
        self.model(**self._inputs(packs))

    def _inputs(self, packs: Sequence[Pack]) -> dict[str, Any]:
        import torch

        def tensor(array: Any) -> torch.Tensor:
            return torch.from_numpy(np.asarray(array)).to(self.model.device)

        inputs: dict[str, Any] = without_cache(self.model)
        inputs["input_ids"] = tensor([pack.ids for pack in packs])
        position_ids, attends = packs[0].position_ids, packs[0].attends
        if position_ids is not None and attends is not None:
            inputs["position_ids"] = tensor(position_ids).expand(len(packs), -1)
            hidden = torch.finfo(self.model.dtype).min
            mask = torch.zeros(attends.shape, dtype=self.model.dtype, device=self.model.device)
            mask = mask.masked_fill(~tensor(attends), hidden)
            inputs["attention_mask"] = mask.expand(len(packs), 1, *attends.shape)
        return inputs

    def is_equivalent(self, pack: Pack, alone: Sequence[Pack], cuts: Sequence[int]) -> bool:
        """Equivalence check: does a pack, run in stages, have the logits of full passes?

        Args:
            pack: the pack.
            alone: packs of one sequence; those that the pack lacks are passed over.
            cuts: the layers that its stages begin with, ascending; the first begins with layer 0.
        """
        positions = positions_of([pack])
        try:
            states, first = None, 0
            for cut in cuts:
                states, first = self.states([pack], cut, first, states), cut
            logits = self.logits([pack], positions, first, states)[0]
        except (
            AttributeError,
            IndexError,
            KeyError,
            RuntimeError,
            TypeError,
            ValueError,
        ):
            return False
        in_pack = {(query.item, query.feed): query for query in pack.queries}
        for single in alone:
            for query in single.queries:
                if (query.item, query.feed) not in in_pack:
                    continue
                full = self.logits([single], sorted(query.positions))[0]
                nodes = in_pack[query.item, query.feed].positions
                shared = logits[[positions.index(node) for node in nodes]]
                limit = relative_tolerance(self.model) * float(full.abs().max())
                if not float((full - shared).abs().max()) <= limit:
                    return False
        return True


def positions_of(packs: Sequence[Pack]) -> list[int]:
    """Return the positions whose logits any of the packs' queries reads, ascending."""
    return sorted({at for pack in packs for query in pack.queries for at in query.positions})
